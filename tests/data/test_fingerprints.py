"""What tells data from others: a changed file is noticed, whatever way the images are picked."""

import os

import numpy as np
import pytest

from kerasvision.data import identity_folder, image_folder, pascal_voc
from kerasvision.data.picking import Picked


class Known(list):
    """A sequence that knows what tells it from others."""

    def fingerprint(self) -> str:
        return "known"


def test_what_was_picked_twice():
    assert Picked(Picked(["a", "b", "c"], np.array([2, 0])), np.array([1])).fingerprint() is None
    first, second = (Picked(Picked(Known("abc"), np.array([2, 0])), np.array([i])) for i in (0, 1))
    assert first.fingerprint() and first.fingerprint() != second.fingerprint()


@pytest.mark.parametrize("load", [image_folder, identity_folder, pascal_voc])
@pytest.mark.parametrize("on_bad_file", ["raise", "skip"])
def test_a_changed_file_changes_the_fingerprint(load, on_bad_file, class_folder, voc_folder):
    if load is pascal_voc:
        root = voc_folder({f"photo{i}": [("ant", 5, 5, 20, 20)] for i in range(4)})
    else:
        root = class_folder(dict.fromkeys("abcd", 2))
    before = load(root, image_size=16, on_bad_file=on_bad_file).fingerprint()
    assert load(root, image_size=16, on_bad_file=on_bad_file).fingerprint() == before
    photo = next(root.rglob("*.png"))
    os.utime(photo, ns=(1, 1))
    assert load(root, image_size=16, on_bad_file=on_bad_file).fingerprint() != before
