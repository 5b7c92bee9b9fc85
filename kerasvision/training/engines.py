"""Run a backbone over many images by the fastest exact engine: LiteRT, or a TensorFlow graph."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kerasvision import _litert
from kerasvision.errors import KerasvisionError

LITERT_BATCH = 8  # the fastest of 1, 8, 32 and 128 for float32 on a CPU: the activations stay in its cache

# The cost model, measured on 2 cores with MobileNetV2 at 160 px and ResNet50 at 128 px, quiet machine.
# Conversion against tracing a graph: 1.3 s and 8.5 s more, for 2.3 and 23.6 million weights.
CONVERSION_SECONDS, CONVERSION_SECONDS_PER_MILLION = 0.55, 0.34
# What LiteRT gains an image: 830 instead of 450 images/s, 148 instead of 122 (0.153 and 1.26 GMAC an image).
GAIN_MS_PER_GMAC = {"depthwise": 6.6, "dense": 1.1}
MEASURED_CORES = 2


@dataclass(frozen=True)
class Engine:
    """A function from images (n, h, w, 3), uint8 or float in [0, 255], to float32 outputs (n, …).

    Attributes:
        name: `"litert"` or `"graph"`.
        why: for the report.
        run: the function.
        content: gives the TFLite file of `"litert"`.
    """

    name: str
    why: str
    run: Callable[[np.ndarray], np.ndarray]
    content: Callable[[], bytes] | None = None


def choose_engine(model, images: int, engine: str = "auto") -> tuple[str, str]:
    """Return the name of the engine that has the images done first, and why.

    Args:
        model: a flat `keras.Model` for raw images.
        images: how many will be run in all.
        engine: `"auto"`, or the name itself.

    Raises:
        KerasvisionError: another value.
    """
    if engine in ("litert", "graph"):
        return engine, "asked for"
    if engine != "auto":
        raise KerasvisionError(f'`engine` must be "auto", "litert" or "graph". Received: {engine!r}.')
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU") or tf.config.list_logical_devices("TPU"):
        return "graph", "LiteRT would leave the accelerator unused"
    cost = conversion_seconds(model)
    kind, giga = _work(model)
    gain = images * giga * GAIN_MS_PER_GMAC[kind] / 1000 * MEASURED_CORES / _litert.usable_cpus()
    sentence = f"for {images:,} images converting costs about {cost:.1f} s more and saves about {gain:.1f} s"
    return ("litert" if gain > cost else "graph"), sentence


def conversion_seconds(model) -> float:
    """Estimate how much longer it takes to convert a `keras.Model` for LiteRT than to trace its graph."""
    return CONVERSION_SECONDS + CONVERSION_SECONDS_PER_MILLION * model.count_params() / 1e6


def make_engine(model, images: int, engine: str = "auto") -> Engine:
    """Return an engine for running `images` images; it is prepared at its first call. See `choose_engine`."""
    name, why = choose_engine(model, images, engine)
    if name == "graph":
        graph = functools.cache(lambda: _graph_engine(model))
        return Engine(name, why, lambda images: graph()(images))
    content = functools.cache(lambda: _litert.convert(model, batch=LITERT_BATCH))
    opened = functools.cache(lambda: open_litert(content()))
    return Engine(name, why, lambda images: opened()(images), content)


def open_litert(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from images to the one output of a converted model, for many images at a time."""
    runner = _litert.LiteRTModel(content, side_by_side=True)
    output = next(iter(runner.outputs))
    return lambda images: runner(images)[output]


def _graph_engine(model) -> Callable:
    import tensorflow as tf

    from kerasvision.models import fold_batchnorm

    folded = fold_batchnorm(model)
    shape = (None, *model.input_shape[1:])

    def forward(images):
        return tf.cast(folded(tf.cast(images, tf.float32), training=False), tf.float32)

    # One graph for uint8 and one for float images, each traced when it is needed, for any batch size.
    by_dtype = {
        dtype: tf.function(forward, input_signature=[tf.TensorSpec(shape, dtype)], autograph=False)
        for dtype in (tf.uint8, tf.float32)
    }

    def run(images):
        images = np.asarray(images)
        if images.dtype != np.uint8:
            images = images.astype(np.float32)
        return by_dtype[tf.as_dtype(images.dtype)](images).numpy()

    return run


def _work(model) -> tuple[str, float]:
    """Return the kind of network and 10^9 multiplications of its convolutions for an image."""
    import keras

    from kerasvision.models import graph

    total, kind = 0, "dense"
    for node in graph.nodes(model):
        layer = node.operation
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kind = "depthwise"
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            height, width = node.output_tensors[0].shape[1:3]
            total += int(np.prod(layer.kernel.shape)) * height * width
    return kind, total / 1e9


def weights_digest(model) -> str:
    """Return hexadecimal digits of a model's weights and their shapes."""
    import hashlib

    digest = hashlib.blake2b(digest_size=16)
    for weight in model.weights:
        digest.update(str(weight.shape).encode())
        digest.update(np.ascontiguousarray(weight.numpy()).data)
    return digest.hexdigest()
