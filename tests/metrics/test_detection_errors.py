import numpy as np
import pytest
from detection_cases import found, random_case, truth

from kerasvision.metrics import DetectionErrors, error_costs, pairwise_iou
from kerasvision.metrics.detection_errors import kinds_of
from kerasvision.metrics.detection_matching import match_detections

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")


def slow_ap(points, boxes):
    """COCO's AP of (score, place, right) of one class."""
    right, curve = 0, []
    for n, (_, _, hit) in enumerate(sorted(points, key=lambda p: (-p[0], p[1]))):
        right += hit
        curve.append((right / boxes, right / (n + 1)))
    return np.mean([max((p for r, p in curve if r >= t), default=0) for t in np.linspace(0, 1, 101)])


def slow_mean_ap(points, boxes, asked):
    """Mean over the classes that occurred before: one with nothing left to ask for counts as 1."""
    values = []
    for label in asked:
        if boxes[label]:
            values.append(slow_ap([p[:3] for p in points if p[3] == label], boxes[label]))
        else:
            values.append(1.0)
    return float(np.mean(values))


def slow_costs(truths, founds, classes):
    """TIDE by its definitions, one image and one detection after the other. No crowds."""
    rows, free = [], []
    for image, (t, f) in enumerate(zip(truths, founds, strict=True)):
        iou, taken = pairwise_iou(f.boxes, t.boxes), set()
        same = f.labels[:, None] == t.labels[None]
        order = sorted(range(len(f)), key=lambda d: (-f.scores[d], d))
        for d in order:
            fits = [j for j in range(len(t.labels)) if same[d, j] and j not in taken and iou[d, j] >= 0.5]
            best = max(fits, key=lambda j: (iou[d, j], j), default=None)
            if best is not None:
                taken.add(best)
            rows.append([image, d, f.scores[d], int(f.labels[d]), "right" if fits else None, best])
        for row in rows[len(rows) - len(order) :]:
            if row[4] is None:
                row[4:] = slow_kind(iou[row[1]], same[row[1]], taken)
        free += [(image, j) for j in range(len(t.labels)) if j not in taken]
    return slow_mending(truths, rows, free, classes)


def slow_kind(iou, same, taken):
    def nearest(mask):
        return int(np.argmax(np.where(mask, iou, -1)))

    if (same & (iou >= 0.1)).any() and not (same & (iou >= 0.5)).any():
        return "localisation", nearest(same)
    if (~same & (iou >= 0.5)).any():
        return "classification", nearest(~same)
    if any(same[j] and iou[j] >= 0.5 for j in taken):
        return "duplicate", None
    return ("both", None) if (iou >= 0.1).any() else ("background", None)


def slow_mending(truths, rows, free, classes):
    boxes = np.bincount(np.concatenate([t.labels for t in truths]), minlength=classes)
    asked = np.flatnonzero(boxes)
    best = {}  # the detection that mending gives to each free box
    for n, (image, _, score, _, kind, aim) in enumerate(rows):
        key = (image, aim)
        if kind in ("localisation", "classification") and key in free:
            if key not in best or score > rows[best[key]][2]:
                best[key] = n
    missed = [key for key in free if key not in best]

    def points(mended=None):
        for n, (image, _, score, label, kind, aim) in enumerate(rows):
            if kind != mended:
                yield score, n, kind == "right", label
            elif best.get((image, aim)) == n:
                yield score, n, True, int(truths[image].labels[aim])

    def without(keys):
        return boxes - np.bincount([int(truths[i].labels[j]) for i, j in keys], minlength=classes)

    ap = slow_mean_ap(list(points()), boxes, asked)
    costs = {kind: slow_mean_ap(list(points(kind)), boxes, asked) - ap for kind in KINDS[:5]}
    costs["missed"] = slow_mean_ap(list(points()), without(missed), asked) - ap
    hits = [p for p in points() if p[2]]
    fixed = slow_mean_ap(hits, boxes, asked) - ap, slow_mean_ap(list(points()), without(free), asked) - ap
    counts = {kind: sum(row[4] == kind for row in rows) for kind in KINDS[:5]} | {"missed": len(missed)}
    return ap, counts, costs, fixed


