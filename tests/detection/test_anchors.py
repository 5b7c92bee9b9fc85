"""Default boxes against the numbers of the paper and a slow reference."""

import math

import numpy as np
import pytest

from kerasvision.detection.anchors import ssd_boxes, ssd_ratios, ssd_scales, ssd_sizes, tile

SSD300 = (38, 19, 10, 5, 3, 1)
SSD512 = (64, 32, 16, 8, 4, 2, 1)


def slow_boxes(size, grids, scales, ratios):
    """Write section 2.2 of the paper out, in shares of the image."""
    height, width = size
    boxes = []
    for level, (rows, columns) in enumerate(grids):
        for row in range(rows):
            for column in range(columns):
                for ratio in ["first", *ratios[level]]:
                    if ratio == 1.0:
                        share = math.sqrt(scales[level] * scales[level + 1])
                        w = h = share
                    else:
                        number = 1.0 if ratio == "first" else ratio
                        w, h = scales[level] * math.sqrt(number), scales[level] / math.sqrt(number)
                    x, y = (column + 0.5) / columns, (row + 0.5) / rows
                    box = (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
                    boxes.append(box)
    return np.array(boxes)


@pytest.mark.parametrize(
    ("size", "grids", "options", "count"),
    [
        (300, SSD300, {}, 8732),
        (512, SSD512, {"smallest": 0.15, "first": 0.07}, 24564),
    ],
)
def test_number_of_default_boxes_of_the_paper(size, grids, options, count):
    scales, ratios = ssd_scales(len(grids), **options), ssd_ratios(len(grids))
    boxes = ssd_boxes((size, size), [(g, g) for g in grids], scales, ratios)
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32


def test_scales_of_the_paper():
    assert ssd_scales(6) == pytest.approx((0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075))
    assert ssd_scales(7, smallest=0.15, first=0.07) == pytest.approx(
        (0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05)
    )


def test_ratios_of_the_paper():
    """Section 3.1: no ratios 3 and 1/3 on conv4_3, conv10_2 and conv11_2, so 4 boxes there, else 6."""
    counts = [len(ssd_sizes(0.2, 0.3, ratios, (300, 300))) for ratios in ssd_ratios(6)]
    assert counts == [4, 6, 6, 6, 4, 4]


@pytest.mark.parametrize("size", [(300, 300), (96, 160)])
def test_boxes_equal_the_slow_ones(size):
    grids = [(4, 6), (2, 3), (1, 2), (1, 1)]
    scales, ratios = ssd_scales(4), ssd_ratios(4)
    boxes = ssd_boxes(size, grids, scales, ratios)
    np.testing.assert_allclose(boxes, slow_boxes(size, grids, scales, ratios), rtol=0, atol=3e-5)


def test_tiles_have_the_order_of_a_feature_map():
    boxes = tile(np.array([[2, 2], [4, 2]]), (2, 3), (10, 30)).reshape(2, 3, 2, 4)
    np.testing.assert_array_equal(boxes[1, 2, 0], [24, 6.5, 26, 8.5])
    np.testing.assert_array_equal(boxes[0, 1, 1], [13, 1.5, 17, 3.5])
