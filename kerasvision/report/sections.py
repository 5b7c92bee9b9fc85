"""The sections of a classifier's report: functions from values to markup, None when there is nothing."""

from collections.abc import Mapping, Sequence

from kerasvision.metrics import ClassScores, Judgement
from kerasvision.report import plots
from kerasvision.report.certificates import exports
from kerasvision.report.confusion import confusion_view, pairs_table
from kerasvision.report.html import (
    Markup,
    definitions,
    join,
    meter,
    notice,
    percent,
    plural,
    sentence,
    table,
    tag,
)
from kerasvision.report.pictures import overlay, picture

__all__ = (
    "advice",
    "calibration",
    "classes",
    "confusion",
    "curves",
    "data",
    "exports",
    "facts",
    "headline",
    "mistakes",
    "notes",
    "skipped",
)

CURVES_LEAD = (
    "Training should fall in loss and rise in accuracy, validation should follow. Where they part, the model "
    "learns its training images by heart."
)
SOLVED_NOTE = (
    "A frozen backbone has no epochs: its last layer is solved, and each of its points is a strength of the "
    "penalty on the weights, from strong to weak. Validation chose one of them."
)
CONFUSION_LEAD = "Each row is a true class; its cells say what the model answered."
CLASSES_LEAD = (
    "Weakest first. Found: share of a class's images that were recognised (recall). Right when named: share "
    "of the answers with this name that were right (precision)."
)
MISTAKES_LEAD = (
    "The wrong answers that the model was surest of. Look for wrong labels among them first. Warm colours "
    "show where it looked."
)
CALIBRATION_LEAD = (
    "Bars that end on the dotted line are honest: of all images that the model is 80 % sure of, 80 % should "
    "be right. Red shows by how much it is off; pale bars stand on few images."
)
EXPORTS_LEAD = (
    "Every file was run on the same held-out images as the Keras model; only files that agree pass."
)
SKIPPED_LEAD = "These files could not be used and took no part in training or judging."
NOTES_LEAD = "What was decided without being told, or noticed, as the data were loaded."
SPLIT_ORDER = ("train", "validation", "test")


def headline(judgement: Judgement) -> Markup:
    """Return the accuracy in plain words, with its interval and what guessing would reach."""
    low, high = judgement.accuracy_interval
    images = plural(judgement.count, "held-out image")
    first = tag(
        "p",
        f"{percent(judgement.accuracy)} of {images} got the right class out of {len(judgement.class_names)}.",
    )
    rest = [
        f"On new photos of the same kind expect {percent(low)} to {percent(high)} (95 % interval).",
        f"Always answering the most frequent class would reach {percent(_baseline(judgement))}.",
    ]
    if judgement.top_5 is not None:
        rest.append(f"The right class is among the first five answers for {percent(judgement.top_5)}.")
    scale = interval_bar("Accuracy", judgement.accuracy, low, high)
    words = tag("div", first, tag("p", " ".join(rest), class_="soft"), scale, class_="words")
    return tag("div", tag("div", percent(judgement.accuracy), class_="big"), words, class_="hero")


def _baseline(judgement: Judgement) -> float:
    return float(judgement.confusion.sum(1).max() / judgement.count)


