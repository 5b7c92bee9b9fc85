"""Assignment against slow references that follow the papers word by word."""

import numpy as np
import pytest
import tensorflow as tf

from kerasvision.detection.assignment import assign, best_anchors, hard_negatives, match


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if width * height > 0 else 0.0


def slow_best(overlaps):
    """Take the best pair of all that are free, one by one."""
    free, chosen = np.array(overlaps), np.full(len(overlaps), -1)
    while free.size and free.max() > 0:
        box, anchor = np.unravel_index(np.argmax(free), free.shape)
        chosen[box] = anchor
        free[box], free[:, anchor] = 0, 0
    return chosen


def slow_assign(anchors, boxes, classes, crowd, overlap, background, force):
    """Assign the boxes of one image."""
    real = [i for i in range(len(boxes)) if classes[i] >= 0 and not crowd[i]]
    iou = np.array([[slow_iou(boxes[i], a) for a in anchors] for i in real], np.float32)
    result = np.full(len(anchors), -1)
    for n, anchor in enumerate(anchors):
        best = int(np.argmax(iou[:, n])) if real else None
        value = iou[best, n] if real else 0.0
        if value > overlap:
            result[n] = real[best]
        elif value > (overlap if background is None else background):
            result[n] = -2
    if force and real:
        for i, n in zip(real, slow_best(iou), strict=True):
            if n >= 0:
                result[n] = i
    for n, anchor in enumerate(anchors):
        for i in range(len(boxes)):
            if result[n] == -1 and crowd[i] and classes[i] >= 0:
                width = max(0.0, min(anchor[2], boxes[i][2]) - max(anchor[0], boxes[i][0]))
                height = max(0.0, min(anchor[3], boxes[i][3]) - max(anchor[1], boxes[i][1]))
                if width * height > 0.5 * (anchor[2] - anchor[0]) * (anchor[3] - anchor[1]):
                    result[n] = -2
    return result


def random_boxes(rng, shape, size=64):
    corner = rng.uniform(0, size - 8, (*shape, 2))
    sides = rng.uniform(2, 30, (*shape, 2))
    return np.concatenate([corner, corner + sides], -1).astype("float32")


def random_truth(rng, count=6, most=5):
    """Return boxes, classes and crowds: one image is empty, some boxes are tiny, of no size or equal."""
    boxes, classes = random_boxes(rng, (count, most)), rng.integers(0, 3, (count, most))
    classes[rng.random((count, most)) < 0.3] = -1
    classes[0] = -1
    crowd = rng.random((count, most)) < 0.2
    boxes[1, 0, 2:] = boxes[1, 0, :2]
    boxes[2, 0, 2:] = boxes[2, 0, :2] + 1e-3
    boxes[3, 1] = boxes[3, 0]
    boxes[classes < 0] = 0
    return boxes, classes.astype("int32"), crowd


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("background", [None, 0.3])
def test_assignment_equals_the_slow_one(background, force):
    matched = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        anchors, truth = random_boxes(rng, (90,)), random_truth(rng)
        found = assign(anchors, *truth, overlap=0.5, background=background, force=force).numpy()
        for image, row in enumerate(found):
            expected = slow_assign(anchors, *(part[image] for part in truth), 0.5, background, force)
            np.testing.assert_array_equal(row, expected)
        assert (found[0] == -1).all() or truth[2][0].any()
        matched += (found >= 0).sum()
        assert (found == -2).any()
    assert matched > (60 if force else 10)


@pytest.mark.parametrize("levels", [0, 3])
def test_best_anchors_equal_the_greedy_ones(levels):
    """Also with many equal overlaps (rounded to thirds), where the first goes first."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        shape = rng.integers(1, 9), rng.integers(1, 12)
        overlaps = np.maximum(rng.uniform(-0.5, 1, shape), 0).astype("float32")
        overlaps = np.round(overlaps * levels) / levels if levels else overlaps
        np.testing.assert_array_equal(best_anchors(tf.constant(overlaps, tf.float32)), slow_best(overlaps))


def test_a_box_that_was_refused_may_displace_another():
    """Greedy gives 0 -> 1 (0.9), then 1 -> 0 (0.6), although box 2 asked for anchor 0 first (0.3)."""
    overlaps = tf.constant([[0.1, 0.9, 0.0], [0.6, 0.8, 0.0], [0.3, 0.0, 0.2]])
    assert best_anchors(overlaps).numpy().tolist() == [1, 0, 2]


def test_a_better_overlap_does_not_take_the_only_anchor_of_a_box():
    """Anchor 0 overlaps box 0 most, but box 1 would have no other anchor."""
    overlaps = tf.constant([[0.9, 0.7], [0.6, 0.0]])
    assert match(overlaps, overlap=0.5, force=True).numpy().tolist() == [0, 0]
    overlaps = tf.constant([[0.7, 0.9], [0.6, 0.0]])
    assert match(overlaps, overlap=0.5, force=True).numpy().tolist() == [1, 0]


@pytest.mark.parametrize("at_least", [0, 4])
@pytest.mark.parametrize("ratio", [3.0, 1.5])
def test_hard_negatives_equal_the_slow_ones(ratio, at_least, rng):
    losses = np.round(rng.uniform(0, 2, (8, 40)), 1).astype("float32")  # many are equal
    candidates, positives = rng.random((8, 40)) < 0.6, rng.integers(0, 12, 8)
    positives[0] = 0
    chosen = hard_negatives(losses, candidates, positives, ratio=ratio, at_least=at_least).numpy()
    for row in range(8):
        wanted = max(int(np.ceil(ratio * positives[row])), at_least)
        order = sorted(np.flatnonzero(candidates[row]), key=lambda n: (-losses[row, n], n))
        np.testing.assert_array_equal(np.flatnonzero(chosen[row]), sorted(order[:wanted]))
    assert chosen[0].sum() == at_least and chosen.any()
