"""The protocol of Labeled Faces in the Wild: the threshold of each fold comes from the other folds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.roc_curve import last_of_equal
from kerasvision.metrics.verifying import checked_pairs


@dataclass(frozen=True)
class LFWAccuracy:
    """Accuracy of verification over folds.

    Attributes:
        mean: of the accuracies of the folds.
        standard_error: of that mean: their sample standard deviation over the root of their number.
        accuracies: share of right answers in each fold.
        thresholds: of each fold, chosen on all others; pairs at a distance <= threshold are called the same.
        pairs: how many were judged.
    """

    mean: float
    standard_error: float
    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    pairs: int

    def __str__(self):
        return f"{self.mean:.4f} ± {self.standard_error:.4f} over {len(self.accuracies)} folds"

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "LFWAccuracy":
        """Return what `to_dict` was called on."""
        tuples = {name: tuple(values[name]) for name in ("accuracies", "thresholds")}
        return cls(**{**values, **tuples})


def lfw_protocol(distances, same, folds) -> LFWAccuracy:
    """Return the accuracy over folds, each with the threshold that is best on all others.

    Thresholds lie half way between distances that occur; of equally good ones the lowest is taken, which
    accepts the fewest.

    Args:
        distances: (P,) float.
        same: (P,) bool, whether a pair is of one identity.
        folds: (P,) int, the fold of each pair; LFW has ten, of different people.

    Raises:
        KerasvisionError: shapes or values that do not fit, fewer than two folds, or folds of which the others
            have pairs of one kind only.

    Huang, Ramesh, Berg, Learned-Miller, Labeled Faces in the Wild, 2007, section 4.1 (view 2).

    Example:
        >>> print(lfw_protocol([0.1, 0.9, 0.2, 0.8], [1, 0, 1, 0], [0, 0, 1, 1]))
        1.0000 ± 0.0000 over 2 folds
    """
    distances, same = checked_pairs(distances, same)
    folds = np.asarray(folds)
    if folds.shape != same.shape or folds.dtype.kind not in "iu":
        raise KerasvisionError(
            f"`folds` must be ({len(same)},) whole numbers, one a pair. "
            f"Received: {folds.shape} {folds.dtype}."
        )
    names = np.unique(folds)
    if len(names) < 2:
        raise KerasvisionError("`folds` must name at least two folds. Received: one. LFW has ten.")
    accuracies, thresholds = [], []
    for fold in names:
        inside = folds == fold
        if same[~inside].all() or not same[~inside].any():
            raise KerasvisionError(
                f"`folds`: without fold {fold} there are pairs of one kind only, which give no threshold. "
                f"Put pairs of both kinds into each fold."
            )
        threshold = best_threshold(distances[~inside], same[~inside])
        thresholds.append(threshold)
        accuracies.append(float(((distances[inside] <= threshold) == same[inside]).mean()))
    return LFWAccuracy(
        mean=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))),
        accuracies=tuple(accuracies),
        thresholds=tuple(thresholds),
        pairs=len(same),
    )


def best_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold with the most right answers; of equal ones the lowest.

    Args:
        distances: (P,) float.
        same: (P,) bool.
    """
    order = np.argsort(distances, kind="stable")
    ordered = distances[order]
    last = last_of_equal(ordered)
    gain = np.cumsum(np.where(same[order], 1, -1))[last]  # right answers more than if nothing is accepted
    best = int(np.argmax(gain))
    if gain[best] <= 0:  # to accept nothing is at least as good
        return float(np.nextafter(ordered[0], -np.inf))
    at = ordered[last[best]]
    above = ordered[last[best] + 1] if last[best] + 1 < len(ordered) else at
    return float((at + above) / 2)
