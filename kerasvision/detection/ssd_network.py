"""The layers of SSD: its VGG-16, the extra feature maps, and what predicts boxes on each of them.

Liu et al. 2016, https://arxiv.org/abs/1512.02325, figure 2 and section 3.1. The light form, with separable
convolutions and BatchNorm, is SSDLite of Sandler et al. 2018, https://arxiv.org/abs/1801.04381, section 6.2.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import initializers, layers

from kerasvision.detection.anchors import SMALLEST, ssd_ratios, ssd_scales
from kerasvision.detection.ssd import SSDHead
from kerasvision.errors import KerasvisionError
from kerasvision.models import feature_pyramid, graph

NORM_SCALE = 20.0  # of conv4_3, whose activations are larger than those of later layers: section 3.1
# Channels of the 1x1 and of the 3x3 convolution of the extra maps: the first one, and those after it.
FIRST_EXTRA, LATER_EXTRA = (256, 512), (128, 256)
LEVELS = (3, 4, 5)

# torch's momentum, 0.1, as in the other networks here: short trainings are judged by the averages too.
batchnorm = partial(layers.BatchNormalization, momentum=0.9, epsilon=1e-5)


def ssd(
    backbone: keras.Model,
    classes: int,
    *,
    most: int,
    smallest: float = SMALLEST,
    first: float | None = None,
    taps: Sequence[int] = LEVELS,
    scales: Sequence[float] | None = None,
    light: bool | None = None,
    negatives: float = 3.0,
    least_negatives: int = 0,
):
    """Lay out SSD.

    VGG-16 is changed as in the paper: pooling rounds up, pool5 keeps the size, fc6 and fc7 become dilated
    convolutions (with new weights), and conv4_3 is normalised. Any other backbone gives its maps at strides
    8, 16 and 32, which have the sizes of the paper's first three. Smaller maps follow, down to a width of 1.

    Args:
        backbone: flat model from `image` to its last feature maps.
        classes: number of classes, without the background.
        most: number of feature maps, where the image is large enough for so many: 6 for SSD300, 7 for SSD512.
        smallest: scale of the default boxes of the second map, as a share of the image.
        first: that of the first map.
        taps: levels of the backbone to start from, for all but VGG; SSDLite of the paper has (4, 5).
        scales: of the default boxes of each map, and one more, instead of those of the paper.
        light: separable convolutions after the backbone; default: if the backbone has some.
        negatives: how many hard negatives there are for each match.
        least_negatives: and at least so many an image; 0 as in the paper, so that images without boxes teach
            nothing.

    Returns:
        Raw outputs of each map, and the `SSDHead`.

    Raises:
        KerasvisionError: the image is too small, or `scales` does not fit.
    """
    light = _has(backbone, layers.DepthwiseConv2D) if light is None else light
    plain = not _has(backbone, layers.BatchNormalization)
    maps = vgg_maps(backbone) if is_vgg(backbone) else list(feature_pyramid(backbone, taps).output.values())
    maps = extra_maps(maps, most, plain=plain, light=light)
    if len(maps) < 2:
        raise KerasvisionError(
            f"`image_size` must give two feature maps at least. Received: {backbone.inputs[0].shape[1:3]}. "
            "Use images of 64 pixels or more."
        )
    ratios = ssd_ratios(len(maps))
    head = SSDHead(
        classes,
        tuple(backbone.inputs[0].shape[1:3]),
        tuple(tuple(x.shape[1:3]) for x in maps),
        _scales(scales, len(maps), smallest, first),
        ratios,
        negatives=float(negatives),
        least_negatives=int(least_negatives),
    )
    return predictions(maps, [len(shapes) + 1 for shapes in ratios], classes, light=light), head


def is_vgg(backbone: keras.Model) -> bool:
    """Tell whether a backbone is a VGG, by the names of its pooling layers."""
    pools = {layer.name for layer in backbone.layers if isinstance(layer, layers.MaxPooling2D)}
    return pools == {f"block{block}_pool" for block in range(1, 6)}


def vgg_maps(backbone: keras.Model) -> list:
    """Return conv4_3, normalised to a length of 20, and fc7 of a VGG as SSD has it.

    Pooling rounds up (38, not 37, for 300 pixels), pool5 keeps the size, and fc6 and fc7 are convolutions,
    the first one dilated by 6. All other layers are shared with `backbone`.
    """
    taps = {}

    def call(operation, args, kwargs, node):
        if isinstance(operation, layers.MaxPooling2D):
            taps[operation.name] = args[0]
            last = {"pool_size": 3, "strides": 1} if operation.name == "block5_pool" else {}
            operation = graph.copy_layer(operation, padding="same", **last)
        return operation(*args, **kwargs)

    source = graph.functional(backbone)
    tensors = graph.replay(backbone, {id(source.inputs[0]): source.inputs[0]}, call)
    x = tensors[id(source.outputs[0])]
    x = layers.Conv2D(1024, 3, padding="same", dilation_rate=6, activation="relu", name="fc6")(x)
    x = layers.Conv2D(1024, 1, activation="relu", name="fc7")(x)
    return [normalized(taps["block4_pool"], name="block4_norm"), x]


def normalized(x, *, name: str):
    """Scale the channels at each place to a length that is learnt, 20 at first: (b, h, w, c) -> the same.

    float32 also under mixed precision: the squares of VGG's activations overflow in float16.
    """
    x = layers.UnitNormalization(dtype="float32", name=name)(x)
    scale = initializers.Constant(NORM_SCALE)
    return layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=scale, name=f"{name}_scale")(x)


def extra_maps(maps: Sequence, most: int, *, plain: bool, light: bool) -> list:
    """Return `maps` and smaller ones made from the last, until there are `most` or one is 1 wide.

    A map of 3 or 5 becomes one of 1 or 3 by a convolution without padding, a larger one half as large:
    19, 10, 5, 3, 1 and 32, 16, 8, 4, 2, 1, as in the paper.

    Args:
        maps: (batch, rows, columns, channels) each.
        most: how many maps there are at most.
        plain: without BatchNorm, as in the paper.
        light: with separable convolutions.
    """
    maps = list(maps)
    first = len(maps)
    while len(maps) < most and min(maps[-1].shape[1:3]) > 1:
        narrow, wide = FIRST_EXTRA if len(maps) == first else LATER_EXTRA
        name = f"extra{len(maps) - first + 1}"
        x = _convolve(maps[-1], narrow, 1, 1, plain=plain, light=False, name=f"{name}_1")
        maps.append(_shrink(x, wide, plain=plain, light=light, name=f"{name}_2"))
    return maps[:most]


def predictions(maps: Sequence, counts: Sequence[int], classes: int, *, light: bool) -> dict:
    """Return `box_n` and `class_n` of each map n, from 1: convolutions with 4 k and (classes + 1) k filters.

    Args:
        maps: feature maps.
        counts: k of each, the number of default boxes at a place.
        classes: number of classes, without the background.
        light: with separable convolutions.
    """
    outputs = {}
    for level, (x, count) in enumerate(zip(maps, counts, strict=True), 1):
        for kind, channels in (("box", 4), ("class", classes + 1)):
            name, feature, size = f"{kind}_{level}", x, 3
            if light:
                feature, size = _depthwise(x, 1, name=f"{name}_depthwise"), 1
            convolution = layers.Conv2D(count * channels, size, padding="same", name=f"{name}_conv")
            outputs[name] = convolution(feature)
    return outputs


def _has(backbone: keras.Model, kind: type) -> bool:
    return any(isinstance(layer, kind) for layer in backbone.layers)


def _scales(scales, levels: int, smallest: float, first: float | None) -> tuple[float, ...]:
    if scales is None:
        return ssd_scales(levels, smallest=smallest, first=first)
    scales = tuple(float(scale) for scale in scales)
    if len(scales) != levels + 1 or min(scales) <= 0:
        raise KerasvisionError(
            f"`scales` must be {levels + 1} positive shares of the image: one for each of {levels} feature "
            f"maps and one more. Received: {scales}."
        )
    return scales


def _shrink(x, filters: int, *, plain: bool, light: bool, name: str):
    side = min(x.shape[1:3])
    if side in (3, 5):
        return _convolve(x, filters, 3, 1, plain=plain, light=light, name=name, padding="valid")
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    # The last map of SSD512 is made from 2 x 2 by a kernel of 4.
    size, stride = (4, 1) if side == 2 else (3, 2)
    return _convolve(x, filters, size, stride, plain=plain, light=light, name=name, padding="valid")


def _convolve(x, filters, size, stride, *, plain, light, name, padding="same"):
    if light:
        x = _depthwise(x, stride, size=size, padding=padding, name=f"{name}_depthwise")
        size, stride = 1, 1
    x = layers.Conv2D(filters, size, strides=stride, padding=padding, use_bias=plain, name=f"{name}_conv")(x)
    if not plain:
        x = batchnorm(name=f"{name}_bn")(x)
    return layers.ReLU(6.0 if light else None, name=f"{name}_relu")(x)


def _depthwise(x, stride: int, *, name: str, size: int = 3, padding: str = "same"):
    x = layers.DepthwiseConv2D(size, strides=stride, padding=padding, use_bias=False, name=name)(x)
    x = batchnorm(name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
