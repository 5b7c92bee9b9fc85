"""The sections of a detector's report: functions from values to markup, None when there is nothing."""

from collections.abc import Mapping, Sequence

from kerasvision.metrics import DetectionJudgement
from kerasvision.report import plots
from kerasvision.report.box_pictures import boxed_picture, class_legend
from kerasvision.report.confusion import confusion_view
from kerasvision.report.html import Markup, folded, join, meter, percent, plural, table, tag
from kerasvision.report.sections import best_step, interval_bar, legend, phase_marks

CURVES_LEAD = (
    "The loss should fall for training and validation images alike; where they part, the model learns its "
    "training images by heart. The epoch with the highest AP50 on the validation images is kept."
)
CLASSES_LEAD = (
    "Weakest first. AP50: average precision where a box counts as found from an overlap (IoU) of a half on. "
    "Found and right are those at the threshold with the best F1, which predicting uses."
)
PRECISION_LEAD = (
    "Each threshold on the score is a point: the share of the boxes that are found, and the share of the "
    "answers that are right. The dot is the best threshold (F1). The area below a curve is the AP50."
)
ERRORS_LEAD = (
    "What mending all mistakes of one kind would gain in AP50. The largest is where work pays. Gains do not "
    "add up, because mistakes hide one another."
)
CONFUSION_LEAD = (
    "Each row is a true class; its cells say as what its boxes were found, at the best thresholds. In the "
    "last column are boxes that were not found, in the last row answers where nothing is."
)
SCENES_LEAD = (
    "The held-out images with the most mistakes, the worst first: what was annotated on the left, what was "
    "found on the right. Dashed boxes are the mistakes: boxes that were missed, and answers that are wrong. "
    "Look for boxes that annotators forgot among these."
)
KINDS = {
    "classification": "right place, wrong class",
    "localisation": "right class, place too far off",
    "both": "class and place wrong",
    "duplicate": "the same object found twice",
    "background": "found where nothing is",
    "missed": "not found at all",
}
CHARTS_OPEN = 12


def headline(judgement: DetectionJudgement) -> Markup:
    """Return AP50 in plain words, with its interval and what comes of the best thresholds."""
    ap50 = judgement.ap50
    what = f"{plural(judgement.count, 'held-out image')} with {plural(judgement.boxes, 'box', 'boxes')}"
    first = tag(
        "p",
        f"AP50 on {what}: how well boxes are found and named, counted from an overlap of a half on.",
    )
    found, named = _at_thresholds(judgement)
    rest = [
        f"At the best thresholds {percent(found)} of the boxes are found, and {percent(named)} of the "
        "answers are right."
        if named is not None
        else "No box was found at any threshold.",
        f"AP, the mean over overlaps from 0.50 to 0.95, is {percent(judgement.ap)}: it wants tight boxes.",
    ]
    scale = None
    if judgement.ap50_interval and ap50 is not None:
        low, high = judgement.ap50_interval
        rest.insert(
            0, f"On new photos of the same kind expect {percent(low)} to {percent(high)} (95 % interval)."
        )
        scale = interval_bar("AP50", ap50, low, high)
    words = tag("div", first, tag("p", " ".join(rest), class_="soft"), scale, class_="words")
    return tag("div", tag("div", percent(ap50), class_="big"), words, class_="hero")


def _at_thresholds(judgement: DetectionJudgement) -> tuple[float | None, float | None]:
    """Return the share of boxes that are found as what they are, and of answers that are right."""
    inner = judgement.confusion[:-1, :-1]
    right, boxes = int(inner.trace()), int(judgement.confusion[:-1].sum())
    answers = int(judgement.confusion[:, :-1].sum())
    return (right / boxes if boxes else None), (right / answers if answers else None)


def curves(history: Sequence[Mapping]) -> Markup | None:
    """Return the loss, and the AP of the validation images, over all epochs."""
    if not history:
        return None
    marks, epochs = phase_marks(history), plural(len(history), "epoch")
    losses = [[row.get(name) for row in history] for name in ("loss", "val_loss")]
    scores = [[row.get(name) for row in history] for name in ("val_ap50", "val_ap")]
    best = best_step(scores[0], max)
    loss = plots.line_chart(
        f"Loss over {epochs}, training and validation", losses, x_label="Epoch", marks=marks
    )
    score = plots.line_chart(
        f"AP50 and AP of the validation images over {epochs}",
        scores,
        x_label="Epoch",
        marks=marks,
        as_percent=True,
        best=best and (0, best),
    )
    charts = [
        tag("figure", tag("h3", "Loss"), legend(["training", "validation"]), loss),
        tag(
            "figure",
            tag("h3", "Average precision, validation"),
            legend(["AP50 (dot: its best)", "AP, 0.50 to 0.95"]),
            score,
        ),
    ]
    return tag("div", charts, class_="grid")


