"""Pascal VOC: layouts, the convention of pixels, what is refused, and files that attack their reader."""

import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from voc_text import voc_object

from kerasvision.data import ImageBoxes, pascal_voc, shapes, write_pascal_voc
from kerasvision.data.voc import read_voc
from kerasvision.errors import BadAnnotationError, BadImageError, DataError, KerasvisionError

QUICK = {"image_size": 32, "cache": False, "validation_fraction": 0.0}
GOOD = ("cat", 1, 1, 20, 20)


def boxes_of(data, split="train") -> dict[str, list]:
    part = data.splits[split]
    return {
        name.rpartition("/")[2].partition(".")[0]: one.boxes.tolist()
        for name, one in zip(part.names, part.boxes, strict=True)
    }


def test_pixels_count_from_1_and_both_corners_belong_to_the_box(voc_folder):
    root = voc_folder({"a": [("cat", 1, 1, 64, 48), ("dog", 11, 21, 20, 30)], "b": []})
    data = pascal_voc(root, **QUICK)
    assert data.task == "detect" and data.class_names == ("cat", "dog")
    assert boxes_of(data) == {"a": [[0, 0, 64, 48], [10, 20, 20, 30]], "b": []}
    images, targets = next(data.iterate("train"))
    assert images.shape == (2, 32, 32, 3) and targets["classes"].tolist() == [[0, 1], [-1, -1]]
    np.testing.assert_allclose(targets["boxes"][0], [[0, 0, 32, 32], [5, 40 / 3, 10, 20]], rtol=1e-6)
    assert data.counts == {"train": {"cat": 1, "dog": 1}}
    assert data.splits["train"].boxes[0].size == (48, 64)


def test_lists_say_the_splits(voc_folder):
    names = {name: [GOOD] for name in ("a", "b 1", "c", "d")}
    root = voc_folder(
        names, splits={"train": ["a 1"], "val": ["b 1", ""], "test": ["c -1"], "trainval": ["a", "b"]}
    )
    # "b 1" is a name here, but the list of a class would have it as the name b with the mark 1
    with pytest.raises(BadAnnotationError, match="lists 'b' for validation, but there is no b.xml"):
        pascal_voc(root, **QUICK)
    (root / "ImageSets/Main/val.txt").write_text("d\n")
    data = pascal_voc(root, **QUICK)
    assert {split: [*boxes_of(data, split)] for split in data.splits} == {
        "train": ["a"],
        "validation": ["d"],
        "test": ["c"],
    }
    assert any("XML file is in no list" in note for note in data.notes)
    data = pascal_voc(root, splits={"train": "val"}, **QUICK)
    assert list(data.splits) == ["train"] and [*boxes_of(data)] == ["d"]
    with pytest.raises(
        DataError, match="names the list .*nope.txt, which is not there. There are: test, train"
    ):
        pascal_voc(root, splits={"train": "nope"}, **QUICK)
    (root / "ImageSets/Main/test.txt").write_text("a\n")
    with pytest.raises(DataError, match="1 photo is in the train and the test list"):
        pascal_voc(root, **QUICK)


def test_trainval_is_training_where_there_is_no_train(voc_folder):
    root = voc_folder({n: [GOOD] for n in "abcde"}, splits={"trainval": list("abcd"), "test": ["e"]})
    data = pascal_voc(root, image_size=32, cache=False, validation_fraction=0.25)
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }


def test_files_beside_photos_in_split_folders(voc_folder, tmp_path):
    root = voc_folder({"a": [GOOD], "b": [GOOD]})
    for split, name in (("train", "a"), ("valid", "b")):
        folder = tmp_path / "flat" / split
        folder.mkdir(parents=True)
        for part, suffix in (("JPEGImages", "png"), ("Annotations", "xml")):
            (root / part / f"{name}.{suffix}").rename(folder / f"x.{suffix}")
    data = pascal_voc(tmp_path / "flat", **QUICK)  # the photos of both splits bear one name
    assert {split: list(part.names) for split, part in data.splits.items()} == {
        "train": ["train/x.png"],
        "validation": ["valid/x.png"],
    }


