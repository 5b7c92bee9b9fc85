"""Losses of pairs and triplets of embeddings: contrastive, triplet, multi-similarity, circle.

What they are called with is either listed before (pairs with their distances, triplets) or a whole batch of
`labels` (b,) and `embeddings` (b, d). Labels come first, as targets do in Keras.
"""

import tensorflow as tf

from kerasvision.embedding.batch_all import Margin, check_margin
from kerasvision.embedding.distances import checked_embeddings
from kerasvision.embedding.label_groups import checked_distances, checked_labels, different, grouped
from kerasvision.embedding.mining import Triplets
from kerasvision.errors import KerasvisionError


def contrastive_loss(same, distances, *, margin: float = 1.0):
    """Return the loss of each pair: pull together what is the same, push apart what is nearer than a margin.

    Args:
        same: any shape, bool (or 0 and 1), whether the two of a pair are of one identity.
        distances: the same shape, float; Euclidean in the paper.
        margin: in the unit of the distances, above 0; pairs that are not the same need to be so far apart.

    Returns:
        The same shape: distance² / 2 of pairs that are the same, max(0, margin - distance)² / 2 of others.

    Raises:
        KerasvisionError: a margin that is not above 0.

    Hadsell, Chopra, LeCun, Dimensionality reduction by learning an invariant mapping, 2006, equation 4.

    >>> contrastive_loss([True, False], tf.constant([0.5, 0.75])).numpy()
    array([0.125  , 0.03125], dtype=float32)
    """
    _check_above_0(margin=margin)
    distances = tf.convert_to_tensor(distances)
    short = tf.maximum(margin - distances, 0.0)
    return 0.5 * tf.square(tf.where(tf.cast(same, tf.bool), distances, short))


def triplet_loss(distances, triplets: Triplets, *, margin: Margin = 0.2):
    """Return the loss of each triplet.

    Args:
        distances: (b, b) float, of any kind.
        triplets: t triplets of indices into the batch, as the functions of `mining` give them.
        margin: in the unit of the distances, above 0: the loss is max(0, positive - negative + margin); or
            `"soft"`: log(1 + exp(positive - negative)), which never stops pulling.

    Returns:
        (t,) float.

    Raises:
        KerasvisionError: a margin that is neither above 0 nor `"soft"`, or distances of another shape.

    Schroff et al., FaceNet, 2015, equation 3 (squared distances there); Hermans, Beyer, Leibe, In defense of
    the triplet loss, 2017, section 2 (soft margin).

    >>> near_far = tf.constant([[0.0, 1.0, 1.1], [1.0, 0.0, 3.0], [1.1, 3.0, 0.0]])
    >>> triplet_loss(near_far, Triplets([0, 1], [1, 0], [2, 2])).numpy().round(3).tolist()
    [0.10000000149011612, 0.0]
    """
    check_margin(margin)
    distances = checked_distances(distances)
    anchors, positives, negatives = (tf.convert_to_tensor(index, tf.int32) for index in triplets)
    positive, negative = (
        tf.gather_nd(distances, tf.stack([anchors, others], -1)) for others in (positives, negatives)
    )
    excess = positive - negative
    return tf.nn.softplus(excess) if margin == "soft" else tf.maximum(excess + margin, 0.0)


def multi_similarity_loss(
    labels,
    embeddings,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    epsilon: float | None = 0.1,
):
    """Return the multi-similarity loss of each anchor.

    Args:
        labels: (b,) integers.
        embeddings: (b, d) float; their cosines are what counts.
        alpha: how sharply the least similar positives count most, above 0.
        beta: how sharply the most similar negatives count most, above 0.
        base: the similarity that positives should be above, and negatives below.
        epsilon: of the mining: only positives less similar than the most similar negative and that much, and
            negatives more similar than the least similar positive less that much; None: all pairs.

    Returns:
        (b,) float; with mining 0 for a sample without a positive, or without a negative.

    Raises:
        KerasvisionError: shapes that do not fit, `alpha` or `beta` not above 0.

    Wang et al., Multi-similarity loss with general pair weighting, 2019, equations 11, 12 and 15.
    """
    _check_above_0(alpha=alpha, beta=beta)
    embeddings = checked_embeddings("embeddings", embeddings)
    labels = checked_labels(labels, embeddings)
    unit = tf.math.l2_normalize(embeddings, -1)
    likeness = tf.matmul(unit, unit, transpose_b=True)
    apart = different(labels)
    alike = ~apart & ~tf.eye(tf.size(labels), dtype=tf.bool)
    if epsilon is not None:
        most = likeness.dtype.max
        nearest = tf.reduce_max(tf.where(apart, likeness, -most), 1, keepdims=True)
        farthest = tf.reduce_min(tf.where(alike, likeness, most), 1, keepdims=True)
        alike, apart = alike & (likeness - epsilon < nearest), apart & (likeness + epsilon > farthest)
    pull = _log_one_and_sum(alpha * (base - likeness), alike) / alpha
    return pull + _log_one_and_sum(beta * (likeness - base), apart) / beta


def circle_loss(labels, embeddings, *, margin: float = 0.4, scale: float = 80.0):
    """Return the circle loss of each anchor, by Keras.

    Args:
        labels: (b,) integers.
        embeddings: (b, d) float, of any length: they are brought to length 1.
        margin: how far the cosine of positives may stay below 1 and of negatives above 0, in (0, 1).
        scale: factor of the exponents, above 0 (gamma in the paper).

    Returns:
        (b,) float, 0 for a sample without a positive, or without a negative.

    Raises:
        KerasvisionError: shapes that do not fit, or numbers out of range.

    Sun et al., Circle loss, 2020, equations 6 to 8. Here, as in `keras.losses.circle`, the gradient flows
    through the weights of the similarities too.
    """
    import keras

    _check_above_0(scale=scale, margin=margin)
    if margin >= 1:
        raise KerasvisionError(f"`margin` must be above 0 and below 1. Received: {margin}.")
    embeddings = checked_embeddings("embeddings", embeddings)
    labels = checked_labels(labels, embeddings)
    # Keras takes labels to int32; where a label begins in the sorted batch tells identities apart as well.
    unit = tf.math.l2_normalize(embeddings, -1)
    return keras.losses.circle(grouped(labels).start, unit, gamma=scale, margin=margin)


def _check_above_0(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise KerasvisionError(f"`{name}` must be a number above 0. Received: {value!r}.")


def _log_one_and_sum(exponents, counted):
    """Return log(1 + sum of exp over what counts) of each row, without overflow."""
    exponents = tf.where(counted, exponents, tf.constant(exponents.dtype.min / 2, exponents.dtype))
    return tf.reduce_logsumexp(tf.pad(exponents, [[0, 0], [0, 1]]), 1)
