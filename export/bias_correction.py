"""Take the systematic part of the rounding error out of an int8 file, by its biases.

Rounding to 8 bits shifts the mean of what a layer computes, above all where a few large values make the
steps coarse, and the shifts add up over a network. A shift of a channel's mean can be taken back through its
bias, as long as nothing but additions follow. (The empirical form of Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", ICCV 2019.)

Measured on MobileNetV2 with ImageNet weights and a head for flowers, 1,000 held-out photos: the same answer
as the model on 96.2 % instead of 92.7 % at 128 px, and on 96.0 % instead of 92.3 % at 160 px. Correcting
layers with a ReLU as well was no better, and correcting several layers at once was useless: each must see its
predecessors corrected.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kerasvision._litert import LiteRTModel
from kerasvision._tflite_file import pack

_LAYERS = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)
_IMAGES = 64


@dataclass(frozen=True)
class _Layer:
    """A convolution or dense layer of a file: what it is, and the numbers of its bias and output tensors."""

    kind: int
    shape: tuple[int, ...]
    bias: int
    output: int
    linear: bool


def correct_biases(quantised: bytes, reference: bytes, images: np.ndarray, *, most: int = _IMAGES) -> bytes:
    """Return an int8 file with corrected biases, or the file as it was where that is closer to the reference.

    Args:
        quantised: the int8 file of a model.
        reference: the float32 file of the same model.
        images: (n, h, w, 3) uint8 training images.
        most: only the first so many are used.
    """
    images = images[:most]
    model, floats = (schema.ModelT.InitFromPackedBuf(data, 0) for data in (quantised, reference))
    layers, twins = _layers(model), _layers(floats)
    if [(layer.kind, layer.shape) for layer in layers] != [(twin.kind, twin.shape) for twin in twins]:
        return quantised
    uses = Counter(layer.bias for layer in layers)
    chosen = [
        pair
        for pair in zip(layers, twins, strict=True)
        if _correctable(model, pair[0]) and uses[pair[0].bias] == 1
    ]
    if not chosen:
        return quantised
    wanted = _channel_means(floats, [twin.output for _, twin in chosen], images)
    for (layer, _), mean in zip(chosen, wanted, strict=True):
        (found,) = _channel_means(model, [layer.output], images)
        _shift_bias(model, layer.bias, mean - found)
    corrected = pack(model, len(quantised))
    return min((corrected, quantised), key=lambda data: _distance(data, reference, images))


def _layers(model) -> list[_Layer]:
    graph, found = model.subgraphs[0], []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind not in _LAYERS:
            continue
        output = int(operator.outputs[0])
        bias = int(operator.inputs[2]) if len(operator.inputs) > 2 else -1
        activation = operator.builtinOptions.fusedActivationFunction
        linear = activation == schema.ActivationFunctionType.NONE
        found.append(_Layer(kind, tuple(map(int, graph.tensors[output].shape)), bias, output, linear))
    return found


def _correctable(model, layer: _Layer) -> bool:
    if not layer.linear or layer.bias < 0:
        return False
    tensor = model.subgraphs[0].tensors[layer.bias]
    return tensor.type == schema.TensorType.INT32 and model.buffers[tensor.buffer].data is not None


def _channel_means(model, outputs: list[int], images: np.ndarray) -> list[np.ndarray]:
    """Run a file with other outputs; return the mean of each channel of each."""
    graph = model.subgraphs[0]
    kept = graph.outputs, graph.operators, model.signatureDefs
    last = max(n for n, op in enumerate(graph.operators) if set(outputs) & set(map(int, op.outputs)))
    graph.outputs, model.signatureDefs = np.asarray(outputs, np.int32), []
    graph.operators = graph.operators[: last + 1]  # what comes after need not be computed
    try:
        run = LiteRTModel(pack(model, sum(len(b.data) for b in model.buffers if b.data is not None)))
    finally:
        graph.outputs, graph.operators, model.signatureDefs = kept
    sums = [0.0] * len(outputs)
    for image in images:
        for place, values in enumerate(run(image[None]).values()):
            sums[place] += values.reshape(-1, values.shape[-1]).mean(0, dtype=np.float64)
    return [total / len(images) for total in sums]


def _shift_bias(model, index: int, shift: np.ndarray) -> None:
    tensor = model.subgraphs[0].tensors[index]
    old = np.frombuffer(np.asarray(model.buffers[tensor.buffer].data, np.uint8).tobytes(), np.int32)
    steps = np.round(shift / np.asarray(tensor.quantization.scale, np.float64))
    limits = np.iinfo(np.int32)
    new = np.clip(old + steps, limits.min, limits.max).astype(np.int32)
    # A buffer of its own: equal biases of several layers share one.
    tensor.buffer = len(model.buffers)
    model.buffers.append(schema.BufferT(np.frombuffer(new.tobytes(), np.uint8)))


def _distance(data: bytes, reference: bytes, images: np.ndarray) -> float:
    found, wanted = (list(LiteRTModel(file)(images).values()) for file in (data, reference))
    return float(sum(np.abs(a - b).mean() for a, b in zip(found, wanted, strict=True)))
