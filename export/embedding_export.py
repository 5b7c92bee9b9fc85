"""Export everything that an app needs of an embedder into one folder."""

import os
from collections.abc import Mapping, Sequence

from kerasvision.export.bundle import Bundle
from kerasvision.export.embedding_certificate import embedding_tolerances
from kerasvision.export.embedding_note import embedding_note
from kerasvision.export.embedding_onnx import embedder_to_onnx
from kerasvision.export.embedding_saved_model import embedder_to_saved_model
from kerasvision.export.embedding_source import as_embedding_source
from kerasvision.export.embedding_tflite import embedder_to_tflite
from kerasvision.export.several_formats import kinds_of, write_formats


def export_embedder(
    source_or_run,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: str | None | Sequence[str | None] = None,
    data=None,
    tolerance: Mapping[str, float] | None = None,
) -> Bundle:
    """Export an embedder with preprocessing and normalisation inside, each file with its certificate.

    Written are `saved_model/`, `<name>_float32.tflite` (or `_float16`, `_dynamic`, `_int8`), `<name>.onnx`,
    `embedding.json` (distance, threshold, the rate of false accepts it was chosen for, the fingerprint of the
    model), `preprocessing.json` and a `README.md` for the app developer. What `embedding.json` says is inside
    the files, too. Earlier exports of ours are replaced; nothing else in the folder is touched, and a file in
    the way is an error before anything is written.

    Scaling to length 1 computes in float32 in all files; `quantize` is about the network. The threshold is
    the model's, and the certificate says what becomes of true and false accepts at it. Vectors of float32
    files go together with the model's and have its fingerprint; each quantised file has its own. MediaPipe's
    `ImageEmbedder` opens the TFLite files unchanged.

    Args:
        source_or_run: a run of an embedder (it brings everything), or an `EmbeddingSource`.
        folder: where to write; made if it is not there.
        formats: out of `"saved_model"`, `"tflite"` and `"onnx"`.
        quantize: what TFLite file to write: `None` (float32), `"float16"` (half the size, float speed),
            `"dynamic"` (int8 weights, a quarter of the size; slow for depthwise networks such as MobileNet),
            `"int8"` (weights and activations: a quarter of the size, the fastest, takes the camera's bytes);
            or several of these; or `"auto"`: the smallest that passes its certificate.
        data: for a run: `VisionData` to take images and identities from.
        tolerance: limits other than those of `embedding_certificate.TOLERANCES`, for the TFLite files.

    Returns:
        The files and their certificates.

    Raises:
        ExportError: an argument does not fit, or a file that is not ours is in the way.
        CertificateError: at least one file failed; the others are there, and the message lists which failed.
    """
    kinds_of(formats, quantize)
    embedding_tolerances(None, tolerance)  # a wrong one is an error before anything is written
    return write_formats(
        as_embedding_source(source_or_run, data=data),
        folder,
        formats=formats,
        quantize=quantize,
        tolerance=tolerance,
        writers={
            "saved_model": embedder_to_saved_model,
            "tflite": embedder_to_tflite,
            "onnx": embedder_to_onnx,
        },
        note=embedding_note,
    )
