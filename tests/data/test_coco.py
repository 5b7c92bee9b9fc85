"""COCO: layouts, crowds and outlines, what is refused, and files that attack their reader."""

import json

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import ImageBoxes, coco, shapes, write_coco
from kerasvision.errors import BadAnnotationError, BadImageError, DataError

QUICK = {"image_size": 32, "cache": False, "validation_fraction": 0.0}
RUNS = {"size": [48, 64], "counts": [0, 1000, 48 * 64 - 1000]}
SQUARE = [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]


def annotation(key, image, category=7, bbox=(1, 2, 30, 20), **others) -> dict:
    return {"id": key, "image_id": image, "category_id": category, "bbox": list(bbox), "iscrowd": 0} | others


def document() -> dict:
    """Two images; categories with gaps, not in order."""
    return {
        "images": [
            {"id": 10, "file_name": "a.png", "width": 64, "height": 48},
            {"id": 4, "file_name": "sub/b.png", "width": 64, "height": 48},
        ],
        "annotations": [
            annotation(1, 10, segmentation=SQUARE, area=100.0, note="left"),
            annotation(2, 10, 3, (0, 0, 64, 48), iscrowd=1, segmentation=RUNS),
            annotation(3, 4, 90, (10.5, 20.25, 5.5, 6)),
        ],
        "categories": [{"id": 90, "name": "emu"}, {"id": 3, "name": "car"}, {"id": 7, "name": "dog"}],
    }


