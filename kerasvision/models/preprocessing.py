"""From raw RGB in [0, 255] to what a network expects, as layers, so that it is in every exported file."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

LAYER = "preprocess"

# mode -> per-channel scale and offset in RGB order: pixel * scale + offset
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
MODES = {
    "included": None,
    "zero_one": (1 / 255, 0.0),
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / 255 / deviation for deviation in IMAGENET_DEVIATION],
        [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
    ),
    "caffe": (1.0, [-123.68, -116.779, -103.939]),
}


@dataclass(frozen=True)
class Normalization:
    """Numbers that weights were trained with, where they are none of `MODES`.

    Attributes:
        mean, deviation: of each channel (R, G, B), for pixels in [0, 1].
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def mode_of(mean: Sequence[float], deviation: Sequence[float]) -> str | Normalization:
    """Return the mode that subtracts this mean and divides by this deviation, for pixels in [0, 1].

    Raises:
        ValueError: these are not three finite numbers each, or a deviation is not positive.
    """
    numbers = Normalization(tuple(map(float, mean)), tuple(map(float, deviation)))
    if len(numbers.mean) != 3 or len(numbers.deviation) != 3 or not np.all(np.isfinite([mean, deviation])):
        raise ValueError(f"a mean of {list(mean)} and a deviation of {list(deviation)}")
    if min(numbers.deviation) <= 0:
        raise ValueError(f"a deviation of {list(deviation)}")
    return next((mode for mode in ("torch", "tf", "zero_one") if _same(mode, numbers)), numbers)


def mode_in(model: keras.Model) -> str | Normalization | None:
    """Return the mode that a model's layer `preprocess` stands for, or `None` if it has no such layer."""
    layer = next((layer for layer in model.layers if layer.name == LAYER), None)
    if not isinstance(layer, layers.Rescaling):
        return None
    return mode_of_scaling(layer.scale, layer.offset)


def agree(first: str | Normalization, second: str | Normalization) -> bool:
    """Tell whether two modes do the same; numbers may differ by rounding."""
    if "included" in (first, second):
        return first == second
    return _close(_scaling(first), _scaling(second))


def mode_of_scaling(scale, offset) -> str | Normalization:
    """Return the mode that multiplies raw pixels with `scale` and adds `offset`."""
    scale, offset = (np.broadcast_to(np.asarray(value, "float64"), 3) for value in (scale, offset))
    for mode, numbers in MODES.items():
        if numbers is not None and _close((scale, offset), numbers):
            return mode
    return Normalization(tuple((-offset / (255 * scale)).tolist()), tuple((1 / (255 * scale)).tolist()))


def _same(mode: str, numbers: Normalization) -> bool:
    return _close(_scaling(numbers), MODES[mode])


def _close(first, second) -> bool:
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(first, second, strict=True))


def _scaling(mode: str | Normalization) -> tuple:
    if not isinstance(mode, Normalization):
        return MODES[mode]
    scale = [1 / 255 / deviation for deviation in mode.deviation]
    return scale, [-mean / deviation for mean, deviation in zip(mode.mean, mode.deviation, strict=True)]


def preprocess(image, mode: str | Normalization):
    """Add the preprocessing layers of a mode of `ModelEntry.preprocessing` to a tensor of raw RGB pixels.

    Args:
        image: (batch, height, width, 3), raw RGB in [0, 255].
        mode: one of `MODES`, or the numbers.

    Raises:
        ValueError: the mode is unknown.
    """
    if not isinstance(mode, Normalization) and mode not in MODES:
        raise ValueError(f"`preprocessing` must be one of {', '.join(map(repr, MODES))}. Received: {mode!r}.")
    if mode == "included":
        return image
    scale, offset = _scaling(mode)
    # float32 also under mixed precision: 255 steps of brightness do not fit bfloat16 after the scaling.
    x = layers.Rescaling(scale, offset, dtype="float32", name=LAYER)(image)
    if mode == "caffe":
        # RGB -> BGR by a gather: a built-in operation in TFLite (also int8) and ONNX, and no custom object.
        x = keras.ops.take(x, [2, 1, 0], axis=-1)
    return x
