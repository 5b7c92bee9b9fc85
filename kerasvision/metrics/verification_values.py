"""What verification comes down to: rates at thresholds, the curve, and how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.roc_curve import RocCurve, too_few

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class AcceptRate:
    """How many of the right ones are accepted where at most a given share of the wrong ones is.

    Attributes:
        false_accept_rate: the share that is allowed.
        true_accept_rate: share of the genuine accepted (TAR; in open-set identification, DIR); None where
            `false_accept_rate` cannot be measured.
        interval: of it, as `Verification.interval_of` says; None where there is none.
        threshold: the highest distance that is accepted.
        measured: the share of the wrong ones accepted at it; at most `false_accept_rate`, less with ties or
            few pairs.
        reason: why it cannot be measured.
    """

    false_accept_rate: float
    true_accept_rate: float | None = None
    interval: Interval = None
    threshold: float | None = None
    measured: float | None = None
    reason: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping) -> "AcceptRate":
        """Return what `dataclasses.asdict` was called on."""
        return cls(**{**values, "interval": as_interval(values["interval"])})


@dataclass(frozen=True, eq=False)
class Verification:
    """How well a distance tells pairs of one identity from pairs of two. `to_dict` is for JSON.

    Attributes:
        genuine: pairs of one identity.
        impostors: pairs of two.
        identities: how many there are; None where it was not told.
        auc: area under the ROC: the chance that a genuine pair is nearer than an impostor pair.
        auc_interval: of it.
        eer: equal error rate: where as many impostors are accepted as genuine pairs are rejected, by
            straight lines between the points of the curve.
        eer_interval: of it.
        eer_threshold: the first distance at which at least as many impostors are accepted as genuine pairs
            are rejected.
        rates: one `AcceptRate` (TAR at FAR) for each rate of false accepts asked for.
        curve: the ROC, thinned where it has more than some thousand points.
        interval_of: how the intervals were made, in words; None where there are none.
        confidence: of the intervals.
        resolution: how far thresholds may be from distances that occur: 0, or where distances were counted
            in classes, their width.
    """

    genuine: int
    impostors: int
    identities: int | None
    auc: float
    auc_interval: Interval
    eer: float
    eer_interval: Interval
    eer_threshold: float
    rates: tuple[AcceptRate, ...]
    curve: RocCurve
    interval_of: str | None
    confidence: float
    resolution: float = 0.0

    def at(self, false_accept_rate: float) -> AcceptRate:
        """Return the rates at the highest threshold with at most this share of false accepts.

        Raises:
            KerasvisionError: `false_accept_rate` is not in (0, 1].
        """
        for rate in self.rates:
            if rate.false_accept_rate == false_accept_rate:
                return rate
        return accept_rate(self.curve, false_accept_rate)

    def threshold_at(self, false_accept_rate: float) -> float:
        """Return the highest threshold that accepts at most this share of the impostor pairs.

        A pair is accepted at distance <= threshold; of equal distances all or none are.

        Raises:
            KerasvisionError: not a rate, or there are too few impostor pairs to measure it.
        """
        found = self.at(false_accept_rate)
        if found.threshold is None:
            raise KerasvisionError(
                f"`false_accept_rate` {false_accept_rate:g} has no threshold: {found.reason}. Give images of "
                f"more identities, or a higher rate."
            )
        return found.threshold

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(replace(self, curve=None)), "curve": self.curve.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Verification":
        """Return what `to_dict` was called on."""
        return cls(
            **{
                **values,
                "auc_interval": as_interval(values["auc_interval"]),
                "eer_interval": as_interval(values["eer_interval"]),
                "rates": tuple(AcceptRate.from_dict(rate) for rate in values["rates"]),
                "curve": RocCurve.from_dict(values["curve"]),
            }
        )


def accept_rate(curve: RocCurve, false_accept_rate: float, interval: Interval = None) -> AcceptRate:
    """Return what a curve says at a rate of false accepts, or why it cannot."""
    if reason := too_few(curve.impostors, false_accept_rate):
        return AcceptRate(false_accept_rate, reason=reason)
    threshold, measured, accepted = curve.operating_point(false_accept_rate)
    return AcceptRate(false_accept_rate, accepted, interval, threshold, measured)


def accept_rates(
    curve: RocCurve, false_accept_rates: Sequence[float], intervals: Sequence[Interval]
) -> tuple[AcceptRate, ...]:
    """Return one `AcceptRate` for each of the rates."""
    return tuple(
        accept_rate(curve, rate, interval)
        for rate, interval in zip(false_accept_rates, intervals, strict=True)
    )


def as_interval(values) -> Interval:
    """Return what JSON made of an interval as one."""
    return None if values is None else tuple(values)
