"""Networks for phones, as keras.applications builds them.

MobileNetV2 (https://arxiv.org/abs/1801.04381), MobileNetV3 (https://arxiv.org/abs/1905.02244) and
EfficientNetV2 (https://arxiv.org/abs/2104.00298). Added here: weights files are checked before they are
loaded, and a failed download says what to do.
"""

import os
import warnings

import keras

from kerasvision.models import loading
from kerasvision.models.building import check_backend


def build(builder, weights: str | os.PathLike | None, **arguments) -> keras.Model:
    """Call a builder of keras.applications, with weights loaded the way of this package."""
    check_backend()
    if weights != "imagenet":
        model = builder(weights=None, **arguments)
        if weights is not None:
            loading.load_weights(model, weights)
        return model
    if arguments["input_tensor"] is not None and arguments["input_shape"] is None:
        # Else Keras takes the weights for 224 px, although it has some for 96, 128, 160 and 192.
        arguments["input_shape"] = tuple(arguments["input_tensor"].shape[1:])
    with warnings.catch_warnings(), loading.explain_download(arguments["name"]):
        # "input_shape is undefined or not square": at other sizes those for 224 px are what we want.
        warnings.filterwarnings("ignore", message=".*input_shape.*", category=UserWarning)
        return builder(weights="imagenet", **arguments)


def MobileNetV2(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "mobilenet_v2",
    *,
    alpha: float = 1.0,
) -> keras.Model:
    """Build MobileNetV2 for images scaled to [-1, 1]; arguments as for `ResNet50`, `alpha` is the width."""
    return build(
        keras.applications.MobileNetV2,
        weights,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        alpha=alpha,
    )


def MobileNetV3Small(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "mobilenet_v3_small",
    *,
    alpha: float = 1.0,
    minimalistic: bool = False,
) -> keras.Model:
    """Build MobileNetV3-Small for raw RGB in [0, 255]; arguments as for `ResNet50`.

    `alpha` is the width; `minimalistic` leaves out squeeze-and-excite, 5x5 kernels and hard-swish, which
    suits int8.
    """
    return build(
        keras.applications.MobileNetV3Small,
        weights,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        alpha=alpha,
        minimalistic=minimalistic,
    )


def MobileNetV3Large(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "mobilenet_v3_large",
    *,
    alpha: float = 1.0,
    minimalistic: bool = False,
) -> keras.Model:
    """Build MobileNetV3-Large for raw RGB in [0, 255]; arguments as for `MobileNetV3Small`."""
    return build(
        keras.applications.MobileNetV3Large,
        weights,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        alpha=alpha,
        minimalistic=minimalistic,
    )


def EfficientNetV2B0(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "efficientnetv2-b0",
) -> keras.Model:
    """Build EfficientNetV2-B0 for raw RGB in [0, 255]; arguments as for `ResNet50`."""
    model = build(
        keras.applications.EfficientNetV2B0,
        weights,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        # keras.applications looks its table of blocks up by this name.
        name="efficientnetv2-b0",
    )
    return model if name == model.name else keras.Model(model.input, model.output, name=name)
