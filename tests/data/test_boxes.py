"""Boxes as values: shapes, where they are after resizing, and as targets of batches."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import ImageBoxes, Preprocessing, shapes
from kerasvision.data.boxes import BoxTargets, box_counts, place_boxes, rarest_labels
from kerasvision.data.headers import upright_size
from kerasvision.errors import BadImageError, DataError


@pytest.mark.parametrize(
    "values",
    [
        {"boxes": np.zeros((2, 3)), "labels": [0, 0]},
        {"boxes": np.zeros((2, 4)), "labels": [0]},
        {"boxes": np.zeros((2, 4)), "labels": [0, 0], "crowd": [True]},
        {"boxes": np.zeros((2, 4)), "labels": [0, 0], "extras": ({},)},
    ],
)
def test_what_is_said_of_boxes_must_fit(values):
    with pytest.raises(DataError, match=r"`boxes` must have shape \(n, 4\)"):
        ImageBoxes((4, 4), **values)


def test_take_keeps_everything_together():
    one = ImageBoxes(
        (9, 9),
        np.arange(12).reshape(3, 4),
        [0, 1, 2],
        [0, 1, 0],
        [1, 0, 0],
        ("a", "b", None),
        ({}, {"x": 1}, {}),
    )
    two = one.take(np.array([False, True, True]))
    assert two.labels.tolist() == [1, 2] and two.crowd.tolist() == [True, False]
    assert two.segments == ("b", None) and two.extras == ({"x": 1}, {}) and two.size == (9, 9)
    assert len(one.take([])) == 0 and len(ImageBoxes.empty((3, 4))) == 0


def marked(size, box) -> np.ndarray:
    image = np.zeros((*size, 3), np.uint8)
    left, top, right, bottom = box
    image[top:bottom, left:right] = 255
    return image


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(60, 100), (100, 60), (64, 64), (33, 250)])
@pytest.mark.parametrize("image_size", [(50, 50), (32, 80)])
def test_boxes_are_where_their_pixels_are(resize, size, image_size):
    """A white rectangle, resized by Pillow, has its half-bright edge where the box is."""
    height, width = size
    box = [int(0.4 * width), int(0.4 * height), int(0.6 * width), int(0.7 * height)]
    preprocessing = Preprocessing(image_size, resize)
    seen = preprocessing.read(marked(size, box))[..., 0] > 127
    (placed,), _ = place_boxes(ImageBoxes(size, [box], [0]), preprocessing)
    y, x = np.nonzero(seen)
    np.testing.assert_allclose(placed, [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=1.01)
    back = preprocessing.unplace(preprocessing.place_boxes(np.array([box], float), size), size)
    np.testing.assert_allclose(back, [box], atol=1e-9)


def test_crop_drops_what_it_cuts_off():
    one = ImageBoxes(
        (50, 100), [[0, 0, 20, 50], [20, 0, 40, 50], [23, 0, 26, 50], [40, 10, 60, 40]], [0, 1, 2, 3]
    )
    placed, kept = place_boxes(one, Preprocessing((50, 50), "crop"))
    assert kept.tolist() == [1, 2, 3]  # of the third a third is left, of the first nothing
    np.testing.assert_allclose(placed, [[0, 0, 15, 50], [0, 0, 1, 50], [15, 10, 35, 40]])


def test_targets_have_one_shape_for_the_whole_split():
    boxes = [
        ImageBoxes((10, 20), [[0, 0, 10, 10], [2, 2, 4, 4]], [3, 1], crowd=[False, True]),
        ImageBoxes.empty((10, 20)),
        ImageBoxes((10, 20), [[10, 5, 20, 10]], [2]),
    ]
    batch = BoxTargets(boxes, Preprocessing((20, 20)))[np.array([1, 0])]
    assert batch["boxes"].shape == (2, 2, 4) and batch["boxes"].dtype == np.float32
    assert batch["classes"].tolist() == [[-1, -1], [3, 1]] and batch["classes"].dtype == np.int32
    assert batch["crowd"].tolist() == [[False, False], [False, True]]
    assert batch["boxes"][1].tolist() == [[0, 0, 10, 20], [2, 4, 4, 8]]
    assert BoxTargets(boxes[1:2], Preprocessing((20, 20)))[np.array([0])]["boxes"].shape == (1, 1, 4)


def test_the_rarest_class_stands_for_an_image():
    boxes = [
        ImageBoxes((9, 9), np.ones((len(labels), 4)), labels) for labels in ([0, 0, 1], [0, 2], [0, 1], [])
    ]
    assert box_counts(boxes, 4).tolist() == [4, 2, 1, 0]
    assert rarest_labels(boxes, 4).tolist() == [1, 2, 1, -1]
    crowd = [ImageBoxes((9, 9), np.ones((1, 4)), [0], crowd=[True])]
    assert rarest_labels(crowd, 1).tolist() == [-1] and box_counts(crowd, 1).tolist() == [0]


def test_scenes_with_boxes():
    data = shapes("detect", count=60, classes=3, image_size=(48, 64), test_fraction=0.2, seed=1)
    assert data.task == "detect" and set(data.splits) == {"train", "validation", "test"}
    sizes = [len(one) for part in data.splits.values() for one in part.boxes]
    assert 0 in sizes and max(sizes) <= 4
    part = data.splits["train"]
    images, targets = next(data.iterate("train", batch_size=8, order=[5, 0, 1, 2, 3, 4, 6, 7]))
    assert images.shape == (8, 48, 64, 3) and targets["boxes"].shape[0] == 8
    count = len(part.boxes[5])
    np.testing.assert_allclose(targets["boxes"][0, :count], part.boxes[5].boxes, atol=1e-4)
    assert targets["classes"][0].tolist()[:count] == part.boxes[5].labels.tolist()
    assert data.counts["train"]["circle"] == sum((one.labels == 0).sum() for one in part.boxes)
    assert "48 images" not in repr(data) and "boxes (circle" in repr(data)
    assert (
        data.fingerprint()
        == shapes("detect", count=60, classes=3, image_size=(48, 64), test_fraction=0.2, seed=1).fingerprint()
    )
    balanced = data.class_balanced("train", 9)
    assert (
        np.bincount(part.labels[balanced] + 1).max() - np.bincount(part.labels[balanced] + 1)[1:].min() <= 1
    )


def test_a_scene_differs_from_its_ground_inside_its_boxes():
    data = shapes("detect", count=12, image_size=96, validation_fraction=0.0)
    scenes = data.splits["train"].sources.items
    for index in range(12):
        boxes, masks = scenes.boxes(index).boxes, scenes.scene(index).masks((96, 96))
        assert len(boxes) == len(masks)
        for box, mask in zip(boxes, masks, strict=True):
            y, x = np.nonzero(mask)
            assert box[0] <= x.min() + 1.5 and box[2] >= x.max() - 0.5
            assert box[1] <= y.min() + 1.5 and box[3] >= y.max() - 0.5


def test_the_fingerprint_sees_a_moved_box():
    data = shapes("detect", count=20, image_size=32)
    before = data.fingerprint()
    one = next(one for one in data.splits["train"].boxes if len(one))
    one.boxes[0, 0] += 0.25
    assert data.fingerprint() != before


def test_batches_as_tf_data_have_a_fixed_shape():
    data = shapes("detect", count=20, image_size=32, batch_size=4)
    most = max(len(one) for one in data.splits["train"].boxes)
    images, targets = data.train.element_spec
    assert images.shape.as_list() == [None, 32, 32, 3]
    assert targets["boxes"].shape.as_list() == [None, most, 4]
    batches = list(data.validation.as_numpy_iterator())
    for (images, targets), (expected, wanted) in zip(batches, data.iterate("validation"), strict=True):
        np.testing.assert_array_equal(images, expected)
        assert set(targets) == {"boxes", "classes", "crowd"}
        for name in targets:
            np.testing.assert_array_equal(targets[name], wanted[name])


@pytest.mark.parametrize("objects", [(0, 2), (3, 2), 4, (1, 2.5), (1, 1000), "12"])
def test_numbers_of_objects_that_are_refused(objects):
    with pytest.raises(DataError, match="`objects` must be the fewest and the most"):
        shapes("detect", objects=objects)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_sizes_from_headers_are_those_of_decoded_photos(tmp_path, photo, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"photo{suffix}"
    Image.fromarray(photo(30, 50)).save(file, exif=exif)
    expected = (50, 30) if orientation >= 5 else (30, 50)
    assert upright_size(str(file)) == upright_size(file.read_bytes()) == expected
    assert Preprocessing(64, "pad").read(str(file)).shape == (64, 64, 3)


def test_sizes_of_arrays_and_of_what_is_no_image(tmp_path):
    assert upright_size(np.zeros((4, 5, 3), np.uint8)) == (4, 5)
    (tmp_path / "a.jpg").write_text("hello")
    for path in (tmp_path / "a.jpg", tmp_path / "b.jpg"):
        with pytest.raises(BadImageError, match=r"[ab]\.jpg"):
            upright_size(str(path))
