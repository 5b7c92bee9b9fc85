"""COCO's outlines as label maps, against pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from kerasvision.data import coco_masks, read_masks
from kerasvision.data.coco_label_maps import OutlineCoding, Outlines
from kerasvision.data.outline_filling import fill_segment, polygon_pixels, run_pixels, segment_area
from kerasvision.errors import BadAnnotationError, DataError, KerasvisionError

coco_tools = pytest.importorskip("pycocotools.mask")
SIZE = (40, 60)
QUICK = {"image_size": SIZE, "cache": False, "validation_fraction": 0}


def encoded(inside: np.ndarray) -> str:
    return coco_tools.encode(np.asfortranarray(inside.astype(np.uint8)))["counts"].decode()


def lengths(inside: np.ndarray) -> list[int]:
    flat = np.concatenate([[0], inside.T.ravel().astype(int), [1 - int(inside[-1, -1])]])
    changes = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], changes])).tolist()


def regions(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(3, 150, 2))
    block = int(rng.integers(1, 9))
    coarse = rng.random((size[0] // block + 1, size[1] // block + 1)) < rng.random()
    return np.kron(coarse, np.ones((block, block), bool))[: size[0], : size[1]]


@pytest.mark.parametrize("seed", range(40))
def test_run_lengths_are_those_of_coco(seed):
    inside = regions(seed)
    np.testing.assert_array_equal(run_pixels(encoded(inside), inside.shape), inside)
    np.testing.assert_array_equal(run_pixels(lengths(inside), inside.shape), inside)
    segment = {"size": list(inside.shape), "counts": encoded(inside)}
    np.testing.assert_array_equal(fill_segment(segment, inside.shape), inside)
    assert segment_area(segment, inside.shape) == inside.sum()


@pytest.mark.parametrize("inside", [np.zeros((5, 7), bool), np.ones((5, 7), bool)])
def test_run_lengths_of_all_or_nothing(inside):
    np.testing.assert_array_equal(run_pixels(encoded(inside), inside.shape), inside)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_are_nearly_those_of_coco(seed):
    """Pixels differ only where the outline passes: COCO's tools round it to a fifth of a pixel."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(40, 160, 2)
    turns = np.sort(rng.random(rng.integers(3, 12))) * 2 * np.pi
    radii = rng.uniform(0.2, 0.6, len(turns)) * min(height, width)
    points = np.stack([width / 2 + radii * np.cos(turns), height / 2 + radii * np.sin(turns)], 1)
    runs = coco_tools.frPyObjects([points.ravel().tolist()], int(height), int(width))
    theirs, ours = coco_tools.decode(runs)[..., 0].astype(bool), polygon_pixels(points, (height, width))
    fine = polygon_pixels(points * 9, (height * 9, width * 9)).reshape(height, 9, width, 9).mean((1, 3))
    edge = binary_dilation((fine > 0) & (fine < 1), np.ones((3, 3)))
    assert not (theirs != ours)[~edge].any()
    assert abs(ours.sum() - fine.sum()) <= 3 + 0.05 * edge.sum()
    np.testing.assert_array_equal(ours[~edge], fine[~edge] > 0.5)


def test_polygons_beyond_the_image_and_without_area():
    whole = np.array([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]])
    assert polygon_pixels(whole, SIZE).all()
    assert not polygon_pixels(whole + [3e6, 0], SIZE).any()
    assert not polygon_pixels(np.array([[5.0, 5], [9, 9], [5, 5]]), SIZE).any()
    half = np.array([[-10, -10], [10.0, -10], [10, 100], [-10, 100]])
    np.testing.assert_array_equal(polygon_pixels(half, SIZE), np.arange(60)[None].repeat(40, 0) < 10)


def test_a_polygon_that_crosses_itself_or_has_a_hole_drawn_in():
    square = [[5, 5], [25, 5], [25, 25], [5, 25]]
    inner = [[10, 10], [20, 10], [20, 20], [10, 20]]
    keyhole = np.array([*square, square[0], inner[0], *inner[:0:-1], inner[0]], float)
    inside = polygon_pixels(keyhole, SIZE)
    assert inside[7, 7] and not inside[15, 15] and inside.sum() == 400 - 100
    joined = fill_segment([np.ravel(square).tolist(), np.ravel(inner).tolist()], SIZE)
    assert joined.sum() == 400  # parts of one object are joined


