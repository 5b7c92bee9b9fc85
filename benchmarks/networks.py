"""Our ResNets against those of keras.applications: building, forward pass, training step.

Run: python benchmarks/networks.py [--rounds 7] [--image-size 160] [--batch-size 8]

Both networks are in one process and take turns, step by step, each compiled once before anything is timed
(the same weights, the same batch, `tf.function` around `model(images)` and around one SGD step), so that
a slow spell of the machine meets both. The order within a turn changes from turn to turn. A figure is the
median over the turns; the ratio is the median of the ratios within a turn, with their quartiles. Two equal
graphs come out within about 2 % of each other.
"""

import argparse
import gc
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from common import print_table, verdict

from kerasvision.models import get_model

AT_MOST = {"building": 1.0, "forward": 1.02, "training": 1.02}
Arms = dict[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of building; steps have four times as many")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    print(f"{given.batch_size} images of {given.image_size} px a step\n")
    rows = [row("building ResNet152", building(), given.rounds, warm_up=1)]
    pair = networks(given.image_size)
    batch = np.random.default_rng(0).normal(0, 60, (given.batch_size, given.image_size, given.image_size, 3))
    images = tf.constant(batch, tf.float32)
    for title, make in (("forward pass of ResNet50", forward), ("training step of ResNet50", training_step)):
        arms = {name: make(model, images) for name, model in pair.items()}
        rows.append(row(title, arms, 4 * given.rounds, warm_up=3))
    print_table(("what", "kerasvision", "keras.applications", "ratio", "quartiles", ""), rows)


def building() -> Arms:
    return {
        "kerasvision": lambda: get_model("resnet152", weights=None),
        "keras.applications": lambda: keras.applications.ResNet152(weights=None),
    }


def networks(size: int) -> dict[str, keras.Model]:
    """Return both ResNet50s with the same weights."""
    theirs = keras.applications.ResNet50(weights=None, input_shape=(size, size, 3))
    ours = get_model("resnet50", weights=None, input_shape=(size, size, 3))
    ours.set_weights(theirs.get_weights())
    return {"kerasvision": ours, "keras.applications": theirs}


def forward(model: keras.Model, images) -> Callable[[], object]:
    step = tf.function(lambda: model(images, training=False), reduce_retracing=True)
    return lambda: step().numpy()


def training_step(model: keras.Model, images) -> Callable[[], object]:
    labels = tf.zeros(len(images), tf.int32)
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            answers = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, answers))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return lambda: step().numpy()


def row(title: str, arms: Arms, rounds: int, warm_up: int) -> tuple:
    """Time both arms in turn; return a row of the table."""
    for _ in range(warm_up):
        for arm in arms.values():
            arm()
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds):
        for name in list(arms)[:: 1 if number % 2 else -1]:
            times[name].append(seconds(arms[name]))
    ours, theirs = (np.array(times[name]) for name in ("kerasvision", "keras.applications"))
    low, ratio, high = np.quantile(ours / theirs, (0.25, 0.5, 0.75))
    shown = [f"{np.median(part):.3f} s" for part in (ours, theirs)]
    target = AT_MOST[title.split()[0]]
    judged = verdict(round(ratio, 2), target, at_least=False)
    return title, *shown, f"{ratio:.2f} x", f"{low:.2f} to {high:.2f}", judged


def seconds(call: Callable[[], object]) -> float:
    gc.collect()
    keras.backend.clear_session(free_memory=False)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
