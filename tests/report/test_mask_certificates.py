"""Certificates of segmenters' files as a table."""

from kerasvision.report.certificates import mask_exports
from kerasvision.report.html import percent

CERTIFICATE = {
    "file": "phone/streets_int8.tflite",
    "format": "tflite",
    "quantize": "int8",
    "passed": False,
    "size": 2_000_000,
    "output": "probabilities",
    "output_size": (192, 256),
    "agreement": 0.98765,
    "overlap": 0.913,
    "max_difference": 0.37,
    "miou_model": 0.512,
    "miou_file": 0.487,
    "per_class": {"sky": [0.9, 0.88, 805], "road": [0.95, 0.95, 71], "unseen": [None, None, 0]},
    "count": 72,
    "failures": ["mean IoU changes from 0.512 to 0.487, allowed are 0.02"],
}


def test_figures_failures_and_the_classes_that_changed():
    page = str(mask_exports([CERTIFICATE]))
    for text in ("98.77%", "0.913", "0.37", "0.512", "0.487", "probabilities, 256 x 192", "FAILED"):
        assert text in page
    for text in ("allowed are 0.02", "1 class changed", "IoU, Keras", percent(0.9), percent(0.88)):
        assert text in page
    assert "road" not in page and "unseen" not in page


def test_labels_without_truth():
    missing = {"max_difference": None, "miou_model": None, "miou_file": None, "per_class": {}}
    page = str(mask_exports([CERTIFICATE | missing | {"output": "labels", "passed": True, "failures": []}]))
    assert "labels, 256 x 192" in page and "changed" not in page and "None" not in page


def test_no_files():
    assert mask_exports([]) is None
