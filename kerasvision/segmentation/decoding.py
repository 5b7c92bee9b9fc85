"""What the heads of several segmenters share: convolutions with BatchNorm, enlarging, maps of a backbone."""

from collections.abc import Sequence

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models import feature_pyramid
from kerasvision.models.dilation import STRIDES, dilate
from kerasvision.segmentation.building import HEAD


def convolve(x, filters: int, size: int = 3, *, name: str, dilation: int = 1, separable: bool = False):
    """Convolve, normalise and cut off below 0: (b, h, w, c) -> (b, h, w, filters).

    Args:
        x: feature map.
        filters: number of channels of the result.
        size: side of the kernel.
        name: of the layers, `head_{name}_conv`, `…_bn`, `…_relu`.
        dilation: how far apart the pixels are that the kernel sees.
        separable: a depthwise convolution, normalised too, and a 1x1 convolution, instead of one.
    """
    name = f"{HEAD}{name}"
    if separable and size > 1:
        depthwise = layers.DepthwiseConv2D(
            size, padding="same", dilation_rate=dilation, use_bias=False, name=f"{name}_depthwise"
        )
        x = normalize(depthwise(x), name=f"{name}_depthwise")
        size, dilation = 1, 1
    x = layers.Conv2D(
        filters, size, padding="same", dilation_rate=dilation, use_bias=False, name=f"{name}_conv"
    )(x)
    return normalize(x, name=name)


def normalize(x, *, name: str):
    """Normalise a map and cut it off below 0, by layers `{name}_bn` and `{name}_relu`.

    The momentum is torch's, as in the other networks here: short trainings are judged by the averages too.
    """
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def enlarge(x, size: tuple[int, int], *, name: str):
    """Bring a map to (height, width) by bilinear interpolation; as it is where it has that size."""
    sides = tuple(x.shape[1:3])
    if sides == tuple(size):
        return x
    name = f"{HEAD}{name}"
    if all(wanted % side == 0 for wanted, side in zip(size, sides, strict=True)):
        factors = tuple(wanted // side for wanted, side in zip(size, sides, strict=True))
        # One place is the same everywhere, whatever the interpolation.
        kind = "nearest" if sides == (1, 1) else "bilinear"
        return layers.UpSampling2D(factors, interpolation=kind, name=name)(x)
    return layers.Resizing(*size, interpolation="bilinear", name=name)(x)


def score(x, classes: int, size: tuple[int, int], *, name: str = "score"):
    """Return the logits of a map at the size of the image: (b, h, w, c) -> (b, *size, classes).

    The scores are enlarged, not the map: both are linear over places, so the result is the same.
    """
    x = layers.Conv2D(classes, 1, name=f"{HEAD}{name}")(x)
    return enlarge(x, size, name=f"{name}_up")


def image_size(backbone: keras.Model) -> tuple[int, int]:
    """Return (height, width) of the images that a backbone takes."""
    return tuple(backbone.inputs[0].shape[1:3])


def is_separable(backbone: keras.Model) -> bool:
    """Tell whether a backbone is made of depthwise convolutions, as networks for phones are."""
    return any(isinstance(layer, layers.DepthwiseConv2D) for layer in backbone.layers)


def whole_maps(backbone: keras.Model, levels: Sequence[int], output_stride: int = 32) -> dict:
    """Return feature maps of a backbone, `{"P2": …}`, no coarser than `output_stride`.

    Networks with convolutions that are not padded (the Inceptions) lose rows and columns at all borders; they
    get zeros there instead, so that maps lie over each other.

    Raises:
        KerasvisionError: another `output_stride` than 4, 8, 16 or 32, or a layer that cannot be spread.
    """
    if output_stride not in STRIDES:
        raise KerasvisionError(f"`output_stride` must be one of {STRIDES}. Received: {output_stride!r}.")
    pyramid = feature_pyramid(backbone, levels)
    maps = dict((dilate(pyramid, output_stride) if 2 ** max(levels) > output_stride else pyramid).output)
    for level, key in zip(levels, maps, strict=True):
        stride = min(2**level, output_stride)
        sides = zip(image_size(backbone), maps[key].shape[1:3], strict=True)
        lost = [max(side // stride - there, 0) for side, there in sides]
        if any(lost):
            border = tuple((one // 2, one - one // 2) for one in lost)
            maps[key] = layers.ZeroPadding2D(border, name=f"{HEAD}border_{level}")(maps[key])
    return maps
