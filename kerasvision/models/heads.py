"""Classifiers: raw pixels in, probabilities out, everything on one flat graph."""

import os
from collections.abc import Callable

import keras
from keras import layers

from kerasvision.models import graph
from kerasvision.models.backbones import Head, backbone_of, whole_head
from kerasvision.models.building import POOLING, check_backend, check_size
from kerasvision.models.loading import load_source, load_weights
from kerasvision.models.model_entry import TOP_LAYERS
from kerasvision.models.preprocessing import MODES, preprocess
from kerasvision.models.registry import entry
from kerasvision.models.sources import mode_for, open_source


def classifier(
    model: str | keras.Model = "mobilenet_v2",
    *,
    classes: int,
    image_size: int | tuple[int, int],
    weights: str | os.PathLike | None = None,
    pooling: str = "avg",
    dropout: float = 0.2,
    preprocessing: str | None = None,
    activation: str | Callable | None = "softmax",
    name: str | None = None,
    **options,
) -> keras.Model:
    """Build a classifier of raw RGB images on one flat graph.

    Args:
        model: a name of `list_models("classify")`, your own functional backbone without a head, or a whole
            classifier of this package (its input is `image`), for example a pruned one, to train it further:
            its preprocessing is kept, and its head where it has as many classes. Models are copied with
            their weights, not changed.
        classes: number of classes.
        image_size: side in pixels, or (height, width).
        weights: of the backbone: `None` (random, or those your own backbone has), `"imagenet"`, or a file. A
            file of a whole classifier is fine: its top is left out.
        pooling: `"avg"` or `"max"`; a whole classifier keeps its own.
        dropout: fraction of features dropped in training.
        preprocessing: what your own backbone expects of pixels: `"included"` (raw RGB), `"tf"` ([-1, 1]),
            `"zero_one"`, `"torch"` or `"caffe"`. For a network by name it is that of its
            weights; state it for a file that does not say (of torch; of Keras, where it is not the usual).
        activation: of the last layer; `None` for logits.
        name: name of the model; default that of the backbone.
        **options: of the network's builder, for example `alpha=0.5`.

    Returns:
        A functional model: `Input` named `image`, (batch, height, width, 3), raw RGB in [0, 255] as float32
        (arrays of uint8 are accepted and cast), then preprocessing layers, the backbone, `head_pool`,
        `head_dropout` and `predictions`, (batch, classes) float32. It is made of Keras' own layers only, so a
        saved file loads without this package.

    Raises:
        ValueError: an argument is not accepted.
        WeightsError: the weights cannot be fetched, or do not fit.

    >>> model = classifier("resnet_small", classes=10, image_size=32)
    >>> model.output_shape
    (None, 10)
    """
    check_backend()
    _check(classes, pooling, dropout)
    height, width = as_size(image_size)
    image = layers.Input((height, width, 3), dtype="float32", name="image")
    head = whole_head(model) if isinstance(model, keras.Model) and preprocessing is None else None
    if head is not None:
        model, preprocessing, pooling = backbone_of(model), "included", head.pooling
    x = feature_maps(model, image, preprocessing=preprocessing, weights=weights, **options)
    name = name or (model.name if isinstance(model, keras.Model) else entry(model).name)
    x = POOLING[pooling](name="head_pool")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    # float32 also under mixed precision: probabilities near 0 and 1 need it.
    dense = layers.Dense(classes, activation=activation, dtype="float32", name="predictions")
    x = dense(x)
    _keep_head(dense, head, weights)
    return keras.Model(image, x, name=name)


def feature_maps(model: str | keras.Model, image, *, preprocessing=None, weights=None, **options):
    """Build a backbone, and the preprocessing that it expects before it, on a tensor of raw RGB pixels.

    Args:
        model: name of a network, or a user's own backbone, of which a copy is used.
        image: Keras tensor (batch, height, width, 3), raw RGB in [0, 255].
        preprocessing: as for `classifier`.
        weights: as for `classifier`.
        **options: as for `classifier`.

    Returns:
        The last feature maps: a tensor (batch, rows, columns, channels) of the graph of `image`.

    Raises:
        ValueError: an argument is not accepted.
        WeightsError: the weights cannot be fetched, or do not fit.
    """
    build = _own if isinstance(model, keras.Model) else _named
    return build(model, image, preprocessing, weights, options)


