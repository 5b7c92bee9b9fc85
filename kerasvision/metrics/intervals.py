"""How far an average over a few held-out images may be from the truth."""

import numpy as np

from kerasvision.errors import KerasvisionError


def bootstrap_interval(
    scores, *, confidence: float = 0.95, repeats: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `scores`.

    Resampling N scores with replacement is the same as drawing how often each distinct value occurs, so
    counts are drawn instead of images: memory does not grow with N where values repeat (right or wrong).

    Args:
        scores: (N,) numbers or booleans, one an image.
        confidence: share of intervals that would hold the true mean, in (0, 1).
        repeats: resamples.
        seed: of the resampling.

    Returns:
        Lower and upper end. When all scores are equal, both are that score.

    Source: Efron, 1979, "Bootstrap methods: another look at the jackknife".
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise KerasvisionError(f"`scores` must be (N,) with N >= 1. Received shape {scores.shape}.")
    check_confidence(confidence)
    values, counts = np.unique(scores, return_counts=True)
    random, share = np.random.default_rng(seed), counts / scores.size
    chunk = max(1, 2_000_000 // values.size)
    sizes = [min(chunk, repeats - start) for start in range(0, repeats, chunk)]
    means = [random.multinomial(scores.size, share, size) @ values / scores.size for size in sizes]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(low), float(high)


def accuracy_interval(
    correct, *, confidence: float = 0.95, repeats: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of an accuracy, made honest at 0 and 100 %.

    Ten right answers out of ten leave the bootstrap nothing to vary: it would say "100 % to 100 %". There the
    exact binomial (Clopper-Pearson) interval takes its place: 69 % to 100 %.

    Args:
        correct: (N,) booleans, one an image.
        confidence: as in `bootstrap_interval`.
        repeats: as in `bootstrap_interval`.
        seed: as in `bootstrap_interval`.
    """
    correct = np.asarray(correct, bool)
    check_confidence(confidence)
    bound = ((1 - confidence) / 2) ** (1 / max(1, correct.size))
    if correct.size and correct.all():
        return float(bound), 1.0
    if correct.size and not correct.any():
        return 0.0, float(1 - bound)
    return bootstrap_interval(correct, confidence=confidence, repeats=repeats, seed=seed)


def check_confidence(confidence: float) -> None:
    """Refuse what is no share of intervals."""
    if not 0 < confidence < 1:
        raise KerasvisionError(
            f"`confidence` must lie between 0 and 1, such as 0.95. Received: {confidence}."
        )
