"""The confusion matrix for 2 to 1,000 classes: numbers while they can be read, then a heat map; and pairs."""

import numpy as np

from kerasvision.report.html import Markup, percent, plural, table, tag
from kerasvision.report.pictures import data_uri

MOST_NUMBERS = 20  # classes; beyond it cells would be too small to read
TRUTH_RGB, WRONG_RGB = (31, 95, 208), (193, 49, 41)


def confusion_view(confusion: np.ndarray, class_names: tuple[str, ...]) -> Markup:
    """Return the matrix as a table of numbers, or as a heat map beyond 20 classes.

    Args:
        confusion: (classes, classes) int, rows are the truth.
        class_names: one name a class.
    """
    if len(class_names) <= MOST_NUMBERS:
        return _numbers(confusion, class_names)
    return _heat_map(confusion, class_names)


def shares_view(confusion: np.ndarray, class_names: tuple[str, ...]) -> Markup:
    """Return the matrix with each cell in percent of its row, or as a heat map beyond 20 classes.

    Args:
        confusion: (classes, classes) int, rows are the truth.
        class_names: one name a class.
    """
    if len(class_names) <= MOST_NUMBERS:
        return _numbers(confusion, class_names, as_shares=True)
    return _heat_map(confusion, class_names)


def confused_pairs(confusion: np.ndarray, count: int = 15) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes as (truth, prediction, images), most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [(*divmod(int(place), wrong.shape[1]), int(wrong.flat[place])) for place in order]
    return [pair for pair in pairs if pair[2]]


def pairs_table(confusion: np.ndarray, class_names: tuple[str, ...], count: int = 10) -> Markup | None:
    """Return a table of the most frequent mistakes, None when there are none."""
    support = confusion.sum(1)
    rows = [
        (class_names[truth], class_names[predicted], images, percent(images / support[truth]))
        for truth, predicted, images in confused_pairs(confusion, count)
    ]
    if not rows:
        return None
    header = ("What it was", "What the model said", "Images", "Of its images")
    return tag("div", tag("h3", "Most frequent mix-ups"), table(header, rows, numeric=(2, 3), scroll=True))


def _numbers(confusion: np.ndarray, class_names: tuple[str, ...], *, as_shares: bool = False) -> Markup:
    corner = tag("td", "truth ↓ answer →", class_="axis-name")
    head = [tag("th", tag("span", name), scope="col") for name in class_names]
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [
                _cell(int(confusion[i, j]), shares[i, j], i == j, as_shares=as_shares)
                for j in range(len(class_names))
            ],
        )
        for i, name in enumerate(class_names)
    ]
    caption = tag("caption", "Confusion matrix: rows are the truth, columns the answers of the model")
    whole = tag(
        "table",
        caption,
        tag("thead", tag("tr", corner, head)),
        tag("tbody", rows),
        class_="confusion",
    )
    return tag("div", whole, class_="box", tabindex="0")


def _cell(count: int, share: float, hit: bool, *, as_shares: bool) -> Markup:
    if not count or (as_shares and share < 0.0005):
        return tag("td", "·", class_="none")
    names = " ".join(name for name, on in (("hit", hit), ("strong", share > 0.5)) if on)
    text = f"{100 * share:.1f}" if as_shares else f"{count:,}"
    return tag("td", text, style=f"--v:{share:.2f}", class_=names or None)


def _heat_map(confusion: np.ndarray, class_names: tuple[str, ...]) -> Markup:
    classes = len(class_names)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    pixels = np.zeros((classes, classes, 4), np.uint8)
    pixels[..., :3] = WRONG_RGB
    pixels[np.arange(classes), np.arange(classes), :3] = TRUTH_RGB
    # The square root keeps rare mistakes visible.
    pixels[..., 3] = np.round(255 * np.sqrt(shares))
    size, left = 400, 68
    step = size / classes
    shown = _shown_names(classes)
    labels = [
        tag("text", _short(class_names[i]), x=left - 4, y=(i + 0.5) * step + 3, text_anchor="end")
        for i in shown
    ]
    below = [_below(_short(class_names[i]), left + (i + 0.5) * step, size + 6) for i in shown]
    picture = tag(
        "image",
        href=data_uri(pixels),
        x=left,
        y=0,
        width=size,
        height=size,
        preserveAspectRatio="none",
    )
    border = tag("rect", x=left, y=0, width=size, height=size, class_="axis")
    title = f"Confusion matrix of {plural(classes, 'class', 'classes')} as a heat map; rows are the truth"
    drawn = tag(
        "svg",
        tag("title", title),
        picture,
        border,
        labels,
        below,
        viewBox=f"0 -6 {size + left + 2} {size + 76}",
        role="img",
    )
    note = "Rows are the truth, columns the answers; a blue diagonal is right, red specks are mix-ups. "
    if len(shown) < classes:
        note += f"One name in {shown[1] - shown[0]} is written."
    return tag("div", drawn, tag("p", note, class_="soft"))


def _below(name: str, x: float, y: float) -> Markup:
    return tag("text", name, x=x, y=y, text_anchor="end", transform=f"rotate(-90 {x:.1f} {y}) translate(0 3)")


def _shown_names(classes: int, room: int = 34) -> range:
    return range(0, classes, -(-classes // room))


def _short(name: str, most: int = 10) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
