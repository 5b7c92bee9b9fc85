"""Operations made of Keras' own, against TensorFlow's and against slow references."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasvision import _litert
from kerasvision.models.operations import (
    adaptive_average_pool,
    ceil_max_pool,
    local_response_normalization,
)

RADII = {"AlexNet": dict(size=5), "odd numbers": dict(size=3, bias=1.0, alpha=0.02, beta=0.5)}


@pytest.mark.parametrize("case", RADII)
def test_normalization_is_tensorflows(case, rng):
    """TensorFlow's alpha, too, is for the sum; its radius is half the size."""
    settings = {"bias": 2.0, "alpha": 1e-4, "beta": 0.75, **RADII[case]}
    images = rng.normal(0, 30, (2, 5, 4, 11)).astype("float32")
    radius = settings["size"] // 2
    expected = tf.nn.local_response_normalization(
        images, radius, settings["bias"], settings["alpha"], settings["beta"]
    )
    ours = local_response_normalization(keras.ops.convert_to_tensor(images), **RADII[case])
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    assert np.abs(ours - images / settings["bias"] ** settings["beta"]).max() > 0.1  # the squares matter


def test_normalization_by_the_formula_of_the_paper(rng):
    image = rng.normal(0, 50, (1, 1, 1, 7))
    values, expected = image.ravel(), []
    for i in range(7):
        total = sum(values[j] ** 2 for j in range(max(0, i - 2), min(6, i + 2) + 1))
        expected.append(values[i] / (2 + 1e-4 * total) ** 0.75)
    ours = local_response_normalization(keras.ops.convert_to_tensor(image.astype("float32")))
    np.testing.assert_allclose(np.ravel(ours), expected, rtol=1e-5)


def test_normalization_in_half_precision_does_not_overflow():
    image = keras.ops.full((1, 1, 1, 4), 1000.0, dtype="float16")  # its square is beyond float16
    ours = local_response_normalization(image)
    assert keras.backend.standardize_dtype(ours.dtype) == "float16"
    expected = local_response_normalization(keras.ops.cast(image, "float32"))
    np.testing.assert_allclose(ours, expected, rtol=1e-3)


def small_network(shape=(9, 8, 8)) -> keras.Model:
    image = layers.Input(shape)
    x = local_response_normalization(image)
    x = ceil_max_pool(layers.ReLU()(x), 3, name="pool")
    return keras.Model(image, adaptive_average_pool(x, 3, name="adaptive"))


def test_saved_and_converted_they_answer_alike(tmp_path, rng):
    model = small_network()
    images = rng.normal(0, 30, (2, 9, 8, 8)).astype("float32")
    expected = np.asarray(model(images))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), expected)
    converted = _litert.LiteRTModel(_litert.convert(model))
    assert not [name for name in converted.operations if name.startswith(("FLEX", "CUSTOM"))]
    (answer,) = converted(images).values()
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def slow_adaptive(image: np.ndarray, size: int) -> np.ndarray:
    """Average pixel by pixel over the windows that torch documents."""
    height, width, channels = image.shape
    result = np.zeros((size, size, channels))
    for i in range(size):
        for j in range(size):
            rows = range(i * height // size, -(-(i + 1) * height // size))
            columns = range(j * width // size, -(-(j + 1) * width // size))
            result[i, j] = np.mean([image[r, c] for r in rows for c in columns], axis=0)
    return result


@pytest.mark.parametrize("sides", [(6, 6), (12, 6), (13, 13), (7, 11), (1, 1), (2, 9)])
def test_adaptive_pool_pixel_by_pixel(sides, rng):
    image = rng.normal(size=(1, *sides, 3)).astype("float32")
    ours = adaptive_average_pool(keras.ops.convert_to_tensor(image), 6, name="pool")
    np.testing.assert_allclose(ours[0], slow_adaptive(image[0], 6), rtol=1e-5, atol=1e-6)


def slow_ceil_pool(image: np.ndarray, size: int) -> np.ndarray:
    """Take the maximum of windows that start at every second pixel, the last ones cut off, if they may be."""
    sides = [-(-(side - size) // 2) + 1 for side in image.shape[:2]]
    return np.array(
        [
            [image[2 * i : 2 * i + size, 2 * j : 2 * j + size].max((0, 1)) for j in range(sides[1])]
            for i in range(sides[0])
        ]
    )


@pytest.mark.parametrize("sides", [(8, 8), (7, 8), (9, 5), (3, 4), (112, 57)])
@pytest.mark.parametrize("size", [2, 3])
def test_pool_with_a_last_partial_window(sides, size, rng):
    image = np.abs(rng.normal(size=(1, *sides, 2))).astype("float32")
    ours = ceil_max_pool(keras.ops.convert_to_tensor(image), size, name="pool")
    np.testing.assert_array_equal(ours[0], slow_ceil_pool(image[0], size))
