"""Geometry of boxes as tensors: forms, offsets from anchors, overlaps.

All functions work on the last axis and broadcast over those before it. Those for decoding use only
operations that TFLite has built in and ONNX has.
"""

import math

import numpy as np
import tensorflow as tf

EPSILON = 1e-7
MOST = math.log(1000.0)  # logarithm of the largest box in sides of its anchor


def to_center(boxes):
    """Return (…, 4) centre x, centre y, width, height of xyxy boxes."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return tf.concat([(low + high) * 0.5, high - low], axis=-1)


def to_corners(boxes):
    """Return (…, 4) xyxy of boxes given by centre x, centre y, width, height."""
    center, half = boxes[..., :2], boxes[..., 2:] * 0.5
    return tf.concat([center - half, center + half], axis=-1)


def encode_deltas(boxes, anchors, variances=(0.1, 0.1, 0.2, 0.2)):
    """Return the offsets of boxes from anchors, as Faster R-CNN, SSD and RetinaNet learn them.

    Args:
        boxes: (…, 4) float32, xyxy; sides below 1e-7 count as 1e-7.
        anchors: (n, 4) or (…, 4), xyxy, of positive size.
        variances: what the four offsets are divided by.

    Returns:
        (…, 4) float32: centre x and y in sides of the anchor, logarithm of width and height.
    """
    box, anchor = to_center(boxes), _centered(anchors)
    shift = (box[..., :2] - anchor[..., :2]) / anchor[..., 2:]
    scale = tf.math.log(tf.maximum(box[..., 2:], EPSILON) / anchor[..., 2:])
    return tf.concat([shift, scale], axis=-1) / np.asarray(variances, np.float32)


def decode_deltas(deltas, anchors, variances=(0.1, 0.1, 0.2, 0.2)):
    """Return the xyxy boxes (…, 4) that offsets from anchors stand for: the inverse of `encode_deltas`.

    `anchors` must be a numpy array where the result is exported. A box is at most 1,000 times as wide and
    high as its anchor: the exponential of an untrained network's output must not overflow.
    """
    anchor = _centered(anchors)
    deltas = deltas * np.asarray(variances, np.float32)
    center = deltas[..., :2] * anchor[..., 2:] + anchor[..., :2]
    sides = tf.exp(tf.minimum(deltas[..., 2:], MOST)) * anchor[..., 2:]
    return to_corners(tf.concat([center, sides], axis=-1))


def pairwise_iou(first, second):
    """Return the overlaps (…, n, m) of boxes (…, n, 4) with boxes (…, m, 4), xyxy; 0 where no area is."""
    first, second = first[..., :, None, :], second[..., None, :, :]
    inside, areas = _intersection(first, second), _area(first) + _area(second)
    return inside / tf.maximum(areas - inside, EPSILON)


def pairwise_coverage(first, second):
    """Return how much of each box of `first` lies in each of `second`: (…, n, m) in [0, 1]."""
    first, second = first[..., :, None, :], second[..., None, :, :]
    return _intersection(first, second) / tf.maximum(_area(first), EPSILON)


def complete_iou(first, second):
    """Return CIoU of aligned xyxy boxes (…, 4), which broadcast: in (-2, 1], 1 for equal boxes.

    The weight of the aspect ratio is a constant to the gradient, as in the paper, https://arxiv.org/abs/2005.03572.
    """
    width_1, height_1 = _sides(first)
    width_2, height_2 = _sides(second)
    inside = _intersection(first, second)
    iou = inside / (width_1 * height_1 + width_2 * height_2 - inside + 2 * EPSILON)
    hull = tf.maximum(first[..., 2:], second[..., 2:]) - tf.minimum(first[..., :2], second[..., :2])
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) * 0.5
    distance = tf.reduce_sum(apart**2, -1) / (tf.reduce_sum(hull**2, -1) + EPSILON)
    aspect = (4 / math.pi**2) * (tf.atan(width_2 / height_2) - tf.atan(width_1 / height_1)) ** 2
    weight = tf.stop_gradient(aspect / (aspect - iou + 1 + EPSILON))
    return iou - distance - aspect * weight


def _centered(anchors):
    """Return anchors by centre; numpy stays numpy, so that it becomes a constant in an exported file."""
    if not isinstance(anchors, np.ndarray):
        return to_center(anchors)
    low, high = anchors[..., :2], anchors[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1).astype(np.float32)


def _sides(boxes):
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1] + EPSILON


def _area(boxes):
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def _intersection(first, second):
    low = tf.maximum(first[..., :2], second[..., :2])
    sides = tf.maximum(tf.minimum(first[..., 2:], second[..., 2:]) - low, 0.0)
    return sides[..., 0] * sides[..., 1]
