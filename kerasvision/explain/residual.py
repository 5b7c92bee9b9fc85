"""Find the modules of a network that can be left out, from its graph alone.

A residual module is an addition of two tensors that come from one fork: its shortcut, and a branch that does
the work. Names, families and forms of layers play no part in finding it, so that v1, pre-activation, ResNeXt,
Inception-ResNet, inverted residuals and a user's own networks are all found in the same way.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import keras
from keras import layers

from kerasvision.models import graph

Shortcut = Literal["identity", "padded", "projection"]
# keras.applications' Inception-ResNet adds x + scale * branch in a layer of its own, `CustomScaleLayer`.
ADDITIONS = ("Add", "CustomScaleLayer")
NORMALISATIONS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.UnitNormalization,
)


@dataclass(frozen=True)
class ResidualModule:
    """One residual module of a network.

    Attributes:
        name: the prefix of its addition, such as `conv3_block2`; unique in the network.
        shortcut: `"identity"`; `"padded"`: without weights, but subsampled, pooled or padded with zeros;
            `"projection"`: with weights (a convolution, mostly 1x1).
        downsampling: whether it makes the maps smaller.
        input_shape, output_shape: of its tensors, the batch as None.
        parameters: of the branch that goes when the module is left out.
        layers: names of the layers of that branch.
        shortcut_layers: names of the layers of the shortcut, which stay.
    """

    name: str
    shortcut: Shortcut
    downsampling: bool
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    parameters: int
    layers: tuple[str, ...]
    shortcut_layers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Located:
    """Where something that can be left out lies in a graph.

    Attributes:
        module: its public description.
        fork: the tensor that it starts from.
        result: the tensor that it makes.
        nodes: its nodes (those of both branches, and the addition), in order.
        bypass: `id` of a node -> which of its input tensors is handed on in place of its output.
    """

    module: object
    fork: object
    result: object
    nodes: tuple
    bypass: dict[int, int]

    @property
    def name(self) -> str:
        """The name of the module."""
        return self.module.name


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An addition of two branches of one fork."""

    addition: object
    fork: object
    shortcut: list
    branch: list
    position: int  # of the shortcut among the inputs of the addition


def locate_residual(model: keras.Model) -> list[Located]:
    """Return the residual modules of a flat graph, in the order they run.

    Where one addition lies inside a branch of another one (a skip over a whole stage), the inner one counts.
    """
    nodes = graph.nodes(model)
    order = {id(node): i for i, node in enumerate(nodes)}
    makers = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    dominators = Dominators(model)
    found = []
    for node in nodes:
        candidate = _candidate(node, makers, dominators, order) if _is_addition(node) else None
        if candidate:
            found.append(candidate)
    additions = {id(candidate.addition) for candidate in found}
    inner = [
        candidate
        for candidate in found
        if not any(id(node) in additions for node in (*candidate.shortcut, *candidate.branch))
    ]
    names = _names(inner)
    return [_located(candidate, name, makers, order) for candidate, name in zip(inner, names, strict=True)]


def needed(nodes: list, wanted: set[int], bypass: dict[int, int]) -> list:
    """Return those nodes that tensors (`id`s) depend on when some nodes only hand on one of their inputs."""
    wanted, chosen = set(wanted), []
    for node in reversed(nodes):
        if not any(id(tensor) in wanted for tensor in node.output_tensors):
            continue
        chosen.append(node)
        inputs = node.input_tensors
        if id(node) in bypass:
            inputs = [inputs[bypass[id(node)]]]
        wanted.update(map(id, inputs))
    return chosen[::-1]


def hand_on(args, position: int):
    """Return one of the tensors that an operation was to be called with."""
    return keras.tree.flatten(args)[position]


def follow_each_other(model: keras.Model, located: Sequence[Located]) -> bool:
    """Tell whether every way from the first module to the output passes the results of all of them."""
    dominators = Dominators(model)
    ends = [*(module.fork for module in located[1:]), model.outputs[0]]
    return all(
        dominators.common(id(module.result), id(after)) == id(module.result)
        for module, after in zip(located, ends, strict=True)
    )


class Dominators:
    """For each tensor of a graph, the last tensor before it that every way from the input passes."""

    def __init__(self, model: keras.Model):
        self.parent: dict[int, int | None] = {}
        self.depth: dict[int | None, int] = {None: 0}
        for tensor in graph.functional(model).inputs:
            self._put(id(tensor), None)
        for node in graph.nodes(model):
            inputs = [id(tensor) for tensor in node.input_tensors]
            above = inputs[0]
            for other in inputs[1:]:
                above = self.common(above, other)
            for tensor in node.output_tensors:
                self._put(id(tensor), above)

    def _put(self, tensor: int, parent: int | None) -> None:
        self.parent[tensor], self.depth[tensor] = parent, self.depth[parent] + 1

    def common(self, a: int | None, b: int | None) -> int | None:
        """Return the last tensor that every way to either of two tensors passes (one of them, perhaps)."""
        while a != b:
            if self.depth[a] >= self.depth[b]:
                a = self.parent[a]
            else:
                b = self.parent[b]
        return a


