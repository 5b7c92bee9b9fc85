"""The watch on collapse: its figures equal slow ones, and it speaks up when it should and only then."""

import numpy as np
import pytest
import tensorflow as tf
from embedding_references import BATCHES, mean, pairs, triplets

from kerasvision import embedding as kv
from kerasvision.embedding import collapse_advice, make_loss, watch_embedding
from kerasvision.errors import KerasvisionError


@pytest.mark.parametrize(("margin", "distance"), [(0.2, "euclidean"), ("soft", "cosine"), (None, "squared")])
@pytest.mark.parametrize("name", list(BATCHES))
def test_figures_equal_slow_ones(name, margin, distance):
    labels, embeddings = BATCHES[name]
    found = {
        key: float(value)
        for key, value in watch_embedding(labels, embeddings, margin=margin, distance=distance).items()
    }
    assert tuple(found) == make_loss().watched
    d = kv.pairwise_distances(embeddings, distance=distance).numpy()
    limit = 1e-6 if margin in ("soft", None) else margin
    excess = [float(d[a, p]) - float(d[a, n]) + limit for a, p, n in triplets(labels)]
    unclear = mean(abs(value) < 1e-6 for value in excess)  # ties, to rounding
    assert found["active"] == pytest.approx(mean(value > 0 for value in excess), abs=1e-6 + unclear)
    x = embeddings.astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(x.T, bias=True)) if len(x) > 1 else np.zeros(x.shape[1])
    square = np.mean(np.sum(x**2, 1))
    assert found["spread"] == pytest.approx(
        np.sqrt(variances.sum() / square) if square else 0, rel=1e-5, abs=1e-6
    )
    taking_part = variances.sum() ** 2 / np.sum(variances**2) if variances.sum() > 1e-9 else 0
    assert found["dimensions"] == pytest.approx(taking_part, rel=1e-4)
    for kind, listed in zip(("positive_distance", "negative_distance"), pairs(labels), strict=True):
        assert found[kind] == pytest.approx(mean(d[pair] for pair in listed), rel=1e-5, abs=1e-6)


def test_nothing_flows_back_through_the_watch():
    labels, embeddings = BATCHES["usual"]
    x = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.add_n(list(watch_embedding(labels, x).values()))
    assert tape.gradient(total, x) is None


LOSSES = [
    ("triplet", {"mining": "semi_hard"}),
    ("triplet", {"mining": "batch_hard"}),
    ("triplet", {"mining": "batch_hard", "margin": "soft"}),
    ("triplet", {"mining": "all", "distance": "squared"}),
    ("contrastive", {}),
    ("circle", {}),
    ("multi_similarity", {}),
]


def rows(loss, embeddings, labels, epochs=3, mean_loss=None):
    """Return the history of an embedding that stays as it is."""
    value = float(np.mean(loss(labels, embeddings))) if mean_loss is None else mean_loss
    figures = {key: float(value) for key, value in loss.watch(labels, embeddings).items()}
    return [{"loss": value, **figures}] * epochs


def sphere(labels, *, noise: float, common: float, dimensions: int = 32) -> np.ndarray:
    """Return embeddings of length 1: a place a label, noise, and a part that all have in common."""
    random = np.random.default_rng(1)
    x = random.normal(size=(labels.max() + 1, dimensions))[labels]
    x = x / np.linalg.norm(x, axis=1, keepdims=True) + random.normal(0, noise, (len(labels), dimensions))
    x[:, 0] += common
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


LABELS = np.repeat(np.arange(8), 4)


@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_a_collapsed_embedding_is_spoken_of(name, options):
    loss = make_loss(name, **options)
    history = rows(loss, sphere(LABELS, noise=0.05, common=200.0), LABELS)
    advice = collapse_advice(history, level=loss.level)
    assert advice.startswith("The embedding has collapsed") and "learning rate of a tenth" in advice
    assert ("The loss has been" in advice) == (loss.level is not None)
    assert collapse_advice(history[:1], level=loss.level) is None, "one epoch is no evidence"


@pytest.mark.parametrize(("name", "options"), LOSSES)
def test_a_healthy_embedding_is_not(name, options):
    loss = make_loss(name, **options)
    history = rows(loss, sphere(LABELS, noise=0.02, common=0.0), LABELS)
    assert history[0]["spread"] > 0.9
    assert collapse_advice(history, level=loss.level) is None


def test_an_untrained_embedding_that_learns_is_not():
    """Before training a part that all have in common is usual; the loss then leaves the level."""
    loss = make_loss("triplet", mining="semi_hard")
    before = rows(loss, sphere(LABELS, noise=0.3, common=3.0), LABELS, epochs=1)
    after = rows(loss, sphere(LABELS, noise=0.02, common=0.0), LABELS, epochs=1)
    assert collapse_advice(before + after, level=loss.level) is None


def test_a_loss_at_the_margin_without_collapse_is_told_from_collapse():
    loss = make_loss("triplet")
    spread = sphere(LABELS, noise=3.0, common=0.0)
    advice = collapse_advice(rows(loss, spread, LABELS, mean_loss=0.199), level=loss.level)
    assert advice.startswith("The embedding does not tell identities apart yet. The loss has been 0.199")
    assert "has not collapsed" in advice


def test_only_the_last_epochs_count():
    loss = make_loss("triplet")
    good = rows(loss, sphere(LABELS, noise=0.02, common=0.0), LABELS)
    bad = rows(loss, sphere(LABELS, noise=0.05, common=200.0), LABELS)
    assert collapse_advice(good + bad, level=0.2) and not collapse_advice(bad + good, level=0.2)
    assert collapse_advice(bad, level=0.2, epochs=4) is None


@pytest.mark.parametrize("options", [{"level": 0}, {"level": -1.0}, {"level": 0.2, "epochs": 0}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(KerasvisionError, match="`level` must be a loss above 0, or None, and `epochs`"):
        collapse_advice([], **options)


@pytest.mark.parametrize(
    ("mining", "rate", "collapses"), [("batch_hard", 1.0, True), ("semi_hard", 0.1, False)]
)
def test_a_training_that_collapses_is_told_from_one_that_does_what_is_advised(mining, rate, collapses):
    """A large margin, the hardest triplets and a rate that is too high: all goes to one point."""
    random = np.random.default_rng(0)
    images = random.normal(size=(8, 16))[LABELS] * 0.3 + random.normal(size=(32, 16))
    hidden, output = (
        tf.Variable(random.normal(0, s, shape)) for s, shape in ((0.3, (16, 32)), (0.2, (32, 8)))
    )
    bias = tf.Variable(np.zeros(8))
    loss = make_loss("triplet", mining=mining, margin=1.0, distance="squared")

    @tf.function(autograph=False)
    def step():
        variables = hidden, output, bias
        with tf.GradientTape() as tape:
            x = tf.math.l2_normalize(tf.nn.relu(images @ hidden) @ output + bias, -1)
            total = tf.reduce_mean(loss(LABELS, x))
        for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
            variable.assign_sub(rate * gradient)
        return {"loss": total, **loss.watch(LABELS, x)}

    history = [{key: float(value) for key, value in step().items()} for _ in range(60)]
    assert collapse_advice(history[:2], level=loss.level) is None
    advice = collapse_advice(history, level=loss.level)
    assert (advice is not None and "has collapsed" in advice) == collapses
    assert collapses or history[-1]["loss"] < 0.5
