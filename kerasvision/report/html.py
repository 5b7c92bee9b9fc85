"""Building blocks of our HTML pages. Text is escaped unless it was built here: names cannot inject."""

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from kerasvision.report.style import CSS

VOID = {"img", "br", "meta", "hr", "col"}
# Nothing may be loaded or run: a second wall behind the escaping.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already; everything else is escaped where it enters a page."""

    __slots__ = ()


def escape(value) -> Markup:
    """Return `value` as HTML text: markup as it is, all else escaped, also bytes that no encoding knows."""
    if isinstance(value, Markup):
        return value
    text = str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return Markup(html.escape(UNPRINTABLE.sub("\ufffd", text), quote=True))


def sentence(text: str) -> Markup:
    """Return text as HTML, with `what stands in backticks` set as code.

    Example:
        >>> sentence("set `a<b`")
        'set <code>a&lt;b</code>'
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def join(children: Iterable) -> Markup:
    """Return children one after the other; lists are opened, None is left out."""
    parts = []
    for child in children:
        if child is None:
            continue
        parts.append(join(child) if isinstance(child, list | tuple) else escape(child))
    return Markup("".join(parts))


def tag(name: str, /, *children, **attributes) -> Markup:
    """Return one element.

    Args:
        name: of the element, such as `"p"`.
        children: text (escaped), markup, lists of them, or None.
        attributes: `class_` becomes `class`, other underscores become dashes; None and False are left out,
            True stands alone.

    Example:
        >>> tag("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        value = f"{value:.6g}" if isinstance(value, float) else value
        written.append(f" {key}" if value is True else f' {key}="{escape(value)}"')
    start = f"<{name}{''.join(written)}>"
    return Markup(start if name in VOID else f"{start}{join(children)}</{name}>")


def document(title: str, *body) -> str:
    """Return a whole page with its style inside."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Markup(POLICY)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(CSS)),
    )
    main = tag("main", *body)
    return f"<!doctype html>\n{tag('html', head, tag('body', main, class_='kv kv-page'), lang='en')}\n"


def fragment(*body) -> str:
    """Return a piece of a page for a notebook; its style touches nothing outside it."""
    return tag("div", tag("style", Markup(CSS)), *body, class_="kv kv-notebook")


def section(title: str, *body, anchor: str | None = None, lead: str | None = None) -> Markup:
    """Return a section with a heading and, below it, a sentence on how to read it."""
    return tag("section", tag("h2", title), lead and tag("p", lead, class_="lead"), *body, id=anchor)


def folded(title: str, *body, open_: bool = False) -> Markup:
    """Return a part that opens on a click, without any script."""
    return tag("details", tag("summary", title), *body, open=open_)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence],
    *,
    caption: str | None = None,
    numeric: Iterable[int] = (),
    scroll: bool = False,
) -> Markup:
    """Return a table whose first column names its rows.

    Args:
        header: one text a column.
        rows: cells as text or markup; None shows as a dash.
        caption: for screen readers.
        numeric: columns to align on the right.
        scroll: keep it in a box of limited height on screens (on paper it is whole).
    """
    right = set(numeric)
    align = ["number" if i in right else None for i in range(len(header))]
    head = [tag("th", text, scope="col", class_=align[i]) for i, text in enumerate(header)]
    body = [tag("tr", [_cell(cell, i, align[i]) for i, cell in enumerate(row)]) for row in rows]
    whole = tag(
        "table",
        caption and tag("caption", caption),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
    )
    return tag("div", whole, class_="box scroll" if scroll else "box", tabindex="0")


def _cell(value, column: int, align: str | None) -> Markup:
    value = "–" if value is None else value
    return tag("th", value, scope="row") if column == 0 else tag("td", value, class_=align)


def definitions(values: Mapping[str, object]) -> Markup:
    """Return names and values as a list of pairs."""
    pairs = [tag("div", tag("dt", key), tag("dd", value)) for key, value in values.items()]
    return tag("dl", pairs, class_="facts")


def notice(*body, level: str = "note") -> Markup:
    """Return a coloured box; `level` is `"note"`, `"good"`, `"warning"` or `"error"`."""
    return tag("div", *body, class_=f"notice {level}")


def badge(text: str, level: str) -> Markup:
    """Return a small coloured label."""
    return tag("span", text, class_=f"badge {level}")


def meter(share: float | None, level: str = "accent") -> Markup:
    """Return a percentage with a bar behind it; a dash for None."""
    if share is None:
        return Markup("–")
    width = f"width:{100 * min(1.0, max(0.0, share)):.1f}%"
    return tag("span", tag("i", style=width, class_=level), tag("b", percent(share)), class_="meter")


def percent(share: float | None, digits: int = 1) -> str:
    """Return 0.8725 as "87.3 %", with a space that does not break; a dash for None.

    What is not all is never written as 100 %: 0.9999 is "99.9 %".
    """
    if share is None or not math.isfinite(share):
        return "–"
    text = f"{100 * share:.{digits}f}"
    if text == f"{100:.{digits}f}" and share < 1:
        text = f"{100 - 10**-digits:.{digits}f}"
    return f"{'100' if share == 1 else text}\u00a0%"


def file_size(count: int) -> str:
    """Return bytes for people: "3.4 MB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\u00a0{unit}"
    return f"{count}\u00a0bytes"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return "1 image", "2 images", "12,345 images"."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
