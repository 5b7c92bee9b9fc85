"""Gradients by path length against a linear network, whose path gradients are products of its matrices."""

from itertools import combinations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from lesion_helpers import close, network, pictures
from scipy.stats import binom

from kerasvision.explain import (
    PathGradients,
    effective_path_lengths,
    gradient_by_path_length,
    path_lengths,
)
from kerasvision.explain.paths import gradient_norms, random_gates

SIDE, CLASSES, MODULES = 6, 4, 4


def linear(activation="softmax"):
    """Modules x + W x, then logits V x; returns the model, the Ws and V as matrices on columns."""
    keras.utils.set_random_seed(3)
    x = image = keras.Input((SIDE,))
    for i in range(MODULES):
        x = layers.Add(name=f"m{i}_add")([x, layers.Dense(SIDE, use_bias=False, name=f"m{i}_dense")(x)])
    out = layers.Dense(CLASSES, use_bias=False, activation=activation, name="predictions")(x)
    model = keras.Model(image, out)
    matrices = [model.get_layer(f"m{i}_dense").get_weights()[0].T for i in range(MODULES)]
    return model, matrices, model.get_layer("predictions").get_weights()[0].T


def closed_form(matrices, last, x, label, path):
    """Return the norm of the gradient of the cross-entropy along one path."""
    state = x
    for matrix in matrices:
        state = state + matrix @ state
    scores = np.exp(last @ state - (last @ state).max())
    gradient = (scores / scores.sum() - np.eye(CLASSES)[label]) @ last
    for i in sorted(path, reverse=True):
        gradient = gradient @ matrices[i]
    return np.linalg.norm(gradient)


