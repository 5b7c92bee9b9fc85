"""Batches that are hard to get right, and losses and mining as slow loops over pairs and triplets."""

import numpy as np

RANDOM = np.random.default_rng(7)


def _drawn(*sizes: int, dimensions: int = 5, grid: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return labels in a random order, so many of each, and embeddings; on a grid many are equally far."""
    labels = RANDOM.permutation(np.repeat(RANDOM.permutation(90)[: len(sizes)] - 40, sizes)).astype(np.int32)
    shape = (len(labels), dimensions)
    values = RANDOM.integers(-1, 2, shape) + 0.5 if grid else RANDOM.normal(0, 0.5, shape)
    return labels, values.astype(np.float32)


def _duplicated() -> tuple[np.ndarray, np.ndarray]:
    """Return a batch where images are repeated within their identity, and in another one."""
    labels, embeddings = _drawn(4, 4, 4)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    embeddings[members[0][1]] = embeddings[members[0][0]]
    embeddings[members[1][0]] = embeddings[members[0][0]]
    return labels, embeddings


# name -> labels (b,) and embeddings (b, d)
BATCHES = {
    "usual": _drawn(3, 3, 3, 3),
    "ties": _drawn(4, 3, 3, 2, grid=True, dimensions=3),
    "single samples": _drawn(4, 2, 1, 1, 1),
    "one identity": _drawn(6),
    "all single": _drawn(1, 1, 1, 1),
    "one sample": _drawn(1),
    "duplicates": _duplicated(),
    "collapsed": (_drawn(3, 3, 2)[0], np.full((8, 4), 0.5, np.float32)),
    "zero": (_drawn(3, 3)[0], np.zeros((6, 4), np.float32)),
    # More positives than mining looks at one by one.
    "many positives": _drawn(25, 20, 1),
    "many ties": _drawn(22, 19, 2, grid=True, dimensions=2),
    "one large identity": _drawn(24),
}


def pairs(labels: np.ndarray) -> tuple[list, list]:
    """Return all ordered pairs of one identity, and of two."""
    places = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j]
    alike = [(i, j) for i, j in places if labels[i] == labels[j]]
    return alike, [pair for pair in places if pair not in set(alike)]


def triplets(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """Return all valid triplets."""
    count = range(len(labels))
    return [
        (a, p, n)
        for a in count
        for p in count
        for n in count
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]
    ]


def negatives_of(labels: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Return (anchor, positive) -> all negatives, for all that have some."""
    found: dict[tuple[int, int], list[int]] = {}
    for a, p, n in triplets(labels):
        found.setdefault((a, p), []).append(n)
    return found


def semi_hard(labels: np.ndarray, distances: np.ndarray) -> dict[tuple[int, int], float]:
    """Return (anchor, positive) -> distance of the negative: the nearest one beyond, or the farthest."""
    wanted = {}
    for (a, p), negatives in negatives_of(labels).items():
        beyond = [distances[a, n] for n in negatives if distances[a, n] > distances[a, p]]
        wanted[a, p] = min(beyond) if beyond else max(distances[a, n] for n in negatives)
    return wanted


def batch_hard(labels: np.ndarray, distances: np.ndarray) -> dict[int, tuple[float, float]]:
    """Return anchor -> distances of its farthest positive and its nearest negative."""
    wanted: dict[int, tuple[float, float]] = {}
    for a, p, n in triplets(labels):
        positive, negative = wanted.get(a, (-np.inf, np.inf))
        wanted[a] = (max(positive, distances[a, p]), min(negative, distances[a, n]))
    return wanted


def triplet_loss(positive: float, negative: float, margin) -> float:
    """Return the loss of one triplet."""
    if margin == "soft":
        return np.log1p(np.exp(float(positive) - float(negative)))
    return max(0.0, float(positive) - float(negative) + margin)


def mean(values) -> float:
    """Return the mean, 0 of nothing."""
    values = list(values)
    return float(np.mean(values)) if values else 0.0


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings of length 1 in float64; those of length 0 stay."""
    embeddings = embeddings.astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(lengths > 0, lengths, 1)


def multi_similarity(labels, embeddings, *, alpha=2.0, beta=50.0, base=0.5, epsilon=0.1) -> list[float]:
    """Return the loss of each anchor."""
    likeness, losses = unit(embeddings) @ unit(embeddings).T, []
    for a in range(len(labels)):
        positives = [likeness[a, j] for j in range(len(labels)) if j != a and labels[j] == labels[a]]
        negatives = [likeness[a, j] for j in range(len(labels)) if labels[j] != labels[a]]
        if epsilon is not None:
            positives, negatives = (
                [s for s in positives if negatives and s - epsilon < max(negatives)],
                [s for s in negatives if positives and s + epsilon > min(positives)],
            )
        pull = np.log1p(sum(np.exp(-alpha * (s - base)) for s in positives)) / alpha
        losses.append(pull + np.log1p(sum(np.exp(beta * (s - base)) for s in negatives)) / beta)
    return losses


def circle(labels, embeddings, *, margin=0.4, scale=80.0) -> list[float]:
    """Return the loss of each anchor, 0 without a positive or a negative."""
    likeness, losses = unit(embeddings) @ unit(embeddings).T, [0.0] * len(labels)
    sums = [[[], []] for _ in labels]
    for kind, listed in enumerate(pairs(labels)):
        for i, j in listed:
            s = min(likeness[i, j], 1.0)
            if kind == 0:
                sums[i][0].append(-scale * max(1 + margin - s, 0) * (s - (1 - margin)))
            else:
                sums[i][1].append(scale * max(s + margin, 0) * (s - margin))
    for a, (positives, negatives) in enumerate(sums):
        if positives and negatives:
            exponent = np.logaddexp.reduce(positives) + np.logaddexp.reduce(negatives)
            losses[a] = np.logaddexp(0, exponent)
    return losses
