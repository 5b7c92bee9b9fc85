"""The doctor's page: every problem with pictures of the files concerned."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kerasvision.data.decoding import open_image
from kerasvision.errors import BadImageError
from kerasvision.files import make_folder, write_atomically
from kerasvision.report.html import (
    Markup,
    badge,
    definitions,
    document,
    folded,
    fragment,
    join,
    notice,
    plural,
    section,
    tag,
)
from kerasvision.report.pictures import picture
from kerasvision.report.sections import data as class_table

if TYPE_CHECKING:
    from kerasvision.data.doctor.checkup import Case, Checkup, Picture, Problem

THUMBNAIL = 160  # pixels
LISTED = 200  # cases that are written down; the rest is counted
LEVELS = {"error": "error", "warning": "warning", "note": "note"}


def write_page(path: Path, checkup: "Checkup") -> None:
    """Write the page as one self-contained file."""
    make_folder(path.parent)
    with write_atomically(path, "w") as file:
        file.write(checkup_page(checkup))


def checkup_page(checkup: "Checkup") -> str:
    """Return the whole page."""
    problems = [_problem(checkup, problem) for problem in checkup.problems]
    return document(
        f"Checkup of {checkup.origin}",
        tag("header", tag("h1", f"Checkup of {checkup.origin}"), _verdict(checkup)),
        section("What was looked at", definitions(checkup.facts)),
        problems and section("What was found", *problems),
        section(f"{checkup.counted.capitalize()} per {checkup.noun}", _counts(checkup)),
        tag(
            "footer",
            f"Written by kerasvision in {checkup.seconds:.1f} s. Nothing in the folder was changed.",
        ),
    )


def notebook_checkup(checkup: "Checkup") -> str:
    """Return the same for a notebook: the verdict open, each problem a click away."""
    problems = [
        folded(f"{problem.severity.capitalize()}: {problem.message}", _problem(checkup, problem, head=False))
        for problem in checkup.problems
    ]
    return fragment(
        tag("h1", f"Checkup of {checkup.origin}"),
        _verdict(checkup),
        problems,
        folded("What was looked at", definitions(checkup.facts)),
        folded(f"{checkup.counted.capitalize()} per {checkup.noun}", _counts(checkup)),
    )


def _verdict(checkup: "Checkup") -> Markup:
    errors = sum(problem.severity == "error" for problem in checkup.problems)
    level = "good" if checkup.ok else "error"
    words = [tag("p", tag("b", checkup.summary()))]
    if errors:
        words.append(
            tag("p", "Mend the errors first: training would fail, or its result would look too good.")
        )
    return notice(*words, level=level)


def _problem(checkup: "Checkup", problem: "Problem", *, head: bool = True) -> Markup:
    title = (
        tag("h3", badge(problem.severity, LEVELS[problem.severity]), " ", problem.message) if head else None
    )
    advice = tag("p", tag("b", "What to do: "), problem.advice)
    box = notice(title, advice, level=LEVELS[problem.severity])
    return tag("div", box, _cases(checkup, problem), class_="problem")


def _cases(checkup: "Checkup", problem: "Problem") -> Markup | None:
    from kerasvision.data.doctor.checkup import PICTURED

    cases = [case for case in problem.cases if case.files]
    pictured = [shown for case in cases[:PICTURED] if (shown := _pictured(checkup, case))]
    rest = cases if not pictured else cases[PICTURED:]
    parts = [tag("div", pictured, class_="pictures") if pictured else None]
    if rest:
        lines = [tag("li", _line(case)) for case in rest[:LISTED]]
        if len(rest) > LISTED:
            lines.append(tag("li", f"and {plural(len(rest) - LISTED, 'more case')}"))
        title = f"{plural(len(rest), 'more case')}" if pictured else plural(len(rest), "file")
        parts.append(folded(title, tag("ul", lines), open_=not pictured and len(rest) <= 12))
    return join(parts)


def _line(case: "Case") -> Markup:
    names = join(
        [[", " if i else None, tag("span", name, class_="file")] for i, name in enumerate(case.files[:6])]
    )
    more = f" and {len(case.files) - 6} more" if len(case.files) > 6 else None
    return join([names, more, case.note and f": {case.note}"])


def _pictured(checkup: "Checkup", case: "Case") -> Markup | None:
    from kerasvision.data.doctor.checkup import PER_CASE

    images = [(name, _thumbnail(checkup.sources.get(name))) for name in case.files[:PER_CASE]]
    images = [(name, image) for name, image in images if image is not None]
    if not images:
        return None
    shown = tag("div", [picture(image, name) for name, image in images], class_="pair")
    names = [
        [tag("br") if i else None, tag("span", name, class_="file")]
        for i, name in enumerate(case.files[:PER_CASE])
    ]
    hidden = len(case.files) - PER_CASE
    more = tag("span", f" and {hidden:,} more", class_="soft") if hidden > 0 else None
    note = case.note and tag("b", case.note)
    return tag("figure", shown, tag("figcaption", note, note and tag("br"), names, more))


def _thumbnail(source: "Picture | None") -> np.ndarray | None:
    if source is None or callable(source):
        return source and source()
    try:
        image = open_image(source, at_least=(THUMBNAIL, THUMBNAIL))
    except BadImageError:  # unreadable files are listed by name
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return np.asarray(image)


def _counts(checkup: "Checkup") -> Markup | None:
    names = list(next(iter(checkup.counts.values()), {}))
    what = checkup.counted.capitalize()
    return class_table(checkup.counts, names, what=what, add_up=checkup.counted != "masks")
