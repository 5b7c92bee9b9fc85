"""False accepts against true accepts of all thresholds on a distance, and what is read off the curve."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError

_EXACT_RANKS, _GROWTH = 1000, 1.005  # points that a thinned curve keeps: every rank up to here, then by ratio


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Shares of pairs that are accepted, at rising thresholds. A pair is accepted at distance <= threshold.

    Attributes:
        thresholds: (n,) float64, rising: distances that occur.
        false_accepts: (n,) float64, share of the impostor pairs accepted.
        true_accepts: (n,) float64, share of the genuine pairs accepted.
        impostors: pairs of different identities.
        genuine: pairs of one identity.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    true_accepts: np.ndarray
    impostors: int
    genuine: int

    def operating_point(self, false_accept_rate: float) -> tuple[float, float, float]:
        """Return (threshold, share of false accepts, share of true accepts) at the highest threshold allowed.

        Pairs of equal distance are accepted or rejected together, so ties never raise the rate above what is
        asked for. Where even the lowest distance would, the threshold lies below it and accepts nobody.

        Args:
            false_accept_rate: the most that may be, in (0, 1].

        Raises:
            KerasvisionError: not a rate, or there are too few impostor pairs to measure it.
        """
        check_rate(false_accept_rate)
        if reason := too_few(self.impostors, false_accept_rate):
            raise KerasvisionError(f"{reason[0].upper()}{reason[1:]}.")
        place = int(places(self.false_accepts[None], false_accept_rate)[0])
        if place < 0:
            return float(np.nextafter(self.thresholds[0], -np.inf)), 0.0, 0.0
        return tuple(float(x[place]) for x in (self.thresholds, self.false_accepts, self.true_accepts))

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Return the shares of false and of true accepts at a threshold (of a thinned curve, at most)."""
        place = self._place(threshold)
        return (
            (float(self.false_accepts[place]), float(self.true_accepts[place])) if place >= 0 else (0.0, 0.0)
        )

    def thinned(self, false_accept_rates=(), threshold: float | None = None) -> "RocCurve":
        """Return the curve with some thousand points, those of the rates and the threshold among them.

        What is read off it never accepts more impostors than is asked for, as all its points are of the whole
        curve; it may accept a little fewer than the whole curve would.
        """
        kept = self.kept_points()
        asked = places(self.false_accepts[None], np.asarray(false_accept_rates, float).reshape(-1, 1))
        if threshold is not None:
            asked = np.append(asked, self._place(threshold))
        kept = np.union1d(kept, asked[asked >= 0])
        return RocCurve(
            self.thresholds[kept],
            self.false_accepts[kept],
            self.true_accepts[kept],
            self.impostors,
            self.genuine,
        )

    def _place(self, threshold: float) -> int:
        return int(np.searchsorted(self.thresholds, threshold, side="right")) - 1

    def kept_points(self) -> np.ndarray:
        """Return the indices of the points of a thinned curve; all, where there are few."""
        count = len(self.thresholds)
        if count <= 4 * _EXACT_RANKS:
            return np.arange(count)
        ends = max(self.impostors, _EXACT_RANKS + 1)
        steps = int(np.ceil(np.log(ends / _EXACT_RANKS) / np.log(_GROWTH)))
        ranks = np.append(np.arange(_EXACT_RANKS), np.geomspace(_EXACT_RANKS, ends, steps + 1))
        accepted = np.round(self.false_accepts * self.impostors)
        by_rank = np.searchsorted(accepted, ranks, side="right") - 1
        evenly = np.linspace(0, count - 1, _EXACT_RANKS).astype(np.int64)
        return np.unique(np.concatenate([by_rank[by_rank >= 0], evenly]))

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {
            "thresholds": self.thresholds.tolist(),
            "false_accepts": self.false_accepts.tolist(),
            "true_accepts": self.true_accepts.tolist(),
            "impostors": self.impostors,
            "genuine": self.genuine,
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "RocCurve":
        """Return what `to_dict` was called on."""
        names = ("thresholds", "false_accepts", "true_accepts")
        return cls(**{**values, **{name: np.asarray(values[name], np.float64) for name in names}})


def roc_from_pairs(distances: np.ndarray, same: np.ndarray) -> RocCurve:
    """Return the curve with a point for each distance that occurs.

    Args:
        distances: (P,) float, may be infinite: never accepted before all others are.
        same: (P,) bool, whether a pair is genuine; both kinds must occur.
    """
    order = np.argsort(distances, kind="stable")
    ordered, genuine = distances[order], np.cumsum(same[order])
    last = last_of_equal(ordered)
    accepted = genuine[last]
    return roc_from_counts(ordered[last], last + 1 - accepted, accepted)


def roc_from_counts(thresholds: np.ndarray, impostors: np.ndarray, genuine: np.ndarray) -> RocCurve:
    """Return the curve from the pairs accepted at each of the rising thresholds; at the last one all are."""
    return RocCurve(
        thresholds, impostors / impostors[-1], genuine / genuine[-1], int(impostors[-1]), int(genuine[-1])
    )


def last_of_equal(ordered: np.ndarray) -> np.ndarray:
    """Return the index of the last of each run of equal values."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def area(false_accepts: np.ndarray, true_accepts: np.ndarray) -> np.ndarray:
    """Return the area under curves (r, n): the chance that a genuine pair is nearer, ties counted half."""
    x, y = (np.pad(shares, ((0, 0), (1, 0))) for shares in (false_accepts, true_accepts))
    return (np.diff(x) * (y[:, 1:] + y[:, :-1]) / 2).sum(1)


def equal_error(false_accepts: np.ndarray, true_accepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where curves (r, n), taken as straight between points, have as many false accepts as rejects.

    Returns:
        (r,) the rate, and (r,) int, the first point with at least as many false accepts.
    """
    x, y = (np.pad(shares, ((0, 0), (1, 0))) for shares in (false_accepts, true_accepts))
    gap = x + y - 1  # rises from -1 to 1
    after = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(x))
    before = gap[rows, after - 1]
    way = -before / (gap[rows, after] - before)
    rate = x[rows, after - 1] + way * (x[rows, after] - x[rows, after - 1])
    return rate, after - 1


def places(false_accepts: np.ndarray, rate) -> np.ndarray:
    """Return the last point of each curve (r, n) with at most this share of false accepts; -1 for none."""
    # Shares are quotients of counts: 0.3 of 10 pairs are 3, whatever 0.3 is in binary.
    return (false_accepts <= np.asarray(rate) * (1 + 1e-12)).sum(-1) - 1


def true_accepts_at(false_accepts: np.ndarray, true_accepts: np.ndarray, rate: float) -> np.ndarray:
    """Return (r,) the share of true accepts of each curve (r, n) at a rate of false accepts."""
    at = places(false_accepts, rate)
    return np.where(at >= 0, true_accepts[np.arange(len(at)), np.maximum(at, 0)], 0.0)


def check_rate(rate: float) -> None:
    """Refuse what is no rate of false accepts."""
    if not 0 < rate <= 1:
        raise KerasvisionError(
            f"`false_accept_rate` must lie in (0, 1], such as 0.001 for one in a thousand. Received: {rate}."
        )


def too_few(impostors: int, rate: float) -> str | None:
    """Say that this many impostor pairs cannot measure a rate: not even one false accept would be allowed."""
    if impostors * rate >= 1 - 1e-9:
        return None
    return (
        f"too few impostor pairs to measure FAR {rate:g}: there are {impostors:,}, "
        f"and it takes at least {int(np.ceil(1 / rate - 1e-6)):,}"
    )
