"""Export a classifier as a TFLite file: static shapes, built-in operations, metadata, and a certificate."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision import _litert
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError
from kerasvision.export.bias_correction import correct_biases
from kerasvision.export.linting import lint
from kerasvision.export.metadata import add_classifier_metadata
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.source import ExportSource, as_source, float32_form


def to_tflite(
    model_or_run,
    file: str | os.PathLike,
    *,
    quantize: Literal["float16", "dynamic", "int8"] | None = None,
    input_type: Literal["auto", "float32", "uint8"] = "auto",
    output_type: Literal["float32", "uint8"] = "float32",
    batch: int = 1,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    calibration: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> ExportedFile:
    """Export a classifier as a certified TFLite file that LiteRT and MediaPipe Tasks open unchanged.

    The input `image` takes raw RGB in [0, 255]; the output `probabilities` has one value for each class. The
    file is written beside its place, compared with the model on held-out images, and moved into place only
    when it passed. Its certificate lies beside it as `<file>.certificate.json`.

    Args:
        model_or_run: a `Run` (it brings images, labels and calibration), or a `keras.Model`.
        file: where to write, ending in `.tflite`. Only an earlier export of ours is replaced.
        quantize: `None` (float32); `"float16"` (half the size, float speed); `"dynamic"` (int8 weights, a
            quarter of the size; slower than float for depthwise networks such as MobileNet); `"int8"`
            (weights and activations: a quarter of the size, the fastest).
        input_type: `"auto"` is uint8 for int8 (the camera's bytes as they are) and float32 otherwise.
        output_type: `"uint8"` (int8 files only) rounds probabilities to steps of 1/256.
        batch: images in one call; MediaPipe takes 1.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images for the certificate.
        targets: (n,) int, their classes; without them accuracy is not compared.
        calibration: (n, h, w, 3) uint8 training images for int8; 100 to 200, all classes alike.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`.

    Returns:
        The file, its size and its certificate.

    Raises:
        ExportError: an argument does not fit, or TFLite has no operation for a layer (it is named).
        CertificateError: the file does not answer like the model; nothing was put at `file`.
    """
    path = Path(file)
    if path.suffix != ".tflite":
        raise ExportError(f"`file` must end in .tflite. Received: {path}.")
    if input_type not in ("auto", "float32", "uint8"):
        raise ExportError(f'`input_type` must be "auto", "float32" or "uint8". Received: {input_type!r}.')
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        calibration=calibration,
        class_names=class_names,
        preprocessing=preprocessing,
    )
    kind = None if input_type == "auto" else input_type
    settings = {"quantize": quantize, "input_type": kind, "output_type": output_type, "batch": batch}
    return write_certified(
        source,
        path,
        lambda place: place.write_bytes(_tflite_bytes(source, settings)),
        format="tflite",
        quantize=quantize,
        tolerance=tolerance,
        check=lambda place: lint(place).problems,
    )


def rehearse(model) -> Counter:
    """Check in a second or two that a model will convert to TFLite, before hours of training.

    Args:
        model: a `keras.Model` of raw images with a fixed input size.

    Returns:
        How often each TFLite operation would occur.

    Raises:
        ExportError: TFLite has no built-in operation for something in the model; the message names it.
    """
    return _litert.rehearse(float32_form(model))


def _tflite_bytes(source: ExportSource, settings: Mapping) -> bytes:
    if settings["quantize"] == "int8" and not len(source.calibration):
        raise ExportError(
            '`calibration` must be given for quantize="int8": 100 to 200 training images, all classes alike.'
        )
    shared = {
        "input_shape": source.input_shape,
        "output_names": ["probabilities"],
        "batch": settings["batch"],
    }
    data = _litert.convert(source.model, calibration=source.calibration, **{**shared, **settings})
    if settings["quantize"] == "int8":
        data = correct_biases(data, _litert.convert(source.model, **shared), source.calibration)
    resize = source.preprocessing.resize
    return add_classifier_metadata(
        data,
        name=source.model.name,
        description=f"Image classifier, {len(source.labels)} classes. Photos are resized by: {resize}.",
        labels=source.labels,
        preprocessing=source.preprocessing.to_dict(),
    )
