"""Boxes go from format to format and come back as they were; BCCD as it is."""

import os
import time
import zipfile

import numpy as np
import pytest

from kerasvision.data import (
    box_csv,
    check,
    coco,
    pascal_voc,
    shapes,
    write_box_csv,
    write_coco,
    write_pascal_voc,
    write_yolo,
    yolo,
)
from kerasvision.errors import BadAnnotationError

QUICK = {"image_size": 64, "cache": False, "validation_fraction": 0.0}
ROUND = (
    (write_pascal_voc, pascal_voc),
    (write_coco, coco),
    (write_yolo, yolo),
    (write_pascal_voc, pascal_voc),
)


def by_stem(part) -> dict:
    stems = [os.path.splitext(os.path.basename(name))[0] for name in part.names]
    return dict(zip(stems, zip(part.boxes, part.sources, strict=True), strict=True))


def largest_difference(one, two) -> float:
    """Compare all boxes of two data sets; sizes, classes, splits and files must be the same."""
    assert one.class_names == two.class_names and set(one.splits) == set(two.splits)
    largest = 0.0
    for split in one.splits:
        first, second = by_stem(one.splits[split]), by_stem(two.splits[split])
        assert set(first) == set(second)
        for stem, (boxes, source) in first.items():
            others, other_source = second[stem]
            assert boxes.size == others.size
            np.testing.assert_array_equal(boxes.labels, others.labels)
            if isinstance(source, str):
                with open(source, "rb") as a, open(other_source, "rb") as b:
                    assert a.read() == b.read()
            largest = max(largest, np.abs(boxes.boxes - others.boxes).max(initial=0.0))
    return largest


def go_round(data, folder):
    """Yield the data after each format, each made from the one before."""
    for number, (write, read) in enumerate(ROUND):
        data = read(write(data, folder / str(number)), **QUICK)
        yield data


def test_round_trip_of_drawn_scenes(tmp_path):
    drawn = shapes("detect", count=30, image_size=(60, 90), validation_fraction=0.2, test_fraction=0.2)
    names = {split: [f"{split} {i}" for i in range(len(part))] for split, part in drawn.splits.items()}
    for split, part in drawn.splits.items():
        object.__setattr__(part, "names", names[split])
    first, *others = go_round(drawn, tmp_path)
    renamed = {split: [name.replace(" ", "_") for name in part] for split, part in names.items()}
    for split, part in drawn.splits.items():
        object.__setattr__(part, "names", renamed[split])
    classes = [drawn.class_names.index(name) for name in first.class_names]
    for part in drawn.splits.values():
        part.boxes[:] = [type(b)(b.size, b.boxes, [classes.index(i) for i in b.labels]) for b in part.boxes]
    object.__setattr__(drawn, "class_names", first.class_names)
    assert 0.1 < largest_difference(drawn, first) <= 0.5  # VOC rounds to whole pixels
    assert max(largest_difference(first, other) for other in others) < 1e-4


@pytest.fixture(scope="module")
def bccd(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bccd")
    with zipfile.ZipFile(real_data / "bccd_voc.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.realdata
def test_bccd_goes_round(bccd, tmp_path):
    data = pascal_voc(bccd, on_bad_file="skip", **QUICK)
    *_, last = results = list(go_round(data, tmp_path))
    assert max(largest_difference(data, other) for other in results) < 1e-3
    assert last.counts == data.counts and largest_difference(data, last) == 0
    table = box_csv(write_box_csv(data, tmp_path / "csv"), **QUICK)
    assert largest_difference(data, table) == 0


@pytest.mark.realdata
def test_bccd_as_it_is(bccd):
    with pytest.raises(
        BadAnnotationError, match=r"00338.xml: object 13 \(RBC\) has no size .*1 more problem"
    ):
        pascal_voc(bccd, **QUICK)
    started = time.process_time()
    data = pascal_voc(bccd, on_bad_file="skip", **QUICK)
    seconds = time.process_time() - started
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 205,
        "validation": 87,
        "test": 72,
    }
    assert data.class_names == ("Platelets", "RBC", "WBC")
    assert sum(sum(counts.values()) for counts in data.counts.values()) == 4888 - 2
    assert [error.path[-9:] for error in data.skipped] == ["00338.xml", "00343.xml"]
    assert data.notes == () and seconds < 10, "which includes decoding all photos"
    images, targets = next(data.iterate("test"))
    assert images.shape == (16, 64, 64, 3) and (targets["classes"] >= -1).all()


@pytest.mark.realdata
def test_the_doctor_knows_bccd(bccd):
    found = {problem.kind: problem for problem in check(bccd).problems}
    assert set(found) == {"near leak", "box without size", "double box"}
    assert [file[-9:] for file in found["box without size"].files] == ["00338.jpg", "00343.jpg"]
    assert len(found["double box"].cases) == 8
    assert [file[-9:-4] for file in found["near leak"].files] == ["00037", "00038"]
