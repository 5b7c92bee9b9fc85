"""Distances between embeddings in numpy, block by block, so that no matrix of all images is ever made."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from kerasvision.errors import KerasvisionError

Distance = Literal["euclidean", "squared", "cosine"]
DISTANCES = ("euclidean", "squared", "cosine")
CELLS_AT_ONCE = 2_000_000  # distances that are in memory together: 16 MB


def pair_distances(embeddings, first, second, *, distance: Distance = "euclidean") -> np.ndarray:
    """Return the distances of pairs of embeddings.

    Args:
        embeddings: (N, d) float.
        first: (P,) int, indices of rows.
        second: (P,) int.
        distance: `"euclidean"`; `"squared"`, its square; or `"cosine"`, 1 less the cosine, from 0 to 2.

    Returns:
        (P,) float64, at least 0; exactly 0 between equal embeddings.

    Raises:
        KerasvisionError: shapes, indices or values that do not fit, or a distance that is not known.

    Example:
        >>> pair_distances([[0.0, 0.0], [3.0, 4.0]], [0, 0], [1, 0]).tolist()
        [5.0, 0.0]
    """
    vectors = comparable(embeddings, distance)
    first, second = (
        checked_indices("first", first, len(vectors)),
        checked_indices("second", second, len(vectors)),
    )
    if first.shape != second.shape:
        raise KerasvisionError(
            f"`first` and `second` must be of one length. Received: {first.shape} and {second.shape}."
        )
    squares = np.empty(len(first))
    step = max(1, CELLS_AT_ONCE // max(1, vectors.shape[1]))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        apart = vectors[first[part]] - vectors[second[part]]
        squares[part] = _norms(apart)
    return from_squares(squares, distance)


def comparable(embeddings, distance: Distance, name: str = "embeddings") -> np.ndarray:
    """Return (N, d) float64 vectors whose squared Euclidean distances `from_squares` turns into `distance`.

    Raises:
        KerasvisionError: of another shape or not finite, a zero vector where cosines are asked for, or a
            distance that is not known.
    """
    check_distance(distance)
    vectors = np.asarray(embeddings)
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or not vectors.size:
        raise KerasvisionError(
            f"`{name}` must be (N, d) numbers, one row an image. Received: {vectors.shape} {vectors.dtype}."
        )
    vectors = vectors.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if bad.size:
        raise KerasvisionError(
            f"`{name}` must be finite. {bad.size} rows are not, the first is row {bad[0]}."
        )
    if distance != "cosine":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not norms.all():
        raise KerasvisionError(
            f"`{name}` has rows of zeros, the first is row {int(np.argmin(norms))}: they have no cosine. "
            f'Take distance="euclidean", or look why the network gives zeros.'
        )
    return vectors / norms


def from_squares(squares: np.ndarray, distance: Distance) -> np.ndarray:
    """Return distances from the squared Euclidean ones of what `comparable` gave."""
    squares = np.maximum(squares, 0.0)
    if distance == "euclidean":
        return np.sqrt(squares)
    # Between unit vectors half the square is 1 less the cosine.
    return squares / 2 if distance == "cosine" else squares


def check_distance(distance: str) -> None:
    """Refuse a distance that is not known."""
    if distance not in DISTANCES:
        raise KerasvisionError(f"`distance` must be one of {', '.join(DISTANCES)}. Received: {distance!r}.")


def checked_indices(name: str, indices, count: int) -> np.ndarray:
    """Return (P,) int64 indices of `count` rows, or say which is none."""
    indices = np.asarray(indices)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise KerasvisionError(f"`{name}` must be (P,) integers. Received: {indices.shape} {indices.dtype}.")
    outside = indices[(indices < 0) | (indices >= count)]
    if outside.size:
        raise KerasvisionError(f"`{name}` must lie in 0..{count - 1}. Received: {outside[0]}.")
    return indices.astype(np.int64)


def checked_identities(name: str, labels, count: int) -> np.ndarray:
    """Return (N,) whole numbers or names, one identity for each of `count` images."""
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise KerasvisionError(
            f"`{name}` must be ({count},) whole numbers or names, one identity an image. "
            f"Received: {labels.shape} {labels.dtype}."
        )
    return labels


class SquaredDistances:
    """Squared Euclidean distances to the same vectors again and again, as one matrix product each time.

    Args:
        vectors: (N, d) float64.

    Attributes:
        tolerance: squares that differ by no more are equal but for rounding, so that of two that are equally
            near none comes out as the nearer one by luck.
    """

    def __init__(self, vectors: np.ndarray):
        # Distances do not change, and rounding errors, which grow with the norm, become small.
        self._centre = vectors.mean(0)
        self.vectors = vectors - self._centre
        self._norms = _norms(self.vectors)
        self.tolerance = 1e-13 * _norms(vectors).max()

    def to(self, others: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """Return (M, columns) float64 from (M, d) `others`, at least 0."""
        others = others - self._centre
        squares = others @ self.vectors[columns].T
        squares *= -2
        squares += self._norms[columns]
        squares += _norms(others)[:, None]
        squares[squares <= self.tolerance] = 0.0
        return squares

    def within(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Return (rows, columns) float64 between the vectors themselves, at least 0."""
        squares = self.vectors[rows] @ self.vectors[columns].T
        squares *= -2
        squares += self._norms[columns]
        squares += self._norms[rows, None]
        squares[squares <= self.tolerance] = 0.0
        return squares


def blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of `count` rows, of as many as fit into memory at `width` distances a row."""
    step = max(1, CELLS_AT_ONCE // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def _norms(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", vectors, vectors)
