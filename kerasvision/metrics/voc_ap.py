"""Average precision as Pascal VOC measures it: 11 points until 2009, the area under the curve from 2010 on.

Source: Everingham et al., 2010, "The Pascal visual object classes (VOC) challenge", and the development kit
of 2012, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.detection_matching import overlapping
from kerasvision.metrics.detection_values import FoundTable, TruthTable, tables


@dataclass(frozen=True)
class VocScores:
    """VOC's average precision.

    Attributes:
        mean: over the classes that occur; None where none does.
        per_class: one a class; None where the class does not occur.
        interpolation: `"11-point"` or `"area"`.
        iou: the threshold.
    """

    mean: float | None
    per_class: tuple[float | None, ...]
    interpolation: str
    iou: float

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(self), "per_class": list(self.per_class)}

    @classmethod
    def from_dict(cls, values: Mapping) -> "VocScores":
        """Return what `to_dict` was called on."""
        return cls(**{**values, "per_class": tuple(values["per_class"])})


def voc_average_precision(
    truth: Sequence,
    found: Sequence,
    classes: int,
    *,
    interpolation: Literal["11-point", "area"] = "area",
    iou: float = 0.5,
) -> VocScores:
    """Return VOC's average precision.

    Each detection, by falling score, goes to the box of its class that it overlaps most (of equal ones the
    first), be it free or not: a box that has been found already makes it a false positive (COCO would try the
    next box). Difficult boxes, and COCO's crowd boxes, do not count; detections of them are neither right nor
    wrong.

    VOC numbers pixels from 1 and counts both ends, so a box from pixel 1 to 10 is 10 wide; as edges it goes
    from 0 to 10. With boxes read so, the figures are those of the development kit.

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order; all of them count.
        classes: how many classes there are.
        interpolation: `"11-point"`, the mean of the highest precision at recall 0, 0.1, … 1 (VOC 2007), or
            `"area"` under the curve made monotonic (VOC 2010 on).
        iou: least intersection over union, above 0.

    Raises:
        KerasvisionError: shapes, labels, values or options that do not fit.
    """
    if interpolation not in ("11-point", "area"):
        raise KerasvisionError(f"`interpolation` must be '11-point' or 'area'. Received: {interpolation!r}.")
    if not 0 < iou <= 1:
        raise KerasvisionError(f"`iou` must be above 0 and at most 1. Received: {iou}.")
    boxes, detections = tables(truth, found, classes)
    right, counted = _judge(boxes, detections, iou)
    average = eleven_points if interpolation == "11-point" else area_under_curve
    values = []
    for label in range(classes):
        rows = np.flatnonzero((detections.labels == label) & counted)
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        values.append(average(right[rows], int(_asked_for(boxes)[boxes.labels == label].sum())))
    known = [value for value in values if value is not None]
    return VocScores(float(np.mean(known)) if known else None, tuple(values), interpolation, iou)


def eleven_points(hits: np.ndarray, boxes: int) -> float | None:
    """Return the mean of the highest precision at recall 0, 0.1, … 1 or beyond.

    Recalls are compared as whole numbers: 3 boxes of 10 are a recall of 0.3, which 3 * 0.1 is not in floats.

    Args:
        hits: (n,) bool by falling score, which detections are right.
        boxes: how many boxes there are to find.

    Returns:
        None where there is no box.

    Example:
        >>> round(eleven_points([True, False, True], 2), 4)  # six points at 1, five at 2/3
        0.8485
    """
    if not boxes:
        return None
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(right) + 1)
    reached = [precision[10 * right >= tenth * boxes] for tenth in range(11)]
    return float(sum(p.max(initial=0.0) for p in reached) / 11)


def area_under_curve(hits: np.ndarray, boxes: int) -> float | None:
    """Return the area under precision over recall, each precision raised to the highest that follows.

    Args:
        hits: (n,) bool by falling score, which detections are right.
        boxes: how many boxes there are to find.

    Returns:
        None where there is no box.
    """
    if not boxes:
        return None
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[np.asarray(hits, bool)].sum() / boxes)


def _asked_for(truth: TruthTable) -> np.ndarray:
    return ~(truth.difficult | truth.crowd)


def _judge(truth: TruthTable, found: FoundTable, iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which detections are right, and which count at all."""
    pairs = overlapping(truth, found, iou)
    pairs = pairs.select(found.labels[pairs.found] == truth.labels[pairs.truth])
    # Crowd boxes last: they are measured by coverage, and would win over the box that a detection is for.
    pairs = pairs.select(np.lexsort((pairs.truth, -pairs.iou, truth.crowd[pairs.truth], pairs.found)))
    nearest = np.unique(pairs.found, return_index=True)[1]
    rows, boxes = pairs.found[nearest], pairs.truth[nearest]
    counted, right = np.ones(len(found.image), bool), np.zeros(len(found.image), bool)
    asked = _asked_for(truth)[boxes]
    counted[rows[~asked]] = False
    first = np.unique(boxes[asked], return_index=True)[1]  # rows of an image stand by falling score
    right[rows[asked][first]] = True
    return right, counted
