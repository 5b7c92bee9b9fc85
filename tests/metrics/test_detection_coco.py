import contextlib
import io

import numpy as np
import pytest
from detection_cases import found, random_case, truth

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import CocoScores, Detections, coco_average_precision
from kerasvision.metrics.detection_curves import average_precision, records
from kerasvision.metrics.detection_matching import match_detections

FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
FIGURES += ("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")


def pycocotools(truths, founds, classes, most=100):
    """Return the twelve figures and (AP, AP50, AP75, AR) of each class, None for -1, by the original."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def index(annotations):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i + 1} for i in range(len(truths))],
            "categories": [{"id": c + 1} for c in range(classes)],
            "annotations": [{"id": n + 1, **a} for n, a in enumerate(annotations)],
        }
        coco.createIndex()
        return coco

    def annotation(image, box, label, **more):
        x, y, right, bottom = map(float, box)
        width, height = max(right - x, 0.0), max(bottom - y, 0.0)
        box = {"bbox": [x, y, width, height], "area": width * height}
        return {"image_id": image + 1, "category_id": int(label) + 1, "iscrowd": 0, **box, **more}

    with contextlib.redirect_stdout(io.StringIO()):
        annotated = index(
            annotation(i, t.boxes[j], t.labels[j], iscrowd=int(t.crowd[j]) if t.crowd is not None else 0)
            for i, t in enumerate(truths)
            for j in range(len(t.labels))
        )
        detected = index(
            annotation(i, f.boxes[j], f.labels[j], score=float(f.scores[j]))
            for i, f in enumerate(founds)
            for j in range(len(f.labels))
        )
        evaluation = COCOeval(annotated, detected, "bbox")
        evaluation.params.maxDets = [1, 10, most]
        evaluation.evaluate()
        evaluation.accumulate()
        if most == 100:
            evaluation.summarize()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    per_class = [
        [defined(part) for part in (p, p[0], p[5], recall[:, c, 0, -1])]
        for c in range(classes)
        for p in [precision[:, :, c, 0, -1]]
    ]
    return [None if v == -1 else v for v in evaluation.stats], per_class


def defined(values):
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def close(received, expected):
    assert [v is None for v in received] == [v is None for v in expected]
    pairs = [(r, e) for r, e in zip(received, expected, strict=True) if e is not None]
    np.testing.assert_allclose([r for r, _ in pairs], [e for _, e in pairs], rtol=0, atol=1e-9)


@pytest.mark.parametrize("decade", range(20))
def test_figures_are_those_of_pycocotools(decade):
    """200 cases with equal scores, crowds, images and splits without anything, up to 40 classes."""
    for seed in range(10 * decade, 10 * decade + 10):
        truths, founds, classes = random_case(seed)
        scores = coco_average_precision(truths, founds, classes)
        overall, per_class = pycocotools(truths, founds, classes)
        close([getattr(scores, name) for name in FIGURES], overall)
        for received, expected in zip(scores.per_class, per_class, strict=True):
            close([received.ap, received.ap50, received.ap75, received.ar], expected)


@pytest.mark.parametrize("seed", range(200, 260))
def test_our_own_matching_gives_the_same_ap50(seed):
    truths, founds, classes = random_case(seed)
    matches = match_detections(truths, founds, classes)
    received = [average_precision(records(matches, c)) for c in range(classes)]
    close(received, [one.ap50 for one in coco_average_precision(truths, founds, classes).per_class])


def test_the_cases_are_awkward_enough():
    cases = [random_case(seed) for seed in range(200)]
    flat = [(t, f) for truths, founds, _ in cases for t, f in zip(truths, founds, strict=True)]
    assert any(not sum(len(t.boxes) for t in truths) for truths, _, _ in cases)
    assert any(not sum(len(f) for f in founds) for _, founds, _ in cases)
    assert sum(t.crowd.sum() for t, _ in flat) > 100
    assert sum(len(t.boxes) == 0 and len(f) > 0 for t, f in flat) > 20
    assert sum(len(f) == 0 and len(t.boxes) > 0 for t, f in flat) > 20
    assert sum(len(f) > len(np.unique(f.scores)) for _, f in flat) > 200
    scores = [coco_average_precision(*case) for case in cases[:60]]
    assert np.ptp([s.ap for s in scores if s.ap is not None]) > 0.2
    assert all(any(getattr(s, name) for s in scores) for name in FIGURES)


@pytest.mark.parametrize("most", [11, 100, 150])
def test_only_the_best_of_an_image_and_class_count(most):
    random = np.random.default_rng(0)
    boxes = [[8 * i, 0, 8 * i + 7, 7] for i in range(140)]
    founds = [found(boxes, random.random(140))]
    scores = coco_average_precision([truth(boxes)], founds, 1, max_detections=most)
    assert scores.ar_100 == pytest.approx(min(most, 140) / 140, abs=1e-12)
    close([scores.ap], [pycocotools([truth(boxes)], founds, 1, most)[1][0][0]])


def test_objects_are_sized_by_the_area_that_the_annotation_states():
    """COCO measures the segment, which is smaller than its box."""
    boxes, detections = [[0, 0, 40, 40]], [found([[0, 0, 40, 40]], [0.5])]
    by_box = coco_average_precision([truth(boxes)], detections, 1)
    by_area = coco_average_precision([truth(boxes, extras=({"area": 900.0},))], detections, 1)
    silent = coco_average_precision([truth(boxes, extras=({"pose": "left"},))], detections, 1)
    assert (by_box.ap_small, by_box.ap_medium) == (None, 1.0) == (silent.ap_small, silent.ap_medium)
    assert (by_area.ap_small, by_area.ap_medium) == (1.0, None)


def test_boxes_that_are_inside_out_are_wrong_and_empty_ones_are_never_found():
    scores = coco_average_precision(
        [truth([[0, 0, 10, 10], [5, 5, 5, 9]])],
        [found([[10, 0, 0, 10], [0, 0, 10, 10], [5, 5, 5, 9]], [0.9, 0.8, 0.7])],
        1,
    )
    assert scores.ap50 == pytest.approx(51 / 101 * 0.5)


def test_there_and_back():
    scores = coco_average_precision(*random_case(3))
    assert CocoScores.from_dict(scores.to_dict()) == scores


ONE = truth([[0, 0, 1, 1]])


@pytest.mark.parametrize(
    ("truths", "founds", "options", "message"),
    [
        pytest.param([], [], {}, "`truth` is empty", id="no images"),
        pytest.param([ONE], [], {}, "one entry an image.*Received: 1 and 0", id="lengths"),
        pytest.param(
            [ONE], [found([[0, 0, 1, 1]], [np.nan])], {}, "`scores` must be finite.*image 0", id="nan"
        ),
        pytest.param(
            [ONE, ONE],
            [found([], []), Detections([[0, 0, 1, 1]], [1], [0.5])],
            {},
            r"`labels` of `found` must lie in 0\.\.0; leave out padding.*Received: 1 on image 1",
            id="label",
        ),
        pytest.param(
            [truth([[0, 0, 1, 1]], [-1])], [found([], [])], {}, "of `truth`.*-1 on image 0", id="padding"
        ),
        pytest.param(
            [ONE], [Detections([[0, 0, 1]], [0], [0.5])], {}, r"Image 0 of `found`: .*\(1, 3\)", id="box"
        ),
        pytest.param(
            [ONE], [Detections([[0, 0, 1, 1]], [0.0], [0.5])], {}, "must be integers", id="float label"
        ),
        pytest.param(
            [ONE], [Detections([[0, 0, 1, 1]], [0], [])], {}, r"`scores` must be \(1,\).*\(0,\)", id="scores"
        ),
        pytest.param([ONE], [found([], [])], {"max_detections": 10}, "must be above 10", id="few"),
    ],
)
def test_errors_say_what_and_where(truths, founds, options, message):
    with pytest.raises(KerasvisionError, match=message):
        coco_average_precision(truths, founds, 1, **options)
