"""The networks of FaceNet: NN1, after Zeiler and Fergus with 1x1 convolutions, and NN2, of inception modules.

Schroff, Kalenichenko and Philbin, FaceNet: a unified embedding for face recognition and clustering, CVPR
2015, https://arxiv.org/abs/1503.03832, tables 1 and 2. Both take 220 to 224 pixels; the paper says neither
how local responses are normalised (here: as in AlexNet) nor how pixels are scaled (here: to [-1, 1]).
"""

import os
from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers, ops

from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.googlenet import normalized_conv, plain_conv
from kerasvision.models.operations import local_response_normalization

# Table 1: name -> filters and side of the kernel
NN1_CONVOLUTIONS = {
    "conv3a": (192, 1),
    "conv3": (384, 3),
    "pool3": None,
    "conv4a": (384, 1),
    "conv4": (256, 3),
    "conv5a": (256, 1),
    "conv5": (256, 3),
    "conv6a": (256, 1),
    "conv6": (256, 3),
    "pool4": None,
}


@dataclass(frozen=True)
class _Module:
    """A row of table 2: filters of its branches; (before, filters) for 3x3 and 5x5; 0 where it has none."""

    one: int
    three: tuple[int, int]
    five: tuple[int, int]
    pooling: Literal["max", "l2"]
    projected: int
    strides: int = 1


NN2_MODULES = {
    "3a": _Module(64, (96, 128), (16, 32), "max", 32),
    "3b": _Module(64, (96, 128), (32, 64), "l2", 64),
    "3c": _Module(0, (128, 256), (32, 64), "max", 0, strides=2),
    "4a": _Module(256, (96, 192), (32, 64), "l2", 128),
    "4b": _Module(224, (112, 224), (32, 64), "l2", 128),
    "4c": _Module(192, (128, 256), (32, 64), "l2", 128),
    "4d": _Module(160, (144, 288), (32, 64), "l2", 128),
    "4e": _Module(0, (160, 256), (64, 128), "max", 0, strides=2),
    "5a": _Module(384, (192, 384), (48, 128), "l2", 128),
    "5b": _Module(384, (192, 384), (48, 128), "max", 128),
}


def FaceNetNN1(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    name: str = "facenet_nn1",
    *,
    dimensions: int = 128,
    hidden: int = 4096,
    batch_norm: bool = False,
) -> keras.Model:
    """Build NN1 of FaceNet: 140 million parameters, most of them in two maxout layers.

    Args:
        include_top: end in the embedding: `fc7128` and its scaling to length 1, `embedding`.
        weights: `None` (random), or what `kerasvision.models.load_weights` takes. There are none for
            `"imagenet"`.
        input_tensor: Keras tensor (batch, height, width, channels) to build on, pixels in [-1, 1].
        input_shape: (height, width, channels), 32 pixels at least; default (220, 220, 3).
        name: name of the model.
        dimensions: of the embedding.
        hidden: units of the maxout layers `fc1` and `fc2`.
        batch_norm: BatchNorm in the place of biases and local response normalisation, which the paper has
            not, and which trains from scratch far more easily.

    Returns:
        A flat functional model, image -> embedding (b, dimensions); without the top, the outputs of `fc2`,
        (b, hidden).

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be read, or do not fit.

    https://arxiv.org/abs/1503.03832
    """
    image = image_input(input_tensor, input_shape, include_top=True, native=220, minimum=32)
    conv, normalize = _kind(batch_norm)
    x = normalize(_pool(conv(image, 64, 7, strides=2, name="conv1"), "pool1"))
    x = conv(x, 64, 1, name="conv2a")
    x = _pool(normalize(conv(x, 192, 3, name="conv2")), "pool2")
    for key, row in NN1_CONVOLUTIONS.items():
        x = conv(x, *row, name=key) if row else _pool(x, key)
    x = layers.Flatten(name="concat")(x)
    for key in ("fc1", "fc2"):
        x = maxout(x, hidden, name=key)
    x = _embedding(x, dimensions, "fc7128") if include_top else x
    return finish(keras.Model(source_of(image, input_tensor), x, name=name), weights, download=None)


