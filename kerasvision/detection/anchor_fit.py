"""Do the anchors of a detector fit the boxes that it is to learn, and would others fit better?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from kerasvision.detection.detectors import Detector, Head
from kerasvision.detection.retinanet import RetinaNetHead
from kerasvision.detection.ssd import SSDHead
from kerasvision.metrics.box_geometry import pairwise_iou

MOST_BOXES = 2000
# With fewer boxes covered than this, others are looked for; and taken if they cover so many more.
ENOUGH, WORTHWHILE = 0.95, 0.02
RETINANET_SCALES = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)
SSD_SHARES = tuple((low, high) for low in (0.02, 0.05, 0.1) for high in (0.9, 0.99, 1.0))


@dataclass(frozen=True)
class AnchorFit:
    """How well anchors fit boxes.

    Attributes:
        covered: share of the boxes that overlap with an anchor by as much as it needs to learn them.
        before: that of the anchors that the family has by default.
        options: of the builder, where others were taken: `anchor_scale` or `scales`; else empty.
    """

    covered: float
    before: float
    options: Mapping


def fit_anchors(detector: Detector, boxes: np.ndarray, *, change: bool = True) -> tuple[Detector, AnchorFit]:
    """Give a RetinaNet or an SSD anchors of the sizes that boxes have, where its own leave many out.

    A box that overlaps with no anchor is learnt by its best one alone, and badly. The layers do not depend on
    the sizes of anchors, so that nothing is built anew.

    Args:
        detector: one whose head has `anchors`.
        boxes: (n, 4) float32, xyxy in pixels of the network's input; 2,000 at most are looked at.
        change: False: only tell how many are covered.

    Returns:
        The same detector or one with the other anchors in its head and its spec, and how they fit.
    """
    head = detector.head
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if len(boxes) > MOST_BOXES:
        boxes = boxes[np.linspace(0, len(boxes) - 1, MOST_BOXES).astype(int)]
    before = _fit(head, boxes)
    if not change or before[0] >= ENOUGH:
        return detector, AnchorFit(before[0], before[0], {})
    best, options = max(
        ((_fit(replace(head, **options), boxes), options) for options in _others(head, boxes)),
        key=lambda pair: pair[0],
    )
    if best[0] < before[0] + WORTHWHILE:
        return detector, AnchorFit(before[0], before[0], {})
    spec = replace(detector.spec, options=dict(detector.spec.options) | options)
    fitted = replace(detector, head=replace(head, **options), spec=spec)
    return fitted, AnchorFit(best[0], before[0], options)


def has_anchors(head: Head) -> bool:
    """Tell whether `fit_anchors` knows the anchors of a head."""
    return isinstance(head, RetinaNetHead | SSDHead)


def _fit(head, boxes: np.ndarray) -> tuple[float, float]:
    """Return the share of boxes that are covered, and the mean of their overlaps."""
    if not len(boxes):
        return 1.0, 1.0
    overlaps = np.concatenate([pairwise_iou(part, head.anchors).max(1) for part in np.array_split(boxes, 20)])
    return float(np.mean(overlaps > head.overlap)), float(np.mean(overlaps))


def _others(head, boxes: np.ndarray) -> Iterator[dict]:
    if isinstance(head, RetinaNetHead):
        yield from ({"anchor_scale": scale} for scale in RETINANET_SCALES)
        return
    shares = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / np.prod(head.image_size))
    # Of each level once more as large, by the same factor, from the small boxes up to the large ones.
    for low, high in SSD_SHARES:
        ends = np.quantile(shares, low), max(np.quantile(shares, high), 2 * np.quantile(shares, low))
        for last in (min(ends[1], 1.0), 1.0):
            levels = np.geomspace(max(ends[0], 0.01), last, len(head.grids) + 1)
            yield {"scales": tuple(round(float(share), 4) for share in levels)}
