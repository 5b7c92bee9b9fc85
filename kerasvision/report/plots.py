"""Charts as small inline SVG, coloured by the page's style sheet (so they follow light and dark)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kerasvision.metrics import ReliabilityBin
from kerasvision.report.html import Markup, percent, tag

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 20, 22, 36


@dataclass(frozen=True)
class Frame:
    """Where a chart's values lie: data ranges and the pixels they map to."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = WIDTH
    height: int = HEIGHT

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point of data."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + across * (self.width - LEFT - RIGHT),
            self.height - BOTTOM - up * (self.height - TOP - BOTTOM),
        )


def line_chart(
    title: str,
    series: Sequence[Sequence[float | None]],
    *,
    x_label: str,
    marks: Iterable[tuple[int, str]] = (),
    as_percent: bool = False,
    best: tuple[int, int] | None = None,
) -> Markup:
    """Draw one or two lines over the steps 1, 2, 3.

    Args:
        title: what is shown, for screen readers.
        series: values of each line; None and what is not finite leaves a gap.
        x_label: below the axis.
        marks: (step, label): vertical lines where something begins.
        as_percent: values are shares; the axis ends at 100 % at most.
        best: (line, step) to mark with a dot.
    """
    series = [[finite(value) for value in line] for line in series]
    values = [value for line in series for value in line if value is not None]
    steps = max((len(line) for line in series), default=0)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    ticks = nice_ticks(low if as_percent else min(0.0, low), high)
    if as_percent and low >= 0 and high <= 1:
        ticks = [tick for tick in ticks if 0 <= tick <= 1]
    frame = Frame((1, max(2, steps)), (ticks[0], ticks[-1]))
    drawn = [_line(frame, line, f"s{i}" if i else "") for i, line in enumerate(series)]
    if best is not None and series[best[0]][best[1] - 1] is not None:
        x, y = frame.at(best[1], series[best[0]][best[1] - 1])
        drawn.append(tag("circle", cx=x, cy=y, r=4, class_=f"dot s{best[0]}"))
    show = percent_label if as_percent else number_label
    return svg(
        title,
        y_axis(frame, ticks, show),
        x_axis(frame, whole_ticks(steps), str, x_label),
        [_mark(frame, step, label) for step, label in marks],
        drawn,
    )


def share_curve(
    title: str, values: Sequence[float], *, x_label: str, dot: tuple[float, float] | None = None
) -> Markup:
    """Draw a share over a share: `values` at 0 to 1 in equal steps.

    Args:
        title: what is shown, for screen readers.
        values: from 0 to 1.
        x_label: below the axis.
        dot: (x, y) to mark.
    """
    frame = Frame((0, 1), (0, 1), 320, 220)
    points = [frame.at(i / (len(values) - 1), value) for i, value in enumerate(values)]
    ticks = [0, 0.25, 0.5, 0.75, 1.0]
    marked = None
    if dot is not None:
        x, y = frame.at(*dot)
        marked = tag("circle", cx=x, cy=y, r=4, class_="dot")
    return svg(
        title,
        y_axis(frame, ticks, percent_label),
        x_axis(frame, ticks, percent_label, x_label),
        _piece(points, ""),
        marked,
        width=frame.width,
        height=frame.height,
    )


def reliability_diagram(title: str, bins: Sequence[ReliabilityBin]) -> Markup:
    """Draw accuracy over confidence: bars on the diagonal are honest, the gap to it is marked."""
    frame = Frame((0, 1), (0, 1), WIDTH, 300)
    most = max((b.count for b in bins), default=1) or 1
    drawn = [_bin(frame, b, most) for b in bins if b.count]
    ticks = [0, 0.25, 0.5, 0.75, 1.0]
    (x1, y1), (x2, y2) = frame.at(0, 0), frame.at(1, 1)
    diagonal = tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="mark")
    return svg(
        title,
        y_axis(frame, ticks, percent_label),
        x_axis(frame, ticks, percent_label, "How sure the model was"),
        drawn,
        diagonal,
        height=frame.height,
    )


