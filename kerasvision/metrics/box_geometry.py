"""Areas and overlaps of boxes, in numpy. Boxes are `xyxy`: left, top, right, bottom edge in pixels.

Edges are positions, not pixels: a box from 0 to 10 is 10 wide. A box whose right edge lies left of its left
edge is empty, as is one of width 0: its area is 0, and so is its overlap with anything.
"""

import numpy as np

from kerasvision.errors import KerasvisionError


def as_boxes(boxes, name: str = "boxes") -> np.ndarray:
    """Return `boxes` as (n, 4) float64.

    Raises:
        KerasvisionError: another shape, or values that are not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(0, 4) if not boxes.size else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise KerasvisionError(f"`{name}` must be (n, 4), xyxy in pixels. Received shape: {boxes.shape}.")
    bad = np.flatnonzero(~np.isfinite(boxes).all(1))
    if bad.size:
        raise KerasvisionError(
            f"`{name}` must be finite. Received: {boxes[bad[0]].tolist()} in row {bad[0]} "
            "(a network that gives such boxes has diverged: lower the learning rate)."
        )
    return boxes


def box_areas(boxes) -> np.ndarray:
    """Return the area of each box.

    Args:
        boxes: (..., 4) float, xyxy.

    Returns:
        (...) float64, square pixels, never negative.
    """
    boxes = np.asarray(boxes, np.float64)
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return np.maximum(width, 0) * np.maximum(height, 0)


def aligned_intersections(first, second) -> np.ndarray:
    """Return the area that each box of `first` shares with its partner in `second`.

    Args:
        first: (..., 4) float, xyxy.
        second: (..., 4) float, xyxy; broadcast against `first`.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    width, height = (
        np.minimum(first[..., end], second[..., end]) - np.maximum(first[..., start], second[..., start])
        for start, end in ((0, 2), (1, 3))
    )
    return np.maximum(width, 0) * np.maximum(height, 0)


def aligned_iou(first, second) -> np.ndarray:
    """Return the intersection over union of each box of `first` with its partner in `second`.

    Args:
        first: (..., 4) float, xyxy.
        second: (..., 4) float, xyxy; broadcast against `first`.

    Returns:
        float64 in [0, 1]; 0 where both are empty.

    Example:
        >>> float(aligned_iou([0, 0, 2, 1], [1, 0, 3, 1]))
        0.3333333333333333
    """
    shared = aligned_intersections(first, second)
    return _share(shared, box_areas(first) + box_areas(second) - shared)


def aligned_coverage(first, second) -> np.ndarray:
    """Return the share of each box of `first` that its partner in `second` covers.

    COCO measures detections against crowd regions so: a person inside a region "crowd of people" is right
    although the region is far larger.

    Args:
        first: (..., 4) float, xyxy.
        second: (..., 4) float, xyxy; broadcast against `first`.
    """
    return _share(aligned_intersections(first, second), box_areas(first))


def pairwise_iou(first, second) -> np.ndarray:
    """Return the intersection over union of every box with every other.

    Args:
        first: (n, 4) float, xyxy.
        second: (m, 4) float, xyxy.

    Returns:
        (n, m) float64 in [0, 1].
    """
    return aligned_iou(as_boxes(first, "first")[:, None], as_boxes(second, "second")[None])


def to_xywh(boxes) -> np.ndarray:
    """Return left, top, width, height of `boxes` (..., 4) xyxy; empty boxes get a width or height of 0."""
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[..., :2], np.maximum(boxes[..., 2:] - boxes[..., :2], 0)], axis=-1)


def to_xyxy(boxes) -> np.ndarray:
    """Return the edges of `boxes` (..., 4) given as left, top, width, height."""
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.broadcast_to(whole > 0, part.shape))
