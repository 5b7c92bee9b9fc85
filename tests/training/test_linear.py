import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kerasvision.errors import TrainingError
from kerasvision.training import fit_linear
from kerasvision.training.linear import log_softmax


def _problem(seed=0, count=300, features=20, classes=4):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, features))
    labels = rng.integers(0, classes, count)
    values = (centres[labels] + 2 * rng.normal(size=(count, features))) * 3 + 5
    return values.astype(np.float32), labels, np.eye(classes, dtype=np.float32)[labels]


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_equals_scikit_learn(strength):
    values, labels, targets = _problem()
    found = fit_linear(values, targets, (values, labels), strengths=(strength,), epochs=500)
    standard = (values - values.mean(0)) / values.std(0)
    wanted = LogisticRegression(C=1 / (strength * len(values)), tol=1e-8, max_iter=5000).fit(standard, labels)
    np.testing.assert_allclose(found.probabilities(values), wanted.predict_proba(standard), atol=3e-3)


def test_validation_chooses_the_strength():
    values, labels, targets = _problem(count=120, features=60)
    held_out, held_labels, _ = _problem(count=400, features=60)
    found = fit_linear(values[:60], targets[:60], (held_out, held_labels))
    losses = [row["val_loss"] for row in found.history]
    assert found.strength == found.history[found.best_row]["strength"]
    assert (
        found.history[found.best_row]["val_accuracy"] >= max(r["val_accuracy"] for r in found.history) - 0.03
    )
    assert found.strength > 0.001, losses


def test_soft_targets_and_label_smoothing_are_the_same_thing():
    values, labels, targets = _problem()
    smooth = fit_linear(values, targets, (values, labels), strengths=(0.1,), label_smoothing=0.2)
    soft = fit_linear(values, targets * 0.8 + 0.05, (values, labels), strengths=(0.1,))
    np.testing.assert_allclose(smooth.kernel, soft.kernel, atol=1e-5)


def test_class_weights_equal_repeated_examples():
    values, labels, targets = _problem()
    weighted = fit_linear(
        values,
        targets,
        (values, labels),
        strengths=(0.1,),
        class_weights=np.float32([3, 1, 1, 1]),
        epochs=500,
    )
    repeat = np.repeat(np.arange(len(labels)), np.where(labels == 0, 3, 1))
    # The same scaling of features, so that the penalty means the same.
    mean, scale = values.mean(0), values.std(0)
    standard = (values - mean) / scale
    wanted = LogisticRegression(C=1 / (0.1 * len(repeat)), tol=1e-8, max_iter=5000)
    wanted.fit(standard[repeat], labels[repeat])
    np.testing.assert_allclose(weighted.probabilities(values), wanted.predict_proba(standard), atol=3e-3)


def test_the_gradient_is_that_of_the_loss():
    from kerasvision.training.linear import _Problem

    values, labels, targets = _problem(count=40, features=6)
    problem = _Problem(values, targets, np.float32([1, 2, 3, 4]), 0.1)
    point = np.random.default_rng(1).normal(size=7 * 4) * 0.1
    _, gradient = problem.value_and_gradient(point, 0.3)
    for index in range(0, len(point), 5):
        step = np.zeros_like(point)
        step[index] = 1e-2
        slope = (
            problem.value_and_gradient(point + step, 0.3)[0]
            - problem.value_and_gradient(point - step, 0.3)[0]
        )
        assert gradient[index] == pytest.approx(slope / 2e-2, abs=2e-4)


def test_constant_and_dead_features_do_no_harm():
    values, labels, targets = _problem()
    values = np.concatenate([values, np.full((len(values), 1), 7.0), np.zeros((len(values), 1))], 1)
    found = fit_linear(values.astype(np.float32), targets, (values, labels))
    assert np.isfinite(found.kernel).all()
    assert found.history[found.best_row]["accuracy"] > 0.5


def test_epochs_limit_the_passes():
    values, labels, targets = _problem()
    found = fit_linear(values, targets, (values, labels), epochs=3, strengths=(1.0, 0.1))
    assert found.history[-1]["epoch"] <= 2 * 3 + 2


def test_features_that_are_not_finite_are_refused():
    values, labels, targets = _problem()
    values[3, 4] = np.nan
    with pytest.raises(TrainingError, match="not finite for training images"):
        fit_linear(values, targets, (values, labels))


def test_log_softmax_of_large_logits():
    np.testing.assert_allclose(log_softmax(np.array([[1000.0, 1000.0]])), np.log([[0.5, 0.5]]))