def _bin(frame: Frame, b: ReliabilityBin, most: int) -> Markup:
    (left, floor), (right, _) = frame.at(b.lower, 0), frame.at(b.upper, 0)
    right_share, sure = frame.at(0, b.accuracy)[1], frame.at(0, b.confidence)[1]
    width = max(1.0, right - left - 2)
    hint = f"{b.count} images, {percent(b.confidence)} sure on average, {percent(b.accuracy)} of them right"
    # Bins with few images are drawn pale: their bars say little.
    weight = round(0.35 + 0.65 * math.sqrt(b.count / most), 3)
    return tag(
        "g",
        tag("title", hint),
        tag("rect", x=left + 1, y=right_share, width=width, height=floor - right_share, class_="bar"),
        tag(
            "rect",
            x=left + 1,
            y=min(right_share, sure),
            width=width,
            height=abs(right_share - sure),
            class_="bar gap",
        ),
        opacity=weight,
    )


def _line(frame: Frame, values: Sequence[float | None], class_: str) -> list[Markup]:
    pieces, piece = [], []
    for step, value in enumerate([*values, None], start=1):
        if value is not None:
            piece.append(frame.at(step, min(max(value, frame.y[0]), frame.y[1])))
        elif piece:
            pieces.append(piece)
            piece = []
    return [_piece(points, class_) for points in pieces]


def _piece(points: list[tuple[float, float]], class_: str) -> Markup:
    if len(points) == 1:
        return tag("circle", cx=points[0][0], cy=points[0][1], r=3.5, class_=f"dot {class_}".strip())
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=path, class_=f"line {class_}".strip())


def _mark(frame: Frame, step: int, label: str) -> list[Markup]:
    x = frame.at(step, frame.y[0])[0]
    room_right = x < frame.width * 0.75
    anchor = "start" if room_right else "end"
    return [
        tag("line", x1=x, x2=x, y1=TOP - 14, y2=frame.height - BOTTOM, class_="mark"),
        tag("text", label, x=x + (4 if room_right else -4), y=TOP - 7, text_anchor=anchor),
    ]


def y_axis(frame: Frame, ticks: Sequence[float], show) -> list[Markup]:
    """Draw a grid line and a number at each tick; `show(value)` writes the number."""
    drawn = []
    for value in ticks:
        y = frame.at(frame.x[0], value)[1]
        drawn.append(tag("line", x1=LEFT, x2=frame.width - RIGHT, y1=y, y2=y, class_="grid-line"))
        drawn.append(tag("text", show(value), x=LEFT - 6, y=y + 4, text_anchor="end"))
    return drawn


def x_axis(frame: Frame, ticks: Sequence[float], show, label: str) -> list[Markup]:
    """Draw the axis below with a number at each tick, and what it counts."""
    floor = frame.height - BOTTOM
    drawn = [tag("line", x1=LEFT, x2=frame.width - RIGHT, y1=floor, y2=floor, class_="axis")]
    for value in ticks:
        x = frame.at(value, frame.y[0])[0]
        drawn.append(tag("text", show(value), x=x, y=floor + 14, text_anchor="middle"))
    middle = (LEFT + frame.width - RIGHT) / 2
    return [*drawn, tag("text", label, x=middle, y=frame.height - 4, text_anchor="middle")]


def svg(title: str, *body, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """Return a drawing with its title for screen readers."""
    return tag("svg", tag("title", title), *body, viewBox=f"0 0 {width} {height}", role="img")


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round values that enclose [low, high], about `count` of them.

    Example:
        >>> nice_ticks(0.0, 2.3)
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    """
    if high <= low:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    raw = (high - low) / count
    scale = 10 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def whole_ticks(steps: int, count: int = 8) -> list[int]:
    """Return whole numbers from 1 to `steps`, about `count` of them and both ends sensible."""
    if steps <= count:
        return list(range(1, max(2, steps) + 1)) if steps != 1 else [1]
    stride = next(m for k in range(9) for m in (10**k, 2 * 10**k, 5 * 10**k) if steps / m <= count)
    return [1, *(i for i in range(stride, steps + 1, stride) if i > 1)]


def number_label(value: float) -> str:
    """Return an axis number without needless digits."""
    return f"{value:.4g}"


def percent_label(value: float) -> str:
    """Return an axis number as a percentage."""
    return f"{100 * value:.4g}\u00a0%"


def finite(value) -> float | None:
    """Return a number of a table (possibly text), None when empty or not finite."""
    if value is None or value == "":
        return None
    value = float(value)
    return value if math.isfinite(value) else None
