"""Losses of pairs and triplets as loops over them have them."""

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import BATCHES, circle, multi_similarity, triplet_loss, triplets

from kerasvision import embedding as kv
from kerasvision.errors import KerasvisionError

EVERY = pytest.mark.parametrize("name", list(BATCHES))


def test_contrastive_loss_of_each_pair():
    same = np.array([True, True, False, False, False, True])
    distances = np.array([0.0, 0.5, 0.0, 0.6, 1.5, 2.0], np.float32)
    wanted = [d * d / 2 if s else max(0, 1.5 - d) ** 2 / 2 for s, d in zip(same, distances, strict=True)]
    np.testing.assert_allclose(kv.contrastive_loss(same, distances, margin=1.5), wanted, rtol=1e-6)
    np.testing.assert_array_equal(
        kv.contrastive_loss(same.astype(int), distances), kv.contrastive_loss(same, distances)
    )


@pytest.mark.parametrize("margin", [0.3, "soft"])
def test_triplet_loss_of_each_triplet(margin):
    labels, embeddings = BATCHES["ties"]
    distances = kv.pairwise_distances(embeddings, distance="squared").numpy()
    listed = kv.all_triplets(labels)
    found = kv.triplet_loss(distances, listed, margin=margin).numpy()
    wanted = {
        (a, p, n): triplet_loss(distances[a, p], distances[a, n], margin) for a, p, n in triplets(labels)
    }
    places = zip(*(index.numpy().tolist() for index in listed), strict=True)
    np.testing.assert_allclose(found, [wanted[place] for place in places], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"epsilon": None}, {"alpha": 1.0, "beta": 20.0, "base": 0.3}])
@EVERY
def test_multi_similarity_loss_equals_the_slow_loop(name, options):
    found = kv.multi_similarity_loss(*BATCHES[name], **options)
    np.testing.assert_allclose(found, multi_similarity(*BATCHES[name], **options), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"margin": 0.25, "scale": 16.0}])
@EVERY
def test_circle_loss_equals_the_slow_loop(name, options):
    found = kv.circle_loss(*BATCHES[name], **options)
    np.testing.assert_allclose(found, circle(*BATCHES[name], **options), rtol=1e-5, atol=1e-4)


def test_labels_beyond_32_bits_stay_apart_in_the_circle_loss():
    labels, embeddings = BATCHES["usual"]
    far = labels.astype(np.int64) * 2**32
    np.testing.assert_array_equal(kv.circle_loss(far, embeddings), kv.circle_loss(labels, embeddings))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kv.contrastive_loss([True], [0.5], margin=0), "`margin` must be a number above 0"),
        (
            lambda: kv.triplet_loss(tf.zeros((2, 2)), ([0], [1], [1]), margin="easy"),
            "'soft'. Received: 'easy'",
        ),
        (lambda: kv.triplet_loss(tf.zeros(2), ([0], [1], [1])), r"`distances` must be \(b, b\)"),
        (lambda: kv.multi_similarity_loss([0, 1], tf.zeros((2, 2)), alpha=-1), "`alpha` must be"),
        (lambda: kv.multi_similarity_loss([0, 1], tf.zeros((2, 2)), beta=float("nan")), "`beta` must be"),
        (lambda: kv.circle_loss([0, 1], tf.zeros((2, 2)), scale=0), "`scale` must be"),
        (lambda: kv.circle_loss([0, 1], tf.zeros((2, 2)), margin=1), "above 0 and below 1"),
        (lambda: kv.circle_loss([0, 1], tf.zeros(2)), "`embeddings` must be"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(KerasvisionError, match=message):
        call()
