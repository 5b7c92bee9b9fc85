"""Distances, mining and losses agree with pytorch-metric-learning wherever both define the same."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasvision import embedding as kv
from kerasvision.embedding import make_loss

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "pytorch_metric_learning")),
        reason="pytorch-metric-learning and torch are not installed, and are what is compared with: "
        "`make torch`, or pip install '.[parity]'",
    ),
]
REFERENCE = Path(__file__).with_name("metric_learning_reference.py")
CLASSES = 7
# name -> images of each identity; in "pairs" there is one positive, so that other miners say the same too
SIZES = {"pairs": [2] * 7, "usual": [4, 3, 5, 2, 4, 3, 4], "many": [20, 25, 18, 3, 2, 2, 2]}
KINDS = ("euclidean", "squared")
EVERY = pytest.mark.parametrize("name", list(SIZES))


def made_up(sizes: list[int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(sum(sizes))
    return {
        "labels": random.permutation(np.repeat(np.arange(CLASSES), sizes)),
        # float64: what differs is then the definition, not the rounding.
        "embeddings": random.normal(0, 0.4, (sum(sizes), 16)),
        "directions": random.normal(size=(CLASSES, 16)),
    }


BATCHES = {name: made_up(sizes) for name, sizes in SIZES.items()}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """Return what pytorch-metric-learning says, by batch and name."""
    folder = tmp_path_factory.mktemp("metric_learning")
    np.savez(
        folder / "in.npz",
        **{f"{name}/{key}": value for name, batch in BATCHES.items() for key, value in batch.items()},
    )
    command = [sys.executable, REFERENCE, folder / "in.npz", folder / "out.npz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(folder / "out.npz"))


def graded(loss, x):
    """Return a loss and its gradient."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_mean(loss(x))
    return value.numpy(), tape.gradient(value, x).numpy()


def check(theirs, key: str, loss, name: str) -> None:
    value, gradient = graded(loss, BATCHES[name]["embeddings"])
    assert theirs[f"{name}/{key} loss"] == pytest.approx(value, rel=1e-5, abs=1e-8)
    np.testing.assert_allclose(gradient, theirs[f"{name}/{key} gradient"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@EVERY
def test_distances_and_batch_hard(theirs, name, kind):
    batch = BATCHES[name]
    distances = kv.pairwise_distances(batch["embeddings"], distance=kind)
    np.testing.assert_allclose(distances, theirs[f"{name}/{kind} distances"], rtol=1e-5, atol=1e-6)
    found = np.stack(kv.batch_hard(batch["labels"], distances))
    np.testing.assert_array_equal(found, theirs[f"{name}/{kind} batch_hard"])


@pytest.mark.parametrize("kind", KINDS)
@EVERY
def test_semi_hard_takes_the_nearest_of_all_their_semi_hard_triplets(theirs, name, kind):
    batch = BATCHES[name]
    distances = kv.pairwise_distances(batch["embeddings"], distance=kind).numpy()
    nearest: dict[tuple[int, int], float] = {}
    for a, p, n in theirs[f"{name}/{kind} semi_hard"].T:
        nearest[a, p] = min(nearest.get((a, p), np.inf), distances[a, n])
    found = np.stack(kv.semi_hard(batch["labels"], distances)).T
    ours = {(a, p): distances[a, n] for a, p, n in found if distances[a, n] > distances[a, p]}
    assert ours == nearest
    assert len(nearest) > len(found) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_with_one_positive_each_semi_hard_is_their_miner_of_one_triplet_an_anchor(theirs, kind):
    batch = BATCHES["pairs"]
    distances = kv.pairwise_distances(batch["embeddings"], distance=kind)
    found = np.stack(kv.semi_hard(batch["labels"], distances)).T.tolist()
    wanted = theirs[f"pairs/{kind} one_semi_hard"].T.tolist()
    # Theirs leaves out anchors without a negative beyond the positive; ours takes the farthest one there.
    assert len(wanted) > 7 and all(triplet in found for triplet in wanted)


@pytest.mark.parametrize("margin", [0.3, "soft"])
@pytest.mark.parametrize("kind", KINDS)
@EVERY
def test_triplet_losses(theirs, name, kind, margin):
    labels = BATCHES[name]["labels"]
    form = "soft" if margin == "soft" else "hinge"
    for key, options in {
        "all": {"mining": "all", "average": "all"},
        "active": {"mining": "all", "average": "active"},
        "batch_hard": {"mining": "batch_hard"},
    }.items():
        loss = make_loss("triplet", margin=margin, distance=kind, **options)
        check(theirs, f"{kind} {key} {form}", lambda x, loss=loss: loss(labels, x), name)


@pytest.mark.parametrize(("key", "epsilon"), [("plain", None), ("mined", 0.1)])
@EVERY
def test_multi_similarity_loss(theirs, name, key, epsilon):
    labels = BATCHES[name]["labels"]
    check(
        theirs,
        f"multi_similarity {key}",
        lambda x: kv.multi_similarity_loss(labels, x, epsilon=epsilon),
        name,
    )


@EVERY
def test_circle_loss(theirs, name):
    """The values only: their gradient does not flow through the weights of the similarities."""
    batch = BATCHES[name]
    found = np.mean(kv.circle_loss(batch["labels"], batch["embeddings"]))
    assert found == pytest.approx(theirs[f"{name}/circle loss"], rel=1e-5)


@pytest.mark.parametrize("loss", ["arcface", "cosface"])
@EVERY
def test_class_losses(theirs, name, loss):
    batch = BATCHES[name]
    layer = kv.ClassCosines(CLASSES, dtype="float64")
    layer.build((None, 16))
    layer.directions.assign(batch["directions"])
    compute = make_loss(loss)
    x = tf.constant(batch["embeddings"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_mean(compute(batch["labels"], layer(x)))
    gradients = tape.gradient(value, [x, layer.directions.value])
    assert value.numpy() == pytest.approx(theirs[f"{name}/{loss} loss"], rel=1e-5)
    for found, key in zip(gradients, ("gradient", "directions"), strict=True):
        np.testing.assert_allclose(found, theirs[f"{name}/{loss} {key}"], rtol=1e-4, atol=1e-6)
