"""Default boxes: where a network with several feature maps looks for boxes, as numpy arrays."""

import math
from collections.abc import Sequence

import numpy as np

# Section 2.2 of https://arxiv.org/abs/1512.02325: scales from 0.2 to 0.9 of the image, evenly spaced, and 0.1
# for conv4_3 (0.15 to 0.9 and 0.07 for images of 512 pixels, section 3.3).
SMALLEST, LARGEST = 0.2, 0.9


def tile(sizes: np.ndarray, grid: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Put boxes of some sizes at the centre of each cell of a grid over an image.

    Args:
        sizes: (k, 2) widths and heights in pixels.
        grid: (rows, columns) of a feature map.
        image_size: (height, width) in pixels.

    Returns:
        (rows * columns * k, 4) float32, xyxy in pixels, by row, then column, then size: the order of a
        feature map (rows, columns, k * 4) that is reshaped to (-1, 4). They may reach over the edges.

    >>> tile(np.array([[4, 2]]), (1, 2), (8, 8)).tolist()
    [[0.0, 3.0, 4.0, 5.0], [4.0, 3.0, 8.0, 5.0]]
    """
    (rows, columns), (height, width) = grid, image_size
    middle_y = (np.arange(rows) + 0.5) * (height / rows)
    middle_x = (np.arange(columns) + 0.5) * (width / columns)
    y, x = np.meshgrid(middle_y, middle_x, indexing="ij")
    centers = np.stack([x, y], axis=-1)[:, :, None]
    half = np.asarray(sizes, np.float64) / 2
    boxes = np.concatenate([centers - half, centers + half], axis=-1)
    return boxes.reshape(-1, 4).astype(np.float32)


def ssd_scales(
    levels: int, smallest: float = SMALLEST, largest: float = LARGEST, first: float | None = None
) -> tuple[float, ...]:
    """Return the scales of SSD's levels as shares of the image, and one more: that after the last level.

    Args:
        levels: number of feature maps, at least 2.
        smallest: scale of the second level.
        largest: scale of the last level.
        first: scale of the first level, which the paper sets by itself; default half of `smallest`.

    Returns:
        `levels + 1` numbers.

    >>> [round(scale, 3) for scale in ssd_scales(6)]
    [0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075]
    """
    step = (largest - smallest) / max(levels - 2, 1)
    evenly = [smallest + step * index for index in range(levels)]
    return (smallest / 2 if first is None else first, *evenly)


def ssd_ratios(levels: int) -> tuple[tuple[float, ...], ...]:
    """Return the aspect ratios of each level: up to 2 on the first and the last two, up to 3 between them.

    >>> [len(ratios) for ratios in ssd_ratios(6)]
    [3, 5, 5, 5, 3, 3]
    """
    few, many = (1.0, 2.0, 1 / 2), (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
    return tuple(few if level == 0 or level >= levels - 2 else many for level in range(levels))


def ssd_sizes(
    scale: float, next_scale: float, ratios: Sequence[float], image_size: tuple[int, int]
) -> np.ndarray:
    """Return the sizes of SSD's default boxes on one level.

    Args:
        scale: of this level, as a share of the image.
        next_scale: of the level after it.
        ratios: width to height; for 1 there is one more box, of scale sqrt(scale * next_scale).
        image_size: (height, width) in pixels.

    Returns:
        (len(ratios) + 1, 2) widths and heights in pixels; the extra box comes second.
    """
    height, width = image_size
    shares = [(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for ratio in ratios]
    extra = math.sqrt(scale * next_scale)
    shares.insert(1, (extra, extra))
    return np.array(shares) * (width, height)


def ssd_boxes(
    image_size: tuple[int, int],
    grids: Sequence[tuple[int, int]],
    scales: Sequence[float],
    ratios: Sequence[Sequence[float]],
) -> np.ndarray:
    """Return SSD's default boxes of all levels, one level after the other.

    Args:
        image_size: (height, width) in pixels.
        grids: (rows, columns) of each feature map.
        scales: one for each level and one more, as shares of the image.
        ratios: of each level.

    Returns:
        (n, 4) float32, xyxy in pixels, not clipped to the image: 8732 for 300 x 300, 24564 for 512 x 512.

    https://arxiv.org/abs/1512.02325, section 2.2
    """
    parts = []
    for grid, now, after, shapes in zip(grids, scales[:-1], scales[1:], ratios, strict=True):
        parts.append(tile(ssd_sizes(now, after, shapes, image_size), grid, image_size))
    return np.concatenate(parts)
