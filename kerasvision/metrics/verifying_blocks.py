"""Judge a distance by all pairs of many embeddings, block by block, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import (
    CELLS_AT_ONCE,
    Distance,
    SquaredDistances,
    checked_identities,
    comparable,
    from_squares,
    pair_distances,
)
from kerasvision.metrics.intervals import check_confidence
from kerasvision.metrics.roc_curve import RocCurve, check_rate, roc_from_counts
from kerasvision.metrics.verification_intervals import figures, jackknife_intervals
from kerasvision.metrics.verification_values import Verification
from kerasvision.metrics.verifying import FALSE_ACCEPT_RATES, all_pairs, as_verification, verification

EXACT_PAIRS = 1_000_000  # up to here every distance is kept: 1,414 images
GROUPS, CLASSES = 32, 1 << 16  # of identities, for the jackknife; of distances


def verify_embeddings(
    embeddings,
    labels,
    *,
    distance: Distance = "euclidean",
    false_accept_rates: Sequence[float] = FALSE_ACCEPT_RATES,
    threshold: float | None = None,
    confidence: float = 0.95,
    repeats: int = 500,
    seed: int = 0,
) -> Verification:
    """Judge embeddings by all pairs of images; intervals come from resampling identities.

    Up to a million pairs (1,414 images) it is `verification` with all their distances. Of more, distances are
    counted in 65,536 classes of equal width (`.resolution`; thresholds are their upper ends), and intervals
    come from a jackknife that leaves out one of 32 groups of identities at a time, in 50 MB whatever the
    number of images.

    Args:
        embeddings: (N, d) float.
        labels: (N,) int or str, the identity of each image.
        distance: `"euclidean"`, `"squared"` or `"cosine"`.
        false_accept_rates: for which the share of true accepts is given.
        threshold: one that is in use, as in `verification`.
        confidence: of the intervals.
        repeats: resamples, up to a million pairs; 0 gives no intervals.
        seed: of the resampling, and of the groups.

    Raises:
        KerasvisionError: shapes or values that do not fit, or pairs of one kind only.
    """
    check_confidence(confidence)
    vectors = comparable(embeddings, distance)
    labels = checked_identities("labels", labels, len(vectors))
    for rate in false_accept_rates:
        check_rate(rate)
    _check_both_kinds(labels)
    options = {
        "false_accept_rates": tuple(false_accept_rates),
        "threshold": threshold,
        "confidence": confidence,
        "seed": seed,
    }
    if len(labels) * (len(labels) - 1) // 2 > EXACT_PAIRS:
        return _counted(vectors, labels, distance, jackknife=repeats > 0, **options)
    pairs = all_pairs(labels)
    distances = pair_distances(embeddings, pairs.first, pairs.second, distance=distance)
    people = np.stack([labels[pairs.first], labels[pairs.second]], axis=1)
    return verification(distances, pairs.same, identities=people, repeats=repeats, **options)


@dataclass(frozen=True, eq=False)
class _Tally:
    """Pairs counted by the class of their distance.

    Attributes:
        impostors: (classes,) int64.
        genuine: (classes,) int64.
        with_group: (groups, 2, classes) int64, impostor and genuine pairs with an image of each group.
    """

    impostors: np.ndarray
    genuine: np.ndarray
    with_group: np.ndarray


def _counted(
    vectors, labels, distance, *, false_accept_rates, threshold, confidence, seed, jackknife
) -> Verification:
    people, numbers = np.unique(labels, return_inverse=True)
    group_of = np.random.default_rng(seed).permutation(len(people)) % min(GROUPS, len(people))
    order = np.lexsort((numbers, group_of[numbers]))  # groups, and identities in them, side by side
    ordered = SquaredDistances(vectors[order])
    width = _largest(ordered.vectors, distance) / CLASSES
    tally = _count(ordered, numbers[order], group_of[numbers[order]], distance, width)
    ends = width * np.arange(1, CLASSES + 1)
    curve = _curve(ends, tally.impostors, tally.genuine)
    without = [
        _curve(ends, tally.impostors - wrong, tally.genuine - right)
        for wrong, right in tally.with_group
        if jackknife and (tally.impostors > wrong).any() and (tally.genuine > right).any()
    ]
    values = figures(curve.false_accepts[None], curve.true_accepts[None], false_accept_rates)[0]
    left_out = [figures(c.false_accepts[None], c.true_accepts[None], false_accept_rates)[0] for c in without]
    units = int((np.bincount(numbers) > 1).sum())
    intervals = jackknife_intervals(np.reshape(left_out, (-1, len(values))), values, confidence, units)
    made = None if intervals[0] is None else f"jackknife over {len(without)} groups of identities"
    return as_verification(
        curve,
        false_accept_rates,
        intervals,
        threshold=threshold,
        interval_of=made,
        identities=len(people),
        confidence=confidence,
        resolution=width,
    )


def _count(ordered: SquaredDistances, numbers, groups, distance: Distance, width: float) -> _Tally:
    """Count all pairs of vectors that lie sorted by group, by rows of one group and columns of one group."""
    starts = np.searchsorted(groups, np.arange(groups[-1] + 2))
    total = np.zeros((2, CLASSES), np.int64)
    with_group = np.zeros((len(starts) - 1, 2, CLASSES), np.int64)
    for one in range(len(starts) - 1):
        for other in range(one, len(starts) - 1):
            rows, columns = starts[one : one + 2], starts[other : other + 2]
            found = _count_between(ordered, numbers, rows, columns, distance, width)
            total += found
            with_group[one] += found
            if other != one:
                with_group[other] += found
    return _Tally(total[0], total[1], with_group)


def _count_between(ordered, numbers, rows, columns, distance, width) -> np.ndarray:
    """Return (2, classes) impostor and genuine pairs between the vectors of two groups, each pair once."""
    found = np.zeros((2, CLASSES), np.int64)
    step = max(1, CELLS_AT_ONCE // max(1, columns[1] - columns[0]))
    for start in range(rows[0], rows[1], step):
        block = slice(start, min(start + step, rows[1]))
        apart = from_squares(ordered.within(block, slice(*columns)), distance)
        classes = np.minimum((apart / width).astype(np.intp), CLASSES - 1)
        if rows[0] != columns[0]:  # no identity is in two groups
            found[0] += np.bincount(classes.ravel(), minlength=CLASSES)
            continue
        once = np.arange(block.start, block.stop)[:, None] < np.arange(*columns)
        genuine = numbers[block, None] == numbers[None, slice(*columns)]
        found[0] += np.bincount(classes[~genuine & once], minlength=CLASSES)
        found[1] += np.bincount(classes[genuine & once], minlength=CLASSES)
    return found


def _curve(ends: np.ndarray, impostors: np.ndarray, genuine: np.ndarray) -> RocCurve:
    filled = np.flatnonzero(impostors + genuine)
    return roc_from_counts(ends[filled], impostors.cumsum()[filled], genuine.cumsum()[filled])


def _largest(centred: np.ndarray, distance: Distance) -> float:
    """Return a distance that none exceeds: twice the longest vector from the centre."""
    longest = np.sqrt((centred**2).sum(1).max())
    return float(from_squares(np.array((2 * longest) ** 2), distance)) or 1.0


def _check_both_kinds(labels: np.ndarray) -> None:
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise KerasvisionError(
            "`labels` must have at least two identities, one of them with two images, to make pairs of both "
            f"kinds. Received: {len(counts)} identities of at most {counts.max()} image(s)."
        )
