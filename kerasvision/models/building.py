"""What every builder of a network shares: the backend check, its input, its top, its weights."""

import os

import keras
from keras import layers

from kerasvision.models import graph, loading

POOLING = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def check_backend() -> None:
    """Refuse to build on another backend than TensorFlow, or with channels first.

    Raises:
        ValueError: Keras runs on another backend, or `image_data_format` is `"channels_first"`.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on the backend {keras.backend.backend()!r}; kerasvision trains and exports with "
            "TensorFlow. Set the environment variable KERAS_BACKEND=tensorflow before keras is imported."
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to image_data_format 'channels_first'; kerasvision builds 'channels_last' only. "
            "Call keras.config.set_image_data_format('channels_last') first."
        )


def image_input(
    input_tensor,
    input_shape: tuple | None,
    *,
    include_top: bool,
    native: int,
    minimum: int,
    channels: int = 3,
):
    """Return the tensor to build on: the given one, or a new input.

    Raises:
        ValueError: a shape is not (height, width, channels), or is smaller than the network accepts.
    """
    check_backend()
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor) or len(input_tensor.shape) != 4:
            raise ValueError(
                "`input_tensor` must be a Keras tensor (batch, height, width, channels) from keras.Input. "
                f"Received: {input_tensor!r}."
            )
        check_size(input_tensor.shape[1:3], minimum, "input_tensor")
        return input_tensor
    if input_shape is None:
        size = native if include_top else None
        input_shape = (size, size, channels)
    if len(input_shape) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels). Received: {input_shape!r}.")
    check_size(input_shape[:2], minimum, "input_shape")
    return layers.Input(shape=tuple(input_shape))


def check_size(size: tuple, minimum: int, argument: str) -> None:
    """Refuse images smaller than a network accepts; `None` sides pass.

    Raises:
        ValueError: a side is below `minimum` pixels.
    """
    if any(side is not None and side < minimum for side in size):
        raise ValueError(
            f"`{argument}` must be at least {minimum} x {minimum} pixels for this network. "
            f"Received: {' x '.join(map(str, size))}. Use larger images, or `resnet_small` (from 8 x 8)."
        )


def source_of(image, input_tensor):
    """Return the input of the graph that `image` comes from, so that layers before it belong to the model."""
    if input_tensor is None:
        return image
    sources = graph.sources(input_tensor)
    return sources[0] if len(sources) == 1 else sources


def classification_top(x, include_top: bool, pooling: str | None, classes: int, activation):
    """Add the pooling and Dense layer of ImageNet classifiers, or only a pooling, or nothing.

    Raises:
        ValueError: `pooling` is unknown.
    """
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        return layers.Dense(classes, activation=activation, name="predictions")(x)
    if pooling is None:
        return x
    if pooling not in POOLING:
        raise ValueError(f"`pooling` must be 'avg', 'max' or None. Received: {pooling!r}.")
    return POOLING[pooling](name=f"{pooling}_pool")(x)


def finish(
    model: keras.Model,
    weights: str | os.PathLike | None,
    *,
    download: tuple[str, str, str] | None,
    imagenet_classes: int | None = None,
) -> keras.Model:
    """Load weights into a fresh model and return it.

    Args:
        model: the model.
        weights: `None`, `"imagenet"`, or a file.
        download: file name, URL and MD5 of its ImageNet weights; `None` where there are none.
        imagenet_classes: classes of its top, which must be 1000 for `"imagenet"`; `None` without a top.

    Raises:
        ValueError: `"imagenet"` with a top of another number of classes.
        WeightsError: the weights cannot be fetched, or do not fit.
    """
    if weights is None:
        return model
    if weights == "imagenet":
        if imagenet_classes not in (None, 1000):
            raise ValueError(
                "`classes` must be 1000 with `weights='imagenet'` and `include_top=True`. "
                f"Received: {imagenet_classes}. For your own classes use kerasvision.models.classifier."
            )
        weights = loading.fetch(model.name, download)
    loading.load_weights(model, weights)
    return model
