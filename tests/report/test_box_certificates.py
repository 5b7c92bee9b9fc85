"""Certificates of detectors' files as a table."""

from kerasvision.report.certificates import box_exports
from kerasvision.report.html import percent

CERTIFICATE = {
    "file": "phone/cells_int8.tflite",
    "format": "tflite",
    "quantize": "int8",
    "passed": True,
    "size": 2_000_000,
    "recall": 0.97,
    "precision": 0.95,
    "mean_iou": 0.913,
    "same": 0.1,
    "ap50_model": 0.91,
    "ap50_file": 0.9,
    "per_class": {"RBC": [0.9, 0.88, 805], "WBC": [1.0, 1.0, 71], "unseen": [None, None, 0]},
    "count": 72,
}


def test_what_is_found_added_and_moved():
    page = str(box_exports([CERTIFICATE]))
    for text in (*map(percent, (0.97, 0.05, 0.91, 0.90, 0.88)), "0.913", "passed", "1 class changed"):
        assert text in page
    assert "unseen" not in page


def test_nothing_found_by_either():
    page = str(box_exports([CERTIFICATE | {"mean_iou": None, "per_class": {}}]))
    assert "changed" not in page


def test_no_files():
    assert box_exports([]) is None
