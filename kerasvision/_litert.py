"""The TFLite converter and the LiteRT interpreter: the only file that touches either.

`convert` goes from one concrete function straight to the converter, without a SavedModel in
between. Measured on two cores: MobileNetV2 at 160 px in 2 s, against 8 s by
`keras.Model.export(format="litert")`. That route loses the names of the outputs and the signature, so
`_tflite_file.with_names` writes them into the finished file.

`LiteRTModel` imports no TensorFlow.
"""

import logging
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np

from kerasvision._tflite_file import INPUT_NAME, decode, describe, encode, pin_range, read_tflite, with_names
from kerasvision.errors import ExportError

Quantize = Literal["float16", "dynamic", "int8"]
# Batch of the interpreter for files that leave the batch open; 8 was the fastest of 1, 8, 32 and 128.
_OPEN_BATCH = 8
_MOST_COPIES = 4  # each holds the weights in the layout of its kernels
_NOT_IN_FILE = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


class LiteRTModel:
    """A TFLite file that takes images, opened in LiteRT.

    Args:
        source: the file, or its bytes.
        threads: CPU threads; all that this process may use when `None`.
        side_by_side: for many images in a call: open the file up to four times, each with its share of the
            threads, and let them work side by side. Threads that work on one image wait for each other, and
            spin while they do: with photos decoded at the same time on 2 cores, MobileNetV2 at 160 px did
            270 images/s with two threads and 510 with two files of one thread. Memory grows with it.

    Raises:
        ExportError: it is not a TFLite file, or LiteRT cannot run it.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        threads: int | None = None,
        *,
        side_by_side: bool = False,
    ):
        """Open the file and reserve its memory."""
        self.name = "these bytes" if isinstance(source, (bytes, bytearray)) else os.fspath(source)
        data = bytes(source) if isinstance(source, (bytes, bytearray)) else read_tflite(source)
        self._description = describe(data, self.name)
        self.inputs, self.outputs = self._description.inputs, self._description.outputs
        self.operations = self._description.operations
        threads = threads or usable_cpus()
        copies = min(threads, _MOST_COPIES) if side_by_side else 1
        self._opened = [_Opened(data, self.name, threads // copies) for _ in range(copies)]
        self.batch = self._opened[0].batch

    def __call__(self, images: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run any number of images.

        Args:
            images: (n, h, w, 3) uint8 or float, [0, 255]; or those of each input, by its name, where a file
                has several. A quantised input is fed by the file's own scale.

        Returns:
            By output name: (n, …), float32 where the file's output is float or quantised.

        Raises:
            ValueError: the images are not of the size that the file takes.
        """
        images = self._checked(images)
        starts = range(0, len(images[0]), self.batch)
        chunks = self._run_all([[fed[i : i + self.batch] for fed in images] for i in starts])
        if not chunks:
            return {name: np.zeros((0, *info.shape[1:]), np.float32) for name, info in self.outputs.items()}
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in self.outputs}

    def _checked(self, images) -> list[np.ndarray]:
        """Return the images for each input, in the file's order."""
        named = images if isinstance(images, Mapping) else dict.fromkeys(list(self.inputs)[:1], images)
        if set(named) != set(self.inputs):
            raise ValueError(
                f"`images` must be given for each of {list(self.inputs)}. Received: {list(named)}."
            )
        arrays = [np.asarray(named[name]) for name in self.inputs]
        for array, info in zip(arrays, self.inputs.values(), strict=True):
            expected = tuple(info.shape[1:])
            if array.shape != (len(arrays[0]), *expected):
                sizes = ", ".join(map(str, expected))
                raise ValueError(f"`images` must have the shape (n, {sizes}). Received: {array.shape}.")
        return arrays

    def _run_all(self, chunks: list[list[np.ndarray]]) -> list[dict[str, np.ndarray]]:
        if len(self._opened) == 1 or len(chunks) < 2:
            return [self._run(self._opened[0], chunk) for chunk in chunks]
        step = len(self._opened)
        with ThreadPoolExecutor(step) as pool:
            shares = pool.map(
                lambda at: [self._run(self._opened[at], chunk) for chunk in chunks[at::step]], range(step)
            )
        done = [None] * len(chunks)
        for at, share in enumerate(shares):
            done[at::step] = share
        return done

    def _run(self, opened: "_Opened", images: list[np.ndarray]) -> dict[str, np.ndarray]:
        count = len(images[0])
        rows = np.minimum(np.arange(self.batch), count - 1)  # the last image fills the batch up
        images = images if count == self.batch else [fed[rows] for fed in images]
        values = opened(map(encode, images, self.inputs.values()))
        pairs = zip(self.outputs.items(), values, strict=True)
        return {name: decode(value[:count], info) for (name, info), value in pairs}


