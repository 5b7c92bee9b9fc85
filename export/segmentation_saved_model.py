"""Write a segmenter as a SavedModel that serves arrays and encoded photos."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasvision.data.headers import upright_size
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.runners import open_file
from kerasvision.export.saved_model import (
    PHOTOS,
    in_other_sizes,
    pixel_failures,
    read_photos,
    scaled,
    write_extras,
)
from kerasvision.export.segmentation_certificate import TOLERANCES, certify_segmenter
from kerasvision.export.segmentation_graph import read_logits
from kerasvision.export.segmentation_source import SegmentationSource
from kerasvision.metrics.segmentation import VOID


def segmenter_to_saved_model(source: SegmentationSource, folder: Path) -> ExportedFile:
    """Write a certified SavedModel.

    Signatures: `serve` (also `serving_default`) takes `images`, (n, h, w, 3), raw RGB in [0, 255], any n;
    `serve_bytes` takes `image_bytes`, (n,) strings, encoded JPEG, PNG, GIF or BMP, and decodes and resizes
    them as `preprocessing` says. Both return `labels`, (n, *output_size) uint8, and beside it what
    `source.output` asks for. `serve_photo` takes `image_bytes` of one photo, a single string, and returns the
    same in the photo's own size, without n: 255, void, where `"crop"` cuts the photo off. `preprocess` is the
    first half of `serve_bytes`. TensorFlow does not read the EXIF orientation.

    Raises:
        CertificateError: the folder does not draw what the model draws; nothing was put at `folder`.
    """
    return write_certified(
        source,
        folder,
        lambda place: write_segmenter(source, place),
        format="saved_model",
        check=lambda place: photo_failures(source, place),
        prove=certify_segmenter,
    )


def write_segmenter(source: SegmentationSource, folder: Path) -> None:
    """Write the SavedModel with its labels and preprocessing beside it, without any check."""
    import keras
    import tensorflow as tf

    def logits_of(images):
        return source.model(tf.cast(images, tf.float32), training=False)

    def answer(logits, size):
        return {
            **read_logits(logits, "labels", size),
            **read_logits(logits, source.output, size),
        }

    def answer_images(images):
        return answer(logits_of(images), source.output_size)

    def answer_bytes(image_bytes):
        return answer_images(read_photos(image_bytes, source.preprocessing)[0])

    def answer_photo(image_bytes):
        images, place = read_photos(image_bytes[None], source.preprocessing)
        size, (extent, corner) = _size(image_bytes), tf.unstack(place[0])
        logits, factors = logits_of(images)[0], tf.cast(size, tf.float32) / extent
        # What lies in the border that "pad" adds must not come into the edges of the photo.
        first = tf.cast(tf.maximum(corner, 0.0), tf.int32)
        last = tf.cast(tf.minimum(corner + extent, source.preprocessing.image_size), tf.int32)
        inside = logits[first[0] : last[0], first[1] : last[1]]
        shift = (tf.cast(first, tf.float32) - corner) * factors
        found = answer(scaled(inside, factors, shift, size, antialias=False)[None], None)
        seen = _seen(size, extent, corner, source.preprocessing.image_size)
        result = {"labels": tf.where(seen, found.pop("labels")[0], tf.cast(VOID, tf.uint8))}
        return result | {name: tf.where(seen[..., None], value[0], 0.0) for name, value in found.items()}

    images = tf.TensorSpec((None, *source.input_shape), tf.float32, name="images")
    image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive = keras.export.ExportArchive()  # without `track`: see `saved_model.write_saved_model`
    archive.add_endpoint("serve", answer_images, input_signature=[images])
    archive.add_endpoint("serve_bytes", answer_bytes, input_signature=[image_bytes])
    one = tf.TensorSpec((), tf.string, name="image_bytes")
    archive.add_endpoint("serve_photo", answer_photo, input_signature=[one])
    archive.add_endpoint(
        "preprocess",
        lambda b: {"images": read_photos(b, source.preprocessing)[0]},
        input_signature=[image_bytes],
    )
    archive.write_out(str(folder), verbose=False)
    write_extras(folder, source.labels, source.preprocessing)


def photo_failures(
    source: SegmentationSource, folder: Path, tolerance: Mapping[str, float] | None = None
) -> list[str]:
    """Return what is wrong with `serve_bytes`, `serve_photo` and `preprocess` of a written SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    photos = source.images[:PHOTOS]
    needed = {**TOLERANCES[None], **(tolerance or {})}["agreement"]
    encoded = in_other_sizes(photos)
    pixels = loaded.preprocess(tf.constant(encoded))["images"].numpy()
    failures = pixel_failures(loaded, source.preprocessing, photos)
    expected, _ = open_file(folder).answer(pixels)
    shares = {
        "serve_bytes": [np.mean(loaded.serve_bytes(tf.constant(encoded))["labels"].numpy() == expected)]
    }
    shares["serve_photo"] = []
    for photo, image in zip(encoded, pixels, strict=True):
        logits = source.model(image[None].astype(np.float32), training=False)[0].numpy()
        wanted = _expected(logits, source.preprocessing, upright_size(photo))
        found = loaded.serve_photo(tf.constant(photo))["labels"].numpy()
        shares["serve_photo"].append(np.mean(found == wanted) if found.shape == wanted.shape else 0.0)
    return failures + [
        f"{name}: the same class at {np.mean(share):.2%} of the pixels, needed are {needed:.2%}"
        for name, share in shares.items()
        if not np.mean(share) >= needed
    ]


def _size(image_bytes):
    """Return (height, width) of an encoded photo, of JPEG without decoding it again."""
    import tensorflow as tf

    return tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: tf.image.extract_jpeg_shape(image_bytes)[:2],
        lambda: tf.shape(tf.io.decode_image(image_bytes, channels=3, expand_animations=False))[:2],
    )


def _seen(size, extent, corner, target: tuple[int, int]):
    """Return which pixels of a photo lie inside the resized image: (height, width) bool."""
    import tensorflow as tf

    lines = []
    for axis in range(2):
        count = tf.cast(size[axis], tf.float32)
        at = (tf.range(count) + 0.5) * extent[axis] / count + corner[axis]
        lines.append((at >= 0) & (at <= target[axis]))
    return lines[0][:, None] & lines[1][None]


def _expected(logits: np.ndarray, preprocessing: Preprocessing, size: tuple[int, int]) -> np.ndarray:
    """Return what `serve_photo` must give for a photo of a size, from logits (h, w, classes)."""
    placed, seen = preprocessing.place(size), []
    for axis, scale, offset in ((0, placed.scale_y, placed.offset_y), (1, placed.scale_x, placed.offset_x)):
        at = (np.arange(size[axis]) + 0.5) * scale + offset
        seen.append((at >= 0) & (at <= logits.shape[axis]))
        lowest, highest = max(0, offset), min(logits.shape[axis], size[axis] * scale + offset)
        at = np.clip(at - 0.5, lowest, round(highest) - 1)
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
        high = np.minimum(low + 1, logits.shape[axis] - 1)
        logits = logits.take(low, axis) * (1 - share) + logits.take(high, axis) * share
    return np.where(seen[0][:, None] & seen[1], logits.argmax(-1), VOID).astype(np.uint8)
