"""Losses by name: their mean over a batch equals a loop over its pairs and triplets."""

import math

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import (
    BATCHES,
    batch_hard,
    circle,
    mean,
    multi_similarity,
    pairs,
    semi_hard,
    triplet_loss,
    triplets,
)

from kerasvision import embedding as kv
from kerasvision.embedding import make_loss
from kerasvision.errors import KerasvisionError

EVERY = pytest.mark.parametrize("name", list(BATCHES))
DISTANCES = ("euclidean", "squared", "cosine")
SEED = np.array([11, 4])


def drawn(mining, labels, embeddings):
    """Return the triplets that a loss draws whose seed is SEED."""
    if mining == "random":
        found = kv.random_triplets(labels, seed=SEED)
    else:
        between = kv.pairwise_distances(tf.math.l2_normalize(embeddings, -1))
        found = kv.distance_weighted(labels, between, dimensions=embeddings.shape[1], seed=SEED)
    return list(zip(*(index.numpy().tolist() for index in found), strict=True))


def slow_triplets(mining, labels, embeddings, d) -> list[tuple[float, float]]:
    """Return the distances of positive and negative of each mined triplet."""
    if mining == "semi_hard":
        return [(d[a, p], negative) for (a, p), negative in semi_hard(labels, d).items()]
    if mining == "batch_hard":
        return list(batch_hard(labels, d).values())
    mined = triplets(labels) if mining == "all" else drawn(mining, labels, embeddings)
    return [(d[a, p], d[a, n]) for a, p, n in mined]


@pytest.mark.parametrize("mining", ["all", "random", "semi_hard", "batch_hard", "distance_weighted"])
@EVERY
def test_triplet_losses_equal_the_slow_loop(name, mining):
    labels, embeddings = BATCHES[name]
    cases = [
        ("euclidean", 0.2, None),
        ("squared", 0.5, "all"),
        ("cosine", "soft", "active"),
        ("squared", 0.9, "active"),  # on a grid no triplet is just at this margin
    ]
    for distance, margin, average in cases:
        loss = make_loss("triplet", mining=mining, margin=margin, distance=distance, average=average)
        for seed in loss.seeds:
            seed.assign(SEED)
        found = loss(labels, embeddings)
        d = kv.pairwise_distances(embeddings, distance=distance).numpy()
        losses = [triplet_loss(p, n, margin) for p, n in slow_triplets(mining, labels, embeddings, d)]
        active = average == "active" or (average is None and mining == "all")
        wanted = mean(value for value in losses if value > 1e-6 or not active)
        assert found.shape == labels.shape
        assert np.mean(found) == pytest.approx(wanted, rel=2e-5, abs=1e-6), (distance, margin, average)


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("distance", DISTANCES)
@EVERY
def test_contrastive_loss_equals_the_slow_loop(name, distance, balanced):
    labels, embeddings = BATCHES[name]
    d = kv.pairwise_distances(embeddings, distance=distance).numpy().astype(float)
    alike, apart = pairs(labels)
    pull = [d[pair] ** 2 / 2 for pair in alike]
    push = [max(0.0, 0.8 - d[pair]) ** 2 / 2 for pair in apart]
    found = make_loss("contrastive", margin=0.8, distance=distance, balanced=balanced)(labels, embeddings)
    wanted = (mean(pull) + mean(push)) / 2 if balanced else mean(pull + push)
    assert np.mean(found) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


@EVERY
def test_losses_by_similarity_equal_the_slow_loop(name):
    for loss, wanted in (("multi_similarity", multi_similarity), ("circle", circle)):
        found = make_loss(loss)(*BATCHES[name])
        np.testing.assert_allclose(found, wanted(*BATCHES[name]), rtol=1e-5, atol=1e-4)


LOSSES = [
    *(("triplet", {"mining": m}) for m in ("all", "random", "semi_hard", "batch_hard", "distance_weighted")),
    ("triplet", {"mining": "batch_hard", "margin": "soft"}),
    ("triplet", {"mining": "all", "margin": "soft", "distance": "cosine"}),
    ("triplet", {"distance": "squared"}),
    ("contrastive", {}),
    ("contrastive", {"distance": "cosine"}),
    ("multi_similarity", {}),
    ("multi_similarity", {"epsilon": None}),
    ("circle", {}),
]


