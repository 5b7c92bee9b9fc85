"""Building blocks, charts and pictures."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from kerasvision.metrics import reliability
from kerasvision.report import html, plots
from kerasvision.report.confusion import confused_pairs, confusion_view
from kerasvision.report.pictures import data_uri, overlay, picture


@pytest.mark.parametrize(
    "share, text",
    [(0.5, "50.0 %"), (1, "100 %"), (0, "0.0 %"), (0.99996, "99.9 %"), (None, "–"), (float("nan"), "–")],
)
def test_percent(share, text):
    assert html.percent(share).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    "count, text", [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.7e6, "2.7 MB"), (3e9, "3 GB")]
)
def test_file_size(count, text):
    assert html.file_size(int(count)).replace("\u00a0", " ") == text


def test_tag_escapes_text_and_attributes_but_not_markup():
    inner = html.tag("b", "<i>")
    written = html.tag("p", inner, ["&", None], title='"<', hidden=True, id=None, data_x=1.0)
    assert written == '<p title="&quot;&lt;" hidden data-x="1"><b>&lt;i&gt;</b>&amp;</p>'


def test_table_has_headers_for_rows_and_columns():
    written = html.table(["a", "b"], [("x", 1), ("y", None)], caption="c", numeric=[1])
    assert written.count('scope="row"') == written.count('scope="col"') == 2
    assert '<td class="number">–</td>' in written


@pytest.mark.parametrize("low, high", [(0, 2.3), (0, 1), (0.61, 0.98), (0, 0), (5, 5), (-3, 4e5), (0, 1e-9)])
def test_ticks_enclose_the_values(low, high):
    ticks = plots.nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 9
    np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 20, 99, 100, 3000])
def test_whole_ticks(steps):
    ticks = plots.whole_ticks(steps)
    assert ticks[0] == 1 and ticks[-1] <= max(2, steps) and len(ticks) <= 10 and ticks == sorted(set(ticks))


def test_a_line_runs_from_corner_to_corner_and_breaks_at_gaps():
    drawn = plots.line_chart("t", [[0.0, 0.5, 1.0], [1.0, None, 0.0]], x_label="x")
    x0, x1 = plots.LEFT, plots.WIDTH - plots.RIGHT
    y0, y1 = plots.HEIGHT - plots.BOTTOM, plots.TOP
    middle = f"{(x0 + x1) / 2:.1f} {(y0 + y1) / 2:.1f}"
    assert f'd="M{x0:.1f} {y0:.1f}L{middle}L{x1:.1f} {y1:.1f}"' in drawn
    assert drawn.count('class="dot s1"') == 2  # two lonely points instead of a line through the gap


@pytest.mark.parametrize("series", [[[], []], [[None], [None]], [[1.0], [2.0]], [[3.0] * 5, [3.0] * 5]])
def test_charts_of_hardly_anything(series):
    assert "nan" not in plots.line_chart("t", series, x_label="x", as_percent=True)


def test_the_best_epoch_is_marked():
    drawn = plots.line_chart("t", [[0.0, 1.0]], x_label="x", best=(0, 2))
    assert f'<circle cx="{plots.WIDTH - plots.RIGHT}" cy="{plots.TOP}" r="4"' in drawn


def test_reliability_bars_reach_their_accuracy():
    bins = reliability([0, 0, 1, 1], [[1.0, 0.0]] * 4, bins=10)
    drawn = plots.reliability_diagram("t", bins)
    full = 300 - plots.TOP - plots.BOTTOM
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" class="bar', drawn)]
    assert heights == [pytest.approx(full / 2), pytest.approx(full / 2)]  # half right, half a gap


def test_confused_pairs_against_a_sort(rng):
    matrix = rng.integers(0, 50, (9, 9))
    expected = sorted(-matrix[i, j] for i in range(9) for j in range(9) if i != j)[:12]
    pairs = confused_pairs(matrix, 12)
    assert [-n for _, _, n in pairs] == expected
    assert all(matrix[i, j] == n and i != j for i, j, n in pairs)
    assert confused_pairs(np.eye(3, dtype=int)) == []


def test_confusion_numbers_and_heat_map():
    matrix = np.array([[3, 1], [0, 1234]])
    table = confusion_view(matrix, ("a", "b"))
    assert ">3</td>" in table and ">1,234</td>" in table and table.count('class="none"') == 1
    large = np.zeros((21, 21), int)
    large[0, 1], large[2, 2] = 4, 1
    drawn = confusion_view(large, tuple(f"n{i}" for i in range(21)))
    pixels = decode(re.search(r'href="(data:[^"]+)"', drawn).group(1))
    assert pixels.shape == (21, 21, 4) and set(zip(*np.nonzero(pixels[..., 3]), strict=True)) == {
        (0, 1),
        (2, 2),
    }


def decode(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


@pytest.mark.parametrize(
    "shape, kind, size",
    [((8, 8, 3), "png", (8, 8)), ((64, 40, 3), "png", (64, 40)), ((600, 300, 3), "jpeg", (240, 120))],
)
def test_pictures_are_small(rng, shape, kind, size):
    image = rng.integers(0, 255, shape).astype(np.uint8)
    uri = data_uri(image)
    assert uri.startswith(f"data:image/{kind};") and decode(uri).shape[:2] == size
    if kind == "png":
        assert np.array_equal(decode(uri), image)
    assert 'class="small"' in picture(image, "x") or kind == "jpeg"


def test_overlay_leaves_cold_places_alone(rng):
    image = rng.integers(0, 255, (32, 48, 3)).astype(np.uint8)
    assert np.array_equal(overlay(image, np.zeros((7, 7))), image)
    heat = np.zeros((32, 48))
    heat[:, 40:] = 1
    laid = overlay(image, heat)
    assert np.array_equal(laid[:, :30], image[:, :30])
    expected = image[:, 47] * 0.35 + 0.65 * np.array([255, 235, 130])
    np.testing.assert_allclose(laid[:, 47], expected, atol=1)
