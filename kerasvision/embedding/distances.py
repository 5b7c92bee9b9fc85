"""Distances between embeddings as tensors, with gradients that stay finite where a distance is 0."""

from typing import Literal

import tensorflow as tf

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import check_distance

Distance = Literal["euclidean", "squared", "cosine"]


def pairwise_distances(embeddings, *, distance: Distance = "euclidean"):
    """Return the distances between all embeddings of a batch.

    Args:
        embeddings: (b, d) float. Half precision is taken to float32.
        distance: `"euclidean"`; `"squared"`, its square; or `"cosine"`, 1 less the cosine, from 0 to 2.

    Returns:
        (b, b) float, at least 0, exactly 0 on the diagonal. Where a distance is 0 the Euclidean one has no
        derivative; its gradient is 0 there.

    Raises:
        KerasvisionError: a name that is not known, or embeddings of another shape.

    >>> pairwise_distances(tf.constant([[0.0, 0.0], [3.0, 4.0]])).numpy().tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    embeddings = checked_embeddings("embeddings", embeddings)
    check_distance(distance)
    if distance == "cosine":
        # Half the square between unit vectors, which is exactly 0 where they are the same.
        return 0.5 * _squared(tf.math.l2_normalize(embeddings, -1))
    return _squared(embeddings) if distance == "squared" else _euclidean(embeddings)


def paired_distances(first, second, *, distance: Distance = "euclidean"):
    """Return the distance of each pair, as a siamese network has it.

    Args:
        first: (b, d) float.
        second: (b, d) float.
        distance: as in `pairwise_distances`.

    Returns:
        (b,) float, at least 0; the gradient is 0 where the distance is.

    Raises:
        KerasvisionError: a name that is not known, or embeddings whose shapes differ.

    >>> paired_distances(tf.constant([[0.0, 1.0]]), tf.constant([[1.0, 0.0]]), distance="cosine").numpy()
    array([1.], dtype=float32)
    """
    check_distance(distance)
    first, second = checked_embeddings("first", first), checked_embeddings("second", second)
    if not first.shape.is_compatible_with(second.shape):
        raise KerasvisionError(
            f"`first` and `second` must have one shape, (b, d). Received: {first.shape} and {second.shape}."
        )
    if distance == "cosine":
        first, second = tf.math.l2_normalize(first, -1), tf.math.l2_normalize(second, -1)
    square = tf.reduce_sum(tf.math.squared_difference(first, second), -1)
    if distance == "euclidean":
        return safe_root(square)
    return 0.5 * square if distance == "cosine" else square


def safe_root(values, least: float = 0.0):
    """Return square roots; where `values` is not above `least` both the root and its gradient are 0."""
    above = values > least
    return tf.where(above, tf.sqrt(tf.where(above, values, tf.ones_like(values))), tf.zeros_like(values))


def checked_embeddings(name: str, embeddings):
    """Return a (b, d) tensor in float32 or float64."""
    embeddings = tf.convert_to_tensor(embeddings)
    if not embeddings.dtype.is_floating or embeddings.shape.rank != 2:
        raise KerasvisionError(
            f"`{name}` must be (b, d) float, one row an image. "
            f"Received: {embeddings.shape} {embeddings.dtype.name}."
        )
    return embeddings if embeddings.dtype == tf.float64 else tf.cast(embeddings, tf.float32)


# The gradients are written out: what the chain of operations would keep is five matrices instead of one.
@tf.custom_gradient
def _squared(x):
    x = _centred(x)
    return _squares(x), lambda upstream: _towards(x, 2.0 * upstream)


@tf.custom_gradient
def _euclidean(x):
    x = _centred(x)
    distances = tf.sqrt(_squares(x))
    return distances, lambda upstream: _towards(x, tf.math.divide_no_nan(upstream, distances))


def _centred(x):
    # Distances do not change, and rounding errors, which grow with the norm, become small against the spread.
    return x - tf.reduce_mean(x, 0, keepdims=True)


def _squares(x):
    products = tf.matmul(x, x, transpose_b=True)
    norms = tf.linalg.diag_part(products)
    return tf.maximum(norms[:, None] + norms[None, :] - 2.0 * products, 0.0)


def _towards(x, weights):
    """Return the sum over j of (weights[i, j] + weights[j, i]) * (x[i] - x[j]), (b, d)."""
    weights = weights + tf.transpose(weights)
    return tf.reduce_sum(weights, 1, keepdims=True) * x - tf.matmul(weights, x)