def test_costs_are_those_of_a_slow_reference():
    seen = dict.fromkeys(KINDS, 0.0)
    for seed in range(60):
        truths, founds, classes = random_case(seed, crowds=False)
        errors = error_costs(truths, founds, classes)
        if not sum(len(t.labels) for t in truths):
            assert errors.ap is None and {kind.ap_lost for kind in errors.kinds} == {None}
            continue
        ap, counts, costs, fixed = slow_costs(truths, founds, classes)
        assert {kind.kind: kind.count for kind in errors.kinds} == counts
        received = [errors.ap, *(kind.ap_lost for kind in errors.kinds)]
        received += [errors.false_positives, errors.false_negatives]
        expected = np.array([ap, *(costs[kind.kind] for kind in errors.kinds), *fixed])
        np.testing.assert_allclose(received, np.maximum(expected, 0), rtol=0, atol=1e-9)
        seen = {kind: seen[kind] + costs[kind] for kind in KINDS}
    assert min(seen.values()) > 0.03, seen


CAT, DOG = 0, 1
BOX = [0, 0, 10, 10]
HALF, THIRD, NEAR, FAR = [0, 0, 10, 5], [0, 0, 10, 3], [0, 0, 10, 9], [50, 50, 60, 60]


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "kinds", "missed"),
    [
        pytest.param([BOX], [0.9], [CAT], ["right"], False, id="right"),
        pytest.param([HALF], [0.9], [CAT], ["right"], False, id="right by a hair"),
        pytest.param([BOX], [0.9], [DOG], ["classification"], False, id="wrong class"),
        pytest.param([THIRD], [0.9], [CAT], ["localisation"], False, id="wrong place"),
        pytest.param([THIRD], [0.9], [DOG], ["both"], True, id="both"),
        pytest.param([FAR], [0.9], [CAT], ["background"], True, id="background"),
        pytest.param([BOX, NEAR], [0.9, 0.8], [CAT, CAT], ["right", "duplicate"], False, id="duplicate"),
        pytest.param([BOX, NEAR], [0.8, 0.9], [CAT, CAT], ["right", "duplicate"], False, id="score decides"),
        pytest.param([], [], [], [], True, id="missed"),
    ],
)
def test_kinds(boxes, scores, labels, kinds, missed):
    matches = match_detections([truth([BOX], [CAT])], [found(boxes, scores, labels)], 2)
    sorted_out = kinds_of(matches)
    assert sorted_out.found.tolist() == kinds
    assert sorted_out.missed.tolist() == [missed]


def test_detections_in_a_crowd_are_no_mistakes():
    truths = [truth([BOX, FAR], [CAT, CAT], crowd=np.array([True, False]))]
    founds = [found([[2, 2, 5, 5], [1, 1, 4, 4], FAR], [0.9, 0.8, 0.7], [CAT, CAT, CAT])]
    errors = error_costs(truths, founds, 1)
    assert errors.ap == 1 and {(kind.count, kind.ap_lost) for kind in errors.kinds} == {(0, 0.0)}


def test_another_class_in_a_crowd_is_background():
    truths = [truth([BOX, FAR], [CAT, DOG], crowd=np.array([True, False]))]
    matches = match_detections(truths, [found([[2, 2, 5, 5]], [0.9], [DOG])], 2)
    assert kinds_of(matches).found.tolist() == ["background"]


def test_mending_the_only_kind_of_mistake_makes_a_detector_perfect():
    truths = [truth([BOX, FAR], [CAT, DOG])] * 3
    swapped = error_costs(truths, [found([BOX, FAR], [0.9, 0.8], [DOG, CAT])] * 3, 2)
    assert swapped.ap == 0 and swapped.kinds[0].kind == "classification"
    assert (swapped.kinds[0].count, swapped.kinds[0].ap_lost) == (6, 1.0)
    nothing = error_costs(truths, [found([], [], [])] * 3, 2)
    assert (nothing.kinds[-1].kind, nothing.kinds[-1].ap_lost) == ("missed", 1.0)


def test_there_and_back():
    errors = error_costs(*random_case(3))
    assert DetectionErrors.from_dict(errors.to_dict()) == errors
