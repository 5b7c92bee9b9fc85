"""What networks of image inputs answer as LiteRT and ONNX files, and how near vectors are."""

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx
from keras import layers

from kerasvision._litert import LiteRTModel, convert
from kerasvision.models import graph


def pictures(rng, count=8, size=32):
    """Return raw pictures of large dots, (count, size, size, 3) float32, whole numbers."""
    small = rng.integers(0, 256, (count, size // 4, size // 4, 3))
    return small.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)


def lively(model: keras.Model, images) -> keras.Model:
    """Give BatchNorm the statistics of some images, so that random weights tell images apart."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    return model


def settle(model: keras.Model, images) -> keras.Model:
    """Scale and shift layers with kernels so that their sums have mean 0 and deviation 1 over some images.

    Random weights without BatchNorm give all images nearly one vector.
    """

    def call(layer, args, kwargs, node):
        if hasattr(layer, "kernel"):
            activation, layer.activation = layer.activation, keras.activations.linear
            sums = layer(*args).numpy()
            shared = tuple(range(sums.ndim - len(layer.bias.shape)))
            layer.kernel.assign(layer.kernel / sums.std())
            layer.bias.assign((layer.bias - sums.mean(shared)) / sums.std())
            layer.activation = activation
        return graph.infer(layer, args, kwargs, node)

    graph.replay(model, {id(model.inputs[0]): tf.constant(images)}, call)
    return model


def tflite(model: keras.Model, *images, quantize=None) -> np.ndarray:
    """Return the only output of the TFLite file; the images of each input calibrate it, too."""
    fed = {tensor.name: batch.astype(np.uint8) for tensor, batch in zip(model.inputs, images, strict=True)}
    calibration = None if quantize is None else fed
    file = LiteRTModel(convert(model, quantize=quantize, calibration=calibration))
    (values,) = file(fed).values()
    return values


def onnx(model: keras.Model, *images) -> np.ndarray:
    """Return the only output of the ONNX file."""
    specs = [tf.TensorSpec(tensor.shape, tf.float32, name=tensor.name) for tensor in model.inputs]

    def serve(*tensors):
        return model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    serve = tf.function(serve, input_signature=specs, autograph=False)
    proto, _ = tf2onnx.convert.from_function(serve, input_signature=specs, opset=17)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [tensor.name for tensor in session.get_inputs()]
    return session.run(None, dict(zip(names, images, strict=True)))[0]


def cosines(first, second) -> np.ndarray:
    """Return the cosine of each row with the same row of the other."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (np.asarray(first, np.float64) * second).sum(1) / lengths


def most_apart(vectors) -> float:
    """Return the smallest cosine of two rows."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float((unit @ unit.T).min())
