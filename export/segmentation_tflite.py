"""Write a segmenter as a TFLite file: the network in any kind of numbers, what follows logits in float32."""

from collections.abc import Mapping
from pathlib import Path

from kerasvision import _litert
from kerasvision._tflite_file import describe
from kerasvision.export.joining import join, network_bytes
from kerasvision.export.linting import lint
from kerasvision.export.metadata import add_segmenter_metadata
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.segmentation_certificate import certify_segmenter
from kerasvision.export.segmentation_graph import read_logits
from kerasvision.export.segmentation_source import SegmentationSource


def segmenter_to_tflite(
    source: SegmentationSource, file: Path, *, quantize: str | None, tolerance: Mapping | None = None
) -> ExportedFile:
    """Write a certified TFLite file of static shapes and built-in operations.

    The input `image` takes raw RGB in [0, 255], uint8 for `quantize="int8"` and float32 otherwise.

    Raises:
        ExportError: an argument does not fit, or TFLite has no operation for something in the network.
        CertificateError: the file does not draw what the model draws; nothing was put at `file`.
    """
    return write_certified(
        source,
        file,
        lambda place: place.write_bytes(tflite_bytes(source, quantize)),
        format="tflite",
        quantize=quantize,
        tolerance=tolerance,
        check=lambda place: lint(place).problems,
        prove=certify_segmenter,
    )


def tflite_bytes(source: SegmentationSource, quantize: str | None) -> bytes:
    """Return the file, without any check of its answers."""
    data = network_bytes(source, source.model, quantize, output_names=["logits"])
    shape = describe(data).outputs["logits"].shape
    if source.output != "logits" or tuple(shape[1:3]) != source.output_size:

        def read(values):
            return read_logits(values["logits"], source.output, source.output_size)

        data = join(data, _litert.convert_function(read, {"logits": shape}), [source.output])
    resize = source.preprocessing.resize
    return add_segmenter_metadata(
        data,
        name=source.name,
        description=f"Segmenter, {len(source.labels)} classes. Photos are resized by: {resize}.",
        labels=source.labels,
        output=source.output,
        preprocessing=source.preprocessing.to_dict(),
    )
