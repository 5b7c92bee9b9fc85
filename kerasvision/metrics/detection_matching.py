"""Which detection found which box: COCO's matching, once for curves, thresholds, confusion and errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.box_geometry import aligned_coverage, aligned_iou, box_areas
from kerasvision.metrics.detection_values import FoundTable, TruthTable, tables

# Below this overlap a detection and a box have nothing to do with each other (TIDE, section 2.2).
BACKGROUND_IOU = 0.1
LARGEST_AREA = 1e10  # COCO's "all" sizes end there; wrong detections above do not count
PAIRS_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and boxes of one image that overlap, of any classes.

    Attributes:
        found: (p,) int64, row of the detection, ascending.
        truth: (p,) int64, row of the box.
        iou: (p,) float64; for crowd boxes the share of the detection that lies inside.
    """

    found: np.ndarray
    truth: np.ndarray
    iou: np.ndarray

    def select(self, keep: np.ndarray) -> "Pairs":
        """Return some of the pairs: `keep` is a mask or an order."""
        return Pairs(self.found[keep], self.truth[keep], self.iou[keep])


@dataclass(frozen=True, eq=False)
class Matches:
    """Who found what at one IoU threshold.

    Attributes:
        truth: the boxes.
        found: the detections that count (the best of each image and class).
        pairs: overlaps of at least 0.1.
        partner: (detections,) int64, row of the box that each found; -1 where it found none.
        taken: (boxes,) bool, which boxes were found.
        ignored: (detections,) bool, neither right nor wrong: inside a crowd box.
        iou: the threshold.
    """

    truth: TruthTable
    found: FoundTable
    pairs: Pairs
    partner: np.ndarray
    taken: np.ndarray
    ignored: np.ndarray
    iou: float

    @property
    def hits(self) -> np.ndarray:
        """(detections,) bool, the right ones."""
        return self.partner >= 0


def match_detections(
    truth: Sequence, found: Sequence, classes: int, *, iou: float = 0.5, max_detections: int = 100
) -> Matches:
    """Match detections with boxes of their class as COCO does.

    By falling score, each detection takes the free box of its class that it overlaps most, if by `iou` at
    least; of equal overlaps the later box. One that takes none but lies inside a crowd box is ignored.

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order.
        classes: how many classes there are.
        iou: least intersection over union, in [0.1, 1].
        max_detections: detections an image and class that count, the best-scored.

    Raises:
        KerasvisionError: shapes, labels or values that do not fit.
    """
    if not BACKGROUND_IOU <= iou <= 1:
        raise KerasvisionError(f"`iou` must lie in {BACKGROUND_IOU}..1. Received: {iou}.")
    return matches_of(*tables(truth, found, classes), iou, max_detections)


def matches_of(truth: TruthTable, found: FoundTable, iou: float = 0.5, max_detections: int = 100) -> Matches:
    """Match ready tables."""
    found = found.select(found.rank < max_detections)
    pairs = overlapping(truth, found, BACKGROUND_IOU)
    least = min(iou, 1 - 1e-10)  # as COCO: an IoU of 1 may come out a little lower
    near = pairs.select((pairs.iou >= least) & (found.labels[pairs.found] == truth.labels[pairs.truth]))
    crowd = truth.crowd[near.truth]
    partner = greedy(near.select(~crowd), len(found.image), len(truth.image))
    taken = np.zeros(len(truth.image), bool)
    taken[partner[partner >= 0]] = True
    ignored = box_areas(found.boxes) > LARGEST_AREA
    ignored[near.found[crowd]] = True
    return Matches(truth, found, pairs, partner, taken, ignored & (partner < 0), iou)


def greedy(pairs: Pairs, detections: int, boxes: int) -> np.ndarray:
    """Give each detection, in order, the free box that it overlaps most; of equal ones the last.

    Args:
        pairs: those that may match.
        detections: how many there are.
        boxes: how many there are.

    Returns:
        (detections,) int64, the box or -1.
    """
    order = np.lexsort((-pairs.truth, -pairs.iou, pairs.found))
    return _take(pairs.select(order), detections, boxes)


def closest(pairs: Pairs, detections: int, boxes: int) -> np.ndarray:
    """Match by falling overlap, whatever the scores: the nearest pair first, then the nearest of the rest.

    Arguments and result are those of `greedy`.
    """
    order = np.lexsort((pairs.truth, pairs.found, -pairs.iou))
    return _take(pairs.select(order), detections, boxes)


def _take(pairs: Pairs, detections: int, boxes: int) -> np.ndarray:
    """Match pair after pair where both are still free."""
    partner, free = [-1] * detections, [True] * boxes
    for d, t in zip(pairs.found.tolist(), pairs.truth.tolist(), strict=True):
        if free[t] and partner[d] < 0:
            partner[d], free[t] = t, False
    return np.asarray(partner, np.int64)


def overlapping(truth: TruthTable, found: FoundTable, least: float) -> Pairs:
    """Return the pairs of detection and box of one image, whatever their classes, that overlap by `least`."""
    parts = [_overlaps(truth, found, f, t, least) for f, t in _neighbours(truth, found)]
    columns = zip(*((p.found, p.truth, p.iou) for p in parts), strict=True)
    return Pairs(*map(np.concatenate, columns))


def _overlaps(truth: TruthTable, found: FoundTable, f: np.ndarray, t: np.ndarray, least: float) -> Pairs:
    a, b = found.boxes[f], truth.boxes[t]
    # Most boxes of an image do not touch; finding that out first is quicker than measuring them all.
    touch = (a[:, 0] < b[:, 2]) & (b[:, 0] < a[:, 2]) & (a[:, 1] < b[:, 3]) & (b[:, 1] < a[:, 3])
    f, t = f[touch], t[touch]
    overlap = aligned_iou(a[touch], b[touch])
    crowd = truth.crowd[t]
    overlap[crowd] = aligned_coverage(found.boxes[f[crowd]], truth.boxes[t[crowd]])
    return Pairs(f, t, overlap).select(overlap >= least)


def _neighbours(truth: TruthTable, found: FoundTable) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (detections, boxes) of one image each, every one with every other, about a million at once."""
    first = np.searchsorted(truth.image, np.arange(truth.images + 1))
    counts = np.diff(first)[found.image]
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(PAIRS_AT_ONCE, ends[-1] if ends.size else 0, PAIRS_AT_ONCE))
    for rows in np.split(np.arange(counts.size), cuts):
        repeated = np.repeat(rows, counts[rows])
        within = np.arange(repeated.size) - np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
        yield repeated, first[found.image[repeated]] + within
