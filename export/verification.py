"""Prove a file that lies there already against the model that it should have been made from."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError
from kerasvision.export.certificate import (
    Certificate,
    certificate_path,
    certify,
    require_passed,
    with_failures,
)
from kerasvision.export.linting import lint
from kerasvision.export.runners import Runner, open_file
from kerasvision.export.saved_model import bytes_failures
from kerasvision.export.source import ExportSource, as_source


def verify(
    file: str | os.PathLike,
    model_or_run,
    *,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> Certificate:
    """Certify an existing file against a model, whatever its own certificate says.

    Compared are the answers on held-out images, the labels and the preprocessing that the file carries, and
    the file's SHA-256 with the one in the certificate beside it. What is tolerated follows from the types of
    the numbers in the file. Nothing is written.

    Args:
        file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel.
        model_or_run: the `Run` or `keras.Model` that it should answer like.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images.
        targets: (n,) int, their classes.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`.

    Returns:
        The new certificate.

    Raises:
        CertificateError: the file does not answer like the model, or was changed; the message says in what.
        ExportError: the file cannot be run, or something is missing.
    """
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        class_names=class_names,
        preprocessing=preprocessing,
    )
    path = Path(file)
    runner = open_file(path)
    if runner.image_size != source.preprocessing.image_size:
        raise CertificateError(
            f"{path} takes images of {runner.image_size}, the model of {source.preprocessing.image_size}: "
            "the file was not made from this model."
        )
    kind = lint(path).quantize if runner.format == "tflite" else None
    certificate = certify(source, runner, file=path, format=runner.format, quantize=kind, tolerance=tolerance)
    failures = [*_changed(path, certificate), *_contradictions(source, runner)]
    if runner.format == "tflite":
        failures += lint(path).problems
    if runner.format == "saved_model" and certificate_path(path).is_file():
        failures += bytes_failures(source, path, tolerance)
    return require_passed(with_failures(certificate, failures))


def _changed(path: Path, found: Certificate):
    if not certificate_path(path).is_file():
        return
    stated = files.read_json(certificate_path(path)).get("sha256")
    if stated != found.sha256:
        yield (
            f"the file was changed after its certificate was written (SHA-256 {found.sha256[:12]}…, "
            f"certified was {str(stated)[:12]}…)"
        )


def _contradictions(source: ExportSource, runner: Runner):
    if runner.labels and runner.labels != source.labels:
        yield f"its labels are {list(runner.labels)}, the model's are {list(source.labels)}"
    if runner.preprocessing and runner.preprocessing != source.preprocessing:
        yield (
            f"its photos are prepared by {runner.preprocessing.to_dict()}, the model's by "
            f"{source.preprocessing.to_dict()}"
        )