def classes(judgement: DetectionJudgement) -> Markup:
    """Return the scores of every class, the lowest AP50 first, classes without boxes last."""
    rows = [
        (
            scores.name,
            meter(scores.coco.ap50, "bad" if (scores.coco.ap50 or 0.0) < 0.5 else "accent"),
            percent(scores.coco.ap),
            percent(scores.best and scores.best.recall),
            percent(scores.best and scores.best.precision),
            f"{scores.best.threshold:.2f}" if scores.best else None,
            f"{scores.support:,}",
        )
        for scores in sorted(judgement.per_class, key=_weakness)
    ]
    header = ("Class", "AP50", "AP", "Found", "Right", "Threshold", "Boxes")
    return table(header, rows, caption="Scores of every class", numeric=range(2, 7), scroll=len(rows) > 14)


def _weakness(scores) -> tuple:
    return (scores.coco.ap50 is None, scores.coco.ap50 or 0.0, -scores.support)


def precision_recall(judgement: DetectionJudgement) -> Markup | None:
    """Return precision against recall for each class, the weakest first."""
    drawn = [_small_chart(s) for s in sorted(judgement.per_class, key=_weakness) if s.curve]
    if not drawn:
        return None
    grid = tag("div", drawn[:CHARTS_OPEN], class_="small-charts")
    if len(drawn) <= CHARTS_OPEN:
        return grid
    rest = tag("div", drawn[CHARTS_OPEN:], class_="small-charts")
    return join([grid, folded(f"{len(drawn) - CHARTS_OPEN} more classes", rest)])


def _small_chart(scores) -> Markup:
    best = scores.best and (scores.best.recall, scores.best.precision)
    title = f"Precision against recall of {scores.name}"
    chart = plots.share_curve(title, scores.curve.precision, x_label="Found (recall)", dot=best)
    return tag("figure", tag("h3", f"{scores.name}: {percent(scores.coco.ap50)}"), chart)


def errors(judgement: DetectionJudgement) -> Markup:
    """Return what each kind of mistake costs, the dearest first."""
    kinds = sorted(judgement.errors.kinds, key=lambda kind: -(kind.ap_lost or 0.0))
    rows = [
        (KINDS[kind.kind].capitalize(), kind.kind, meter(kind.ap_lost, "bad"), f"{kind.count:,}")
        for kind in kinds
    ]
    return table(
        ("Mistake", "Called", "Costs in AP50", "How many"), rows, caption="Cost of mistakes", numeric=(3,)
    )


def confusion(judgement: DetectionJudgement) -> Markup:
    """Return which class is taken for which, with the background as the last."""
    return confusion_view(judgement.confusion, (*judgement.class_names, "(nothing)"))


def scenes(items: Sequence, class_names: Sequence[str]) -> Markup | None:
    """Return the worst images: truth and findings side by side."""
    if not items:
        return None
    drawn = [_scene(item, class_names) for item in items]
    return join([class_legend(class_names), tag("div", drawn, class_="scenes")])


def _scene(item, names: Sequence[str]) -> Markup:
    missed, wrong = int(sum(item.missed)), int(sum(item.wrong))
    truth = boxed_picture(
        item.image,
        item.truth,
        item.truth_labels,
        item.missed,
        [
            names[label] + (" (missed)" if gone else "")
            for label, gone in zip(item.truth_labels, item.missed, strict=True)
        ],
        alt=f"{item.name}: {plural(len(item.truth), 'annotated box', 'annotated boxes')}, {missed} missed",
    )
    found = boxed_picture(
        item.image,
        item.found,
        item.found_labels,
        item.wrong,
        [
            f"{names[label]} {score:.2f}" + (" (wrong)" if bad else "")
            for label, score, bad in zip(item.found_labels, item.scores, item.wrong, strict=True)
        ],
        alt=f"{item.name}: {len(item.found)} found, {wrong} of them wrong",
    )
    sides = [
        tag("div", truth, tag("div", f"{len(item.truth)} annotated, {missed} missed", class_="side")),
        tag("div", found, tag("div", f"{len(item.found)} found, {wrong} wrong", class_="side")),
    ]
    caption = tag("figcaption", tag("span", item.name, class_="file"))
    return tag("figure", tag("div", sides, class_="pair"), caption)
