"""Losses of label maps against slow references; void, absent classes, gradients."""

import numpy as np
import pytest
import tensorflow as tf

from kerasvision.errors import KerasvisionError
from kerasvision.segmentation import class_weights, make_loss
from kerasvision.segmentation.segmentation_losses import dice, lovasz

NAMES = ("cross_entropy", "focal", "dice", "lovasz")
CLASSES = 4


def random_case(rng, count=3):
    targets = rng.integers(0, 3, (count, 5, 6))  # the last class is on no image
    targets = np.where(rng.random(targets.shape) < 0.2, 255, targets)
    return targets, rng.normal(0, 2, (*targets.shape, CLASSES)).astype(np.float32)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def slow_entropy(targets, logits, weights, gamma=0.0):
    total, norm = 0.0, 0.0
    for place in np.ndindex(*targets.shape):
        if targets[place] != 255:
            p = softmax(logits[place].astype(np.float64))[targets[place]]
            total -= weights[targets[place]] * (1 - p) ** gamma * np.log(p)
            norm += weights[targets[place]]
    return total / norm


def slow_dice(targets, logits):
    p, real, losses = softmax(logits.astype(np.float64)), targets != 255, []
    for label in np.unique(targets[real]):
        one, other = (targets == label)[real].astype(float), p[real][:, label]
        losses.append(1 - 2 * (one * other).sum() / ((one**2).sum() + (other**2).sum()))
    return np.mean(losses)


def slow_lovasz(targets, logits):
    """Sum errors, the largest first, each by how much it makes 1 - IoU grow."""
    p, real, losses = softmax(logits.astype(np.float64)), targets != 255, []
    for label in np.unique(targets[real]):
        truth = (targets == label)[real]
        errors = np.abs(truth - p[real][:, label])
        value, before, wrong = 0.0, 0.0, np.zeros(truth.size, bool)
        for index in np.argsort(-errors, kind="stable"):
            wrong[index] = True
            found = truth ^ wrong
            now = 1 - (truth & found).sum() / (truth | found).sum()
            value, before = value + errors[index] * (now - before), now
        losses.append(value)
    return np.mean(losses)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_focal(rng, gamma, weighted):
    weights = np.array([0.5, 2.0, 1.0, 3.0]) if weighted else np.ones(CLASSES)
    targets, logits = random_case(rng)
    loss = make_loss("focal" if gamma else "cross_entropy", weights=weights if weighted else None)
    wanted = [slow_entropy(*case, weights, gamma) for case in zip(targets, logits, strict=True)]
    np.testing.assert_allclose(loss(targets, logits), wanted, rtol=1e-5)


@pytest.mark.parametrize(("function", "slow"), [(dice, slow_dice), (lovasz, slow_lovasz)])
def test_dice_and_lovasz(rng, function, slow):
    for _ in range(10):
        targets, logits = random_case(rng)
        wanted = [slow(*case) for case in zip(targets, logits, strict=True)]
        np.testing.assert_allclose(function(targets, logits), wanted, rtol=1e-4, atol=1e-6)


def test_a_sum_with_factors(rng):
    targets, logits = random_case(rng)
    one, other = (make_loss(name)(targets, logits) for name in ("cross_entropy", "lovasz"))
    both = make_loss("cross_entropy + 0.25*lovasz")(targets, logits)
    np.testing.assert_allclose(both, one + 0.25 * other, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_void_does_not_count(rng, name):
    targets, logits = random_case(rng)
    loss = make_loss(name)
    changed = np.where((targets == 255)[..., None], 50.0 * rng.normal(size=logits.shape), logits)
    np.testing.assert_allclose(loss(targets, logits), loss(targets, changed.astype(np.float32)), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["nothing but void", "one class", "certain and wrong", "certain and right"])
def test_gradients_are_finite(rng, name, case):
    targets, logits = random_case(rng, 2)
    targets = np.full_like(targets, 255) if case == "nothing but void" else np.where(targets == 255, 255, 1)
    if case.startswith("certain"):
        logits = np.zeros_like(logits)
        logits[..., 1 if case.endswith("right") else 2] = 200.0
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = make_loss(name)(targets, x)
    assert np.isfinite(loss).all() and np.isfinite(tape.gradient(loss, x)).all()
    if case == "nothing but void":
        assert not loss.numpy().any()
    if case == "certain and right":
        assert loss.numpy().max() < 1e-4


@pytest.mark.parametrize("name", [*NAMES, "cross_entropy+0.5*focal+dice+lovasz"])
@pytest.mark.parametrize("present", [(0,), (2,), (0, 2), (0, 1, 2, 3)])
def test_classes_that_are_absent_leave_gradients_finite(rng, name, present):
    """Weights are those of the training set, so a class without pixels in it weighs nothing."""
    targets = rng.choice([*present, 255], (2, 5, 6))
    logits = tf.constant(rng.normal(0, 2, (*targets.shape, CLASSES)).astype(np.float32))
    pixels = np.bincount(targets[targets != 255], minlength=CLASSES)
    weights = class_weights(pixels, np.where(pixels > 0, targets.size, 0))
    assert [bool(weight) for weight in weights] == [label in present for label in range(CLASSES)]
    for given in (None, weights, np.where(np.arange(CLASSES) == 1, 1.0, 0.0)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = make_loss(name, weights=given)(targets, logits)
        gradient = tape.gradient(loss, logits).numpy()
        assert np.isfinite(loss).all() and np.isfinite(gradient).all()
        assert not gradient[targets == 255].any()
        if given is None or given is weights:
            assert np.abs(gradient[targets != 255]).max() > 0


@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("cross_entropy", lambda targets, logits: slow_entropy(targets, logits, np.ones(CLASSES))),
        ("focal", lambda targets, logits: slow_entropy(targets, logits, np.ones(CLASSES), 2.0)),
        ("dice", slow_dice),
        ("lovasz", slow_lovasz),
    ],
)
def test_gradients_are_those_of_a_slow_reference(rng, name, slow):
    """Differences of the slow reference, in float64, along random directions."""
    targets, logits = random_case(rng, 1)
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = make_loss(name)(targets, x)
    gradient = tape.gradient(loss, x).numpy()[0]
    for _ in range(5):
        way = rng.normal(size=logits[0].shape)
        ahead, back = (slow(targets[0], logits[0].astype(np.float64) + sign * 1e-6 * way) for sign in (1, -1))
        assert (gradient * way).sum() == pytest.approx((ahead - back) / 2e-6, rel=1e-3, abs=1e-5)


def test_weights_are_those_of_median_frequency():
    weights = class_weights([100, 50, 10, 0], [400, 200, 400, 0])
    np.testing.assert_allclose(weights, [1.0, 1.0, 10.0, 0.0])


@pytest.mark.parametrize("name", ["entropy", "0*dice", "dice*2", "cross_entropy+", "nan*dice"])
def test_names_that_are_not_known(name):
    with pytest.raises(KerasvisionError, match="A loss is one of cross_entropy"):
        make_loss(name)
