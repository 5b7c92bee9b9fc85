"""Geometry of boxes against numpy and keras-cv."""

import numpy as np
import tensorflow as tf

from kerasvision.detection import box_coding
from kerasvision.metrics import box_geometry


def random_boxes(rng, *shape):
    low = rng.uniform(0, 80, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(2, 50, (*shape, 2))], -1).astype(np.float32)


def test_forms_and_deltas_are_inverse():
    rng = np.random.default_rng(0)
    boxes, anchors = random_boxes(rng, 3, 20), random_boxes(rng, 20)
    np.testing.assert_allclose(box_coding.to_corners(box_coding.to_center(boxes)), boxes, atol=1e-4)
    for variances in ((0.1, 0.1, 0.2, 0.2), (1, 1, 1, 1)):
        deltas = box_coding.encode_deltas(boxes, anchors, variances)
        for form in (anchors, tf.constant(anchors)):
            np.testing.assert_allclose(box_coding.decode_deltas(deltas, form, variances), boxes, atol=2e-4)


def test_deltas_by_hand():
    anchor, box = np.float32([[0, 0, 10, 20]]), np.float32([[5, 0, 15, 40]])
    expected = [[(10 - 5) / 10 / 0.1, (20 - 10) / 20 / 0.1, 0.0, np.log(2) / 0.2]]
    np.testing.assert_allclose(box_coding.encode_deltas(box, anchor), expected, rtol=1e-6)


def test_boxes_without_size_have_finite_deltas():
    deltas = box_coding.encode_deltas(
        np.float32([[3, 3, 3, 3], [5, 5, 1, 1]]), np.float32([[0, 0, 10, 20]] * 2)
    )
    assert np.isfinite(deltas).all()


def test_pairwise_iou_and_coverage():
    rng = np.random.default_rng(1)
    first, second = random_boxes(rng, 7), random_boxes(rng, 5)
    expected = box_geometry.pairwise_iou(first.astype(float), second.astype(float))
    np.testing.assert_allclose(box_coding.pairwise_iou(first, second), expected, atol=1e-6)
    batched = box_coding.pairwise_iou(np.stack([first, first]), np.stack([second, second]))
    np.testing.assert_allclose(batched[1], expected, atol=1e-6)
    degenerate = np.float32([[0, 0, 0, 0], [-1, -1, -1, -1], [9, 9, 3, 3]])
    assert not np.any(box_coding.pairwise_iou(first, degenerate))
    assert np.isfinite(box_coding.pairwise_coverage(degenerate, first)).all()
    half = box_coding.pairwise_coverage(np.float32([[0, 0, 10, 10]]), np.float32([[5, 0, 50, 50]]))
    np.testing.assert_allclose(half, [[0.5]])


def slow_complete_iou(first, second):
    """Return CIoU of two boxes as the paper's equations 6 to 11 have it."""
    (a, b, c, d), (e, f, g, h) = first.astype(float), second.astype(float)
    inside = max(min(c, g) - max(a, e), 0) * max(min(d, h) - max(b, f), 0)
    iou = inside / ((c - a) * (d - b) + (g - e) * (h - f) - inside)
    apart = ((a + c - e - g) / 2) ** 2 + ((b + d - f - h) / 2) ** 2
    diagonal = (max(c, g) - min(a, e)) ** 2 + (max(d, h) - min(b, f)) ** 2
    v = 4 / np.pi**2 * (np.arctan((g - e) / (h - f)) - np.arctan((c - a) / (d - b))) ** 2
    return iou - apart / diagonal - v * v / (1 - iou + v)


def test_complete_iou_is_that_of_the_paper():
    rng = np.random.default_rng(2)
    first, second = random_boxes(rng, 50), random_boxes(rng, 50)
    expected = [slow_complete_iou(*pair) for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(box_coding.complete_iou(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(box_coding.complete_iou(first, first), 1.0, atol=1e-6)


def test_complete_iou_has_finite_gradients_for_boxes_without_size():
    boxes = tf.constant([[3.0, 3, 3, 3], [1, 1, 1, 5], [0, 0, 4, 4]])
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        value = box_coding.complete_iou(boxes, tf.constant([[3.0, 3, 3, 3], [2, 2, 2, 2], [0, 0, 4, 4]]))
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, boxes)).all()