@pytest.mark.parametrize(
    "counts",
    [
        "",
        "~",
        "P",
        "0" * 3,
        "é",
        "ooooooooooo1",
        encoded(np.ones((9, 9), bool)),
        [5, -1, 2396],
        [2399],
        [1, 2400],
    ],
)
def test_run_lengths_that_do_not_fit(counts):
    with pytest.raises(KerasvisionError, match="run lengths"):
        run_pixels(counts, SIZE)


def test_many_points_take_little_memory():
    rng = np.random.default_rng(0)
    points = np.stack([rng.random(60_000) * 500, np.tile([0.0, 400.0], 30_000)], 1)
    inside = polygon_pixels(points, (400, 500))  # 24 million crossings
    assert 0.3 < inside.mean() < 0.7


def document(objects: list[list[dict]], **more) -> dict:
    images = [
        {"id": i + 1, "file_name": f"{i}.png", "height": SIZE[0], "width": SIZE[1]}
        for i in range(len(objects))
    ]
    annotations = [{"image_id": i + 1, **one} for i, some in enumerate(objects) for one in some]
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    annotations = [
        {"id": n + 1, "bbox": [0, 0, 9, 9], "iscrowd": 0, **one} for n, one in enumerate(annotations)
    ]
    return {"images": images, "annotations": annotations, "categories": categories, **more}


@pytest.fixture
def write(tmp_path, photo):
    """Return a function that writes photos and a JSON file of the objects on each."""

    def make(objects, **more):
        for i in range(len(objects)):
            Image.fromarray(photo(*SIZE, seed=i)).save(tmp_path / f"{i}.png")
        (tmp_path / "all.json").write_text(json.dumps(document(objects, **more)))
        return tmp_path / "all.json"

    return make


def rectangle(left, top, right, bottom) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def runs(left, top, right, bottom, packed: bool) -> dict:
    inside = np.zeros(SIZE, bool)
    inside[top:bottom, left:right] = True
    return {"size": list(SIZE), "counts": encoded(inside) if packed else lengths(inside)}


def test_objects_become_one_map(write):
    cat, dog = {"category_id": 7}, {"category_id": 9}
    objects = [
        [
            {**cat, "segmentation": rectangle(2, 2, 12, 12)},  # smaller: on top, though first
            {**dog, "segmentation": rectangle(5, 5, 40, 30)},
            {**cat, "segmentation": rectangle(30, 20, 36, 26) + rectangle(50, 0, 60, 4)},
        ],
        [
            {**dog, "segmentation": runs(0, 0, 20, 20, packed=True)},
            {**cat, "segmentation": runs(10, 0, 30, 20, packed=False)},  # of one size: the later is on top
            {**cat, "segmentation": runs(0, 10, 60, 40, packed=False), "iscrowd": 1},
        ],
        [],
    ]
    file = write(objects)
    data = coco_masks(file, **QUICK)
    assert data.task == "segment" and data.class_names == ("background", "cat", "dog")
    assert any("2 photos have several objects: where they overlap, the smaller" in n for n in data.notes)
    first, second, third = (np.zeros(SIZE, np.uint8) for _ in range(3))
    first[5:30, 5:40], first[2:12, 2:12], first[20:26, 30:36], first[0:4, 50:60] = 2, 1, 1, 1
    second[10:40, :], second[0:20, 0:20], second[0:20, 10:30] = 255, 2, 1
    part = data.splits["train"]
    for i, wanted in enumerate((first, second, third)):
        np.testing.assert_array_equal(part.masks[i], wanted)
        assert part.masks.pixels[i].tolist() == [(wanted == k).sum() for k in range(3)]
    np.testing.assert_array_equal(next(data.iterate("train"))[1], np.stack([first, second, third]))
    assert read_masks(file, **QUICK).fingerprint() == data.fingerprint()

    bare = coco_masks(file, background=None, class_names=["dog", "cat"], **QUICK)
    assert bare.class_names == ("dog", "cat")
    to = np.full(256, 255, np.uint8)
    to[[1, 2]] = 1, 0
    np.testing.assert_array_equal(bare.splits["train"].masks[0], to[first])
    assert bare.splits["train"].labels[2] == -1 and bare.fingerprint() != data.fingerprint()


