"""CSV files with a box a line: columns, splits, lines that are no boxes, and what is written."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import ImageBoxes, box_csv, shapes, write_box_csv
from kerasvision.errors import BadAnnotationError, BadImageError, DataError

QUICK = {"image_size": 32, "cache": False, "validation_fraction": 0.0}
HEADER = "path,xmin,ymin,xmax,ymax,label"


@pytest.fixture
def table(tmp_path, photo):
    """Return a function that writes a table beside two photos of 64 x 48 pixels."""
    for number, name in enumerate("ab"):
        Image.fromarray(photo(48, 64, seed=number)).save(tmp_path / f"{name}.png")

    def write(*lines: str, header: str = HEADER):
        file = tmp_path / "boxes.csv"
        file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return file

    return write


def boxes_of(data, split="train") -> dict[str, list]:
    part = data.splits[split]
    return {name: one.boxes.tolist() for name, one in zip(part.names, part.boxes, strict=True)}


def test_a_box_a_line_and_a_photo_without(table):
    data = box_csv(table("a.png,0,0,64,48,dog", "b.png,,,,,", "a.png,1.5,2,3,4.25,cat"), **QUICK)
    assert boxes_of(data) == {"a.png": [[0, 0, 64, 48], [1.5, 2, 3, 4.25]], "b.png": []}
    assert data.class_names == ("cat", "dog") and data.splits["train"].boxes[0].labels.tolist() == [1, 0]


def test_further_columns(table):
    header = "filename;width;height;class;xmin;ymin;xmax;ymax;split;crowd;difficult"
    lines = (
        "a.png;64;48;dog;0;0;9;9;train;1;0",
        "b.png;64;48;dog;0;0;9;9;val;0;1",
        "a.png;64;48;dog;1;1;9;9;train;0;",
    )
    data = box_csv(table(*lines, header=header), columns={"path": "filename", "label": "class"}, **QUICK)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 1, "validation": 1}
    one = data.splits["train"].boxes[0]
    assert one.crowd.tolist() == [True, False] and not one.difficult.any()
    assert data.splits["validation"].boxes[0].difficult.tolist() == [True]


def test_paths_start_from_a_folder(table, tmp_path):
    file = table("a.png,0,0,9,9,dog")
    moved = tmp_path / "lists/boxes.csv"
    moved.parent.mkdir()
    file.rename(moved)
    with pytest.raises(BadImageError, match="lists/a.png: is not there"):
        box_csv(moved, **QUICK)
    assert set(boxes_of(box_csv(moved, folder=tmp_path, **QUICK))) == {"a.png"}


BAD_LINES = {
    "no size": ("a.png,5,5,5,5,dog", r"line 3 \(dog\) has no size \(0 x 0 pixels\)"),
    "outside": ("a.png,70,5,75,9,dog", "line 3 .*lies outside of the image"),
    "words": ("a.png,one,5,75,9,dog", "line 3 .*xmin must be a number. Received: 'one'"),
    "nan": ("a.png,nan,5,75,9,dog", "line 3 .*xmin must be a number up to"),
    "huge": ("a.png,1,5,1e300,9,dog", "line 3 .*xmax must be a number up to"),
    "no label": ("a.png,1,5,9,9,", r"line 3 \(no label\) has no label"),
    "half a box": ("a.png,1,5,,,dog", "line 3 .*xmax must be a number. Received: ''"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines_are_named_or_left_out(table, name):
    line, message = BAD_LINES[name]
    file = table("a.png,0,0,9,9,dog", line)
    with pytest.raises(BadAnnotationError, match=rf"boxes\.csv: {message}"):
        box_csv(file, **QUICK)
    data = box_csv(file, on_bad_file="skip", **QUICK)
    assert boxes_of(data) == {"a.png": [[0, 0, 9, 9]]} and len(data.skipped) == 1


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["../a.png,0,0,9,9,dog"], HEADER, "line 2: the path is '../a.png', which leads out of"),
        (["/etc/passwd,0,0,9,9,dog"], HEADER, "which leads out of"),
        ([",0,0,9,9,dog"], HEADER, "line 2: the path must name an image file"),
        ([], HEADER, "lists no images"),
        (
            ["a.png,0,0,9,9"],
            "path,xmin,ymin,xmax,ymax",
            "has no column label. Its first line says: path, xmin",
        ),
        (
            ["a.png,0,0,9,9,d,train", "a.png,0,0,9,9,d,test"],
            HEADER + ",split",
            r"must be in one of .*\['test', 'train'\]",
        ),
        (["a.png,0,0,9,9,d,later"], HEADER + ",split", "must be in one of train, validation and test"),
        (
            ["a.png,0,0,9,9,d,640,48"],
            HEADER + ",width,height",
            "states 640 x 48 pixels for a.png, which has 64 x 48",
        ),
        (['"a.png,0,0,9,9,d'], HEADER, "Is a quotation mark missing"),
    ],
)
def test_tables_that_are_refused(table, lines, header, message):
    with pytest.raises((DataError, BadImageError), match=message):
        box_csv(table(*lines, header=header), **QUICK)


def test_columns_that_are_not_ours(table):
    with pytest.raises(DataError, match=r"`columns` may rename path, .*Received: \['image'\]"):
        box_csv(table("a.png,0,0,9,9,dog"), columns={"image": "path"}, **QUICK)
    with pytest.raises(DataError, match="is not there"):
        box_csv("nope.csv", **QUICK)


def test_what_is_written_comes_back(tmp_path):
    data = shapes("detect", count=20, image_size=(40, 56), validation_fraction=0.2, test_fraction=0.2)
    part = data.splits["train"]
    part.boxes[0] = ImageBoxes((40, 56), [[1.25, 2, 33.3, 22.2], [0, 0, 56, 40]], [1, 0], [0, 1], [1, 0])
    file = write_box_csv(data, tmp_path / "t")
    again = box_csv(file, class_names=data.class_names, **QUICK)
    assert {s: len(p) for s, p in again.splits.items()} == {s: len(p) for s, p in data.splits.items()}
    for split, part in data.splits.items():
        for index, one in enumerate(part.boxes):
            two = again.splits[split].boxes[index]
            np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-5)
            for name in ("labels", "crowd", "difficult"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
            assert one.size == two.size
