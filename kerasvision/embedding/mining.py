"""Which triplets of a batch to learn from. Memory grows with the pairs of a batch, never with its triplets.

All functions take the labels of the batch, most also the distances between its samples, and return
`Triplets`. Nothing flows back through the choice. A sample without another of its identity, or without one of
another, is in no triplet as an anchor; where there is no triplet at all the result is empty.
"""

from typing import NamedTuple

import tensorflow as tf

from kerasvision.embedding.label_groups import (
    checked_distances,
    checked_labels,
    different,
    grouped,
    positive_slots,
)
from kerasvision.errors import KerasvisionError

# Up to so many positives each, one look at all distances a positive is quicker than sorting them: a look
# takes a fortieth of the sort at 1,024 samples and a tenth at 128 (two cores).
FEW_POSITIVES = 16
# Wu et al.: nearer negatives count as if they were so far, farther ones do not count.
NEAREST, FARTHEST = 0.5, 1.4


class Triplets(NamedTuple):
    """Indices into a batch.

    Attributes:
        anchors: (t,) int32.
        positives: (t,) int32, of the anchor's identity, but not the anchor.
        negatives: (t,) int32, of another identity.
    """

    anchors: tf.Tensor
    positives: tf.Tensor
    negatives: tf.Tensor


def count_triplets(labels):
    """Return how many valid triplets a batch has, () int64, without listing them.

    Args:
        labels: (b,) integers.

    >>> int(count_triplets([0, 0, 0, 1]))
    6
    """
    return tf.reduce_sum(_triplets_of_each(grouped(checked_labels(labels))))