def feature_extractor(model: keras.Model) -> keras.Model:
    """Return the part of a `classifier` from the image to the pooled features, sharing its layers.

    Args:
        model: what `classifier` returned (also after saving and loading).

    Returns:
        Functional model: raw RGB (batch, height, width, 3) -> features (batch, channels).

    Raises:
        ValueError: the model has no layer `head_pool`.
    """
    features = graph.output_of(model, "head_pool")
    return keras.Model(graph.functional(model).inputs[0], features, name=f"{model.name}_features")


def head_of(model: keras.Model) -> keras.Model:
    """Return the part of a `classifier` from the pooled features to the probabilities, sharing its layers.

    Training it trains the head of `model`.

    Returns:
        Functional model: features (batch, channels) float32 -> probabilities (batch, classes).

    Raises:
        ValueError: the model has no layer `head_pool`.
    """
    pooled = graph.output_of(model, "head_pool")
    features = layers.Input(batch_shape=pooled.shape, dtype="float32", name="features")
    outputs = graph.functional(model).outputs
    tensors = graph.replay(model, {id(pooled): features})
    return keras.Model(features, tensors[id(outputs[0])], name=f"{model.name}_head")


def _named(model: str, image, preprocessing, weights, options: dict):
    """Return the feature maps of a network of the registry, built on preprocessed pixels."""
    known = entry(model)
    source = None if weights in (None, "imagenet") else open_source(weights)
    mode = mode_for(known, source, preprocessing)
    check_size(image.shape[1:3], known.minimum_size, "image_size")
    pixels = preprocess(image, mode)
    if source is not None:
        backbone = known.builder(include_top=False, input_tensor=pixels, **options)
        load_source(backbone, source, ignore=known.top_layers)
    else:
        backbone = known.builder(include_top=False, input_tensor=pixels, weights=weights, **options)
    return backbone.outputs[0]


def _own(model: keras.Model, image, preprocessing, weights, options: dict):
    """Return the feature maps of a copy of a user's backbone."""
    if options:
        raise ValueError(f"With a keras.Model as `model` there is no builder to take {sorted(options)}.")
    if preprocessing is None:
        raise ValueError(
            "`preprocessing` must be stated for your own backbone: 'included' if it takes raw RGB, "
            f"else one of {', '.join(map(repr, MODES))}."
        )
    if weights == "imagenet":
        raise ValueError(
            "`weights='imagenet'` is for networks by name. Load the weights into your backbone first."
        )
    copy = graph.copy(model)
    if weights is not None:
        load_weights(copy, weights, ignore=TOP_LAYERS)
    inputs, outputs = copy.inputs, copy.outputs
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 4:
        raise ValueError(
            "`model` must have one image input and one output (batch, height, width, channels). "
            f"{model.name!r} has {len(inputs)} inputs and outputs of {[tensor.shape for tensor in outputs]}. "
            "Leave its pooling and its head out (include_top=False, pooling=None)."
        )
    _check_accepts(inputs[0].shape, image.shape)
    return graph.replay(copy, {id(inputs[0]): preprocess(image, preprocessing)})[id(outputs[0])]


def _keep_head(dense: layers.Dense, head: Head | None, weights) -> None:
    """Give the new head the weights of the old one, unless it has other classes or others were loaded."""
    if head is not None and weights is None and head.dense.units == dense.units and head.dense.use_bias:
        dense.set_weights(head.dense.get_weights())


def _check_accepts(expected: tuple, shape: tuple) -> None:
    if any(None not in (a, b) and a != b for a, b in zip(expected, shape, strict=True)):
        raise ValueError(
            f"`image_size` gives images of shape {shape[1:]}, but `model` takes {expected[1:]}. "
            "Choose that size, or build the backbone with input_shape=(None, None, 3)."
        )


def _check(classes: int, pooling: str, dropout: float) -> None:
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise ValueError(f"`classes` must be a positive number of classes. Received: {classes!r}.")
    if pooling not in POOLING:
        raise ValueError(f"`pooling` must be 'avg' or 'max'. Received: {pooling!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be at least 0 and below 1. Received: {dropout!r}.")


def as_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a side in pixels or such a pair.

    Raises:
        ValueError: it is neither.
    """
    size = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(
            f"`image_size` must be a side in pixels or (height, width). Received: {image_size!r}."
        )
    return size