def interval_bar(name: str, accuracy: float, low: float, high: float) -> Markup:
    """Return a share and its interval on a line from 0 to 100 %."""
    span = tag("i", style=f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%")
    bar = tag("div", span, tag("b", style=f"left:{100 * accuracy:.2f}%"), class_="range")
    label = f"{name} {percent(accuracy)}, interval {percent(low)} to {percent(high)}"
    ends = tag("div", tag("span", "0 %"), tag("span", "100 %"), class_="ends")
    return tag("div", bar, ends, role="img", aria_label=label, class_="scale")


def advice(sentences: Sequence[str]) -> Markup | None:
    """Return the advice as a list in a box."""
    if not sentences:
        return None
    points = tag("ul", [tag("li", sentence(text)) for text in sentences], class_="advice")
    return notice(tag("h3", "Advice"), points, level="note")


def facts(values: Mapping[str, str]) -> Markup | None:
    """Return the facts as pairs."""
    return definitions(values) if values else None


def curves(history: Sequence[Mapping]) -> Markup | None:
    """Return loss and accuracy over all epochs, the phases marked."""
    if not history:
        return None
    marks = phase_marks(history)
    charts = [
        _curve("Loss", history, "loss", marks, as_percent=False),
        _curve("Accuracy", history, "accuracy", marks, as_percent=True),
    ]
    solved = any(_is_solved(row) for row in history)
    return join([tag("div", charts, class_="grid"), tag("p", SOLVED_NOTE, class_="lead") if solved else None])


def phase_marks(history: Sequence[Mapping]) -> list[tuple[int, str]]:
    """Return (epoch, name) where each phase begins; nothing where there is one only."""
    phases = [str(row.get("phase") or "") for row in history]
    starts = [i for i in range(len(phases)) if i == 0 or phases[i] != phases[i - 1]]
    return [(i + 1, phases[i]) for i in starts] if len(starts) > 1 else []


def _is_solved(row: Mapping) -> bool:
    return row.get("strength") is not None


def _curve(title: str, history: Sequence[Mapping], key: str, marks, *, as_percent: bool) -> Markup:
    lines = [[row.get(name) for row in history] for name in (key, f"val_{key}")]
    best = best_step(lines[1], max if as_percent else min)
    chart = plots.line_chart(
        f"{title} over {plural(len(history), 'epoch')}, training and validation",
        lines,
        x_label="Penalty, from strong to weak" if all(map(_is_solved, history)) else "Epoch",
        marks=marks,
        as_percent=as_percent,
        best=best and (1, best),
    )
    lines = legend(["training", "validation (dot: its best)" if best else "validation"])
    return tag("figure", tag("h3", title), lines, chart)


def best_step(values: Sequence, choose) -> int | None:
    """Return the step, from 1, of the value that `max` or `min` chooses."""
    usable = {step: plots.finite(value) for step, value in enumerate(values, start=1)}
    usable = {step: value for step, value in usable.items() if value is not None}
    return choose(usable, key=usable.get) if usable else None


def confusion(judgement: Judgement) -> Markup:
    """Return the confusion matrix and, from three classes on, the most frequent mix-ups."""
    view = confusion_view(judgement.confusion, judgement.class_names)
    pairs = (
        pairs_table(judgement.confusion, judgement.class_names) if len(judgement.class_names) > 2 else None
    )
    if pairs is None:
        return view
    return tag("div", view, pairs, class_="stacked" if 8 < len(judgement.class_names) <= 20 else "grid")


def classes(judgement: Judgement) -> Markup:
    """Return the scores of every class, the worst recall first, classes without images last."""
    names, matrix = judgement.class_names, judgement.confusion
    order = sorted(range(len(names)), key=lambda i: _weakness(judgement.per_class[i]))
    rows = [
        (
            names[i],
            meter(scores.recall, "bad" if scores.recall is not None and scores.recall < 0.5 else "accent"),
            percent(scores.precision),
            percent(scores.f1),
            f"{scores.support:,}",
            _mostly_mistaken(matrix[i], names, i),
        )
        for i, scores in ((i, judgement.per_class[i]) for i in order)
    ]
    header = ("Class", "Found", "Right when named", "F1", "Images", "Mostly mistaken for")
    whole = table(header, rows, caption="Scores of every class", numeric=(2, 3, 4), scroll=len(rows) > 14)
    absent = [scores.name for scores in judgement.per_class if not scores.support]
    return join([whole, absent and _absent(absent)])


def _weakness(scores: ClassScores) -> tuple:
    return (scores.recall is None, scores.recall or 0.0, -scores.support)


def _mostly_mistaken(row, names: tuple[str, ...], truth: int) -> str | None:
    wrong = row.copy()
    wrong[truth] = 0
    most = int(wrong.argmax())
    return f"{names[most]} ({int(wrong[most]):,})" if wrong[most] else None


def _absent(names: list[str]) -> Markup:
    listed = ", ".join(names[:10]) + (" and others" if len(names) > 10 else "")
    return notice(
        tag("p", f"No held-out image of {listed}: how well it is recognised is not known."), level="warning"
    )


def mistakes(items: Sequence) -> Markup | None:
    """Return the worst mistakes as pictures, each beside its Grad-CAM."""
    return tag("div", [_mistake(item) for item in items], class_="pictures") if items else None


def _mistake(item) -> Markup:
    photo = picture(item.image, f"Image {item.name}, which is {item.truth}")
    heat = None
    if item.heat is not None:
        where = f"The same image with the places that spoke for {item.predicted} in warm colours"
        heat = picture(overlay(item.image, item.heat), where)
    caption = tag(
        "figcaption",
        tag("b", item.truth),
        " taken for ",
        tag("b", item.predicted),
        f" ({percent(item.probability)} sure)",
        tag("br"),
        tag("span", item.name, class_="file"),
    )
    return tag("figure", tag("div", photo, heat, class_="pair"), caption)


def calibration(judgement: Judgement) -> Markup:
    """Return the reliability diagram, the calibration error and the temperature in words."""
    before, after = judgement.calibration_error, judgement.calibration_error_after
    words = [
        tag("p", f"On average its confidence is off by {percent(before)} (expected calibration error)."),
        tag("p", _temperature(judgement.temperature, before, after)),
    ]
    if judgement.count < 200:
        few = f"With {plural(judgement.count, 'image')} these figures are rough."
        words.append(tag("p", few, class_="soft"))
    if not judgement.reliability:
        return tag("div", words)
    title = f"Reliability diagram; expected calibration error {percent(before)}"
    figure = tag("figure", plots.reliability_diagram(title, judgement.reliability))
    return tag("div", figure, tag("div", words), class_="grid")


def _temperature(temperature: float, before: float, after: float) -> str:
    if abs(temperature - 1) < 0.05 or after >= before:
        return f"Its best temperature is {temperature:.2f}: there is little to mend."
    kind = "too sure of itself" if temperature > 1 else "less sure than it could be"
    return (
        f"It is {kind}. Dividing the logarithms of its probabilities by a temperature of {temperature:.2f} "
        f"and normalising again brings this down to {percent(after)} here; the answers stay the same."
    )


def data(
    counts: Mapping[str, Mapping[str, int]],
    class_names: Sequence[str],
    *,
    what: str = "Images",
    add_up: bool = True,
) -> Markup | None:
    """Return images, or `what` is counted, per class and split, with bars.

    Args:
        counts: split -> class -> number.
        class_names: the classes.
        what: what is counted.
        add_up: the sum over the classes is how many there are: each is of one class.
    """
    splits = sorted(counts, key=lambda s: (SPLIT_ORDER.index(s) if s in SPLIT_ORDER else 9, s))
    if not splits:
        return None
    numbers = {name: [int(counts[split].get(name, 0)) for split in splits] for name in class_names}
    most = max((sum(row) for row in numbers.values()), default=0) or 1
    rows = [
        (name, *(f"{n:,}" for n in row), _stack(row, most))
        for name, row in sorted(numbers.items(), key=lambda pair: -sum(pair[1]))
    ]
    totals = ", ".join(f"{sum(counts[split].values()):,} {split}" for split in splits)
    header = ("Class", *(split.capitalize() for split in splits), what)
    whole = table(
        header,
        rows,
        caption=f"{what} of each class in each split",
        numeric=range(1, len(splits) + 1),
        scroll=len(rows) > 14,
    )
    sums = tag("p", f"{what}: {totals}.") if add_up else None
    return join([sums, legend(splits, solid=True), whole])


def _stack(row: Sequence[int], most: int) -> Markup:
    bars = [
        tag("i", style=f"width:{100 * count / most:.2f}%", class_=f"s{i}" if i else None)
        for i, count in enumerate(row)
        if count
    ]
    return tag("span", bars, class_="stack", aria_hidden="true")


def skipped(lines: Sequence[str]) -> Markup | None:
    """Return the files that were left out and why."""
    return join([tag("p", f"{plural(len(lines), 'file')}:"), _box(lines)]) if lines else None


def notes(lines: Sequence[str]) -> Markup | None:
    """Return what the loader decided or noticed."""
    return _box(lines) if lines else None


def _box(lines: Sequence[str]) -> Markup:
    return tag("div", tag("ul", [tag("li", line) for line in lines]), class_="box scroll", tabindex="0")


def legend(names: Sequence[str], *, solid: bool = False) -> Markup:
    """Return which line is which."""
    entries = [tag("span", tag("i", class_=f"s{i}" if i else None), name) for i, name in enumerate(names)]
    return tag("div", entries, class_="legend solid" if solid else "legend")