def all_triplets(labels, *, start: int = 0, count: int | None = None) -> Triplets:
    """Return the valid triplets of a batch, or a stretch of them.

    They are worked out from their numbers, so that a stretch needs memory for itself only. To take the loss
    over all of them do not list them: `active_triplets` and `make_loss("triplet", mining="all")` need none.

    Args:
        labels: (b,) integers.
        start: number of the first one, in the order of the anchors.
        count: how many at most; None: all that follow.

    Raises:
        KerasvisionError: `start` or `count` below 0.

    >>> [index.numpy().tolist() for index in all_triplets([7, 7, 8])]
    [[0, 1], [1, 0], [2, 2]]
    """
    for name, value in (("start", start), ("count", count)):
        if isinstance(value, int) and value < 0:
            raise KerasvisionError(f"`{name}` must be at least 0. Received: {value}.")
    groups = grouped(checked_labels(labels))
    ends = tf.cumsum(_triplets_of_each(groups))
    total = ends[-1] if ends.shape[0] != 0 else tf.constant(0, tf.int64)
    start = tf.cast(start, tf.int64)
    numbers = tf.range(start, total if count is None else tf.minimum(total, start + tf.cast(count, tf.int64)))
    anchors = tf.searchsorted(ends, numbers, side="right")
    number = numbers - tf.gather(tf.concat([[tf.constant(0, tf.int64)], ends], 0), anchors)
    others = tf.cast(tf.gather(groups.others, anchors), tf.int64)
    positive, negative = (tf.cast(x, tf.int32) for x in (number // others, number % others))
    return Triplets(anchors, groups.positive(anchors, positive), groups.negative(anchors, negative))


def random_triplets(labels, *, seed) -> Triplets:
    """Return each anchor with each of its positives, and a random negative.

    Args:
        labels: (b,) integers.
        seed: (2,) integers; the same seed gives the same triplets.
    """
    labels = checked_labels(labels)
    groups, slots = grouped(labels), positive_slots(labels)
    anchors = _anchors_of(slots)
    others = groups.others[:, None]
    drawn = tf.cast(_uniform(tf.shape(slots.real), seed) * tf.cast(others, tf.float32), tf.int32)
    return _kept(anchors, slots.indices, groups.negative(anchors, drawn), slots.real & (others > 0))


def semi_hard(labels, distances) -> Triplets:
    """Return each anchor with each of its positives, and the nearest negative beyond that positive.

    Where no negative is farther than the positive, the farthest negative there is is taken: it breaks the
    order least. Equal distances are not beyond.

    Args:
        labels: (b,) integers.
        distances: (b, b) float, of any kind.

    Schroff et al., FaceNet, 2015, section 3.2: all anchor-positive pairs, semi-hard negatives.
    """
    labels, distances = _checked(labels, distances)
    slots, apart = positive_slots(labels), different(labels)
    reach = tf.gather(distances, slots.indices, batch_dims=1)
    negatives = tf.cond(
        tf.shape(reach)[1] <= FEW_POSITIVES,
        lambda: _beyond_by_looking(distances, apart, reach),
        lambda: _beyond_by_sorting(distances, apart, reach),
    )
    kept = slots.real & tf.reduce_any(apart, 1, keepdims=True)
    return _kept(_anchors_of(slots), slots.indices, negatives, kept)


def batch_hard(labels, distances) -> Triplets:
    """Return each anchor with its farthest positive and its nearest negative.

    Args:
        labels: (b,) integers.
        distances: (b, b) float, of any kind.

    Hermans, Beyer, Leibe, In defense of the triplet loss, 2017, equation 5.
    """
    labels, distances = _checked(labels, distances)
    slots, apart = positive_slots(labels), different(labels)
    reach = tf.gather(distances, slots.indices, batch_dims=1)
    farthest = tf.argmax(_where(slots.real, reach, -1.0), 1, output_type=tf.int32)
    nearest = tf.argmin(_where(apart, distances, distances.dtype.max), 1, output_type=tf.int32)
    kept = tf.reduce_any(slots.real, 1) & tf.reduce_any(apart, 1)
    anchors = tf.range(tf.size(labels))
    return _kept(anchors, tf.gather(slots.indices, farthest, batch_dims=1), nearest, kept)


def distance_weighted(
    labels, distances, *, dimensions: int, seed, nearest: float = NEAREST, farthest: float = FARTHEST
) -> Triplets:
    """Return each anchor with each of its positives, and a negative drawn so that all distances occur alike.

    On a sphere of many dimensions nearly all points are about 1.41 apart; a negative is drawn by the inverse
    of how often its distance is. Anchors all of whose negatives are beyond `farthest` draw from all of them.

    Args:
        labels: (b,) integers.
        distances: (b, b) float, Euclidean, between embeddings of length 1.
        dimensions: of the embedding, at least 2.
        seed: (2,) integers; the same seed gives the same triplets.
        nearest: negatives nearer than this are as likely as if they were so far, so that noise does not lead.
        farthest: negatives at this distance or beyond are not drawn, below 2.

    Raises:
        KerasvisionError: `dimensions` below 2, or not 0 < `nearest` < `farthest` < 2.

    Wu, Manmatha, Smola, Krähenbühl, Sampling matters in deep embedding learning, 2017, section 4 and the
    cut-offs of its experiments.
    """
    if not 0 < nearest < farthest < 2 or dimensions < 2:
        raise KerasvisionError(
            "`dimensions` must be at least 2, and 0 < `nearest` < `farthest` < 2, as distances between "
            f"embeddings of length 1 are. Received: {dimensions}, {nearest}, {farthest}."
        )
    labels, distances = _checked(labels, distances)
    slots, apart = positive_slots(labels), different(labels)
    drawn = tf.cast(_uniform(tf.shape(slots.real), seed), distances.dtype)
    reached = tf.cumsum(_rarity(distances, apart, dimensions, nearest, farthest), 1)
    negatives = tf.searchsorted(reached, drawn * reached[:, -1:], side="right")
    negatives = tf.minimum(negatives, tf.size(labels) - 1)
    kept = slots.real & tf.reduce_any(apart, 1, keepdims=True)
    return _kept(_anchors_of(slots), slots.indices, negatives, kept)


def _checked(labels, distances):
    distances = tf.stop_gradient(checked_distances(distances))
    return checked_labels(labels, distances), distances


def _triplets_of_each(groups):
    """Return in how many triplets each sample is the anchor, (b,) int64."""
    return tf.cast(groups.size - 1, tf.int64) * tf.cast(groups.others, tf.int64)


def _anchors_of(slots):
    return tf.broadcast_to(tf.range(tf.shape(slots.real)[0])[:, None], tf.shape(slots.real))


def _kept(anchors, positives, negatives, kept) -> Triplets:
    return Triplets(*(tf.boolean_mask(x, kept) for x in (anchors, positives, negatives)))


def _uniform(shape, seed):
    # The same numbers on every kind of device.
    return tf.random.stateless_uniform(shape, tf.cast(seed, tf.int64), alg="philox")


def _where(condition, values, otherwise):
    return tf.where(condition, values, tf.constant(otherwise, values.dtype))


def _beyond_by_looking(distances, apart, reach):
    """Return (b, m), the nearest negative beyond each reach, or the farthest; one look at all a column."""
    most = distances.dtype.max
    others = _where(apart, distances, most)
    farthest = tf.argmax(_where(apart, distances, -1.0), 1, output_type=tf.int32)

    def look(column):
        found = tf.argmin(_where(others > column[:, None], others, most), 1, output_type=tf.int32)
        beyond = tf.gather(others, found, batch_dims=1)
        return tf.where((beyond > column) & (beyond < most), found, farthest)

    # One after the other, so that memory does not grow with the columns.
    columns = tf.transpose(reach)
    return tf.transpose(tf.map_fn(look, columns, fn_output_signature=tf.int32, parallel_iterations=1))


def _beyond_by_sorting(distances, apart, reach):
    """Return the same by sorting each row once and searching it."""
    # top_k gives the values and their places at once; sort would have to be followed by a gather.
    fallen, order = tf.math.top_k(-_where(apart, distances, distances.dtype.max), tf.shape(distances)[1])
    places = tf.searchsorted(-fallen, reach, side="right")
    last = tf.reduce_sum(tf.cast(apart, tf.int32), 1, keepdims=True) - 1
    return tf.gather(order, tf.maximum(tf.minimum(places, last), 0), batch_dims=1)


def _rarity(distances, apart, dimensions: int, nearest: float, farthest: float):
    """Return (b, b), how seldom a distance is between random points on the sphere; 0 for positives."""
    held = tf.clip_by_value(distances, nearest, farthest)
    logs = (2.0 - dimensions) * tf.math.log(held)
    logs -= 0.5 * (dimensions - 3.0) * tf.math.log1p(-0.25 * tf.square(held))
    allowed = apart & (distances < farthest)
    top = tf.reduce_max(_where(allowed, logs, logs.dtype.min), 1, keepdims=True)
    weights = tf.where(allowed, tf.exp(tf.minimum(logs - top, 0.0)), tf.zeros_like(logs))
    some = tf.reduce_any(allowed, 1, keepdims=True)
    return tf.where(some, weights, tf.cast(apart, weights.dtype))
