"""Distances as loops over pairs have them, with gradients that automatic differentiation agrees with."""

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import BATCHES, unit

from kerasvision.embedding import paired_distances, pairwise_distances
from kerasvision.errors import KerasvisionError

KINDS = ("euclidean", "squared", "cosine")


def slow(first, second, kind: str) -> float:
    if kind == "cosine":
        return 1.0 - unit(first[None])[0] @ unit(second[None])[0]
    square = np.sum((first.astype(np.float64) - second) ** 2)
    return np.sqrt(square) if kind == "euclidean" else square


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in BATCHES if name != "zero"])
def test_distances_equal_a_loop_over_pairs(name, kind):
    _, embeddings = BATCHES[name]
    wanted = [[slow(a, b, kind) for b in embeddings] for a in embeddings]
    found = pairwise_distances(embeddings, distance=kind).numpy()
    # The root turns a rounding error of 1e-7 of a square that is 0 into 3e-4.
    np.testing.assert_allclose(found, wanted, atol=5e-4 if kind == "euclidean" else 2e-6, rtol=2e-6)
    assert (np.diag(found) == 0).all() and (found >= 0).all()
    double = pairwise_distances(embeddings.astype(np.float64), distance=kind)
    np.testing.assert_allclose(double, wanted, atol=1e-7)
    paired = paired_distances(embeddings, embeddings[::-1], distance=kind)
    np.testing.assert_allclose(paired, np.diag(np.array(wanted)[:, ::-1]), atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_far_from_the_origin_distances_keep_their_digits(kind):
    embeddings = BATCHES["usual"][1] + np.float32(100)
    found = pairwise_distances(embeddings, distance=kind).numpy()
    wanted = [[slow(a, b, kind) for b in embeddings] for a in embeddings]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_differences(kind):
    """Between different embeddings automatic differentiation of the definition is right."""
    embeddings = tf.constant(BATCHES["usual"][1], tf.float64)
    upstream = tf.constant(np.random.default_rng(0).normal(size=(12, 12)) * (1 - np.eye(12)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(embeddings)
        x = tf.math.l2_normalize(embeddings, -1) if kind == "cosine" else embeddings
        square = tf.reduce_sum((x[:, None] - x[None]) ** 2, -1)
        plain = {
            "cosine": square / 2,
            "squared": square,
            "euclidean": tf.sqrt(square + tf.eye(12, dtype="double")),
        }
        wanted = tf.reduce_sum(plain[kind] * upstream)
        found = tf.reduce_sum(pairwise_distances(embeddings, distance=kind) * upstream)
    np.testing.assert_allclose(
        tape.gradient(found, embeddings), tape.gradient(wanted, embeddings), atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["duplicates", "collapsed", "zero", "one sample"])
def test_gradients_at_distance_zero_are_finite(name, kind):
    embeddings = tf.constant(BATCHES[name][1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(embeddings)
        values = (
            pairwise_distances(embeddings, distance=kind),
            paired_distances(embeddings, tf.identity(embeddings), distance=kind),
        )
    for value in values:
        assert np.isfinite(tape.gradient(value, embeddings)).all()
    assert not values[1].numpy().any()


def test_half_precision_is_taken_to_float32():
    embeddings = tf.cast(BATCHES["usual"][1], tf.float16)
    found = pairwise_distances(embeddings)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, pairwise_distances(tf.cast(embeddings, tf.float32)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: pairwise_distances(tf.zeros((2, 3)), distance="manhattan"),
            "one of euclidean, squared, cosine",
        ),
        (lambda: paired_distances(tf.zeros((2, 3)), tf.zeros((2, 3)), distance="l2"), "Received: 'l2'"),
        (lambda: pairwise_distances(tf.zeros((2, 3, 4))), r"`embeddings` must be \(b, d\) float"),
        (lambda: pairwise_distances(tf.zeros((2, 3), tf.int32)), "int32"),
        (lambda: paired_distances(tf.zeros((2, 3)), tf.zeros((3, 3))), "must have one shape"),
        (lambda: paired_distances(tf.zeros((2, 3)), tf.zeros(3)), "`second` must be"),
    ],
)
def test_what_is_no_distance_is_refused(call, message):
    with pytest.raises(KerasvisionError, match=message):
        call()
