"""The triplet loss over all valid triplets of a batch, which are counted and summed but never listed."""

from typing import Literal, NamedTuple

import tensorflow as tf

from kerasvision.embedding.label_groups import (
    Slots,
    checked_distances,
    checked_labels,
    different,
    positive_slots,
)
from kerasvision.embedding.mining import FEW_POSITIVES
from kerasvision.errors import KerasvisionError

Margin = float | Literal["soft"]


class ActiveTriplets(NamedTuple):
    """What the valid triplets of each anchor add up to.

    Attributes:
        loss: (b,) float, sum of their losses; gradients flow through it.
        active: (b,) int64, how many have a loss above 0; all of them with the soft margin.
        valid: (b,) int64, how many there are.
    """

    loss: tf.Tensor
    active: tf.Tensor
    valid: tf.Tensor


def active_triplets(labels, distances, *, margin: Margin = 0.2) -> ActiveTriplets:
    """Sum the triplet loss over all valid triplets of a batch, anchor by anchor.

    Memory grows with b * b. So does time, times the positives of an anchor; from 17 positives each row is
    sorted instead (with a margin that is a number).

    Args:
        labels: (b,) integers.
        distances: (b, b) float, of any kind.
        margin: in the unit of the distances, above 0: the loss is max(0, positive - negative + margin); or
            `"soft"`: log(1 + exp(positive - negative)).

    Raises:
        KerasvisionError: shapes that do not fit, or a margin that is not above 0.

    Hermans, Beyer, Leibe, In defense of the triplet loss, 2017, equation 6 ("batch all") and section 2.

    >>> found = active_triplets([0, 0, 1], tf.constant([[0.0, 1, 1], [1, 0, 3], [1, 3, 0]]), margin=0.5)
    >>> found.loss.numpy().tolist(), found.active.numpy().tolist(), found.valid.numpy().tolist()
    ([0.5, 0.0, 0.0], [1, 0, 0], [1, 1, 0])
    """
    check_margin(margin)
    distances = checked_distances(distances)
    labels = checked_labels(labels, distances)
    slots, apart = positive_slots(labels), different(labels)
    positives, negatives = (tf.reduce_sum(tf.cast(kind, tf.int64), 1) for kind in (slots.real, apart))
    loss, active = _summed(distances, slots, apart, margin)
    valid = positives * negatives
    return ActiveTriplets(loss, valid if margin == "soft" else active, valid)


def check_margin(margin: Margin) -> None:
    """Refuse a margin that is neither a number above 0 nor `"soft"`."""
    if margin != "soft" and not (isinstance(margin, int | float) and 0 < margin < float("inf")):
        raise KerasvisionError(f"`margin` must be a number above 0 or 'soft'. Received: {margin!r}.")


def _summed(distances, slots: Slots, apart, margin: Margin):
    """Return the sums of losses (b,) and how many are above 0 (b,)."""

    @tf.custom_gradient
    def summed(distances):
        reach = tf.gather(distances, slots.indices, batch_dims=1)
        by_looking = tf.constant(True) if margin == "soft" else tf.shape(reach)[1] <= FEW_POSITIVES
        # The gradient by the distances is made along the way: (b, b), whatever the number of triplets.
        loss, active, slope = tf.cond(
            by_looking,
            lambda: _by_looking(distances, slots, apart, reach, margin),
            lambda: _by_sorting(distances, slots, apart, reach, 0.0 if margin == "soft" else margin),
        )
        return (loss, active), lambda upstream, _: upstream[:, None] * slope

    return summed(distances)


def _by_looking(distances, slots: Slots, apart, reach, margin: Margin):
    """Compare all negatives with the first positive of each anchor, then with the second, …."""
    zeros = tf.zeros_like(distances[:, 0])

    def look(column, loss, active, slope):
        real = apart & slots.real[:, column][:, None]
        excess = reach[:, column][:, None] - distances
        if margin == "soft":
            losses, slopes = tf.nn.softplus(excess), tf.where(real, tf.sigmoid(excess), 0.0)
        else:
            excess += margin
            real &= excess > 0
            losses, slopes = excess, tf.cast(real, distances.dtype)
        loss += tf.reduce_sum(tf.where(real, losses, 0.0), 1)
        active += tf.reduce_sum(tf.cast(real, tf.int64), 1)
        pulls = tf.reduce_sum(slopes, 1)
        return column + 1, loss, active, _added(slope - slopes, slots.indices[:, column], pulls)

    start = (0, zeros, tf.zeros_like(zeros, tf.int64), tf.zeros_like(distances))
    columns = tf.shape(reach)[1]
    return tf.while_loop(lambda column, *_: column < columns, look, start, parallel_iterations=1)[1:]


def _by_sorting(distances, slots: Slots, apart, reach, margin: float):
    """Sort the negatives of each anchor; those that a positive comes too close to are the first ones."""
    count = tf.shape(distances)[0]
    most = tf.constant(distances.dtype.max, distances.dtype)
    fallen, order = tf.math.top_k(-tf.where(apart, distances, most), count)
    limits = reach + margin
    closer = tf.where(slots.real, tf.searchsorted(-fallen, limits, side="left"), 0)
    # How many positives come too close to the negative at each place: those that get beyond it.
    rows = tf.broadcast_to(tf.range(count)[:, None], tf.shape(closer))
    ends = tf.scatter_nd(tf.stack([rows, closer], -1), tf.ones_like(closer), tf.stack([count, count + 1]))
    beyond = tf.cumsum(ends[:, 1:], 1, reverse=True)
    pulls, pushes = tf.cast(closer, distances.dtype), tf.cast(beyond, distances.dtype)
    near = tf.where(beyond > 0, -fallen, 0.0)
    loss = tf.reduce_sum(tf.where(slots.real, pulls * limits, 0.0), 1) - tf.reduce_sum(pushes * near, 1)
    every = tf.broadcast_to(tf.range(count)[:, None], tf.shape(order))
    slope = tf.scatter_nd(tf.stack([every, order], -1), -pushes, tf.shape(distances))
    slope = tf.tensor_scatter_nd_add(slope, tf.stack([rows, slots.indices], -1), pulls)
    return loss, tf.reduce_sum(tf.cast(closer, tf.int64), 1), slope


def _added(slope, positives, pulls):
    """Add one value to one column of each row."""
    rows = tf.range(tf.shape(slope)[0])
    return tf.tensor_scatter_nd_add(slope, tf.stack([rows, positives], -1), pulls)
