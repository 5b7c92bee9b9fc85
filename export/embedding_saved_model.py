"""Write an embedder as a SavedModel that serves arrays and encoded photos."""

from collections.abc import Mapping
from pathlib import Path

from kerasvision.export.embedding_certificate import TOLERANCES, certify_embedder, cosines
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.export.metadata import EMBEDDING
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.saved_model import PHOTOS, pixel_failures, png, read_photos, write_extras


def embedder_to_saved_model(source: EmbeddingSource, folder: Path) -> ExportedFile:
    """Write a certified SavedModel.

    Signatures: `serve` (also `serving_default`) takes `images`, (n, h, w, 3), raw RGB in [0, 255], any n;
    `serve_bytes` takes `image_bytes`, (n,) strings, encoded JPEG, PNG, GIF or BMP, and decodes and resizes
    them as `preprocessing` says; aligned faces must have the model's size. Both return `embedding`, (n, d).
    `preprocess` is the first half of `serve_bytes`. TensorFlow does not read the EXIF orientation.

    Raises:
        CertificateError: the folder does not embed as the model does; nothing was put at `folder`.
    """
    return write_certified(
        source,
        folder,
        lambda place: write_embedder(source, place),
        format="saved_model",
        check=lambda place: photo_failures(source, place),
        prove=certify_embedder,
    )


def write_embedder(source: EmbeddingSource, folder: Path) -> None:
    """Write the SavedModel with its preprocessing and its threshold beside it, without any check."""
    import keras
    import tensorflow as tf

    def answer(images):
        return {EMBEDDING: source.model(tf.cast(images, tf.float32), training=False)}

    def preprocess(image_bytes):
        return {"images": read_photos(image_bytes, source.preprocessing)[0]}

    images = tf.TensorSpec((None, *source.input_shape), tf.float32, name="images")
    image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive = keras.export.ExportArchive()  # without `track`: see `saved_model.write_saved_model`
    archive.add_endpoint("serve", answer, input_signature=[images])
    archive.add_endpoint(
        "serve_bytes", lambda b: answer(preprocess(b)["images"]), input_signature=[image_bytes]
    )
    archive.add_endpoint("preprocess", preprocess, input_signature=[image_bytes])
    archive.write_out(str(folder), verbose=False)
    write_extras(folder, (), source.preprocessing, embedding=source.facts)


def photo_failures(
    source: EmbeddingSource, folder: Path, tolerance: Mapping[str, float] | None = None
) -> list[str]:
    """Return what is wrong with `serve_bytes` and `preprocess` of a written SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    photos = source.images[:PHOTOS]
    found = loaded.serve_bytes(tf.constant([png(photo) for photo in photos]))[EMBEDDING].numpy()
    least = cosines(found, source.reference[:PHOTOS]).min()
    needed = {**TOLERANCES[None], **(tolerance or {})}["least_cosine"]
    failures = pixel_failures(loaded, source.preprocessing, photos)
    if not least >= needed:
        failures.append(
            f"serve_bytes: a cosine with the model's embedding is {least:.5f}, needed is {needed:g}"
        )
    return failures
