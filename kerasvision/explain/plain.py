"""The layers of a network without shortcuts, as modules that can be left out where shapes allow."""

from dataclasses import dataclass

import keras
from keras import layers

from kerasvision.explain.residual import Located
from kerasvision.models import graph

WORKING = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)
# What belongs to the layer before it.
FOLLOWING = (
    layers.BatchNormalization,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.Dropout,
)


@dataclass(frozen=True)
class PlainModule:
    """A layer of a plain network, with the padding before it and the activation after it.

    Attributes:
        name: of the convolution or Dense layer.
        removable: whether the identity can take its place, as its input and its output have the same shape.
        downsampling: whether it makes the maps smaller.
        input_shape, output_shape: of its tensors, the batch as None.
        parameters: that go when it is left out.
        layers: names of its layers.
    """

    name: str
    removable: bool
    downsampling: bool
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    parameters: int
    layers: tuple[str, ...]


def locate_plain(model: keras.Model) -> list[Located]:
    """Return all layers with weights of a flat graph as modules, in the order they run.

    The last layer that makes an output of the model is none: without it there are no classes.
    """
    nodes, uses = graph.nodes(model), graph.consumers(model)
    makers = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    users = {id(tensor): node for node in nodes for tensor in node.input_tensors}
    outputs = {id(tensor) for tensor in graph.functional(model).outputs}
    found = []
    for node in nodes:
        if isinstance(node.operation, WORKING) and len(node.input_tensors) == 1:
            chain = _chain(node, makers, users, uses, outputs)
            if id(chain[-1].output_tensors[0]) not in outputs:
                found.append(_located(chain, node))
    return found


def _chain(node, makers: dict, users: dict, uses, outputs: set[int]) -> list:
    """Return a layer with its padding before it and what belongs to it after it."""
    chain = [node]
    before = makers.get(id(node.input_tensors[0]))
    if before is not None and isinstance(before.operation, layers.ZeroPadding2D):
        if uses[id(node.input_tensors[0])] == 1:
            chain.insert(0, before)
    while True:
        tensor = chain[-1].output_tensors[0]
        after = users.get(id(tensor))
        if uses[id(tensor)] != 1 or id(tensor) in outputs or not isinstance(after.operation, FOLLOWING):
            return chain
        chain.append(after)


def _located(chain: list, node) -> Located:
    fork, result = chain[0].input_tensors[0], chain[-1].output_tensors[0]
    before, after = tuple(fork.shape), tuple(result.shape)
    strides = keras.tree.flatten(getattr(node.operation, "strides", 1))
    module = PlainModule(
        name=node.operation.name,
        removable=before == after and max(strides) == 1,
        downsampling=max(strides) > 1,
        input_shape=before,
        output_shape=after,
        parameters=sum(n.operation.count_params() for n in chain),
        layers=tuple(n.operation.name for n in chain),
    )
    return Located(module, fork, result, tuple(chain), {id(n): 0 for n in chain})
