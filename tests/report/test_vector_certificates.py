"""Certificates of embedders' files as a table."""

from kerasvision.report.certificates import vector_exports

CERTIFICATE = {
    "file": "phone/faces_int8.tflite",
    "format": "tflite",
    "quantize": "int8",
    "passed": False,
    "size": 2_000_000,
    "mean_cosine": 0.98765,
    "least_cosine": 0.91234,
    "agreement": 0.98541,
    "true_accepts_model": 0.8312,
    "true_accepts_file": 0.8276,
    "false_accepts_model": 0.0101,
    "false_accepts_file": 0.0287,
    "count": 72,
    "failures": ["false accepts at the threshold change from 1.01% to 2.87%, allowed are 2.02%"],
}


def test_figures_and_failures():
    page = str(vector_exports([CERTIFICATE]))
    for text in ("0.98765", "0.91234", "98.54%", "83.1%", "82.8%", "1.01%", "2.87%", "72", "FAILED"):
        assert text in page
    assert "allowed are 2.02%" in page and "faces_int8.tflite" in page and "phone/" not in page


def test_without_a_threshold():
    names = [name for name in CERTIFICATE if "accepts" in name or name == "agreement"]
    page = str(vector_exports([CERTIFICATE | dict.fromkeys(names) | {"passed": True, "failures": []}]))
    assert "0.98765" in page and "None" not in page and "FAILED" not in page


def test_no_files():
    assert vector_exports([]) is None
