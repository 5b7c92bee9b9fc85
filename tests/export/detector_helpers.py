"""Small detectors of all four families with scores far apart, and their source."""

import keras
import numpy as np
from keras import layers

from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.detection import detector, find
from kerasvision.export import DetectionSource, Selection

LABELS = ("red thing", "green thing", "chose bleutée")
SIZE = 64
NAMES = ("retinanet", "yolo_v8_xs", "ssd300", "yolo_v1")


def backbone() -> keras.Model:
    """Return convolutions at strides 2 to 32 for pixels in [0, 1], with BatchNorm to fold."""
    x = image = keras.Input((None, None, 3))
    for index, width in enumerate((16, 24, 32, 48, 64), 1):
        x = layers.Conv2D(width, 3, 2, "same", use_bias=False, name=f"c{index}")(x)
        x = layers.BatchNormalization(name=f"c{index}_bn")(x)
        x = layers.ReLU(name=f"c{index}_relu")(x)
    return keras.Model(image, x, name="small")


def small_detector(name: str, image_size=SIZE, seed: int = 0):
    """Return a detector that has learnt nothing, but whose scores are spread from 0 to 1."""
    keras.utils.set_random_seed(seed)
    options = {"retinanet": {"anchor_scale": 2.0}, "yolo_v1": {"channels": 64}}.get(name, {})
    made = detector(
        name, classes=3, image_size=image_size, backbone=backbone(), preprocessing="zero_one", **options
    )
    normalize(made.model, pictures(16, size=made.spec.image_size[0]).astype(np.float32))
    return made


def normalize(model: keras.Model, images: np.ndarray) -> None:
    """Give BatchNorm the statistics of some images, and the raw outputs a useful mean and deviation."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    ends = {name: model.get_layer(name).input._keras_history.operation for name in model.output}
    for layer in ends.values():
        layer.bias.assign(np.zeros(layer.bias.shape))
    outputs = model(images, training=False)
    last = {}
    for name, values in outputs.items():
        layer = ends[name]
        last.setdefault(layer.name, (layer, name.split("_")[0], []))[2].append(np.asarray(values).ravel())
    for layer, kind, values in last.values():
        kind = f"v1_{kind}" if "object_1" in outputs else kind
        mean, deviation = {
            "box": (0.0, 1.0),
            "class": (-4.0, 2.0),
            "v1_box": (0.4, 0.15),
            "v1_object": (0.2, 0.3),
            "v1_class": (0.2, 0.4),
        }[kind]
        values = np.concatenate(values)
        layer.kernel.assign(layer.kernel * (deviation / values.std()))
        layer.bias.assign(np.full(layer.bias.shape, mean - values.mean() * deviation / values.std()))


def pictures(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Return uint8 pictures of noise and bright rectangles, which differ from each other."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (count, size, size, 3))
    for image in images:
        for _ in range(3):
            y, x = rng.integers(0, size - 20, 2)
            h, w = rng.integers(8, 20, 2)
            image[y : y + h, x : x + w] = rng.integers(60, 256, 3)
    return images.astype(np.uint8)


def small_source(name: str, **options) -> DetectionSource:
    """Return such a detector with pictures, and a truth that it finds in part."""
    made = small_detector(name)
    images = pictures(24, seed=1)
    rng = np.random.default_rng(0)
    truth = []
    for found in find(made, images, threshold=0.3, most=10):
        boxes = found.boxes + rng.normal(0, 1, found.boxes.shape)
        truth.append(ImageBoxes((SIZE, SIZE), boxes, (found.labels + (rng.random(len(found)) < 0.2)) % 3))
    # Of an untrained network, boxes of nearly equal scores lie on each other: only few of them are taken.
    selection = Selection(**{"most": 20, "threshold": 0.2, **options})
    return DetectionSource(made, LABELS, Preprocessing(SIZE), pictures(40, seed=2), images, truth, selection)
