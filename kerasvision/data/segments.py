"""Outlines of objects as COCO writes them, polygons or run lengths, checked before they are kept."""

from collections.abc import Sequence

import numpy as np

from kerasvision.data.safe_parsing import LARGEST_NUMBER, brief

MOST_CHARACTERS = 10_000_000  # of compressed run lengths; a photo of 100 megapixels needs fewer


def segment_fault(segment, size: tuple[int, int] | None) -> str | None:
    """Say why an outline cannot be kept, or `None` if it can.

    Args:
        segment: polygons `[[x0, y0, x1, y1, …], …]`, or `{"size": [height, width], "counts": list or text}`,
            or nothing.
        size: (height, width) of the image, which run lengths must fill exactly; `None` where it is not known.
    """
    if segment is None or segment == []:
        return None
    if isinstance(segment, dict):
        return _runs_fault(segment, size)
    if not isinstance(segment, list) or not all(_is_polygon(polygon) for polygon in segment):
        return (
            "has a `segmentation` that is neither a list of polygons [[x0, y0, x1, y1, …], …] (three points "
            "or more) nor run lengths"
        )
    return None


def _is_polygon(polygon) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    try:
        points = np.asarray(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return points.ndim == 1 and bool((np.abs(points) <= LARGEST_NUMBER).all())


def _runs_fault(runs: dict, size: tuple[int, int] | None) -> str | None:
    stated, counts = runs.get("size"), runs.get("counts")
    good = isinstance(stated, list) and len(stated) == 2 and all(type(side) is int for side in stated)
    if not good or (size is not None and tuple(stated) != size):
        return f"has run lengths for an image of {brief(stated)} (height, width), which is not its size"
    if isinstance(counts, str):
        return None if len(counts) <= MOST_CHARACTERS else "has run lengths that are too long for any photo"
    if not isinstance(counts, list) or not _are_lengths(counts) or sum(counts) != stated[0] * stated[1]:
        return "has run lengths that do not make up its image"
    return None


def _are_lengths(counts: Sequence) -> bool:
    return all(type(count) is int and 0 <= count <= LARGEST_NUMBER**2 for count in counts)


def scaled_polygons(segment, size: tuple[int, int]) -> list:
    """Return polygons given in shares of an image as pixels of one of `size` (height, width)."""
    scale = np.array([size[1], size[0]], float)
    return [(np.reshape(polygon, (-1, 2)) * scale).reshape(-1).tolist() for polygon in segment]
