"""Write a detector as a SavedModel that serves arrays and encoded photos."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from kerasvision.export.detection_certificate import EQUAL, certify_detector
from kerasvision.export.detection_graph import detect
from kerasvision.export.detection_runner import to_detections
from kerasvision.export.detection_source import DetectionSource
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.saved_model import PHOTOS, in_other_sizes, pixel_failures, read_photos, write_extras


def detector_to_saved_model(source: DetectionSource, folder: Path) -> ExportedFile:
    """Write a certified SavedModel.

    Signatures: `serve` (also `serving_default`) takes `images`, (n, h, w, 3), raw RGB in [0, 255], any n, and
    returns boxes in [0, 1] of these images; `serve_bytes` takes `image_bytes`, (n,) strings, encoded JPEG,
    PNG, GIF or BMP, decodes and resizes them as `preprocessing` says, and returns boxes in [0, 1] of the
    photos; `preprocess` is its first half. Beside `boxes`, `classes`, `scores` and `count` there is `labels`
    (n, k), the names of the classes. TensorFlow does not read the EXIF orientation.

    Raises:
        CertificateError: the folder does not find what the model finds; nothing was put at `folder`.
    """
    return write_certified(
        source,
        folder,
        lambda place: write_detector(source, place),
        format="saved_model",
        check=lambda place: photo_failures(source, place),
        prove=certify_detector,
    )


def write_detector(source: DetectionSource, folder: Path) -> None:
    """Write the SavedModel with its labels and preprocessing beside it, without any check."""
    import keras
    import tensorflow as tf

    target = np.array(source.preprocessing.image_size, np.float32)

    def answer(images):
        found = detect(source.detector, source.selection, images)
        labels = tf.gather(tf.constant(source.labels), found["classes"])
        there = tf.range(tf.shape(labels)[1]) < found["count"][:, None]
        return found | {"labels": tf.where(there, labels, "")}

    def answer_photos(image_bytes):
        images, place = read_photos(image_bytes, source.preprocessing)
        found = answer(images)
        extent, corner = (tf.tile(part, [1, 2])[:, None] for part in tf.unstack(place, axis=1))
        boxes = (found["boxes"] * np.tile(target, 2) - corner) / extent
        there = found["scores"][..., None] > 0
        return found | {"boxes": tf.where(there, tf.clip_by_value(boxes, 0.0, 1.0), 0.0)}

    images = tf.TensorSpec((None, *source.input_shape), tf.float32, name="images")
    image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
    archive = keras.export.ExportArchive()  # without `track`: see `saved_model.write_saved_model`
    archive.add_endpoint("serve", answer, input_signature=[images])
    archive.add_endpoint("serve_bytes", answer_photos, input_signature=[image_bytes])
    archive.add_endpoint(
        "preprocess",
        lambda b: {"images": read_photos(b, source.preprocessing)[0]},
        input_signature=[image_bytes],
    )
    archive.write_out(str(folder), verbose=False)
    write_extras(folder, source.labels, source.preprocessing, source.thresholds)


def photo_failures(source: DetectionSource, folder: Path) -> list[str]:
    """Return what is wrong with `serve_bytes` and `preprocess` of a written SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    photos = source.images[:PHOTOS]
    encoded = in_other_sizes(photos)
    found = loaded.serve_bytes(tf.constant(encoded))
    resized = loaded.serve(tf.cast(loaded.preprocess(tf.constant(encoded))["images"], tf.float32))
    failures = pixel_failures(loaded, source.preprocessing, photos)
    inside = to_detections(_arrays(resized), source.preprocessing.image_size)
    on_photos = to_detections(_arrays(found), (1, 1))
    for photo, here, there in zip(encoded, inside, on_photos, strict=True):
        width, height = _size(photo)
        expected = source.preprocessing.unplace(here.boxes, (height, width)) / ([width, height] * 2)
        if len(here) != len(there) or not np.allclose(expected, there.boxes, rtol=0, atol=EQUAL):
            failures.append("serve_bytes: boxes are not where they are on the photo")
            break
    return failures


def _arrays(found) -> dict:
    return {name: np.asarray(value) for name, value in found.items() if name != "labels"}


def _size(photo: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(photo)) as picture:
        return picture.size
