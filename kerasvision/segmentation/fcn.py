"""FCN-32s, FCN-16s and FCN-8s: the scores of coarse maps, brought up and added to those of finer ones.

Long et al., Fully convolutional networks for semantic segmentation, 2015, section 4,
https://arxiv.org/abs/1411.4038
"""

import keras
import numpy as np
from keras import layers

from kerasvision.models import feature_pyramid


def fcn(backbone: keras.Model, classes: int, *, stride: int):
    """Lay out an FCN.

    Scores of stride 32 are doubled in size by a convolution that begins as bilinear interpolation, those of
    the next finer map, which begin at zero, are added, and so on down to `stride`; from there on the
    interpolation is fixed, as in the paper.

    Args:
        backbone: flat model from `image` to its last feature maps.
        classes: number of classes.
        stride: 32, 16 or 8.

    Returns:
        Logits (b, h, w, classes).
    """
    finest = stride.bit_length() - 1
    maps = feature_pyramid(backbone, range(finest, 6)).output
    x = layers.Conv2D(classes, 1, name="head_score_5")(maps["P5"])
    for level in range(4, finest - 1, -1):
        skip = layers.Conv2D(classes, 1, kernel_initializer="zeros", name=f"head_score_{level}")
        x = layers.Add(name=f"head_fuse_{level}")(
            [upsample(x, 2, name=f"head_up_{level}"), skip(maps[f"P{level}"])]
        )
    return upsample(x, stride, name="head_up_image", trainable=False)


def upsample(x, factor: int, *, name: str, trainable: bool = True):
    """Enlarge (b, h, w, c) by a transposed convolution that begins as bilinear interpolation."""
    channels = x.shape[-1]
    layer = layers.Conv2DTranspose(
        channels, 2 * factor, strides=factor, padding="same", use_bias=False, trainable=trainable, name=name
    )
    y = layer(x)
    layer.set_weights([bilinear_kernel(factor, channels)])
    return y


def bilinear_kernel(factor: int, channels: int) -> np.ndarray:
    """Return the kernel of a transposed convolution of stride `factor` that interpolates each channel.

    Returns:
        (2 * factor, 2 * factor, channels, channels) float32, for an even factor.

    >>> bilinear_kernel(2, 1)[..., 0, 0].sum(0).tolist()
    [0.5, 1.5, 1.5, 0.5]
    """
    middle = factor - 0.5
    line = 1 - np.abs(np.arange(2 * factor) - middle) / factor
    kernel = np.zeros((2 * factor, 2 * factor, channels, channels), np.float32)
    kernel[..., np.arange(channels), np.arange(channels)] = np.outer(line, line)[..., None]
    return kernel
