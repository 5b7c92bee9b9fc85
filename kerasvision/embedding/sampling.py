"""Batches of P identities with K images each, as an order of indices that a stream of images follows."""

from typing import Literal

import numpy as np

from kerasvision.errors import DataError


def identity_order(
    labels,
    *,
    identities: int,
    per_identity: int,
    seed: int = 0,
    epoch: int = 0,
    few: Literal["repeat", "leave_out"] = "repeat",
) -> np.ndarray:
    """Return the order of an epoch in which each batch has P different identities and K images of each.

    The images of an identity are shuffled and cut into groups of K; the last group is filled with other
    images of the same identity, so that an image comes once or twice. Groups are then dealt out to the
    batches, one identity never twice into one batch. An identity with more groups than there are batches
    gives only that many, others than in other epochs, and the up to P - 1 groups that fill no batch are left
    out. The order depends on nothing but the arguments, and costs a few numbers an image: the images
    themselves are read as they come.

    Args:
        labels: (N,) integers, the identity of each image.
        identities: P, at least 2.
        per_identity: K, at least 2; without a second image of an identity there is no positive.
        seed: of the run, a whole number from 0.
        epoch: counted from 0.
        few: what becomes of identities with fewer than K images: `"repeat"` shows their images several times
            in a batch (a repeated image is a positive at distance 0, which teaches nothing, but its negatives
            do); `"leave_out"` never shows them.

    Returns:
        (batches * P * K,) int64 indices; each P * K in a row are a batch, images of an identity side by side.

    Raises:
        DataError: numbers out of range, or fewer than P identities that can be shown.

    Hermans, Beyer, Leibe, In defense of the triplet loss, 2017, section 2 (P x K batches).

    >>> order = identity_order([0, 0, 0, 1, 1, 2, 2], identities=2, per_identity=2, seed=1)
    >>> order.size % 4
    0
    """
    labels = _checked(labels, identities, per_identity, seed, epoch)
    random = np.random.default_rng((seed, epoch))
    kinds, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    shown = np.flatnonzero(sizes >= (per_identity if few == "leave_out" else 1))
    if few not in ("repeat", "leave_out"):
        raise DataError(f"`few` must be 'repeat' or 'leave_out'. Received: {few!r}.")
    if len(shown) < identities:
        raise DataError(
            f"A batch needs {identities} identities, but {len(shown)} of {len(kinds)} can be shown "
            f"(few={few!r}, {per_identity} images each). Pass at most `identities={len(shown)}`, a smaller "
            "`per_identity`, or few='repeat'."
        )
    groups = -(-sizes[shown] // per_identity)
    batches = _batches(groups, identities)
    members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(sizes)[:-1])
    dealt = np.concatenate(
        [
            _groups_of(members[shown[place]], per_identity, random)[:batches]
            for place in random.permutation(len(shown))
        ]
    )
    # Groups of one identity are in a row, at most one a batch: dealt out in turn they never meet.
    table = dealt[: batches * identities].reshape(identities, batches, per_identity)
    return table[:, random.permutation(batches)].swapaxes(0, 1).reshape(-1)


def _groups_of(images: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Return (groups, size) of shuffled images, the last group filled up with images of the others."""
    images = random.permutation(images)
    missing = -len(images) % size
    # The first ones are in other groups, unless there are too few images to go round.
    return np.concatenate([images, np.resize(images, missing)]).reshape(-1, size)


def _batches(groups: np.ndarray, identities: int) -> int:
    """Return the most batches that can be filled with no identity twice in one."""
    low, high = 1, max(1, int(groups.sum()) // identities)
    while low < high:
        middle = (low + high + 1) // 2
        enough = np.minimum(groups, middle).sum() >= middle * identities
        low, high = (middle, high) if enough else (low, middle - 1)
    return low


def _checked(labels, identities: int, per_identity: int, seed: int, epoch: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"`labels` must be (N,) integers. Received: {labels.shape} {labels.dtype}.")
    least = {"identities": (identities, 2), "per_identity": (per_identity, 2), "seed": (seed, 0)}
    for name, (value, at_least) in {**least, "epoch": (epoch, 0)}.items():
        if not isinstance(value, int | np.integer) or value < at_least:
            raise DataError(f"`{name}` must be a whole number from {at_least}. Received: {value!r}.")
    return labels
