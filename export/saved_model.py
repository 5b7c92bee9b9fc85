"""Export a classifier as a SavedModel that serves arrays and encoded photos."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export.certificate import TOLERANCES
from kerasvision.export.metadata import EMBEDDING_FILE, LABELS_FILE, PREPROCESSING_FILE, THRESHOLDS_FILE
from kerasvision.export.placing import ExportedFile, write_certified
from kerasvision.export.runners import EXTRAS
from kerasvision.export.source import ExportSource, as_source

# Of `preprocess` against `Preprocessing.read`, in levels of 255. Measured on 40 flower photos (stretch, crop,
# pad; factors from 0.2 to 3): mean at most 0.19, largest 1. Without antialiasing: mean 1.6 and more.
PIXEL_TOLERANCE = {"mean": 0.4, "largest": 2}
PHOTOS = 16


def to_saved_model(
    model_or_run,
    folder: str | os.PathLike,
    *,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> ExportedFile:
    """Export a classifier as a certified SavedModel.

    Signatures: `serve` (also `serving_default`) takes `images`, (n, h, w, 3), raw RGB in [0, 255];
    `serve_bytes` takes `image_bytes`, (n,) strings, encoded JPEG, PNG, GIF or BMP, and decodes and resizes
    them as `preprocessing` says. Both return `probabilities` (n, classes), `class_id` (n,) and `label` (n,).
    `preprocess` is the first half of `serve_bytes`: `image_bytes` to `images`, uint8.

    TensorFlow does not read the EXIF orientation, which `Preprocessing.read` honours: photos that a camera
    stored sideways must be turned upright before `serve_bytes`. Transparency is ignored there.

    The certificate covers `serve` at 1e-4, `serve_bytes` at the same on PNG files of the model's own size,
    and `preprocess` against `Preprocessing.read` on PNG files of other sizes: at most 0.4 of 255 levels in
    the mean and 2 at a pixel. Large JPEG files differ more: `Preprocessing.read` decodes them at a smaller
    scale.

    Args:
        model_or_run: a `Run`, or a `keras.Model`.
        folder: where to write. Only an earlier export of ours is replaced.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images for the certificate.
        targets: (n,) int, their classes.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`.

    Raises:
        ExportError: an argument does not fit.
        CertificateError: the folder does not answer like the model; nothing was put at `folder`.
    """
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        class_names=class_names,
        preprocessing=preprocessing,
    )
    return write_certified(
        source,
        folder,
        lambda place: write_saved_model(source, place),
        format="saved_model",
        tolerance=tolerance,
        check=lambda place: bytes_failures(source, place, tolerance),
    )


def write_saved_model(source: ExportSource, folder: Path) -> None:
    """Write the SavedModel with its labels and preprocessing beside it, without any check."""
    import keras
    import tensorflow as tf

    def answer(images):
        probabilities = source.model(tf.cast(images, tf.float32), training=False)
        # tf.argmax, not keras.ops.argmax: that one uses bit tricks which other converters do not know.
        class_id = tf.argmax(probabilities, -1, output_type=tf.int32)
        return {
            "probabilities": probabilities,
            "class_id": class_id,
            "label": tf.gather(tf.constant(source.labels), class_id),
        }

    def preprocess(image_bytes):
        return {"images": read_photos(image_bytes, source.preprocessing)[0]}

    images = tf.TensorSpec((None, *source.input_shape), tf.float32, name="images")
    image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
    # Without `archive.track(model)`, which would store every weight twice (Keras 3.15). What the endpoints
    # use is stored in any case, and the certificate reads the folder as it is on the disk.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", answer, input_signature=[images])
    archive.add_endpoint(
        "serve_bytes", lambda b: answer(preprocess(b)["images"]), input_signature=[image_bytes]
    )
    archive.add_endpoint("preprocess", preprocess, input_signature=[image_bytes])
    archive.write_out(str(folder), verbose=False)
    write_extras(folder, source.labels, source.preprocessing)


def write_extras(
    folder: Path,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    thresholds: Mapping[str, float] | None = None,
    embedding: Mapping | None = None,
) -> None:
    """Put labels, preprocessing, and a detector's thresholds or an embedder's facts into a SavedModel."""
    extras = folder / EXTRAS
    extras.mkdir()
    if labels:
        (extras / LABELS_FILE).write_text("\n".join(labels) + "\n", encoding="utf-8")
    told = {
        PREPROCESSING_FILE: preprocessing.to_dict(),
        THRESHOLDS_FILE: thresholds,
        EMBEDDING_FILE: embedding,
    }
    for name, value in told.items():
        if value:
            (extras / name).write_text(json.dumps(dict(value)), encoding="utf-8")


def bytes_failures(
    source: ExportSource, folder: Path, tolerance: Mapping[str, float] | None = None
) -> list[str]:
    """Return what is wrong with `serve_bytes` and `preprocess` of a written SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    photos = source.images[:PHOTOS]
    limit = {**TOLERANCES[None], **(tolerance or {})}["max_difference"]
    answers = loaded.serve_bytes(tf.constant([png(photo) for photo in photos]))["probabilities"].numpy()
    furthest = np.abs(answers - source.reference[:PHOTOS]).max()
    failures = []
    if not furthest <= limit:
        failures.append(f"serve_bytes: a probability differs by {furthest:.3g}, allowed are {limit:g}")
    return [*failures, *pixel_failures(loaded, source.preprocessing, photos)]


def pixel_failures(loaded, preprocessing: Preprocessing, photos: np.ndarray) -> list[str]:
    """Return what is wrong with `preprocess` of an opened SavedModel, on photos in other sizes."""
    import tensorflow as tf

    # Aligned faces have the model's own size; others are not resized, they are refused.
    encoded = in_other_sizes(photos) if preprocessing.alignment is None else [png(p) for p in photos]
    pixels = loaded.preprocess(tf.constant(encoded))["images"].numpy().astype(int)
    levels = np.abs(pixels - np.stack([preprocessing.read(photo) for photo in encoded]))
    if levels.mean() <= PIXEL_TOLERANCE["mean"] and levels.max() <= PIXEL_TOLERANCE["largest"]:
        return []
    return [
        f"preprocess: pixels differ from Preprocessing.read by {levels.mean():.2f} levels in the mean "
        f"and {levels.max()} at most, allowed are {PIXEL_TOLERANCE['mean']} and "
        f"{PIXEL_TOLERANCE['largest']}"
    ]


def read_photos(image_bytes, preprocessing: Preprocessing):
    """Decode and resize photos in TensorFlow as `Preprocessing.read` does.

    Args:
        image_bytes: (n,) strings, encoded JPEG, PNG, GIF or BMP.
        preprocessing: the size, and how it is reached.

    Returns:
        (n, h, w, 3) uint8, and (n, 2, 2) float32: height and width of the whole photo in pixels of the
        resized image, and its upper left corner (y, x) there.
    """
    import tensorflow as tf

    spec = tf.TensorSpec((*preprocessing.image_size, 3), tf.uint8), tf.TensorSpec((2, 2), tf.float32)
    return tf.map_fn(lambda b: _read(b, preprocessing), image_bytes, fn_output_signature=spec)


def _read(image_bytes, preprocessing: Preprocessing):
    """Return one photo as `read_photos` does."""
    import tensorflow as tf

    # decode_image would take the fast and coarse DCT for JPEG: up to 4 levels away from Pillow at one pixel.
    photo = tf.cond(
        tf.io.is_jpeg(image_bytes),
        lambda: tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image_bytes, channels=3, expand_animations=False),
    )
    photo.set_shape([None, None, 3])
    height, width = preprocessing.image_size
    if preprocessing.alignment is not None:
        return tf.ensure_shape(photo, (height, width, 3)), tf.constant([[height, width], [0, 0]], tf.float32)
    size, target = tf.cast(tf.shape(photo)[:2], tf.float32), tf.constant([height, width], tf.float32)
    photo = tf.cast(photo, tf.float32)
    if preprocessing.resize == "stretch":
        extent, corner = target, tf.zeros(2)
        result = scaled(photo, target / size, [0.0, 0.0], (height, width))
    elif preprocessing.resize == "crop":
        factor = tf.reduce_max(target / size)
        extent, corner = size * factor, (target - size * factor) / 2
        result = scaled(photo, tf.stack([factor, factor]), corner, (height, width))
    else:
        inner = tf.maximum(1.0, tf.round(size * tf.reduce_min(target / size)))
        whole = tf.cast(inner, tf.int32)
        top, left = tf.unstack(([height, width] - whole) // 2)
        small = scaled(photo, inner / size, [0.0, 0.0], whole)
        extent, corner = inner, tf.cast(tf.stack([top, left]), tf.float32)
        result = tf.image.pad_to_bounding_box(small, top, left, height, width)
    result = tf.cast(tf.clip_by_value(tf.round(result), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(result, (height, width, 3)), tf.stack([extent, corner])


def scaled(photo, factors, shift, size, *, antialias: bool = True):
    """Resize (h, w, c) by bilinear interpolation: output pixel = input pixel * factors + shift."""
    import tensorflow as tf

    return tf.raw_ops.ScaleAndTranslate(
        images=photo[None],
        size=size,
        scale=factors,
        translation=shift,
        kernel_type="triangle",
        antialias=antialias,
    )[0]


def in_other_sizes(photos: np.ndarray) -> list[bytes]:
    """Return photos as PNG files of several sizes of other proportions."""
    return [png(_other_size(photo, index)) for index, photo in enumerate(photos)]


def png(pixels: np.ndarray) -> bytes:
    """Return a photo (h, w, 3) uint8 as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _other_size(pixels: np.ndarray, index: int) -> np.ndarray:
    """Enlarge or shrink a photo to one of several sizes of other proportions."""
    from PIL import Image

    height, width = pixels.shape[:2]
    across, down = [(1.7, 1.2), (0.6, 0.9), (2.9, 2.1), (1.0, 1.9)][index % 4]
    size = (max(4, round(width * across)), max(4, round(height * down)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
