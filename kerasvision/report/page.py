"""The report of a classifier: one HTML file that explains itself, and the same for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.metrics import Judgement
from kerasvision.report import sections
from kerasvision.report.html import Markup, document, folded, fragment, section, tag


@dataclass(frozen=True, eq=False)
class Mistake:
    """A held-out image that the model got wrong.

    Attributes:
        name: the file, for people.
        truth: its class.
        predicted: what the model said.
        probability: how sure it was, in [0, 1].
        image: (h, w, 3) uint8.
        heat: (h', w') float in [0, 1], where it looked (Grad-CAM); None when there is none.
    """

    name: str
    truth: str
    predicted: str
    probability: float
    image: np.ndarray
    heat: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything that a report shows.

    Attributes:
        title: of the page.
        facts: name -> text, in the order of display.
        advice: sentences worth the reader's while.
        judgement: what the held-out images say.
        history: rows of `history.csv` (phase, epoch, loss, accuracy, val_loss, val_accuracy, …).
        counts: split -> class -> images.
        mistakes: the most confident ones first.
        certificates: `Certificate.to_dict()` of every exported file.
        skipped: what was left out, one sentence each.
        notes: what the loader decided or noticed, one sentence each.
    """

    title: str
    facts: Mapping[str, str]
    advice: Sequence[str]
    judgement: Judgement
    history: Sequence[Mapping] = ()
    counts: Mapping[str, Mapping[str, int]] | None = None
    mistakes: Sequence[Mistake] = ()
    certificates: Sequence[Mapping] = ()
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    """One section: its heading, how to read it, and what it shows."""

    anchor: str
    title: str
    lead: str | None
    body: Markup


def classifier_page(report: ReportInput) -> str:
    """Return the whole report as one self-contained HTML page (no script, nothing loaded)."""
    return whole_page(
        report.title, sections.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def notebook_summary(report: ReportInput) -> str:
    """Return the report as a fragment for a notebook: headline and curves open, the rest a click away.

    Its style stands below one class, so the notebook around it keeps its own; no script and no ids, so
    several of them live on one page (Jupyter, Colab, VS Code).
    """
    return summary(
        report.title, sections.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def whole_page(title: str, headline: Markup, advice: Markup | None, parts: Sequence[Part]) -> str:
    """Return a report as a page."""
    links = tag(
        "nav", [tag("a", part.title, href=f"#{part.anchor}") for part in parts], aria_label="Sections"
    )
    return document(
        title,
        tag("header", tag("h1", title), headline, links),
        advice,
        [section(part.title, part.body, anchor=part.anchor, lead=part.lead) for part in parts],
        tag("footer", "Written by kerasvision. This page is one file: keep it, send it, print it."),
    )


def summary(title: str, headline: Markup, advice: Markup | None, parts: Sequence[Part]) -> str:
    """Return a report as a fragment for a notebook; the part with the curves is open."""
    folded_parts = [
        folded(
            part.title,
            part.lead and tag("p", part.lead, class_="lead"),
            part.body,
            open_=part.anchor == "curves",
        )
        for part in parts
    ]
    return fragment(tag("h1", title), headline, advice, folded_parts)


def _parts(report: ReportInput) -> list[Part]:
    judgement = report.judgement
    offered = (
        ("facts", "What was trained", None, sections.facts(report.facts)),
        ("curves", "Learning curves", sections.CURVES_LEAD, sections.curves(report.history)),
        ("confusion", "What is mixed up with what", sections.CONFUSION_LEAD, sections.confusion(judgement)),
        ("classes", "Class by class", sections.CLASSES_LEAD, sections.classes(judgement)),
        ("mistakes", "Worst mistakes", sections.MISTAKES_LEAD, sections.mistakes(report.mistakes)),
        (
            "calibration",
            "Can its confidence be trusted?",
            sections.CALIBRATION_LEAD,
            sections.calibration(judgement),
        ),
        ("exports", "Exported files", sections.EXPORTS_LEAD, sections.exports(report.certificates)),
        ("data", "Data", None, sections.data(report.counts or {}, judgement.class_names)),
        ("skipped", "Skipped files", sections.SKIPPED_LEAD, sections.skipped(report.skipped)),
        ("notes", "Notes on the data", sections.NOTES_LEAD, sections.notes(report.notes)),
    )
    return [Part(anchor, title, lead, body) for anchor, title, lead, body in offered if body]
