"""InceptionV3, with the layer names and weights of keras.applications, or with torchvision's weights.

Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015,
https://arxiv.org/abs/1512.00567
"""

import os
from dataclasses import dataclass
from functools import partial
from typing import Literal

import keras
from keras import layers

from kerasvision.models import inception_blocks as blocks
from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.inception_blocks import Conv, Numbers, row

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
DIGESTS = ("9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63")


@dataclass(frozen=True)
class _Parts:
    """What all modules are made of."""

    conv: Conv
    numbers: Numbers
    count_padding: bool

    def pooled(self, x, filters: int):
        x = blocks.average_pool(x, self.numbers, count_padding=self.count_padding)
        return self.conv(x, filters, 1)


def module_5x5(x, parts: _Parts, pool_filters: int, *, name: str):
    """Add branches of 1x1, 5x5 and twice 3x3 (figure 5): 35x35 maps."""
    conv = parts.conv
    branches = [
        row(x, conv, (64, 1)),
        row(x, conv, (48, 1), (64, 5)),
        row(x, conv, (64, 1), (96, 3), (96, 3)),
        parts.pooled(x, pool_filters),
    ]
    return layers.Concatenate(name=name)(branches)


def module_7x7(x, parts: _Parts, filters: int, *, name: str):
    """Add branches of 1x1, 7x7 and twice 7x7, each 7x7 as 1x7 and 7x1 (figure 6): 17x17 maps."""
    conv, across, down = parts.conv, (1, 7), (7, 1)
    branches = [
        row(x, conv, (192, 1)),
        row(x, conv, (filters, 1), (filters, across), (192, down)),
        row(x, conv, (filters, 1), (filters, down), (filters, across), (filters, down), (192, across)),
        parts.pooled(x, 192),
    ]
    return layers.Concatenate(name=name)(branches)


def module_split(x, parts: _Parts, *, name: str, inner: str):
    """Add branches that end in 1x3 beside 3x1 (figure 7): 8x8 maps."""
    conv, across, down = parts.conv, (1, 3), (3, 1)
    branches = [row(x, conv, (320, 1))]
    single = row(x, conv, (384, 1))
    halves = [row(single, conv, (384, across)), row(single, conv, (384, down))]
    branches.append(layers.Concatenate(name=inner)(halves))
    double = row(x, conv, (448, 1), (384, 3))
    halves = [row(double, conv, (384, across)), row(double, conv, (384, down))]
    branches.append(layers.Concatenate(name=parts.numbers("concatenate"))(halves))
    branches.append(parts.pooled(x, 192))
    return layers.Concatenate(name=name)(branches)


def reduce_35(x, parts: _Parts, *, name: str):
    """Halve the map: (35, 35, 288) -> (17, 17, 768)."""
    branches = [
        row(x, parts.conv, (384, 3), down=True),
        row(x, parts.conv, (64, 1), (96, 3), (96, 3), down=True),
        blocks.max_pool(x, parts.numbers),
    ]
    return layers.Concatenate(name=name)(branches)


def reduce_17(x, parts: _Parts, *, name: str):
    """Halve the map: (17, 17, 768) -> (8, 8, 1280)."""
    branches = [
        row(x, parts.conv, (192, 1), (320, 3), down=True),
        row(x, parts.conv, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), down=True),
        blocks.max_pool(x, parts.numbers),
    ]
    return layers.Concatenate(name=name)(branches)


def features(x, parts: _Parts):
    """Add everything before the top: (299, 299, 3) -> (8, 8, 2048)."""
    x = blocks.stem(x, parts.conv, parts.numbers)
    for index, filters in enumerate((32, 64, 64)):
        x = module_5x5(x, parts, filters, name=f"mixed{index}")
    x = reduce_35(x, parts, name="mixed3")
    for index, filters in enumerate((128, 160, 160, 192), 4):
        x = module_7x7(x, parts, filters, name=f"mixed{index}")
    x = reduce_17(x, parts, name="mixed8")
    for index in range(2):
        x = module_split(x, parts, name=f"mixed{9 + index}", inner=f"mixed9_{index}")
    return x


def InceptionV3(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "inception_v3",
    *,
    form: Literal["keras", "torchvision"] = "keras",
) -> keras.Model:
    """Build InceptionV3 for images scaled to [-1, 1].

    Args:
        include_top: end in average pooling and a Dense layer `predictions`.
        weights: `None` (random), `"imagenet"` (the files of keras.applications, through Keras' cache), or
            what `load_weights` takes.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels), 75 pixels at least; default (299, 299, 3) with the top, else
            (None, None, 3).
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.
        form: `"keras"`, or `"torchvision"`: BatchNorm with factors, and averages at the border over zeros
            too, as torch's weights want; without the auxiliary head.

    Returns:
        A flat functional model; layer names and weights are those of `keras.applications.InceptionV3` in a
        fresh program (`conv2d`, `conv2d_1`, …), whatever was built before.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be fetched, or do not fit.

    https://arxiv.org/abs/1512.00567
    """
    if form not in ("keras", "torchvision"):
        raise ValueError(f"`form` must be 'keras' or 'torchvision'. Received: {form!r}.")
    image = image_input(input_tensor, input_shape, include_top=include_top, native=299, minimum=75)
    numbers, torch = Numbers(), form == "torchvision"
    conv = partial(blocks.conv_bn, numbers=numbers, scale=torch)
    x = features(image, _Parts(conv, numbers, torch))
    x = classification_top(x, include_top, pooling, classes, classifier_activation)
    file = f"inception_v3_weights_tf_dim_ordering_tf_kernels{'' if include_top else '_notop'}.h5"
    return finish(
        keras.Model(source_of(image, input_tensor), x, name=name),
        weights,
        download=None if torch else (file, WEIGHTS_URL + file, DIGESTS[0 if include_top else 1]),
        imagenet_classes=classes if include_top else None,
    )
