"""The loss over all triplets equals a loop over them, and so does its gradient."""

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import BATCHES, triplet_loss, triplets

from kerasvision.embedding import active_triplets
from kerasvision.errors import KerasvisionError

MARGINS = (0.2, 1.0, "soft")


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("name", list(BATCHES))
def test_sums_and_gradients_equal_the_slow_loop(name, margin):
    labels, embeddings = BATCHES[name]
    # Without rounding on a grid, so that some triplets are just at the margin.
    matrix = np.square(embeddings[:, None] - embeddings[None]).sum(-1)
    distances, count = tf.constant(matrix), len(labels)
    loss, active, valid = np.zeros(count), np.zeros(count, int), np.zeros(count, int)
    slope, upstream = np.zeros((count, count)), np.linspace(1, 2, count)
    for a, p, n in triplets(labels):
        excess = float(matrix[a, p]) - float(matrix[a, n])
        is_active = margin == "soft" or excess + margin > 0
        loss[a] += triplet_loss(excess, 0.0, margin)
        active[a] += is_active
        valid[a] += 1
        change = (1 / (1 + np.exp(-excess)) if margin == "soft" else float(is_active)) * upstream[a]
        slope[a, p] += change
        slope[a, n] -= change
    with tf.GradientTape() as tape:
        tape.watch(distances)
        found = active_triplets(labels, distances, margin=margin)
        total = tf.reduce_sum(found.loss * tf.cast(upstream, tf.float32))
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5, atol=1e-5 + 1e-6 * loss.max())
    np.testing.assert_array_equal(found.active, active)
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_allclose(tape.gradient(total, distances), slope, rtol=1e-5, atol=1e-4)


def test_a_triplet_at_the_margin_is_not_active():
    found = active_triplets(
        [0, 0, 1], tf.constant([[0.0, 0.5, 1.0], [0.5, 0, 0.75], [1, 0.75, 0]]), margin=0.5
    )
    assert found.active.numpy().tolist() == [0, 1, 0]
    np.testing.assert_array_equal(found.loss, [0, 0.25, 0])


@pytest.mark.parametrize("margin", [0, -1.0, "hard", float("inf"), None])
def test_other_margins_are_refused(margin):
    with pytest.raises(KerasvisionError, match="`margin` must be a number above 0 or 'soft'"):
        active_triplets([0, 1], tf.zeros((2, 2)), margin=margin)
