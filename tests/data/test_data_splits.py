"""Stratified splits."""

import numpy as np
import pytest

from kerasvision.data import stratified_split
from kerasvision.errors import DataError


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "fractions",
    [{}, {"validation": 0.2}, {"validation": 0.25, "test": 0.1}, {"validation": 0.0, "test": 0.5}],
)
def test_parts_are_disjoint_complete_and_in_proportion(fractions, seed):
    labels = np.random.default_rng(seed).integers(0, 7, 500)
    parts = stratified_split(labels, fractions, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(500))
    assert set(parts) == {"train", *(part for part, share in fractions.items() if share)}
    for part, share in fractions.items():
        if share:
            assert len(parts[part]) == round(500 * share)
            for label in range(7):
                exact = (labels == label).sum() * share
                assert abs((labels[parts[part]] == label).sum() - exact) < 1


def test_every_class_is_in_both_parts_from_two_images_on():
    labels = np.repeat(np.arange(6), [1, 2, 2, 3, 5, 50])
    parts = stratified_split(labels, {"validation": 0.1}, 0)
    assert set(labels[parts["train"]]) == set(range(6))
    assert set(labels[parts["validation"]]) == set(range(1, 6))


def test_three_parts_of_small_classes():
    labels = np.repeat(np.arange(3), [1, 2, 3])
    parts = stratified_split(labels, {"validation": 0.4, "test": 0.4}, 0)
    assert [labels[parts[p]].tolist() for p in ("train", "validation", "test")] == [[0, 1, 2], [1, 2], [2]]


def test_many_small_classes_do_not_distort_the_share():
    labels = np.repeat(np.arange(100), 13)  # 2.6 of each: rounding each up would give 3
    assert len(stratified_split(labels, {"validation": 0.2}, 0)["validation"]) == 260


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    first, same, other = (
        stratified_split(labels, {"validation": 0.3}, seed)["validation"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"validation": 1.0}, "`validation_fraction` must be at least 0 and below 1. Received: 1.0"),
        ({"validation": -0.1}, "Received: -0.1"),
        ({"validation": 20}, "For a fifth of the images pass 0.2"),
        ({"validation": 0.6, "test": 0.5}, "leave nothing for training"),
    ],
)
def test_bad_fractions(fractions, message):
    with pytest.raises(DataError, match=message):
        stratified_split(np.zeros(10, int), fractions)
