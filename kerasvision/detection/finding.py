"""Find boxes on images: network, decoding and suppression in one compiled function."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from kerasvision.detection.detectors import Detector
from kerasvision.detection.nms import select_boxes
from kerasvision.errors import KerasvisionError
from kerasvision.metrics.detection_values import Detections

# Functions of detectors, compiled once each; on the model, so that they go when it goes.
_ATTRIBUTE = "_kerasvision_finders"


def finder(
    detector: Detector,
    *,
    most: int = 100,
    overlap: float = 0.5,
    threshold: float = 0.05,
    per_class: bool = True,
) -> Callable:
    """Return a function from images to selected boxes, compiled: what `find` calls for each batch.

    Args:
        detector: the detector; its weights may change later.
        most: as for `select_boxes`.
        overlap: as for `select_boxes`.
        threshold: as for `select_boxes`.
        per_class: as for `select_boxes`.

    Returns:
        A function of images (b, height, width, 3), raw RGB in [0, 255], that returns what `select_boxes`
        does, in pixels of these images.
    """
    settings = (most, overlap, threshold, per_class)
    known = detector.model.__dict__.setdefault(_ATTRIBUTE, {})
    if settings not in known:
        head, size, model = detector.head, detector.spec.image_size, detector.model

        @tf.function(reduce_retracing=True)
        def function(images):
            boxes, scores = head.decode(model(tf.cast(images, tf.float32), training=False))
            return select_boxes(
                boxes,
                scores,
                most=most,
                overlap=overlap,
                threshold=threshold,
                per_class=per_class,
                image_size=size,
            )

        known[settings] = function
    return known[settings]


def find(
    detector: Detector | Callable,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    most: int = 100,
    overlap: float = 0.5,
    threshold: float = 0.05,
    per_class: bool = True,
    batch_size: int = 8,
) -> list[Detections]:
    """Find boxes on images.

    Args:
        detector: a detector, or a function that returns what `select_boxes` does (an exported file); the
            settings below are then those of the file.
        images: (n, height, width, 3), raw RGB in [0, 255], of the size that the detector takes; or an
            iterable of such batches.
        most: boxes of an image at most.
        overlap: of two boxes with an IoU above this, the one with the lower score goes.
        threshold: boxes must have a score above this.
        per_class: boxes of different classes do not suppress each other.
        batch_size: images in one call.

    Returns:
        One `Detections` an image, by falling score, with boxes in pixels of the network's input.

    Raises:
        KerasvisionError: the images are of another size.
    """
    function = detector
    if isinstance(detector, Detector):
        function = finder(detector, most=most, overlap=overlap, threshold=threshold, per_class=per_class)
    found = []
    for batch in _batches(images, batch_size):
        if isinstance(detector, Detector):
            _check_size(batch, detector.spec.image_size)
        count = len(batch)
        if found and count < batch_size:  # the last one: padded, so that the function is not traced again
            batch = np.concatenate([batch, np.repeat(batch[-1:], batch_size - count, axis=0)])
        selected = {name: np.asarray(value) for name, value in function(batch).items()}
        found.extend(_detections(selected, index) for index in range(count))
    return found


def _batches(images, batch_size: int):
    if isinstance(images, np.ndarray) or hasattr(images, "shape"):
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size]
    else:
        for batch in images:
            yield np.asarray(batch)


def _detections(selected: dict, index: int) -> Detections:
    count = int(selected["count"][index])
    return Detections(
        selected["boxes"][index, :count],
        selected["classes"][index, :count].astype(np.int32),
        selected["scores"][index, :count],
    )


def _check_size(batch, size: tuple[int, int]) -> None:
    if tuple(batch.shape[1:]) != (*size, 3):
        raise KerasvisionError(
            f"`images` must be of the shape (n, {size[0]}, {size[1]}, 3) for this detector; resize them with "
            f"kerasvision.data.Preprocessing(image_size={size}). Received: {tuple(batch.shape)}."
        )
