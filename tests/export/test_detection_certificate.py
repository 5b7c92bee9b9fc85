"""What a detector's certificate says of boxes that differ, and joining of files."""

import numpy as np
import pytest
from detector_helpers import LABELS, SIZE, small_source

from kerasvision._litert import LiteRTModel, convert, convert_function
from kerasvision._tflite_file import describe
from kerasvision.data.boxes import ImageBoxes
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import Certificate, as_source, certify_detector, export
from kerasvision.export.certificate import require_passed
from kerasvision.export.detection_certificate import compare_detections
from kerasvision.export.joining import join
from kerasvision.metrics import Detections

BOXES = np.array([[0, 0, 20, 20], [30, 30, 60, 60], [0, 40, 20, 60]], np.float32)


def detections(boxes=BOXES, labels=(0, 1, 2), scores=(0.9, 0.6, 0.3)) -> Detections:
    return Detections(np.asarray(boxes, np.float32).reshape(-1, 4), np.array(labels), np.array(scores))


CASES = {
    "equal": (detections(), {"recall": 1, "precision": 1, "same": 1, "mean_iou": 1}),
    "in another order": (detections(BOXES[::-1], (2, 1, 0), (0.3, 0.6, 0.9)), {"recall": 1, "same": 1}),
    "one is missing": (detections(BOXES[:2], (0, 1), (0.9, 0.6)), {"recall": 2 / 3, "precision": 1}),
    "one too many": (
        detections([*BOXES, [40, 0, 60, 20]], (0, 1, 2, 0), (0.9, 0.6, 0.3, 0.28)),
        {"recall": 1, "precision": 3 / 4, "same": 3 / 4},
    ),
    "another class": (detections(labels=(0, 1, 1)), {"recall": 2 / 3, "precision": 2 / 3}),
    "another score": (
        detections(scores=(0.9, 0.6, 0.26)),
        {"recall": 1, "precision": 1, "same": 2 / 3, "max_score_difference": 0.04},
    ),
    "a score below the margin": (
        detections(scores=(0.9, 0.6, 0.2)),
        {"recall": 1, "precision": 1, "boxes_model": 3, "boxes_file": 2, "max_score_difference": 0.1},
    ),
    "moved by 2 of 64 pixels": (
        detections(BOXES + [[2, 0, 2, 0], [0] * 4, [0] * 4]),
        {"recall": 1, "same": 2 / 3, "max_box_difference": 2 / 64, "mean_iou": (2 + 18 / 22) / 3},
    ),
    "moved too far": (detections(BOXES + [[9, 0, 9, 0], [0] * 4, [0] * 4]), {"recall": 2 / 3}),
    "twice, but there is one": (
        detections([BOXES[0], BOXES[0]], (0, 0), (0.9, 0.8)),
        {"recall": 1 / 3, "precision": 1 / 2},
    ),
    "nothing": (detections([], (), ()), {"recall": 0, "precision": 1, "same": 0, "mean_iou": None}),
}


@pytest.mark.parametrize("name", CASES)
def test_matched_boxes(name):
    found, expected = CASES[name]
    figures = compare_detections([detections()], [found], (SIZE, SIZE), 0.25)
    for key, value in expected.items():
        assert figures[key] == pytest.approx(value, abs=1e-6), key


@pytest.fixture(scope="module")
def source():
    return small_source("yolo_v1")


def certified(source, found, tmp_path, **options):
    file = tmp_path / "file.tflite"
    file.write_bytes(b"content")
    return certify_detector(source, lambda images: found, file=file, format="tflite", **options)


def test_worse_boxes_are_refused_with_by_how_much(source, tmp_path):
    worse = [Detections(one.boxes[::2], one.labels[::2], one.scores[::2]) for one in source.reference]
    proof = certified(source, worse, tmp_path, quantize="int8")
    assert not proof.passed
    assert any("of the model's boxes, needed are 90.0%" in text for text in proof.failures)
    assert any(text.startswith("AP falls from ") for text in proof.failures)
    with pytest.raises(CertificateError, match="AP falls from .* Calibrate on more") as caught:
        require_passed(proof)
    assert caught.value.certificate is proof
    assert "FAILED" in str(proof)