@pytest.fixture
def task(rng):
    return rng.normal(size=(5, SIDE)).astype("float32"), rng.integers(0, CLASSES, 5)


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_single_paths_of_a_linear_network(task, activation):
    model, matrices, last = linear(activation)
    norms = gradient_norms(model)
    for length in range(MODULES + 1):
        for path in combinations(range(MODULES), length):
            through = np.zeros((5, MODULES), "float32")
            through[:, list(path)] = 1
            found = norms(*task, through, 1 - through)
            expected = [closed_form(matrices, last, x, y, path) for x, y in zip(*task, strict=True)]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_every_image_has_a_path_of_its_own(task):
    model, matrices, last = linear()
    paths = [(), (0,), (1, 3), (0, 1, 2), (0, 1, 2, 3)]
    through = np.array([[i in path for i in range(MODULES)] for path in paths], "float32")
    found = gradient_norms(model)(*task, through, 1 - through)
    expected = [closed_form(matrices, last, *pair, path) for *pair, path in zip(*task, paths, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_means_over_all_paths_of_a_length(task):
    model, matrices, last = linear()
    found = gradient_by_path_length(model, *task, samples=6000, batch_size=1000)
    assert found.modules == MODULES and found.lengths == tuple(range(MODULES + 1))
    for length, mean, deviation in zip(found.lengths, found.means, found.deviations, strict=True):
        norms = [
            closed_form(matrices, last, x, y, path)
            for x, y in zip(*task, strict=True)
            for path in combinations(range(MODULES), length)
        ]
        # The lengths with one path are exact, the others estimates: five standard errors.
        exact = length in (0, MODULES)
        assert mean == pytest.approx(np.mean(norms), abs=1e-5 if exact else 5 * np.std(norms) / 6000**0.5)
        assert deviation == pytest.approx(np.std(norms), rel=0.1)


def test_open_gates_give_the_ordinary_gradient():
    model = network("resnet20")
    images, labels = pictures(), np.array([0, 3, 1])
    ones = np.ones((3, 9), "float32")
    stem = keras.Model(model.input, model.get_layer("conv1_relu").output)
    rest = keras.Model(model.get_layer("conv1_relu").output, model.output)
    x = tf.convert_to_tensor(stem(images))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, rest(x))
    expected = np.linalg.norm(tape.gradient(loss, x).numpy().reshape(3, -1), axis=1)
    close(gradient_norms(model)(images, labels, ones, ones), expected, 1e-4)


def test_the_sum_over_all_paths_is_the_ordinary_gradient(task):
    """Gates of a half each halve the gradient of every path: linear in each gate."""
    model, *_ = linear()
    norms, ones = gradient_norms(model), np.ones((5, MODULES), "float32")
    np.testing.assert_allclose(
        norms(*task, ones / 2, ones / 2) * 2**MODULES, norms(*task, ones, ones), rtol=1e-4
    )


@pytest.mark.parametrize("modules", [1, 2, 27, 54, 600])
def test_path_lengths_equal_scipy(modules):
    expected = binom.pmf(np.arange(modules + 1), modules, 0.5)
    np.testing.assert_allclose(path_lengths(modules), expected, rtol=1e-9)
    assert path_lengths(modules).sum() == pytest.approx(1)


def test_random_gates(rng):
    through, past = random_gates(4000, 6, 2, rng)
    np.testing.assert_array_equal(through + past, 1)
    np.testing.assert_array_equal(through.sum(axis=1), 2)
    codes, counts = np.unique(through @ 2 ** np.arange(6), return_counts=True)
    assert len(codes) == 15 and counts.min() > 4000 / 15 * 0.75 and counts.max() < 4000 / 15 * 1.25


def test_effective_paths_of_a_gradient_that_halves():
    """Binomial(1/2) times (1/2)**k is binomial(1/3)."""
    modules = 27
    means = tuple(0.5**k for k in range(modules + 1))
    found = effective_path_lengths(
        PathGradients(modules, tuple(range(modules + 1)), means, means, 1, 1.0), held=0.9
    )
    expected = binom.pmf(np.arange(modules + 1), modules, 1 / 3)
    np.testing.assert_allclose(found.shares, expected, rtol=1e-9)
    assert found.held == pytest.approx(expected[found.low : found.high + 1].sum()) and found.held >= 0.9
    sizes = [b - a for a in range(28) for b in range(a, 28) if expected[a : b + 1].sum() >= 0.9]
    assert found.high - found.low == min(sizes)
    assert found.paths == pytest.approx(path_lengths(modules)[found.low : found.high + 1].sum())


def test_the_same_seed_gives_the_same(task):
    model, *_ = linear()
    first, again, other = (gradient_by_path_length(model, *task, samples=20, seed=s) for s in (1, 1, 2))
    assert first == again != other
    assert PathGradients.from_dict(first.to_dict()) == first


WRONG = {
    "lengths": ({"lengths": [5]}, "`lengths` must be a list of whole numbers from 0 to 4"),
    "half a module": ({"lengths": [1.5]}, r"`lengths` must be .* Received: \[1\.5\]"),
    "one length": ({"lengths": 3}, "`lengths` must be a list .* Received: 3"),
    "samples": ({"samples": 0}, "`samples` must be a whole number, at least 1"),
    "batch": ({"batch_size": 0}, "`batch_size` must be a whole number, at least 1"),
    "seed": ({"seed": -1}, "`seed` must be a whole number, at least 0"),
    "images": ({"images": np.zeros((5, 1))}, r"`images` must be of shape \(n, 6\)"),
    "labels": ({"labels": np.zeros(5)}, "`labels` must be one class number"),
    "classes": ({"labels": np.full(5, 4)}, "`labels` must be classes of the model, from 0 to 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(task, case):
    changed, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        gradient_by_path_length(linear()[0], **{"images": task[0], "labels": task[1]} | changed)


def test_more_errors(task):
    with pytest.raises(ValueError, match="`modules` must be a whole number, at least 1"):
        path_lengths(0)
    zeros = PathGradients(1, (0, 1), (0.0, 0.0), (0.0, 0.0), 1, 0.0)
    with pytest.raises(ValueError, match="are all 0"):
        effective_path_lengths(zeros)
    nothing = PathGradients(1, (0, 1), (0.0, np.nan), (0.0, 0.0), 1, 0.0)
    with pytest.raises(ValueError, match="are not finite"):
        effective_path_lengths(nothing)
    with pytest.raises(ValueError, match="`held` must be above 0"):
        effective_path_lengths(zeros, held=0)
    x = keras.Input((SIDE,))
    sides = [layers.Add()([x, layers.Dense(SIDE)(x)]) for _ in range(2)]
    beside = keras.Model(x, layers.Dense(CLASSES)(layers.Concatenate()(sides)))
    with pytest.raises(ValueError, match="ways around some of its modules"):
        gradient_by_path_length(beside, *task)
