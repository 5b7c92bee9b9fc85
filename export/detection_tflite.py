"""Write a detector as a TFLite file: the network in any kind of numbers, decoding and NMS in float32."""

from collections.abc import Mapping
from pathlib import Path

from kerasvision import _litert
from kerasvision._tflite_file import describe
from kerasvision.export.detection_certificate import certify_detector
from kerasvision.export.detection_graph import as_floats, choose
from kerasvision.export.detection_source import DetectionSource
from kerasvision.export.joining import join, network_bytes
from kerasvision.export.linting import lint
from kerasvision.export.metadata import add_detector_metadata
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.runners import DETECTIONS


def detector_to_tflite(
    source: DetectionSource, file: Path, *, quantize: str | None, tolerance: Mapping | None = None
) -> ExportedFile:
    """Write a certified TFLite file of static shapes and built-in operations.

    The input `image` takes raw RGB in [0, 255], uint8 for `quantize="int8"` and float32 otherwise.

    Raises:
        ExportError: an argument does not fit, or TFLite has no operation for something in the network.
        CertificateError: the file does not find what the model finds; nothing was put at `file`.
    """
    return write_certified(
        source,
        file,
        lambda place: place.write_bytes(tflite_bytes(source, quantize)),
        format="tflite",
        quantize=quantize,
        tolerance=tolerance,
        check=lambda place: lint(place).problems,
        prove=certify_detector,
    )


def tflite_bytes(source: DetectionSource, quantize: str | None) -> bytes:
    """Return the file, without any check of its answers."""
    network = network_bytes(source, source.detector.model, quantize)
    shapes = {name: info.shape for name, info in describe(network).outputs.items()}

    def read(outputs):
        return as_floats(choose(source.detector, source.selection, outputs))

    data = join(network, _litert.convert_function(read, shapes), DETECTIONS)
    resize = source.preprocessing.resize
    return add_detector_metadata(
        data,
        name=source.name,
        description=f"Detector, {len(source.labels)} classes. Photos are resized by: {resize}.",
        labels=source.labels,
        preprocessing=source.preprocessing.to_dict(),
        thresholds=source.thresholds,
    )
