"""From scores on a coarse grid to the label map of a photo, band by band, so that memory stays bounded.

Scores are interpolated bilinearly at the centre of each pixel of the photo, and the highest class is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kerasvision.data.preprocessing import Placement
from kerasvision.metrics.segmentation import VOID

BAND_BYTES = 16 << 20  # of scores that are worked on at once
STRIP_BYTES = 256 << 20  # of scores that a grid may hold at once, where it can give a part of its columns


class Grid(Protocol):
    """Scores of classes at places over a photo, which may be computed when they are asked for.

    Attributes:
        size: (rows, columns) of the grid.
        classes: how many classes.
        height_held: rows that it holds at once.
    """

    size: tuple[int, int]
    classes: int
    height_held: int

    def open(self, left: int, right: int) -> Callable[[int, int], np.ndarray]:
        """Return `(first, last) -> (classes, last - first, right - left) float32`; `first` may only grow."""
        ...


@dataclass(frozen=True, eq=False)
class WholeGrid:
    """Scores that are at hand.

    Attributes:
        scores: (classes, rows, columns) float32.
    """

    scores: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.scores.shape[1:]

    @property
    def classes(self) -> int:
        """How many classes."""
        return len(self.scores)

    @property
    def height_held(self) -> int:
        """No strips: it is there in any case."""
        return 0

    def open(self, left: int, right: int) -> Callable[[int, int], np.ndarray]:
        """Return a view of some columns."""
        return lambda first, last: self.scores[:, first:last, left:right]


@dataclass(frozen=True, eq=False)
class Layer:
    """A grid and where it lies over the photo.

    Attributes:
        grid: the scores.
        placement: `place on the grid = place on the photo * scale + offset`, edges of pixels.
    """

    grid: Grid
    placement: Placement


@dataclass(frozen=True, eq=False)
class _Axis:
    """For each pixel along a side of the photo: the two places of the grid it lies between.

    Attributes:
        low: the first of the two.
        high: the second, or the first again at the edge.
        share: of the second, float32.
        seen: whether the grid covers the pixel.
    """

    low: np.ndarray
    high: np.ndarray
    share: np.ndarray
    seen: np.ndarray

    def part(self, first: int, last: int) -> "_Axis":
        return _Axis(*(values[first:last] for values in (self.low, self.high, self.share, self.seen)))

    @property
    def first(self) -> int:
        return int(self.low.min())

    @property
    def last(self) -> int:
        return int(self.high.max()) + 1

    @property
    def exact(self) -> bool:
        """Whether each pixel is a place of its own, in order."""
        return not self.share.any() and bool((np.diff(self.low) == 1).all())


def label_map(layers: Sequence[Layer], size: tuple[int, int]) -> np.ndarray:
    """Return the class with the highest sum of scores at each pixel of a photo.

    Args:
        layers: grids over the photo; their scores are added up.
        size: (height, width) of the photo.

    Returns:
        (height, width) uint8; 255, void, where no grid covers the pixel.
    """
    height, width = size
    labels = np.full(size, VOID, np.uint8)
    rows = [_axis(height, one.grid.size[0], one.placement.scale_y, one.placement.offset_y) for one in layers]
    across = [_axis(width, one.grid.size[1], one.placement.scale_x, one.placement.offset_x) for one in layers]
    for left, right in _strips(layers, width):
        columns = [axis.part(left, right) for axis in across]
        readers = [one.grid.open(axis.first, axis.last) for one, axis in zip(layers, columns, strict=True)]
        step = max(8, BAND_BYTES // (4 * layers[0].grid.classes * (right - left)))
        for top in range(0, height, step):
            bottom = min(height, top + step)
            bands = [
                _Band(read, axis.part(top, bottom), column)
                for read, axis, column in zip(readers, rows, columns, strict=True)
            ]
            seen = np.logical_or.reduce([np.outer(one.rows.seen, one.columns.seen) for one in bands])
            labels[top:bottom, left:right] = np.where(seen, _highest(bands, layers[0].grid.classes), VOID)
    return labels


class _Band:
    """The scores of a grid for some rows of the photo, interpolated class by class."""

    def __init__(self, read, rows: _Axis, columns: _Axis):
        self.rows, self.columns, self.first = rows, columns, rows.first
        self.scores = read(rows.first, rows.last)

    def of(self, label: int) -> np.ndarray:
        """Return (rows, columns) float32; it may be written into unless it is a view of the grid."""
        scores, columns, rows = self.scores[label], self.columns, self.rows
        if not columns.exact:
            left = columns.first
            low, high = scores[:, columns.low - left], scores[:, columns.high - left]
            scores = low + (high - low) * columns.share
        if rows.exact:
            return scores
        low, high = scores[rows.low - self.first], scores[rows.high - self.first]
        return low + (high - low) * rows.share[:, None]


def _highest(bands: Sequence[_Band], classes: int) -> np.ndarray:
    """Return the class with the highest sum, the first of equal ones, (rows, columns) uint8."""
    best = _sum(bands, 0)
    labels = np.zeros(best.shape, np.uint8)
    for label in range(1, classes):
        scores = _sum(bands, label)
        better = scores > best
        labels[better] = label
        best = np.maximum(best, scores)
    return labels


def _sum(bands: Sequence[_Band], label: int) -> np.ndarray:
    total = bands[0].of(label)
    for band in bands[1:]:
        total = total + band.of(label)
    return total


def _axis(count: int, places: int, scale: float, offset: float) -> _Axis:
    """Return how `count` pixels lie on a grid of `places`, all that it shows of them being between edges."""
    edges = (np.arange(count) + 0.5) * scale + offset
    # Beyond the photo there is padding, whose scores must not come into it.
    lowest, highest = max(0.0, offset), min(float(places), count * scale + offset)
    at = np.clip(
        edges - 0.5, np.ceil(lowest - 1e-6), max(np.ceil(lowest - 1e-6), np.floor(highest + 1e-6) - 1)
    )
    low = np.floor(at + 1e-6).astype(np.int64)
    share = np.maximum(at - low, 0.0)
    share[share < 1e-6] = 0.0
    return _Axis(
        low, np.where(share > 0, low + 1, low), share.astype(np.float32), (edges >= 0) & (edges <= places)
    )


def _strips(layers: Sequence[Layer], width: int) -> list[tuple[int, int]]:
    """Cut the photo into parts of its width whose scores fit into memory."""
    bytes_a_column = sum(
        4 * one.grid.classes * one.grid.height_held * one.placement.scale_x for one in layers
    )
    count = max(1, int(np.ceil(bytes_a_column * width / STRIP_BYTES)))
    edges = np.linspace(0, width, min(count, width) + 1).round().astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