def FaceNetNN2(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    name: str = "facenet_nn2",
    *,
    dimensions: int = 128,
    batch_norm: bool = False,
) -> keras.Model:
    """Build NN2 of FaceNet: inception modules, half of which pool by the length of what is in the window.

    Args:
        include_top: end in average pooling and the embedding: `fc`, and its scaling to length 1, `embedding`.
        weights: `None` (random), or what `kerasvision.models.load_weights` takes. There are none for
            `"imagenet"`.
        input_tensor: Keras tensor (batch, height, width, channels) to build on, pixels in [-1, 1].
        input_shape: (height, width, channels), 32 pixels at least; default with the top (224, 224, 3), else
            (None, None, 3).
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        name: name of the model.
        dimensions: of the embedding.
        batch_norm: as for `FaceNetNN1`.

    Returns:
        A flat functional model, image -> embedding (b, dimensions); without the top, feature maps of 1024
        channels at stride 32, or as `pooling` says.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be read, or do not fit.

    https://arxiv.org/abs/1503.03832
    """
    image = image_input(input_tensor, input_shape, include_top=include_top, native=224, minimum=32)
    conv, normalize = _kind(batch_norm)
    x = normalize(_pool(conv(image, 64, 7, strides=2, name="conv1"), "pool1"))
    x = conv(x, 64, 1, name="inception_2_3x3_reduce")
    x = _pool(normalize(conv(x, 192, 3, name="inception_2_3x3")), "pool2")
    for key, module in NN2_MODULES.items():
        x = inception(x, module, conv=conv, name=f"inception_{key}")
    if include_top:
        x = _embedding(layers.GlobalAveragePooling2D(name="avg_pool")(x), dimensions, "fc")
    else:
        x = classification_top(x, False, pooling, 0, None)
    return finish(keras.Model(source_of(image, input_tensor), x, name=name), weights, download=None)


def inception(x, module: _Module, *, conv, name: str):
    """Add an inception module, which may halve the map and then has no 1x1 branch and no projection.

    Args:
        x: (b, h, w, c).
        module: a row of table 2.
        conv: `plain_conv` or `normalized_conv`.
        name: prefix of the names of its layers.

    Returns:
        (b, h, w, sum of the branches), or of half the sides.
    """
    branches = [conv(x, module.one, 1, name=f"{name}_1x1")] if module.one else []
    for (before, filters), size in ((module.three, 3), (module.five, 5)):
        branch = conv(x, before, 1, name=f"{name}_{size}x{size}_reduce")
        branch = conv(branch, filters, size, strides=module.strides, name=f"{name}_{size}x{size}")
        branches.append(branch)
    if module.pooling == "l2":
        pooled = l2_pool(x, name=f"{name}_pool")
    else:
        pooled = _pool(x, f"{name}_pool", strides=module.strides)
    if module.projected:
        pooled = conv(pooled, module.projected, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_output")([*branches, pooled])


def l2_pool(x, *, name: str):
    """Pool windows of 3x3 by their length, the root of the sum of squares; beyond the border it is 0.

    Args:
        x: (b, h, w, c).
        name: prefix of the name of its layer.

    Returns:
        (b, h, w, c) in the type of `x`, 1e-6 at least: there the root has a derivative.
    """
    dtype = x.dtype
    # float32 also under mixed precision: in float16 the square of 256 overflows.
    x = layers.ZeroPadding2D(1, dtype="float32", name=f"{name}_pad")(x)
    # Squared after the windows are cut out: int8 files then have no squares in 8 bits, as an average pooling
    # of squares has (cosine with the float network 0.913 instead of 0.952, BatchNorm form, random weights).
    cuts = [slice(i, i - 2 or None) for i in range(3)]
    window = ops.stack([x[:, rows, columns] for rows in cuts for columns in cuts], axis=1)
    length = ops.sqrt(ops.maximum(ops.sum(ops.square(window), axis=1), 1e-12))
    return ops.cast(length, dtype) if dtype != "float32" else length


def maxout(x, units: int, *, name: str):
    """Add two Dense layers and take the larger answer of each unit (Goodfellow et al., 2013).

    Args:
        x: (b, inputs).
        units: numbers that come out.
        name: prefix of the names of the layers.
    """
    pieces = [layers.Dense(units, name=f"{name}_{piece}")(x) for piece in "ab"]
    return layers.Maximum(name=name)(pieces)


def _kind(batch_norm: bool):
    """Return how convolutions are made and how local responses are normalised."""
    return (normalized_conv, lambda x: x) if batch_norm else (plain_conv, local_response_normalization)


def _pool(x, name: str, strides: int = 2):
    return layers.MaxPooling2D(3, strides=strides, padding="same", name=name)(x)


def _embedding(x, dimensions: int, name: str):
    x = layers.Dense(dimensions, dtype="float32", name=name)(x)
    return layers.UnitNormalization(dtype="float32", name="embedding")(x)
