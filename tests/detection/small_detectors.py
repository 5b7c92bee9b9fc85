"""What the tests of SSD and YOLO v1 share: a small backbone, a few pictures, learning them by heart."""

import json
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kerasvision import data, metrics
from kerasvision._litert import LiteRTModel, convert
from kerasvision.detection import detector, select_boxes
from kerasvision.metrics import Detections

PLAIN_KERAS = """
import json, sys
import keras, numpy as np
for name in sys.argv[1:]:
    outputs = keras.saving.load_model(f"{name}.keras")(np.load(f"{name}.npy"))
    np.savez(f"{name}.npz", **{key: np.asarray(value) for key, value in outputs.items()})
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in ("kerasvision", "keras_cv"))))
"""


def small_backbone() -> keras.Model:
    """Return convolutions at strides 2 to 32, for pixels in [0, 1], without BatchNorm."""
    x = image = layers.Input((None, None, 3))
    for index, filters in enumerate((16, 32, 64, 64, 64)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=f"c{index}")(x)
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"d{index}")(x)
    return keras.Model(image, x, name="small")


def small_ssd(image_size=64, **options):
    return detector(
        "ssd300",
        classes=3,
        image_size=image_size,
        backbone=small_backbone(),
        preprocessing="zero_one",
        **options,
    )


def small_yolo(**options):
    return detector(
        "yolo_v1",
        classes=3,
        image_size=64,
        backbone=small_backbone(),
        preprocessing="zero_one",
        **{"channels": 64, **options},
    )


def pictures(image_size=64):
    """Return eight drawn pictures of shapes: the data, the images, and boxes, classes, crowd."""
    drawn = data.shapes("detect", count=8, classes=3, image_size=image_size, validation_fraction=0.0, seed=3)
    images, truth = next(iter(drawn.iterate("train", batch_size=8, order=np.arange(8))))
    return drawn, images.astype("float32"), truth


def train(built, images, truth, steps: int, rate: float = 2e-3) -> list[float]:
    """Train on one batch with Adam; return the losses."""
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    variables = built.model.trainable_variables
    boxes, classes, crowd = (tf.constant(truth[key]) for key in ("boxes", "classes", "crowd"))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            parts = built.head.losses(built.model(images, training=True), boxes, classes, crowd)
            loss = tf.reduce_mean(sum(parts.values()))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return [float(step()) for _ in range(steps)]


def found_by(built, images) -> list[Detections]:
    """Return what a detector finds on images."""
    decoded = built.decode(built.model(images, training=False))
    found = select_boxes(*decoded, image_size=built.spec.image_size)
    found = {key: value.numpy() for key, value in found.items()}
    return [
        Detections(found["boxes"][i][:n], found["classes"][i][:n], found["scores"][i][:n])
        for i, n in enumerate(found["count"])
    ]


def ap50(drawn, found) -> float:
    """Return AP50 on the training pictures."""
    return metrics.judge_detections(drawn.splits["train"].boxes, found, drawn.class_names).ap50


def check_tflite(built, images) -> None:
    """Check that network, decoding and suppression give in LiteRT what they give in Keras."""

    def serve(image):
        boxes, scores = built.decode(built.model(image, training=False))
        return select_boxes(boxes, scores, threshold=0.2, image_size=built.spec.image_size)

    file = LiteRTModel(convert(serve, input_shape=(*built.spec.image_size, 3)))
    got = file(images)
    want = [serve(images[i : i + 1]) for i in range(len(images))]
    assert got["count"].sum() > 0
    for key in ("count", "classes", "scores", "boxes"):
        expected = np.concatenate([np.asarray(one[key]) for one in want])
        np.testing.assert_allclose(got[key], expected, rtol=0, atol=2e-3 if key == "boxes" else 2e-5)


def check_loads_in_plain_keras(models: dict, folder) -> None:
    """Check that saved files answer the same in a program that never imports this package."""
    rng = np.random.default_rng(0)
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
        np.save(
            folder / f"{name}.npy", rng.uniform(0, 255, (1, *model.inputs[0].shape[1:])).astype("float32")
        )
    command = [sys.executable, "-c", PLAIN_KERAS, *models]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
    for name, model in models.items():
        expected = model(np.load(folder / f"{name}.npy"))
        with np.load(folder / f"{name}.npz") as outputs:
            assert sorted(outputs) == sorted(expected)
            for key, value in expected.items():
                np.testing.assert_allclose(outputs[key], value, rtol=1e-5, atol=1e-5)


def finite_everywhere(built, truths) -> list[dict]:
    """Return the losses for several truths, and check that losses and gradients are finite."""
    images = np.random.default_rng(1).uniform(0, 255, (2, *built.spec.image_size, 3)).astype("float32")
    results = []
    for truth in truths:
        with tf.GradientTape() as tape:
            parts = built.head.losses(built.model(images), *map(tf.constant, truth))
            loss = tf.reduce_mean(sum(parts.values()))
        gradients = tape.gradient(loss, built.model.trainable_variables)
        assert all(np.isfinite(part).all() and part.shape == (2,) for part in parts.values())
        assert all(np.isfinite(g).all() for g in gradients if g is not None)
        results.append({key: value.numpy() for key, value in parts.items()})
    return results


def hard_truths(size: int) -> list[tuple]:
    """Return truths of two images that programs stumble over: none, tiny, turned inside out, outside."""
    kinds = {
        "none": [0, 0, 0, 0],
        "point": [5, 5, 5, 5],
        "line": [5, 5, 25, 5],
        "tiny": [5, 5, 5 + 1e-6, 5 + 1e-6],
        "inside out": [20, 20, 10, 10],
        "outside": [size + 10, size + 10, size + 30, size + 30],
        "whole": [0, 0, size, size],
        "corner": [size - 1e-3, size - 1e-3, size, size],
    }
    truths = []
    for name, box in kinds.items():
        for crowd in (False, True):
            classes = np.full((2, 3), -1, np.int32)
            classes[0, 1] = -1 if name == "none" else 1
            boxes = np.zeros((2, 3, 4), np.float32)
            boxes[0, 1] = box
            truths.append((boxes, classes, np.full((2, 3), crowd)))
    return truths
