"""ResNet-50, -101 and -152 (v1), with the layer names and weight shapes of keras.applications.

He et al., Deep Residual Learning for Image Recognition, 2015, https://arxiv.org/abs/1512.03385
"""

import os
from functools import partial

import keras
from keras import layers

from kerasvision.models.building import classification_top, finish, image_input, source_of

# The stride lies on the first 1x1 convolution, and the convolutions have biases, as in the published weights.
conv = partial(layers.Conv2D, use_bias=True)
batchnorm = partial(layers.BatchNormalization, epsilon=1.001e-5)

WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"

# name -> blocks of the four stages, MD5 of the weights file with the top, and without
VARIANTS = {
    "resnet50": ((3, 4, 6, 3), "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ((3, 4, 23, 3), "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ((3, 8, 36, 3), "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
}


def bottleneck(x, filters: int, *, stride: int, project: bool, name: str):
    """Add a branch of 1x1, 3x3 and 1x1 convolutions: (h, w, c) -> (h/stride, w/stride, 4*filters)."""
    shortcut = x
    if project:
        shortcut = conv(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(x)
        shortcut = batchnorm(name=f"{name}_0_bn")(shortcut)
    x = conv(filters, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = batchnorm(name=f"{name}_1_bn")(x)
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = conv(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = batchnorm(name=f"{name}_2_bn")(x)
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = conv(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = batchnorm(name=f"{name}_3_bn")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def stage(x, filters: int, blocks: int, *, stride: int, name: str):
    """Stack bottlenecks; the first one changes the stride and the number of channels."""
    for block in range(1, blocks + 1):
        first = block == 1
        x = bottleneck(x, filters, stride=stride if first else 1, project=first, name=f"{name}_block{block}")
    return x


def stem(x):
    """Reduce the image four times: (h, w, 3) -> (h/4, w/4, 64)."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = conv(64, 7, strides=2, name="conv1_conv")(x)
    x = batchnorm(name="conv1_bn")(x)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def build(
    variant: str,
    include_top: bool,
    weights: str | os.PathLike | None,
    input_tensor,
    input_shape: tuple | None,
    pooling: str | None,
    classes: int,
    classifier_activation,
    name: str,
) -> keras.Model:
    """Build a variant of the table; the arguments are those of `ResNet50`."""
    blocks, with_top, without_top = VARIANTS[variant]
    image = image_input(input_tensor, input_shape, include_top=include_top, native=224, minimum=32)
    x = stem(image)
    for index, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        x = stage(x, filters, count, stride=1 if index == 0 else 2, name=f"conv{index + 2}")
    x = classification_top(x, include_top, pooling, classes, classifier_activation)
    ending, digest = ("", with_top) if include_top else ("_notop", without_top)
    file = f"{variant}_weights_tf_dim_ordering_tf_kernels{ending}.h5"
    return finish(
        keras.Model(source_of(image, input_tensor), x, name=name),
        weights,
        download=(file, WEIGHTS_URL + file, digest),
        imagenet_classes=classes if include_top else None,
    )


def ResNet50(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "resnet50",
) -> keras.Model:
    """Build ResNet-50 (v1) for images preprocessed in the "caffe" way (BGR, ImageNet mean subtracted).

    Args:
        include_top: end in average pooling and a Dense layer `predictions`.
        weights: `None` (random), `"imagenet"` (the files of keras.applications, through Keras' cache), or a
            weights file.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels); default (224, 224, 3) with the top, else (None, None, 3).
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.

    Returns:
        A flat functional model; layer names and weights are those of `keras.applications.ResNet50`.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be fetched, or do not fit.

    https://arxiv.org/abs/1512.03385
    """
    return build(
        "resnet50",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
    )


def ResNet101(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "resnet101",
) -> keras.Model:
    """Build ResNet-101 (v1); arguments, result and errors as for `ResNet50`."""
    return build(
        "resnet101",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
    )


def ResNet152(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "resnet152",
) -> keras.Model:
    """Build ResNet-152 (v1); arguments, result and errors as for `ResNet50`."""
    return build(
        "resnet152",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
    )
