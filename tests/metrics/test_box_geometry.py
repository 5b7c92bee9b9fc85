import numpy as np
import pytest
from detection_cases import random_boxes

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import pairwise_iou
from kerasvision.metrics.box_geometry import (
    aligned_coverage,
    aligned_iou,
    as_boxes,
    box_areas,
    to_xywh,
    to_xyxy,
)


def slow_intersection(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def slow_area(a) -> float:
    return max(a[2] - a[0], 0) * max(a[3] - a[1], 0)


def slow_iou(a, b) -> float:
    union = slow_area(a) + slow_area(b) - slow_intersection(a, b)
    return slow_intersection(a, b) / union if union > 0 else 0.0


@pytest.mark.parametrize("whole", [True, False])
def test_overlaps_are_those_of_a_slow_reference(whole):
    random = np.random.default_rng(0)
    a, b = random_boxes(random, 40, whole=whole), random_boxes(random, 30, whole=whole)
    a[3], b[5] = [40, 30, 20, 60], [7, 7, 7, 9]  # inside out, and without width
    expected = np.array([[slow_iou(p, q) for q in b] for p in a])
    assert 0.05 < (expected > 0).mean() < 1
    np.testing.assert_allclose(pairwise_iou(a, b), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(aligned_iou(a[:30], b), np.diag(expected[:30]), rtol=0, atol=1e-15)
    np.testing.assert_allclose(box_areas(a), [slow_area(p) for p in a], rtol=1e-15)
    covered = [
        slow_intersection(p, q) / slow_area(p) if slow_area(p) else 0 for p, q in zip(a[:30], b, strict=True)
    ]
    np.testing.assert_allclose(aligned_coverage(a[:30], b), covered, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        pytest.param([0, 0, 2, 2], [0, 0, 2, 2], 1, id="equal"),
        pytest.param([0, 0, 2, 2], [2, 0, 4, 2], 0, id="touching"),
        pytest.param([0, 0, 2, 2], [0, 0, 2, 1], 0.5, id="half"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 0.25, id="inside"),
        pytest.param([5, 5, 5, 5], [5, 5, 5, 5], 0, id="both empty"),
        pytest.param([4, 4, 0, 0], [0, 0, 4, 4], 0, id="inside out"),
        pytest.param([-3, -3, -1, -1], [-2, -2, 0, 0], 1 / 7, id="negative"),
    ],
)
def test_overlaps_known_by_heart(first, second, iou):
    assert pairwise_iou([first], [second]).item() == pytest.approx(iou, abs=1e-15)
    assert pairwise_iou([second], [first]).item() == pytest.approx(iou, abs=1e-15)


def test_no_boxes_are_no_trouble():
    assert pairwise_iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert pairwise_iou(np.zeros((2, 4)), np.zeros((0, 4))).shape == (2, 0)


def test_widths_there_and_back():
    boxes = np.array([[1, 2, 4, 8], [3, 3, 2, 5]], float)
    assert to_xywh(boxes).tolist() == [[1, 2, 3, 6], [3, 3, 0, 2]]
    assert to_xyxy(to_xywh(boxes[:1])).tolist() == boxes[:1].tolist()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], r"`boxes` must be \(n, 4\).*Received shape: \(4,\)"),
        ([[1, 2, 3]], r"Received shape: \(1, 3\)"),
        ([[0, 0, 1, 1], [0, np.nan, 1, 1]], "must be finite.*in row 1.*lower the learning rate"),
    ],
)
def test_bad_boxes_are_named(boxes, message):
    with pytest.raises(KerasvisionError, match=message):
        as_boxes(boxes)
