"""Walk and rebuild the graph of a functional Keras model.

The only file that touches Keras' private record of a graph (nodes and their arguments). What is here works
on tensors of *this* model's graph: `layer.output` may belong to another graph that shares the layer.
"""

from collections import Counter
from collections.abc import Callable

import keras
from keras import tree

Replayer = Callable[..., object]


def functional(model: keras.Model) -> keras.Model:
    """Return the functional graph of a model, or say that it has none.

    Raises:
        ValueError: the model is subclassed, or a Sequential that was not built.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: {type(model).__name__}.")
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"`model` {model.name!r} is a Sequential without an input shape. "
                "Start it with keras.Input(...)."
            )
        return model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"`model` {model.name!r} is subclassed ({type(model).__name__}), so it has no graph to work on. "
            "Build it with the functional API: keras.Model(inputs, outputs)."
        )
    return model


def nodes(model: keras.Model) -> list:
    """Return the calls of a model's graph in the order they run, its inputs left out.

    Each has `.operation`, `.input_tensors`, `.output_tensors` and `.arguments`.
    """
    by_depth = functional(model)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def output_of(model: keras.Model, layer_name: str):
    """Return the output tensor of a layer within this model's graph.

    Raises:
        ValueError: there is no such layer in the graph.
    """
    for node in nodes(model):
        if node.operation.name == layer_name:
            return node.output_tensors[0]
    names = [node.operation.name for node in nodes(model)]
    raise ValueError(
        f"Model {model.name!r} has no layer {layer_name!r} in its graph. It has: {', '.join(_ends(names))}."
    )


def sources(tensor) -> list:
    """Return the inputs that a tensor comes from, each tensor on the way being looked at once.

    `keras.utils.get_source_inputs` goes every way there is, twice as many with each residual block: on FRRN
    it does not come to an end.
    """
    found, seen, waiting = [], set(), [tensor]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        operation, index, _ = current._keras_history
        node = operation._inbound_nodes[index]
        if node.is_input:
            found.append(current)
        waiting.extend(reversed(node.input_tensors))
    return found


def consumers(model: keras.Model) -> Counter:
    """Count how often each tensor of a graph is used, by `id`; an output of the model counts as a use."""
    graph = functional(model)
    counts = Counter(id(tensor) for node in nodes(model) for tensor in node.input_tensors)
    counts.update(id(tensor) for tensor in graph.outputs)
    return counts


def replay(model: keras.Model, known: dict, call: Replayer | None = None, flatten: bool = False) -> dict:
    """Run a graph again on other tensors.

    Args:
        model: functional model.
        known: `id` of a tensor of the graph -> tensor to use in its place, for the inputs, or for tensors in
            the middle (what they do not reach is left out).
        call: `call(operation, args, kwargs, node)` returns the outputs of a node; default: calls it.
        flatten: replay the insides of nested models too, so that the result is one flat graph.

    Returns:
        `known`, extended by every tensor that could be computed.
    """
    call = call or (lambda operation, args, kwargs, node: operation(*args, **kwargs))
    tensors = dict(known)
    for node in nodes(model):
        missing = any(id(tensor) not in tensors for tensor in node.input_tensors)
        done = all(id(tensor) in tensors for tensor in node.output_tensors)
        if missing or done:
            continue
        args, kwargs = node.arguments.fill_in(tensors)
        if flatten and isinstance(node.operation, keras.Model):
            outputs = _inside(node.operation, args, kwargs, call)
        else:
            outputs = call(node.operation, args, kwargs, node)
        tensors.update(zip(map(id, node.output_tensors), tree.flatten(outputs), strict=True))
    return tensors


def run(chosen: list, known: dict, call: Replayer | None = None) -> dict:
    """Run some nodes of a graph for inference, in order, on tensors that stand for those of the graph.

    Args:
        chosen: nodes, as `nodes` gives them.
        known: `id` of a tensor of the graph -> tensor to use in its place, for all that the nodes start from.
        call: `call(operation, args, kwargs, node)` returns the outputs of a node; default: calls it, with
            `training=False` where the graph does not say otherwise.

    Returns:
        `known`, extended by the outputs of the nodes.
    """
    call = call or infer
    tensors = dict(known)
    for node in chosen:
        args, kwargs = node.arguments.fill_in(tensors)
        outputs = tree.flatten(call(node.operation, args, kwargs, node))
        tensors.update(zip(map(id, node.output_tensors), outputs, strict=True))
    return tensors


def infer(operation, args, kwargs, node):
    """Call an operation for inference: a `call` for `run` and `replay`."""
    if getattr(operation, "_call_has_training_arg", False):
        kwargs = {"training": False, **kwargs}
    return operation(*args, **kwargs)


def rebuild(
    model: keras.Model, call: Replayer, name: str | None = None, flatten: bool = False
) -> keras.Model:
    """Return a model whose graph is that of `model` replayed with `call` on new inputs of the same form."""
    graph = functional(model)
    inputs = {id(tensor): _like(tensor) for tensor in graph.inputs}
    tensors = replay(graph, inputs, call, flatten)
    new = [
        tree.map_structure(lambda tensor: tensors[id(tensor)], structure)
        for structure in (graph._inputs_struct, graph._outputs_struct)
    ]
    return keras.Model(*new, name=name or model.name)


def copier() -> Replayer:
    """Return a `call` for `rebuild` that uses copies of the layers, with their weights.

    A layer that is called several times has one copy. A name that is taken (two nested models may both have
    a `conv2d`) gets a number.
    """
    copies, names = {}, Counter()

    def call(operation, args, kwargs, node):
        if not isinstance(operation, keras.Layer):
            return operation(*args, **kwargs)
        new = id(operation) not in copies
        if new:
            copies[id(operation)] = copy_layer(operation, name=_unique(operation.name, names))
        layer = copies[id(operation)]
        outputs = layer(*args, **kwargs)
        if new:
            assign(layer, operation)
        return outputs

    return call


def copy(model: keras.Model) -> keras.Model:
    """Return a flat copy of a model: layers and weights of its own, nested models opened."""
    return rebuild(model, copier(), flatten=True)


def copy_layer(layer: keras.Layer, **changes) -> keras.Layer:
    """Return a new layer of the same configuration, without weights yet."""
    return type(layer).from_config({**layer.get_config(), **changes})


def assign(layer: keras.Layer, other: keras.Layer) -> None:
    """Give a layer the weights of another one of the same kind."""
    for variable, value in zip(layer.weights, other.weights, strict=True):
        variable.assign(value)


def is_flat(model: keras.Model) -> bool:
    """Tell whether a graph has no model nested inside."""
    return not any(isinstance(node.operation, keras.Model) for node in nodes(model))


def _inside(inner: keras.Model, args, kwargs, call: Replayer):
    """Replay a nested model; `training=` that it was called with is handed on to its layers."""
    graph = functional(inner)
    training = kwargs.get("training")

    def call_inner(operation, arguments, options, node):
        if training is not None and getattr(operation, "_call_has_training_arg", False):
            options = {"training": training, **options}
        return call(operation, arguments, options, node)

    known = dict(zip(map(id, graph.inputs), tree.flatten(args), strict=True))
    tensors = replay(graph, known, call_inner, flatten=True)
    return tree.map_structure(lambda tensor: tensors[id(tensor)], graph._outputs_struct)


def _like(tensor):
    name = tensor._keras_history.operation.name
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def _unique(name: str, names: Counter) -> str:
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name]}"


def _ends(names: list[str], shown: int = 6) -> list[str]:
    return names if len(names) <= 2 * shown else [*names[:shown], "…", *names[-shown:]]