class _Opened:
    """One interpreter with its memory; not for two threads at once."""

    def __init__(self, data: bytes, name: str, threads: int):
        self._interpreter = _interpreter(data, name, threads)
        details = self._interpreter.get_input_details()
        self._inputs, self.batch = [d["index"] for d in details], max(1, int(details[0]["shape"][0]))
        if details[0]["shape_signature"][0] == -1:
            self.batch = _OPEN_BATCH
            for detail in details:
                self._interpreter.resize_tensor_input(detail["index"], [_OPEN_BATCH, *detail["shape"][1:]])
            self._interpreter.allocate_tensors()
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def __call__(self, images: Iterable[np.ndarray]) -> list[np.ndarray]:
        for index, fed in zip(self._inputs, images, strict=True):
            self._interpreter.set_tensor(index, fed)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def convert(
    model,
    *,
    input_shape: Sequence[int] | None = None,
    batch: int = 1,
    quantize: Quantize | None = None,
    calibration: np.ndarray | Mapping[str, np.ndarray] | None = None,
    input_type: Literal["float32", "uint8"] | None = None,
    output_type: Literal["float32", "uint8"] = "float32",
    output_names: Sequence[str] | None = None,
) -> bytes:
    """Convert a model that takes raw images into a TFLite file of static shapes and built-in operations.

    The input is called `image`, the signature `serving_default`. Outputs are called after the keys of a model
    that returns a dictionary, else after `output_names`, else after the Keras model's outputs. A model of
    several inputs keeps their names.

    Args:
        model: a `keras.Model`, or a function of one (batch, h, w, 3) float32 tensor that returns a tensor, a
            sequence or a dictionary of tensors.
        input_shape: (h, w, 3); needed for a function and for a model that leaves its size open.
        batch: images in one call.
        quantize: `None` (float32), `"float16"` (weights), `"dynamic"` (int8 weights), `"int8"` (weights and
            activations; needs `calibration`).
        calibration: (n, h, w, 3) uint8 images, for `"int8"` only. In a copy of each, its darkest value is set
            to 0 and its brightest to 255, so that the input's scale is exactly 1: a phone feeds raw bytes.
            Of several inputs, the images of each by its name, as many.
        input_type: element type of the input; `None` is `"uint8"` for int8 and `"float32"` otherwise.
        output_type: element type of the outputs; `"uint8"` for int8 only.
        output_names: one name for each output.

    Raises:
        ExportError: an operation has no built-in counterpart (it is named), or the file is not as promised.
    """
    input_type = input_type or ("uint8" if quantize == "int8" else "float32")
    _check_arguments(quantize, calibration, input_type, output_type)
    shapes = {name: (batch, *shape) for name, shape in _input_shapes(model, input_shape).items()}
    inside = "float32" if quantize == "int8" else input_type
    concrete, names = _trace(model, shapes, inside, output_names)
    data = _run_converter(concrete, quantize, calibration, input_type, output_type)
    data = with_names(data, names, [tensor.op.name for tensor in concrete.inputs[: len(shapes)]])
    _check_file(data, concrete.graph.variables, input_type, quantize)
    return data


def convert_function(function: Callable, shapes: Mapping[str, Sequence[int]]) -> bytes:
    """Convert a function without variables into a float32 TFLite file.

    Args:
        function: takes one dictionary of float32 tensors and returns another; the outputs of the file are in
            the order of their names.
        shapes: name -> shape of each tensor that it takes, all sizes stated.

    Raises:
        ExportError: an operation has no built-in counterpart (it is named).
    """
    import tensorflow as tf

    specs = {name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()}
    concrete = tf.function(lambda **inputs: dict(function(inputs)), autograph=False)
    concrete = concrete.get_concrete_function(**specs)
    data = _run_converter(concrete, None, None, "float32", "float32")
    data = with_names(data, sorted(concrete.structured_outputs), [t.op.name for t in concrete.inputs])
    _check_file(data, (), None, None)
    return data


