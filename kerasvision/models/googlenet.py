"""GoogLeNet (Inception v1): as in the paper, and with BatchNorm as torchvision has weights for.

Szegedy et al., Going Deeper with Convolutions, 2014, https://arxiv.org/abs/1409.4842
"""

import os
from functools import partial
from typing import Literal

import keras
from keras import layers

from kerasvision.models.building import classification_top, finish, image_input, source_of
from kerasvision.models.operations import adaptive_average_pool, ceil_max_pool, local_response_normalization

# Table 1 of the paper: name of the module -> filters of 1x1; of the reduction before 3x3, and 3x3; of the
# reduction before 5x5, and 5x5; of the projection after the pooling
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
# The pooling before a module: its name and its side. torchvision pools over 2x2 the last time.
POOLS = {"4a": ("pool3", 3), "5a": ("pool4", 3)}
POOLS_BATCH_NORM = {"4a": ("pool3", 3), "5a": ("pool4", 2)}
AUXILIARY = {"4a": "auxiliary1", "4d": "auxiliary2"}


def plain_conv(x, filters: int, size: int, *, name: str, strides: int = 1, padding: str = "same"):
    """Add a convolution with a bias and ReLU, as in the paper."""
    return layers.Conv2D(filters, size, strides=strides, padding=padding, activation="relu", name=name)(x)


def normalized_conv(x, filters: int, size: int, *, name: str, strides: int = 1, padding: str = "same"):
    """Add a convolution, BatchNorm and ReLU, as in torchvision."""
    x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-3, momentum=0.9, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def inception(x, filters: tuple, *, conv, large: int, reduce: bool, name: str):
    """Add an inception module: (h, w, c) -> (h, w, sum of its branches).

    Args:
        x: (batch, h, w, c).
        filters: a row of `MODULES`.
        conv: `plain_conv` or `normalized_conv`.
        large: side of the kernel of the third branch.
        reduce: 1x1 convolutions before 3x3 and 5x5 and after the pooling (figure 2b), or none (2a).
        name: prefix of the names of its layers.
    """
    first, *pairs, projected = filters
    branches = [conv(x, first, 1, name=f"{name}_1x1")]
    for (reduction, count), size, kind in zip(pairs, (3, large), ("3x3", "5x5"), strict=True):
        branch = conv(x, reduction, 1, name=f"{name}_{kind}_reduce") if reduce else x
        branches.append(conv(branch, count, size, name=f"{name}_{kind}"))
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    branches.append(conv(pooled, projected, 1, name=f"{name}_pool_proj") if reduce else pooled)
    return layers.Concatenate(name=f"{name}_output")(branches)


def stem(x, conv, normalize):
    """Reduce the image eight times: (h, w, 3) -> (h/8, w/8, 192)."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = conv(x, 64, 7, strides=2, padding="valid", name="conv1")
    x = normalize(ceil_max_pool(x, 3, name="pool1"))
    x = conv(x, 64, 1, name="conv2_reduce")
    x = normalize(conv(x, 192, 3, name="conv2"))
    return ceil_max_pool(x, 3, name="pool2")


def auxiliary_head(x, classes: int, activation, *, conv, batch_norm: bool, name: str):
    """Classify from the middle of the network, in training (section 5 of the paper)."""
    if not batch_norm:
        x = layers.AveragePooling2D(5, strides=3, name=f"{name}_pool")(x)
    x = adaptive_average_pool(x, 4, name=f"{name}_pool_to_4x4")
    x = conv(x, 128, 1, name=f"{name}_reduce")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(1024, activation="relu", name=f"{name}_fc")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return layers.Dense(classes, activation=activation, name=f"{name}_predictions")(x)


def GoogLeNet(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation="softmax",
    name: str = "googlenet",
    *,
    batch_norm: bool = False,
    auxiliary: bool = False,
    module: Literal["reduced", "naive"] = "reduced",
) -> keras.Model:
    """Build GoogLeNet.

    As in table 1 of the paper, with local response normalization (its constants are not in the paper: those
    of AlexNet are taken), for images preprocessed in the "torch" way. With `batch_norm=True` it is
    torchvision's: BatchNorm instead, and 3x3 in the place of 5x5; its weights are for pixels in [-1, 1]
    ("tf"), as torchvision undoes its usual scaling for them (`transform_input`).

    Args:
        include_top: end in average pooling and a Dense layer `predictions`.
        weights: `None` (random), or what `load_weights` takes. There are none for `"imagenet"`.
        input_tensor: Keras tensor (batch, height, width, channels) to build on.
        input_shape: (height, width, channels), 32 pixels at least; default (224, 224, 3) with the top, else
            (None, None, 3).
        pooling: without the top: `"avg"`, `"max"`, or `None` for feature maps.
        classes: number of classes of the top.
        classifier_activation: activation of the tops; `None` for logits.
        name: name of the model.
        batch_norm: torchvision's form.
        auxiliary: two more classifiers, after the modules 4a and 4d, for training (weigh their losses 0.3):
            the outputs are [`predictions`, `auxiliary1_predictions`, `auxiliary2_predictions`], and
            `keras.Model(model.input, model.outputs[0])` leaves them out again.
        module: inception modules with dimension reduction (figure 2b), or naive (2a), which grow wider from
            one to the next.

    Returns:
        A flat functional model.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be read, or do not fit.

    https://arxiv.org/abs/1409.4842
    """
    _check(include_top, auxiliary, batch_norm, module)
    conv = normalized_conv if batch_norm else plain_conv
    image = image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        native=224,
        minimum=80 if auxiliary and not batch_norm else 32,
    )
    x = stem(image, conv, (lambda maps: maps) if batch_norm else local_response_normalization)
    head = partial(
        auxiliary_head, classes=classes, activation=classifier_activation, conv=conv, batch_norm=batch_norm
    )
    outputs = []
    for key, filters in MODULES.items():
        pool = (POOLS_BATCH_NORM if batch_norm else POOLS).get(key)
        x = ceil_max_pool(x, pool[1], name=pool[0]) if pool else x
        x = inception(
            x,
            filters,
            conv=conv,
            large=3 if batch_norm else 5,
            reduce=module == "reduced",
            name=f"inception_{key}",
        )
        if auxiliary and key in AUXILIARY:
            outputs.append(head(x, name=AUXILIARY[key]))
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(0.2 if batch_norm else 0.4, name="dropout")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    else:
        x = classification_top(x, False, pooling, classes, None)
    return finish(
        keras.Model(source_of(image, input_tensor), [x, *outputs] if outputs else x, name=name),
        weights,
        download=None,
        imagenet_classes=classes if include_top else None,
    )


def _check(include_top: bool, auxiliary: bool, batch_norm: bool, module: str) -> None:
    if module not in ("reduced", "naive"):
        raise ValueError(f"`module` must be 'reduced' or 'naive'. Received: {module!r}.")
    if auxiliary and not include_top:
        raise ValueError("`auxiliary=True` adds classifiers, so `include_top` must be True. Received: False.")
