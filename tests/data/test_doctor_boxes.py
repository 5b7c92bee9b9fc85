"""The doctor finds every kind of problem with boxes, in any format, and none where nothing is wrong."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import (
    check,
    pascal_voc,
    shapes,
    write_box_csv,
    write_coco,
    write_pascal_voc,
    write_yolo,
)
from kerasvision.errors import DataError

HEALTHY_NOTES = {"no boxes"}  # drawn scenes hold empty pictures on purpose
WRITERS = {"voc": write_pascal_voc, "coco": write_coco, "yolo": write_yolo, "csv": write_box_csv}


@pytest.fixture(scope="module")
def scenes():
    return shapes(
        "detect", count=100, classes=2, image_size=(96, 128), objects=(2, 4), validation_fraction=0.2, seed=2
    )


def kinds(checkup) -> set[str]:
    return {problem.kind for problem in checkup.problems} - HEALTHY_NOTES


@pytest.mark.parametrize("name", WRITERS)
def test_healthy_data_in_every_format(scenes, tmp_path, name):
    path = WRITERS[name](scenes, tmp_path / "set")
    before = {file: file.read_bytes() for file in (tmp_path / "set").rglob("*") if file.is_file()}
    checkup = check(path)
    assert kinds(checkup) == set() and checkup.ok and checkup.images == 100
    assert checkup.counts == scenes.counts and checkup.counted == "boxes"
    assert f"{sum(map(sum, (c.values() for c in scenes.counts.values())))} boxes" in checkup.summary()
    assert before == {file: file.read_bytes() for file in (tmp_path / "set").rglob("*") if file.is_file()}


def test_healthy_data_as_a_value(scenes):
    checkup = check(scenes)
    assert kinds(checkup) == set() and checkup.counts == scenes.counts


def test_class_folders_are_still_classes(tmp_path, photo):
    for name in ("cats", "dogs"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(photo(seed=hash((name, i)) % 9999)).save(tmp_path / "p" / name / f"{i}.png")
    (tmp_path / "p/about.yaml").write_text("a: 1\n")
    checkup = check(tmp_path / "p")
    assert checkup.counted == "images" and checkup.counts == {"all": {"cats": 20, "dogs": 20}}


def add_object(box, label="circle"):
    corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    element = f"<object><name>{label}</name><bndbox>{corners}</bndbox></object></annotation>"
    return lambda root, one: one.write_text(one.read_text().replace("</annotation>", element))


def same_box(shift, label=None):
    """Add a box of the first object again, moved by some pixels."""

    def do(root, one):
        from kerasvision.data.voc import read_voc

        (found,) = [image for image in read_voc(root)[0] if image.file == str(one)]
        box = np.round(found.boxes[0] + [1 + shift, 1, shift, 0]).astype(int)
        add_object(box, label or found.labels[0])(root, one)

    return do


def replace(old, new):
    return lambda root, one: one.write_text(one.read_text().replace(old, new))


CASES = {
    "no size": (add_object((50, 50, 50, 50)), "box without size", "error"),
    "negative": (add_object((50, 50, 40, 60)), "box without size", "error"),
    "outside": (add_object((500, 50, 540, 60)), "box outside", "error"),
    "over the edge": (add_object((100, 50, 140, 80)), "box over the edge", "warning"),
    "words": (add_object(("x", 50, 140, 80)), "broken box", "error"),
    "other size": (replace("<width>128", "<width>256"), "wrong size", "error"),
    "twice": (same_box(0), "double box", "warning"),
    "nearly twice": (same_box(1), "double box", "warning"),
    "two classes": (same_box(0, "square2"), "box conflict", "warning"),
    "tiny": (add_object((50, 50, 51, 51)), "tiny object", "note"),
    "few": (add_object((2, 2, 40, 40), "moon"), "few boxes", "warning"),
    "entity": (
        replace("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>"),
        "broken annotation",
        "error",
    ),
    "no photo": (
        lambda root, one: (root / "JPEGImages" / f"{one.stem}.png").unlink(),
        "broken annotation",
        "error",
    ),
    "no annotation": (lambda root, one: one.unlink(), "broken annotation", "error"),
    "unlisted": (
        lambda root, one: shutil.copy(one, one.with_name("extra.xml")) and None,
        "unused annotation",
        "warning",
    ),
    "photo alone": (
        lambda root, one: Image.fromarray(np.arange(96 * 128 * 3, dtype=np.uint8).reshape(96, 128, 3)).save(
            root / "JPEGImages/alone.png"
        ),
        "no annotation",
        "warning",
    ),
    "cut off": (
        lambda root, one: (root / "JPEGImages" / f"{one.stem}.png").write_bytes(b"\x89PNG\r\n\x1a\n"),
        "unreadable",
        "error",
    ),
    "leak": (
        lambda root, one: shutil.copy(
            root / "JPEGImages" / f"{one.stem}.png",
            root / "JPEGImages" / f"{(root / 'ImageSets/Main/val.txt').read_text().split()[0]}.png",
        ),
        "leak",
        "error",
    ),
}


@pytest.fixture(scope="module")
def healthy(scenes, tmp_path_factory):
    return write_pascal_voc(scenes, tmp_path_factory.mktemp("healthy") / "voc")


@pytest.mark.parametrize("name", CASES)
def test_finds(healthy, tmp_path, name):
    spoil, kind, severity = CASES[name]
    root = tmp_path / "voc"
    shutil.copytree(healthy, root)
    train = (root / "ImageSets/Main/train.txt").read_text().split()
    one = next(p for p in (root / f"Annotations/{n}.xml" for n in train) if "<object>" in p.read_text())
    spoil(root, one)
    checkup = check(root)
    found = {problem.kind: problem for problem in checkup.problems}
    assert kind in found and found[kind].severity == severity, [
        problem.message for problem in checkup.problems
    ]
    others = {"two classes": {"few boxes", "imbalance"}, "few": {"imbalance"}, "tiny": {"box without size"}}
    others |= {"no photo": {"no annotation"}, "no annotation": {"no annotation"}, "entity": {"no annotation"}}
    extra = kinds(checkup) - {kind}
    assert extra <= others.get(name, set()) | ({"empty class"} if name in ("few", "two classes") else set())
    named = {case.files[0] for case in found[kind].cases if case.files}
    expected = {"photo alone": "alone", "unlisted": "extra", "few": ""}.get(name, one.stem)
    assert any(expected in file for file in named) or name == "few"
    for text in (str(checkup), checkup._repr_html_(), json.dumps(checkup.to_dict())):
        assert kind in text or found[kind].message.split(":")[0][:20] in text


def test_only_doubles_of_one_object_count(healthy, tmp_path):
    root = tmp_path / "voc"
    shutil.copytree(healthy, root)
    one = sorted((root / "Annotations").glob("*.xml"))[0]
    for box in ((10, 10, 49, 49), (14, 10, 53, 49)):  # IoU 0.82 and, below, 0.54
        add_object(box)(root, one)
    add_object((26, 10, 65, 49))(root, one)
    (problem,) = [p for p in check(root).problems if p.kind == "double box"]
    assert len(problem.cases) == 1 and "IoU 0.82" in problem.cases[0].note


def test_tiny_objects_depend_on_the_input_size(healthy):
    large, small = (pascal_voc(healthy, image_size=size, cache=False) for size in (96, 16))
    assert "tiny object" not in kinds(check(large)) and "tiny object" in kinds(check(small))


def test_yolo_files_that_do_not_pair(scenes, tmp_path):
    root = write_yolo(scenes, tmp_path / "y")
    labels = sorted((root / "labels/train").glob("*.txt"))
    labels[0].rename(labels[0].with_name("zz.txt"))
    labels[1].write_text("9 .5 .5 .1 .1\n")
    found = {problem.kind: problem for problem in check(root).problems}
    assert found["no annotation"].files == (f"images/train/{labels[0].stem}.png",)
    assert found["unused annotation"].files == ("labels/train/zz.txt",)
    assert found["unknown class"].cases[0].note == "line 1 (?) has the class 9, but the names go from 0 to 1"


def test_a_page_is_written_and_a_clean_list_is_not(healthy, tmp_path):
    check(healthy, page=tmp_path / "page.html")
    assert "Boxes per class" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="`clean_list` lists images with classes"):
        check(healthy, clean_list=tmp_path / "clean.csv")
    with pytest.raises(DataError, match="must lie outside the checked folder"):
        check(healthy, page=healthy / "page.html")
