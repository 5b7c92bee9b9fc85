"""Scores become the label map of a photo: in bands and strips as in one piece, and where they belong."""

import numpy as np
import pytest

from kerasvision.data import Preprocessing
from kerasvision.data.preprocessing import Placement
from kerasvision.metrics.segmentation import VOID
from kerasvision.recipes import label_bands
from kerasvision.recipes.label_bands import Layer, WholeGrid, label_map
from kerasvision.recipes.windows import WindowGrid, positions, ramp


def resized(scores, size):
    """Return scores (classes, h, w) interpolated by TensorFlow, centres of pixels on half numbers."""
    import tensorflow as tf

    images = np.moveaxis(scores, 0, -1)[None].astype(np.float64)
    return np.moveaxis(tf.image.resize(images.astype(np.float32), size).numpy()[0], -1, 0)


def clear(sums):
    """Return where the highest is higher than the next, so that rounding decides nothing."""
    ordered = np.sort(sums, axis=0)
    return ordered[-1] - ordered[-2] > 1e-4


SIZES = [((6, 8), (37, 51)), ((12, 9), (12, 9)), ((24, 30), (11, 13)), ((5, 7), (5, 200)), ((8, 8), (1, 1))]


@pytest.mark.parametrize(("grid", "size"), SIZES)
@pytest.mark.parametrize("memory", [16 << 20, 1])
def test_it_is_bilinear_interpolation_and_then_the_highest(grid, size, memory, rng, monkeypatch):
    monkeypatch.setattr(label_bands, "BAND_BYTES", memory)
    scores = rng.normal(size=(5, *grid)).astype(np.float32)
    placement = Placement(grid[0] / size[0], grid[1] / size[1], 0.0, 0.0)
    found = label_map([Layer(WholeGrid(scores), placement)], size)
    wanted = resized(scores, size)
    sure = clear(wanted)
    np.testing.assert_array_equal(found[sure], wanted.argmax(0)[sure])
    assert found.dtype == np.uint8 and sure.mean() > 0.95


def test_layers_of_several_sizes_are_added(rng):
    size, grids = (40, 60), ((10, 15), (16, 20), (40, 60))
    scores = [rng.random((4, *grid)).astype(np.float32) for grid in grids]
    layers = [
        Layer(WholeGrid(one), Placement(grid[0] / size[0], grid[1] / size[1], 0.0, 0.0))
        for one, grid in zip(scores, grids, strict=True)
    ]
    total = sum(resized(one, size) for one in scores)
    sure = clear(total)
    np.testing.assert_array_equal(label_map(layers, size)[sure], total.argmax(0)[sure])


@pytest.mark.parametrize("size", [(30, 80), (80, 30), (64, 64), (200, 100)])
def test_what_was_padded_does_not_come_into_the_photo(size, rng):
    """The scores of the padding are the highest of all, of a class that is nowhere else."""
    preprocessing = Preprocessing(64, "pad")
    _, _, top, left = preprocessing.place(size)
    top, left = int(top), int(left)
    inner = rng.normal(size=(3, 64 - 2 * top, 64 - 2 * left)).astype(np.float32)
    scores = np.full((3, 64, 64), -9.0, np.float32)
    scores[2] = 99.0
    high, wide = (round(side * min(64 / size[0], 64 / size[1])) for side in size)
    inner = inner[:, :high, :wide]
    scores[:, top : top + high, left : left + wide] = inner
    found = label_map([Layer(WholeGrid(scores), preprocessing.place(size))], size)
    wanted = resized(inner, size)
    sure = clear(wanted)
    assert (found[sure] == wanted.argmax(0)[sure]).mean() == 1.0


