"""Resizing, and the value that is saved with a model."""

import json

import numpy as np
import pytest

from kerasvision.data import Preprocessing
from kerasvision.errors import DataError


def slow_bilinear(pixels: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Resize along one axis with a triangle as wide as a step, by the definition."""
    old = pixels.shape[axis]
    scale = old / size
    reach = max(scale, 1.0)
    rows = []
    for i in range(size):
        centre = (i + 0.5) * scale
        weights = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centre) / reach)
        rows.append(np.tensordot(weights / weights.sum(), pixels, (0, axis)))
    return np.stack(rows, axis)


@pytest.mark.parametrize("size", [(16, 20), (48, 64), (60, 100), (31, 33)])
def test_stretch_is_antialiased_bilinear(size, photo):
    pixels = photo(48, 64)
    expected = slow_bilinear(slow_bilinear(pixels.astype(float), size[0], 0), size[1], 1)
    np.testing.assert_allclose(Preprocessing(size).read(pixels), expected, atol=1.01)


def test_crop_takes_the_middle(photo):
    pixels = photo(40, 80)
    np.testing.assert_array_equal(Preprocessing(40, "crop").read(pixels), pixels[:, 20:60])
    tall = photo(80, 40)
    np.testing.assert_array_equal(Preprocessing(40, "crop").read(tall), tall[20:60])


def test_pad_shows_all_between_black(photo):
    pixels = np.maximum(photo(40, 80), 1)
    padded = Preprocessing(80, "pad").read(pixels)
    np.testing.assert_array_equal(padded[20:60], pixels)
    assert not padded[:20].any() and not padded[60:].any()


def test_no_change_at_the_same_size(photo):
    np.testing.assert_array_equal(Preprocessing((48, 64)).read(photo()), photo())


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 7)])
def test_extreme_proportions(resize, shape):
    pixels = np.full((*shape, 3), 77, np.uint8)
    read = Preprocessing((16, 24), resize).read(pixels)
    assert read.shape == (16, 24, 3) and read.dtype == np.uint8
    assert (read == 77).any()


def test_to_dict_and_back():
    value = Preprocessing((120, 160), "pad")
    assert Preprocessing.from_dict(json.loads(json.dumps(value.to_dict()))) == value
    assert Preprocessing(96).image_size == (96, 96)
    assert hash(value) == hash(Preprocessing((120, 160), "pad"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "`image_size` must be one number.*Received: 0"),
        ({"image_size": "224"}, "Received: '224'"),
        ({"image_size": (224, 224, 3)}, r"Received: \(224, 224, 3\)"),
        ({"image_size": 22.5}, "Received: 22.5"),
        ({"image_size": 100_000}, "from 8 to 4096"),
        ({"image_size": 64, "resize": "fit"}, '`resize` must be "stretch", "crop" or "pad".*fit'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        Preprocessing(**arguments)


def test_from_dict_of_something_else():
    with pytest.raises(DataError, match="takes the keys image_size and resize"):
        Preprocessing.from_dict({"image_size": [3, 4], "mean": 0})
