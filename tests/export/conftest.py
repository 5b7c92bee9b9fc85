"""A small trained classifier and its pictures, shared by the export tests."""

import numpy as np
import pytest

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export.source import ExportSource

CLASSES = ("red thing", "green thing", "blue ‑ thing")
SIZE = 32


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy uint8 pictures in which one of three colours is a little stronger, and their classes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    images = rng.integers(20, 200, (count, SIZE, SIZE, 3))
    images[np.arange(count), :, :, targets] += rng.integers(5, 50, (count, 1, 1))
    return images.astype(np.uint8), targets.astype(np.int32)


def build_model(seed: int = 0, scale: float = 1 / 127.5, offset: float = -1.0):
    """Return a small convolutional classifier with preprocessing in the graph and BatchNorm to be folded."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(scale, offset, name="preprocessing")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.ReLU(6.0, name="relu2")(x)
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="tiny")


@pytest.fixture(scope="session")
def model():
    """Return the classifier after a few steps of training."""
    net = build_model()
    images, targets = pictures(192, seed=1)
    net.compile("adam", "sparse_categorical_crossentropy")
    net.optimizer.learning_rate = 0.02
    net.fit(images.astype("float32"), targets, batch_size=32, epochs=8, verbose=0)
    return net


@pytest.fixture(scope="session")
def source(model) -> ExportSource:
    """Return it with calibration and held-out pictures."""
    images, targets = pictures(90, seed=2)
    return ExportSource(model, CLASSES, Preprocessing(SIZE), pictures(30, seed=3)[0], images, targets)