def test_what_was_cut_off_is_void(rng):
    size, preprocessing = (60, 120), Preprocessing(32, "crop")
    scores = rng.normal(size=(3, 32, 32)).astype(np.float32)
    found = label_map([Layer(WholeGrid(scores), preprocessing.place(size))], size)
    assert (found[:, :30] == VOID).all() and (found[:, 90:] == VOID).all()
    wanted = resized(scores, (60, 60))
    sure = clear(wanted)
    np.testing.assert_array_equal(found[:, 30:90][sure], wanted.argmax(0)[sure])


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_it_is_the_way_back_of_read_mask(resize, rng):
    """Sure scores of a resized label map give that label map again, in blocks as large as its pixels."""
    preprocessing, size = Preprocessing(32, resize), (64, 128)
    blocks = rng.integers(0, 4, (8, 16)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    small = preprocessing.read_mask(blocks)
    scores = np.eye(5, dtype=np.float32)[np.where(small == VOID, 4, small)].transpose(2, 0, 1)
    found = label_map([Layer(WholeGrid(scores), preprocessing.place(size))], size)
    seen = found != VOID
    assert seen.mean() == (0.5 if resize == "crop" else 1.0)
    # Only at the edges of blocks may interpolation decide otherwise.
    assert (found[seen] == blocks[seen]).mean() > 0.8
    centres = np.zeros(size, bool)
    centres[3::8, 3::8] = centres[4::8, 4::8] = True
    np.testing.assert_array_equal(found[seen & centres], blocks[seen & centres])


def colour_answer(classes, calls=None):
    """Return a network that says the class that the red channel names, surely."""

    def answer(windows):
        if calls is not None:
            calls.append(len(windows))
        return np.eye(classes, dtype=np.float32)[windows[..., 0]].transpose(0, 3, 1, 2)

    return answer


@pytest.mark.parametrize("size", [(70, 90), (32, 48), (20, 31), (33, 100), (100, 33)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_windows_cover_every_pixel(size, overlap, rng):
    photo = rng.integers(0, 4, (*size, 3)).astype(np.uint8)
    grid = WindowGrid(photo, colour_answer(4), (32, 48), overlap, 4)
    found = label_map([Layer(grid, Placement(1.0, 1.0, 0.0, 0.0))], size)
    np.testing.assert_array_equal(found, photo[..., 0])


@pytest.mark.parametrize("strip", [256 << 20, 40_000])
def test_windows_blend_as_a_slow_reference_does(strip, rng, monkeypatch):
    """What a window says depends on where in it a pixel is; strips change nothing, but are used."""
    monkeypatch.setattr(label_bands, "STRIP_BYTES", strip)
    monkeypatch.setattr(label_bands, "BAND_BYTES", 1)
    size, window, overlap = (75, 110), (24, 32), 0.4
    photo = rng.integers(0, 255, (*size, 3)).astype(np.uint8)
    noise = rng.random((3, *window)).astype(np.float32)
    calls = []

    def answer(windows):
        calls.append(len(windows))
        return noise + windows.astype(np.float32).transpose(0, 3, 1, 2) / 255

    sums, total = np.zeros((3, *size)), np.zeros(size)
    weights = np.outer(ramp(24, overlap), ramp(32, overlap))
    tops, lefts = positions(75, 24, overlap), positions(110, 32, overlap)
    for top in tops:
        for left in lefts:
            part = photo[top : top + 24, left : left + 32].astype(float).transpose(2, 0, 1) / 255
            sums[:, top : top + 24, left : left + 32] += (part + noise) * weights
            total[top : top + 24, left : left + 32] += weights
    wanted = sums / total
    grid = WindowGrid(photo, answer, window, overlap, 3)
    found = label_map([Layer(grid, Placement(1.0, 1.0, 0.0, 0.0))], size)
    sure = clear(wanted)
    np.testing.assert_array_equal(found[sure], wanted.argmax(0)[sure])
    assert sure.mean() > 0.95
    more = sum(calls) - len(tops) * len(lefts)
    assert more == 0 if strip > 40_000 else more > 0


def test_windows_hold_a_few_rows_only(rng):
    """Rows that were asked for and passed are gone."""
    photo = np.zeros((400, 64, 3), np.uint8)
    read = WindowGrid(photo, colour_answer(4), (32, 32), 0.5, 4).open(0, 64)
    for first in range(0, 400, 8):
        assert read(first, first + 8).shape == (4, 8, 64)
        assert read.sums.shape[1] <= 2 * 32
