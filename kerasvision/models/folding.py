"""Fold batch normalisation into the convolutions before it: the same function with fewer operations."""

from collections import Counter

import keras
import numpy as np
from keras import layers

from kerasvision.models import graph

FOLDABLE = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """Return the same function for inference, with BatchNormalization folded into the layer before it.

    A BatchNormalization is folded where it follows a Conv2D, DepthwiseConv2D or Dense that has no activation,
    is called once, and whose output goes nowhere else. Any other stays as it is.

    Args:
        model: functional model, with any structure of inputs and outputs.

    Returns:
        A flat functional model with layers and weights of its own, named as in `model`. Its outputs equal
        `model(x, training=False)` up to rounding.

    Raises:
        ValueError: the model is not functional.
    """
    flat = model if graph.is_flat(model) else graph.copy(model)
    followers = _foldable(flat)
    absorbed = {id(follower) for follower in followers.values()}
    copy = graph.copier()

    def call(operation, args, kwargs, node):
        if id(node) in absorbed:
            return args[0]
        if id(node) in followers:
            return _folded(operation, followers[id(node)].operation, args[0])
        return copy(operation, args, kwargs, node)

    return graph.rebuild(flat, call, name=model.name)


def _foldable(model: keras.Model) -> dict:
    """Return `id` of a node of a convolution -> node of the BatchNormalization that it can take in."""
    nodes, uses = graph.nodes(model), graph.consumers(model)
    calls = Counter(id(node.operation) for node in nodes)
    makers = {id(tensor): node for node in nodes for tensor in node.output_tensors}
    found = {}
    for node in nodes:
        maker = makers.get(id(node.input_tensors[0]))
        if maker is None or uses[id(node.input_tensors[0])] > 1:
            continue
        once = calls[id(node.operation)] == calls[id(maker.operation)] == 1
        if once and _is_plain_batchnorm(node) and _is_linear(maker.operation):
            found[id(maker)] = node
    return found


def _is_plain_batchnorm(node) -> bool:
    """Tell whether a node normalises the last axis with its moving statistics."""
    last = len(node.input_tensors[0].shape) - 1
    layer, arguments = node.operation, node.arguments
    return (
        type(layer) is layers.BatchNormalization
        and layer.axis in (-1, last)
        and arguments.kwargs.get("training") is not True
        and len(arguments.args) == 1
    )


def _is_linear(layer) -> bool:
    """Tell whether a layer is a linear map per output channel, in the format that we can scale."""
    return (
        type(layer) in FOLDABLE
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and getattr(layer, "quantization_mode", None) is None
        and not getattr(layer, "lora_enabled", False)
    )


def _folded(layer, batchnorm, x):
    """Call a copy of a layer that has the normalisation in its kernel and bias."""
    initializer = (
        "depthwise_initializer" if isinstance(layer, layers.DepthwiseConv2D) else "kernel_initializer"
    )
    copy = graph.copy_layer(layer, use_bias=True, **{initializer: "zeros"})
    outputs = copy(x)
    scale, offset = _scale_and_offset(batchnorm)
    kernel = layer.kernel.numpy().astype("float64")
    bias = layer.bias.numpy().astype("float64") if layer.use_bias else 0.0
    # Depthwise kernels are (h, w, channels, multiplier), with the outputs of a channel side by side.
    copy.set_weights([kernel * scale.reshape(_channels(layer, kernel)), bias * scale + offset])
    return outputs


def _channels(layer, kernel: np.ndarray) -> tuple[int, ...]:
    return kernel.shape[-2:] if isinstance(layer, layers.DepthwiseConv2D) else kernel.shape[-1:]


def _scale_and_offset(batchnorm) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalisation as y = x * scale + offset, each (channels,) float64."""
    mean, variance, gamma, beta = (
        None if value is None else value.numpy().astype("float64")
        for value in (
            batchnorm.moving_mean,
            batchnorm.moving_variance,
            batchnorm.gamma if batchnorm.scale else None,
            batchnorm.beta if batchnorm.center else None,
        )
    )
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + batchnorm.epsilon)
    return scale, (0.0 if beta is None else beta) - mean * scale
