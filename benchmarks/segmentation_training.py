"""Training a segmenter: the loop that `train_segmenter` uses against Keras' `fit`, on the same graph.

Both arms build the same segmenter with the same weights and train all of them on the same drawn scenes, with
AdamW and cross-entropy that leaves void out (`ignore_class=255` in Keras), without augmentation, auxiliary
outputs and an average of the weights. What differs is the loss' own operations, the loop, and how batches
get there (`fit` gets a `tf.data.Dataset`, cached in memory). `fit` is compiled with `jit_compile=False`,
which is faster on a CPU. Each arm runs in a process of its own, in turn; the first epoch, which traces, is
left out; figures are medians over rounds of the median epoch.

Run: python benchmarks/segmentation_training.py [--models unet,deeplab_v3_plus] [--size 192] [--images 64]
     [--epochs 4] [--rounds 3]
"""

import argparse
import json
import statistics
import time
from dataclasses import replace

from common import alternate, median, print_table, run_arm, verdict

FIT, OURS = "fit", "kerasvision"
CLASSES, BATCH, WANTED = 10, 8, 1.0
RATE = 1e-4


def network(name: str, size: int):
    """Return a segmenter on MobileNetV2 with random weights."""
    import keras

    from kerasvision.segmentation import segmenter

    keras.utils.set_random_seed(0)
    return segmenter(name, classes=CLASSES, image_size=size)


def scenes(size: int, images: int):
    """Return scenes with label maps, drawn once and kept in memory, as `fit` has them in its cache."""
    from kerasvision.data import Samples, shapes

    drawn = shapes("segment", count=images, image_size=size, batch_size=BATCH, validation_fraction=0)
    part = drawn.splits["train"]
    kept = Samples(list(part.sources), part.labels, list(part.names), masks=part.masks)
    return replace(drawn, splits={"train": kept})


def fit_arm(name: str, size: int, images: int, epochs: int) -> list[float]:
    """Return the seconds of each epoch of Keras' `fit`."""
    import keras
    import tensorflow as tf

    model = network(name, size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model.compile(optimizer=keras.optimizers.AdamW(RATE), loss=loss, jit_compile=False)

    def in_its_form(batch, masks):
        return tf.cast(batch, tf.float32), tf.cast(masks, tf.int32)

    batches = scenes(size, images).dataset("train").map(in_its_form).cache().prefetch(2)
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.start)

    model.fit(batches, epochs=epochs, verbose=0, callbacks=[Clock()])
    return seconds


def our_arm(name: str, size: int, images: int, epochs: int) -> list[float]:
    """Return the seconds of each epoch of our training."""
    import keras

    from kerasvision.segmentation import make_loss
    from kerasvision.training import Group, Plan, fit, labels_of_pixels

    model = network(name, size)
    groups = [Group(keras.optimizers.AdamW(RATE), model.trainable_variables)]
    plan = Plan("all", epochs=epochs, batch_size=BATCH, learning_rate=RATE, clip_norm=None)
    fitted = fit(model, scenes(size, images), plan, groups, objective=labels_of_pixels(make_loss()))
    return [row["seconds"] for row in fitted.history]


def main() -> None:
    """Print images a second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="unet,deeplab_v3_plus")
    for name, default in (("size", 192), ("images", 64), ("epochs", 4), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--arm", choices=(FIT, OURS), help="for internal use")
    given = parser.parse_args()
    work = {"size": given.size, "images": given.images, "epochs": given.epochs}
    if given.arm:
        seconds = {FIT: fit_arm, OURS: our_arm}[given.arm](given.models, **work)
        print(json.dumps({"epoch": statistics.median(seconds[1:])}))
        return
    rows = []
    for name in given.models.split(","):
        results = alternate(
            (FIT, OURS), lambda arm, name=name: run_arm(__file__, arm, models=name, **work), given.rounds
        )
        theirs, ours = (given.images / median(results[arm], "epoch") for arm in (FIT, OURS))
        ratios = [a["epoch"] / b["epoch"] for a, b in zip(results[FIT], results[OURS], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        ratio = ours / theirs
        rows.append((name, f"{theirs:.1f}", f"{ours:.1f}", f"{ratio:.2f} x", spread, verdict(ratio, WANTED)))
    print(f"images a second in training, {given.size} pixels, batches of {BATCH}\n")
    print_table(("model", "Keras fit", "kerasvision", "ratio", "rounds", ""), rows)


if __name__ == "__main__":
    main()
