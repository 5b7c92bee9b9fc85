"""Cut a whole classifier into its backbone and its head, to train it further."""

from collections.abc import Collection
from dataclasses import dataclass

import keras
from keras import layers

from kerasvision.models import graph

POOLS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
PASSED = (layers.Dropout, layers.Activation, layers.Softmax)


@dataclass(frozen=True, eq=False)
class Head:
    """The end of a classifier.

    Attributes:
        features: the feature maps (batch, height, width, channels) that it starts from (a tensor).
        pooling: `"avg"` or `"max"`.
        dense: its only Dense layer.
    """

    features: object
    pooling: str
    dense: keras.Layer


def backbone_of(model: keras.Model) -> keras.Model:
    """Return the part of a classifier from its input to the last feature maps, sharing its layers.

    Args:
        model: functional model that ends in a global pooling and one Dense layer: what `classifier` or
            `pretrained` made, a pruned one, or most networks of keras.applications with their top.

    Returns:
        Functional model: input -> feature maps (batch, height, width, channels).

    Raises:
        ValueError: the model does not end like that.

    >>> from kerasvision.models import classifier
    >>> backbone_of(classifier("resnet_small", classes=3, image_size=32)).output_shape
    (None, 8, 8, 64)
    """
    head = find_head(model)
    if head is None:
        raise ValueError(
            f"`model` {model.name!r} must end in a global pooling and one Dense layer, as classifiers of "
            "`kerasvision.models.classifier` do. Cut it yourself: keras.Model(model.inputs, feature_maps)."
        )
    return keras.Model(graph.functional(model).inputs[0], head.features, name=model.name)


def layers_before_head(
    model: keras.Model, *, names: Collection[str] = (), prefixes: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return the names of the layers of a model that are not of its head, for freezing.

    Args:
        model: flat functional model.
        names: of layers of the head.
        prefixes: what names of layers of the head begin with.

    Returns:
        Names in the order of the model, preprocessing layers among them, inputs not.
    """
    return tuple(
        layer.name
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
        and layer.name not in names
        and not layer.name.startswith(prefixes)
    )


def find_head(model: keras.Model) -> Head | None:
    """Return the head of a classifier; None where it does not end in a global pooling and one Dense layer."""
    functional = graph.functional(model)
    if len(functional.inputs) != 1 or len(functional.outputs) != 1:
        return None
    made_by = {id(tensor): node for node in graph.nodes(model) for tensor in node.output_tensors}
    node, dense = made_by.get(id(functional.outputs[0])), None
    while node is not None:
        layer, source = node.operation, node.input_tensors[0]
        if isinstance(layer, POOLS):
            pooling = "avg" if isinstance(layer, layers.GlobalAveragePooling2D) else "max"
            flat = len(node.output_tensors[0].shape) == 2
            return Head(source, pooling, dense) if dense is not None and flat else None
        if isinstance(layer, layers.Dense) and dense is None:
            dense = layer
        elif not isinstance(layer, PASSED):
            return None
        node = made_by.get(id(source))
    return None


def whole_head(model: keras.Model) -> Head | None:
    """Return the head of a model that is a whole classifier of ours: its input is raw RGB, named `image`."""
    source = graph.functional(model).inputs[0]
    ours = getattr(source._keras_history.operation, "name", None) == "image"
    return find_head(model) if ours else None
