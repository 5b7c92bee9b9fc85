"""Judge a search for people among those who are enrolled, everybody known or not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import (
    Distance,
    SquaredDistances,
    blocks,
    checked_identities,
    comparable,
    from_squares,
)
from kerasvision.metrics.intervals import check_confidence
from kerasvision.metrics.resampled_identities import mean_interval
from kerasvision.metrics.roc_curve import check_rate, roc_from_pairs
from kerasvision.metrics.verification_intervals import figures, identity_replicates, percentile_intervals
from kerasvision.metrics.verification_values import AcceptRate, Interval, accept_rates, as_interval

MOST_RANKS = 100  # of the curve


@dataclass(frozen=True)
class Identification:
    """How often the right identity is among the nearest, where everybody who is searched for is enrolled.

    Attributes:
        count: probes.
        identities: how many are enrolled.
        rates: rank -> share of the probes whose identity is among so many nearest identities.
        interval: of rank 1, by resampling the identities of the probes; None for fewer than two.
        cmc: the same share for ranks 1, 2, … (the cumulative match characteristic), 100 at most.
        confidence: of the interval.
    """

    count: int
    identities: int
    rates: Mapping[int, float]
    interval: Interval
    cmc: tuple[float, ...]
    confidence: float

    def to_dict(self) -> dict:
        """Return plain values for JSON, in which ranks are text."""
        return {**asdict(self), "rates": {str(rank): share for rank, share in self.rates.items()}}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Identification":
        """Return what `to_dict` was called on."""
        return cls(
            **{
                **values,
                "rates": {int(rank): share for rank, share in values["rates"].items()},
                "interval": as_interval(values["interval"]),
                "cmc": tuple(values["cmc"]),
            }
        )


@dataclass(frozen=True)
class OpenSetIdentification:
    """How often people who are enrolled are found, where strangers come too.

    Attributes:
        known: probes of identities that are enrolled.
        unknown: probes of others.
        identities: how many are enrolled.
        rates: one `AcceptRate` for each rate of false accepts asked for: `true_accept_rate` is the detection
            and identification rate (DIR), the share of known probes whose own identity is the nearest and
            within the threshold; `false_accept_rate` bounds the share of unknown probes for whom anybody is.
        interval_of: how the intervals were made; None where there are none.
        confidence: of the intervals.
    """

    known: int
    unknown: int
    identities: int
    rates: tuple[AcceptRate, ...]
    interval_of: str | None
    confidence: float

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "OpenSetIdentification":
        """Return what `to_dict` was called on."""
        return cls(**{**values, "rates": tuple(AcceptRate.from_dict(rate) for rate in values["rates"])})


def identification(
    gallery,
    gallery_labels,
    probes,
    probe_labels,
    *,
    distance: Distance = "euclidean",
    ranks: Sequence[int] = (1, 5, 10),
    confidence: float = 0.95,
    seed: int = 0,
) -> Identification:
    """Judge a closed-set search: each probe is of somebody who is enrolled.

    An identity is as near as its nearest photo. One that is as near as the right one counts as nearer, so
    that a network that answers the same for everybody earns nothing.

    Args:
        gallery: (G, d) float, embeddings of the photos enrolled.
        gallery_labels: (G,) int or str, who is on them.
        probes: (P, d) float.
        probe_labels: (P,) int or str.
        distance: `"euclidean"`, `"squared"` or `"cosine"`.
        ranks: at which the share is given.
        confidence: of the interval.
        seed: of the resampling.

    Raises:
        KerasvisionError: shapes or values that do not fit, or a probe of somebody who is not enrolled.

    Phillips, Grother, Micheals, Handbook of Face Recognition, 2005, chapter 14.
    """
    check_confidence(confidence)
    search = _Search(gallery, gallery_labels, probes, probe_labels, distance)
    if (search.places < 0).any():
        stranger = search.probe_labels[search.places < 0][0]
        raise KerasvisionError(
            f"`probe_labels` must be of identities that are in `gallery_labels`. Received: {stranger}, who "
            f"is not. `open_set_identification` judges searches with strangers."
        )
    if not ranks or min(ranks) < 1:
        raise KerasvisionError(f"`ranks` must be whole numbers from 1. Received: {ranks!r}.")
    found = search.ranks()
    most = min(MOST_RANKS, len(search.people))
    cmc = np.bincount(np.minimum(found, most + 1), minlength=most + 2)[1 : most + 1].cumsum() / len(found)
    return Identification(
        count=len(found),
        identities=len(search.people),
        rates={int(rank): float((found <= rank).mean()) for rank in ranks},
        interval=mean_interval(found == 1, search.probe_labels, confidence=confidence, seed=seed),
        cmc=tuple(cmc.tolist()),
        confidence=confidence,
    )


def open_set_identification(
    gallery,
    gallery_labels,
    probes,
    probe_labels,
    *,
    distance: Distance = "euclidean",
    false_accept_rates: Sequence[float] = (1e-1, 1e-2, 1e-3),
    confidence: float = 0.95,
    repeats: int = 500,
    seed: int = 0,
) -> OpenSetIdentification:
    """Judge an open-set search: some probes are of strangers, who should be told from those enrolled.

    Args:
        gallery: (G, d) float, embeddings of the photos enrolled.
        gallery_labels: (G,) int or str, who is on them.
        probes: (P, d) float.
        probe_labels: (P,) int or str; identities that are not enrolled are the strangers.
        distance: `"euclidean"`, `"squared"` or `"cosine"`.
        false_accept_rates: shares of the strangers that may be taken for somebody, below 1.
        confidence: of the intervals.
        repeats: resamples of the identities of the probes; 0 gives no intervals.
        seed: of the resampling.

    Raises:
        KerasvisionError: shapes or values that do not fit, or probes of one kind only.

    Phillips, Grother, Micheals, Handbook of Face Recognition, 2005, chapter 14.
    """
    check_confidence(confidence)
    search = _Search(gallery, gallery_labels, probes, probe_labels, distance)
    for rate in false_accept_rates:
        check_rate(rate)
        if rate == 1:
            raise KerasvisionError(
                "`false_accept_rates` must be below 1. Received: 1, which needs no threshold."
            )
    known = search.places >= 0
    if known.all() or not known.any():
        raise KerasvisionError(
            "`probe_labels` must have identities that are enrolled and strangers. Received: only "
            f"{'enrolled ones; `identification` judges these' if known.all() else 'strangers'}."
        )
    own, others = search.nearest()
    decisive = np.where(known, own, others)
    curve = roc_from_pairs(decisive, known)
    drawn = identity_replicates(
        decisive, known, search.probe_labels[:, None], curve, false_accept_rates, repeats, seed
    )
    values = figures(curve.false_accepts[None], curve.true_accepts[None], false_accept_rates)[0]
    units = len(np.unique(search.probe_labels[known]))
    intervals = percentile_intervals(drawn, values, confidence, units)[2:]
    there = bool(intervals) and intervals[0] is not None
    return OpenSetIdentification(
        known=int(known.sum()),
        unknown=int((~known).sum()),
        identities=len(search.people),
        rates=accept_rates(curve, false_accept_rates, intervals),
        interval_of=f"percentile bootstrap, {len(drawn)} resamples of identities" if there else None,
        confidence=confidence,
    )


class _Search:
    """Distances of probes to the nearest photo of each identity, a block of probes at a time."""

    def __init__(self, gallery, gallery_labels, probes, probe_labels, distance: Distance):
        vectors, self.distance = comparable(gallery, distance, "gallery"), distance
        labels = checked_identities("gallery_labels", gallery_labels, len(vectors))
        self.probes = comparable(probes, distance, "probes")
        self.probe_labels = checked_identities("probe_labels", probe_labels, len(self.probes))
        if self.probes.shape[1] != vectors.shape[1]:
            raise KerasvisionError(
                f"`gallery` and `probes` must have embeddings of one length. "
                f"Received: {vectors.shape[1]} and {self.probes.shape[1]}."
            )
        order = np.argsort(labels, kind="stable")
        self.people, self._starts = np.unique(labels[order], return_index=True)
        self._distances = SquaredDistances(vectors[order])
        places = np.minimum(np.searchsorted(self.people, self.probe_labels), len(self.people) - 1)
        self.places = np.where(
            self.people[places] == self.probe_labels, places, -1
        )  # of each probe's identity

    def _blocks(self):
        """Yield (slice of probes, (b, people) squared distances)."""
        for rows in blocks(len(self.probes), len(self._distances.vectors)):
            squares = self._distances.to(self.probes[rows])
            yield rows, np.minimum.reduceat(squares, self._starts, axis=1)

    def ranks(self) -> np.ndarray:
        """Return (P,) the rank of each probe's identity, from 1; all must be enrolled."""
        found = np.empty(len(self.probes), np.int64)
        for rows, squares in self._blocks():
            own = squares[np.arange(len(squares)), self.places[rows]][:, None]
            found[rows] = (squares <= own + self._distances.tolerance).sum(1)  # itself is among them
        return found

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (P,) distances to the probe's own identity and to the nearest other; infinite where none.

        Of an own identity that is no nearer than another it is infinite, too: the other might be answered.
        """
        own, others = np.full((2, len(self.probes)), np.inf)
        for rows, squares in self._blocks():
            enrolled = np.flatnonzero(self.places[rows] >= 0)
            places = self.places[rows][enrolled]
            own[rows.start + enrolled] = squares[enrolled, places]
            squares[enrolled, places] = np.inf
            others[rows] = squares.min(1)
        own[own >= others - self._distances.tolerance] = np.inf
        return from_squares(own, self.distance), from_squares(others, self.distance)
