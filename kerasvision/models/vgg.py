"""VGG-11, -13, -16 and -19, plain and with BatchNorm.

Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014,
https://arxiv.org/abs/1409.1556. Layer names and weights of VGG-16 and -19 are those of keras.applications;
the form with BatchNorm is that of torchvision.
"""

import os
from functools import partial

import keras
from keras import layers

from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.operations import adaptive_average_pool

FILTERS = (64, 128, 256, 512, 512)
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"

# name -> convolutions of the five blocks (columns A, B, D and E of table 1 of the paper)
VARIANTS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
# name -> MD5 of the weights file of keras.applications with the top, and without
DIGESTS = {
    "vgg16": ("64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
    "vgg19": ("cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
}

conv = partial(layers.Conv2D, kernel_size=3, padding="same")
batchnorm = partial(layers.BatchNormalization, epsilon=1e-5, momentum=0.9)


def block(x, filters: int, convolutions: int, *, batch_norm: bool, name: str):
    """Stack 3x3 convolutions and halve the map: (h, w, c) -> (h/2, w/2, filters)."""
    for index in range(1, convolutions + 1):
        layer = f"{name}_conv{index}"
        if batch_norm:
            x = conv(filters, name=layer)(x)
            x = batchnorm(name=f"{layer}_bn")(x)
            x = layers.Activation("relu", name=f"{layer}_relu")(x)
        else:
            x = conv(filters, activation="relu", name=layer)(x)
    return layers.MaxPooling2D(2, strides=2, name=f"{name}_pool")(x)


def dense_top(x, classes: int, activation, dropout: float):
    """Add the three Dense layers, on 7x7 maps: (h, w, 512) -> (classes,)."""
    x = adaptive_average_pool(x, 7, name="pool_to_7x7")
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return layers.Dense(classes, activation=activation, name="predictions")(x)


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
    batch_norm: bool,
    dropout: float,
) -> keras.Model:
    """Build a variant of the table; the arguments are those of `VGG16`."""
    image = x = image_input(input_tensor, input_shape, include_top=include_top, native=224, minimum=32)
    for index, (filters, convolutions) in enumerate(zip(FILTERS, VARIANTS[variant], strict=True), 1):
        x = block(x, filters, convolutions, batch_norm=batch_norm, name=f"block{index}")
    if include_top:
        x = dense_top(x, classes, classifier_activation, dropout)
    else:
        x = classification_top(x, False, pooling, classes, None)
    return finish(
        keras.Model(source_of(image, input_tensor), x, name=name),
        weights,
        download=_download(variant, include_top, batch_norm),
        imagenet_classes=classes if include_top else None,
    )


def _download(variant: str, include_top: bool, batch_norm: bool) -> tuple[str, str, str] | None:
    if batch_norm or variant not in DIGESTS:
        return None
    file = f"{variant}_weights_tf_dim_ordering_tf_kernels{'' if include_top else '_notop'}.h5"
    return file, f"{WEIGHTS_URL}{variant}/{file}", DIGESTS[variant][0 if include_top else 1]


def VGG16(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "vgg16",
    *,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Build VGG-16 (column D of the paper).

    The weights of keras.applications (`"imagenet"`) are for images preprocessed in the "caffe" way, those of
    torchvision, with BatchNorm and without, for the "torch" way.

    Args:
        include_top: end in three Dense layers, `fc1`, `fc2` and `predictions`.
        weights: `None` (random), `"imagenet"` (the files of keras.applications, through Keras' cache; VGG-16
            and -19 without BatchNorm), or what `load_weights` takes.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels), 32 pixels at least; default (224, 224, 3) with the top, else
            (None, None, 3). With the top, at other sizes than 224, maps are averaged to 7x7 as in
            torchvision, so that all weights fit; keras.applications makes `fc1` of another size there.
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.
        batch_norm: BatchNorm after each convolution, as in torchvision's `vgg16_bn`.
        dropout: after `fc1` and `fc2` in training, as in the paper; 0 leaves these layers out, as
            keras.applications does.

    Returns:
        A flat functional model; layer names and weights are those of `keras.applications.VGG16`.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be fetched, or do not fit.

    https://arxiv.org/abs/1409.1556
    """
    return build(
        "vgg16",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        batch_norm,
        dropout,
    )


def VGG11(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "vgg11",
    *,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Build VGG-11 (column A of the paper); arguments, result and errors as for `VGG16`."""
    return build(
        "vgg11",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        batch_norm,
        dropout,
    )


def VGG13(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "vgg13",
    *,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Build VGG-13 (column B of the paper); arguments, result and errors as for `VGG16`."""
    return build(
        "vgg13",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        batch_norm,
        dropout,
    )


def VGG19(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "vgg19",
    *,
    batch_norm: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Build VGG-19 (column E of the paper); arguments, result and errors as for `VGG16`."""
    return build(
        "vgg19",
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        batch_norm,
        dropout,
    )
