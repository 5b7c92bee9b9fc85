"""A file of any format as a function from images to answers, in that format's own runtime."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError, require
from kerasvision.export.metadata import (
    DETECTION_NAMES,
    EMBEDDING,
    EMBEDDING_FILE,
    LABELS_FILE,
    PREPROCESSING_FILE,
    THRESHOLDS_FILE,
    label_map_output,
    read_metadata,
)

# TensorFlow's own name for files that a SavedModel carries along without using them.
EXTRAS = "assets.extra"
DETECTIONS = tuple(DETECTION_NAMES)
KINDS = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras"}
_BATCH = 32


@dataclass(frozen=True)
class Runner:
    """An opened file that answers; see also `DetectionRunner`, `SegmentationRunner` and `EmbeddingRunner`.

    Attributes:
        file: what was opened.
        format: `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.
        image_size: (height, width) that it takes.
        labels: names of the classes, as far as the file knows them.
        preprocessing: how photos become its input, as far as the file knows it.
        outputs: names of the outputs that make up the answer.
        thresholds: of a detector, class name -> least score of a box to show, as far as the file knows it.
    """

    file: Path
    format: str
    image_size: tuple[int, int]
    labels: tuple[str, ...]
    preprocessing: Preprocessing | None
    outputs: tuple[str, ...]
    _run: Callable[[np.ndarray, tuple[str, ...]], dict[str, np.ndarray]]
    thresholds: Mapping[str, float] | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities, (n, classes) float32, for uint8 images, (n, h, w, 3).

        Raises:
            ExportError: the images are not of the size that the file takes.
        """
        return np.asarray(self._answers(images)[self.outputs[0]], np.float32)

    def _answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:3] != self.image_size or images.dtype != np.uint8:
            raise ExportError(
                f"{self.file} takes uint8 images of {self.image_size[0]} x {self.image_size[1]} pixels. "
                f"Received: {images.dtype} {images.shape}."
            )
        return self._run(images, self.outputs)


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

    Returns:
        A function of uint8 images: a `Runner`, which returns probabilities, or, where the file has the
        outputs `boxes`, `classes`, `scores` and `count`, a `DetectionRunner`, which returns boxes, or, where
        it has one output about pixels, a `SegmentationRunner`, which returns label maps, or, where it has the
        output `embedding`, (n, d), an `EmbeddingRunner`, which returns vectors.

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
    size, shapes, run = opener[kind](Path(file), threads)
    if None in size or -1 in size:
        raise ExportError(f"{file} leaves its image size open: {tuple(size)}.")
    told = _told(Path(file), kind)
    facts = Path(file), kind, tuple(map(int, size)), told.labels, told.preprocessing
    if set(DETECTIONS) <= set(shapes):
        from kerasvision.export.detection_runner import DetectionRunner

        return DetectionRunner(*facts, DETECTIONS, run, told.thresholds)
    if name := label_map_output(shapes):
        from kerasvision.export.segmentation_runner import SegmentationRunner

        return SegmentationRunner(*facts, (name,), run, None, tuple(map(int, shapes[name][1:3])))
    if len(shapes.get(EMBEDDING) or ()) == 2:
        from kerasvision.export.embedding_runner import EmbeddingRunner

        return EmbeddingRunner(*facts, (EMBEDDING,), run, None, told.embedding)
    return Runner(*facts, ("probabilities" if "probabilities" in shapes else next(iter(shapes)),), run)


class _Told(NamedTuple):
    """What a file says of itself."""

    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    thresholds: Mapping | None = None
    embedding: Mapping | None = None


def _told(file: Path, kind: str) -> _Told:
    """Return what a file carries along."""
    labels, settings, thresholds, embedding = (), None, None, None
    if kind == "tflite" and (found := read_metadata(file)):
        labels, settings = found.labels, found.preprocessing
        thresholds, embedding = found.thresholds, found.embedding
    if kind == "saved_model":
        extras = file / EXTRAS
        if (extras / LABELS_FILE).is_file():
            labels = tuple((extras / LABELS_FILE).read_text(encoding="utf-8").splitlines())
        settings, thresholds, embedding = (
            files.read_json(extras / name) if (extras / name).is_file() else None
            for name in (PREPROCESSING_FILE, THRESHOLDS_FILE, EMBEDDING_FILE)
        )
    if kind == "onnx":
        properties = _onnx_session(file, 1).get_modelmeta().custom_metadata_map
        labels = tuple(json.loads(properties.get("labels", "[]")))
        settings, thresholds, embedding = (
            json.loads(properties.get(name, "null")) for name in ("preprocessing", "thresholds", "embedding")
        )
    return _Told(
        labels, None if settings is None else Preprocessing.from_dict(settings), thresholds, embedding
    )


def model_runner(model) -> Callable[[np.ndarray], np.ndarray]:
    """Return a Keras model as a function from uint8 images (n, h, w, 3) to its output, (n, …)."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def answer(images):
        return model(tf.cast(images, tf.float32), training=False)

    run = lambda batch: {"probabilities": answer(tf.constant(batch)).numpy()}  # noqa: E731
    return lambda images: _in_batches(run, images)["probabilities"]


def _in_batches(run: Callable, images: np.ndarray, most: int = _BATCH) -> dict[str, np.ndarray]:
    """Run images in batches of one size, so that a graph is traced once; the last batch is filled up."""
    size = max(1, min(most, len(images)))
    results = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        results.append({name: np.asarray(values)[: len(batch)] for name, values in run(filled).items()})
    return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


# Each opener returns the size of the images, name -> shape of the outputs, and a function of images and of
# the names that are wanted.


def _open_tflite(file: Path, threads: int | None):
    from kerasvision._litert import LiteRTModel

    model = LiteRTModel(file, threads=threads, side_by_side=threads is None)
    if len(model.inputs) != 1:
        raise ExportError(f"{file} must have one input. It has: {list(model.inputs)}.")
    shape = next(iter(model.inputs.values())).shape
    if len(shape) != 4:
        raise ExportError(f"{file} must take images, (batch, h, w, 3). It takes: {shape}.")
    shapes = {name: info.shape for name, info in model.outputs.items()}
    return shape[1:3], shapes, lambda images, names: model(images)


def _open_saved_model(file: Path, threads: int | None):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(file))
    if "serving_default" not in loaded.signatures:
        raise ExportError(f"{file} has no signature serving_default. It has: {list(loaded.signatures)}.")
    serve = loaded.signatures["serving_default"]
    (input_name, spec), *more = serve.structured_input_signature[1].items()
    if more:
        raise ExportError(f"{file} must take one input.")

    def run(images, names, _keep=loaded):  # a signature whose loaded object is gone loses its variables
        def answer(batch):
            found = serve(**{input_name: tf.cast(batch, spec.dtype)})
            return {name: found[name].numpy() for name in names}

        return _in_batches(answer, images)

    shapes = {name: tuple(found.shape or ()) for name, found in serve.structured_outputs.items()}
    return spec.shape[1:3], shapes, run


def _open_onnx(file: Path, threads: int | None):
    session = _onnx_session(file, threads)
    (entry,) = session.get_inputs()
    element = np.uint8 if "uint8" in entry.type else np.float32

    def run(images, names):
        def answer(batch):
            return dict(
                zip(names, session.run(list(names), {entry.name: batch.astype(element)}), strict=True)
            )

        return _in_batches(answer, images, 1 if entry.shape[0] == 1 else _BATCH)

    return entry.shape[1:3], {output.name: output.shape for output in session.get_outputs()}, run


def _onnx_session(file: Path, threads: int | None):
    runtime = require("onnxruntime", extra="onnx", purpose="Running an ONNX file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _open_keras(file: Path, threads: int | None):
    import keras

    model = keras.models.load_model(file, compile=False)
    if len(model.outputs) != 1:
        raise ExportError(
            f"{file} has {len(model.outputs)} outputs. If it is a detector, these are not boxes yet: open "
            "the run that it belongs to, or a file that was exported from it."
        )
    answer = model_runner(model)
    # A segmenter gives logits of each pixel, an embedder vectors under that name, a classifier probabilities.
    embeds = list(getattr(model, "output_names", ())) == [EMBEDDING]
    name = "logits" if len(model.output_shape) == 4 else EMBEDDING if embeds else "probabilities"
    shapes = {name: model.output_shape}
    return model.input_shape[1:3], shapes, lambda images, names: {names[0]: answer(images)}
