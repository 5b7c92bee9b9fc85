"""Charts of an embedder's report: the ROC curve, distances of pairs, and the embedding as a map."""

import math
from itertools import pairwise

import numpy as np

from kerasvision.metrics import EmbeddingJudgement
from kerasvision.report import plots
from kerasvision.report.html import Markup, join, plural, tag
from kerasvision.report.mask_pictures import class_colours
from kerasvision.report.sections import legend

NAMED = 30  # identities up to which a map names them
LONGEST_NAME = 18
MAP_WIDTH, MAP_HEIGHT, MAP_EDGE = 720, 480, 24


def roc_chart(judgement: EmbeddingJudgement) -> Markup:
    """Draw true accepts over false accepts, the latter on a scale of powers of ten."""
    curve, found = judgement.verification.curve, judgement.verification
    lowest = math.floor(math.log10(1 / max(10, found.impostors)))
    frame = plots.Frame((lowest, 0.0), (0.0, 1.0), plots.WIDTH, 300)

    def at(false: float, true: float) -> tuple[float, float]:
        return frame.at(max(lowest, math.log10(max(false, 10.0**lowest))), true)

    inside = [at(a, b) for a, b in zip(curve.false_accepts, curve.true_accepts, strict=True)]
    stairs = [f"{inside[0][0]:.1f} {inside[0][1]:.1f}"]
    for (_, before), (x, y) in pairwise(inside):
        stairs += [f"{x:.1f} {before:.1f}", f"{x:.1f} {y:.1f}"]
    x, y = at(judgement.measured_false_accept_rate, judgement.true_accept_rate)
    return plots.svg(
        f"True accepts over false accepts; area under the curve {found.auc:.4f}",
        plots.y_axis(frame, [0, 0.25, 0.5, 0.75, 1.0], plots.percent_label),
        plots.x_axis(
            frame, range(lowest, 1), lambda power: plots.percent_label(10.0**power), "False accepts"
        ),
        tag("path", d="M" + "L".join(stairs), class_="line"),
        tag(
            "circle",
            tag("title", "the shipped threshold"),
            cx=f"{x:.1f}",
            cy=f"{y:.1f}",
            r=4,
            class_="dot s1",
        ),
        height=300,
    )


def distance_chart(judgement: EmbeddingJudgement, histogram) -> Markup:
    """Draw how far apart pairs are, in shares of each kind, and the threshold."""
    edges = histogram.edges
    kinds = [np.asarray(counts) / max(1, np.sum(counts)) for counts in (histogram.same, histogram.different)]
    filled = np.flatnonzero(kinds[0] + kinds[1])
    first, last = (filled[0], filled[-1] + 1) if filled.size else (0, len(edges) - 1)
    ticks = plots.nice_ticks(0.0, max(float(shares.max()) for shares in kinds) or 1.0)
    frame = plots.Frame((float(edges[first]), float(edges[last])), (0.0, ticks[-1]), plots.WIDTH, 300)
    floor = frame.at(edges[first], 0.0)[1]
    x = frame.at(min(max(judgement.threshold, edges[first]), edges[last]), 0)[0]
    left = x > frame.width * 0.7
    drawn = plots.svg(
        f"Distances of pairs of one identity and of two; threshold {judgement.threshold:.4g}",
        plots.y_axis(frame, ticks, plots.percent_label),
        plots.x_axis(
            frame,
            _inside(edges[first], edges[last]),
            plots.number_label,
            f"Distance ({judgement.distance})",
        ),
        [
            _stairs(frame, edges[first : last + 1], shares[first:last], f"s{i}" if i else "")
            for i, shares in enumerate(kinds)
        ],
        tag("line", x1=x, x2=x, y1=plots.TOP - 14, y2=floor, class_="mark"),
        tag(
            "text",
            "threshold",
            x=x + (-4 if left else 4),
            y=plots.TOP - 7,
            text_anchor="end" if left else "start",
        ),
        height=300,
    )
    return join([legend(["of one identity", "of two identities"]), drawn])


def _stairs(frame: plots.Frame, edges, shares, class_: str) -> Markup:
    points = [frame.at(edges[0], 0.0)]
    for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
        points += [frame.at(left, share), frame.at(right, share)]
    points.append(frame.at(edges[-1], 0.0))
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return tag("path", d=path, class_=f"line {class_}".strip())


def _inside(low: float, high: float) -> list[float]:
    return [tick for tick in plots.nice_ticks(float(low), float(high), 6) if low <= tick <= high]


def embedding_map(value) -> Markup | None:
    """Return embeddings as dots on a plane, an `EmbeddingMap`, named at its groups."""
    if not len(value.points):
        return None
    xs, ys = _on_the_map(np.asarray(value.points, float))
    hues = [
        f"#{r:02x}{g:02x}{b:02x}"
        for r, g, b in class_colours([f"#{i}" for i in range(len(value.identities))])
    ]
    dots = [
        tag(
            "circle",
            tag("title", f"{value.identities[label]}: {name}"),
            cx=f"{x:.1f}",
            cy=f"{y:.1f}",
            r=4,
            style=f"fill:{hues[label]};stroke:var(--back);stroke-width:1",
        )
        for x, y, label, name in zip(xs, ys, value.labels.tolist(), value.names, strict=True)
    ]
    present = np.unique(value.labels)
    names = [
        _group_name(value.identities[label], xs[value.labels == label], ys[value.labels == label])
        for label in present
        if len(present) <= NAMED
    ]
    title = f"{plural(len(xs), 'image')} of {plural(len(present), 'identity', 'identities')}"
    drawn = tag(
        "svg",
        tag("title", f"Map of the embedding: {title}"),
        dots,
        names,
        viewBox=f"0 0 {MAP_WIDTH} {MAP_HEIGHT}",
        role="img",
        class_="boxed",
    )
    return join([tag("p", f"{title}; {value.method}.", class_="soft"), drawn])


def _on_the_map(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of points (n, 2), with one scale for both axes."""
    low, high = points.min(0), points.max(0)
    inside = np.array([MAP_WIDTH - 2 * MAP_EDGE, MAP_HEIGHT - 2 * MAP_EDGE])
    scale = (inside / np.maximum(high - low, 1e-9)).min()
    at = (points - (low + high) / 2) * scale
    return MAP_WIDTH / 2 + at[:, 0], MAP_HEIGHT / 2 - at[:, 1]


def _group_name(name: str, xs: np.ndarray, ys: np.ndarray) -> Markup:
    """Write a name above the highest dot of its group."""
    top = int(ys.argmin())
    return tag(
        "text",
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…",
        x=f"{np.clip(xs[top], 40, MAP_WIDTH - 40):.1f}",
        y=f"{max(ys[top] - 8, 12):.1f}",
        text_anchor="middle",
        style="fill:var(--text);paint-order:stroke;stroke:var(--card);stroke-width:3px",
    )
