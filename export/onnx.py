"""Export a classifier as an ONNX file (needs the extra `onnx`)."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError, require
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.source import as_source

# tf2onnx 1.17 refuses 20 and above; 17 is what onnxruntime has had since 1.12.
OPSET = 17


def to_onnx(
    model_or_run,
    file: str | os.PathLike,
    *,
    batch: int | None = None,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> ExportedFile:
    """Export a classifier as a certified ONNX file.

    The input `image` takes raw RGB in [0, 255] as float32, (n, h, w, 3); the output is `probabilities`.
    Labels and preprocessing are in the file's metadata properties `labels` and `preprocessing`, as JSON.

    Args:
        model_or_run: a `Run`, or a `keras.Model`.
        file: where to write, ending in `.onnx`. Only an earlier export of ours is replaced.
        batch: images in one call; `None` leaves it open.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images for the certificate.
        targets: (n,) int, their classes.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`.

    Raises:
        ExportError: an argument does not fit.
        MissingPackageError: tf2onnx or onnxruntime is not installed.
        CertificateError: the file does not answer like the model; nothing was put at `file`.
    """
    if Path(file).suffix != ".onnx":
        raise ExportError(f"`file` must end in .onnx. Received: {file}.")
    require_onnx("to_onnx")
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        class_names=class_names,
        preprocessing=preprocessing,
    )

    def serve(image):
        return {"probabilities": source.model(image, training=False)}

    return write_certified(
        source,
        file,
        lambda place: write_onnx(serve, (batch, *source.input_shape), source, place),
        format="onnx",
        tolerance=tolerance,
    )


def require_onnx(purpose: str) -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        MissingPackageError: tf2onnx or onnxruntime is not installed.
    """
    for package in ("tf2onnx", "onnxruntime"):
        require(package, extra="onnx", purpose=purpose)


def write_onnx(function: Callable, shape: Sequence[int | None], source, place: Path) -> None:
    """Write a function of images as an ONNX file, without any check of its answers.

    Args:
        function: takes float32 images and returns name -> output.
        shape: of the images; `None` leaves the batch open.
        source: its `labels`, `preprocessing` and, of a detector, `thresholds`, or, of an embedder, `facts`
            are written into the file.
        place: where to.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    spec = tf.TensorSpec(shape, tf.float32, name="image")
    serve = tf.function(function, input_signature=[spec], autograph=False)
    model, _ = tf2onnx.convert.from_function(serve, input_signature=[spec], opset=OPSET)
    facts = {"labels": source.labels, "preprocessing": source.preprocessing.to_dict()}
    if thresholds := getattr(source, "thresholds", None):
        facts["thresholds"] = dict(thresholds)
    if embedding := getattr(source, "facts", None):
        facts["embedding"] = embedding
    onnx.helper.set_model_props(model, {name: json.dumps(fact) for name, fact in facts.items()})
    onnx.checker.check_model(model)
    place.write_bytes(model.SerializeToString())
