"""Write a detector as an ONNX file, one image a call (needs the extra `onnx`)."""

from pathlib import Path

from kerasvision.export.detection_certificate import certify_detector
from kerasvision.export.detection_graph import detect
from kerasvision.export.detection_source import DetectionSource
from kerasvision.export.onnx import require_onnx, write_onnx
from kerasvision.export.placing import ExportedFile, write_certified


def detector_to_onnx(source: DetectionSource, file: Path) -> ExportedFile:
    """Write a certified ONNX file.

    The input `image` takes raw RGB in [0, 255] as float32, (1, h, w, 3). Labels and preprocessing are in the
    file's metadata properties `labels` and `preprocessing`, as JSON.

    Raises:
        MissingPackageError: tf2onnx or onnxruntime is not installed.
        CertificateError: the file does not find what the model finds; nothing was put at `file`.
    """
    require_onnx("Exporting a detector to ONNX")

    def serve(image):
        return detect(source.detector, source.selection, image)

    return write_certified(
        source,
        file,
        lambda place: write_onnx(serve, (1, *source.input_shape), source, place),
        format="onnx",
        prove=certify_detector,
    )
