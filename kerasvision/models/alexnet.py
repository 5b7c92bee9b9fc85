"""AlexNet: the grouped form of 2012, and the single column that torchvision has weights for.

Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural Networks, 2012,
https://papers.nips.cc/paper/4824; Krizhevsky, One weird trick for parallelizing convolutional neural
networks, 2014, https://arxiv.org/abs/1404.5997.
"""

import os
from dataclasses import dataclass
from typing import Literal

import keras
from keras import layers

from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.operations import adaptive_average_pool, local_response_normalization


@dataclass(frozen=True)
class _Form:
    """What differs between the two forms; tuples have one value for each of the five convolutions."""

    native: int
    minimum: int
    padding: int
    filters: tuple[int, ...]
    groups: tuple[int, ...]
    normalize: bool
    # Where biases start at 1: "provides the ReLUs with positive inputs" (section 5 of the paper).
    ones: tuple[str, ...]


FORMS = {
    "single": _Form(224, 63, 2, (64, 192, 384, 256, 256), (1, 1, 1, 1, 1), False, ()),
    "grouped": _Form(
        227, 67, 0, (96, 256, 384, 384, 256), (1, 2, 1, 2, 2), True, ("conv2", "conv4", "conv5", "fc6", "fc7")
    ),
}
KERNELS = (11, 5, 3, 3, 3)
POOLED = (1, 2, 5)


def features(x, form: _Form):
    """Add the five convolutions: (h, w, 3) -> about (h/32, w/32, 256)."""
    if form.padding:
        x = layers.ZeroPadding2D(form.padding, name="conv1_pad")(x)
    for index, kernel in enumerate(KERNELS, 1):
        x = layers.Conv2D(
            form.filters[index - 1],
            kernel,
            strides=4 if index == 1 else 1,
            padding="valid" if index == 1 else "same",
            groups=form.groups[index - 1],
            activation="relu",
            name=f"conv{index}",
            **_start(form, f"conv{index}"),
        )(x)
        if form.normalize and index <= 2:
            x = local_response_normalization(x)
        if index in POOLED:
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{index}")(x)
    return x


def dense_top(x, form: _Form, classes: int, activation, dropout: float):
    """Add the three Dense layers, on 6x6 maps: (h, w, 256) -> (classes,)."""
    x = adaptive_average_pool(x, 6, name="pool_to_6x6")
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc6", "fc7"):
        # Before the Dense layer in both forms: the paper drops the outputs of fc6 and fc7, torchvision their
        # inputs.
        if dropout and not form.normalize:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
        x = layers.Dense(4096, activation="relu", name=name, **_start(form, name))(x)
        if dropout and form.normalize:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return layers.Dense(classes, activation=activation, name="predictions", **_start(form, "predictions"))(x)


def _start(form: _Form, name: str) -> dict:
    """Return the initializers of a layer: those of the paper (section 5), or Keras' own."""
    if not form.normalize:
        return {}
    return {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.01),
        "bias_initializer": "ones" if name in form.ones else "zeros",
    }


def AlexNet(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "alexnet",
    *,
    form: Literal["single", "grouped"] = "single",
    dropout: float = 0.5,
) -> keras.Model:
    """Build AlexNet.

    `form="single"` is torchvision's: one column, no normalization, for images preprocessed in the "torch"
    way. `form="grouped"` is that of 2012 as one machine runs it: convolutions 2, 4 and 5 in two groups
    (there, one a GPU), local response normalization, the initial weights of the paper.

    Args:
        include_top: end in three Dense layers, `fc6`, `fc7` and `predictions`.
        weights: `None` (random), or what `load_weights` takes. There are none for `"imagenet"`.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels), 63 pixels at least (67 in groups); default with the top (224,
            224, 3), in groups (227, 227, 3), else (None, None, 3). With the top, maps of any other size are
            averaged to 6x6, as in torchvision.
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.
        form: `"single"` or `"grouped"`.
        dropout: in training, at `fc6` and `fc7`; 0 leaves these layers out.

    Returns:
        A flat functional model.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be read, or do not fit.

    https://papers.nips.cc/paper/4824, https://arxiv.org/abs/1404.5997
    """
    if form not in FORMS:
        raise ValueError(f"`form` must be 'single' or 'grouped'. Received: {form!r}.")
    made = FORMS[form]
    image = image_input(
        input_tensor, input_shape, include_top=include_top, native=made.native, minimum=made.minimum
    )
    x = features(image, made)
    if include_top:
        x = dense_top(x, made, classes, classifier_activation, dropout)
    else:
        x = classification_top(x, False, pooling, classes, None)
    return finish(
        keras.Model(source_of(image, input_tensor), x, name=name),
        weights,
        download=None,
        imagenet_classes=classes if include_top else None,
    )
