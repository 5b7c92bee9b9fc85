"""Which images make up which batch: a pure function of (seed, epoch), the same after an interruption."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """The part of each global batch that this process loads.

    Attributes:
        batch_size: images of a global batch, over all devices of all machines.
        first: where this process' part begins.
        count: how many images it has.
    """

    batch_size: int
    first: int
    count: int


def epoch_order(count: int, *, seed: int, epoch: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the order of the images of an epoch, (count,) int64.

    Args:
        count: number of images, and of places in the epoch.
        seed: of the training.
        epoch: counted from 0.
        weights: (count,) how often each image is wanted, compared with the others; it comes as often as its
            share of the places says, rounded down or up by chance. None: each once.

    Example:
        >>> sorted(epoch_order(4, seed=0, epoch=0, weights=np.array([2, 1, 0.5, 0.5])).tolist())[:3]
        [0, 0, 1]
    """
    rng = np.random.default_rng((seed, epoch))
    if weights is None:
        return rng.permutation(count)
    shares = np.cumsum(np.asarray(weights, np.float64)) / np.sum(weights) * count
    places = np.minimum(np.searchsorted(shares, np.arange(count) + rng.random(), side="right"), count - 1)
    return rng.permutation(places)


def padded_batches(order: np.ndarray, share: Share) -> tuple[np.ndarray, np.ndarray]:
    """Cut an order into batches of one size, so that the last one needs no second graph.

    The last batch is filled up with its own images again, at weight 0: filling up with black images would
    spoil the statistics of BatchNorm and what MixUp mixes in.

    Returns:
        Indices (batches, share.count) and weights of the same shape, float32, 0 or 1.
    """
    batches = -(-len(order) // share.batch_size)
    last = order[(batches - 1) * share.batch_size :]
    filled = np.concatenate([order, np.resize(last, batches * share.batch_size - len(order))])
    weights = (np.arange(len(filled)) < len(order)).astype(np.float32)
    part = slice(share.first, share.first + share.count)
    shape = (batches, share.batch_size)
    return filled.reshape(shape)[:, part], weights.reshape(shape)[:, part]


def iterate(
    data, split: str, order: np.ndarray, share: Share, *, start: int = 0
) -> Iterator[tuple[np.ndarray, object, np.ndarray]]:
    """Yield (images uint8, labels, weights float32) from batch number `start` on, all of one size.

    Labels are what `data.iterate` gives: (b,) int32, or for detection a dictionary of arrays.
    """
    indices, weights = padded_batches(order, share)
    loaded = data.iterate(split, batch_size=share.count, order=indices[start:].reshape(-1))
    for (images, labels), weight in zip(loaded, weights[start:], strict=True):
        yield images, labels, weight