@pytest.mark.parametrize(("loss", "options"), LOSSES)
def test_gradients_are_finite_on_every_batch(loss, options):
    """Also at distance 0, without positives, without negatives, and in a compiled graph of unknown size."""
    loss = make_loss(loss, **options)

    signature = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 5])]

    @tf.function(autograph=False, input_signature=signature)
    def gradient_of(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            total = tf.reduce_mean(loss(labels, embeddings))
        return total, tape.gradient(total, embeddings)

    moved = {}
    for name, (labels, embeddings) in BATCHES.items():
        padded = np.pad(embeddings, [(0, 0), (0, 5 - embeddings.shape[1])])
        total, gradient = gradient_of(tf.constant(labels), tf.constant(padded))
        assert np.isfinite(total), name
        assert np.isfinite(gradient).all(), name
        moved[name] = np.abs(gradient).max() > 0
    assert moved["usual"] and moved["duplicates"]
    assert not moved["one sample"]


def test_descending_a_loss_pulls_identities_apart():
    labels, embeddings = BATCHES["usual"]
    for name, options in LOSSES:
        loss, x = make_loss(name, **options), tf.Variable(embeddings)
        before = loss.watch(labels, x)
        for _ in range(6):
            with tf.GradientTape() as tape:
                total = tf.reduce_mean(loss(labels, x))
            x.assign_sub(0.5 * tape.gradient(total, x))
        after = loss.watch(labels, x)
        ratio = [float(w["positive_distance"] / w["negative_distance"]) for w in (before, after)]
        assert ratio[1] < ratio[0], (name, options)


@pytest.mark.parametrize(
    ("name", "options", "level"),
    [
        ("triplet", {"margin": 0.3}, 0.3),
        ("triplet", {"margin": 0.3, "mining": "all"}, 0.3),
        ("triplet", {"margin": 1, "mining": "batch_hard", "distance": "cosine"}, 1.0),
        ("triplet", {"margin": "soft", "mining": "random"}, math.log(2)),
        ("contrastive", {"margin": 0.8}, 0.16),
        ("contrastive", {"balanced": False}, None),
        ("circle", {}, None),
        ("arcface", {}, None),
    ],
)
def test_the_level_is_the_loss_of_a_single_point(name, options, level):
    loss = make_loss(name, **options)
    assert loss.level == (None if level is None else pytest.approx(level))
    if level is not None:
        labels, embeddings = BATCHES["collapsed"]
        assert np.mean(loss(labels, embeddings)) == pytest.approx(level, rel=1e-6)


def test_what_a_loss_says_of_itself():
    facts = {name: make_loss(name) for name in ("triplet", "contrastive", "circle", "arcface", "cosface")}
    assert {name: loss.takes for name, loss in facts.items() if loss.takes != "embedding"} == {
        "arcface": "cosines",
        "cosface": "cosines",
    }
    assert (facts["triplet"].margin, facts["contrastive"].margin) == (0.2, None)
    assert [loss.distance for loss in facts.values()] == ["euclidean", "euclidean", *["cosine"] * 3]
    assert [len(make_loss("triplet", mining=m).seeds) for m in ("semi_hard", "random")] == [0, 1]


def test_each_step_draws_other_triplets_and_the_same_seed_the_same():
    labels, embeddings = BATCHES["single samples"]
    first, again = (make_loss("triplet", mining="random", margin=2.0, seed=5) for _ in range(2))
    values = [float(np.mean(first(labels, embeddings))) for _ in range(4)]
    assert len(set(values)) > 1
    assert values == [float(np.mean(again(labels, embeddings))) for _ in range(4)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tripplet", {}, "`name` must be one of contrastive, triplet, .*cosface. Received: 'tripplet'"),
        ("triplet", {"miner": "all"}, "`triplet` has no option `miner`. It has: mining, margin"),
        ("circle", {"gamma": 1.0, "labels": 2}, "no option `gamma`, `labels`. It has: margin, scale"),
        ("triplet", {"mining": "hard"}, "`mining` must be one of all, random"),
        ("triplet", {"margin": -1}, "`margin` must be"),
        ("triplet", {"distance": "l2"}, "`distance` must be"),
        ("triplet", {"average": "mean"}, "`average` must be"),
        ("triplet", {"mining": "random", "seed": -1}, "`seed` must be a whole number"),
        ("contrastive", {"margin": 0}, "`margin` must be"),
        ("contrastive", {"distance": "l2"}, "`distance` must be"),
        ("multi_similarity", {"alpha": 0}, "`alpha` must be"),
        ("circle", {"margin": 2}, "`margin` must be"),
        ("arcface", {"margin": 4}, "`margin` must lie in"),
        ("cosface", {"scale": -1}, "`scale` must be"),
    ],
)
def test_options_are_checked_when_the_loss_is_made(name, options, message):
    with pytest.raises(KerasvisionError, match=message):
        make_loss(name, **options)
