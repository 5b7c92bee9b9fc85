import json

import numpy as np
import pytest
from detection_cases import found, random_case, truth

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import (
    DetectionJudgement,
    Detections,
    box_confusion_matrix,
    judge_detections,
    match_detections,
    worst_images,
)
from kerasvision.metrics import detection_matching as matching
from kerasvision.metrics.detection_curves import (
    average_precision,
    average_precision_interval,
    best_threshold,
    precision_recall,
    records,
)

BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def names(classes):
    return [f"class {c}" for c in range(classes)]


@pytest.mark.parametrize("seed", range(40))
def test_judgement_agrees_with_itself_and_survives_json(seed):
    truths, founds, classes = random_case(seed)
    judgement = judge_detections(truths, founds, names(classes), repeats=50)
    plain = json.loads(json.dumps(judgement.to_dict(), allow_nan=False))
    assert plain == judgement.to_dict() == DetectionJudgement.from_dict(plain).to_dict()
    assert judgement.errors.ap == pytest.approx(judgement.ap50, abs=1e-9)
    assert judgement.boxes == sum(scores.support for scores in judgement.per_class)
    for c, scores in enumerate(judgement.per_class):
        assert (scores.curve is None) == (scores.support == 0) == (scores.coco.ap50 is None)
        if scores.curve:
            assert scores.curve.average_precision == pytest.approx(scores.coco.ap50, abs=1e-9)
        row, column = judgement.confusion[c], judgement.confusion[:, c]
        assert row.sum() == scores.support
        if scores.best:
            assert scores.best.recall == pytest.approx(row[c] / scores.support)
            assert scores.best.precision == pytest.approx(column[c] / column.sum())
        else:
            assert not column.any()
    if judgement.ap50_interval:
        low, high = judgement.ap50_interval
        assert 0 <= low <= high <= 1


def test_no_nan_and_no_crash_without_anything():
    for truths, founds in (
        ([truth([])], [found([], [])]),
        ([truth([])], [found([BOX], [0.5])]),
        ([truth([BOX])], [found([], [])]),
        ([truth([BOX], crowd=np.array([True]))], [found([BOX], [0.5])]),
    ):
        plain = judge_detections(truths, founds, ["cell"]).to_dict()
        json.dumps(plain, allow_nan=False)
        assert plain["coco"]["ap50"] == (0.0 if plain["boxes"] else None)
        assert plain["ap50_interval"] == ([0.0, 0.0] if plain["boxes"] else None)


def test_best_threshold_is_the_best_of_all():
    random = np.random.default_rng(0)
    for _ in range(200):
        count = int(random.integers(1, 30))
        scores = -np.sort(-random.integers(0, 8, count) / 8)
        hits = random.random(count) < 0.5
        boxes = int(hits.sum() + random.integers(0, 4))
        best = best_threshold(scores, hits, boxes)
        if not hits.any():
            assert best is None
            continue
        tried = {}
        for threshold in np.unique(scores):
            counted = scores >= threshold
            tried[threshold] = 2 * (hits & counted).sum() / (counted.sum() + boxes)
        assert best.f1 == pytest.approx(max(tried.values()))
        lowest = max(t for t, f1 in tried.items() if f1 == pytest.approx(best.f1))
        below = max((t for t in tried if t < lowest), default=lowest)
        assert best.threshold == pytest.approx((lowest + below) / 2)
        counted = scores >= best.threshold
        assert best.precision == pytest.approx((hits & counted).sum() / counted.sum())
        assert best.recall == pytest.approx((hits & counted).sum() / boxes)


def test_curve_by_hand():
    curve = precision_recall(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 4)
    assert curve.precision == (1.0,) * 26 + (2 / 3,) * 25 + (0.0,) * 50
    assert curve.scores == (0.9,) * 26 + (0.7,) * 25 + (None,) * 50
    assert precision_recall(np.zeros(0), np.zeros(0, bool), 0) is None
    assert set(precision_recall(np.zeros(0), np.zeros(0, bool), 2).precision) == {0.0}


@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75])
def test_matching_is_that_of_a_slow_reference(iou):
    for seed in range(30):
        truths, founds, classes = random_case(seed)
        matches = match_detections(truths, founds, classes, iou=iou)
        for image, (t, f) in enumerate(zip(truths, founds, strict=True)):
            rows = np.flatnonzero(matches.found.image == image)
            first = int(np.searchsorted(matches.truth.image, image))
            received = np.where(matches.hits, matches.partner - first, np.where(matches.ignored, -2, -1))
            received = dict(zip(matches.found.source[rows].tolist(), received[rows].tolist(), strict=True))
            assert received == slow_match(t, f, iou)


