"""A small residual network for images of 8 to 64 pixels: demonstrations, tests, digits, icons.

Bottleneck-free residual blocks as in section 4.2 of https://arxiv.org/abs/1512.03385, wider at the end and
with a stride in the stem, so that an epoch on a laptop takes seconds.
"""

import os
from functools import partial

import keras
from keras import layers

from kerasvision.models.building import classification_top, finish, image_input, source_of

conv = partial(layers.Conv2D, padding="same", use_bias=False)
# 0.9 rather than 0.99: the statistics settle within the few hundred steps of a small training.
batchnorm = partial(layers.BatchNormalization, momentum=0.9)


def residual(x, filters: int, *, stride: int, name: str):
    """Add two 3x3 convolutions to a shortcut: (h, w, c) -> (h/stride, w/stride, filters)."""
    shortcut = x
    if stride > 1:
        # Not a strided 1x1 convolution: it sees a quarter of the pixels, and below 16 channels its gradient
        # writes past its memory on CPUs (TensorFlow 2.21 with oneDNN, odd batches; found with malloc.check).
        shortcut = layers.AveragePooling2D(stride, padding="same", name=f"{name}_0_pool")(shortcut)
    if x.shape[-1] != filters:
        shortcut = conv(filters, 1, name=f"{name}_0_conv")(shortcut)
        shortcut = batchnorm(name=f"{name}_0_bn")(shortcut)
    x = conv(filters, 3, strides=stride, name=f"{name}_1_conv")(x)
    x = batchnorm(name=f"{name}_1_bn")(x)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = conv(filters, 3, name=f"{name}_2_conv")(x)
    x = batchnorm(name=f"{name}_2_bn")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def ResNetSmall(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation="softmax",
    name: str = "resnet_small",
    *,
    width: int = 16,
    blocks: tuple[int, ...] = (1, 1, 1),
) -> keras.Model:
    """Build a small residual network for images in [0, 1], 8 to 64 pixels a side.

    Args:
        include_top: end in average pooling and a Dense layer `predictions`.
        weights: `None` (random) or a weights file; there are no published weights.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels); default (32, 32, 3) with the top, else (None, None, 3).
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.
        width: channels of the first stage; each further stage has twice as many.
        blocks: residual blocks of each stage; every stage but the first halves the sides.

    Returns:
        A flat functional model.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights file does not fit.
    """
    image = image_input(input_tensor, input_shape, include_top=include_top, native=32, minimum=8)
    x = conv(width, 3, name="stem_conv")(image)
    x = batchnorm(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            x = residual(x, width * 2**stage, stride=stride, name=f"stage{stage + 1}_block{block + 1}")
    x = classification_top(x, include_top, pooling, classes, classifier_activation)
    return finish(keras.Model(source_of(image, input_tensor), x, name=name), weights, download=None)
