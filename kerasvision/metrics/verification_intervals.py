"""How far verification figures may be from the truth: by resampling identities, pairs, or groups of people.

Pairs of one person are not independent: one bad photo spoils all pairs it is in. Resampling pairs then
gives intervals that are too narrow, so whole identities are drawn wherever it is known who is on them
(Bolle, Ratha, Pankanti, Error analysis of pattern recognition systems: the subsets bootstrap, 2004).
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from kerasvision.metrics.roc_curve import RocCurve, area, equal_error, true_accepts_at
from kerasvision.metrics.verification_values import Interval

_CELLS = 2_000_000  # weights that are in memory together


def figures(false_accepts: np.ndarray, true_accepts: np.ndarray, rates: Sequence[float]) -> np.ndarray:
    """Return (r, 2 + rates): AUC, EER and the true accepts at each rate, of curves (r, n)."""
    accepted = [true_accepts_at(false_accepts, true_accepts, rate) for rate in rates]
    return np.stack(
        [area(false_accepts, true_accepts), equal_error(false_accepts, true_accepts)[0], *accepted], axis=1
    )


def pair_replicates(curve: RocCurve, rates: Sequence[float], repeats: int, seed: int) -> np.ndarray:
    """Return `figures` of resampled pairs, genuine and impostor pairs each among themselves."""
    random, kept = np.random.default_rng(seed), curve.kept_points()
    drawn = []
    for shares, count in ((curve.false_accepts, curve.impostors), (curve.true_accepts, curve.genuine)):
        masses = np.diff(shares[kept], prepend=0.0)
        drawn.append(random.multinomial(count, masses / masses.sum(), repeats).cumsum(1) / count)
    return figures(*drawn, rates)


def identity_replicates(
    distances: np.ndarray,
    same: np.ndarray,
    identities: np.ndarray,
    curve: RocCurve,
    rates: Sequence[float],
    repeats: int,
    seed: int,
) -> np.ndarray:
    """Return `figures` of resampled identities.

    A genuine pair counts as often as its identity was drawn, an impostor pair as often as both of its were,
    multiplied. Two copies of one identity make no pair. Thresholds are chosen anew in each resample.

    Args:
        distances: (P,) float.
        same: (P,) bool.
        identities: (P, 1 or 2) int; a genuine pair is of the first one.
        curve: of all pairs.
        rates: of false accepts.
        repeats: resamples; those without a genuine or an impostor pair are left out.
        seed: of the resampling.
    """
    edges = curve.thresholds[curve.kept_points()]
    classes = np.searchsorted(edges, distances)
    people, numbers = np.unique(identities, return_inverse=True)
    numbers = numbers.reshape(identities.shape)
    genuine = _Classes(classes[same], numbers[same, :1], len(edges))
    impostors = _Classes(classes[~same], numbers[~same], len(edges))
    random, step = np.random.default_rng(seed), max(1, _CELLS // len(distances))
    found = []
    for start in range(0, repeats, step):
        size = min(step, repeats - start)
        drawn = random.multinomial(len(people), np.full(len(people), 1 / len(people)), size)
        wrong, right = impostors.accepted(drawn), genuine.accepted(drawn)
        usable = (wrong[:, -1] > 0) & (right[:, -1] > 0)
        wrong, right = (x[usable] / x[usable, -1:] for x in (wrong, right))
        found.append(figures(wrong, right, rates))
    return np.concatenate(found) if found else np.empty((0, 2 + len(rates)))


class _Classes:
    """Pairs sorted by the class of their distance, to count them again with other weights.

    Args:
        classes: (P,) int.
        numbers: (P, 1 or 2) int, the identities whose weights a pair has.
        count: how many classes there are.
    """

    def __init__(self, classes: np.ndarray, numbers: np.ndarray, count: int):
        order = np.argsort(classes, kind="stable")
        self._numbers = numbers[order].T
        self._filled, self._starts = np.unique(classes[order], return_index=True)
        self._count = count

    def accepted(self, drawn: np.ndarray) -> np.ndarray:
        """Return (r, count) the pairs up to each class, from how often identities were drawn (r, people)."""
        weights = np.ascontiguousarray(drawn.T)  # whole rows are gathered, and summed side by side
        each = weights[self._numbers[0]]
        for numbers in self._numbers[1:]:
            each *= weights[numbers]
        sums = np.zeros((len(drawn), self._count), np.int64)
        sums[:, self._filled] = np.add.reduceat(each, self._starts, axis=0).T
        return sums.cumsum(1)


def percentile_intervals(
    replicates: np.ndarray, values: Sequence[float], confidence: float, units: int
) -> list[Interval]:
    """Return the percentile bootstrap interval of each figure; None for all of fewer than 100 resamples.

    Args:
        replicates: (r, figures).
        values: the figures themselves.
        confidence: share of intervals that would hold the true value.
        units: what was drawn, identities or genuine pairs.
    """
    if len(replicates) < 100:
        return [None] * len(values)
    tail = (1 - confidence) / 2
    ends = np.quantile(replicates, (tail, 1 - tail), axis=0).T
    return [
        _honest((low, high), value, confidence, units)
        for (low, high), value in zip(ends, values, strict=True)
    ]


def jackknife_intervals(
    without: np.ndarray, values: Sequence[float], confidence: float, units: int
) -> list[Interval]:
    """Return normal intervals from figures (g, figures) in each of which one group of identities is left out.

    Kott, The delete-a-group jackknife, 2001. As all groups but one share their pairs with it, the variance is
    that of the delete-one jackknife of g units.
    """
    groups = len(without)
    if groups < 2:
        return [None] * len(values)
    spread = np.sqrt((groups - 1) / groups * ((without - without.mean(0)) ** 2).sum(0))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    return [
        _honest((max(0.0, value - r), min(1.0, value + r)), value, confidence, units)
        for value, r in zip(values, reach, strict=True)
    ]


def _honest(interval: tuple[float, float], value: float, confidence: float, units: int) -> Interval:
    """Return the interval; where nothing varies at 0 or 1, the exact binomial one (Clopper-Pearson)."""
    low, high = map(float, interval)
    bound = ((1 - confidence) / 2) ** (1 / max(1, units))
    if low == high == value == 1:
        return bound, 1.0
    if low == high == value == 0:
        return 0.0, 1 - bound
    return low, high
