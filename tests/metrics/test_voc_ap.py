import numpy as np
import pytest
from detection_cases import found, random_case, truth

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import VocScores, coco_average_precision, error_costs, voc_average_precision


def slow_iou(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_voc(truths, founds, label, interpolation, threshold):
    """The development kit's procedure, one detection after the other."""
    wanted = [
        [(t.boxes[j], bool(t.difficult[j])) for j in range(len(t.labels)) if t.labels[j] == label]
        for t in truths
    ]
    count = sum(not difficult for boxes in wanted for _, difficult in boxes)
    if not count:
        return None
    answers = [
        (float(f.scores[j]), i, f.boxes[j])
        for i, f in enumerate(founds)
        for j in range(len(f.labels))
        if f.labels[j] == label
    ]
    answers.sort(key=lambda answer: -answer[0])  # stable
    taken, right, wrong, curve = set(), 0, 0, []
    for _, image, box in answers:
        best, overlap = -1, -1.0
        for j, (other, _) in enumerate(wanted[image]):
            if slow_iou(box, other) > overlap:
                best, overlap = j, slow_iou(box, other)
        if overlap >= threshold:
            if wanted[image][best][1]:
                continue
            fresh = (image, best) not in taken
            taken.add((image, best))
            right, wrong = right + fresh, wrong + (not fresh)
        else:
            wrong += 1
        curve.append((right, right / (right + wrong)))
    if interpolation == "11-point":
        return sum(max((p for r, p in curve if 10 * r >= k * count), default=0) for k in range(11)) / 11
    area, before = 0.0, 0
    for n, (r, _) in enumerate(curve):
        area += (r - before) / count * max(p for _, p in curve[n:])
        before = r
    return area


@pytest.mark.parametrize("interpolation", ["11-point", "area"])
def test_random_cases_against_the_slow_procedure(interpolation):
    defined = 0
    for seed in range(100):
        truths, founds, classes = random_case(seed, crowds=False)
        threshold = (0.5, 0.3, 0.75)[seed % 3]
        scores = voc_average_precision(truths, founds, classes, interpolation=interpolation, iou=threshold)
        expected = [slow_voc(truths, founds, c, interpolation, threshold) for c in range(classes)]
        assert [v is None for v in scores.per_class] == [v is None for v in expected]
        known = [v for v in expected if v is not None]
        received = [v for v in scores.per_class if v is not None]
        np.testing.assert_allclose(received, known, rtol=0, atol=1e-12)
        assert scores.mean == (pytest.approx(np.mean(known), abs=1e-12) if known else None)
        defined += sum(0 < v < 1 for v in known)
    assert defined > 80


BOX, OTHER = [0, 0, 10, 10], [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("truths", "founds", "area", "eleven"),
    [
        pytest.param(truth([BOX]), found([BOX], [0.5]), 1, 1, id="found"),
        pytest.param(truth([BOX]), found([], []), 0, 0, id="nothing found"),
        pytest.param(truth([BOX]), found([BOX, BOX], [0.5, 0.6]), 1, 1, id="twice, after all are found"),
        pytest.param(
            truth([BOX, OTHER]),
            found([BOX, BOX, OTHER], [0.9, 0.8, 0.7]),
            5 / 6,
            (6 + 5 * 2 / 3) / 11,
            id="twice",
        ),
        pytest.param(
            truth([BOX, OTHER], difficult=np.array([True, False])),
            found([BOX, BOX, OTHER], [0.9, 0.8, 0.7]),
            1,
            1,
            id="difficult does not count, however often it is found",
        ),
        pytest.param(
            truth([BOX, OTHER], crowd=np.array([True, False])),
            found([[2, 2, 4, 4], OTHER], [0.9, 0.8]),
            1,
            1,
            id="a part of a crowd",
        ),
        pytest.param(
            truth([BOX, [0, 0, 90, 90]], crowd=np.array([False, True])),
            found([[0, 0, 10, 8]], [0.9]),
            1,
            1,
            id="a box in front of a crowd",
        ),
        pytest.param(truth([BOX]), found([[0, 0, 10, 5]], [0.5]), 1, 1, id="an overlap of exactly one half"),
        pytest.param(
            truth([BOX], difficult=np.array([True])), found([BOX], [0.5]), None, None, id="none counts"
        ),
    ],
)
def test_rules(truths, founds, area, eleven):
    assert voc_average_precision([truths], [founds], 1).mean == pytest.approx(area)
    assert voc_average_precision([truths], [founds], 1, interpolation="11-point").mean == pytest.approx(
        eleven
    )


def test_a_taken_box_is_not_passed_on_to_the_next():
    """VOC looks at the nearest box only; COCO would give the second detection the second box."""
    truths = [truth([[0, 0, 10, 10], [0, 3, 10, 13]])]
    founds = [found([[0, 0, 10, 10], [0, 1, 10, 11]], [0.9, 0.8])]
    assert voc_average_precision(truths, founds, 1).mean == 0.5


def test_of_equal_overlaps_voc_takes_the_first_box_and_coco_the_last():
    truths = [truth([[0, 0, 10, 10], [4, 0, 14, 10]])]
    founds = [found([[2, 0, 12, 10], [0, 0, 10, 10]], [0.9, 0.8])]
    assert voc_average_precision(truths, founds, 1).mean == 0.5
    assert error_costs(truths, founds, 1).ap == coco_average_precision(truths, founds, 1).ap50 == 1


def test_recall_of_three_boxes_in_ten_reaches_point_three():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(10)]
    scores = voc_average_precision([truth(boxes)], [found(boxes[:3], [3, 2, 1])], 1, interpolation="11-point")
    assert scores.mean == pytest.approx(4 / 11, abs=1e-12)


def test_there_and_back():
    scores = voc_average_precision(*random_case(3), interpolation="11-point")
    assert VocScores.from_dict(scores.to_dict()) == scores


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "area11"}, "'11-point' or 'area'. Received: 'area11'"),
        ({"iou": 0}, "`iou` must be above 0"),
        ({"iou": 50}, "at most 1. Received: 50"),
    ],
)
def test_errors_say_what_is_accepted(options, message):
    with pytest.raises(KerasvisionError, match=message):
        voc_average_precision([truth([BOX])], [found([], [])], 1, **options)
