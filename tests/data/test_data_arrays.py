"""Images in memory."""

import numpy as np
import pytest

from kerasvision.data import from_arrays
from kerasvision.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 12, 3), np.uint8)
LABELS = [0, 1] * 5


def test_images_are_not_copied_and_come_back():
    data = from_arrays(IMAGES, LABELS, ["a", "b"], validation_fraction=0.4, test_fraction=0.2)
    assert {split: sum(counts.values()) for split, counts in data.counts.items()} == {
        "train": 4,
        "validation": 4,
        "test": 2,
    }
    for part in data.splits.values():
        for position, name in enumerate(part.names):
            number = int(name.removeprefix("arrays #"))
            assert np.shares_memory(part.sources[position], IMAGES)
            np.testing.assert_array_equal(part.sources[position], IMAGES[number])
            assert part.labels[position] == LABELS[number]
    assert data.image_size == (8, 12)


def test_a_test_split_of_its_own():
    data = from_arrays(
        IMAGES[:7], LABELS[:7], ["a", "b"], test=(IMAGES[7:], LABELS[7:]), validation_fraction=0
    )
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 7, "test": 3}
    np.testing.assert_array_equal(data.images("train", range(7)), IMAGES[:7])
    np.testing.assert_array_equal(data.images("test", range(3)), IMAGES[7:])
    assert data.splits["test"].labels.tolist() == LABELS[7:]
    shared = from_arrays(IMAGES[:7], LABELS[:7], ["a", "b"], test=(IMAGES[7:], LABELS[7:]), test_fraction=0.5)
    assert len(shared.splits["test"]) == 3 and set(shared.splits) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ((IMAGES[:, :4], LABELS), r"`test` must have the shape of the others, \(N, 8, 12, 3\)"),
        ((IMAGES, LABELS[1:]), r"`labels` must have shape \(10,\)"),
        ((IMAGES / 255, LABELS), "`images` must be uint8"),
    ],
)
def test_a_test_split_that_does_not_fit(test, message):
    with pytest.raises(DataError, match=message):
        from_arrays(IMAGES, LABELS, ["a", "b"], test=test)


@pytest.mark.parametrize("shape", [(10, 8, 12), (10, 8, 12, 1)])
def test_grey_becomes_rgb(shape):
    data = from_arrays(IMAGES[..., :1].reshape(shape), LABELS, ["a", "b"], validation_fraction=0)
    np.testing.assert_array_equal(data.images("train", range(10)), np.repeat(IMAGES[..., :1], 3, -1))


def test_resized_when_asked():
    data = from_arrays(IMAGES, LABELS, ["a", "b"], image_size=32, resize="pad")
    assert data.images("train", [0]).shape == (1, 32, 32, 3)


def test_fingerprint_is_of_the_pixels():
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] ^= 1
    prints = [from_arrays(x, LABELS, ["a", "b"]).fingerprint() for x in (IMAGES, IMAGES.copy(), changed)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        (IMAGES / 255.0, LABELS, "ab", "uint8 in.*Received: float64.*images \\* 255"),
        (IMAGES.astype(int), LABELS, "ab", r"Received: int64.*astype\('uint8'\)"),
        (IMAGES[..., :2], LABELS, "ab", r"must have shape.*Received: \(10, 8, 12, 2\)"),
        (IMAGES[:0], [], "ab", r"Received: \(0, 8, 12, 3\)"),
        (IMAGES, LABELS[:9], "ab", r"`labels` must have shape \(10,\).*Received: \(9,\)"),
        (IMAGES, np.eye(2)[LABELS], "ab", r"labels.argmax\(-1\)"),
        (IMAGES, np.array(LABELS, float), "ab", r"whole numbers. Received: float64.*astype\(int\)"),
        (IMAGES, [0, 2] * 5, "ab", "from 0 to 1, as there are 2 `class_names`. Received: 0 to 2"),
        (IMAGES, [0, -1] * 5, "ab", "Received: -1 to 0"),
        (IMAGES, LABELS, ["a", "b", "c"], "training split has no image of 'c'"),
        (IMAGES, LABELS, ["a", " a"], "Two classes have the same name: 'a' and ' a'"),
        (IMAGES, LABELS, [1, 2], r"must be text. Received: 1. Pass `\[str\(n\)"),
        (IMAGES, LABELS, ["", "b"], "at least one character"),
        (IMAGES, [0] * 10, ["a"], "at least 2 classes"),
    ],
)
def test_what_is_refused(images, labels, names, message):
    with pytest.raises(DataError, match=message):
        from_arrays(images, labels, names)
