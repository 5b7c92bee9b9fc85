"""How a degradation study is shown: findings in sentences, the figure, the page."""

import base64
from collections.abc import Sequence
from io import BytesIO
from itertools import combinations

from kerasvision.files import write_atomically
from kerasvision.recipes.degradation_study import DegradationStudy, NetworkCurves
from kerasvision.report.html import (
    Markup,
    definitions,
    document,
    fragment,
    percent,
    section,
    sentence,
    table,
    tag,
)

LEAST_POINTS = 1.0
FIGURE, PAGE = "degradation", "report.html"
SETTING = {"he_normal": "He", "glorot_uniform": "Glorot"}
HOW_TO_READ = (
    "Dashed: training error, measured while training (on augmented images and before each step, as in the "
    "paper's figure 6). Solid: error on the {held_out} images after each epoch. Clean training error: after "
    "the last epoch, on the training images as they are."
)


def findings(curves: Sequence[NetworkCurves]) -> tuple[str, ...]:
    """Compare the last epoch of each two networks that differ in one thing only.

    That is: depth within a family, plain and residual at one depth, initialisation, or BatchNorm. Networks
    that are still training are not compared.
    """
    done = [curve for curve in curves if curve.status == "trained"]
    sentences = [s for pair in combinations(done, 2) if (s := _compare(*pair))]
    failed = [
        f"{c.name}: {c.outcome}." for c in curves if c.outcome not in ("trained",) and c.status != "training"
    ]
    return (*sentences, *failed)


def _compare(one: NetworkCurves, two: NetworkCurves) -> str | None:
    same_setting = (one.initializer, one.batch_norm) == (two.initializer, two.batch_norm)
    if same_setting and one.family == two.family and one.depth != two.depth:
        low, high = sorted((one, two), key=lambda curve: curve.depth or 0)
        return _sentence(low, high, "deeper")
    if same_setting and one.depth == two.depth and one.family != two.family:
        return _sentence(one, two, None)
    if one.network == two.network and (
        one.initializer == two.initializer or one.batch_norm == two.batch_norm
    ):
        return _sentence(one, two, None)
    return None


def _sentence(one: NetworkCurves, two: NetworkCurves, word: str | None) -> str:
    first, second = one.training_errors[-1], two.training_errors[-1]
    points = 100 * (second - first)
    much = f"{abs(points):.1f} points {'above' if points > 0 else 'below'} the {percent(first)} of {one.name}"
    text = f"{two.name} ends at {percent(second)} training error, {much}"
    if not word:
        return f"{text}."
    if points < 0:
        return f"{text}: the deeper one fits its training images better."
    # A gap between two networks that learned nothing, or one as small as luck, says nothing about depth.
    told = points >= LEAST_POINTS and one.outcome == "trained"
    return f"{text}: the deeper one fits its own training images worse{', which is degradation' * told}."


