"""Training a detector: the loop that `train_detector` uses against keras-cv's `fit`, on the same network.

keras-cv's detector is built, and ours is made of it (`from_keras_cv`), so that the layers and the weights are
the same; both train on the same drawn scenes, as AdamW does, all weights, without augmentation and without
an average of the weights. What differs is what each brings along: matching of boxes, losses, the loop, and
how batches get there (`fit` gets a `tf.data.Dataset`, cached in memory). `fit` is compiled with
`jit_compile=False`, which is faster on a CPU. Each arm runs in a process of its own, in turn; the first
epoch, which traces, is left out; figures are medians over rounds of the median epoch.

Run: python benchmarks/detection_training.py [--models yolo_v8_xs,retinanet] [--size 256] [--images 64]
     [--epochs 4] [--rounds 3]
"""

import argparse
import json
import statistics
import time
from dataclasses import replace

from common import alternate, keras_cv_retinanet, median, print_table, run_arm, verdict

KERAS_CV, OURS = "fit", "kerasvision"
CLASSES, BATCH, WANTED = 3, 8, 1.0
RATE = 1e-4


def keras_cv_detector(name: str, size: int):
    """Return keras-cv's detector with random weights."""
    import keras
    import keras_cv

    keras.utils.set_random_seed(0)
    if name == "retinanet":
        return keras_cv_retinanet(size, CLASSES)
    backbone = keras_cv.models.YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256],
        stackwise_depth=[1, 2, 2, 1],
        include_rescaling=True,
        input_shape=(size, size, 3),
    )
    return keras_cv.models.YOLOV8Detector(backbone, CLASSES, "xyxy", fpn_depth=1)


def scenes(size: int, images: int):
    """Return scenes with boxes, drawn once and kept in memory, as `fit` has them in its cache."""
    from kerasvision.data import Samples, shapes

    drawn = shapes(
        "detect", count=images, classes=CLASSES, image_size=size, batch_size=BATCH, validation_fraction=0
    )
    part = drawn.splits["train"]
    kept = Samples(list(part.sources), part.labels, list(part.names), boxes=list(part.boxes))
    return replace(drawn, splits={"train": kept})


def fit_arm(name: str, size: int, images: int, epochs: int) -> list[float]:
    """Return the seconds of each epoch of keras-cv's `fit`."""
    import keras
    import tensorflow as tf

    model = keras_cv_detector(name, size)
    losses = {"retinanet": ("smoothl1", "focal")}.get(name, ("ciou", "binary_crossentropy"))
    model.compile(
        box_loss=losses[0],
        classification_loss=losses[1],
        optimizer=keras.optimizers.AdamW(RATE),
        jit_compile=False,
    )

    def in_their_form(images, targets):
        boxes = {"boxes": targets["boxes"], "classes": tf.cast(targets["classes"], tf.float32)}
        return tf.cast(images, tf.float32), boxes

    batches = scenes(size, images).dataset("train").map(in_their_form).cache().prefetch(2)
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

    from kerasvision.detection import from_keras_cv
    from kerasvision.training import Group, Plan, boxes_on_images, fit

    detector = from_keras_cv(keras_cv_detector(name, size), image_size=size)
    groups = [Group(keras.optimizers.AdamW(RATE), detector.model.trainable_variables)]
    plan = Plan("all", epochs=epochs, batch_size=BATCH, learning_rate=RATE, clip_norm=None)
    objective = boxes_on_images(detector.head)
    fitted = fit(detector.model, scenes(size, images), plan, groups, objective=objective)
    return [row["seconds"] for row in fitted.history]


def main() -> None:
    """Print images a second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="yolo_v8_xs,retinanet")
    for name, default in (("size", 256), ("images", 64), ("epochs", 4), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--arm", choices=(KERAS_CV, OURS), help="for internal use")
    given = parser.parse_args()
    work = {"size": given.size, "images": given.images, "epochs": given.epochs}
    if given.arm:
        arm = {KERAS_CV: fit_arm, OURS: our_arm}[given.arm]
        print(json.dumps({"epoch": statistics.median(arm(given.models, **work)[1:])}))
        return
    rows = []
    for name in given.models.split(","):
        results = alternate(
            (KERAS_CV, OURS), lambda arm, name=name: run_arm(__file__, arm, models=name, **work), given.rounds
        )
        theirs, ours = (given.images / median(results[arm], "epoch") for arm in (KERAS_CV, OURS))
        ratios = [a["epoch"] / b["epoch"] for a, b in zip(results[KERAS_CV], results[OURS], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        ratio = ours / theirs
        rows.append((name, f"{theirs:.1f}", f"{ours:.1f}", f"{ratio:.2f} x", spread, verdict(ratio, WANTED)))
    print(f"images a second in training, {given.size} pixels, batches of {BATCH}\n")
    print_table(("model", "keras-cv fit", "kerasvision", "ratio", "rounds", ""), rows)


if __name__ == "__main__":
    main()