def rehearse(
    model, *, input_shape: Sequence[int] | None = None, after: Callable = lambda outputs: outputs
) -> Counter:
    """Convert the graph of a Keras model with every weight replaced by one repeated number.

    The constants stay compact, so this tells in a second or two whether the real conversion will find a
    built-in operation for everything.

    Args:
        model: the model.
        input_shape: (h, w, 3); needed for a model that leaves its size open.
        after: what follows the model in the file: a function of its outputs.

    Returns:
        How often each operation occurs in the TFLite file.

    Raises:
        ExportError: an operation has no built-in counterpart (it is named).
    """
    import keras
    import tensorflow as tf

    def compact(*images):
        # `tf.constant(number, shape=…)` inside a graph is stored as one number.
        weights = [(v, tf.constant(0.5, v.dtype, v.shape)) for v in model.variables if "float" in v.dtype]
        with keras.StatelessScope(state_mapping=weights):
            return after(model(images if len(images) > 1 else images[0], training=False))

    shapes = {name: (1, *shape) for name, shape in _input_shapes(model, input_shape).items()}
    concrete, _ = _trace(compact, shapes, "float32", None)
    return describe(_run_converter(concrete, None, None, "float32", "float32")).operations


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_arguments(quantize, calibration, input_type, output_type) -> None:
    if quantize not in (None, "float16", "dynamic", "int8"):
        raise ExportError(f'`quantize` must be None, "float16", "dynamic" or "int8". Received: {quantize!r}.')
    for argument, value in (("input_type", input_type), ("output_type", output_type)):
        if value not in ("float32", "uint8"):
            raise ExportError(f'`{argument}` must be "float32" or "uint8". Received: {value!r}.')
    if output_type == "uint8" and quantize != "int8":
        raise ExportError('`output_type="uint8"` needs `quantize="int8"`: other files compute in float.')
    if quantize != "int8":
        return
    for images in calibration.values() if isinstance(calibration, Mapping) else [calibration]:
        if images is None or len(images) == 0:
            raise ExportError(
                '`quantize="int8"` needs `calibration`: some training images, (n, h, w, 3) uint8.'
            )
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ExportError(
                "`calibration` must be uint8 images of the shape (n, h, w, 3). "
                f"Received: {images.dtype} {images.shape}."
            )


def _input_shapes(model, stated: Sequence[int] | None) -> dict[str, tuple[int, ...]]:
    """Return the shape of each input by its name, without the batch."""
    known = getattr(model, "input_shape", None)
    if isinstance(known, list) and stated is None:
        return {
            tensor.name: _input_shape(shape, None) for tensor, shape in zip(model.inputs, known, strict=True)
        }
    if isinstance(known, list | dict):
        raise ExportError(
            f"The model must have one input, or a list of them with their sizes. Received: {known}."
        )
    return {INPUT_NAME: _input_shape(known, stated)}


def _input_shape(known: tuple | None, stated: Sequence[int] | None) -> tuple[int, ...]:
    shape = tuple(stated) if stated is not None else tuple(known[1:]) if known else None
    if not shape or None in shape:
        raise ExportError(
            f"`input_shape` must be stated as (height, width, channels): the model has {known}."
        )
    if known and any(k not in (None, s) for k, s in zip(known[1:], shape, strict=True)):
        raise ExportError(f"`input_shape` must fit the model, which takes {known[1:]}. Received: {shape}.")
    return shape


def _trace(model: Callable, shapes: Mapping[str, tuple], dtype: str, names: Sequence[str] | None):
    """Return the concrete function and the names of its outputs, in the order of the outputs."""
    import keras
    import tensorflow as tf

    def serve(*images):
        images = [tf.cast(image, tf.float32) for image in images]
        whole = isinstance(model, keras.Model)
        outputs = model(images if len(images) > 1 else images[0], training=False) if whole else model(*images)
        return _as_dict(outputs, names, getattr(model, "output_names", None))

    specs = [tf.TensorSpec(shape, dtype, name=name) for name, shape in shapes.items()]
    concrete = tf.function(serve, autograph=False).get_concrete_function(*specs)
    return concrete, sorted(concrete.structured_outputs)


