"""The interval of a mean over images, of which those of one identity stand and fall together."""

import numpy as np

from kerasvision.metrics.verification_intervals import percentile_intervals
from kerasvision.metrics.verification_values import Interval


def mean_interval(
    scores, labels, *, confidence: float = 0.95, repeats: int = 2000, seed: int = 0
) -> Interval:
    """Return the percentile bootstrap interval of the mean of `scores`, resampling identities.

    Args:
        scores: (N,) float or bool in [0, 1], one an image.
        labels: (N,) the identity of each image.
        confidence: share of intervals that would hold the true mean.
        repeats: resamples.
        seed: of the resampling.

    Returns:
        None for fewer than two identities. Where all scores are 0 or all are 1: the exact binomial interval
        of as many answers as there are identities.
    """
    scores = np.asarray(scores, np.float64)
    people, numbers = np.unique(labels, return_inverse=True)
    if len(people) < 2:
        return None
    sums, counts = np.bincount(numbers, weights=scores), np.bincount(numbers)
    random, step = np.random.default_rng(seed), max(1, 2_000_000 // len(people))
    share = np.full(len(people), 1 / len(people))
    means = []
    for start in range(0, repeats, step):
        drawn = random.multinomial(len(people), share, min(step, repeats - start))
        means.append((drawn @ sums) / (drawn @ counts))
    replicates = np.concatenate(means)[:, None]
    return percentile_intervals(replicates, [scores.mean()], confidence, len(people))[0]