@pytest.fixture
def folder(tmp_path, photo):
    (tmp_path / "photos/sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "sub/b.png")):
        Image.fromarray(photo(48, 64, seed=number)).save(tmp_path / "photos" / name)
    return tmp_path


def write(folder, value, name="all.json"):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def load(folder, value, **arguments):
    return coco(write(folder, value), folder / "photos", **QUICK, **arguments)


def test_boxes_crowds_outlines_and_areas(folder):
    data = load(folder, document())
    assert data.class_names == ("car", "dog", "emu")
    first, second = data.splits["train"].boxes
    assert first.boxes.tolist() == [[1, 2, 31, 22], [0, 0, 64, 48]] and first.labels.tolist() == [1, 0]
    assert first.crowd.tolist() == [False, True] and first.segments == (SQUARE, RUNS)
    assert first.extras == ({"area": 100.0, "note": "left"}, {})
    assert second.boxes.tolist() == [[10.5, 20.25, 16, 26.25]] and second.segments is None
    assert list(data.splits["train"].names) == ["a.png", "sub/b.png"]
    assert data.counts["train"] == {"car": 0, "dog": 1, "emu": 1}, "crowds do not count"
    _, targets = next(data.iterate("train"))
    assert targets["crowd"].tolist() == [[False, True], [False, False]]


def test_one_file_a_split(folder):
    one, other = document(), document()
    one["images"], one["annotations"] = one["images"][:1], one["annotations"][:2]
    other["images"], other["annotations"] = other["images"][1:], other["annotations"][2:]
    files = {"train": write(folder, one, "t.json"), "validation": write(folder, other, "v.json")}
    for images in (folder / "photos", {"train": folder / "photos", "validation": folder / "photos"}):
        data = coco(files, images, **QUICK)
        assert {split: list(part.names) for split, part in data.splits.items()} == {
            "train": ["photos/a.png"],
            "validation": ["photos/sub/b.png"],
        }
    with pytest.raises(DataError, match="`images` has no folder for validation"):
        coco(files, {"train": folder / "photos"}, **QUICK)
    with pytest.raises(DataError, match="must be a mapping from train, validation or test"):
        coco({"training": files["train"]}, folder / "photos", **QUICK)


@pytest.mark.parametrize("layout", ["coco", "coco with years", "roboflow"])
def test_folders_are_found(tmp_path, photo, layout):
    root = tmp_path / "set"
    for split in ("train", "valid" if layout == "roboflow" else "val"):
        word = f"{split}2017" if layout == "coco with years" else split
        (root / word / "sub").mkdir(parents=True)
        for name in ("a.png", "sub/b.png"):
            Image.fromarray(photo(48, 64)).save(root / word / name)
        file = (
            f"{split}/_annotations.coco.json"
            if layout == "roboflow"
            else f"annotations/instances_{word}.json"
        )
        write(root, document(), file)
    assert {split: len(part) for split, part in coco(root, **QUICK).splits.items()} == {
        "train": 2,
        "validation": 2,
    }


def test_folders_that_are_not_clear(tmp_path):
    with pytest.raises(DataError, match="No COCO files in"):
        coco(tmp_path)
    for year in (2014, 2017):
        write(tmp_path, document(), f"annotations/instances_train{year}.json")
    with pytest.raises(DataError, match="are both for train"):
        coco(tmp_path)
    with pytest.raises(DataError, match="nope.json is not there"):
        coco(tmp_path / "nope.json", tmp_path)
    with pytest.raises(DataError, match="`images` .* must be the folder"):
        coco(tmp_path / "annotations/instances_train2014.json", tmp_path / "nope")


def changed(path, value):
    """Return the document with one value replaced, `path` like "annotations/0/bbox"; None deletes it."""
    whole = document()
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = whole
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return whole


A0 = "annotations/0"
BAD_BOXES = {
    "no width": (f"{A0}/bbox", [1, 2, 0, 5], r"has no size \(0 x 5 pixels\)"),
    "negative": (f"{A0}/bbox", [10, 20, -5, 5], "has a negative size"),
    "outside": (f"{A0}/bbox", [70, 2, 5, 5], "lies outside of the image"),
    "three numbers": (f"{A0}/bbox", [1, 2, 3], "has no `bbox` of four numbers. Received: .1, 2, 3"),
    "no box": (f"{A0}/bbox", None, "has no `bbox` of four numbers. Received: None"),
    "text": (f"{A0}/bbox", [1, 2, "x", 4], "`bbox` must be a number. Received: 'x'"),
    "truth": (f"{A0}/bbox", [1, 2, True, 4], "`bbox` must be a number. Received: True"),
    "huge": (f"{A0}/bbox", [1, 2, 10**30, 4], r"`bbox` must be a number up to 1e\+06"),
    "unknown category": (f"{A0}/category_id", 8, "has the category 8, which the file does not list"),
    "category in text": (f"{A0}/category_id", "7", "has the category '7'"),
    "area": (f"{A0}/area", "big", "`area` must be a number"),
    "odd polygon": (f"{A0}/segmentation", [[1, 2, 3, 4, 5]], "neither a list of polygons"),
    "line": (f"{A0}/segmentation", [[1, 2, 3, 4]], "neither a list of polygons"),
    "words": (f"{A0}/segmentation", [["a"] * 6], "neither a list of polygons"),
    "nested": (f"{A0}/segmentation", [[[1, 2]] * 6], "neither a list of polygons"),
    "enormous runs": (
        f"{A0}/segmentation",
        {"size": [10**9, 10**9], "counts": [10**18]},
        "has run lengths for an image of .1000000000, 1000000000",
    ),
    "runs that do not fit": (
        f"{A0}/segmentation",
        {"size": [48, 64], "counts": [5, 5]},
        "has run lengths that do not make up its image",
    ),
    "negative runs": (
        f"{A0}/segmentation",
        {"size": [48, 64], "counts": [-5, 48 * 64 + 5]},
        "do not make up",
    ),
    "runs without size": (f"{A0}/segmentation", {"counts": "abc"}, "has run lengths for an image of None"),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_bad_boxes_are_named_or_left_out(folder, name):
    path, value, message = BAD_BOXES[name]
    with pytest.raises(BadAnnotationError, match=rf"all\.json: annotation 1 .*{message}"):
        load(folder, changed(path, value))
    data = load(folder, changed(path, value), on_bad_file="skip")
    assert [len(one) for one in data.splits["train"].boxes] == [1, 1] and len(data.skipped) == 1


BAD_IMAGES = {
    "upwards": (
        "images/0/file_name",
        "../photos/a.png",
        "`file_name` of image 10 is '../photos/a.png', which leads",
    ),
    "absolute": ("images/0/file_name", "/etc/passwd", "which leads out of"),
    "windows": ("images/0/file_name", "c:/a.png", "which leads out of"),
    "no name": ("images/0/file_name", None, "must name an image file. Received: None"),
    "zero byte": ("images/0/file_name", "a\0.png", "can be no file name"),
    "not there": ("images/0/file_name", "zz.png", "zz.png: is not there"),
    "other size": ("images/0/width", 640, "states 640 x 48 pixels for a.png, which has 64 x 48"),
    "enormous size": ("images/0/width", 10**9, "`width` of image 10 must be a number up to"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_named_or_left_out(folder, name):
    path, value, message = BAD_IMAGES[name]
    with pytest.raises(BadImageError) as caught:
        load(folder, changed(path, value))
    assert message in str(caught.value)
    data = load(folder, changed(path, value), on_bad_file="skip")
    assert list(data.splits["train"].names) == ["sub/b.png"] and len(data.skipped) == 1


def test_an_annotation_without_image(folder):
    with pytest.raises(
        BadAnnotationError, match="annotation 1 is of the image 11, which the file does not list"
    ):
        load(folder, changed("annotations/0/image_id", 11))
    data = load(folder, changed("annotations/0/image_id", 11), on_bad_file="skip")
    assert len(data.splits["train"]) == 2 and len(data.skipped) == 1


def test_sizes_may_be_missing(folder):
    whole = changed("images/0/width", 0)
    whole["images"][0]["height"] = 0
    assert len(load(folder, whole).splits["train"]) == 2


HOSTILE = {
    "nan": ('{"images": [NaN]}', "holds NaN"),
    "infinity": ('{"images": [-Infinity]}', "holds -Infinity"),
    "overflow": ('{"images": [1e999]}', "holds 1e999"),
    "long overflow": ('{"images": [' + "9" * 400 + ".0]}", "holds 9999"),
    "very long whole number": ('{"images": [' + "9" * 5000 + "]}", "is not valid JSON"),
    "deep": ("[" * 200_000, "is nested too deeply"),
    "deep objects": ('{"a":' * 200_000, "is nested too deeply"),
    "cut off": ('{"images": [', "is not valid JSON"),
    "no text": ("\ufffd\x00", "is not valid JSON"),
    "list": ("[]", "must be an object with a list 'images'"),
    "no lists": ('{"images": {}, "annotations": [], "categories": []}', "with a list 'images'"),
}


@pytest.mark.parametrize("mode", ["raise", "skip"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused(folder, name, mode):
    text, message = HOSTILE[name]
    with pytest.raises(BadAnnotationError, match=message) as caught:
        load(folder, text, on_bad_file=mode)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("categories/0", {"id": 3, "name": "x"}, "or one twice"),
        ("categories/0", {"id": "3", "name": "x"}, "no whole number with a name"),
        ("categories/0", "dog", "a category without id or name"),
        ("images/0/id", 4, "with that of another"),
        ("images/0", "a.png", "an image without an id"),
    ],
)
def test_lists_that_make_no_sense(folder, path, value, message):
    with pytest.raises(BadAnnotationError, match=message):
        load(folder, changed(path, value))


def test_numbers_in_names_are_no_overflow(folder):
    whole = document()
    whole["annotations"][0]["note"] = "photo 1e999"
    assert load(folder, whole).splits["train"].boxes[0].extras[0]["note"] == "photo 1e999"


def test_all_that_coco_says_comes_back(folder, tmp_path):
    data = load(folder, document())
    again = coco(write_coco(data, tmp_path / "again"), **QUICK)
    assert again.class_names == data.class_names
    for one, two in zip(data.splits["train"].boxes, again.splits["train"].boxes, strict=True):
        np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-9)
        assert one.labels.tolist() == two.labels.tolist() and one.crowd.tolist() == two.crowd.tolist()
        assert one.segments == two.segments
        assert [{k: v for k, v in x.items() if k != "area"} for x in one.extras] == [
            {k: v for k, v in x.items() if k != "area"} for x in two.extras
        ]
    assert again.splits["train"].boxes[0].extras[0]["area"] == 100.0
    written = json.loads((tmp_path / "again/annotations/instances_train.json").read_text())
    assert written["annotations"][1]["area"] == 64 * 48


def test_written_files_are_what_pycocotools_reads(tmp_path):
    tools = pytest.importorskip("pycocotools.coco")
    data = shapes("detect", count=12, image_size=(40, 56), validation_fraction=0.25)
    part = data.splits["train"]
    part.boxes[0] = ImageBoxes((40, 56), [[1, 2, 11, 22]], [1], [True], segments=(SQUARE,))
    root = write_coco(data, tmp_path / "c")
    read = tools.COCO(root / "annotations/instances_train.json")
    assert len(read.imgs) == len(part) and len(read.anns) == sum(map(len, part.boxes))
    (crowd,) = read.getAnnIds(iscrowd=True)
    assert read.anns[crowd]["bbox"] == [1, 2, 10, 20] and read.annToMask(read.anns[crowd]).shape == (40, 56)


@pytest.mark.slow
def test_a_hundred_thousand_annotations_are_read_in_seconds(tmp_path, photo):
    import time

    from kerasvision.data.coco_files import find_coco, read_coco

    whole = document()
    whole["images"] = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(14_000)]
    polygon = [[float(i % 40) for i in range(40)]]
    whole["annotations"] = [annotation(i, i % 14_000, segmentation=polygon) for i in range(100_000)]
    file = write(tmp_path, whole)
    del whole
    started = time.process_time()
    images, _ = read_coco(find_coco(file, tmp_path))
    seconds = time.process_time() - started
    print(f"{seconds:.1f} s of processor time")
    assert sum(len(one.boxes) for one in images) == 100_000 and seconds < 15
