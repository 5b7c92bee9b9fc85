"""What a detector found, and all boxes of a split in one table, checked once at the door of every metric."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.box_geometry import as_boxes, box_areas


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found on one image.

    Attributes:
        boxes: (k, 4) float, xyxy in pixels of the image that the truth is given for.
        labels: (k,) int, class indices.
        scores: (k,) float; only their order matters to AP.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class TruthTable:
    """All annotated boxes of a split, image after image.

    Attributes:
        images: how many images there are, those without boxes included.
        image: (n,) int64, the image of each box, ascending.
        boxes: (n, 4) float64, xyxy.
        labels: (n,) int64.
        crowd: (n,) bool, COCO's `iscrowd`: detections there are neither right nor wrong.
        difficult: (n,) bool, VOC's.
        areas: (n,) float64: of the annotation where its `extras` state one (COCO measures the segment, not
            the box, to sort objects by size), else of the box.
    """

    images: int
    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray


@dataclass(frozen=True, eq=False)
class FoundTable:
    """All detections of a split, image after image, by falling score within an image.

    Attributes:
        image: (n,) int64, ascending.
        boxes: (n, 4) float64, xyxy.
        labels: (n,) int64.
        scores: (n,) float64.
        source: (n,) int64, where each stood in the `Detections` of its image.
        rank: (n,) int64, how many of its image and class stand before it.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    source: np.ndarray
    rank: np.ndarray

    def select(self, keep: np.ndarray) -> "FoundTable":
        """Return the rows where `keep`, a mask, is True."""
        return FoundTable(*(getattr(self, field.name)[keep] for field in fields(self)))


def tables(truth: Sequence, found: Sequence, classes: int) -> tuple[TruthTable, FoundTable]:
    """Return the truth and the detections of a split as tables.

    Args:
        truth: one `ImageBoxes` an image: `boxes`, `labels`, `crowd`, `difficult`, `extras` (the last three
            may be missing).
        found: one `Detections` an image.
        classes: how many classes there are.

    Raises:
        KerasvisionError: no images, lengths that differ, or shapes, labels or values that do not fit.
    """
    if not len(truth):
        raise KerasvisionError("`truth` is empty: there is nothing to judge. Give at least one image.")
    if len(truth) != len(found):
        raise KerasvisionError(
            "`truth` and `found` must have one entry an image, in the same order; an image on which nothing "
            f"was found has empty `Detections`. Received: {len(truth)} and {len(found)}."
        )
    return _truth_table(truth, classes), _found_table(found, classes)


def _truth_table(truth: Sequence, classes: int) -> TruthTable:
    image, boxes, labels = _stack(truth, classes, "truth")
    counts = [len(t.boxes) for t in truth]
    return TruthTable(
        images=len(truth),
        image=image,
        boxes=boxes,
        labels=labels,
        crowd=_flags(truth, counts, "crowd"),
        difficult=_flags(truth, counts, "difficult"),
        areas=_areas(truth, boxes),
    )


def _found_table(found: Sequence, classes: int) -> FoundTable:
    image, boxes, labels = _stack(found, classes, "found")
    scores = _column([f.scores for f in found], [len(f.boxes) for f in found], "found", "scores")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise KerasvisionError(
            f"`scores` must be finite. Received: {scores[bad[0]]} on image {image[bad[0]]} of `found`."
        )
    source = np.arange(image.size) - np.searchsorted(image, image)
    order = np.lexsort((-scores, image))
    image, boxes, labels, scores, source = (a[order] for a in (image, boxes, labels, scores, source))
    return FoundTable(image, boxes, labels, scores.astype(np.float64), source, _rank(image, labels))


def _stack(values: Sequence, classes: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the image, the box and the label of everything, or say on which image something is wrong."""
    boxes = []
    for i, value in enumerate(values):
        try:
            boxes.append(as_boxes(value.boxes))
        except KerasvisionError as error:
            raise KerasvisionError(f"Image {i} of `{name}`: {error}") from error
    counts = [len(b) for b in boxes]
    labels = _column([v.labels for v in values], counts, name, "labels")
    image = np.repeat(np.arange(len(values)), counts)
    if labels.size and labels.dtype.kind not in "iu":
        raise KerasvisionError(f"`labels` of `{name}` must be integers. Received dtype: {labels.dtype}.")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        raise KerasvisionError(
            f"`labels` of `{name}` must lie in 0..{classes - 1}; leave out padding before. "
            f"Received: {labels[outside[0]]} on image {image[outside[0]]}."
        )
    return image, np.concatenate(boxes), labels.astype(np.int64)


def _column(arrays: Sequence, counts: Sequence[int], name: str, field: str) -> np.ndarray:
    """Return one value a box, or say on which image there are too many or too few."""
    arrays = [np.asarray(a) for a in arrays]
    for i, (array, count) in enumerate(zip(arrays, counts, strict=True)):
        if array.shape != (count,):
            raise KerasvisionError(
                f"`{field}` must be ({count},) for {count} boxes. "
                f"Received shape: {array.shape} on image {i} of `{name}`."
            )
    # Empty lists are float64, and would make floats of everything.
    filled = [a for a in arrays if a.size]
    return np.concatenate(filled) if filled else np.zeros(0)


def _flags(truth: Sequence, counts: Sequence[int], field: str) -> np.ndarray:
    given = [getattr(t, field, None) for t in truth]
    filled = [np.zeros(n, bool) if f is None else f for f, n in zip(given, counts, strict=True)]
    return _column(filled, counts, "truth", field).astype(bool)


def _areas(truth: Sequence, boxes: np.ndarray) -> np.ndarray:
    areas, start = box_areas(boxes), 0
    for t in truth:
        for i, extra in enumerate(getattr(t, "extras", None) or ()):
            if extra and extra.get("area") is not None:
                areas[start + i] = extra["area"]
        start += len(t.boxes)
    return areas


def _rank(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count how many rows of the same image and label stand before each row."""
    group = np.lexsort((labels, image))  # stable: rows of a group stay in order
    new = np.ones(image.size, bool)
    new[1:] = (np.diff(image[group]) != 0) | (np.diff(labels[group]) != 0)
    place = np.arange(image.size)
    rank = np.empty(image.size, np.int64)
    rank[group] = place - np.maximum.accumulate(np.where(new, place, 0))
    return rank