def _is_addition(node) -> bool:
    return type(node.operation).__name__ in ADDITIONS and len(node.input_tensors) == 2


def _candidate(node, makers: dict, dominators: Dominators, order: dict) -> _Candidate | None:
    """Return what an addition joins, or None where that is no residual module."""
    a, b = node.input_tensors
    fork = dominators.common(id(a), id(b))
    if fork is None or a is b or tuple(a.shape) != tuple(b.shape):
        return None
    branches = [_nodes_between(fork, id(tensor), makers, order) for tensor in (a, b)]
    position = min((0, 1), key=lambda i: (_parameters(branches[i]), len(branches[i])))
    shortcut, branch = branches[position], branches[1 - position]
    shared = {id(n) for n in shortcut} & {id(n) for n in branch}
    if shared or _working(shortcut) > 1 or _working(branch) <= _working(shortcut):
        return None
    tensors = {id(t): t for n in (node, *shortcut, *branch) for t in n.input_tensors}
    return _Candidate(node, tensors[fork], shortcut, branch, position)


def _nodes_between(fork: int, end: int, makers: dict, order: dict) -> list:
    """Return the nodes on all ways from the fork to a tensor, in order."""
    found, open_tensors = {}, [end]
    while open_tensors:
        tensor = open_tensors.pop()
        if tensor == fork or id(makers[tensor]) in found:
            continue
        found[id(makers[tensor])] = makers[tensor]
        open_tensors += map(id, makers[tensor].input_tensors)
    return sorted(found.values(), key=lambda node: order[id(node)])


def _parameters(nodes: list) -> int:
    weighty = {id(n.operation): n.operation for n in nodes if isinstance(n.operation, keras.Layer)}
    return sum(layer.count_params() for layer in weighty.values())


def _working(nodes: list) -> int:
    """Count the layers with weights, normalisation left out."""
    return sum(
        isinstance(node.operation, keras.Layer)
        and bool(node.operation.weights)
        and not isinstance(node.operation, NORMALISATIONS)
        for node in nodes
    )


def _located(candidate: _Candidate, name: str, makers: dict, order: dict) -> Located:
    addition, fork = candidate.addition, candidate.fork
    result = addition.output_tensors[0]
    module = ResidualModule(
        name=name,
        shortcut=_kind(candidate.shortcut),
        downsampling=_shrinks(candidate.branch, fork, result),
        input_shape=tuple(fork.shape),
        output_shape=tuple(result.shape),
        parameters=_parameters(candidate.branch),
        layers=_layer_names(candidate.branch),
        shortcut_layers=_layer_names(candidate.shortcut),
    )
    nodes = sorted([*candidate.shortcut, *candidate.branch, addition], key=lambda n: order[id(n)])
    return Located(module, fork, result, tuple(nodes), {id(addition): candidate.position})


def _kind(shortcut: list) -> Shortcut:
    if not shortcut:
        return "identity"
    return "projection" if _parameters(shortcut) else "padded"


def _shrinks(branch: list, fork, result) -> bool:
    """Tell whether the maps get smaller; from the strides too, as sides may be unknown."""
    strided = any(
        max(keras.tree.flatten(getattr(node.operation, "strides", 1))) > 1
        and not isinstance(node.operation, layers.Conv2DTranspose)
        for node in branch
    )
    return strided or any(
        None not in (a, b) and b < a for a, b in zip(fork.shape[1:-1], result.shape[1:-1], strict=True)
    )


def _layer_names(nodes: list) -> tuple[str, ...]:
    return tuple(node.operation.name for node in nodes if isinstance(node.operation, keras.Layer))


def _names(candidates: list[_Candidate]) -> list[str]:
    names = [_name(candidate) for candidate in candidates]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else candidate.addition.operation.name
        for name, candidate in zip(names, candidates, strict=True)
    ]


def _name(candidate: _Candidate) -> str:
    """Return the prefix of the addition's name, or what the named layers of the branch have in common."""
    addition = candidate.addition.operation
    if not _is_numbered(addition):
        return re.sub("_(add|out)$", "", addition.name)
    named = [node.operation.name.split("_") for node in candidate.branch if not _is_numbered(node.operation)]
    prefix = list(takewhile(lambda parts: len(set(parts)) == 1, zip(*named, strict=False)))
    words = [parts[0] for parts in prefix]
    if len(named) == 1:
        words.pop()
    return "_".join(words) or addition.name


def _is_numbered(operation) -> bool:
    """Tell whether a name is only that of the class and a number: `add_3`, `batch_normalization`."""
    kind = type(operation).__name__.lower()
    return re.fullmatch(rf"{kind}\d*", operation.name.replace("_", "").lower()) is not None
