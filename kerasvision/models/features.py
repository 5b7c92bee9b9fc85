"""Find the feature maps of a network by their stride, from its graph."""

from collections import Counter
from collections.abc import Sequence

import keras
from keras import layers

from kerasvision.models import graph

PADDING = (layers.ZeroPadding2D, layers.Cropping2D)


def feature_pyramid(model: keras.Model, levels: Sequence[int] = (3, 4, 5)) -> keras.Model:
    """Return a model that gives the feature maps of a network at several strides.

    The map of level n has stride 2**n. It is the last one at that stride which everything after it passes
    through: the output of a block rather than a branch inside one.

    Args:
        model: functional model of one image input: any of our builders or classifiers, or any convolutional
            network of keras.applications. A model with others nested inside is copied flat first.
        levels: 3 is stride 8, 4 is stride 16, 5 is stride 32.

    Returns:
        A functional model on the input of `model` with outputs `{"P3": (batch, height/8, width/8, c3), …}`,
        sharing the layers of `model` if that is flat.

    Raises:
        ValueError: the network has no feature map at a stride.

    >>> from kerasvision.models import ResNet50
    >>> pyramid = feature_pyramid(ResNet50(include_top=False, input_shape=(64, 64, 3)))
    >>> {name: tensor.shape[1:] for name, tensor in pyramid.output.items()}
    {'P3': (8, 8, 512), 'P4': (4, 4, 1024), 'P5': (2, 2, 2048)}
    """
    flat = model if graph.is_flat(model) else graph.copy(model)
    maps = last_maps(flat)
    levels = tuple(levels)
    if not levels or any(2**level not in maps for level in levels):
        there = [stride.bit_length() - 1 for stride in sorted(maps) if stride & (stride - 1) == 0]
        raise ValueError(f"`levels` of {model.name!r} must be from {there}. Received: {levels}.")
    outputs = {f"P{level}": maps[2**level] for level in levels}
    return keras.Model(graph.functional(flat).inputs[0], outputs, name=f"{model.name}_pyramid")


def stages(model: keras.Model) -> list[list[str]]:
    """Group the layers of a network by the stride they work at, from the input to the output.

    Args:
        model: flat functional model of one image input.

    Returns:
        Layer names: one list for each stride, in the order of the graph, and a last list with what follows
        the last feature map (pooling, dropout, Dense), empty for a network without a head. To unfreeze the
        last N stages and the head, unfreeze the last N + 1 lists.

    Raises:
        ValueError: the model has others nested inside, or is not functional.
    """
    if not graph.is_flat(model):
        raise ValueError(
            f"`model` {model.name!r} has models nested inside. Build it flat, as classifier(...) does."
        )
    calls, strides = graph.nodes(model), strides_of(model)
    last = max((i for i, node in enumerate(calls) if strides[id(node.output_tensors[0])]), default=-1)
    groups: dict[int, dict[str, None]] = {}
    reached = {id(tensor): 1 for tensor in graph.functional(model).inputs}
    for node in calls[: last + 1]:
        output = node.output_tensors[0]
        deepest = max([strides[id(output)] or 1, *(reached[id(tensor)] for tensor in node.input_tensors)])
        reached.update({id(tensor): deepest for tensor in node.output_tensors})
        groups.setdefault(deepest, {})[node.operation.name] = None
    head = dict.fromkeys(node.operation.name for node in calls[last + 1 :])
    known = {layer.name for layer in model.layers}
    ordered = [*(groups[stride] for stride in sorted(groups)), head]
    return [[name for name in group if name in known] for group in ordered]


def last_maps(model: keras.Model) -> dict:
    """Return stride -> the last feature map (a tensor of the graph) at that stride.

    Preferred is a map through which everything after it passes; where a network has none at some stride
    (cells that reach back over others), it is the last map there.
    """
    strides, uses = strides_of(model), Counter()
    for node in graph.nodes(model):
        uses.update(map(id, node.input_tensors))
    open_maps = Counter({id(tensor): uses[id(tensor)] for tensor in graph.functional(model).inputs})
    any_map, through = {}, {}
    for node in graph.nodes(model):
        open_maps.subtract(map(id, node.input_tensors))
        for tensor in node.output_tensors:
            open_maps[id(tensor)] = uses[id(tensor)]
        tensor = node.output_tensors[0]
        stride = strides[id(tensor)]
        if not stride or isinstance(node.operation, PADDING):
            continue
        any_map[stride] = tensor
        if not any(count for key, count in open_maps.items() if key != id(tensor)):
            through[stride] = tensor
    return {**any_map, **through}


def strides_of(model: keras.Model) -> dict[int, int | None]:
    """Return `id` of each tensor -> its stride against the image; `None` where it is no feature map."""
    strides = {id(tensor): 1 if _is_map(tensor) else None for tensor in graph.functional(model).inputs}
    for node in graph.nodes(model):
        known = [t for t in node.input_tensors if strides[id(t)] is not None]
        # With squeeze-and-excite one input is a map and the other one vector per channel: the map counts.
        source = max(known, key=lambda tensor: _side(tensor) or 0, default=None)
        for tensor in node.output_tensors:
            strides[id(tensor)] = None if source is None else _stride(node.operation, source, tensor, strides)
    return strides


def _stride(operation, source, output, strides: dict) -> int | None:
    stride = strides[id(source)]
    if not _is_map(output) or isinstance(operation, layers.Reshape | layers.Permute):
        return None
    if isinstance(operation, layers.UpSampling2D):
        return max(1, stride // operation.size[0])
    if isinstance(operation, layers.Conv2DTranspose):
        return max(1, stride // operation.strides[0])
    if hasattr(operation, "strides"):
        return stride * operation.strides[0]
    if isinstance(operation, PADDING) or _side(source) == _side(output):
        return stride
    return _by_sides(stride, _side(source), _side(output))


def _by_sides(stride: int, before: int | None, after: int | None) -> int | None:
    """Guess the stride after an operation that we do not know (a slice, a resize) from the maps' sides."""
    if not before or not after or after == 1:
        return None
    if after > before:
        return max(1, stride // round(after / before))
    return stride * round(before / after)


def _is_map(tensor) -> bool:
    return len(tensor.shape) == 4


def _side(tensor) -> int | None:
    return tensor.shape[1]