def slow_match(t, f, threshold):
    """COCO's matching on one image: box of each detection, -1 for none, -2 for a crowd."""
    answer, taken = {}, set()
    for d in sorted(range(len(f)), key=lambda d: (-f.scores[d], d)):
        mine = [j for j in range(len(t.labels)) if t.labels[j] == f.labels[d]]
        fits = [
            (matching.aligned_iou(f.boxes[d], t.boxes[j]), j)
            for j in mine
            if not t.crowd[j] and j not in taken
        ]
        fits = [(iou, j) for iou, j in fits if iou >= threshold]
        crowds = [matching.aligned_coverage(f.boxes[d], t.boxes[j]) >= threshold for j in mine if t.crowd[j]]
        answer[d] = max(fits)[1] if fits else -2 if any(crowds) else -1
        taken |= {answer[d]}
    return answer


def test_pairs_do_not_depend_on_how_many_are_looked_at_at_once(monkeypatch):
    truths, founds, classes = random_case(7)
    whole = match_detections(truths, founds, classes).pairs
    assert whole.found.size > 10
    for size in (1, 3, 7, 50):
        monkeypatch.setattr(matching, "PAIRS_AT_ONCE", size)
        parts = match_detections(truths, founds, classes).pairs
        assert (parts.found.tolist(), parts.truth.tolist(), parts.iou.tolist()) == (
            whole.found.tolist(),
            whole.truth.tolist(),
            whole.iou.tolist(),
        )


