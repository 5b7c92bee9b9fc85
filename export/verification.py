"""Prove a file that lies there already against the model that it should have been made from."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError
from kerasvision.export.certificate import (
    Recorded,
    certificate_path,
    certify,
    require_passed,
    with_failures,
)
from kerasvision.export.detection_certificate import DetectionCertificate, certify_detector
from kerasvision.export.detection_runner import DetectionRunner
from kerasvision.export.detection_source import DetectionSource, Selection
from kerasvision.export.embedding_certificate import certify_embedder
from kerasvision.export.embedding_runner import EmbeddingRunner
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.export.linting import lint
from kerasvision.export.runners import Runner, open_file
from kerasvision.export.saved_model import bytes_failures
from kerasvision.export.segmentation_certificate import certify_segmenter
from kerasvision.export.segmentation_runner import SegmentationRunner
from kerasvision.export.segmentation_source import SegmentationSource
from kerasvision.export.source import ExportSource, as_source

# What opens a file, the source that such a file is made from, and what it gives.
_KINDS = (
    (DetectionRunner, DetectionSource, "boxes"),
    (SegmentationRunner, SegmentationSource, "label maps"),
    (EmbeddingRunner, EmbeddingSource, "embeddings"),
    (Runner, ExportSource, "probabilities"),
)


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
) -> Recorded:
    """Certify an existing file against a model, whatever its own certificate says.

    Compared are the answers on held-out images, the labels, the preprocessing and the threshold that the file
    carries, and the file's SHA-256 with the one in the certificate beside it. What is tolerated follows from
    the types of the numbers in the file. Nothing is written.

    Args:
        file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel.
        model_or_run: the `Run`, the run of a detector, segmenter or embedder, the `DetectionSource`, the
            `SegmentationSource`, the `EmbeddingSource` or the `keras.Model` of a classifier that it should
            answer like. A detector's boxes are selected as the certificate beside the file says; of a
            segmenter the model is asked for what the file gives, in its size.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images; as what follows, not for detectors, segmenters and
            embedders, which bring them.
        targets: (n,) int, their classes.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`, or of the same in
            `detection_certificate`, `segmentation_certificate` and `embedding_certificate`.

    Returns:
        The new `Certificate`, `DetectionCertificate`, `SegmentationCertificate` or `EmbeddingCertificate`.

    Raises:
        CertificateError: the file does not answer like the model, or was changed; the message says in what.
        ExportError: the file cannot be run, or something is missing.
    """
    path = Path(file)
    own = model_or_run.export_source(data) if hasattr(model_or_run, "export_source") else model_or_run
    if isinstance(own, DetectionSource):
        return _verify(path, _as_exported(path, own), certify_detector, tolerance)
    if isinstance(own, SegmentationSource):
        return _verify(path, own, certify_segmenter, tolerance)
    if isinstance(own, EmbeddingSource):
        return _verify(path, own, certify_embedder, tolerance)
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        class_names=class_names,
        preprocessing=preprocessing,
    )
    return _verify(path, source, certify, tolerance)


def _verify(path: Path, source, prove: Callable[..., Recorded], tolerance) -> Recorded:
    runner = open_file(path)
    made_from, gives = next((own, gives) for kind, own, gives in _KINDS if isinstance(runner, kind))
    if not isinstance(source, made_from):
        raise CertificateError(f"{path} gives {gives}: the file was not made from this model.")
    if runner.image_size != source.preprocessing.image_size:
        raise CertificateError(
            f"{path} takes images of {runner.image_size}, the model of {source.preprocessing.image_size}: "
            "the file was not made from this model."
        )
    if isinstance(source, SegmentationSource):
        source = replace(source, output=runner.output, output_size=runner.output_size)
    kind = lint(path).quantize if runner.format == "tflite" else None
    certificate = prove(source, runner, file=path, format=runner.format, quantize=kind, tolerance=tolerance)
    failures = [*_changed(path, certificate), *_contradictions(source, runner)]
    if runner.format == "tflite":
        failures += lint(path).problems
    alike = runner.preprocessing in (None, source.preprocessing)  # else it is told already, and would not run
    if runner.format == "saved_model" and certificate_path(path).is_file() and alike:
        failures += _photo_failures(source, path, tolerance)
    return require_passed(with_failures(certificate, failures))


def _as_exported(path: Path, source: DetectionSource) -> DetectionSource:
    """Return the source with the selection that is built into a file, as its certificate states it."""
    if not certificate_path(path).is_file():
        return source
    stated = DetectionCertificate.load(path).selection
    return replace(source, selection=Selection(**stated))


def _photo_failures(source, path: Path, tolerance) -> list[str]:
    if isinstance(source, DetectionSource):
        from kerasvision.export.detection_saved_model import photo_failures

        return photo_failures(source, path)
    if isinstance(source, SegmentationSource):
        from kerasvision.export.segmentation_saved_model import photo_failures

        return photo_failures(source, path, tolerance)
    if isinstance(source, EmbeddingSource):
        from kerasvision.export.embedding_saved_model import photo_failures

        return photo_failures(source, path, tolerance)
    return bytes_failures(source, path, tolerance)


def _changed(path: Path, found: Recorded):
    if not certificate_path(path).is_file():
        return
    stated = files.read_json(certificate_path(path)).get("sha256")
    if stated != found.sha256:
        yield (
            f"the file was changed after its certificate was written (SHA-256 {found.sha256[:12]}…, "
            f"certified was {str(stated)[:12]}…)"
        )


def _contradictions(source, runner: Runner):
    if runner.labels and runner.labels != source.labels:
        yield f"its labels are {list(runner.labels)}, the model's are {list(source.labels)}"
    if runner.preprocessing and runner.preprocessing != source.preprocessing:
        yield (
            f"its photos are prepared by {runner.preprocessing.to_dict()}, the model's by "
            f"{source.preprocessing.to_dict()}"
        )
    if isinstance(runner, EmbeddingRunner) and runner.facts:
        for name in ("distance", "threshold", "false_accept_rate"):
            if runner.facts.get(name) != getattr(source, name):
                yield f"its {name} is {runner.facts.get(name)}, the model's is {getattr(source, name)}"
