"""InceptionResNetV2, with the layer names and weights of keras.applications.

Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, 2016,
https://arxiv.org/abs/1602.07261
"""

import os
from functools import partial

import keras
from keras import layers

from kerasvision.models import inception_blocks as blocks
from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.inception_blocks import Conv, Numbers, row

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/inception_resnet_v2/"
DIGESTS = ("e693bd0210a403b3192acc6073ad2e96", "d19885ff4a710c122648d3b5c3b684e4")

# name -> the rows of convolutions of a residual branch, and the factor of the branch (section 3.3)
BLOCKS = {
    "block35": ((((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))), 0.17),
    "block17": ((((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))), 0.1),
    "block8": ((((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))), 0.2),
}


def residual_block(x, conv: Conv, kind: str, *, name: str, scale: float | None = None, relu: bool = True):
    """Add a scaled residual branch: the shape stays.

    Args:
        x: (batch, h, w, c).
        conv: `conv_bn` with its settings.
        kind: key of `BLOCKS`.
        name: prefix of the names of its layers.
        scale: factor of the branch; default that of `BLOCKS`.
        relu: end in ReLU.
    """
    rows, usual = BLOCKS[kind]
    branches = [row(x, conv, *specs) for specs in rows]
    branch = layers.Concatenate(name=f"{name}_mixed")(branches)
    branch = layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(branch)
    branch = layers.Rescaling(usual if scale is None else scale, name=f"{name}_scale")(branch)
    x = layers.Add(name=f"{name}_add")([x, branch])
    return layers.Activation("relu", name=f"{name}_ac")(x) if relu else x


def mixed_5b(x, conv: Conv, numbers: Numbers):
    """Add the inception module after the stem: (35, 35, 192) -> (35, 35, 320)."""
    branches = [
        row(x, conv, (96, 1)),
        row(x, conv, (48, 1), (64, 5)),
        row(x, conv, (64, 1), (96, 3), (96, 3)),
        conv(blocks.average_pool(x, numbers), 64, 1),
    ]
    return layers.Concatenate(name="mixed_5b")(branches)


def mixed_6a(x, conv: Conv, numbers: Numbers):
    """Halve the map: (35, 35, 320) -> (17, 17, 1088)."""
    branches = [
        row(x, conv, (384, 3), down=True),
        row(x, conv, (256, 1), (256, 3), (384, 3), down=True),
        blocks.max_pool(x, numbers),
    ]
    return layers.Concatenate(name="mixed_6a")(branches)


def mixed_7a(x, conv: Conv, numbers: Numbers):
    """Halve the map: (17, 17, 1088) -> (8, 8, 2080)."""
    branches = [
        row(x, conv, (256, 1), (384, 3), down=True),
        row(x, conv, (256, 1), (288, 3), down=True),
        row(x, conv, (256, 1), (288, 3), (320, 3), down=True),
        blocks.max_pool(x, numbers),
    ]
    return layers.Concatenate(name="mixed_7a")(branches)


def features(x):
    """Add everything before the top: (299, 299, 3) -> (8, 8, 1536)."""
    numbers = Numbers()
    conv = partial(blocks.conv_bn, numbers=numbers)
    x = mixed_5b(blocks.stem(x, conv, numbers), conv, numbers)
    for index in range(1, 11):
        x = residual_block(x, conv, "block35", name=f"block35_{index}")
    x = mixed_6a(x, conv, numbers)
    for index in range(1, 21):
        x = residual_block(x, conv, "block17", name=f"block17_{index}")
    x = mixed_7a(x, conv, numbers)
    for index in range(1, 10):
        x = residual_block(x, conv, "block8", name=f"block8_{index}")
    x = residual_block(x, conv, "block8", name="block8_10", scale=1.0, relu=False)
    return conv(x, 1536, 1, name="conv_7b")


def InceptionResNetV2(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "inception_resnet_v2",
) -> keras.Model:
    """Build InceptionResNetV2 for images scaled to [-1, 1]; arguments and errors as for `InceptionV3`.

    Returns:
        A flat functional model; layer names and weights are those of
        `keras.applications.InceptionResNetV2` in a fresh program. The scaled additions are a Rescaling
        and an Add, where keras.applications has a layer of its own, so that a saved file loads
        without a custom object.

    https://arxiv.org/abs/1602.07261
    """
    image = image_input(input_tensor, input_shape, include_top=include_top, native=299, minimum=75)
    x = classification_top(features(image), include_top, pooling, classes, classifier_activation)
    file = f"inception_resnet_v2_weights_tf_dim_ordering_tf_kernels{'' if include_top else '_notop'}.h5"
    return finish(
        keras.Model(source_of(image, input_tensor), x, name=name),
        weights,
        download=(file, WEIGHTS_URL + file, DIGESTS[0 if include_top else 1]),
        imagenet_classes=classes if include_top else None,
    )
