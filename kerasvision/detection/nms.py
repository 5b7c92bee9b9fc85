"""From scored boxes to detections: non-maximum suppression that runs the same everywhere."""

import tensorflow as tf

from kerasvision.errors import KerasvisionError


def select_boxes(
    boxes,
    scores,
    *,
    most: int = 100,
    overlap: float = 0.5,
    threshold: float = 0.05,
    per_class: bool = True,
    image_size: tuple[int, int] | None = None,
    candidates: int = 1000,
) -> dict:
    """Keep the best of boxes that overlap.

    It uses only operations that TFLite has built in, ONNX has and Core ML has (`NonMaxSuppressionV5`,
    `TopKV2`); with a static batch of 1 there is no loop in the graph either.

    Args:
        boxes: (b, n, 4) float32, xyxy in pixels.
        scores: (b, n, classes) float32 in [0, 1].
        most: how many boxes an image has at most.
        overlap: of two boxes with an IoU above this, the one with the lower score goes.
        threshold: boxes must have a score above this.
        per_class: boxes of different classes do not suppress each other, and a box may be found as several
            classes (as COCO is judged). Otherwise each box has its best class only, and suppresses boxes of
            any class.
        image_size: (height, width): boxes are clipped to the image first, and those outside it dropped.
        candidates: only so many of the best (box, class) pairs of an image are looked at, which bounds the
            time; torchvision takes as many a level.

    Returns:
        `boxes` (b, most, 4) float32 xyxy, `classes` (b, most) int32, `scores` (b, most) float32, by falling
        score, and `count` (b,) int32. From `count` on, boxes and scores are 0 and classes are -1.

    Raises:
        KerasvisionError: a setting is out of range.
    """
    _check(most, overlap, threshold, candidates)
    boxes, scores = tf.convert_to_tensor(boxes), tf.convert_to_tensor(scores)
    boxes = boxes if image_size is None else _clip(boxes, image_size)

    def select(image):
        return _select(*image, most, overlap, threshold, per_class, candidates)

    if boxes.shape[0] == 1:
        found = [part[None] for part in select((boxes[0], scores[0]))]
    else:
        signature = (
            tf.TensorSpec((most, 4), tf.float32),
            tf.TensorSpec((most,), tf.int32),
            tf.TensorSpec((most,), tf.float32),
            tf.TensorSpec((), tf.int32),
        )
        found = tf.map_fn(select, (boxes, scores), fn_output_signature=signature)
    return dict(zip(("boxes", "classes", "scores", "count"), found, strict=True))


def _select(boxes, scores, most, overlap, threshold, per_class, candidates):
    """Select the boxes (n, 4) of one image with scores (n, classes)."""
    best, place, label = _candidates(scores, per_class, candidates)
    box = tf.gather(boxes, place)
    sides = box[:, 2:] - box[:, :2]
    real = (sides[:, 0] > 0) & (sides[:, 1] > 0) & (best > threshold)
    # What is out of the race must not stretch the distance between classes below.
    box = tf.where(real[:, None], box, 0.0)
    best = tf.where(real, best, -1.0)
    apart = box
    if per_class:
        # Boxes of different classes are moved apart, so that one suppression does for all classes.
        extent = tf.reduce_max(box) - tf.reduce_min(box) + 1.0
        apart = box + (tf.cast(label, tf.float32) * extent)[:, None]
    index, _, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=apart,
        scores=best,
        max_output_size=most,
        iou_threshold=overlap,
        score_threshold=max(threshold, 0.0),
        soft_nms_sigma=0.0,
        pad_to_max_output_size=True,
    )
    kept = tf.range(most) < count
    return (
        tf.where(kept[:, None], tf.gather(box, index), 0.0),
        tf.where(kept, tf.gather(label, index), -1),
        tf.where(kept, tf.gather(best, index), 0.0),
        count,
    )


def _candidates(scores, per_class: bool, candidates: int):
    """Return scores, boxes and classes of the best (box, class) pairs of one image, by falling score."""
    classes = scores.shape[-1]
    if per_class:
        flat = tf.reshape(scores, [-1])
        best, index = tf.math.top_k(flat, _at_most(candidates, flat))
        # `%` would do, but its converters disagree about integers.
        place = index // classes
        return best, place, index - place * classes
    label = tf.argmax(scores, axis=-1, output_type=tf.int32)
    best = tf.reduce_max(scores, axis=-1)
    best, place = tf.math.top_k(best, _at_most(candidates, best))
    return best, place, tf.gather(label, place)


def _at_most(candidates: int, values):
    there = values.shape[0]
    return tf.minimum(candidates, tf.shape(values)[0]) if there is None else min(candidates, there)


def _clip(boxes, image_size: tuple[int, int]):
    height, width = (float(side) for side in image_size)
    return tf.minimum(tf.maximum(boxes, 0.0), [width, height, width, height])


def _check(most: int, overlap: float, threshold: float, candidates: int) -> None:
    if most < 1 or candidates < 1:
        raise KerasvisionError(
            f"`most` and `candidates` must be at least 1. Received: {most!r} and {candidates!r}."
        )
    if not 0 <= overlap <= 1 or not 0 <= threshold < 1:
        raise KerasvisionError(
            f"`overlap` must be in [0, 1] and `threshold` in [0, 1). Received: {overlap!r} and {threshold!r}."
        )
