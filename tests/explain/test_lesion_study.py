"""The experiments give the errors that networks of their own have, and repeat themselves."""

import keras
import numpy as np
import pytest
from lesion_helpers import network, pictures
from scipy.stats import kendalltau

from kerasvision.explain import (
    DeleteEach,
    DeleteRandom,
    Permuted,
    Segments,
    delete_each,
    delete_random,
    permute,
    residual_modules,
    without,
)
from kerasvision.explain.lesion_study import answers, kendall_tau


@pytest.fixture(scope="module")
def model():
    return network("resnet20")


@pytest.fixture(scope="module")
def task(model):
    """Pictures with labels that the whole network gets right for all but one."""
    images = 3 * pictures(count=24)
    labels = np.asarray(model(images)).argmax(axis=1)
    labels[0] = (labels[0] + 1) % 5
    return images, labels


def error(model, images, labels):
    return float((np.asarray(model(images, training=False)).argmax(axis=1) != labels).mean())


def test_delete_each(model, task):
    found = delete_each(model, *task, batch_size=10)
    modules = residual_modules(model)
    assert found.baseline == pytest.approx(1 / 24) and found.images == 24
    assert [(m.name, m.shortcut, m.downsampling) for m in found.modules] == [
        (m.name, m.shortcut, m.downsampling) for m in modules
    ]
    for row in found.modules[::4]:
        assert row.error == pytest.approx(error(without(model, row.name), *task))
    assert max(row.error for row in found.modules) > 1 / 24
    assert DeleteEach.from_dict(found.to_dict()) == found


def test_delete_random(model, task):
    segments = Segments(model)
    found = delete_random(segments, *task, counts=(1, 4, 9), repeats=3, seed=5, batch_size=24)
    for row in found.counts:
        assert len(row.names) == len(row.errors) == 3
        assert all(len(set(names)) == row.count for names in row.names)
        assert row.errors[1] == pytest.approx(error(without(model, row.names[1]), *task))
    assert len(set(found.counts[1].names)) > 1
    assert DeleteRandom.from_dict(found.to_dict()) == found
    # The choices of one number do not depend on the others, so that a study can go on number by number.
    assert delete_random(segments, *task, counts=[4], repeats=3, seed=5).counts == found.counts[1:2]
    assert delete_random(segments, *task, counts=[4], repeats=3, seed=6).counts != found.counts[1:2]


def test_permute(model, task):
    segments = Segments(model)
    found = permute(segments, *task, swaps=(0, 1, 6), repeats=2)
    for row in found.permutations:
        ranks = [segments.names.index(name) for name in row.order]
        assert sorted(ranks) == list(range(9))
        assert row.kendall_tau == pytest.approx(kendalltau(range(9), ranks).statistic)
        assert all(row.order[i] == segments.names[i] for i in (3, 6))  # downsampling modules stay
        assert (row.kendall_tau == 1) == (row.order == segments.names)
    still, one = found.permutations[0], found.permutations[2]
    assert still.error == found.baseline and one.kendall_tau < 1
    assert Permuted.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("order", ["abcdef", "fedcba", "bacdfe", "cfadeb"])
def test_kendall_tau_equals_scipy(order):
    expected = kendalltau(range(6), ["abcdef".index(c) for c in order]).statistic
    assert kendall_tau("abcdef", order) == pytest.approx(expected)


def test_a_plain_network_is_the_contrast():
    model = network("plainnet20")
    images = pictures(count=8)
    labels = np.asarray(model(images)).argmax(axis=1)
    found = delete_each(model, images, labels)
    assert found.baseline == 0 and {row.shortcut for row in found.modules} == {"none"}
    assert not any(row.downsampling for row in found.modules)
    for row in found.modules[::6]:
        assert row.error == error(without(model, row.name), images, labels)


def test_what_is_not_a_number_is_wrong():
    outputs = np.array([[1.0, 2.0], [np.nan, 2.0], [np.inf, 0.0]])
    np.testing.assert_array_equal(answers(outputs), [1, -1, -1])


WRONG = {
    "too many": (delete_random, {"counts": [10]}, "`counts` must be a list of whole numbers from 0 to 9"),
    "text": (delete_random, {"counts": "12"}, "`counts` must be a list .* Received: '12'"),
    "half a module": (delete_random, {"counts": [1.7]}, r"`counts` must be .* Received: \[1\.7\]"),
    "one number": (delete_random, {"counts": 2}, "`counts` must be a list .* Received: 2"),
    "no repeats": (delete_random, {"repeats": 0}, "`repeats` must be a whole number, at least 1"),
    "seed": (permute, {"seed": -1}, "`seed` must be a whole number, at least 0"),
    "negative": (permute, {"swaps": [-1]}, "`swaps` must be a list of whole numbers at least 0"),
    "batch": (delete_each, {"batch_size": 2.5}, "`batch_size` must be a whole number, at least 1"),
    "images": (delete_each, {"images": np.zeros((2, 8, 8, 3))}, r"of shape \(n, 32, 32, 3\)"),
    "one picture": (delete_each, {"images": np.zeros((32, 32, 3))}, "`images` must be of shape"),
    "no numbers": (delete_each, {"images": np.full((24, 32, 32, 3), np.nan)}, "`images` must be finite"),
    "objects": (delete_each, {"images": np.zeros((24, 32, 32, 3), object)}, "an array of object"),
    "labels": (delete_each, {"labels": np.zeros(24)}, "`labels` must be one class number for each of the 24"),
    "classes": (delete_each, {"labels": np.full(24, 5)}, "`labels` must be classes of the model"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(model, task, case):
    function, changed, message = WRONG[case]
    given = {"images": task[0], "labels": task[1]} | changed
    with pytest.raises(ValueError, match=message):
        function(model, **given)


def test_what_is_no_classifier():
    bare = network("resnet_small", include_top=False)
    with pytest.raises(ValueError, match="must be a classifier whose output is"):
        delete_each(bare, pictures(), [0, 1, 2])
    image = bare.inputs[0]
    pooled = keras.layers.GlobalAveragePooling2D()(bare.outputs[0])
    single = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pooled))
    with pytest.raises(ValueError, match=r"with two classes or more.*\(None, 1\)"):
        delete_each(single, pictures(), [0, 0, 0])


def test_nothing_can_change_places():
    model = keras.models.clone_model(network("resnet_small", blocks=(1, 1)))
    with pytest.raises(ValueError, match="no two modules of the same shape"):
        permute(model, pictures(), [0, 1, 2])
