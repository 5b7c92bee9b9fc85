"""DeepLabV3+: atrous spatial pyramid pooling on a dilated backbone, and a decoder with finer maps.

Chen et al., Encoder-decoder with atrous separable convolution for semantic image segmentation, 2018,
https://arxiv.org/abs/1802.02611; the pyramid pooling is that of Chen et al., Rethinking atrous convolution,
2017, https://arxiv.org/abs/1706.05587. keras-cv's network is one form of it: `decoder="keras_cv"`.
"""

from collections.abc import Sequence

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.segmentation.building import HEAD
from kerasvision.segmentation.decoding import (
    convolve,
    enlarge,
    image_size,
    is_separable,
    score,
    whole_maps,
)

RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36), 4: (24, 48, 72)}
DECODERS = ("paper", "keras_cv")


def deeplab_v3_plus(
    backbone: keras.Model,
    classes: int,
    *,
    output_stride: int = 16,
    rates: Sequence[int] | None = None,
    filters: int = 256,
    low_level_filters: int = 48,
    separable: bool | None = None,
    decoder: str = "paper",
    dropout: float = 0.1,
):
    """Lay out DeepLabV3+.

    Args:
        backbone: flat model from `image` to its last feature maps, with maps at strides 4 and 32.
        classes: number of classes.
        output_stride: pixels of the image for a place of the deepest map: 32 (quickest), 16 or 8.
        rates: dilations of the pyramid's convolutions; default: those of the paper, 6, 12 and 18 at stride
            16, and as many pixels at others.
        filters: of every convolution after the backbone.
        low_level_filters: of the map at stride 4, before it is joined.
        separable: depthwise and 1x1 convolutions in place of full ones; default: if the backbone has some.
        decoder: `"paper"`: two 3x3 convolutions over the joined maps; `"keras_cv"`: one 1x1 convolution.
        dropout: after the pyramid.

    Returns:
        Logits (b, h, w, classes).

    With `decoder="keras_cv", separable=False, output_stride=32, rates=(6, 12, 18), dropout=0` it is the
    network of keras_cv.models.DeepLabV3Plus, but for biases of the last layer and the softmax.
    """
    if decoder not in DECODERS:
        raise KerasvisionError(f"`decoder` must be one of {DECODERS}. Received: {decoder!r}.")
    separable = is_separable(backbone) if separable is None else separable
    maps = whole_maps(backbone, (2, 5), output_stride)
    rates = RATES[output_stride] if rates is None else tuple(rates)
    x = pyramid_pooling(maps["P5"], filters, rates, separable=separable, dropout=dropout)
    low = convolve(maps["P2"], low_level_filters, 1, name="low_level")
    x = enlarge(x, low.shape[1:3], name="aspp_up")
    x = layers.Concatenate(name=f"{HEAD}join")([x, low])
    if decoder == "keras_cv":
        x = convolve(x, filters, 1, name="decode_1")
    else:
        for number in (1, 2):
            x = convolve(x, filters, 3, name=f"decode_{number}", separable=separable)
    return score(x, classes, image_size(backbone))


def pyramid_pooling(x, filters: int, rates: Sequence[int], *, separable: bool, dropout: float):
    """Look at a map at several scales: 1x1, 3x3 at each of `rates`, and the mean of the whole map.

    Args:
        x: (b, h, w, c).
        filters: channels of each scale, and of the result.
        rates: dilations.
        separable: as for `deeplab_v3_plus`.
        dropout: at the end.

    Returns:
        (b, h, w, filters).
    """
    scales = [convolve(x, filters, 1, name="aspp_0")]
    for number, rate in enumerate(rates, 1):
        scales.append(convolve(x, filters, 3, name=f"aspp_{number}", dilation=rate, separable=separable))
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{HEAD}aspp_mean")(x)
    mean = convolve(mean, filters, 1, name="aspp_mean")
    scales.append(enlarge(mean, x.shape[1:3], name="aspp_mean_up"))
    x = layers.Concatenate(name=f"{HEAD}aspp_join")(scales)
    x = convolve(x, filters, 1, name="aspp_project")
    return layers.Dropout(dropout, name=f"{HEAD}aspp_dropout")(x)
