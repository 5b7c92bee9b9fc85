"""Judge a distance by pairs of images of which it is known whether they show one identity or two."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.intervals import check_confidence
from kerasvision.metrics.roc_curve import RocCurve, check_rate, equal_error, roc_from_pairs
from kerasvision.metrics.verification_intervals import (
    figures,
    identity_replicates,
    pair_replicates,
    percentile_intervals,
)
from kerasvision.metrics.verification_values import Interval, Verification, accept_rates

FALSE_ACCEPT_RATES = (1e-1, 1e-2, 1e-3, 1e-4)
_MOST_PAIRS = 50_000_000  # 850 MB as indices


class AllPairs(NamedTuple):
    """All pairs of images.

    Attributes:
        first: (P,) int64, index of the first image of each.
        second: (P,) int64, of the second, always the higher one.
        same: (P,) bool, whether both are of one identity.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray


def all_pairs(labels) -> AllPairs:
    """Return every pair of images once.

    Args:
        labels: (N,) int or str, the identity of each image.

    Raises:
        KerasvisionError: labels of another shape, or so many that the pairs would fill the memory.

    Example:
        >>> all_pairs(["ann", "bob", "ann"]).same.tolist()
        [False, True, False]
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise KerasvisionError(f"`labels` must be (N,), one identity an image. Received: {labels.shape}.")
    count = len(labels) * (len(labels) - 1) // 2
    if count > _MOST_PAIRS:
        raise KerasvisionError(
            f"`labels` of {len(labels):,} images make {count:,} pairs. `verify_embeddings` judges all of "
            f"them without listing them."
        )
    first, second = np.triu_indices(len(labels), 1)
    return AllPairs(first.astype(np.int64), second.astype(np.int64), labels[first] == labels[second])


def verification(
    distances,
    same,
    *,
    identities=None,
    false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES,
    threshold: float | None = None,
    confidence: float = 0.95,
    repeats: int = 500,
    seed: int = 0,
) -> Verification:
    """Judge pairs by their distances. A pair is accepted as the same at distance <= threshold.

    Thresholds are chosen conservatively: the highest that accepts at most the stated share of impostor pairs,
    where pairs of equal distance stand and fall together. A rate of which not even one impostor pair may be
    accepted cannot be measured, and says so instead of giving a number.

    Args:
        distances: (P,) float, at least 0; a smaller one is more alike.
        same: (P,) bool or 0 and 1, whether a pair is of one identity.
        identities: (P, 2) int or str, who is on the two images of each pair. Intervals then come from
            resampling identities; without them from resampling pairs, which makes them too narrow where pairs
            share people.
        false_accept_rates: for which the share of true accepts is given (TAR at FAR).
        threshold: one that is in use: `.curve.at_threshold` then has its shares exactly.
        confidence: of the intervals.
        repeats: resamples; 0 gives no intervals. A million pairs take some seconds.
        seed: of the resampling.

    Raises:
        KerasvisionError: shapes or values that do not fit, or pairs of one kind only.

    Example:
        >>> found = verification([0.1, 0.2, 0.3, 0.9], [True, True, False, False], false_accept_rates=(0.5,))
        >>> found.auc, found.eer, found.threshold_at(0.5)
        (1.0, 0.0, 0.3)
    """
    check_confidence(confidence)
    distances, same = checked_pairs(distances, same)
    for rate in false_accept_rates:
        check_rate(rate)
    curve = roc_from_pairs(distances, same)
    if identities is None:
        drawn = pair_replicates(curve, false_accept_rates, repeats, seed)
        units, how, people = curve.genuine, "pairs", None
    else:
        identities = _checked_identities(identities, same)
        drawn = identity_replicates(distances, same, identities, curve, false_accept_rates, repeats, seed)
        units, how = len(np.unique(identities[same])), "identities"
        people = len(np.unique(identities))
    values = figures(curve.false_accepts[None], curve.true_accepts[None], false_accept_rates)[0]
    intervals = percentile_intervals(drawn, values, confidence, units)
    made = None if intervals[0] is None else f"percentile bootstrap, {len(drawn)} resamples of {how}"
    return as_verification(
        curve,
        false_accept_rates,
        intervals,
        threshold=threshold,
        interval_of=made,
        identities=people,
        confidence=confidence,
    )


def as_verification(
    curve: RocCurve,
    false_accept_rates: Sequence[float],
    intervals: Sequence[Interval],
    *,
    threshold: float | None,
    interval_of: str | None,
    identities: int | None,
    confidence: float,
    resolution: float = 0.0,
) -> Verification:
    """Return what a whole curve says; intervals are those of AUC, EER and each rate."""
    shares = curve.false_accepts[None], curve.true_accepts[None]
    auc = figures(*shares, ())[0, 0]
    eer, place = equal_error(*shares)
    return Verification(
        genuine=curve.genuine,
        impostors=curve.impostors,
        identities=identities,
        auc=float(auc),
        auc_interval=intervals[0],
        eer=float(eer[0]),
        eer_interval=intervals[1],
        eer_threshold=float(curve.thresholds[place[0]]),
        rates=accept_rates(curve, false_accept_rates, intervals[2:]),
        curve=curve.thinned(false_accept_rates, threshold),
        interval_of=interval_of,
        confidence=confidence,
        resolution=resolution,
    )


def checked_pairs(distances, same) -> tuple[np.ndarray, np.ndarray]:
    """Return (P,) float64 distances and (P,) bool, of which both kinds occur."""
    distances, same = np.asarray(distances, np.float64), np.asarray(same)
    if distances.ndim != 1 or distances.shape != same.shape or not distances.size:
        raise KerasvisionError(
            "`distances` and `same` must be (P,), one entry a pair. "
            f"Received: {distances.shape} and {same.shape}."
        )
    if np.isnan(distances).any():
        raise KerasvisionError(
            f"`distances` must be numbers. Received: {int(np.isnan(distances).sum())} NaN."
        )
    if same.dtype.kind not in "biu" or not np.isin(same, (0, 1)).all():
        raise KerasvisionError(f"`same` must be booleans, or 0 and 1. Received dtype {same.dtype}.")
    same = same.astype(bool)
    if same.all() or not same.any():
        raise KerasvisionError(
            f"`same` must have pairs of one identity and pairs of two. Received: only pairs of "
            f"{'one' if same.all() else 'two'}."
        )
    return distances, same


def _checked_identities(identities, same: np.ndarray) -> np.ndarray:
    identities = np.asarray(identities)
    if identities.shape != (len(same), 2) or identities.dtype.kind not in "iuU":
        raise KerasvisionError(
            f"`identities` must be ({len(same)}, 2) whole numbers or names: who is on the two images of each "
            f"pair. Received: {identities.shape} {identities.dtype}."
        )
    wrong = np.flatnonzero((identities[:, 0] == identities[:, 1]) != same)
    if wrong.size:
        raise KerasvisionError(
            f"`identities` and `same` contradict each other in {wrong.size} pairs, the first is pair "
            f"{wrong[0]}: {identities[wrong[0], 0]} and {identities[wrong[0], 1]}, same={same[wrong[0]]}."
        )
    return identities
