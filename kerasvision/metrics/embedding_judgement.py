"""Judge embeddings of identities that were not trained on: what `metrics.json` and the report say."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import Distance
from kerasvision.metrics.identifying import (
    Identification,
    OpenSetIdentification,
    identification,
    open_set_identification,
)
from kerasvision.metrics.retrieving import Retrieval, retrieval
from kerasvision.metrics.roc_curve import check_rate
from kerasvision.metrics.verification_values import AcceptRate, Verification
from kerasvision.metrics.verifying import FALSE_ACCEPT_RATES
from kerasvision.metrics.verifying_blocks import verify_embeddings

_PARTS = {
    "verification": Verification,
    "retrieval": Retrieval,
    "identification": Identification,
    "open_set": OpenSetIdentification,
}


@dataclass(frozen=True, eq=False)
class EmbeddingJudgement:
    """What held-out identities say about an embedder. `to_dict` is what `metrics.json` holds.

    Attributes:
        count: images judged.
        identities: how many there are.
        distance: between embeddings, `"euclidean"`, `"squared"` or `"cosine"`.
        false_accept_rate: the share of impostor pairs that the threshold may accept.
        threshold: pairs at a distance <= threshold are taken for one identity: the one given, or chosen here
            at `false_accept_rate`; None where there are too few impostor pairs to choose one.
        measured_false_accept_rate: share of the impostor pairs accepted at it; None without a threshold.
        true_accept_rate: share of the genuine pairs accepted at it; None without one.
        verification: of all pairs.
        retrieval: of all images.
        identification: one random photo of each identity with several is enrolled, the others are searched
            for; None with fewer than two such identities.
        open_set: the same with every second of these identities, of which one photo is enrolled, all photos
            of all others being strangers; None with fewer than four.
    """

    count: int
    identities: int
    distance: Distance
    false_accept_rate: float
    threshold: float | None
    measured_false_accept_rate: float | None
    true_accept_rate: float | None
    verification: Verification
    retrieval: Retrieval
    identification: Identification | None
    open_set: OpenSetIdentification | None

    def __str__(self):
        found = self.verification
        lines = [
            f"{self.count:,} images of {self.identities:,} identities, {self.distance} distance",
            f"{_named(found.at(self.false_accept_rate), 'of the pairs of one identity accepted')}",
            f"equal error rate {found.eer:.1%}, area under the ROC {found.auc:.4f}",
            f"nearest image of the same identity (recall at {(k := min(self.retrieval.recall))}): "
            f"{self.retrieval.recall[k]:.1%}",
        ]
        if self.threshold is not None:
            lines.insert(
                1,
                f"threshold {self.threshold:.4g}: {self.true_accept_rate:.1%} true, "
                f"{self.measured_false_accept_rate:.2%} false accepts",
            )
        if self.open_set is not None:
            lines += [
                _named(rate, "of those enrolled found", "of strangers taken for somebody")
                for rate in self.open_set.rates
                if rate.true_accept_rate is not None
            ]
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, **{name: values[name] and values[name].to_dict() for name in _PARTS}}

    @classmethod
    def from_dict(cls, values: Mapping) -> "EmbeddingJudgement":
        """Return what `to_dict` was called on."""
        parts = {name: values[name] and kind.from_dict(values[name]) for name, kind in _PARTS.items()}
        return cls(**{**values, **parts})


def _named(rate: AcceptRate, right: str, wrong: str = "false accepts") -> str:
    """Say a rate of true accepts in words, with the threshold that it is of."""
    if rate.true_accept_rate is None:
        return f"at {rate.false_accept_rate:.2%} {wrong}: {rate.reason}"
    low_to_high = "" if rate.interval is None else f" ({rate.interval[0]:.1%} to {rate.interval[1]:.1%})"
    return (
        f"at {rate.false_accept_rate:.2%} {wrong}: {rate.true_accept_rate:.1%}{low_to_high} {right} "
        f"(threshold {rate.threshold:.4g})"
    )


def judge_embeddings(
    embeddings,
    labels,
    *,
    distance: Distance = "euclidean",
    false_accept_rate: float = 0.01,
    threshold: float | None = None,
    seed: int = 0,
) -> EmbeddingJudgement:
    """Judge embeddings of held-out identities by verification, retrieval and identification.

    Args:
        embeddings: (N, d) float.
        labels: (N,) int or str, the identity of each image.
        distance: `"euclidean"`, `"squared"` or `"cosine"`.
        false_accept_rate: at which the threshold is chosen where none is given.
        threshold: one that is in use, to see how it does on these identities.
        seed: of resampling, and of who is enrolled.

    Raises:
        KerasvisionError: shapes or values that do not fit, or pairs of one kind only.
    """
    check_rate(false_accept_rate)
    if threshold is not None and not np.isfinite(threshold):
        raise KerasvisionError(f"`threshold` must be a finite distance. Received: {threshold}.")
    embeddings, labels = np.asarray(embeddings), np.asarray(labels)
    options = {"distance": distance, "seed": seed}
    rates = tuple(sorted({*FALSE_ACCEPT_RATES, false_accept_rate}, reverse=True))
    verified = verify_embeddings(embeddings, labels, false_accept_rates=rates, threshold=threshold, **options)
    if threshold is None:
        threshold = verified.at(false_accept_rate).threshold
    accepted = (None, None) if threshold is None else verified.curve.at_threshold(threshold)
    return EmbeddingJudgement(
        count=len(labels),
        identities=verified.identities,
        distance=distance,
        false_accept_rate=false_accept_rate,
        threshold=threshold,
        measured_false_accept_rate=accepted[0],
        true_accept_rate=accepted[1],
        verification=verified,
        retrieval=retrieval(embeddings, labels, **options),
        identification=_closed_set(embeddings, labels, options),
        open_set=_open_set(embeddings, labels, options),
    )


def _closed_set(embeddings: np.ndarray, labels: np.ndarray, options: Mapping) -> Identification | None:
    enrolled, several = _one_of_each(labels, options["seed"])
    if len(enrolled) < 2:
        return None
    probes = np.setdiff1d(several, enrolled)
    return identification(
        embeddings[enrolled], labels[enrolled], embeddings[probes], labels[probes], **options
    )


def _open_set(embeddings: np.ndarray, labels: np.ndarray, options: Mapping) -> OpenSetIdentification | None:
    enrolled, _ = _one_of_each(labels, options["seed"])
    if len(enrolled) < 4:
        return None
    enrolled = enrolled[::2]
    probes = np.setdiff1d(np.arange(len(labels)), enrolled)
    return open_set_identification(
        embeddings[enrolled], labels[enrolled], embeddings[probes], labels[probes], **options
    )


def _one_of_each(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a random image of each identity with several, in random order, and all images of these."""
    random = np.random.default_rng(seed).permutation(len(labels))
    people, first, numbers = np.unique(labels[random], return_index=True, return_inverse=True)
    counts = np.bincount(numbers)
    order = np.random.default_rng((seed, 1)).permutation(len(people))
    return random[first[order[counts[order] > 1]]], random[counts[numbers] > 1]
