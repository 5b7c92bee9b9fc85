"""Assignment against slow references that follow the papers word by word."""

import numpy as np
import pytest
import tensorflow as tf
from slow_matching import random_boxes, random_truth, slow_assign, slow_best

from kerasvision.detection.assignment import assign, best_anchors, hard_negatives, match


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
