"""Does "90 % sure" mean right nine times in ten? Reliability bins, ECE, and the temperature that mends it.

Source: Guo et al., 2017, "On calibration of modern neural networks", https://arxiv.org/abs/1706.04599.
"""

from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics._checks import checked

COLDEST, HOTTEST = 0.05, 20.0
# A softmax in float16 underflows at 6e-8 and in float32 at 1e-38; what lies below this is "never" alike.
SMALLEST = 1e-12


@dataclass(frozen=True)
class ReliabilityBin:
    """Images whose top probability lies in (lower, upper].

    Attributes:
        lower: lower end of the bin, not included (but 0 is).
        upper: upper end, included.
        count: images in it.
        confidence: mean top probability, None when empty.
        accuracy: share that is right, None when empty.
    """

    lower: float
    upper: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability(labels, probabilities, *, bins: int = 15) -> tuple[ReliabilityBin, ...]:
    """Sort images into equal-width bins by their top probability.

    Args:
        labels: (N,) int, class indices.
        probabilities: (N, classes) float in [0, 1].
        bins: how many.
    """
    labels, probabilities = checked(labels, probabilities)
    if bins < 1:
        raise KerasvisionError(f"`bins` must be at least 1. Received: {bins}.")
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, top, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    confidence = np.bincount(place, top, bins) / np.maximum(counts, 1)
    accuracy = np.bincount(place, right, bins) / np.maximum(counts, 1)
    return tuple(
        ReliabilityBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(counts[i]),
            float(confidence[i]) if counts[i] else None,
            float(accuracy[i]) if counts[i] else None,
        )
        for i in range(bins)
    )


def expected_calibration_error(labels, probabilities, *, bins: int = 15) -> float:
    """Return the mean distance between confidence and accuracy over bins, weighted by their images.

    Args:
        labels: (N,) int, class indices.
        probabilities: (N, classes) float in [0, 1].
        bins: equal-width bins of the top probability.
    """
    return gap(reliability(labels, probabilities, bins=bins))


def gap(bins) -> float:
    """Return the expected calibration error of ready bins."""
    filled = [b for b in bins if b.count]
    return sum(b.count * abs(b.accuracy - b.confidence) for b in filled) / sum(b.count for b in filled)


def apply_temperature(probabilities, temperature: float) -> np.ndarray:
    """Return softmax(log(probabilities) / temperature): above 1 less sure, below 1 surer, the same answers.

    Args:
        probabilities: (N, classes) float in [0, 1]; zeros count as 1e-12.
        temperature: above 0.
    """
    if not temperature > 0:
        raise KerasvisionError(f"`temperature` must be above 0. Received: {temperature}.")
    return _softmax(_log(probabilities) / temperature)


def fit_temperature(labels, probabilities) -> float:
    """Return the temperature that minimises the mean negative log-likelihood.

    The likelihood is convex in 1 / temperature, so Newton's steps, held inside a bracket that always shrinks,
    find the one minimum.

    Args:
        labels: (N,) int, class indices of images that were not trained on.
        probabilities: (N, classes) float in [0, 1]; zeros count as 1e-12.

    Returns:
        A number in [0.05, 20]; at an end when the images ask for more, as they do when every answer is right.
    """
    labels, probabilities = checked(labels, probabilities)
    logits = _log(probabilities)
    truth = logits[np.arange(labels.size), labels]
    low, high, inverse = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(60):
        slope, curvature = _derivatives(logits, truth, inverse)
        if abs(slope) <= 1e-13:  # rounding; also where all classes are equally probable, and nothing changes
            break
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else np.inf
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - inverse) <= 1e-10 * inverse:
            break
        inverse = following
    return float(1 / inverse)


def _derivatives(logits: np.ndarray, truth: np.ndarray, inverse: float) -> tuple[float, float]:
    """Return the first and second derivative of the mean NLL by the inverse temperature."""
    weights = _softmax(logits * inverse)
    mean = (weights * logits).sum(1)
    variance = (weights * (logits - mean[:, None]) ** 2).sum(1)
    return float((mean - truth).mean()), float(variance.mean())


def _log(probabilities) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)
