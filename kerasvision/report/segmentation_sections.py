"""The sections of a segmenter's report: functions from values to markup, None when there is nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerasvision.metrics import SegmentationJudgement
from kerasvision.metrics.segmentation import VOID
from kerasvision.report import plots
from kerasvision.report.confusion import confused_pairs, shares_view
from kerasvision.report.html import Markup, join, meter, percent, plural, table, tag
from kerasvision.report.mask_pictures import LONGEST, label_legend, scene_pictures, swatch
from kerasvision.report.pictures import data_uri
from kerasvision.report.sections import SPLIT_ORDER, best_step, interval_bar, legend, phase_marks

CURVES_LEAD = (
    "The loss should fall for training and validation images alike; where they part, the model learns its "
    "training images by heart. The epoch with the highest mean IoU on the validation images is kept. These "
    "figures are taken at the size of the network; all others here at the size of the original masks."
)
CLASSES_LEAD = (
    "Weakest first. IoU: pixels that are the class and were called so, over those that are either. Found: "
    "share of its pixels that were called so (recall). Right: share of the pixels called so that are "
    "(precision). Boundary: how well its outline is met (F-score). A class that is found but not right is "
    "called too often; right but not found, too rarely."
)
CONFUSION_LEAD = (
    "Each row is a true class; its cells say, in percent of its pixels, what the model called them. Void "
    "pixels are not counted."
)
SCENES_LEAD = (
    "Held-out images with the largest share of wrong pixels, the worst first, then those on which most of "
    "the weakest classes is missed. From left to right: the photo, what was annotated, what was found, and "
    "in orange what is wrong. Hatched is void, which does not count. Look for wrong annotations among these."
)


def headline(judgement: SegmentationJudgement) -> Markup:
    """Return the mean IoU in plain words, with its interval and the share of pixels that are right."""
    occurring = sum(one.iou is not None for one in judgement.per_class)
    first = tag(
        "p",
        f"Mean IoU of {plural(occurring, 'class', 'classes')} on "
        f"{plural(judgement.count, 'held-out image')}: "
        "overlap of what is annotated and what was found, over both together.",
    )
    rest = [
        f"{percent(judgement.pixel_accuracy)} of the pixels are right.",
        f"Outlines are met to {percent(judgement.boundary_f)} (boundary F-score).",
    ]
    scale = None
    if judgement.mean_iou_interval:
        low, high = judgement.mean_iou_interval
        rest.insert(
            0, f"On new photos of the same kind expect {percent(low)} to {percent(high)} (95 % interval)."
        )
        scale = interval_bar("Mean IoU", judgement.mean_iou, low, high)
    words = tag("div", first, tag("p", " ".join(rest), class_="soft"), scale, class_="words")
    return tag("div", tag("div", percent(judgement.mean_iou), class_="big"), words, class_="hero")


def curves(history: Sequence[Mapping]) -> Markup | None:
    """Return the loss, and mean IoU and accuracy of the validation images, over all epochs."""
    if not history:
        return None
    marks, epochs = phase_marks(history), plural(len(history), "epoch")
    losses = [[row.get(name) for row in history] for name in ("loss", "val_loss")]
    scores = [[row.get(name) for row in history] for name in ("val_mean_iou", "val_pixel_accuracy")]
    best = best_step(scores[0], max)
    loss = plots.line_chart(
        f"Loss over {epochs}, training and validation", losses, x_label="Epoch", marks=marks
    )
    score = plots.line_chart(
        f"Mean IoU and pixel accuracy of the validation images over {epochs}",
        scores,
        x_label="Epoch",
        marks=marks,
        as_percent=True,
        best=best and (0, best),
    )
    charts = [
        tag("figure", tag("h3", "Loss"), legend(["training", "validation"]), loss),
        tag("figure", tag("h3", "Validation"), legend(["mean IoU (dot: its best)", "pixel accuracy"]), score),
    ]
    return tag("div", charts, class_="grid")


def classes(judgement: SegmentationJudgement) -> Markup:
    """Return the scores of every class, the lowest IoU first, classes that do not occur last."""
    names, total = judgement.class_names, max(1, int(judgement.confusion.sum()))
    order = sorted(range(len(names)), key=lambda i: _weakness(judgement.per_class[i]))
    rows = []
    for index in order:
        one = judgement.per_class[index]
        rows.append(
            (
                swatch(names, index),
                meter(one.iou, "bad" if (one.iou or 0.0) < 0.5 else "accent"),
                percent(one.accuracy),
                percent(one.precision),
                percent(one.boundary_f),
                percent(one.pixels / total, 2),
                f"{one.images:,}",
                _mostly_mistaken(judgement.confusion[index], names, index),
            )
        )
    header = ("Class", "IoU", "Found", "Right", "Boundary", "Of all pixels", "Images", "Mostly taken for")
    return table(header, rows, caption="Scores of every class", numeric=range(2, 7), scroll=len(rows) > 14)


def _weakness(scores) -> tuple:
    return (not scores.pixels, scores.iou is None, scores.iou or 0.0, -scores.pixels)


def _mostly_mistaken(row: np.ndarray, names: Sequence[str], truth: int) -> str | None:
    wrong, total = row.copy(), int(row.sum())
    wrong[truth] = 0
    most = int(wrong.argmax())
    return f"{names[most]} ({percent(wrong[most] / total)})" if wrong[most] else None


def confusion(judgement: SegmentationJudgement) -> Markup:
    """Return which class is taken for which, in percent of the pixels of the true one, and in pairs."""
    view = shares_view(judgement.confusion, judgement.class_names)
    support, wrong = judgement.confusion.sum(1), _wrong(judgement.confusion)
    names = judgement.class_names
    rows = [
        (names[truth], names[said], percent(pixels / wrong), percent(pixels / support[truth]))
        for truth, said, pixels in confused_pairs(judgement.confusion, 10)
    ]
    if len(names) < 3 or not rows:
        return view
    header = ("What it was", "What the model said", "Of all wrong pixels", "Of its pixels")
    pairs = tag(
        "div", tag("h3", "Mix-ups of the most pixels"), table(header, rows, numeric=(2, 3), scroll=True)
    )
    return tag("div", view, pairs, class_="stacked" if len(names) > 8 else "grid")


def _wrong(matrix: np.ndarray) -> int:
    return max(1, int(matrix.sum() - np.trace(matrix)))


def scenes(items: Sequence, class_names: Sequence[str]) -> Markup | None:
    """Return the images worth looking at, each as photo, truth, answer and errors."""
    if not items:
        return None
    return tag("div", [_scene(item, class_names) for item in items])


def _scene(item, names: Sequence[str]) -> Markup:
    counted = item.truth != VOID
    wrong = float(((item.truth != item.found) & counted).sum() / max(1, counted.sum()))
    sides = ("photo", "annotated", "found", f"{percent(wrong)} wrong")
    pictures = [
        tag(
            "div",
            tag("img", src=data_uri(picture, LONGEST), alt=f"{item.name}: {side}", loading="lazy"),
            tag("div", side, class_="side"),
        )
        for picture, side in zip(
            scene_pictures(item.image, item.truth, item.found, names), sides, strict=True
        )
    ]
    shown = [int(i) for i in np.unique([*np.unique(item.truth), *np.unique(item.found)]) if i < len(names)]
    why = f"{item.why}. " if item.why else None
    caption = tag("figcaption", why, tag("span", item.name, class_="file"))
    return tag("figure", tag("div", pictures, class_="four"), label_legend(names, shown), caption)


def data(
    images: Mapping[str, int],
    counts: Mapping[str, Mapping[str, int]],
    pixels: Mapping[str, Sequence[int]],
    void: Mapping[str, int],
    class_names: Sequence[str],
) -> Markup | None:
    """Return on how many images of each split each class is, and how many of the pixels it has."""
    splits = sorted(counts, key=lambda s: (SPLIT_ORDER.index(s) if s in SPLIT_ORDER else 9, s))
    if not splits:
        return None
    shares = {split: _shares(pixels[split]) for split in splits}
    order = sorted(range(len(class_names)), key=lambda i: -shares[splits[0]][i])
    most = max((max(values, default=0.0) for values in shares.values()), default=0.0) or 1.0
    rows = [
        (
            swatch(class_names, i),
            *(f"{counts[split].get(class_names[i], 0):,}" for split in splits),
            *(percent(shares[split][i], 2) for split in splits),
            _bar(shares[splits[0]][i] / most),
        )
        for i in order
    ]
    header = (
        "Class",
        *(f"Images, {split}" for split in splits),
        *(f"Pixels, {split}" for split in splits),
        f"Pixels, {splits[0]}",
    )
    empty = {split: void.get(split, 0) / max(1, void.get(split, 0) + sum(pixels[split])) for split in splits}
    said = ", ".join(f"{images.get(s, 0):,} {s} ({percent(empty[s])} of the pixels void)" for s in splits)
    whole = table(
        header,
        rows,
        caption="Images and pixels of each class in each split",
        numeric=range(1, 1 + 2 * len(splits)),
        scroll=len(rows) > 14,
    )
    return join([tag("p", f"Images: {said}."), whole])


def _shares(pixels: Sequence[int]) -> list[float]:
    total = max(1, sum(pixels))
    return [count / total for count in pixels]


def _bar(share: float) -> Markup:
    return tag("span", tag("i", style=f"width:{100 * share:.2f}%"), class_="stack", aria_hidden="true")
