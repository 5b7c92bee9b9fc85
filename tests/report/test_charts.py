"""Charts: well-formed SVG with a mark for each value, and a PNG of the same."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from kerasvision.report.charts import TALL, WIDE, Chart, Series, draw, save_chart

DOTS = Series("dots", (1, 2, 3), (0.1, None, 0.9), "dots", hints=("a < b", "", "c"))


def parsed(*series, **options):
    chart = Chart("Title & more", series, "across", "up", **options)
    return ElementTree.fromstring(str(draw(chart)))


def marks(svg, name, class_):
    return [part for part in svg.iter(name) if class_ in part.get("class", "").split()]


def test_dots_lie_where_their_values_are():
    svg = parsed(DOTS, as_percent=True)
    dots = [d for d in marks(svg, "circle", "dot") if d.find("title") is not None]
    assert [dot.find("title").text for dot in dots] == ["a < b", "c"]
    (x1, y1), (x2, y2) = ((float(dot.get("cx")), float(dot.get("cy"))) for dot in dots)
    assert x1 < x2 and y1 > y2  # more is higher
    assert 0 < x1 < WIDE and 0 < y2 < TALL
    texts = [text.text for text in svg.iter("text")]
    assert {"across", "dots", "0\u00a0%"} <= set(texts)


def test_lines_bands_bars_and_level():
    xs = tuple(range(5))
    svg = parsed(
        Series("line", xs, xs),
        Series("band", xs, xs, "band", high=[x + 1 for x in xs]),
        level=(2.0, "middle"),
    )
    (line, _), (band,) = marks(svg, "path", "line"), marks(svg, "path", "band")
    assert len(re.findall("[ML]", line.get("d"))) == 5 and len(re.findall("[ML]", band.get("d"))) == 10
    assert len(marks(svg, "line", "mark")) == 1 and "middle" in [text.text for text in svg.iter("text")]
    bars = marks(parsed(Series("", xs, (0, 1, 2, 3, 4), "bars")), "rect", "bar")
    heights = np.array([float(bar.get("height")) for bar in bars])
    np.testing.assert_allclose(heights, heights[-1] * np.arange(5) / 4, atol=1e-3)


def test_logarithms_leave_out_what_has_none():
    svg = parsed(Series("", (0, 1, 2, 3), (0.0, 0.01, 0.1, 1.0), "dots"), logarithmic=True)
    places = [float(dot.get("cy")) for dot in marks(svg, "circle", "dot")]
    assert len(places) == 3 and places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.01)


@pytest.mark.parametrize("series", [(), (DOTS,), (Series("", (1,), (0.0,), "dots"),)])
def test_files(tmp_path, series):
    chart = Chart("Title", series, "across", "up", as_percent=True, level=(0.5, "level"))
    svg, png = save_chart(chart, tmp_path, "chart")
    root = ElementTree.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    with Image.open(png) as image:
        assert image.format == "PNG" and image.width > 800
        assert np.asarray(image.convert("L")).std() > 1


@pytest.mark.parametrize("last", [1, 4, 20, 54, 600])
def test_whole_numbers_have_whole_ticks(last):
    svg = parsed(Series("", range(last + 1), [0.5] * (last + 1)))
    below = [t.text for t in svg.iter("text") if float(t.get("y", 0)) > TALL - 30 and t.text != "across"]
    assert len(below) >= 2 and all(text.isdecimal() and int(text) <= last for text in below)