def draw(study: DegradationStudy):
    """Return the error curves as a matplotlib figure, one panel a family, as figure 6 of the paper."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    families = sorted({curve.family for curve in study.curves})  # plain to the left, as in the paper
    figure = Figure(figsize=(5.4 * len(families), 4.4), layout="constrained")
    panels = figure.subplots(1, len(families), sharex=True, sharey=True, squeeze=False)[0]
    for panel, family in zip(panels, families, strict=True):
        chosen = sorted((c for c in study.curves if c.family == family), key=lambda c: (c.depth or 0, c.name))
        for number, curve in enumerate(chosen):
            _draw_network(panel, curve, f"C{number % 10}")
        panel.set_title(family)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0].set_ylabel("error (%): training dashed, " + study.held_out + " solid")
    panels[0].set_ylim(0, _highest(study))
    panels[0].set_xlim(0, max(curve.epochs for curve in study.curves))
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw_network(panel, curve: NetworkCurves, colour: str) -> None:
    label = curve.name if curve.status == "trained" else f"{curve.name} ({curve.outcome})"
    epochs = [row["epoch"] for row in curve.history]
    panel.plot(epochs, [100 * e for e in curve.test_errors], color=colour, linewidth=1.8, label=label)
    panel.plot(epochs, [100 * e for e in curve.training_errors], color=colour, linewidth=1, linestyle="--")


def _highest(study: DegradationStudy) -> float:
    errors = [e for curve in study.curves for e in (*curve.training_errors, *curve.test_errors)]
    return 100 * min(1.0, 1.05 * max(errors, default=1.0))


def write_page(study: DegradationStudy) -> None:
    """Write the figure as SVG and PNG, and the page with the figure inside."""
    for kind in ("svg", "png"):
        with write_atomically(study.folder / f"{FIGURE}.{kind}") as file:
            file.write(_picture(study, kind))
    with write_atomically(study.folder / PAGE, "w") as file:
        file.write(page(study))


def _picture(study: DegradationStudy, kind: str) -> bytes:
    written = BytesIO()
    draw(study).savefig(written, format=kind, dpi=130, facecolor="white")
    return written.getvalue()


def page(study: DegradationStudy) -> str:
    """Return the study as one self-contained HTML page."""
    footer = tag("footer", "Written by kerasvision. This page is one file: keep it, send it, print it.")
    return document(_title(study), tag("header", tag("h1", _title(study))), *_body(study), footer)


def notebook_page(study: DegradationStudy) -> str:
    """Return the same as a fragment for a notebook."""
    return fragment(tag("h1", _title(study)), *_body(study))


def _title(study: DegradationStudy) -> str:
    state = "" if study.finished else " (still training)"
    return f"Degradation: do deeper networks fit worse?{state}"


def _body(study: DegradationStudy) -> list[Markup]:
    parts = [
        section("Errors while training", _image(study), lead=HOW_TO_READ.format(held_out=study.held_out)),
        section("Networks", _table(study)),
        section("How it was trained", definitions(_facts(study))),
    ]
    if study.findings:
        points = tag("ul", [tag("li", sentence(text)) for text in study.findings])
        note = "Each network was trained once: differences of a point or two may be luck."
        parts.insert(0, section("What came out", points, lead=note))
    return parts


def _image(study: DegradationStudy) -> Markup:
    encoded = base64.b64encode(_picture(study, "svg")).decode()
    words = "; ".join(f"{curve.name} {curve.outcome}" for curve in study.curves)
    return tag("img", src=f"data:image/svg+xml;base64,{encoded}", alt=f"Error over epochs: {words}")


def _table(study: DegradationStudy) -> Markup:
    header = (
        "Network",
        "Parameters",
        "Epochs",
        "Training error",
        "Clean training error",
        "Error, held out",
        "",
    )
    rows = [
        (
            row["name"],
            row["parameters"] and f"{row['parameters']:,}",
            row["epochs"],
            percent(row["training_error"]) if row["training_error"] is not None else None,
            percent(row["clean_training_error"]),
            percent(row["test_error"]) if row["test_error"] is not None else None,
            row["outcome"],
        )
        for row in study.table()
    ]
    return table(header, rows, caption="Networks after their last epoch", numeric=(1, 2, 3, 4, 5))


def _facts(study: DegradationStudy) -> dict[str, str]:
    arguments, data = study.record["arguments"], study.record["data"]
    counts = {split: sum(classes.values()) for split, classes in data["counts"].items()}
    warm_up = arguments["warmup_epochs"]
    return {
        "Data": data["origin"],
        "Training images": f"{counts['train']:,}",
        f"Held-out images ({study.held_out})": f"{counts[study.held_out]:,}",
        "Epochs planned": str(arguments["epochs"]),
        "Optimizer": f"SGD, momentum {arguments['momentum']}, batches of {arguments['batch_size']}",
        "Learning rate": f"{arguments['learning_rate']}, a tenth of it from half, a hundredth from 3/4 on"
        + (f"; a tenth for the first {warm_up} epochs" if warm_up else ""),
        "L2 penalty": f"{arguments['weight_decay']} on kernels",
        "Augmentation": str(arguments["augment"]),
        "Seed": str(arguments["seed"]),
        **({"Notes on the data": " ".join(data["notes"])} if data["notes"] else {}),
        "Versions": ", ".join(f"{k} {v}" for k, v in study.record["versions"].items()),
    }
