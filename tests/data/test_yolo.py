"""YOLO: layouts as tools write them, lines that are no boxes, and paths that lead away."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import ImageBoxes, shapes, write_yolo, yolo
from kerasvision.errors import BadAnnotationError, DataError

QUICK = {"image_size": 32, "cache": False, "validation_fraction": 0.0}
NAMES = "names: [cat, dog]\n"


@pytest.fixture
def make(tmp_path, photo):
    """Return a function that writes photos of 40 x 20 pixels, label files and a YAML file."""

    def build(files: dict[str, str | None], yaml: str | None = NAMES, **others: str):
        root = tmp_path / "set"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                Image.fromarray(photo(20, 40, seed=len(name))).save(path)
            else:
                path.write_text(text)
        if yaml is not None:
            (root / "data.yaml").write_text(yaml)
        return root

    return build


def names_of(data) -> dict[str, list[str]]:
    return {split: list(part.names) for split, part in data.splits.items()}


def boxes_of(data) -> dict[str, list]:
    part = data.splits["train"]
    return {name: one.boxes.tolist() for name, one in zip(part.names, part.boxes, strict=True)}


LAYOUTS = {
    "images/train": {
        "train: images/train\nval: images/val\n": ("images/train", "labels/train", "images/val")
    },
    "train/images": {
        "train: train/images\nval: val/images\n": ("train/images", "train/labels", "val/images")
    },
    "one level up": {
        "train: ../train/images\nval: ../val/images\n": ("train/images", "train/labels", "val/images")
    },
    "with dots": {"train: ./a\nval: ./b/\n": ("a", "a", "b")},
    "of another machine": {"path: /content/x\ntrain: a\nval: b\n": ("a", "a", "b")},
    "several": {"train: [a/x, a/y]\nval: b\n": ("a/x", "a/x", "b")},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(make, name):
    ((yaml, (train, labels, val)),) = LAYOUTS[name].items()
    other = val.replace("images", "labels")
    root = make(
        {
            f"{train}/1.png": None,
            f"{labels}/1.txt": "0 .5 .5 .5 1\n\n",
            f"{val}/2.png": None,
            f"{other}/2.txt": "1 .25 .5 .5 .5",
        },
        NAMES + yaml,
    )
    for path in (root, root / "data.yaml"):
        data = yolo(path, **QUICK)
        assert names_of(data) == {"train": [f"{train}/1.png"], "validation": [f"{val}/2.png"]}
        assert boxes_of(data) == {f"{train}/1.png": [[10, 0, 30, 20]]}
        assert data.class_names == ("cat", "dog") and data.splits["train"].boxes[0].size == (20, 40)


def test_without_yaml_but_with_names(make):
    root = make({"a.png": None, "a.txt": "1 .5 .5 1 1", "classes.txt": "cat\ndog\n"}, yaml=None)
    assert yolo(root, **QUICK).splits["train"].boxes[0].labels.tolist() == [1]
    (root / "classes.txt").unlink()
    with pytest.raises(DataError, match="The names of the classes of .* are not known"):
        yolo(root, **QUICK)
    assert yolo(root, class_names=["x", "y"], **QUICK).class_names == ("x", "y")


def test_lists_of_photos(make):
    files = {"p/a.png": None, "p/a.txt": "0 .5 .5 1 1", "p/b.png": None, "train.txt": "./p/a.png\n\n"}
    assert names_of(yolo(make(files, NAMES + "train: train.txt\n"), **QUICK)) == {"train": ["p/a.png"]}
    root = make(files | {"train.txt": "p/a.png\np/zz.png\n"}, NAMES + "train: train.txt\n")
    with pytest.raises(DataError, match="lists 1 photo not there: p/zz.png"):
        yolo(root, **QUICK)


def test_a_photo_without_a_file_has_no_objects(make):
    data = yolo(
        make({"a.png": None, "b.png": None, "a.txt": "0 .5 .5 1 1", "zz.txt": "0 .5 .5 1 1"}), **QUICK
    )
    assert boxes_of(data) == {"a.png": [[0, 0, 40, 20]], "b.png": []}
    assert data.notes[:2] == (
        "1 photo has no label file and counts as without objects: b.png.",
        "1 label file has no photo and was left out: zz.txt.",
    )


def test_polygons_become_boxes_and_are_kept(make):
    data = yolo(make({"a.png": None, "a.txt": "0 .25 .5 .75 .5 .5 1\n1 .5 .5 1 1"}), **QUICK)
    one = data.splits["train"].boxes[0]
    assert one.boxes.tolist() == [[10, 10, 30, 20], [0, 0, 40, 20]]
    assert one.segments == ([[10.0, 10.0, 30.0, 10.0, 20.0, 20.0]], None)


BAD_LINES = {
    "unknown class": ("2 .5 .5 .5 .5", "has the class 2, but the names go from 0 to 1"),
    "class in words": ("cat .5 .5 .5 .5", "must begin with the number of a class. Received: 'cat'"),
    "negative class": ("-1 .5 .5 .5 .5", "must begin with the number of a class"),
    "fraction": ("0.0 .5 .5 .5 .5", "must begin with the number of a class"),
    "huge class": ("9" * 5000 + " .5 .5 .5 .5", "must begin with the number of a class"),
    "score": ("0 .5 .5 .5 .5 .9", "has six values: is that a prediction"),
    "too few": ("0 .5 .5 .5", "must have `class x y width height`, or a class and a polygon, not 4 values"),
    "odd polygon": ("0 .1 .2 .3 .4 .5 .6 .7", "not 8 values"),
    "pixels": ("0 20 10 20 10", "must have shares of width and height, from 0 to 1. Received: 20"),
    "no size": ("0 .5 .5 0 .5", r"line 2 \(cat\) has no size \(0 x 10 pixels\)"),
    "negative": ("0 .5 .5 -.5 .5", "has a negative size"),
    "outside": ("0 1.3 .5 .1 .1", "lies outside of the image"),
    "nan": ("0 nan .5 .5 .5", "a coordinate must be a number"),
    "infinity": ("0 inf .5 .5 .5", "a coordinate must be a number"),
    "words": ("0 half .5 .5 .5", "a coordinate must be a number. Received: 'half'"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines_are_named_or_left_out(make, name):
    line, message = BAD_LINES[name]
    root = make({"a.png": None, "a.txt": f"1 .5 .5 1 1\n{line}\n"})
    with pytest.raises(
        BadAnnotationError, match=rf"a\.txt: line 2 .*{message}" if "line" not in message else message
    ):
        yolo(root, **QUICK)
    data = yolo(root, on_bad_file="skip", **QUICK)
    assert boxes_of(data) == {"a.png": [[0, 0, 40, 20]]} and len(data.skipped) == 1


@pytest.mark.parametrize("content", [b"\xff\xfe0 .5", b"\x89PNG\r\n"])
def test_files_that_are_no_text(make, content):
    root = make({"a.png": None, "b.png": None, "b.txt": "0 .5 .5 1 1"})
    (root / "a.txt").write_bytes(content)
    with pytest.raises(BadAnnotationError, match=r"a\.txt: is not text"):
        yolo(root, **QUICK)
    assert set(boxes_of(yolo(root, on_bad_file="skip", **QUICK))) == {"b.png"}


LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12))
HOSTILE = {
    "merge keys": ("a: &a {x: 1}\nb: {<<: [*a, *a]}\n" + NAMES, "uses aliases"),
    "nested names": ("names: [[[[[[cat]]]]]]\n", "`names` must be a list of names"),
    "code": ("names: !!python/object/apply:os.system ['echo']\n", "is not valid YAML"),
    "billion laughs": (LAUGHS + "names: *a12\n", "uses aliases"),
    "deep": ("[" * 100_000, "is nested too deeply"),
    "broken": ("names: [cat", "is not valid YAML"),
    "no mapping": ("- cat\n", "must have the keys `names`"),
    "names in gaps": ("names: {0: cat, 2: dog}\n", "`names` must be numbered 0, 1, 2"),
    "names of nothing": ("names: {0: [cat]}\n", "`names` must be a list of names"),
    "upwards": (NAMES + "train: a/../../../etc\n", "`train` is 'a/../../../etc', which leads out of"),
    "absolute": (NAMES + "train: /etc\n", "`train` is '/etc', which leads out of"),
    "number": (NAMES + "train: 5\n", "`train` must be a path or a list of paths. Received: 5"),
    "nowhere": (NAMES + "train: nope\n", "says that train is in nope, where there is no photo"),
    "in two": (NAMES + "train: .\nval: .\n", "a.png is both in train and in validation"),
    "huge": ("#" * (2 << 20), "has more than 1 MB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused(make, name):
    yaml, message = HOSTILE[name]
    root = make({"a.png": None, "a.txt": "0 .5 .5 1 1"}, yaml)
    with pytest.raises((BadAnnotationError, DataError)) as caught:
        yolo(root, on_bad_file="skip", **QUICK)
    assert message in str(caught.value) and len(str(caught.value)) < 1000


def test_lists_do_not_lead_away(make):
    files = {"p/a.png": None, "p/a.txt": "0 .5 .5 1 1", "train.txt": "/etc/passwd\n"}
    with pytest.raises(BadAnnotationError, match="line 1 is '/etc/passwd', which leads out of"):
        yolo(make(files, NAMES + "train: train.txt\n"), **QUICK)


def test_folders_that_are_not_clear(make, tmp_path):
    with pytest.raises(DataError, match="`folder_or_yaml` .* is not there"):
        yolo(tmp_path / "nope")
    root = make({"a.png": None, "other.yaml": NAMES})
    with pytest.raises(DataError, match="several YAML files: data.yaml, other.yaml. Pass the one"):
        yolo(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No images in"):
        yolo(tmp_path / "empty")


def test_what_is_written_comes_back(tmp_path, capsys, monkeypatch):
    data = shapes("detect", count=20, image_size=(40, 56), validation_fraction=0.2, test_fraction=0.2)
    boxes = [[1.23456789, 2, 33.3, 22.2], [0, 0, 56, 40]]
    data.splits["train"].boxes[0] = ImageBoxes(
        (40, 56), boxes, [1, 0], crowd=[False, True], segments=([[1] * 6], None)
    )
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    root = write_yolo(data, tmp_path / "y")
    said = capsys.readouterr().err
    assert "YOLO has no place for 1 crowds (left out) and 1 outlines." in said
    again = yolo(root, **QUICK)
    assert again.class_names == data.class_names and set(again.splits) == set(data.splits)
    for split, part in data.splits.items():
        assert len(part) == len(again.splits[split])
    by_name = {name.rpartition("/")[2]: one for name, one in zip(*both(again), strict=True)}
    first = by_name[f"{str(data.splits['train'].names[0]).replace(' #', '_')}.png"]
    np.testing.assert_allclose(first.boxes, boxes[:1], atol=1e-6)


def both(data):
    return data.splits["train"].names, data.splits["train"].boxes
