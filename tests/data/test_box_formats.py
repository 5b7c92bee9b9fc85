"""One reader for all formats of boxes: each is known by its look, and what has no boxes is refused."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import (
    box_csv,
    coco,
    pascal_voc,
    read_boxes,
    shapes,
    write_box_csv,
    write_coco,
    write_pascal_voc,
    write_yolo,
    yolo,
)
from kerasvision.errors import DataError

WRITERS = {"voc": write_pascal_voc, "coco": write_coco, "yolo": write_yolo, "csv": write_box_csv}
LOADERS = {"voc": pascal_voc, "coco": coco, "yolo": yolo, "csv": box_csv}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    drawn = shapes("detect", count=10, classes=2, image_size=32, seed=1)
    root = tmp_path_factory.mktemp("formats")
    for kind, write in WRITERS.items():
        write(drawn, root / kind)
    return root


def places(root, kind):
    """Return what a user may name: the folder, and the file in it that says everything."""
    if kind == "csv":
        return [next((root / kind).glob("*.csv"))]
    files = {"yolo": "*.yaml"}.get(kind)
    return [root / kind, *((root / kind).glob(files) if files else ())]


@pytest.mark.parametrize("kind", WRITERS)
def test_each_format_is_known_by_its_look(folders, kind):
    for place in places(folders, kind):
        settings = {"image_size": 32, "cache": False}
        found = read_boxes(place, **settings)
        wanted = LOADERS[kind](place, **settings)
        assert found.class_names == wanted.class_names
        assert found.fingerprint() == wanted.fingerprint()
        stated = read_boxes(place, annotations=kind, **settings)
        assert stated.fingerprint() == wanted.fingerprint()


def test_what_has_no_boxes_is_refused(folders, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(DataError, match="has no boxes in a format that is known by its look"):
        read_boxes(tmp_path)
    with pytest.raises(DataError, match="nowhere is not there"):
        read_boxes(tmp_path / "nowhere")
    with pytest.raises(DataError, match="`annotations` must be auto, voc, coco, yolo, csv. Received: 'xml'"):
        read_boxes(folders / "voc", annotations="xml")
