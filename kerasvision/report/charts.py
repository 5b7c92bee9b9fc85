"""Charts of points, lines and bands over numbers, described once and drawn twice.

As SVG for our pages (it follows their light and dark), and as a PNG for slides and papers.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kerasvision.files import write_atomically
from kerasvision.report.html import Markup, tag
from kerasvision.report.plots import (
    LEFT,
    RIGHT,
    TOP,
    Frame,
    finite,
    nice_ticks,
    number_label,
    percent_label,
    svg,
    x_axis,
    y_axis,
)
from kerasvision.report.style import CSS

WIDE, TALL = 640, 320
COLOURS = ("#1f5fd0", "#c2610c", "#0f7b6c")  # those of the style sheet in the light
LINES = ("-", "--", ":")


@dataclass(frozen=True)
class Series:
    """What belongs together in a chart.

    Attributes:
        label: for the legend; empty for none.
        x: numbers.
        y: as many numbers; None leaves a point out.
        style: `"line"`, `"dots"`, `"bars"`, or `"band"` between `y` and `high`.
        colour: 0, 1 or 2.
        high: the upper edge of a band.
        hints: as many texts, shown when one points at a dot or bar.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: Literal["line", "dots", "bars", "band"] = "line"
    colour: int = 0
    high: Sequence[float] = ()
    hints: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        title: what is shown, in a few words.
        series: drawn one over the other.
        x_label, y_label: what the axes count.
        as_percent: values are shares.
        logarithmic: the y axis is; values of 0 and below are left out.
        level: (value, label): a horizontal line to compare with.
    """

    title: str
    series: Sequence[Series]
    x_label: str
    y_label: str
    as_percent: bool = False
    logarithmic: bool = False
    level: tuple[float, str] | None = None


def draw(chart: Chart) -> Markup:
    """Return a chart as SVG for a page."""
    # A logarithmic chart is a plain one of the logarithms; only its tick labels say otherwise.
    to_y, show = _scale(chart)
    frame, x_ticks, y_ticks = _frame(chart, to_y)
    drawn = [_series(frame, one, to_y) for one in chart.series]
    level = _level(frame, chart, to_y) if chart.level else None
    return svg(
        f"{chart.title}: {chart.y_label}",
        y_axis(frame, y_ticks, show),
        x_axis(frame, x_ticks, number_label, chart.x_label),
        drawn,
        level,
        _legend(chart),
        width=WIDE,
        height=TALL,
    )


def save_chart(chart: Chart, folder: str | os.PathLike, name: str) -> tuple[Path, Path]:
    """Write a chart as `NAME.svg` and `NAME.png` into a folder; return the two files."""
    files = Path(folder) / f"{name}.svg", Path(folder) / f"{name}.png"
    with write_atomically(files[0], "w") as file:
        file.write(_standalone(chart))
    with write_atomically(files[1]) as file:
        _figure(chart).savefig(file, format="png", dpi=150)
    return files


def _standalone(chart: Chart) -> str:
    heading = tag("text", f"{chart.title}: {chart.y_label}", x=LEFT, y=18, style="font-size:13px")
    return tag(
        "svg",
        tag("style", Markup(CSS)),
        tag("rect", width="100%", height="100%", style="fill:var(--back)"),
        tag("svg", heading, width=WIDE, height=26),
        tag("svg", draw(chart), y=24, width=WIDE, height=TALL),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDE} {TALL + 28}",
        width=WIDE,
        height=TALL + 28,
        class_="kv",
    )


def _scale(chart: Chart):
    """Return value -> place on the axis (None where it has none), and place -> label."""
    if chart.logarithmic:
        from math import log10

        def place(value):
            value = finite(value)
            return log10(value) if value is not None and value > 0 else None

        return place, power_label
    return finite, percent_label if chart.as_percent else number_label


def power_label(exponent: float) -> str:
    """Return the axis number 10**exponent: 0.01, and 10⁻⁵ where there would be more zeros.

    >>> [power_label(exponent) for exponent in (-15, -2, 0, 0.5)]
    ['10⁻¹⁵', '0.01', '1', '3.162']
    """
    if float(exponent).is_integer() and abs(exponent) > 3:
        return "10" + f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return number_label(10**exponent)


def _frame(chart: Chart, to_y) -> tuple[Frame, list, list]:
    xs = [x for one in chart.series for x in one.x]
    ys = [y for one in chart.series for value in (*one.y, *one.high) if (y := to_y(value)) is not None]
    ys += [to_y(chart.level[0])] if chart.level else []
    low, high = (min(ys), max(ys)) if ys else (0.0, 1.0)
    if chart.logarithmic:
        y_ticks = nice_ticks(low, high)
    else:
        y_ticks = nice_ticks(min(0.0, low), high if high > low or high > 0 else 1.0)
        y_ticks = [t for t in y_ticks if t <= 1] if chart.as_percent and high <= 1 else y_ticks
    left, right = (min(xs), max(xs)) if xs else (0, 1)
    x_ticks = _x_ticks(left, right, whole=all(float(x).is_integer() for x in xs))
    room = 0.5 if any(one.style in ("dots", "bars") for one in chart.series) and right - left > 2 else 0.02
    room = room * max((right - left) / max(len(set(xs)) - 1, 1), 1e-9)
    return Frame((left - room, right + room), (y_ticks[0], y_ticks[-1]), WIDE, TALL), x_ticks, y_ticks


def _x_ticks(left: float, right: float, *, whole: bool) -> list[float]:
    ticks = nice_ticks(left, right, 8)
    if whole and ticks[1] - ticks[0] < 10:  # steps of 1, 2 and 5, as half a module cannot be deleted
        stride = next(step for step in (1, 2, 5, 10) if (right - left) / step <= 10)
        ticks = [tick for tick in range(int(left), int(right) + 1) if tick % stride == 0]
    return [tick for tick in ticks if left <= tick <= right] or [left]


def _series(frame: Frame, one: Series, to_y) -> list[Markup]:
    shade = f"s{one.colour}" if one.colour else ""
    hints = one.hints or [""] * len(one.x)
    points = [
        (*frame.at(x, y), hint)
        for x, value, hint in zip(one.x, one.y, hints, strict=True)
        if (y := to_y(value)) is not None
    ]
    if one.style == "line":
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
        return [tag("path", d=path, class_=f"line {shade}".strip())] if points else []
    if one.style == "band":
        return _band(frame, one, to_y)
    if one.style == "bars":
        floor, width = frame.at(0, max(0.0, frame.y[0]))[1], _bar_width(frame, one)
        return [
            tag("rect", tag("title", hint), x=x - width / 2, y=y, width=width, height=floor - y, class_="bar")
            for x, y, hint in points
        ]
    return [
        tag("circle", tag("title", hint), cx=x, cy=y, r=4, class_=f"dot {shade}") for x, y, hint in points
    ]


def _bar_width(frame: Frame, one: Series) -> float:
    return 0.7 * (frame.width - LEFT - RIGHT) / max(len(one.x), 1)


def _band(frame: Frame, one: Series, to_y) -> list[Markup]:
    edges = [
        (x, low, high)
        for x, a, b in zip(one.x, one.y, one.high, strict=True)
        if (low := to_y(a)) is not None and (high := to_y(b)) is not None
    ]
    around = [frame.at(x, low) for x, low, _ in edges] + [frame.at(x, high) for x, _, high in edges[::-1]]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in around) + "Z"
    return [tag("path", d=path, class_="band")] if edges else []


def _level(frame: Frame, chart: Chart, to_y) -> list[Markup]:
    value, label = chart.level
    (x1, y), (x2, _) = frame.at(frame.x[0], to_y(value)), frame.at(frame.x[1], to_y(value))
    return [
        tag("line", x1=x1, x2=x2, y1=y, y2=y, class_="mark"),
        # Below: what is compared mostly lies above it.
        tag("text", label, x=x2, y=y + 13, text_anchor="end"),
    ]


def _legend(chart: Chart) -> list[Markup]:
    drawn, x = [], LEFT
    for one in chart.series:
        if not one.label:
            continue
        shade = f" s{one.colour}" if one.colour else ""
        shapes = {
            "line": lambda at, shade=shade: tag("path", d=f"M{at} {TOP - 14}h18", class_=f"line{shade}"),
            "dots": lambda at, shade=shade: tag("circle", cx=at + 9, cy=TOP - 14, r=4, class_=f"dot{shade}"),
            "bars": lambda at: tag("rect", x=at, y=TOP - 18, width=18, height=8, class_="bar"),
            "band": lambda at: tag("rect", x=at, y=TOP - 18, width=18, height=8, class_="band"),
        }
        drawn += [shapes[one.style](x), tag("text", one.label, x=x + 24, y=TOP - 10)]
        x += 42 + 6 * len(one.label)
    return drawn


def _figure(chart: Chart):
    """Return a chart as a matplotlib figure, without pyplot's global state."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for one in chart.series:
        _plot(axes, one)
    if chart.level:
        axes.axhline(chart.level[0], color="#5a6572", linestyle=":", label=chart.level[1])
    axes.set(title=chart.title, xlabel=chart.x_label, ylabel=chart.y_label)
    if chart.logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    if all(float(x).is_integer() for one in chart.series for x in one.x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if chart.as_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if any(one.label for one in chart.series) or chart.level:
        axes.legend(frameon=False)
    return figure


def _plot(axes, one: Series) -> None:
    colour, label = COLOURS[one.colour], one.label or None
    y = [float("nan") if value is None else value for value in one.y]
    if one.style == "band":
        axes.fill_between(one.x, y, one.high, color=colour, alpha=0.18, linewidth=0, label=label)
    elif one.style == "bars":
        axes.bar(one.x, y, width=0.7, color=colour, alpha=0.6, label=label)
    elif one.style == "dots":
        axes.plot(one.x, y, "o", color=colour, label=label)
    else:
        axes.plot(one.x, y, LINES[one.colour], color=colour, label=label)
