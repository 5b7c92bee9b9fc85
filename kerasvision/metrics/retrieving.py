"""Judge embeddings by searching with each image for the others of its identity."""

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
)
from kerasvision.metrics.intervals import check_confidence
from kerasvision.metrics.resampled_identities import mean_interval
from kerasvision.metrics.verification_values import Interval, as_interval


@dataclass(frozen=True)
class Retrieval:
    """How well the nearest images are those of the same identity.

    Attributes:
        queries: images that were searched with: all that have another one of their identity.
        left_out: images that are the only one of their identity. They are still in the way of others.
        recall: k -> share of the queries with an image of their identity among the k nearest (recall@k).
        recall_interval: of the first k.
        map_at_r: mean average precision at R, R being how many others there are of the query's identity.
        map_at_r_interval: of it.
        r_precision: share of the R nearest that are of the query's identity, over queries.
        confidence: of the intervals, which come from resampling identities.
    """

    queries: int
    left_out: int
    recall: Mapping[int, float]
    recall_interval: Interval
    map_at_r: float
    map_at_r_interval: Interval
    r_precision: float
    confidence: float

    def to_dict(self) -> dict:
        """Return plain values for JSON, in which k is text."""
        return {**asdict(self), "recall": {str(k): share for k, share in self.recall.items()}}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Retrieval":
        """Return what `to_dict` was called on."""
        return cls(
            **{
                **values,
                "recall": {int(k): share for k, share in values["recall"].items()},
                "recall_interval": as_interval(values["recall_interval"]),
                "map_at_r_interval": as_interval(values["map_at_r_interval"]),
            }
        )


def retrieval(
    embeddings,
    labels,
    *,
    distance: Distance = "euclidean",
    k: Sequence[int] = (1, 2, 4, 8),
    confidence: float = 0.95,
    seed: int = 0,
) -> Retrieval:
    """Search with each image for the others of its identity among all images.

    An image of another identity that is as near as one of the same counts as nearer, so that a network that
    answers the same for everything earns nothing. Distances are made in blocks of 16 MB.

    Args:
        embeddings: (N, d) float.
        labels: (N,) int or str, the identity of each image.
        distance: `"euclidean"`, `"squared"` or `"cosine"`.
        k: at which recall is given.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        KerasvisionError: shapes or values that do not fit, or no identity with two images.

    Musgrave, Belongie, Lim, A metric learning reality check, 2020, section 3.2 (MAP@R).

    Example:
        >>> found = retrieval([[0.0], [0.1], [1.0], [1.1]], ["a", "a", "b", "b"], k=(1,))
        >>> found.recall, found.map_at_r
        ({1: 1.0}, 1.0)
    """
    check_confidence(confidence)
    vectors = comparable(embeddings, distance)
    labels = checked_identities("labels", labels, len(vectors))
    if not k or min(k) < 1:
        raise KerasvisionError(f"`k` must be whole numbers from 1. Received: {k!r}.")
    order = np.argsort(labels, kind="stable")
    people, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    if counts.max() < 2:
        raise KerasvisionError(
            f"`labels` must have an identity with two images, to search for one with the other. "
            f"Received: {len(people)} identities of one image each."
        )
    distances = SquaredDistances(vectors[order])
    wanted = [
        _of_one_identity(distances, slice(start, start + count), max(k))
        for start, count in zip(starts, counts, strict=True)
        if count > 1
    ]
    first, average, precision = (np.concatenate(parts) for parts in zip(*wanted, strict=True))
    owners = np.repeat(people[counts > 1], counts[counts > 1])
    options = {"confidence": confidence, "seed": seed}
    return Retrieval(
        queries=len(first),
        left_out=int((counts == 1).sum()),
        recall={int(one): float((first <= one).mean()) for one in k},
        recall_interval=mean_interval(first <= k[0], owners, **options),
        map_at_r=float(average.mean()),
        map_at_r_interval=mean_interval(average, owners, **options),
        r_precision=float(precision.mean()),
        confidence=confidence,
    )


def _of_one_identity(distances: SquaredDistances, own: slice, most: int) -> tuple[np.ndarray, ...]:
    """Search with each image of one identity.

    Args:
        distances: of vectors that lie sorted by identity.
        own: those of this one, at least two.
        most: ranks above this one and above the number of its other images need not be exact.

    Returns:
        (b,) rank of the nearest of the others, (b,) average precision at R, (b,) R-precision.
    """
    others = own.stop - own.start - 1
    parts = []
    for part in blocks(others + 1, len(distances.vectors)):
        rows = slice(own.start + part.start, own.start + part.stop)
        squares = distances.within(rows)
        right = squares[:, own]
        right[np.arange(len(right)), np.arange(part.start, part.stop)] = -1.0  # itself, sorted to the front
        right = np.sort(right, axis=1)[:, 1:]
        wrong = np.concatenate([squares[:, : own.start], squares[:, own.stop :]], axis=1)
        parts.append(_ranked(right + distances.tolerance, _nearest(wrong, max(most, others))))
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))


def _nearest(squares: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` lowest of each row, sorted; all, where there are fewer."""
    if count < squares.shape[1]:
        squares = np.partition(squares, count - 1, axis=1)[:, :count]
    return np.sort(squares, axis=1)


def _ranked(right: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rank of the first, average precision at R and R-precision of each row.

    Args:
        right: (b, R) distances to the others of the identity, rising.
        wrong: (b, m) the lowest to images of other identities, rising, m at least R or all of them.
    """
    before = np.stack([np.searchsorted(w, r, side="right") for r, w in zip(right, wrong, strict=True)])
    place = np.arange(1, right.shape[1] + 1)
    ranks = place + before
    inside = ranks <= right.shape[1]
    return ranks[:, 0], (place / ranks * inside).mean(1), inside.mean(1)
