"""What all pairs of some embeddings look like: how far apart they are, which are worst, and a map of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kerasvision.metrics.embedding_distances import SquaredDistances, blocks, comparable, from_squares
from kerasvision.report import DistanceHistogram, EmbeddingMap

BINS = 60
CANDIDATES = 400  # pairs of each kind from which those are chosen that show different identities
WIDEST = {"euclidean": 2.0, "squared": 4.0, "cosine": 2.0}  # between embeddings of length 1
FEWEST_FOR_TSNE, PERPLEXITY = 12, 30.0


@dataclass(frozen=True)
class Pair:
    """Two images by their indices, and the distance between their embeddings."""

    first: int
    second: int
    distance: float


@dataclass(frozen=True, eq=False)
class LookedAt:
    """What was found in one walk over all pairs.

    Attributes:
        nearest: pairs of two identities, the nearest first.
        farthest: pairs of one identity, the farthest first.
        histogram: of the distances of both kinds.
    """

    nearest: tuple[Pair, ...]
    farthest: tuple[Pair, ...]
    histogram: DistanceHistogram


def look_at_pairs(embeddings: np.ndarray, labels: np.ndarray, *, distance: str, most: int = 8) -> LookedAt:
    """Walk over all pairs of embeddings, in memory that does not grow with their number.

    Args:
        embeddings: (n, d) float.
        labels: (n,) int, identities.
        distance: "euclidean", "squared" or "cosine".
        most: pairs of each kind that are wanted; of different identities, as far as there are any.
    """
    vectors = comparable(embeddings, distance)
    edges = np.linspace(0.0, _widest(vectors, distance), BINS + 1)
    counts = {same: np.zeros(BINS, np.int64) for same in (True, False)}
    kept = {same: np.zeros((0, 3)) for same in (True, False)}
    for first, second, apart in _all_pairs(vectors, distance):
        alike = labels[first] == labels[second]
        for same in (True, False):
            chosen = alike == same
            values = apart[chosen]
            counts[same] += np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
            rows = np.stack([first[chosen], second[chosen], values], 1)
            kept[same] = _worst(np.concatenate([kept[same], rows]), same)
    return LookedAt(
        nearest=_varied(kept[False], labels, most),
        farthest=_varied(kept[True], labels, most),
        histogram=DistanceHistogram(edges, *(counts[same] for same in (True, False))),
    )


def _widest(vectors: np.ndarray, distance: str) -> float:
    norms = np.linalg.norm(vectors, axis=1)
    if np.allclose(norms, 1.0, atol=1e-3):
        return WIDEST[distance]
    return float(from_squares(np.array([(2 * norms.max()) ** 2]), distance)[0]) or 1.0


def _all_pairs(vectors: np.ndarray, distance: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    squares = SquaredDistances(vectors)
    for rows in blocks(len(vectors), len(vectors)):
        apart = from_squares(squares.within(rows), distance)
        first, second = np.nonzero(np.arange(rows.start, rows.stop)[:, None] < np.arange(len(vectors)))
        yield first + rows.start, second, apart[first, second]


def _worst(rows: np.ndarray, same: bool) -> np.ndarray:
    order = np.argsort(-rows[:, 2] if same else rows[:, 2], kind="stable")
    return rows[order[:CANDIDATES]]


def _varied(rows: np.ndarray, labels: np.ndarray, most: int) -> tuple[Pair, ...]:
    """Return pairs of different identities first, then others; the order of distances within both."""
    seen: dict[tuple, int] = {}
    ranked = []
    for place, (first, second, apart) in enumerate(rows):
        who = tuple(sorted((int(labels[int(first)]), int(labels[int(second)]))))
        seen[who] = seen.get(who, 0) + 1
        ranked.append((seen[who], place, Pair(int(first), int(second), float(apart))))
    chosen = sorted(sorted(ranked, key=lambda item: item[:2])[:most], key=lambda item: item[1])
    return tuple(pair for _, _, pair in chosen)


def make_map(
    embeddings: np.ndarray, labels: np.ndarray, class_names, names, *, distance: str, seed: int
) -> EmbeddingMap:
    """Flatten embeddings to two dimensions, by t-SNE, or by principal axes where there are few.

    Args:
        embeddings: (n, d) float.
        labels: (n,) int, indices into `class_names`.
        class_names: of all identities.
        names: of the n images.
        distance: between the embeddings.
        seed: of t-SNE.

    van der Maaten, Hinton, Visualizing data using t-SNE, 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    vectors = comparable(embeddings, distance)
    if len(vectors) < FEWEST_FOR_TSNE:
        solved = PCA(min(2, *vectors.shape), random_state=seed)
        points = solved.fit_transform(vectors)
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
        shown = float(np.nan_to_num(solved.explained_variance_ratio_).sum())
        method = f"the two principal axes (PCA), which hold {shown:.0%} of the variance"
    else:
        perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
        # Its threads wait for each other a thousand times: 30 points took 11 s on a busy machine, not 0.3.
        with threadpool_limits(1):
            points = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(vectors)
        method = f"t-SNE with perplexity {perplexity:.3g}; how far apart groups are means nothing"
    identities, places = np.unique(labels, return_inverse=True)
    return EmbeddingMap(
        points=np.asarray(points, np.float32),
        labels=places,
        identities=tuple(class_names[i] for i in identities),
        names=tuple(names),
        method=method,
    )
