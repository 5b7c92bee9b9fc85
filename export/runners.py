"""A file of any format as a function from images to probabilities, in that format's own runtime."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError, require
from kerasvision.export.metadata import LABELS_FILE, PREPROCESSING_FILE, read_metadata

# TensorFlow's own name for files that a SavedModel carries along without using them.
EXTRAS = "assets.extra"
KINDS = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras"}
_BATCH = 32


@dataclass(frozen=True)
class Runner:
    """An opened file that answers.

    Attributes:
        file: what was opened.
        format: `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.
        image_size: (height, width) that it takes.
        labels: names of the classes, as far as the file knows them.
        preprocessing: how photos become its input, as far as the file knows it.
    """

    file: Path
    format: str
    image_size: tuple[int, int]
    labels: tuple[str, ...]
    preprocessing: Preprocessing | None
    _run: Callable[[np.ndarray], np.ndarray]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities, (n, classes) float32, for uint8 images, (n, h, w, 3).

        Raises:
            ExportError: the images are not of the size that the file takes.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:3] != self.image_size or images.dtype != np.uint8:
            raise ExportError(
                f"{self.file} takes uint8 images of {self.image_size[0]} x {self.image_size[1]} pixels. "
                f"Received: {images.dtype} {images.shape}."
            )
        return np.asarray(self._run(images), np.float32)


def format_of(file: str | os.PathLike) -> str:
    """Return `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.

    Raises:
        ExportError: it is not there, or of another kind.
    """
    path = Path(file)
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    kind = KINDS.get(path.suffix.lower())
    if not path.exists():
        raise ExportError(f"{path} is not there.")
    if kind is None or path.is_dir():
        inside = sorted(f for f in path.iterdir() if f.suffix in KINDS) if path.is_dir() else []
        hint = f" Did you mean {' or '.join(map(str, inside[:3]))}?" if inside else ""
        raise ExportError(
            f"{path} must be a .tflite, .onnx or .keras file, or the folder of a SavedModel.{hint}"
        )
    return kind


def open_file(file: str | os.PathLike, *, threads: int | None = None) -> Runner:
    """Open an exported file.

    Args:
        file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel.
        threads: CPU threads for TFLite and ONNX; all when `None`.

    Raises:
        ExportError: it cannot be run.
        MissingPackageError: onnxruntime is needed and not installed.
    """
    kind = format_of(file)
    opener = {
        "tflite": _open_tflite,
        "saved_model": _open_saved_model,
        "onnx": _open_onnx,
        "keras": _open_keras,
    }
    size, run = opener[kind](Path(file), threads)
    if None in size or -1 in size:
        raise ExportError(f"{file} leaves its image size open: {tuple(size)}.")
    labels, preprocessing = _facts(Path(file), kind)
    return Runner(Path(file), kind, tuple(map(int, size)), labels, preprocessing, run)


def _facts(file: Path, kind: str) -> tuple[tuple[str, ...], Preprocessing | None]:
    """Return the labels and the preprocessing that a file carries along."""
    labels, settings = (), None
    if kind == "tflite" and (found := read_metadata(file)):
        labels, settings = found.labels, found.preprocessing
    if kind == "saved_model" and (file / EXTRAS / LABELS_FILE).is_file():
        labels = tuple((file / EXTRAS / LABELS_FILE).read_text(encoding="utf-8").splitlines())
        settings = files.read_json(file / EXTRAS / PREPROCESSING_FILE)
    if kind == "onnx":
        properties = _onnx_session(file, 1).get_modelmeta().custom_metadata_map
        labels = tuple(json.loads(properties.get("labels", "[]")))
        settings = json.loads(properties.get("preprocessing", "null"))
    return labels, None if settings is None else Preprocessing.from_dict(settings)


def model_runner(model) -> Callable[[np.ndarray], np.ndarray]:
    """Return a Keras model as a function from uint8 images (n, h, w, 3) to probabilities (n, classes)."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def answer(images):
        return model(tf.cast(images, tf.float32), training=False)

    return lambda images: _in_batches(lambda batch: answer(tf.constant(batch)).numpy(), images)


def _in_batches(run: Callable, images: np.ndarray) -> np.ndarray:
    """Run images in batches of one size, so that a graph is traced once; the last batch is filled up."""
    size = min(_BATCH, len(images))
    results = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        results.append(np.asarray(run(filled), np.float32)[: len(batch)])
    return np.concatenate(results)


def _open_tflite(file: Path, threads: int | None):
    from kerasvision._litert import LiteRTModel

    model = LiteRTModel(file, threads=threads, side_by_side=threads is None)
    if len(model.inputs) != 1:
        raise ExportError(f"{file} must have one input. It has: {list(model.inputs)}.")
    name = "probabilities" if "probabilities" in model.outputs else next(iter(model.outputs))
    shape = next(iter(model.inputs.values())).shape
    if len(shape) != 4:
        raise ExportError(f"{file} must take images, (batch, h, w, 3). It takes: {shape}.")
    return shape[1:3], lambda images: model(images)[name]


def _open_saved_model(file: Path, threads: int | None):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    if "serving_default" not in loaded.signatures:
        raise ExportError(f"{file} has no signature serving_default. It has: {list(loaded.signatures)}.")
    serve = loaded.signatures["serving_default"]
    (input_name, spec), *more = serve.structured_input_signature[1].items()
    if more:
        raise ExportError(f"{file} must take one input.")
    output = (
        "probabilities"
        if "probabilities" in serve.structured_outputs
        else next(iter(serve.structured_outputs))
    )

    def run(images, _keep=loaded):  # a signature whose loaded object is gone loses its variables
        return _in_batches(lambda x: serve(**{input_name: tf.cast(x, spec.dtype)})[output].numpy(), images)

    return spec.shape[1:3], run


def _open_onnx(file: Path, threads: int | None):
    session = _onnx_session(file, threads)
    (entry,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    name = "probabilities" if "probabilities" in names else names[0]
    element = np.uint8 if "uint8" in entry.type else np.float32
    run = lambda x: session.run([name], {entry.name: x.astype(element)})[0]  # noqa: E731
    size = 1 if entry.shape[0] == 1 else _BATCH
    return entry.shape[1:3], lambda images: np.concatenate(
        [run(images[i : i + size]) for i in range(0, len(images), size)]
    )


def _onnx_session(file: Path, threads: int | None):
    runtime = require("onnxruntime", extra="onnx", purpose="Running an ONNX file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _open_keras(file: Path, threads: int | None):
    import keras

    model = keras.models.load_model(file, compile=False)
    return model.input_shape[1:3], model_runner(model)
