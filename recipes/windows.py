"""A photo that is larger than a network, seen through windows that overlap and blend into each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class WindowGrid:
    """Probabilities of a photo, computed row of windows by row of windows as they are asked for.

    Attributes:
        photo: (rows, columns, 3) uint8.
        answer: (b, h, w, 3) uint8 -> probabilities (b, classes, h, w) float32.
        window: (h, w), the size of the network.
        overlap: of neighbouring windows, a share of their sides.
        classes: how many classes.
        batch: windows that are shown to the network at once.
    """

    photo: np.ndarray
    answer: Callable[[np.ndarray], np.ndarray]
    window: tuple[int, int]
    overlap: float
    classes: int
    batch: int = 8

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns): those of the photo."""
        return self.photo.shape[:2]

    @property
    def height_held(self) -> int:
        """Rows that are held at once: those of a row of windows, and what of it was asked for."""
        return 2 * self.window[0]

    def open(self, left: int, right: int) -> Callable[[int, int], np.ndarray]:
        """Return `(first, last) -> (classes, last - first, right - left) float32`; `first` may only grow."""
        return _Reader(self, left, right)


class _Reader:
    """Rows of blended probabilities, computed in order; those before the last that was asked for are gone."""

    def __init__(self, grid: WindowGrid, left: int, right: int):
        self.grid, self.left, self.right = grid, left, right
        (rows, columns), (high, wide) = grid.size, grid.window
        self.tops = positions(rows, high, grid.overlap)
        self.lefts = [x for x in positions(columns, wide, grid.overlap) if x < right and x + wide > left]
        self.weights = ramp(high, grid.overlap), ramp(wide, grid.overlap)
        self.across = self._total(self.lefts, self.weights[1], right)[left:right]
        self.down = self._total(self.tops, self.weights[0], rows)
        self.base, self.next = 0, 0  # the first row that is held, and the next row of windows
        self.sums = np.zeros((grid.classes, 0, right - left), np.float32)

    def __call__(self, first: int, last: int) -> np.ndarray:
        if first > self.base:
            self.sums, self.base = self.sums[:, first - self.base :], first
        while self._ready() < last:
            self._add_windows()
        part = self.sums[:, first - self.base : last - self.base]
        return part / (self.down[first:last, None] * self.across)

    def _ready(self) -> int:
        """Return the row up to which nothing more is added."""
        return self.tops[self.next] if self.next < len(self.tops) else len(self.down)

    def _add_windows(self) -> None:
        grid, top = self.grid, self.tops[self.next]
        self.next += 1
        high, wide = grid.window
        missing = min(top + high, grid.size[0]) - self.base - self.sums.shape[1]
        if missing > 0:
            more = np.zeros((grid.classes, missing, self.right - self.left), np.float32)
            self.sums = np.concatenate([self.sums, more], axis=1)
        for start in range(0, len(self.lefts), grid.batch):
            lefts = self.lefts[start : start + grid.batch]
            windows = np.stack([self._window(top, x) for x in lefts])
            for x, scores in zip(lefts, grid.answer(windows), strict=True):
                self._add(top, x, scores)

    def _window(self, top: int, left: int) -> np.ndarray:
        high, wide = self.grid.window
        part = self.grid.photo[top : top + high, left : left + wide]
        around = ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0))
        return np.pad(part, around, mode="symmetric")  # a side that is shorter than the window

    def _add(self, top: int, left: int, scores: np.ndarray) -> None:
        (high, wide), (down, across) = self.grid.window, self.weights
        rows = slice(max(top, self.base), min(top + high, self.grid.size[0]))
        columns = slice(max(left, self.left), min(left + wide, self.right))
        inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        weights = down[inside[0], None] * across[inside[1]]
        here = slice(rows.start - self.base, rows.stop - self.base)
        there = slice(columns.start - self.left, columns.stop - self.left)
        self.sums[:, here, there] += scores[:, *inside] * weights

    @staticmethod
    def _total(starts: list[int], weights: np.ndarray, length: int) -> np.ndarray:
        """Return the sum of the weights of all windows along a side, (length,) float32."""
        total = np.zeros(max(length, starts[-1] + len(weights)), np.float32)
        for start in starts:
            total[start : start + len(weights)] += weights
        return total[:length]


def positions(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along a side, evenly spread, the last one ending at its end.

    >>> positions(100, 40, 0.5), positions(30, 40, 0.5)
    ([0, 20, 40, 60], [0])
    """
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // step) + 1
    return np.linspace(0, length - window, count).round().astype(int).tolist()


def ramp(length: int, overlap: float) -> np.ndarray:
    """Return the weights along a window, (length,) float32: less towards its edges, which see less around.

    >>> ramp(4, 0.5).tolist()
    [0.25, 0.75, 0.75, 0.25]
    """
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(1.0, from_edge / max(overlap * length, 0.5)).astype(np.float32)
