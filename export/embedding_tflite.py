"""Write an embedder as a TFLite file: the network in any kind of numbers, scaling to length 1 in float32."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from kerasvision import _litert
from kerasvision._tflite_file import describe
from kerasvision.export.embedding_certificate import certify_embedder
from kerasvision.export.embedding_graph import scaled_to_one, without_scaling
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.export.joining import join, network_bytes
from kerasvision.export.linting import lint
from kerasvision.export.metadata import EMBEDDING, add_embedder_metadata
from kerasvision.export.placing import ExportedFile, write_certified

# Each image says one number of each dimension, where maps of a detector have a mean over all their places.
_CORRECTED_BY = 64
_VECTORS = "vectors"  # before they are scaled


def embedder_to_tflite(
    source: EmbeddingSource, file: Path, *, quantize: str | None, tolerance: Mapping | None = None
) -> ExportedFile:
    """Write a certified TFLite file of static shapes and built-in operations.

    The input `image` takes raw RGB in [0, 255], uint8 for `quantize="int8"` and float32 otherwise.

    Raises:
        ExportError: an argument does not fit, or TFLite has no operation for something in the network.
        CertificateError: the file does not embed as the model does; nothing was put at `file`.
    """
    return write_certified(
        source,
        file,
        lambda place: place.write_bytes(tflite_bytes(source, quantize)),
        format="tflite",
        quantize=quantize,
        tolerance=tolerance,
        check=lambda place: lint(place).problems,
        prove=certify_embedder,
    )


def tflite_bytes(source: EmbeddingSource, quantize: str | None) -> bytes:
    """Return the file, without any check of its answers."""
    data = _network(source, quantize)
    # Vectors of a quantised file differ a little from those of the model, so that they do not go together.
    own = {} if quantize is None else {"fingerprint": hashlib.blake2b(data, digest_size=16).hexdigest()}
    template = source.preprocessing.alignment
    photos = (
        f"Photos are resized by: {source.preprocessing.resize}."
        if template is None
        else f"Faces are aligned to the template: {template}."
    )
    return add_embedder_metadata(
        data,
        name=source.name,
        description=f"Embedder, {source.dimensions} dimensions, {source.distance} distance. {photos}",
        embedding=source.facts | own,
        preprocessing=source.preprocessing.to_dict(),
    )


def _network(source: EmbeddingSource, quantize: str | None) -> bytes:
    inner = without_scaling(source.model)
    if inner is None:
        return network_bytes(
            source, source.model, quantize, output_names=[EMBEDDING], corrected_by=_CORRECTED_BY
        )
    data = network_bytes(source, inner, quantize, output_names=[_VECTORS], corrected_by=_CORRECTED_BY)

    def read(values):
        return {EMBEDDING: scaled_to_one(values[_VECTORS])}

    shape = describe(data).outputs[_VECTORS].shape
    return join(data, _litert.convert_function(read, {_VECTORS: shape}), [EMBEDDING])
