"""Write a segmenter as an ONNX file (needs the extra `onnx`)."""

from pathlib import Path

import tensorflow as tf

from kerasvision.export.onnx import require_onnx, write_onnx
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.segmentation_certificate import certify_segmenter
from kerasvision.export.segmentation_graph import read_logits
from kerasvision.export.segmentation_source import SegmentationSource


def segmenter_to_onnx(source: SegmentationSource, file: Path) -> ExportedFile:
    """Write a certified ONNX file.

    The input `image` takes raw RGB in [0, 255] as float32, (n, h, w, 3), any n. Labels and preprocessing are
    in the file's metadata properties `labels` and `preprocessing`, as JSON.

    Raises:
        MissingPackageError: tf2onnx or onnxruntime is not installed.
        CertificateError: the file does not draw what the model draws; nothing was put at `file`.
    """
    require_onnx("Exporting a segmenter to ONNX")

    def serve(image):
        logits = source.model(tf.cast(image, tf.float32), training=False)
        return read_logits(logits, source.output, source.output_size)

    return write_certified(
        source,
        file,
        lambda place: write_onnx(serve, (None, *source.input_shape), source, place),
        format="onnx",
        prove=certify_segmenter,
    )