def test_bootstrap_is_that_of_really_drawn_images():
    """Counting an image twice is the same as judging it twice."""
    for seed in (1, 4, 7, 12, 19):
        truths, founds, classes = random_case(seed)
        # Of equal scores on one image, copies would come in turn, and resampling has them side by side.
        jitter = np.random.default_rng(seed)
        founds = [Detections(f.boxes, f.labels, f.scores + 1e-9 * jitter.random(len(f))) for f in founds]
        ready = [records(match_detections(truths, founds, classes), c) for c in range(classes)]
        received = average_precision_interval(ready, repeats=40, seed=3)
        count = len(truths)
        drawn = np.random.default_rng(3).multinomial(count, np.full(count, 1 / count), 40)
        means = []
        for times in drawn:
            # Copies of an image must stand together, for the order of equal scores.
            images = np.repeat(np.arange(count), times)
            again = match_detections([truths[i] for i in images], [founds[i] for i in images], classes)
            values = [average_precision(records(again, c)) for c in range(classes)]
            means += (
                [np.mean([v for v in values if v is not None])] if any(v is not None for v in values) else []
            )
        expected = np.quantile(means, (0.025, 0.975)) if means else None
        assert (received is None) == (expected is None)
        if means:
            np.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)
            assert received[0] < received[1]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Images differ in how hard they are; the 90 % interval of 40 images, over 60 sets of them."""
    random, covered, shares = np.random.default_rng(0), 0, []
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(5)]
    for _ in range(60):
        founds = []
        for hard in random.random(40):
            hits = random.random(5) < hard
            places = [box if hit else FAR for box, hit in zip(boxes, hits, strict=True)]
            founds.append(found(places, random.random(5)))
        one = records(match_detections([truth(boxes)] * 40, founds, 1), 0)
        low, high = average_precision_interval([one], confidence=0.9, repeats=200)
        shares.append(average_precision(one))
        covered += low <= 0.26 <= high  # the mean over 60 sets, asserted below
    assert np.mean(shares) == pytest.approx(0.26, abs=0.02)
    assert 46 <= covered <= 60


CAT, DOG = 0, 1


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "confusion"),
    [
        pytest.param([BOX], [0.9], [CAT], [[1, 0, 0], [0, 0, 1], [0, 0, 0]], id="one found, one not"),
        pytest.param([BOX], [0.9], [DOG], [[0, 1, 0], [0, 0, 1], [0, 0, 0]], id="taken for another"),
        pytest.param(
            [BOX, BOX], [0.9, 0.8], [DOG, CAT], [[1, 0, 0], [0, 0, 1], [0, 1, 0]], id="right one first"
        ),
        pytest.param([BOX], [0.2], [CAT], [[0, 0, 1], [0, 0, 1], [0, 0, 0]], id="below the threshold"),
        pytest.param([[80, 80, 90, 90]], [0.9], [DOG], [[0, 0, 1], [0, 0, 1], [0, 1, 0]], id="background"),
        pytest.param([[0, 0, 10, 4]], [0.9], [CAT], [[0, 0, 1], [0, 0, 1], [1, 0, 0]], id="badly placed"),
    ],
)
def test_confusion_by_hand(boxes, scores, labels, confusion):
    truths, founds = [truth([BOX, FAR], [CAT, DOG])], [found(boxes, scores, labels)]
    assert box_confusion_matrix(truths, founds, 2, thresholds=0.5).tolist() == confusion
    assert box_confusion_matrix(truths, founds, 2, thresholds=[0.5, 0.5]).tolist() == confusion


def test_crowds_confuse_nobody():
    truths = [truth([BOX, FAR], [CAT, DOG], crowd=np.array([True, False]))]
    founds = [found([[1, 1, 5, 5], FAR], [0.9, 0.8], [CAT, DOG])]
    assert box_confusion_matrix(truths, founds, 2, thresholds=0).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_worst_images_come_first():
    truths = [truth([BOX]), truth([BOX, FAR]), truth([]), truth([BOX, FAR]), truth([])]
    founds = [
        found([BOX], [0.9]),
        found([], []),
        found([BOX], [0.9]),
        found([BOX, FAR, [20, 20, 30, 30], [80, 80, 90, 90]], [0.9, 0.9, 0.9, 0.9]),
        found([BOX], [0.1]),
    ]
    assert worst_images(truths, founds, 1, thresholds=0.5).tolist() == [1, 3, 2]
    assert worst_images(truths, founds, 1, thresholds=0.5, count=1).tolist() == [1]
    assert worst_images(truths, founds, 1, thresholds=0.95).tolist() == [1, 3, 0]


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, np.nan], np.zeros((2, 2))])
def test_thresholds_must_fit(thresholds):
    with pytest.raises(KerasvisionError, match="one for each of the 2 classes"):
        box_confusion_matrix([truth([])], [found([], [])], 2, thresholds=thresholds)


def test_other_errors_say_what_is_accepted():
    with pytest.raises(KerasvisionError, match=r"`iou` must lie in 0.1..1. Received: 0.05"):
        match_detections([truth([])], [found([], [])], 1, iou=0.05)
    with pytest.raises(KerasvisionError, match="`max_detections` must be above 10. Received: 5"):
        judge_detections([truth([])], [found([], [])], ["cell"], max_detections=5)
    with pytest.raises(KerasvisionError, match="`confidence` must lie between 0 and 1"):
        average_precision_interval([], confidence=95)


@pytest.mark.parametrize("most", [11, 100])
def test_only_the_best_of_an_image_and_class_count_everywhere(most):
    boxes = [[8 * i, 0, 8 * i + 7, 7] for i in range(120)]
    founds = [found(boxes + boxes, np.random.default_rng(0).random(240), [0] * 120 + [1] * 120)]
    truths = [truth(boxes + boxes, [0] * 120 + [1] * 120)]
    judgement = judge_detections(truths, founds, names(2), max_detections=most)
    assert judgement.ap50 == pytest.approx(judgement.errors.ap, abs=1e-12)
    assert judgement.coco.ar_100 == pytest.approx(most / 120)
    assert judgement.detections == 240
    assert [scores.detections for scores in judgement.per_class] == [most, most]


def test_boxes_beyond_any_size_are_ignored_as_in_coco():
    truths, founds = [truth([BOX])], [found([[0, 0, 2e5, 2e5], BOX], [0.9, 0.8])]
    judgement = judge_detections(truths, founds, ["cell"])
    assert judgement.ap50 == judgement.errors.ap == 1.0


def test_detections_know_how_many_they_are():
    assert len(Detections(np.zeros((3, 4)), np.zeros(3, int), np.zeros(3))) == 3


def test_image_boxes_are_what_metrics_take():
    from kerasvision.data.boxes import ImageBoxes

    truths = [ImageBoxes((100, 100), [BOX], [0], extras=({"area": 81.0},)), ImageBoxes.empty((50, 40))]
    judgement = judge_detections(truths, [found([BOX], [0.9]), found([], [])], ["cell"])
    assert (judgement.count, judgement.boxes, judgement.ap50) == (2, 1, 1.0)
