"""Label maps: their geometry is that of the photos, they come in the batches, and they count."""

import pickle

import numpy as np
import pytest

from kerasvision.data import LabelMaps, Preprocessing, from_arrays, shapes
from kerasvision.data.label_maps import KeptMaps, count_labels, count_maps
from kerasvision.errors import DataError

NAMES = ["ground", "bright"]


def blobs(size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of bright blocks on black and which pixels are bright, block by block."""
    rng = np.random.default_rng(seed)
    bright = np.kron(rng.random((5, 6)) < 0.5, np.ones((9, 11), bool))[: size[0], : size[1]]
    return np.repeat((bright * np.uint8(255))[..., None], 3, -1), bright.astype(np.uint8)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(45, 66), (45, 40), (30, 66)])
@pytest.mark.parametrize("target", [(90, 132), (31, 64), (64, 31), (16, 16), (45, 66)])
def test_a_mask_lies_where_its_photo_lies(resize, size, target):
    picture, mask = blobs(size)
    preprocessing = Preprocessing(target, resize)
    seen, placed = preprocessing.read(picture)[..., 0], preprocessing.read_mask(mask)
    assert placed.shape == target and placed.dtype == np.uint8
    inside = placed != 255
    np.testing.assert_array_equal(inside, Preprocessing(target, resize).read(picture * 0 + 255)[..., 0] > 127)
    sure = inside & ((seen < 40) | (seen > 215))  # away from edges, where the picture is a mixture
    assert sure.sum() > 0.3 * inside.sum()
    assert (placed[sure] == (seen[sure] > 127)).mean() > 0.99
    assert resize == "pad" or inside.all()


def test_nearest_takes_the_pixel_under_the_centre():
    row = np.arange(6, dtype=np.uint8)[None].repeat(8, 0)
    assert Preprocessing((8, 12)).read_mask(row)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    wide = np.arange(27, dtype=np.uint8)[None].repeat(8, 0)  # the middle one of three
    assert Preprocessing((8, 9)).read_mask(wide)[0].tolist() == list(range(1, 27, 3))
    assert Preprocessing((8, 9), "crop").read_mask(wide)[0].tolist() == list(range(9, 18))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_there_is_no_drift_in_either_direction(resize):
    """The label map of a ramp is the ramp's own nearest value, within half a step on each side."""
    ramp = np.arange(200, dtype=np.uint8)[None].repeat(120, 0)
    preprocessing = Preprocessing((72, 96), resize)
    seen = preprocessing.read(np.repeat(ramp[..., None], 3, -1))[..., 0].astype(int)
    placed = preprocessing.read_mask(ramp).astype(int)
    inside = placed != 255
    inside[:, [0, -1]] = False
    difference = (placed - seen)[inside]
    assert np.abs(difference).max() <= 2 and abs(difference.mean()) <= 0.5


def in_memory(count: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 3, (count, 10, 14)).astype(np.uint8)
    maps[:, :2] = 255
    maps[3] = 255
    images = rng.integers(0, 256, (count, 10, 14, 3), np.uint8)
    return images, maps


def test_label_maps_in_memory():
    images, maps = in_memory()
    data = from_arrays(images, maps, ["a", "b", "c"], validation_fraction=0.25, batch_size=4)
    assert data.task == "segment" and data.class_names == ("a", "b", "c")
    for split in data.splits:
        part = data.splits[split]
        order = [int(name.rpartition("#")[2]) for name in part.names]
        for (pictures, masks), at in zip(data.iterate(split), range(0, len(part), 4), strict=True):
            np.testing.assert_array_equal(pictures, images[order[at : at + 4]])
            np.testing.assert_array_equal(masks, maps[order[at : at + 4]])
            assert masks.dtype == np.uint8
        np.testing.assert_array_equal(np.stack(list(part.masks)), maps[order])
        assert part.masks.pixels.sum() + part.masks.void.sum() == maps[order].size
        assert data.counts[split]["a"] == sum((maps[i] == 0).any() for i in order)
    everything = np.concatenate([data.splits[s].labels for s in data.splits])
    assert (everything == -1).sum() == 1
    assert "void" in repr(data)


def test_given_test_maps_and_order():
    images, maps = in_memory()
    data = from_arrays(images[:8], maps[:8], ["a", "b", "c"], test=(images[8:], maps[8:]))
    np.testing.assert_array_equal(next(data.iterate("test", order=[2, 0, 2]))[1], maps[[10, 8, 10]])
    np.testing.assert_array_equal(data.images("test", [1]), images[[9]])


def test_the_rarest_class_is_what_counts():
    maps = np.zeros((6, 8, 8), np.uint8)
    maps[:4, 0] = 1
    maps[2, 1, :3] = 2
    masks = LabelMaps(maps, *count_maps(maps, 3))
    assert masks.rarest().tolist() == [1, 1, 2, 1, 0, 0]
    assert masks.take([2, 0]).rarest().tolist() == [2, 1]
    assert len(masks.take([])) == 0


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.full((4, 8, 8), 3, np.uint8), "from 0 to 1 or 255"),
        (np.full((4, 8, 8), -1), "from 0 to 1 or 255"),
        (np.zeros((4, 8, 8), np.float32), "whole numbers"),
        (np.zeros((4, 8, 9), np.uint8), "one for each pixel"),
        (np.zeros((3, 8, 8), np.uint8), "one for each pixel"),
        (np.zeros((4, 8, 8, 2), np.uint8), "argmax"),
        (np.full((4, 8, 8), 255, np.uint8), "not void"),
    ],
)
def test_maps_that_cannot_be_used(maps, message):
    with pytest.raises(DataError, match=message):
        from_arrays(np.zeros((4, 8, 8, 3), np.uint8), maps, ["a", "b"])


