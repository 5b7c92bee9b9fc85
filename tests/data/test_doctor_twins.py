"""The search for equal and nearly equal images against comparing each with each."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data.doctor import twins
from kerasvision.data.doctor.exam import Exam, appearance, examine
from kerasvision.data.doctor.twins import Looks, connected, find_twins, near_pairs


def picture(rng, noise=0.0, base=None):
    base = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8) if base is None else base
    image = np.asarray(Image.fromarray(base).resize((96, 72), Image.Resampling.BICUBIC)).astype(float)
    return np.clip(image + rng.normal(0, noise + 1e-9, image.shape), 0, 255).astype(np.uint8), base


def exams(rng, families=40, each=3):
    made = []
    for _ in range(families):
        image, base = picture(rng)
        made.append(image)
        made += [picture(rng, noise, base)[0] for noise in np.linspace(2, 60, each - 1)]
    order = rng.permutation(len(made))
    return [examine(made[i], str(i)) for i in order]


def slow_pairs(looks):
    found = []
    for i in range(len(looks.hashes)):
        for j in range(i + 1, len(looks.hashes)):
            bits = bin(int(looks.hashes[i]) ^ int(looks.hashes[j])).count("1")
            grey = np.corrcoef(looks.grey[i].astype(float), looks.grey[j].astype(float))[0, 1]
            colours = looks.colours[i].astype(float) - looks.colours[j]
            shade = colours.mean()
            if bits <= 7 and grey >= 0.99 and np.abs(colours - shade).mean() <= 8 and abs(shade) <= 30:
                found.append((i, j))
    return found


def test_agrees_with_comparing_all(rng):
    looks = Looks.of(exams(rng))
    pairs, complete = near_pairs(looks)
    expected = slow_pairs(looks)
    assert complete and len(expected) >= 30
    assert [tuple(pair) for pair in pairs.tolist()] == expected


def test_small_blocks_find_the_same(rng, monkeypatch):
    looks = Looks.of(exams(rng, 30, 4))
    expected = near_pairs(looks)[0]
    monkeypatch.setattr(twins, "BLOCK", 7)
    assert np.array_equal(near_pairs(looks)[0], expected)


def test_stops_at_its_limit_and_says_so(rng, monkeypatch):
    monkeypatch.setattr(twins, "MOST_PAIRS", 5)
    found = find_twins(exams(rng, 20, 4))
    assert not found.complete and len(found.pairs) > 5


def test_groups_and_clusters(rng):
    one, base = picture(rng)
    near, _ = picture(rng, 3, base)
    other, _ = picture(rng)
    flat = np.full((40, 40, 3), 200, np.uint8)
    broken = Exam("is damaged")
    images = [other, one, broken, near, one, flat, flat + 1]
    twins = find_twins([i if isinstance(i, Exam) else examine(i, "x") for i in images])
    assert twins.groups() == [[1, 4]]
    assert twins.clusters() == [[1, 3, 4]]
    assert twins.group[2] == -1
    assert find_twins([examine(i, "x") for i in (one, near)], near=False).clusters() == []


def test_the_hash_is_the_difference_hash():
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))
    assert appearance(ramp.convert("RGB"))["hash"] == 2**64 - 1
    assert appearance(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("RGB"))["hash"] == 0


@pytest.mark.parametrize(
    "pairs, expected",
    [([], [0, 1, 2, 3]), ([(3, 1)], [0, 1, 2, 1]), ([(0, 1), (2, 3), (1, 2)], [0, 0, 0, 0])],
)
def test_connected(pairs, expected):
    assert connected(4, np.array(pairs, int).reshape(-1, 2)).tolist() == expected