def test_one_class_is_enough_and_names_can_be_given(voc_folder):
    root = voc_folder({"a": [GOOD]})
    assert pascal_voc(root, **QUICK).class_names == ("cat",)
    data = pascal_voc(root, class_names=["dog", "cat"], **QUICK)
    assert data.splits["train"].boxes[0].labels.tolist() == [1]
    assert data.notes == ("No box of 'dog' in the train split.",)
    with pytest.raises(DataError, match="`class_names` must be a list of names. Received: 'cat'"):
        pascal_voc(root, class_names="cat", **QUICK)


BAD_BOXES = {
    "no size": (("cat", 5, 5, 5, 5), r"object 2 \(cat\) has no size \(xmin 5, ymin 5, xmax 5, ymax 5\)"),
    "no width": (("cat", 5, 5, 5, 9), "has no size"),
    "negative": (("cat", 20, 5, 10, 9), r"has a negative size \(-9 x 5 pixels\)"),
    "outside": (("cat", 70, 5, 90, 9), r"lies outside of the image \(69, 4, 90, 9 on 64 x 48 pixels\)"),
    "huge": (("cat", 1, 1, 10**12, 9), "<xmax> must be a number up to 1e[+]06. Received: '1000000000000'"),
    "very huge": (("cat", 1, 1, "9" * 5000, 9), "<xmax> must be a number up to 1e[+]06. Received: '9999"),
    "nan": (("cat", "nan", 1, 9, 9), "<xmin> must be a number up to 1e[+]06. Received: 'nan'"),
    "infinity": (("cat", 1, 1, 9, "inf"), "<ymax> must be a number"),
    "words": (("cat", "one", 1, 9, 9), "<xmin> must be a number. Received: 'one'"),
    "nothing": (("cat", "", 1, 9, 9), "<xmin> must be a number. Received: ''"),
    "no name": (("", 1, 1, 9, 9), r"object 2 \(no name\) has no <name>"),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_bad_boxes_are_named_or_left_out(voc_folder, name):
    box, message = BAD_BOXES[name]
    root = voc_folder({"a": [GOOD, box], "b": [GOOD]})
    with pytest.raises(BadAnnotationError, match=rf"a\.xml: .*{message}") as caught:
        pascal_voc(root, class_names=["cat"], **QUICK)
    assert 'on_bad_file="skip"' in str(caught.value)
    data = pascal_voc(root, on_bad_file="skip", **QUICK)
    assert boxes_of(data) == {"a": [[0, 0, 20, 20]], "b": [[0, 0, 20, 20]]}
    assert len(data.skipped) == 1 and "object 2" in data.skipped[0].reason
    assert data.skipped[0].path.endswith("a.xml") and "left out: " in repr(data)


def test_an_image_whose_only_box_is_bad_is_no_image_without_objects(voc_folder):
    root = voc_folder({"a": [("cat", 5, 5, 5, 5)], "b": [GOOD], "c": []})
    data = pascal_voc(root, on_bad_file="skip", **QUICK)
    assert set(boxes_of(data)) == {"b", "c"}
    assert "its image is left out" in data.skipped[-1].reason


def test_an_unknown_class_is_named(voc_folder):
    root = voc_folder({"a": [GOOD, ("dog", 1, 1, 9, 9)], "b": [GOOD]})
    with pytest.raises(BadAnnotationError, match=r"object 2 \(dog\) has the class 'dog', which is none of"):
        pascal_voc(root, class_names=["cat"], **QUICK)
    assert len(pascal_voc(root, class_names=["cat"], on_bad_file="skip", **QUICK).skipped) == 1


def test_how_many_more_problems_there_are(voc_folder):
    root = voc_folder({"a": [("cat", 5, 5, 5, 5)] * 3, "b": [GOOD]})
    with pytest.raises(BadAnnotationError, match="and 2 more problems of this kind"):
        pascal_voc(root, **QUICK)


def test_boxes_over_the_edge_are_cut_and_said(voc_folder):
    root = voc_folder({"a": [("cat", -20, 0, 90, 20), ("cat", 0, 0, 65, 20)]})
    data = pascal_voc(root, **QUICK)
    assert boxes_of(data) == {"a": [[0, 0, 64, 20], [0, 0, 64, 20]]}
    assert data.notes == ("1 box reaches beyond the edge of the image and was cut there.",)


def rewrite(root, name, old, new):
    file = root / "Annotations" / f"{name}.xml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


SPOILED = {
    "other size": (
        ("<width>64", "<width>640"),
        "states 640 x 48 pixels for JPEGImages/a.png, which has 64 x 48. Was",
    ),
    "turned size": (
        ("<width>64</width><height>48", "<width>48</width><height>64"),
        "as it is stored, before EXIF",
    ),
    "no photo": (("a.png</f", "zz.png</f"), None),
    "upwards": (("a.png</f", "../../etc/passwd</f"), "<filename> is '../../etc/passwd', which leads out of"),
    "absolute": (("a.png</f", "/etc/passwd</f"), "<filename> is '/etc/passwd', which leads out of"),
    "windows": (("a.png</f", r"C:\secret\a.png</f"), "which leads out of"),
    "backslashes": (("a.png</f", r"..\..\a.png</f"), "which leads out of"),
    "share": (("a.png</f", r"\\host\share\a.png</f"), "which leads out of"),
    "other root": (("annotation>", "html>"), "holds <html> where VOC has <annotation>"),
    "broken": (("</annotation>", ""), "is not well-formed XML"),
    "no box": (("bndbox>", "polygon>"), "has no <bndbox>"),
    "size in words": (("<width>64", "<width>wide"), "<width> must be a number. Received: 'wide'"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_files_are_named_or_left_out(voc_folder, name):
    (old, new), message = SPOILED[name]
    root = voc_folder({"a": [GOOD], "b": [GOOD]})
    rewrite(root, "a", old, new)
    if message is None:  # the name of the XML file helps where <filename> is of no use
        assert set(boxes_of(pascal_voc(root, **QUICK))) == {"a", "b"}
        return
    with pytest.raises(BadAnnotationError, match=r"a\.xml: ") as caught:
        pascal_voc(root, **QUICK)
    assert message in str(caught.value)
    data = pascal_voc(root, on_bad_file="skip", **QUICK)
    assert set(boxes_of(data)) == {"b"} and message in data.skipped[0].reason


def test_unknown_size_is_no_other_size(voc_folder):
    root = voc_folder({"a": [GOOD]})
    rewrite(root, "a", "<width>64</width><height>48", "<width>0</width><height>0")
    assert boxes_of(pascal_voc(root, **QUICK)) == {"a": [[0, 0, 20, 20]]}


def test_photos_without_xml_and_xml_without_photos(voc_folder):
    root = voc_folder({"a": [GOOD], "b": [GOOD], "c": [GOOD]})
    (root / "Annotations/a.xml").unlink()
    (root / "JPEGImages/b.png").unlink()
    with pytest.raises(BadAnnotationError, match="b.xml: describes 'b.png', but there is no such photo"):
        pascal_voc(root, **QUICK)
    data = pascal_voc(root, on_bad_file="skip", **QUICK)
    assert set(boxes_of(data)) == {"c"}
    assert "1 photo has no annotation in use and was left out: JPEGImages/a.png." in data.notes


def test_a_photo_that_cannot_be_read(voc_folder):
    root = voc_folder({"a": [GOOD], "b": [GOOD]})
    (root / "JPEGImages/a.png").write_bytes(b"")
    with pytest.raises(BadImageError, match="a.png: is empty"):
        pascal_voc(root, **QUICK)
    assert set(boxes_of(pascal_voc(root, on_bad_file="skip", **QUICK))) == {"b"}
    whole = (root / "JPEGImages/b.png").read_bytes()
    (root / "JPEGImages/a.png").write_bytes(whole[: len(whole) // 2])  # its header is fine
    assert set(boxes_of(pascal_voc(root, on_bad_file="skip", **QUICK))) == {"b"}


LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
ATTACKS = {
    "billion laughs": f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotation><filename>&l9;</filename>'
    "</annotation>",
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename>'
    "</annotation>",
    "external DTD": '<!DOCTYPE annotation SYSTEM "http://example.org/x.dtd"><annotation/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><annotation/>',
    "undefined entity": "<annotation><filename>&nope;</filename></annotation>",
    "deep": "<a>" * 100_000,
    "many": "<annotation>" + "<a/>" * 200_001 + "</annotation>",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_xml_is_refused(voc_folder, name, encoding):
    root = voc_folder({"a": [GOOD], "b": [GOOD]})
    (root / "Annotations/a.xml").write_bytes(ATTACKS[name].encode(encoding))
    with pytest.raises(BadAnnotationError, match=r"a\.xml: ") as caught:
        pascal_voc(root, **QUICK)
    expected = {"undefined entity": "not well-formed", "deep": "nested more than", "many": "elements"}
    assert expected.get(name, "DOCTYPE") in str(caught.value)
    assert len(str(caught.value)) < 1000 and "root:" not in str(caught.value)
    assert set(boxes_of(pascal_voc(root, on_bad_file="skip", **QUICK))) == {"b"}


def test_files_without_bounds_are_refused(voc_folder):
    root = voc_folder({"a": [GOOD], "b": [GOOD]})
    with open(root / "Annotations/a.xml", "wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(BadAnnotationError, match="has more than 17 MB"):
        pascal_voc(root, **QUICK)


def test_more_boxes_than_an_image_may_have(voc_folder):
    root = voc_folder({"a": [], "b": [GOOD]})
    rewrite(root, "a", "</annotation>", voc_object(*GOOD) * 10_001 + "</annotation>")
    with pytest.raises(BadAnnotationError, match="has 10,001 boxes, more than the 10,000"):
        pascal_voc(root, **QUICK)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda root: None, {}, "`folder` .* is not there"),
        (lambda root: root.mkdir(), {}, "No XML files in"),
        (lambda root: None, {"on_bad_file": "ignore"}, "`on_bad_file` must be"),
        (lambda root: None, {"image_size": 2}, "`image_size`"),
        (lambda root: None, {"resize": "zoom"}, "`resize`"),
    ],
)
def test_errors(tmp_path, make, arguments, message):
    make(tmp_path / "x")
    with pytest.raises(KerasvisionError, match=message):
        pascal_voc(tmp_path / "x", **arguments)


def test_no_box_at_all(voc_folder):
    with pytest.raises(DataError, match="No image has a box, so there are no classes"):
        pascal_voc(voc_folder({"a": []}), **QUICK)
    root = voc_folder({"a": [], "b": [GOOD]}, splits={"train": ["a"], "test": ["b"]})
    with pytest.raises(DataError, match="No training image has a box"):
        pascal_voc(root, **QUICK)


def test_all_that_voc_says_comes_back(voc_folder, tmp_path):
    root = voc_folder({"a": [("cat & <dog>", 3, 4, 20, 21, 1), ("cat & <dog>", 1, 1, 64, 48)], "b": []})
    rewrite(root, "a", "<bndbox><xmin>3", "<pose>Left</pose><truncated>1</truncated><bndbox><xmin>3")
    text = (root / "Annotations/a.xml").read_text().replace("cat & <dog>", "cat &amp; &lt;dog&gt;")
    (root / "Annotations/a.xml").write_text(text)
    data = pascal_voc(root, **QUICK)
    assert data.class_names == ("cat & <dog>",)
    again = pascal_voc(write_pascal_voc(data, tmp_path / "again"), **QUICK)
    assert again.class_names == data.class_names and boxes_of(again) == boxes_of(data)
    one = again.splits["train"].boxes[0]
    assert one.difficult.tolist() == [True, False] and one.size == (48, 64)
    assert one.extras[0] == {"pose": "Left", "truncated": "1"}
    np.testing.assert_array_equal(again.images("train", [0, 1]), data.images("train", [0, 1]))
    copied = (tmp_path / "again/JPEGImages/a.png").read_bytes()
    assert copied == (root / "JPEGImages/a.png").read_bytes()


def test_thin_and_crowded_boxes_survive(tmp_path):
    data = shapes("detect", count=4, image_size=(48, 64), validation_fraction=0.0)
    part = data.splits["train"]
    boxes = [[10.2, 5, 10.6, 30], [63.9, 47.8, 64, 48], [0, 0, 0.3, 0.3], [1.5, 2.5, 30.49, 40.51]]
    part.boxes[:] = [ImageBoxes((48, 64), boxes, [0] * 4, crowd=[0, 1, 0, 0])] * len(part)
    again = pascal_voc(write_pascal_voc(data, tmp_path / "v"), **QUICK).splits["train"].boxes[0]
    assert again.crowd.tolist() == [False, True, False, False]
    assert (np.abs(again.boxes - boxes) <= [[1.5], [2], [2], [0.5]]).all()
    assert (again.boxes >= 0).all() and (again.boxes <= [64, 48, 64, 48]).all()


def test_names_become_files_that_every_system_can_hold(tmp_path):
    data = shapes("detect", count=3, image_size=32, validation_fraction=0.0)
    part = data.splits["train"]
    object.__setattr__(part, "names", ["x/Photo.jpg", "y/photo.jpg", "z/ph\udcffoto ?.jpg"])
    root = write_pascal_voc(data, tmp_path / "v")
    stems = [path.stem for path in sorted((root / "JPEGImages").iterdir())]
    assert len({stem.casefold() for stem in stems}) == 3
    assert (root / "ImageSets/Main/train.txt").read_text().split() and len(read_voc(root)[0]) == 3


def test_writing_is_refused_over_something(tmp_path):
    data = shapes("detect", count=6, image_size=32)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    with pytest.raises(DataError, match="`folder` .*full must be empty"):
        write_pascal_voc(data, tmp_path / "full")
    with pytest.raises(DataError, match="`data` must be a `VisionData` of the task 'detect'.*'classify'"):
        write_pascal_voc(shapes(count=10, image_size=32), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    object.__setattr__(data, "class_names", ("a\x01", *data.class_names[1:]))
    with pytest.raises(DataError, match="holds a character that XML has not"):
        write_pascal_voc(data, tmp_path / "new")


def test_written_files_are_what_other_tools_read(tmp_path):
    root = write_pascal_voc(shapes("detect", count=8, image_size=(40, 56)), tmp_path / "v")
    for file in (root / "Annotations").iterdir():
        document = ElementTree.parse(file).getroot()
        assert (root / "JPEGImages" / document.findtext("filename")).is_file()
        assert document.findtext("size/width") == "56" and document.findtext("size/height") == "40"
        for element in document.iter("bndbox"):
            xmin, ymin, xmax, ymax = (int(element.findtext(c)) for c in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= xmin < xmax <= 56 and 1 <= ymin < ymax <= 40


def test_reading_needs_no_tensorflow(voc_folder):
    import subprocess

    root = voc_folder({"a": [GOOD]})
    code = (
        "import sys; from kerasvision.data import pascal_voc, check;"
        f"d = pascal_voc({str(root)!r}, image_size=32, cache=False, validation_fraction=0.0);"
        "next(d.iterate('train')); check(d); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


def test_exif_is_honoured_as_for_all_photos(voc_folder, photo):
    root = voc_folder({"a": [("cat", 1, 1, 20, 40)]})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(48, 64)).save(root / "JPEGImages/a.png", exif=exif)
    with pytest.raises(BadAnnotationError, match="before EXIF turns it"):
        pascal_voc(root, **QUICK)
    rewrite(root, "a", "<width>64</width><height>48", "<width>48</width><height>64")
    assert pascal_voc(root, **QUICK).splits["train"].boxes[0].size == (64, 48)
