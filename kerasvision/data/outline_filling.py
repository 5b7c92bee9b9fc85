"""From outlines as COCO writes them, polygons and run lengths, to the pixels inside."""

import numpy as np

from kerasvision.data.safe_parsing import LARGEST_NUMBER
from kerasvision.errors import KerasvisionError

_MOST_CROSSINGS = 4_000_000  # of edges with rows that are worked out at a time
_LONGEST = 7  # letters of one run length: 35 bits


def fill_segment(segment, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of an object, (height, width) bool.

    Args:
        segment: polygons `[[x0, y0, x1, y1, …], …]`, whose pixels are joined, or run lengths
            `{"size": [height, width], "counts": list or text}`.
        size: (height, width) of the image.

    Raises:
        KerasvisionError: run lengths do not make up the image.
    """
    if isinstance(segment, dict):
        return run_pixels(segment["counts"], size)
    inside = np.zeros(size, bool)
    for polygon in segment:
        inside |= polygon_pixels(np.reshape(np.asarray(polygon, np.float64), (-1, 2)), size)
    return inside


def polygon_pixels(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie in a polygon, (height, width) bool.

    Where a polygon crosses itself, what is inside twice is outside (even-odd rule), as in COCO's own tools.

    Args:
        points: (n, 2) x, y in pixels; the first pixel begins at 0 and ends at 1.
        size: (height, width) of the image.

    Example:
        >>> polygon_pixels(np.array([[0.4, 1], [2.6, 1], [2.6, 3], [0.4, 3]]), (4, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    """
    inside = np.zeros(size, bool)
    left, top = np.clip(np.floor(points.min(0)), 0, size[::-1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(0)), 0, size[::-1]).astype(int)
    if left < right and top < bottom:  # elsewhere is nothing, and most objects are small
        inside[top:bottom, left:right] = _filled(points - (left, top), (bottom - top, right - left))
    return inside


def _filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    ends = np.roll(points, -1, axis=0)
    downwards = (points[:, 1] <= ends[:, 1])[:, None]
    upper, lower = np.where(downwards, points, ends), np.where(downwards, ends, points)
    # An edge crosses the centre lines of the rows from `first` up to `last`.
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.int64)
    edges = np.flatnonzero(last > first)
    toggles = np.zeros(height * (width + 1), np.int64)
    for some in np.array_split(edges, 1 + (last - first)[edges].sum() // _MOST_CROSSINGS):
        counts = (last - first)[some]
        edge = np.repeat(some, counts)
        rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        share = (rows + 0.5 - upper[edge, 1]) / (lower[edge, 1] - upper[edge, 1])
        crossing = upper[edge, 0] + share * (lower[edge, 0] - upper[edge, 0])
        columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
        toggles += np.bincount(rows * (width + 1) + columns, minlength=len(toggles))
    return (np.cumsum(toggles.reshape(height, width + 1), axis=1) % 2 == 1)[:, :width]


def run_pixels(counts, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of run lengths, (height, width) bool.

    Args:
        counts: lengths of runs of pixels outside and inside in turn, down the columns; a list, or COCO's
            text.
        size: (height, width) of the image.

    Raises:
        KerasvisionError: they do not make up the image.
    """
    lengths = _run_lengths(counts, size)
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(size[::-1]).T


def segment_area(segment, size: tuple[int, int]) -> float:
    """Return the area of an object in pixels, as it is written down (parts may lie outside of the image).

    Raises:
        KerasvisionError: run lengths do not make up the image.
    """
    if isinstance(segment, dict):
        return float(_run_lengths(segment["counts"], size)[1::2].sum())
    total = 0.0
    for polygon in segment:
        x, y = np.reshape(np.asarray(polygon, np.float64), (-1, 2)).T
        total += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return total


def _run_lengths(counts, size: tuple[int, int]) -> np.ndarray:
    lengths = _unpacked(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    if (lengths < 0).any() or (lengths > LARGEST_NUMBER**2).any() or lengths.sum() != size[0] * size[1]:
        raise KerasvisionError("has run lengths that do not make up its image")
    return lengths


def _unpacked(text: str) -> np.ndarray:
    """Return the run lengths of COCO's text.

    Each letter from "0" on has 5 bits, the lowest first, and a sixth that says that more follow; numbers may
    be negative; from the fourth on they are differences to the last but one.
    """
    letters = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if not len(letters) or letters.min() < 0 or letters.max() > 63 or letters[-1] & 32:
        raise KerasvisionError("has run lengths that are not COCO's text")
    ends = np.flatnonzero(letters & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts >= _LONGEST).any():
        raise KerasvisionError("has run lengths that are too long for any photo")
    places = 5 * (np.arange(len(letters)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((letters & 31) << places, starts)
    numbers -= np.where(letters[ends] & 16, 1 << 5 * (ends - starts + 1), 0)
    for chain in (slice(1, None, 2), slice(2, None, 2)):
        numbers[chain] = np.cumsum(numbers[chain])
    return numbers