def _as_dict(outputs, names, own_names) -> dict:
    if isinstance(outputs, Mapping):
        return dict(outputs)
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    names = list(names or own_names or [f"output_{i}" for i in range(len(outputs))])
    if len(names) != len(outputs):
        raise ExportError(f"`output_names` must hold {len(outputs)} names. Received: {names}.")
    return dict(zip(names, outputs, strict=True))


def _run_converter(concrete, quantize, calibration, input_type, output_type) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    inputs = [tensor for tensor in concrete.inputs if tensor.dtype != tf.resource]  # the others are weights
    with _without_noise():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        fed = _images_for([tensor.op.name for tensor in inputs], calibration)
        converter.representative_dataset = lambda: _calibration_batches(fed, inputs[0].shape[0])
        # Both sets: an operation without an int8 kernel stays float, and `lint` counts it.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        converter.inference_input_type = tf.as_dtype(input_type)
        converter.inference_output_type = tf.as_dtype(output_type)
    try:
        with _without_noise(), warnings.catch_warnings():
            # It warns that statistics of the input are missing; they are for quantisation-aware training.
            warnings.simplefilter("ignore", UserWarning)
            return converter.convert()
    except ConverterError as error:
        raise ExportError(_explain(str(error), concrete.graph)) from None


@contextmanager
def _without_noise():
    """Keep the converter's own pages of text off standard error; they come back if it ends unexpectedly.

    It writes from C++, so only the file descriptor can be redirected.
    """
    from tensorflow.lite.python.convert import ConverterError

    logger = logging.getLogger("absl")  # says that this way of converting is an old one
    level = logger.level
    logger.setLevel(logging.ERROR)
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except ConverterError:
            raise
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            logger.setLevel(level)


def _images_for(names: list[str], calibration) -> list[np.ndarray]:
    """Return the calibration images of each input."""
    named = calibration if isinstance(calibration, Mapping) else {INPUT_NAME: calibration}
    if set(named) != set(names):
        raise ExportError(f"`calibration` must hold images for each of {names}. Received: {list(named)}.")
    return [named[name] for name in names]


def _calibration_batches(images: list[np.ndarray], batch: int):
    pinned = [pin_range(fed) for fed in images]
    for start in range(0, len(pinned[0]), batch):
        rows = np.arange(start, start + batch) % len(pinned[0])
        yield [fed[rows].astype(np.float32) for fed in pinned]


def _explain(message: str, graph) -> str:
    """Name the operations that TFLite lacks, and where in the graph they are."""
    kinds = sorted(set(re.findall(r"tf\.([A-Z]\w+)", message)) | set(re.findall(r"Flex(\w+)", message)))
    if not kinds:
        return f"The TFLite converter failed: {message.strip().splitlines()[0]}"
    places = [op.name for op in graph.get_operations() if op.type in kinds]
    where = f" (in {', '.join(places[:5])})" if places else ""
    return (
        f"TFLite has no built-in operation for {', '.join(kinds)}{where}. "
        "Replace the layer that uses it, or export a SavedModel instead."
    )


def _check_file(data: bytes, variables, input_type: str, quantize) -> None:
    """Refuse a file that lost its weights, or that a phone would feed wrongly."""
    found = describe(data)
    if found.custom or found.open_shapes or any(name in found.operations for name in _NOT_IN_FILE):
        raise ExportError(
            f"The converted file is not self-contained: {dict(found.operations)}, {found.open_shapes}."
        )
    # BatchNorm is folded and biases may vanish, so only kernels are counted; a few may have been folded away.
    expected = sum(int(np.prod(v.shape)) for v in variables if len(v.shape) > 1)
    held = sum(found.constants.values())
    if held < 0.9 * expected:
        raise ExportError(
            f"The converted file holds {held:,} weights of {expected:,}: the conversion lost them."
        )
    if quantize != "int8" or input_type != "uint8":
        return
    for image in found.inputs.values():
        if (image.scale, image.zero_point) != (1.0, 0):
            raise ExportError(
                f"The uint8 input has scale {image.scale} and zero point {image.zero_point} instead of 1 and "
                "0. A phone feeds raw bytes, so its answers would be wrong."
            )


def _interpreter(data: bytes, name: str, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"LiteRT cannot run {name}: {str(error).strip().splitlines()[0]}") from None
    return interpreter
