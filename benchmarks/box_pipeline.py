"""Reading and augmenting images with boxes: the share of a training step that they take.

The step is that of a small detector: the MobileNetV2 backbone at 320 pixels, forward and backward, a batch of
16, the gradients applied. It is run alone on a batch that is there already; with the augmentation in it; and
with batches from the input pipeline as well. In turn, in one process, so that a slow spell of the machine
meets all of them; figures are medians over steps, of wall time and of processor time (of all threads, which
other programs on the machine disturb less). The pipeline reads in threads beside the step, so that on
cores which the step needs its share may be more than reading alone would suggest.

Run: python benchmarks/box_pipeline.py [--steps 12] [--spec strong] [--images 64] [--photos FOLDER]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from common import print_table, verdict

SIZE, BATCH = 320, 16
ALONE, AUGMENTED, READ = "step alone", "with augmentation", "with augmentation and reading"
MOST = 0.2


def training_step(change) -> Callable:
    """Return (images, targets, number) -> loss of one step; `change` is an augmentation or `None`."""
    import keras
    import tensorflow as tf

    from kerasvision.models import get_model

    model = get_model("mobilenet_v2", include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    optimizer = keras.optimizers.SGD(1e-4)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, targets, number):
        images = tf.cast(images, tf.float32)
        if change is not None:
            change.seed_step(number)
            images, targets = change(images, targets)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(images / 127.5 - 1, training=True) ** 2)
            loss += 0 * tf.reduce_sum(targets["boxes"])  # so that moving boxes is not cut out of the graph
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return step


def endless(data):
    """Yield training batches, epoch after epoch."""
    while True:
        yield from data.iterate("train", drop_last=True)


def measure(data, spec: str, steps: int) -> dict[str, tuple[float, float]]:
    """Return the median wall and processor seconds of a step of each kind."""
    import tensorflow as tf

    from kerasvision.data import box_augmentation

    change = box_augmentation(spec, strength=0.5, seed=0)
    plain, augmented = training_step(None), training_step(change)
    batches = endless(data)
    fixed = [tf.nest.map_structure(tf.constant, batch) for batch in (next(batches) for _ in range(2))]
    runs = {
        ALONE: lambda number: plain(*fixed[number % 2], number),
        AUGMENTED: lambda number: augmented(*fixed[number % 2], number),
        READ: lambda number: augmented(*next(batches), number),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(steps + 1):
        for name, run in runs.items():
            start = np.array([time.perf_counter(), time.process_time()])
            run(tf.constant(number, tf.int64)).numpy()
            if number:  # the first one traces
                times[name].append(np.array([time.perf_counter(), time.process_time()]) - start)
    return {name: tuple(np.median(values, axis=0)) for name, values in times.items()}


def main() -> None:
    """Print seconds a step, and the share of augmentation and reading."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--spec", default="strong")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--photos", help="a folder as for kv.data.pascal_voc; by default scenes drawn here")
    options = parser.parse_args()

    import kerasvision as kv

    settings = {"image_size": SIZE, "batch_size": BATCH}
    if options.photos:
        data = kv.data.pascal_voc(options.photos, on_bad_file="skip", **settings)
    else:
        data = kv.data.shapes("detect", count=options.images, validation_fraction=0, **settings)
    seconds = measure(data, options.spec, options.steps)
    share = {
        name: [1 - a / b for a, b in zip(seconds[ALONE], both, strict=True)] for name, both in seconds.items()
    }
    boxes = np.mean([len(one) for one in data.splits["train"].boxes])
    print(f"{options.spec}, batches of {BATCH} at {SIZE} pixels, {boxes:.1f} boxes an image\n")
    rows = [
        (name, *(f"{value * 1000:.0f}" for value in both), *(f"{value:.0%}" for value in share[name]))
        for name, both in seconds.items()
    ]
    print_table(("arm", "ms a step", "CPU ms", "share", "share of CPU"), rows)
    taken = share[READ][0]
    print(f"share of input and augmentation: {taken:.1%}, {verdict(taken, MOST, at_least=False)}")


if __name__ == "__main__":
    main()
