"""Write an embedder as an ONNX file (needs the extra `onnx`)."""

from pathlib import Path

import tensorflow as tf

from kerasvision.export.embedding_certificate import certify_embedder
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.export.metadata import EMBEDDING
from kerasvision.export.onnx import require_onnx, write_onnx
from kerasvision.export.placing import ExportedFile, write_certified


def embedder_to_onnx(source: EmbeddingSource, file: Path) -> ExportedFile:
    """Write a certified ONNX file.

    The input `image` takes raw RGB in [0, 255] as float32, (n, h, w, 3), any n; the output is `embedding`.
    Preprocessing, distance and threshold are in the file's metadata properties `preprocessing` and
    `embedding`, as JSON.

    Raises:
        MissingPackageError: tf2onnx or onnxruntime is not installed.
        CertificateError: the file does not embed as the model does; nothing was put at `file`.
    """
    require_onnx("Exporting an embedder to ONNX")

    def serve(image):
        return {EMBEDDING: source.model(tf.cast(image, tf.float32), training=False)}

    return write_certified(
        source,
        file,
        lambda place: write_onnx(serve, (None, *source.input_shape), source, place),
        format="onnx",
        prove=certify_embedder,
    )
