"""From what a segmenter says of a resized image back to the pixels of the photo."""

import numpy as np

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.metrics.segmentation import VOID

# Bytes of float values of rows that are worked on together.
_AT_ONCE = 2**25


def labels_on_photo(scores: np.ndarray, preprocessing: Preprocessing, size: tuple[int, int]) -> np.ndarray:
    """Return the label map of a photo: scores are resized by bilinear interpolation, then the best is taken.

    A photo is worked on in bands, so that memory grows with its pixels, not with pixels times classes.

    Args:
        scores: (h, w, classes) float, of the whole resized image, at any resolution: logits, or logarithms of
            probabilities.
        preprocessing: how the photo became the resized image.
        size: (height, width) of the upright photo.

    Returns:
        (height, width) uint8; 255, void, where `"crop"` cut the photo off.
    """
    placed = preprocessing.place(size)
    (height, width), (high, wide) = preprocessing.image_size, scores.shape[:2]
    down = _Line(size[0], high, placed.scale_y * high / height, placed.offset_y * high / height)
    across = _Line(size[1], wide, placed.scale_x * wide / width, placed.offset_x * wide / width)
    labels = np.full(size, VOID, np.uint8)
    rows = max(1, _AT_ONCE // (4 * size[1] * scores.shape[2]))
    for start in range(0, size[0], rows):
        band = down.interpolate(scores, slice(start, start + rows), axis=0)
        best = across.interpolate(band, slice(None), axis=1).argmax(-1)
        seen = down.seen[start : start + rows, None] & across.seen
        labels[start : start + rows] = np.where(seen, best, VOID)
    return labels


def labels_to_photo(labels: np.ndarray, preprocessing: Preprocessing, size: tuple[int, int]) -> np.ndarray:
    """Return the label map of a photo by nearest neighbour, where there are labels and no scores.

    Args:
        labels: (h, w) uint8, of the whole resized image, at any resolution.
        preprocessing: how the photo became the resized image.
        size: (height, width) of the upright photo.

    Returns:
        (height, width) uint8; 255, void, where `"crop"` cut the photo off.
    """
    placed = preprocessing.place(size)
    (height, width), (high, wide) = preprocessing.image_size, labels.shape
    down = _Line(size[0], high, placed.scale_y * high / height, placed.offset_y * high / height)
    across = _Line(size[1], wide, placed.scale_x * wide / width, placed.offset_x * wide / width)
    seen = down.seen[:, None] & across.seen
    return np.where(seen, labels[down.nearest][:, across.nearest], VOID).astype(np.uint8)


class _Line:
    """Where the pixels of one side of a photo lie between those of the resized image."""

    def __init__(self, count: int, there: int, scale: float, offset: float):
        at = (np.arange(count) + 0.5) * scale + offset
        self.seen = (at >= 0) & (at <= there)
        self.nearest = np.clip(np.floor(at).astype(np.int64), 0, there - 1)
        first = np.floor(at - 0.5)
        self._share = (at - 0.5 - first).astype(np.float32)
        self._first, self._second = (np.clip(first + k, 0, there - 1).astype(np.int64) for k in (0, 1))

    def interpolate(self, values: np.ndarray, rows: slice, axis: int) -> np.ndarray:
        share = self._share[rows].reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        first, second = (values.take(index[rows], axis) for index in (self._first, self._second))
        return first + (second - first) * share
