"""Calibration against a slow reference and scipy's minimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from kerasvision import metrics
from kerasvision.errors import KerasvisionError


def slow_error(labels, probabilities, bins):
    total = 0.0
    for i in range(bins):
        low, high = i / bins, (i + 1) / bins
        inside = [
            (max(p), int(np.argmax(p) == y))
            for y, p in zip(labels, probabilities, strict=True)
            if low < max(p) <= high
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error(answers, sharpness, bins):
    labels, probabilities = answers(sharpness=sharpness)
    expected = slow_error(labels, probabilities, bins)
    got = metrics.expected_calibration_error(labels, probabilities, bins=bins)
    assert got == pytest.approx(expected, abs=1e-12)


def test_bins_hold_every_image_and_both_ends():
    bins = metrics.reliability([0, 0, 1, 0], [[1.0, 0], [0.5, 0.5], [0.0, 0.0], [0.6, 0.4]], bins=10)
    assert [b.count for b in bins] == [1, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    assert bins[9].confidence == 1 and bins[9].accuracy == 1
    assert bins[1].confidence is None and bins[1].accuracy is None


def negative_log_likelihood(labels, probabilities, temperature):
    scaled = np.log(np.maximum(probabilities, 1e-12)) / temperature
    scaled -= scaled.max(1, keepdims=True)
    log = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    return -log[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("classes", [2, 7, 50])
def test_temperature_minimises_the_likelihood(answers, sharpness, classes):
    labels, probabilities = answers(400, classes, sharpness)
    expected = np.exp(
        minimize_scalar(
            lambda t: negative_log_likelihood(labels, probabilities, np.exp(t)),
            bounds=(np.log(0.05), np.log(20)),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
    )
    assert metrics.fit_temperature(labels, probabilities) == pytest.approx(expected, rel=1e-5)


def test_temperature_undoes_a_known_one(rng):
    classes, count = 5, 20_000
    logits = rng.normal(size=(count, classes))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < rng.random((count, 1))).sum(1).clip(0, classes - 1)
    overconfident = metrics.apply_temperature(true, 1 / 2.5)
    assert metrics.fit_temperature(labels, overconfident) == pytest.approx(2.5, rel=0.03)
    cooled = metrics.apply_temperature(overconfident, 2.5)
    np.testing.assert_allclose(cooled, true, atol=1e-9)
    before = metrics.expected_calibration_error(labels, overconfident)
    assert metrics.expected_calibration_error(labels, cooled) < 0.02 < 0.1 < before


@pytest.mark.parametrize(
    "labels, probabilities, expected",
    [
        ([0, 1], [[0.9, 0.1], [0.2, 0.8]], 0.05),  # always right: as cold as it may get
        ([1, 0], [[0.9, 0.1], [0.2, 0.8]], 20.0),  # always wrong: as hot as it may get
        ([1, 0], [[1.0, 0.0], [0.0, 1.0]], 20.0),  # always wrong, with zeros
        ([0, 0], [[0.5, 0.5], [0.5, 0.5]], 1.0),  # nothing to choose
    ],
)
def test_temperature_at_its_ends(labels, probabilities, expected):
    with np.errstate(all="raise", under="ignore"):
        assert metrics.fit_temperature(labels, probabilities) == pytest.approx(expected, rel=1e-6)


def test_zeros_do_no_harm(answers):
    labels, probabilities = answers(200, 5, 3.0)
    rounded = np.where(probabilities < 1e-3, 0, probabilities)
    with np.errstate(all="raise", under="ignore"):
        assert 0.05 <= metrics.fit_temperature(labels, rounded) <= 20
        assert np.isfinite(metrics.apply_temperature(rounded, 0.05)).all()


def test_errors():
    with pytest.raises(KerasvisionError, match="`temperature`"):
        metrics.apply_temperature([[0.5, 0.5]], 0)
    with pytest.raises(KerasvisionError, match="`bins`"):
        metrics.reliability([0], [[0.5, 0.5]], bins=0)
