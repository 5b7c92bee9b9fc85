"""Figures of label maps against slow references."""

import numpy as np
import pytest

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import SegmentationJudgement, SegmentationTally, mean_iou
from kerasvision.metrics.boundaries import boundary_matches

NAMES = ("sky", "road", "tree", "never")


def random_maps(rng, count=3, size=(17, 23), void=True):
    truth = np.kron(rng.integers(0, 3, (count, 5, 6)), np.ones((4, 4), int))[:, : size[0], : size[1]]
    answers = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 3, truth.shape), truth)
    if void:
        truth = np.where(rng.random(truth.shape) < 0.1, 255, truth)
    return truth, answers


def slow_ious(truth, answers):
    real = truth != 255
    values = []
    for label in range(len(NAMES)):
        one, other = (truth == label) & real, (answers == label) & real
        if (one | other).any():
            values.append((one & other).sum() / (one | other).sum())
    return values


def slow_boundary(truth, answers, real, tolerance):
    def edge(region):
        points = []
        for y, x in np.argwhere(region):
            near = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
            inside = [(v, u) for v, u in near if 0 <= v < region.shape[0] and 0 <= u < region.shape[1]]
            if real[y, x] and any(real[p] and not region[p] for p in inside):
                points.append((y, x))
        return points

    one, other = edge(truth), edge(answers)
    if not one and not other:
        return None
    if not one or not other:
        return 0.0
    near = max(1.0, tolerance * np.hypot(*truth.shape))

    def share(points, rivals):
        return np.mean([min(np.hypot(y - v, x - u) for v, u in rivals) <= near for y, x in points])

    recall, precision = share(one, other), share(other, one)
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def test_figures_are_those_of_a_slow_reference(rng):
    for _ in range(20):
        truth, answers = random_maps(rng)
        tally = SegmentationTally(NAMES)
        for one, other in zip(truth, answers, strict=True):  # image by image, as they come
            tally.add(one, other)
        found, real = tally.judgement(), truth != 255
        assert found.mean_iou == pytest.approx(np.mean(slow_ious(truth, answers)))
        assert found.mean_iou == mean_iou(truth, answers, 4)
        assert found.pixel_accuracy == pytest.approx((truth == answers)[real].mean())
        accuracies = [(answers == c)[truth == c].mean() for c in range(4) if (truth == c).any()]
        assert found.mean_accuracy == pytest.approx(np.mean(accuracies))
        shares = [(truth[real] == c).mean() for c in range(3)]
        assert found.frequency_weighted_iou == pytest.approx(np.dot(shares, slow_ious(truth, answers)))
        assert found.void == (~real).sum() and found.count == 3
        low, high = found.mean_iou_interval
        assert low <= found.mean_iou <= high


@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.2])
def test_boundaries_are_those_of_a_slow_reference(rng, tolerance):
    for _ in range(20):
        truth, answers = random_maps(rng, count=1)
        for label in range(4):
            regions = truth[0] == label, answers[0] == label
            real = truth[0] != 255
            wanted = slow_boundary(*regions, real, tolerance)
            found = boundary_matches(*regions, real, tolerance=tolerance)
            assert found == (None if wanted is None else pytest.approx(wanted))


def test_the_boundary_score_is_the_mean_over_images_then_classes(rng):
    truth, answers = random_maps(rng, count=4)
    truth[0][truth[0] == 2] = 1  # a class that is not on every image
    tally = SegmentationTally(NAMES, tolerance=0.05)
    tally.add(truth, answers)
    found, means = tally.judgement(), []
    for label in range(len(NAMES)):
        pairs = zip(truth, answers, strict=True)
        scores = [slow_boundary(one == label, other == label, one != 255, 0.05) for one, other in pairs]
        scores = [score for score in scores if score is not None]
        wanted = np.mean(scores) if scores else None
        assert found.per_class[label].boundary_f == (None if wanted is None else pytest.approx(wanted))
        means += [] if wanted is None else [wanted]
    assert len(means) == 3 and 0 < min(means) < max(means) < 1
    assert found.boundary_f == pytest.approx(np.mean(means))


def test_classes_that_are_nowhere_do_not_count(rng):
    found_by_nobody = SegmentationTally(NAMES)
    found_by_nobody.add([[0, 0], [1, 1]], [[0, 0], [1, 1]])
    judged = found_by_nobody.judgement()
    assert judged.mean_iou == judged.mean_accuracy == judged.boundary_f == 1.0
    assert judged.per_class[3].iou is None and judged.per_class[3].images == 0


def test_goes_through_json(rng):
    tally = SegmentationTally(NAMES)
    tally.add(*random_maps(rng))
    judged = tally.judgement()
    again = SegmentationJudgement.from_dict(judged.to_dict())
    assert again.to_dict() == judged.to_dict()


@pytest.mark.parametrize(
    ("truth", "answers", "message"),
    [
        ([[0, 1]], [[0, 1, 1]], "one shape"),
        ([[0, 7]], [[0, 1]], "`truth` must have labels from 0 to 3 or 255"),
        ([[0, 1]], [[0, 4]], "`answers` must have labels from 0 to 3"),
        ([[0, 1]], [[0.0, 1.0]], "`answers` must be integer"),
        ([[0, -1]], [[0, 1]], "`truth` must have labels"),
    ],
)
def test_maps_that_cannot_be_counted(truth, answers, message):
    with pytest.raises(KerasvisionError, match=message):
        SegmentationTally(NAMES).add(truth, answers)


def test_nothing_but_void():
    tally = SegmentationTally(NAMES)
    tally.add([[255, 255]], [[0, 0]])
    with pytest.raises(KerasvisionError, match="nothing to judge"):
        tally.judgement()