def test_a_category_of_the_background(write):
    objects = [[{"category_id": 7, "segmentation": rectangle(2, 2, 12, 12)}]]
    file = write(objects, categories=[{"id": 7, "name": "cat"}, {"id": 8, "name": "background"}])
    assert coco_masks(file, **QUICK).class_names == ("background", "cat")


BAD = {
    "no outline": ({"category_id": 7}, "has no outline"),
    "nothing": ({"category_id": 7, "segmentation": []}, "has no outline"),
    "two points": ({"category_id": 7, "segmentation": [[1, 2, 3, 4]]}, "neither a list of polygons"),
    "text": ({"category_id": 7, "segmentation": [["a"] * 6]}, "neither a list of polygons"),
    "other size": ({"category_id": 7, "segmentation": {"size": [9, 9], "counts": "0"}}, "not its size"),
    "too short": (
        {"category_id": 7, "segmentation": {"size": list(SIZE), "counts": [5, 5]}},
        "do not make up",
    ),
    "bad text": ({"category_id": 7, "segmentation": {"size": list(SIZE), "counts": "abc~~"}}, "run lengths"),
    "category": (
        {"category_id": 5, "segmentation": rectangle(1, 1, 9, 9)},
        "has the category 5, which the file",
    ),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_outlines_that_cannot_be_used(write, bad, message):
    good = {"category_id": 7, "segmentation": rectangle(1, 1, 9, 9)}
    file = write([[good], [bad], [good]])
    with pytest.raises(BadAnnotationError, match=f"all.json: annotation 2 .*{message}"):
        coco_masks(file, **QUICK)
    data = coco_masks(file, on_bad_file="skip", **QUICK)
    assert list(data.files["train"]) == ["0.png", "2.png"] and len(data.skipped) == 1


def test_a_photo_with_one_bad_outline_is_left_out_as_a_whole(write):
    """Otherwise what the bad one covers would be taught to be background."""
    good = {"category_id": 7, "segmentation": rectangle(1, 1, 9, 9)}
    file = write([[good], [good, {"category_id": 7, "segmentation": [[1, 2]]}], [good]])
    data = coco_masks(file, on_bad_file="skip", **QUICK)
    assert list(data.files["train"]) == ["0.png", "2.png"] and len(data.skipped) == 1


LAYOUTS = {
    "images in it": ("all.json", "images"),
    "images beside": ("annotations/instances_default.json", "images"),
    "images of CVAT": ("annotations/instances_default.json", "images/default"),
    "annotations beside images": ("annotations/instances_default.json", "."),
}


@pytest.mark.parametrize(("file", "images"), LAYOUTS.values(), ids=LAYOUTS)
def test_where_photos_lie(write, tmp_path, file, images):
    written = write(2 * [[{"category_id": 7, "segmentation": rectangle(1, 1, 9, 9)}]])
    root = tmp_path / "set"
    for path in (root / file, root / images / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
    written.rename(root / file)
    for photo in tmp_path.glob("*.png"):
        photo.rename(root / images / photo.name)
    assert len(read_masks(root, **QUICK).splits["train"]) == 2


def test_what_is_not_for_outlines(write):
    file = write([[{"category_id": 7, "segmentation": rectangle(1, 1, 9, 9)}]])
    for arguments in ({"void": 3}, {"colours": {"a": (1, 2, 3)}}, {"mask_orientation": "stored"}):
        with pytest.raises(DataError, match="for masks in image files"):
            coco_masks(file, **arguments, **QUICK)
    with pytest.raises(DataError, match="list of names"):
        coco_masks(file, class_names="cat", **QUICK)


def test_drawing_says_which_object_is_wrong():
    one = Outlines(SIZE, [(1, {"size": list(SIZE), "counts": "0"})], 0, "a.json", ["annotation 4 (cat)"])
    with pytest.raises(BadAnnotationError, match="a.json: annotation 4 .cat. has run lengths"):
        OutlineCoding().read(one)
