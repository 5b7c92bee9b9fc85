"""Intervals against a slow bootstrap and scikit-learn's neighbours in scipy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from kerasvision import metrics
from kerasvision.errors import KerasvisionError


def slow_interval(scores, repeats=8000):
    random = np.random.default_rng(1)
    means = [random.choice(scores, len(scores)).mean() for _ in range(repeats)]
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize(
    "scores",
    [
        np.array([1] * 70 + [0] * 30),
        np.array([1] * 7 + [0]),
        np.random.default_rng(3).gamma(2.0, size=90),
    ],
    ids=["accuracy", "eight images", "real numbers"],
)
def test_agrees_with_a_slow_bootstrap(scores):
    low, high = metrics.bootstrap_interval(scores, repeats=20_000)
    expected = slow_interval(scores)
    width = expected[1] - expected[0]
    # Monte Carlo noise of two quantiles: a few per cent of the width.
    assert abs(low - expected[0]) < 0.06 * width + 1e-12
    assert abs(high - expected[1]) < 0.06 * width + 1e-12


def test_is_repeatable_and_seeded():
    scores = np.random.default_rng(0).random(50)
    first = metrics.bootstrap_interval(scores, seed=4)
    assert first == metrics.bootstrap_interval(scores, seed=4) != metrics.bootstrap_interval(scores, seed=5)


def test_shrinks_with_more_images():
    narrow = metrics.bootstrap_interval(np.arange(10_000) % 10 > 0)
    wide = metrics.bootstrap_interval(np.arange(100) % 10 > 0)
    ratio = (wide[1] - wide[0]) / (narrow[1] - narrow[0])
    assert 7 < ratio < 13  # the square root of 100


@pytest.mark.parametrize("count", [1, 10, 200])
@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong_are_exact(count, right):
    low, high = metrics.accuracy_interval(np.full(count, right))
    exact = binomtest(count if right else 0, count).proportion_ci(0.95, method="exact")
    assert (low, high) == (pytest.approx(exact.low, abs=1e-12), pytest.approx(exact.high, abs=1e-12))


def test_chunks_do_not_change_what_is_drawn():
    # More distinct values than a chunk holds: the counts are drawn in several chunks.
    scores = np.random.default_rng(0).random(3000)
    low, high = metrics.bootstrap_interval(scores, repeats=1500)
    spread = scores.std() / np.sqrt(3000) * 1.96
    assert low == pytest.approx(scores.mean() - spread, abs=0.1 * spread)
    assert high == pytest.approx(scores.mean() + spread, abs=0.1 * spread)


@pytest.mark.parametrize(
    "arguments", [{"scores": []}, {"scores": [[1, 0]]}, {"scores": [1], "confidence": 95}]
)
def test_errors(arguments):
    with pytest.raises(KerasvisionError, match="`scores`|`confidence`"):
        metrics.bootstrap_interval(arguments.pop("scores"), **arguments)
