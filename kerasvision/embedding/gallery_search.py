"""Find the nearest people among many photos, exactly, as one matrix product in parts that fit the caches."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from kerasvision.data.loading import usable_cores
from kerasvision.errors import KerasvisionError, require
from kerasvision.metrics.embedding_distances import Distance, from_squares

Search = Literal["auto", "numpy", "faiss"]
LARGE = 100_000  # photos from which on "auto" takes faiss where it is installed
_QUERIES, _CELLS = 256, 1 << 19  # questions at a time; distances at a time: 2 MB a core, which caches hold
_searching = Lock()
_GROUPS = 4096  # of photos, of each of which only the nearest distance is kept


class Found(NamedTuple):
    """The nearest people of one question, the nearest first.

    Attributes:
        owners: (k,) int64.
        rows: (k,) int64, the nearest photo of each.
        distances: (k,) float64.
    """

    owners: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


class NearestPeople:
    """Exact search for the people whose nearest photo is nearest.

    The product of questions and photos, in float32, gives the nearest distance of each group of photos; only
    the photos of groups that can hold one of the k nearest people are then measured, in float64. Rounding
    errors of the product are bounded and allowed for, so that the answer is that of float64.

    Args:
        vectors: (n, d) float32, n at least 1.
        owners: (n,) int64, rising.
        distance: between embeddings.
    """

    def __init__(self, vectors: np.ndarray, owners: np.ndarray, distance: Distance):
        self.distance, self.owners = distance, owners
        self.vectors = unit(vectors) if distance == "cosine" else vectors
        self._norms = np.einsum("nd,nd->n", self.vectors, self.vectors)
        self._longest = float(np.sqrt(self._norms.max()))
        people = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
        # Groups are whole people, so that the k nearest groups hold k people.
        group = people // max(1, len(owners) // _GROUPS)
        self._starts = people[np.flatnonzero(np.append(True, group[1:] != group[:-1]))]

    def find(self, questions: np.ndarray, k: int) -> list[Found]:
        """Return the k nearest people of each question (q, d) float32; all, where there are fewer."""
        questions = unit(questions) if self.distance == "cosine" else questions
        return [
            one
            for start in range(0, len(questions), _QUERIES)
            for one in self._find(questions[start : start + _QUERIES], k)
        ]

    def _find(self, questions: np.ndarray, k: int) -> list[Found]:
        nearest = self._nearest_of_groups(questions)
        if k >= nearest.shape[1]:
            chosen = np.ones(nearest.shape, bool)
        else:
            bound = np.partition(nearest, k - 1, axis=1)[:, k - 1]
            chosen = nearest <= (bound + self._slack(questions))[:, None]
        ends = np.append(self._starts[1:], len(self.owners))
        return [
            self._pick(question, _ranges(self._starts[groups], ends[groups]), k)
            for question, groups in zip(questions, chosen, strict=True)
        ]

    def _nearest_of_groups(self, questions: np.ndarray) -> np.ndarray:
        """Return (q, groups) float32, the lowest squared distance less the question's own square."""
        nearest = np.empty((len(questions), len(self._starts)), np.float32)
        doubled = np.float32(-2) * questions

        def measure(first: int, after: int) -> None:
            stop = self._starts[after] if after < len(self._starts) else len(self.owners)
            rows = slice(self._starts[first], stop)
            apart = doubled @ self.vectors[rows].T
            apart += self._norms[rows]
            starts = self._starts[first:after] - rows.start
            np.minimum.reduceat(apart, starts, axis=1, out=nearest[:, first:after])

        # Every core takes parts of its own, products and minima; a product on all cores at once would leave
        # them waiting for each other.
        cores = usable_cores()
        most = max(1, min(_CELLS // len(questions), -(-len(self.owners) // cores)))
        with _one_thread_each(), ThreadPoolExecutor(cores, "kerasvision-gallery") as pool:
            for _ in pool.map(lambda part: measure(*part), self._parts(most)):
                pass
        return nearest

    def _parts(self, most: int) -> Iterator[tuple[int, int]]:
        """Yield (first, after) groups that have about `most` photos together."""
        first = 0
        while first < len(self._starts):
            after = max(first + 1, int(np.searchsorted(self._starts, self._starts[first] + most)))
            yield first, after
            first = after

    def _slack(self, questions: np.ndarray) -> np.ndarray:
        """Return (q,) twice the bound of the rounding errors of `_nearest_of_groups`."""
        lengths = np.linalg.norm(questions, axis=1)
        terms = questions.shape[1] + 2
        unit_error = terms * np.finfo(np.float32).eps / 2
        return 2 * unit_error * (2 * lengths * self._longest + self._longest**2)

    def _pick(self, question: np.ndarray, rows: np.ndarray, k: int) -> Found:
        """Return the k nearest people among the owners of `rows`."""
        step = max(1, _CELLS // len(question))
        parts = [self._squares(question, rows[start : start + step]) for start in range(0, len(rows), step)]
        squares = np.concatenate(parts)
        order = np.lexsort((rows, squares))
        people, first = np.unique(self.owners[rows[order]], return_index=True)
        best = np.sort(first)[:k]
        places = order[best]
        return Found(self.owners[rows[places]], rows[places], from_squares(squares[places], self.distance))

    def _squares(self, question: np.ndarray, rows: np.ndarray) -> np.ndarray:
        apart = self.vectors[rows].astype(np.float64) - question
        return np.einsum("nd,nd->n", apart, apart)


class FaissNearestPeople(NearestPeople):
    """The same by the exact index of faiss, which keeps another copy of the vectors.

    Args:
        vectors: as for `NearestPeople`.
        owners: as for `NearestPeople`.
        distance: as for `NearestPeople`.
        faiss: the module.
    """

    def __init__(self, vectors: np.ndarray, owners: np.ndarray, distance: Distance, faiss):
        super().__init__(vectors, owners, distance)
        self._index = faiss.IndexFlatL2(vectors.shape[1])
        self._index.add(np.ascontiguousarray(self.vectors))

    def _find(self, questions: np.ndarray, k: int) -> list[Found]:
        """Ask for more and more photos, until they are of k people and some, as several may be of one."""
        people = self.owners[-1] + 1
        wanted, count = min(k + 8, people), min(4 * k + 16, len(self.owners))
        while True:
            _, rows = self._index.search(np.ascontiguousarray(questions), count)
            fewest = min(len(np.unique(self.owners[one])) for one in rows)
            if fewest >= wanted or count == len(self.owners):
                return [self._pick(question, one, k) for question, one in zip(questions, rows, strict=True)]
            count = min(4 * count, len(self.owners))


def make_search(vectors: np.ndarray, owners: np.ndarray, distance: Distance, search: Search) -> NearestPeople:
    """Return what finds the nearest people, by numpy or faiss.

    Raises:
        MissingPackageError: `search="faiss"`, and it is not installed.
    """
    check_search(search)
    faiss = None
    if search == "faiss":
        faiss = require("faiss", extra="faiss", purpose='`search="faiss"`')
    elif search == "auto" and len(owners) >= LARGE:
        faiss = _installed("faiss")
    if faiss is None:
        return NearestPeople(vectors, owners, distance)
    return FaissNearestPeople(vectors, owners, distance, faiss)


def check_search(search: str) -> None:
    """Refuse what is no way to search."""
    if search not in ("auto", "numpy", "faiss"):
        raise KerasvisionError(f'`search` must be "auto", "numpy" or "faiss". Received: {search!r}.')


@contextmanager
def _one_thread_each():
    """Keep matrix products to the thread that asks for them, one search at a time."""
    with _searching, _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return float32 vectors (n, d) of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)


def _installed(name: str):
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


def _ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return all numbers from each start to before its end."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
