"""Losses against formulas written out, and their gradients where they could break."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kerasvision.detection.detection_losses import focal_loss, smooth_l1, softmax_cross_entropy


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_smooth_l1(beta, rng):
    errors = rng.normal(0, 2, 50).astype("float32")
    expected = [0.5 * e * e / beta if abs(e) < beta else abs(e) - 0.5 * beta for e in errors]
    np.testing.assert_allclose(smooth_l1(errors, beta), expected, rtol=2e-6, atol=1e-7)


def test_gradient_of_smooth_l1():
    errors = tf.constant([-1e30, -3.0, -1.0, -0.5, 0.0, 0.5, 3.0, 1e30])
    with tf.GradientTape() as tape:
        tape.watch(errors)
        total = tf.reduce_sum(smooth_l1(errors))
    np.testing.assert_allclose(tape.gradient(total, errors), [-1, -1, -1, -0.5, 0, 0.5, 1, 1], atol=1e-6)


def test_softmax_cross_entropy(rng):
    logits, labels = rng.normal(0, 3, (4, 5, 3)).astype("float32"), rng.integers(0, 3, (4, 5))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(shares, labels[..., None], -1)[..., 0])
    np.testing.assert_allclose(softmax_cross_entropy(labels, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.75, 1.5)])
def test_focal_loss(alpha, gamma, rng):
    logits, targets = rng.normal(0, 3, 40), rng.integers(0, 2, 40)
    expected = []
    for logit, target in zip(logits, targets, strict=True):
        right = 1 / (1 + math.exp(-logit if target else logit))
        expected.append(-(alpha if target else 1 - alpha) * (1 - right) ** gamma * math.log(right))
    found = focal_loss(targets.astype("float32"), logits.astype("float32"), alpha=alpha, gamma=gamma)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_focal_loss_of_extreme_logits_is_finite():
    logits = tf.constant([-200.0, 200.0, -200.0, 200.0, 0.0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = focal_loss(tf.constant([0.0, 0.0, 1.0, 1.0, 1.0]), logits)
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, logits)).all()
    assert loss[0] == 0 and loss[3] == 0