def test_equal_boxes_pass_also_without_truth(source, tmp_path):
    from dataclasses import replace

    assert certified(source, source.reference, tmp_path).passed
    proof = certified(replace(source, truth=None), source.reference, tmp_path)
    assert proof.passed and proof.ap_model is None and proof.per_class == {}
    assert "AP" not in str(proof)


def test_boxes_that_are_no_numbers_fail(source, tmp_path):
    broken = [Detections(one.boxes.copy(), one.labels, one.scores) for one in source.reference]
    broken[0].boxes[0, 0] = np.nan
    proof = certified(source, broken, tmp_path, tolerance={"same": 0, "ap_drop": 1})
    assert proof.failures == ("1 boxes are not finite numbers",)


def test_a_model_that_finds_nothing_proves_nothing(source, tmp_path):
    from dataclasses import replace

    from kerasvision.export import Selection

    blind = replace(source, truth=None, selection=Selection(threshold=0.99))
    nothing = [detections([], (), ()) for _ in blind.images]
    assert "nothing to prove" in certified(blind, nothing, tmp_path).failures[0]


def test_a_crowd_and_an_empty_image_are_no_trouble(source, tmp_path):
    from dataclasses import replace

    truth = [ImageBoxes.empty((SIZE, SIZE)) for _ in source.truth]
    truth[0] = ImageBoxes((SIZE, SIZE), BOXES, [0, 1, 2], crowd=[True, False, False])
    proof = certified(replace(source, truth=truth), source.reference, tmp_path)
    assert proof.passed
    assert [row[2] for row in proof.per_class.values()] == [0, 1, 1]


def test_kinds_of_certificates_are_not_mixed(source, tmp_path):
    values = certified(source, source.reference, tmp_path).to_dict()
    with pytest.raises(ExportError, match="not a certificate"):
        Certificate.from_dict(values)


def test_functions_for_classifiers_name_the_right_one(source, tmp_path):
    for call in (lambda: as_source(source), lambda: export(source, tmp_path / "x")):
        with pytest.raises(ExportError, match="export_detector"):
            call()
    assert LABELS and not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def parts():
    """Return a file that gives two outputs, and one that takes them."""

    def first(image):
        return {"low": image[:, :4, 0, 0] / 255.0, "high": image[:, 4:8, 0, 0] / 255.0}

    def second(values):
        bias = np.arange(8, dtype=np.float32).reshape(2, 4)
        return {"sum": values["low"] + values["high"] + bias[1], "product": values["low"] * values["high"]}

    both = convert_function(second, {"low": (1, 4), "high": (1, 4)})
    return convert(first, input_shape=(8, 8, 3)), both


def test_joined_files_compute_one_after_the_other(parts):
    joined = join(*parts, ("sum", "product"))
    assert list(describe(joined).outputs) == ["sum", "product"]
    assert list(describe(joined).inputs) == ["image"]
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    low, high = images[:, :4, 0, 0] / 255.0, images[:, 4:8, 0, 0] / 255.0
    found = LiteRTModel(joined)(images)
    np.testing.assert_allclose(found["sum"], low + high + [4, 5, 6, 7], rtol=1e-6)
    np.testing.assert_allclose(found["product"], low * high, rtol=1e-6)


def test_files_that_do_not_fit_are_not_joined(parts):
    network, _ = parts
    reader = {
        "name": ({"other": (1, 4)}, r"must give other as \[1, 4\].*nothing of that name"),
        "shape": ({"low": (1, 5)}, r"must give low as \[1, 5\].*It gives: \[1, 4\]"),
    }
    for shapes, message in reader.values():
        (name,) = shapes
        file = convert_function(lambda v, name=name: {"out": v[name] * 2.0}, shapes)
        with pytest.raises(ExportError, match=message):
            join(network, file, ("out",))
    with pytest.raises(ExportError, match="`outputs` must be"):
        join(*parts, ("sum",))
