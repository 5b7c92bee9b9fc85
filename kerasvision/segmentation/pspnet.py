"""PSPNet: the means of a map over regions of four sizes, next to the map itself.

Zhao et al., Pyramid scene parsing network, 2017, https://arxiv.org/abs/1612.01105
"""

from collections.abc import Sequence

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models.operations import adaptive_average_pool
from kerasvision.segmentation.building import AUXILIARY, HEAD, LOGITS
from kerasvision.segmentation.decoding import (
    convolve,
    enlarge,
    image_size,
    is_separable,
    score,
    whole_maps,
)

BINS = (1, 2, 3, 6)


def pspnet(
    backbone: keras.Model,
    classes: int,
    *,
    output_stride: int = 8,
    bins: Sequence[int] = BINS,
    filters: int = 512,
    auxiliary_filters: int = 256,
    separable: bool | None = None,
    dropout: float = 0.1,
):
    """Lay out PSPNet.

    Regions that do not divide a map overlap by a place, as torch's adaptive pooling has them.

    Args:
        backbone: flat model from `image` to its last feature maps, with maps at strides 16 and 32.
        classes: number of classes.
        output_stride: pixels of the image for a place of the deepest map: 8, 16 or 32 (quickest).
        bins: regions along each side, for each scale.
        filters: of the last convolution.
        auxiliary_filters: of the head on the map before the last stage, which only training uses.
        separable: depthwise and 1x1 convolutions in place of full ones; default: if the backbone has some.
        dropout: before the scores.

    Returns:
        `logits` and `auxiliary_1`, (b, h, w, classes) each.
    """
    bins = tuple(bins)
    if not bins or not all(isinstance(count, int) and count > 0 for count in bins):
        raise KerasvisionError(f"`bins` must be numbers of regions, such as {BINS}. Received: {bins}.")
    separable = is_separable(backbone) if separable is None else separable
    maps, size = whole_maps(backbone, (4, 5), output_stride), image_size(backbone)
    x = regions(maps["P5"], bins)
    x = convolve(x, filters, 3, name="join", separable=separable)
    x = layers.Dropout(dropout, name=f"{HEAD}dropout")(x)
    y = convolve(maps["P4"], auxiliary_filters, 3, name="auxiliary", separable=separable)
    y = layers.Dropout(dropout, name=f"{HEAD}auxiliary_dropout")(y)
    return {LOGITS: score(x, classes, size), f"{AUXILIARY}1": score(y, classes, size, name="auxiliary_score")}


def regions(x, bins: Sequence[int]):
    """Join a map with its means over regions, (b, h, w, c) -> (b, h, w, 2c): each has a share of channels."""
    share = max(1, x.shape[-1] // len(bins))
    scales = [x]
    for count in bins:
        mean = adaptive_average_pool(x, count, name=f"{HEAD}regions_{count}")
        mean = convolve(mean, share, 1, name=f"regions_{count}")
        scales.append(enlarge(mean, x.shape[1:3], name=f"regions_{count}_up"))
    return layers.Concatenate(name=f"{HEAD}regions")(scales)