def test_one_class_or_too_many_are_refused():
    images, maps = np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 8, 8), np.uint8)
    with pytest.raises(DataError, match="segmenter needs at least 2"):
        from_arrays(images, maps, ["a"])
    with pytest.raises(DataError, match="at most 255"):
        from_arrays(images, maps, [str(i) for i in range(256)])
    with pytest.raises(DataError, match="same kind"):
        from_arrays(images, maps, ["a", "b"], test=(images, [0, 1, 0, 1]))
    with pytest.raises(DataError, match="neither a class"):
        count_labels(np.array([[7]], np.uint8), 3)


def test_the_fingerprint_knows_the_masks():
    images, maps = in_memory()
    first = from_arrays(images, maps, ["a", "b", "c"])
    again = from_arrays(images, maps.copy(), ["a", "b", "c"])
    moved = maps[:, ::-1].copy()  # as many pixels of each class on each
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != from_arrays(images, moved, ["a", "b", "c"]).fingerprint()


def test_shapes_are_drawn_with_their_masks():
    data = shapes("segment", count=30, classes=3, image_size=(40, 48), seed=4)
    boxes = shapes("detect", count=30, classes=3, image_size=(40, 48), seed=4)
    assert data.class_names == ("background", "circle", "square", "triangle")
    both = {name: i for i, name in enumerate(boxes.splits["train"].names)}
    for i, name in enumerate(data.splits["train"].names):
        if name not in both:
            continue
        np.testing.assert_array_equal(data.images("train", [i]), boxes.images("train", [both[name]]))
        label_map, one = data.splits["train"].masks[i], boxes.splits["train"].boxes[both[name]]
        seen = set(np.unique(label_map)) - {0}
        assert seen == {label + 1 for label in one.labels}
        for label in seen:
            y, x = np.nonzero(label_map == label)
            mine = one.boxes[one.labels + 1 == label]
            reach = [*mine[:, :2].min(0), *mine[:, 2:].max(0)]
            np.testing.assert_allclose(reach, [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=2.5)
    assert data.counts["train"]["background"] == len(data.splits["train"])


def test_shapes_repeat():
    first, same, other = (shapes("segment", count=8, image_size=24, seed=seed) for seed in (3, 3, 4))
    batches = [next(data.iterate("train", batch_size=4))[1] for data in (first, same, other)]
    np.testing.assert_array_equal(batches[0], batches[1])
    assert (batches[0] != batches[2]).any()
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()


def test_tf_data_gives_the_same_batches():
    data = shapes("segment", count=10, image_size=16, batch_size=4)
    for (images, masks), (same, same_masks) in zip(data.validation, data.iterate("validation"), strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(masks, same_masks)
    spec = data.train.element_spec
    assert spec[1].shape.as_list() == [None, 16, 16] and spec[1].dtype.name == "uint8"


def test_kept_maps_are_bounded_and_belong_to_a_preprocessing():
    images, maps = in_memory()
    masks = LabelMaps(maps, *count_maps(maps, 3), kept=KeptMaps(200))
    small, large = Preprocessing(8), Preprocessing(16)
    for _ in range(2):
        for i in range(len(maps)):
            np.testing.assert_array_equal(masks.place(i, small), small.read_mask(maps[i]))
    assert 0 < len(masks.kept._packed) < len(maps) and masks.kept._size <= 200
    assert masks.kept.get(0, large) is None
    np.testing.assert_array_equal(masks.take([5]).place(0, large), large.read_mask(maps[5]))
    assert masks.kept.get(5, large) is not None and masks.kept.get(0, small) is None
    assert pickle.loads(pickle.dumps(masks.kept)).get(5, large) is None


def test_kept_maps_save_reading_again():
    class Counting:
        reads = 0

        def read(self, source, name=None):
            self.reads += 1
            return source

        def facts(self):
            return ""

    _, maps = in_memory()
    coding = Counting()
    masks = LabelMaps(maps, *count_maps(maps, 3), coding=coding)
    for _ in range(3):
        for part in (masks.take([0, 1]), masks.take([2])):
            for i in range(len(part)):
                part.place(i, Preprocessing(8))
    assert coding.reads == 3


def test_lengths_must_agree():
    _, maps = in_memory()
    pixels, void = count_maps(maps, 3)
    with pytest.raises(DataError, match="one length"):
        LabelMaps(maps[:-1], pixels, void)
