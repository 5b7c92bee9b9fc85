"""Mining equals loops over all triplets of a batch, for every kind of batch."""

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import BATCHES, batch_hard, negatives_of, semi_hard, triplets, unit

from kerasvision import embedding as kv
from kerasvision.errors import KerasvisionError

EVERY = pytest.mark.parametrize("name", list(BATCHES))


def listed(found: kv.Triplets) -> list[tuple[int, int, int]]:
    assert all(index.dtype == tf.int32 for index in found)
    return list(zip(*(index.numpy().tolist() for index in found), strict=True))


def distances_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    labels, embeddings = BATCHES[name]
    return labels, kv.pairwise_distances(embeddings).numpy()


def check_one_negative_each(found, labels) -> None:
    """Every anchor with every positive, once, and a true negative."""
    negatives = negatives_of(labels)
    assert sorted((a, p) for a, p, _ in found) == sorted(negatives)
    assert all(n in negatives[a, p] for a, p, n in found)


@EVERY
def test_all_triplets_are_all_and_counted(name):
    labels, _ = BATCHES[name]
    wanted = triplets(labels)
    found = listed(kv.all_triplets(labels))
    assert sorted(found) == sorted(wanted)
    assert [a for a, *_ in found] == sorted(a for a, *_ in found)
    assert int(kv.count_triplets(labels)) == len(wanted)
    size = len(wanted) // 5 + 1
    starts = range(0, len(wanted), size)
    parts = [listed(kv.all_triplets(labels, start=start, count=size)) for start in starts]
    assert sum(parts, []) == found
    assert listed(kv.all_triplets(labels, start=len(wanted))) == []


def test_more_triplets_than_32_bits_are_counted():
    labels = np.arange(4096) % 2
    assert int(kv.count_triplets(labels)) == 4096 * 2047 * 2048
    last = kv.all_triplets(labels, start=4096 * 2047 * 2048 - 1)
    assert listed(last) == [(4095, 4093, 4094)]


@EVERY
def test_semi_hard_equals_the_slow_loop(name):
    labels, distances = distances_of(name)
    found = listed(kv.semi_hard(labels, distances))
    check_one_negative_each(found, labels)
    # Of negatives that are equally far any one will do.
    assert {(a, p): distances[a, n] for a, p, n in found} == semi_hard(labels, distances)


@EVERY
def test_batch_hard_equals_the_slow_loop(name):
    labels, distances = distances_of(name)
    found = listed(kv.batch_hard(labels, distances))
    assert set(found) <= set(triplets(labels))
    assert {a: (distances[a, p], distances[a, n]) for a, p, n in found} == batch_hard(labels, distances)


@EVERY
def test_drawn_triplets_are_valid_and_follow_the_seed(name):
    labels, distances = BATCHES[name][0], kv.pairwise_distances(unit(BATCHES[name][1]))
    for draw in (
        lambda seed: kv.random_triplets(labels, seed=seed),
        lambda seed: kv.distance_weighted(labels, distances, dimensions=5, seed=seed),
    ):
        found = listed(draw((3, 1)))
        check_one_negative_each(found, labels)
        assert listed(draw((3, 1))) == found
        if len(found) > 10:
            assert any(listed(draw((3, step))) != found for step in (2, 3))


def frequencies(draw, labels, rounds: int) -> dict[int, np.ndarray]:
    """Return anchor -> share of each sample among its drawn negatives."""
    count = len(labels)
    counts, draw = np.zeros((count, count)), tf.function(draw, autograph=False)
    for step in range(rounds):
        found = draw(tf.constant([5, step]))
        np.add.at(counts, (found.anchors.numpy(), found.negatives.numpy()), 1)
    return {a: row / row.sum() for a, row in enumerate(counts) if row.sum()}


def test_random_negatives_are_all_equally_likely():
    labels, _ = BATCHES["single samples"]
    for anchor, shares in frequencies(
        lambda seed: kv.random_triplets(labels, seed=seed), labels, 400
    ).items():
        apart = labels != labels[anchor]
        np.testing.assert_allclose(shares, apart / apart.sum(), atol=0.07)


def test_distance_weighted_draws_by_the_inverse_of_how_often_a_distance_is():
    labels, embeddings = BATCHES["usual"]
    distances = kv.pairwise_distances(unit(embeddings).astype(np.float32)).numpy()

    def draw(seed):
        return kv.distance_weighted(labels, distances, dimensions=5, seed=seed)

    for anchor, shares in frequencies(draw, labels, 1200).items():
        held = np.clip(distances[anchor].astype(np.float64), 0.5, 1.4)
        # q(d) is as d^(n - 2) (1 - d²/4)^((n - 3)/2) among random points on the sphere.
        weights = held**-3.0 * (1 - held**2 / 4) ** -1.0
        counted = (labels != labels[anchor]) & (distances[anchor] < 1.4)
        weights = np.where(counted, weights, 0) if counted.any() else 1.0 * (labels != labels[anchor])
        np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.05)


def test_distance_weighted_works_in_many_dimensions():
    """In 512 dimensions the weights span more than float32 does."""
    random = np.random.default_rng(0)
    embeddings = unit(random.normal(size=(16, 512))).astype(np.float32)
    embeddings[0] = unit((embeddings[1] + 0.1 * embeddings[2])[None])[0]
    labels = np.arange(16) // 2 + np.arange(16) % 2 * (np.arange(16) < 2)
    found = listed(
        kv.distance_weighted(labels, kv.pairwise_distances(embeddings), dimensions=512, seed=(0, 0))
    )
    check_one_negative_each(found, labels)


def test_nothing_flows_back_through_the_choice():
    labels, embeddings = BATCHES["usual"]
    x = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = kv.semi_hard(labels, kv.pairwise_distances(x))
        total = tf.add_n([tf.cast(index, tf.float32) for index in found])
    assert tape.gradient(total, x) is None


@pytest.mark.parametrize("name", ["usual", "one identity", "many positives"])
def test_mining_in_a_graph_of_unknown_size(name):
    labels, distances = distances_of(name)
    spec = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None])]

    def mine(labels, distances):
        drawn = kv.random_triplets(labels, seed=(0, 1)), kv.all_triplets(labels)
        return kv.semi_hard(labels, distances), kv.batch_hard(labels, distances), *drawn

    graph = tf.function(mine, input_signature=spec, autograph=False)
    found = graph(tf.constant(labels), tf.constant(distances))
    wanted = mine(labels, distances)
    assert [listed(x) for x in found] == [listed(x) for x in wanted]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kv.batch_hard([0.5, 1.0], tf.zeros((2, 2))), "`labels` must be"),
        (lambda: kv.batch_hard([0, 1, 2], tf.zeros((2, 2))), "one entry an image. Received: 3 for 2"),
        (lambda: kv.semi_hard([0, 1], tf.zeros((2, 3))), r"`distances` must be \(b, b\) float"),
        (lambda: kv.all_triplets([0, 0], start=-1), "`start` must be at least 0"),
        (lambda: kv.all_triplets([0, 0], count=-1), "`count` must be at least 0"),
        (lambda: kv.distance_weighted([0, 1], tf.zeros((2, 2)), dimensions=1, seed=(0, 0)), "`dimensions`"),
        (
            lambda: kv.distance_weighted([0, 1], tf.zeros((2, 2)), dimensions=8, seed=(0, 0), farthest=2.0),
            "`farthest` < 2",
        ),
    ],
)
def test_what_cannot_be_mined_is_refused(call, message):
    with pytest.raises(KerasvisionError, match=message):
        call()
