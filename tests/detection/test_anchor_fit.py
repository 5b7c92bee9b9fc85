"""Anchors that fit the boxes of a data set."""

import numpy as np
import pytest

from kerasvision.detection import build, detector
from kerasvision.detection.anchor_fit import fit_anchors, has_anchors
from kerasvision.metrics.box_geometry import pairwise_iou

SIZE = 128


def squares(side: float, count: int = 200) -> np.ndarray:
    low = np.random.default_rng(0).uniform(0, SIZE - side, (count, 2))
    return np.concatenate([low, low + side], 1).astype(np.float32)


def share_covered(head, boxes) -> float:
    return float(np.mean([pairwise_iou(box[None], head.anchors).max() > head.overlap for box in boxes]))


def made(name):
    return detector(name, classes=2, image_size=SIZE, backbone="mobilenet_v2", weights=None)


@pytest.mark.parametrize(("name", "side"), [("retinanet", 14), ("ssd300", 30)])
def test_boxes_that_were_left_out_are_covered(name, side):
    boxes = squares(side)
    before = made(name)
    fitted, fit = fit_anchors(before, boxes)
    assert fit.before == pytest.approx(share_covered(before.head, boxes)) and fit.before < 0.9
    assert fit.covered == pytest.approx(share_covered(fitted.head, boxes)) and fit.covered > fit.before + 0.1
    assert fitted.model is before.model and before.spec.options == {}
    again = build(fitted.spec)
    np.testing.assert_array_equal(again.head.anchors, fitted.head.anchors)
    assert {key: x.shape for key, x in again.model.output.items()} == {
        key: x.shape for key, x in before.model.output.items()
    }


def test_anchors_that_fit_stay():
    before = made("retinanet")
    fitted, fit = fit_anchors(before, squares(36))
    assert fitted is before and fit.covered == fit.before > 0.95 and not fit.options


def test_only_told_when_nothing_is_to_change():
    before = made("retinanet")
    fitted, fit = fit_anchors(before, squares(14), change=False)
    assert fitted is before and fit.covered < 0.9


def test_no_boxes_are_all_covered():
    assert fit_anchors(made("ssd300"), np.zeros((0, 4)))[1].covered == 1.0


def test_families_without_anchors():
    assert has_anchors(made("ssd300").head) and not has_anchors(made("yolo_v8_xs").head)
