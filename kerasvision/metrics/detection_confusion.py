"""Which class a detector takes for which, and on which images it does worst."""

from collections.abc import Sequence

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.detection_matching import Matches, closest, match_detections


def box_confusion_matrix(
    truth: Sequence, found: Sequence, classes: int, *, thresholds, iou: float = 0.5
) -> np.ndarray:
    """Count boxes by true class (rows) and found class (columns); the last of both is the background.

    Detections and boxes of one class are matched first, as for AP, so that the diagonal is what precision and
    recall count. What is left is matched whatever the class, the largest overlap first. Boxes without
    a detection count in the last column, detections without a box in the last row.

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order.
        classes: how many classes there are.
        thresholds: least score that counts: a number, or one a class.
        iou: overlap from which a detection has found a box.

    Returns:
        (classes + 1, classes + 1) int64; crowd boxes and detections inside them are left out.

    Raises:
        KerasvisionError: shapes, labels, values or thresholds that do not fit.
    """
    return confusion_of(match_detections(truth, found, classes, iou=iou), classes, thresholds)


def worst_images(
    truth: Sequence, found: Sequence, classes: int, *, thresholds, count: int = 12
) -> np.ndarray:
    """Return the images with the most mistakes, the worst first; among equals, where least is right.

    A mistake is a box that was not found or a detection that found no box of its class at IoU 0.5.

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order.
        classes: how many classes there are.
        thresholds: least score that counts: a number, or one a class.
        count: how many at most; images without a mistake are left out.

    Returns:
        (at most count,) int64, indices of images.

    Raises:
        KerasvisionError: shapes, labels, values or thresholds that do not fit.
    """
    return worst_of(match_detections(truth, found, classes), classes, thresholds, count)


def confusion_of(matches: Matches, classes: int, thresholds) -> np.ndarray:
    """Count boxes by true and found class, for ready matches."""
    truth, found = matches.truth, matches.found
    counted = _counted(matches, classes, thresholds)
    partner = np.where(counted, matches.partner, -1)
    free = ~truth.crowd
    free[partner[partner >= 0]] = False
    pairs = matches.pairs
    left = (counted & (partner < 0))[pairs.found] & free[pairs.truth] & (pairs.iou >= matches.iou)
    crossed = closest(pairs.select(left), len(partner), len(free))
    partner = np.where(partner < 0, crossed, partner)
    free[partner[partner >= 0]] = False
    labels = np.append(truth.labels, classes)  # partner -1 is the background
    rows = np.concatenate([labels[partner[counted]], truth.labels[free]])
    columns = np.concatenate([found.labels[counted], np.full(free.sum(), classes)])
    side = classes + 1
    return np.bincount(rows * side + columns, minlength=side**2).reshape(side, side)


def worst_of(matches: Matches, classes: int, thresholds, count: int = 12) -> np.ndarray:
    """Return the images with the most mistakes, for ready matches."""
    truth, images = matches.truth, matches.truth.images
    counted = _counted(matches, classes, thresholds)
    right = np.bincount(matches.found.image[counted & matches.hits], minlength=images)
    wanted = np.bincount(truth.image[~truth.crowd], minlength=images)
    mistakes = np.bincount(matches.found.image[counted], minlength=images) + wanted - 2 * right
    order = np.lexsort((right, -mistakes))
    return order[mistakes[order] > 0][:count]


def _counted(matches: Matches, classes: int, thresholds) -> np.ndarray:
    """Return the mask of detections at or above the threshold of their class that are not ignored."""
    thresholds = np.asarray(thresholds, np.float64)
    if thresholds.shape not in ((), (classes,)) or np.isnan(thresholds).any():
        raise KerasvisionError(
            f"`thresholds` must be a number, or one for each of the {classes} classes. "
            f"Received: {thresholds}."
        )
    least = np.broadcast_to(thresholds, (classes,))[matches.found.labels]
    return (matches.found.scores >= least) & ~matches.ignored
