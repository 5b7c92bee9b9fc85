"""Finer feature maps of a trained network: strides replaced by dilation, the weights kept."""

from dataclasses import dataclass
from functools import reduce

import keras
from keras import layers, ops

from kerasvision.errors import KerasvisionError
from kerasvision.models import graph
from kerasvision.models.features import strides_of

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
STRIDES = (4, 8, 16, 32)


def dilate(model: keras.Model, output_stride: int) -> keras.Model:
    """Return a network whose maps are nowhere coarser than one place for `output_stride` pixels.

    Each step of stride 2 beyond is left out, and the kernels of all later layers are spread instead, so that
    every weight sees pixels at the distance that it was trained for ("à trous"). Where the original has a
    place, the new network computes the same there, away from the borders, and has others between. Windows
    lie evenly around their place, also where the original pads one side only, as `padding="same"` does with
    a stride.

    Args:
        model: functional model of one image input without a head that needs a fixed size, with any structure
            of outputs, for example what `feature_pyramid` returns.
        output_stride: 4, 8, 16 or 32; 32 leaves most networks as they are.

    Returns:
        A flat functional model with layers and weights of its own, named as in `model`.

    Raises:
        KerasvisionError: another `output_stride`, or a layer that cannot be spread.
        ValueError: the model is not functional.

    Chen et al., DeepLab, 2017, section 3.1, https://arxiv.org/abs/1606.00915

    >>> from kerasvision.models import ResNet50
    >>> dilate(ResNet50(include_top=False, input_shape=(64, 64, 3)), 8).output_shape
    (None, 8, 8, 2048)
    """
    if output_stride not in STRIDES:
        raise KerasvisionError(f"`output_stride` must be one of {STRIDES}. Received: {output_stride!r}.")
    flat = model if graph.is_flat(model) else graph.copy(model)
    plan = _plan(flat, output_stride)
    copy = graph.copier()

    def call(operation, args, kwargs, node):
        step = plan.get(id(node))
        if step is None:
            return copy(operation, args, kwargs, node)
        if isinstance(operation, layers.ZeroPadding2D):
            return args[0]
        return _spread(operation, step, args[0])

    return graph.rebuild(flat, call, name=model.name)


@dataclass(frozen=True)
class _Step:
    """How one layer changes: no stride, its kernel spread by `rate`, its map as large as the one before."""

    rate: int
    padded: bool


def _plan(model: keras.Model, output_stride: int) -> dict[int, _Step]:
    """Return `id` of each node that changes -> how; zero padding that goes is in it, too."""
    strides, uses = strides_of(model), graph.consumers(model)
    rates = {id(tensor): 1 for tensor in graph.functional(model).inputs}
    makers = {id(tensor): node for node in graph.nodes(model) for tensor in node.output_tensors}
    plan: dict[int, _Step] = {}
    for node in graph.nodes(model):
        source, operation = node.input_tensors[0], node.operation
        rate = max(rates[id(tensor)] for tensor in node.input_tensors)
        stride = _stride(operation)
        whole = stride > 1 and (strides[id(source)] or 0) * stride > output_stride
        if (whole or rate > 1) and _has_window(operation):
            _check(operation, rate, whole)
            before = makers.get(id(source))
            # Padding by a layer before it, for the stride: `padding="same"` of the new layer stands for it.
            apart = before is not None and _is_padding(before.operation) and uses[id(source)] == 1
            if apart:
                plan[id(before)] = _Step(rate, padded=True)
            plan[id(node)] = _Step(rate, padded=apart or whole)
        for tensor in node.output_tensors:
            rates[id(tensor)] = rate * stride if whole else rate
    return plan


def _stride(operation) -> int:
    return operation.strides[0] if hasattr(operation, "strides") and _has_window(operation) else 1


def _has_window(operation) -> bool:
    return isinstance(operation, (*CONVOLUTIONS, layers.MaxPooling2D, layers.AveragePooling2D))


def _is_padding(operation) -> bool:
    return isinstance(operation, layers.ZeroPadding2D) and operation.data_format == "channels_last"


def _size(operation) -> tuple[int, int]:
    return tuple(operation.pool_size if hasattr(operation, "pool_size") else operation.kernel_size)


def _check(operation, rate: int, whole: bool) -> None:
    average = isinstance(operation, layers.AveragePooling2D) and rate > 1 and _size(operation) != (1, 1)
    if average or (not whole and _stride(operation) > 1):
        raise KerasvisionError(
            f"Layer {operation.name!r} ({type(operation).__name__}) cannot be spread by {rate}. Use a larger "
            "`output_stride`, or another backbone: MobileNets, EfficientNetV2, ResNets and VGG can."
        )


def _spread(operation, step: _Step, x):
    """Call a copy of a layer without its stride, its window spread."""
    size, rate = _size(operation), step.rate
    if isinstance(operation, layers.MaxPooling2D | layers.AveragePooling2D):
        if rate == 1 or size == (1, 1):
            return graph.copy_layer(operation, strides=1, padding="same")(x)
        return _spread_max(x, size, rate, name=operation.name)
    changes = {"strides": 1, "dilation_rate": 1 if size == (1, 1) else rate}
    if step.padded:
        changes["padding"] = "same"
    layer = graph.copy_layer(operation, **changes)
    y = layer(x)
    graph.assign(layer, operation)
    return y


def _spread_max(x, size: tuple[int, int], rate: int, *, name: str):
    """Take the maximum of windows whose pixels are `rate` apart, at every place.

    Beyond the border is 0, which changes nothing where maps are never negative, as behind a ReLU.
    """
    height, width = x.shape[1:3]
    if height is None or width is None:
        raise KerasvisionError(
            f"`model` must be built for images of a fixed size to spread its pooling {name!r}."
        )
    total = [rate * (side - 1) for side in size]
    x = layers.ZeroPadding2D([(one // 2, one - one // 2) for one in total], name=f"{name}_pad")(x)
    rows = [x[:, i * rate : i * rate + height] for i in range(size[0])]
    x = reduce(ops.maximum, rows)
    columns = [x[:, :, j * rate : j * rate + width] for j in range(size[1])]
    return reduce(ops.maximum, columns)
