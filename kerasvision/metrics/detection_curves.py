"""Precision against recall, the best threshold of a class, and how far AP may be from the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.detection_matching import Matches

RECALLS = np.linspace(0, 1, 101)  # COCO's
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision of one class at recall 0.00, 0.01, … 1.00, as COCO interpolates it.

    Attributes:
        precision: (101,) the highest precision at this recall or a higher one; 0 where it is not reached.
        scores: (101,) the score down to which detections must count to reach this recall; None where it is
            not reached.
    """

    precision: tuple[float, ...]
    scores: tuple[float | None, ...]

    @property
    def average_precision(self) -> float:
        """Mean precision over the 101 recalls: COCO's AP."""
        return float(np.mean(self.precision))


@dataclass(frozen=True)
class OperatingPoint:
    """What comes of counting the detections of one class from a score on.

    Attributes:
        threshold: least score that counts.
        precision: share of the detections that are right.
        recall: share of the boxes that are found.
        f1: harmonic mean of both.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, eq=False)
class ClassRecords:
    """The detections of one class by falling score, without ignored ones, and where its boxes are.

    Attributes:
        scores: (n,) float64.
        hits: (n,) bool, the right ones.
        image: (n,) int64.
        boxes: (images,) int64, how many boxes of the class count on each image.
        rows: (n,) int64, rows of the table of detections.
    """

    scores: np.ndarray
    hits: np.ndarray
    image: np.ndarray
    boxes: np.ndarray
    rows: np.ndarray


def records(matches: Matches, label: int) -> ClassRecords:
    """Return what one class comes down to."""
    found, truth = matches.found, matches.truth
    rows = np.flatnonzero((found.labels == label) & ~matches.ignored)
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    counted = truth.image[(truth.labels == label) & ~truth.crowd]
    boxes = np.bincount(counted, minlength=truth.images)
    return ClassRecords(found.scores[rows], matches.hits[rows], found.image[rows], boxes, rows)


def precision_recall(scores: np.ndarray, hits: np.ndarray, boxes: int) -> PrecisionRecallCurve | None:
    """Return the curve of one class.

    Args:
        scores: (n,) float, falling.
        hits: (n,) bool, which detections are right.
        boxes: how many boxes there are to find.

    Returns:
        None where there is no box.
    """
    if not boxes:
        return None
    right = np.cumsum(hits)
    precision = right / np.arange(1, hits.size + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(right / boxes, RECALLS, side="left")
    reached = place < hits.size
    values, floor = np.zeros(RECALLS.size), scores[place[reached]].tolist()
    values[reached] = envelope[place[reached]]
    return PrecisionRecallCurve(tuple(values.tolist()), tuple(floor + [None] * int((~reached).sum())))


def best_threshold(scores: np.ndarray, hits: np.ndarray, boxes: int) -> OperatingPoint | None:
    """Return the threshold with the highest F1; of equal ones that with the fewest detections.

    Detections of equal score count together: no threshold can part them. The threshold lies half way between
    the lowest score that counts and the next: a file whose scores differ a little then shows the same boxes.

    Args:
        scores: (n,) float, falling.
        hits: (n,) bool, which detections are right.
        boxes: how many boxes there are to find.

    Returns:
        None where there is no box, or nothing right was found.
    """
    if not boxes or not hits.any():
        return None
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    right, counted = np.cumsum(hits)[last], last + 1
    best = int(np.argmax(right / (counted + boxes)))
    lowest = float(scores[last[best]])
    below = float(scores[last[best] + 1]) if last[best] + 1 < len(scores) else lowest
    return OperatingPoint(
        threshold=(lowest + below) / 2,
        precision=float(right[best] / counted[best]),
        recall=float(right[best] / boxes),
        f1=float(2 * right[best] / (counted[best] + boxes)),
    )


def average_precision(one: ClassRecords) -> float | None:
    """Return COCO's AP of one class; None where it has no box."""
    value = _resampled(one, np.ones((1, one.boxes.size), np.int64)).item()
    return None if np.isnan(value) else value


def average_precision_interval(
    classes: Sequence[ClassRecords], *, confidence: float = 0.95, repeats: int = 500, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of the mean AP, resampling images.

    Detections are matched and sorted once; a resample only counts each image as often as it was drawn.
    Classes that do not occur in a resample are left out of its mean. Boxes of one image stand and fall
    together, hence images are drawn, not boxes.

    Args:
        classes: the records of each class.
        confidence: share of intervals that would hold the true value, in (0, 1).
        repeats: resamples.
        seed: of the resampling.

    Returns:
        Lower and upper end; None where no class occurs. When every image is perfect, both are 1.

    Source: Efron, 1979, "Bootstrap methods: another look at the jackknife".
    """
    if not 0 < confidence < 1:
        raise KerasvisionError(f"`confidence` must lie between 0 and 1. Received: {confidence}.")
    classes = [c for c in classes if c.boxes.any()]
    if not classes:
        return None
    images = classes[0].boxes.size
    drawn = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), repeats)
    drawn = drawn.astype(np.int32)  # half as much to move
    values = np.stack([_weighted_average_precision(c, drawn) for c in classes])
    means = np.nanmean(values[:, ~np.isnan(values).all(0)], axis=0)
    if not means.size:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def _weighted_average_precision(one: ClassRecords, drawn: np.ndarray) -> np.ndarray:
    """Return the AP (repeats,) with each image counted as often as `drawn` (repeats, images) says."""
    step = max(1, CELLS_AT_ONCE // max(1, one.hits.size))
    parts = [_resampled(one, drawn[start : start + step]) for start in range(0, len(drawn), step)]
    return np.concatenate(parts)


def _resampled(one: ClassRecords, drawn: np.ndarray) -> np.ndarray:
    boxes = drawn @ one.boxes
    defined = np.where(boxes > 0, 1.0, np.nan)
    # Precision matters only where recall grows, at the hits; what comes after the last of them does not.
    hits = np.flatnonzero(one.hits)
    if not hits.size:
        return 0 * defined
    weights = np.ascontiguousarray(drawn.T)  # whole rows are gathered, and summed side by side
    counted = np.cumsum(weights[one.image[: hits[-1] + 1]], axis=0, dtype=np.int32)[hits]
    right = np.cumsum(weights[one.image[hits]], axis=0, dtype=np.int32)
    precision = right / np.maximum(counted, 1)
    envelope = np.zeros((hits.size + 1, len(drawn)))  # with a 0 at the end, for recalls that are not reached
    envelope[:-1] = np.maximum.accumulate(precision[::-1])[::-1]
    place = _first_places(right.T, _boxes_for(RECALLS, np.maximum(boxes, 1)))
    return envelope[place, np.arange(len(drawn))[:, None]].mean(1) * defined


def _boxes_for(recalls: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return (repeats, recalls), the fewest of `boxes` (repeats,) whose share is at least each recall.

    Not the product rounded up: 3 boxes of 10 are a recall of 0.3, and that of 0.00, 0.01, … may be a little
    above it in floats. COCO compares the quotient, so this does.
    """
    fewest = np.floor(recalls * boxes[:, None])
    return (fewest + (fewest / boxes[:, None] < recalls)).astype(np.int64)


def _first_places(rising: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where each row of `rising` (r, n) first reaches each of `wanted` (r, k); n where it does not.

    One search for all rows: each is raised above the one before.
    """
    rows, length = rising.shape
    raised = np.arange(rows)[:, None] * (max(rising.max(), wanted.max()) + 1)
    places = np.searchsorted((rising + raised).ravel(), wanted + raised) - np.arange(rows)[:, None] * length
    return np.minimum(places, length)
