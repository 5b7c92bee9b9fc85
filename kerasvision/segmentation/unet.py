"""U-Net: a network that narrows, one that widens again, and maps handed across at each size.

Ronneberger et al., U-Net, 2015, https://arxiv.org/abs/1505.04597; here on any backbone, with padding and
BatchNorm, so that the map has the size of the image.
"""

from collections.abc import Sequence

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models import feature_pyramid

FILTERS = (256, 128, 64, 32, 16)  # at strides 16, 8, 4, 2 and 1


def unet(backbone: keras.Model, classes: int, *, filters: Sequence[int] = FILTERS):
    """Lay out a U-Net.

    Args:
        backbone: flat model from `image` to its last feature maps, which has maps at strides 4 to 32; one at
            stride 2 is used where there is one.
        classes: number of classes.
        filters: of the two convolutions at strides 16, 8, 4, 2 and 1.

    Returns:
        Logits (b, h, w, classes).
    """
    filters = tuple(filters)
    if len(filters) != len(FILTERS) or not all(isinstance(n, int) and n > 0 for n in filters):
        raise KerasvisionError(
            f"`filters` must be {len(FILTERS)} numbers of filters, from stride 16 to stride 1. "
            f"Received: {filters}."
        )
    try:
        maps = dict(feature_pyramid(backbone, range(1, 6)).output)
    except ValueError:
        maps = dict(feature_pyramid(backbone, range(2, 6)).output)
    x = maps["P5"]
    for level, width in zip((4, 3, 2, 1, 0), filters, strict=True):
        x = layers.UpSampling2D(2, name=f"head_up_{level}")(x)
        if f"P{level}" in maps:
            x = layers.Concatenate(name=f"head_skip_{level}")([x, maps[f"P{level}"]])
        for number in (1, 2):
            x = _convolve(x, width, name=f"head_decode_{level}_{number}")
    return layers.Conv2D(classes, 1, name="head_score")(x)


def _convolve(x, filters: int, *, name: str):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
