"""FRRN: a stream at the size of the image that is only added to, beside one that is pooled and recognises.

Pohlen et al., Full-resolution residual networks for semantic segmentation in street scenes, 2017,
https://arxiv.org/abs/1611.08323, table 1. Where the table leaves a choice, layers are those of the authors'
code, https://github.com/TobyPDE/FRRN: no ReLU where the streams part; the first residual unit after they meet
brings the channels back by a projection; units repeat places to come back to the size of the image, while the
pooled stream itself is enlarged by bilinear interpolation.
"""

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.segmentation.building import HEAD
from kerasvision.segmentation.decoding import convolve, enlarge

# (pooling, number of units, their channels as a multiple of `filters`), from one unit to the next.
STAGES = {
    "a": ((2, 3, 2), (4, 4, 4), (8, 2, 8), (16, 2, 8), (8, 2, 4), (4, 2, 4), (2, 2, 2)),
    "b": (
        *((2, 3, 2), (4, 4, 4), (8, 2, 8), (16, 2, 8), (32, 2, 8)),
        *((16, 2, 4), (8, 2, 4), (4, 2, 4), (2, 2, 2)),
    ),
}
UNITS = 3  # residual units before the streams part, and after they meet


def frrn(
    pixels: keras.Model,
    classes: int,
    *,
    form: str,
    filters: int = 48,
    residual_filters: int = 32,
):
    """Lay out a full-resolution residual network.

    Args:
        pixels: model from `image` to its preprocessed pixels, with sides that the poolings divide.
        classes: number of classes.
        form: `"a"` or `"b"`.
        filters: channels at the image's size; two, four and eight times as many where it is pooled.
        residual_filters: channels of the stream that keeps the image's size.

    Returns:
        Logits (b, h, w, classes).
    """
    for option, number in (("filters", filters), ("residual_filters", residual_filters)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise KerasvisionError(f"`{option}` must be a whole number from 1. Received: {number!r}.")
    x = convolve(pixels.outputs[0], filters, 5, name="stem")
    for number in range(1, UNITS + 1):
        x = residual_unit(x, filters, name=f"before_{number}")
    stream = _normalized(x, residual_filters, 1, name=f"{HEAD}part")
    before = 1
    for number, (pooling, units, width) in enumerate(STAGES[form], 1):
        name = f"stage_{number}"
        x = _brought_to(x, before, pooling, name=name)
        for unit in range(1, units + 1):
            x, stream = full_resolution_unit(x, stream, width * filters, pooling, name=f"{name}_{unit}")
        before = pooling
    x = _brought_to(x, before, 1, name="meet")
    x = layers.Concatenate(name=f"{HEAD}meet")([x, stream])
    for number in range(1, UNITS + 1):
        x = residual_unit(x, filters, name=f"after_{number}")
    return layers.Conv2D(classes, 1, name=f"{HEAD}score")(x)


def residual_unit(x, filters: int, *, name: str):
    """Add two convolutions to a map, or to its projection: (b, h, w, c) -> (b, h, w, filters)."""
    y = convolve(x, filters, 3, name=f"{name}_1")
    y = _normalized(y, filters, 3, name=f"{HEAD}{name}_2")
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"{HEAD}{name}_0_conv")(x)
    return layers.Add(name=f"{HEAD}{name}_add")([x, y])


def full_resolution_unit(x, stream, filters: int, pooling: int, *, name: str):
    """Take the full-resolution stream into account, and add to it (the paper's figure 2b).

    Args:
        x: of the pooled stream, (b, h, w, c).
        stream: (b, pooling * h, pooling * w, r).
        filters: channels of the result.
        pooling: how many times smaller the pooled stream is.
        name: of the layers.

    Returns:
        Both streams, (b, h, w, filters) and (b, pooling * h, pooling * w, r).
    """
    pooled = layers.MaxPooling2D(pooling, name=f"{HEAD}{name}_pool")(stream)
    x = layers.Concatenate(name=f"{HEAD}{name}_join")([x, pooled])
    for number in (1, 2):
        x = convolve(x, filters, 3, name=f"{name}_{number}")
    more = layers.Conv2D(stream.shape[-1], 1, name=f"{HEAD}{name}_more")(x)
    more = layers.UpSampling2D(pooling, name=f"{HEAD}{name}_up")(more)
    return x, layers.Add(name=f"{HEAD}{name}_add")([stream, more])


def _brought_to(x, before: int, pooling: int, *, name: str):
    """Halve the sides of the pooled stream, or double them."""
    if pooling > before:
        return layers.MaxPooling2D(pooling // before, name=f"{HEAD}{name}_pool")(x)
    factor = before // pooling
    return enlarge(x, tuple(factor * side for side in x.shape[1:3]), name=f"{name}_up")


def _normalized(x, filters: int, size: int, *, name: str):
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
