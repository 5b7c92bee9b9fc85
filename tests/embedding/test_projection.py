"""The projection that is solved for: what it does to identities, and what it refuses."""

import warnings

import keras
import numpy as np
import pytest

from kerasvision.embedding.projection import set_projection, solve_projection
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import verify_embeddings


def _features(identities=30, each=6, size=40, seed=0):
    """Return features whose largest directions vary within identities and say nothing of who it is."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(identities), each)
    who = random.normal(size=(identities, size))[labels]
    return who + random.normal(size=(len(labels), size)) * np.where(
        np.arange(size) < 8, 8.0, 0.3
    ) + 5.0, labels


def test_other_identities_are_told_apart_better_than_by_the_features():
    features, labels = _features()
    seen = labels < 20
    kernel, bias = solve_projection(features[seen], labels[seen], 32, shrinkage=0.1)
    assert kernel.shape == (40, 32) and bias.shape == (32,) and kernel.dtype == np.float32
    options = {"distance": "cosine", "repeats": 0}
    before = verify_embeddings(features[~seen] - features[seen].mean(0), labels[~seen], **options)
    after = verify_embeddings(features[~seen] @ kernel + bias, labels[~seen], **options)
    assert before.auc < 0.75 < 0.9 < after.auc


def test_it_whitens_what_varies_within_identities():
    """Without shrinkage, and in all dimensions, the scatter within identities is one in all directions."""
    features, labels = _features(identities=40, size=10)
    kernel, bias = solve_projection(features, labels, 10, shrinkage=0.0)
    projected = features @ kernel.astype(np.float64) + bias
    middles = np.stack([projected[labels == label].mean(0) for label in labels])
    scatter = (projected - middles).T @ (projected - middles) / (len(labels) - 40)
    np.testing.assert_allclose(scatter, np.eye(10), atol=1e-3)
    np.testing.assert_allclose(projected.mean(0), 0.0, atol=1e-3)


def test_few_images_give_few_directions_and_the_others_stay_small():
    features, labels = _features(identities=3, each=2)
    kernel, bias = solve_projection(features, labels, 16)
    assert kernel.shape == (40, 5), "six centred images span five directions"
    layer = keras.layers.Dense(16)
    layer.build((None, 40))
    drawn = np.array(layer.kernel)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_projection(layer, kernel, bias)
    found = np.array(layer.kernel)
    assert np.sqrt((found[:, :5] ** 2).mean()) == pytest.approx(np.sqrt((drawn**2).mean()), rel=1e-4)
    np.testing.assert_allclose(found[:, 5:], 0.1 * drawn[:, 5:], rtol=1e-5)
    ratio = found[:, 0] / kernel[:, 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    np.testing.assert_allclose(np.array(layer.bias)[:5], bias * ratio[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((3, 4)), [0, 1], r"`features` must be \(n, c\)"),
        (np.eye(3), [0, 1, 2], "an identity with two images"),
    ],
)
def test_what_cannot_be_solved_is_refused(features, labels, message):
    with pytest.raises(KerasvisionError, match=message):
        solve_projection(features, labels, 2)
