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


def epoch_order(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order of `count` images in an epoch, (count,) int64."""
    return np.random.default_rng((seed, epoch)).permutation(count)


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
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (images uint8, labels int32, weights float32) from batch number `start` on, all of one size."""
    indices, weights = padded_batches(order, share)
    loaded = data.iterate(split, batch_size=share.count, order=indices[start:].reshape(-1))
    for (images, labels), weight in zip(loaded, weights[start:], strict=True):
        yield images, labels, weight
