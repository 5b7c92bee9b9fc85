"""The report of a detector: one HTML file that explains itself, and the same for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.metrics import DetectionJudgement
from kerasvision.report import detection_sections as own
from kerasvision.report import sections
from kerasvision.report.certificates import box_exports
from kerasvision.report.page import Part, summary, whole_page


@dataclass(frozen=True, eq=False)
class DetectionScene:
    """A held-out image, what is annotated on it, and what was found at the best thresholds.

    Attributes:
        name: the file, for people.
        image: (h, w, 3) uint8, made small for the page.
        truth: (n, 4) xyxy in pixels of `image`.
        truth_labels: (n,) int.
        missed: (n,) bool, the boxes that were not found.
        found: (k, 4) xyxy in pixels of `image`.
        found_labels: (k,) int.
        scores: (k,) float in [0, 1].
        wrong: (k,) bool, the answers that found no box of their class.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    truth_labels: np.ndarray
    missed: np.ndarray
    found: np.ndarray
    found_labels: np.ndarray
    scores: np.ndarray
    wrong: np.ndarray


@dataclass(frozen=True, eq=False)
class DetectionReportInput:
    """Everything that the report of a detector shows.

    Attributes:
        title: of the page.
        facts: name -> text, in the order of display.
        advice: sentences worth the reader's while.
        judgement: what the held-out images say.
        history: rows of `history.csv` (phase, epoch, learning_rate, loss, val_loss, val_ap50, val_ap, …).
        counts: split -> class -> boxes.
        scenes: the worst images first.
        certificates: `to_dict()` of the certificate of every exported file.
        skipped: what was left out, one sentence each.
        notes: what the loader decided or noticed, one sentence each.
    """

    title: str
    facts: Mapping[str, str]
    advice: Sequence[str]
    judgement: DetectionJudgement
    history: Sequence[Mapping] = ()
    counts: Mapping[str, Mapping[str, int]] | None = None
    scenes: Sequence[DetectionScene] = ()
    certificates: Sequence[Mapping] = ()
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()


def detector_page(report: DetectionReportInput) -> str:
    """Return the whole report as one self-contained HTML page (no script, nothing loaded)."""
    return whole_page(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def detection_summary(report: DetectionReportInput) -> str:
    """Return the report as a fragment for a notebook: headline and curves open, the rest a click away."""
    return summary(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def _parts(report: DetectionReportInput) -> list[Part]:
    judgement, names = report.judgement, report.judgement.class_names
    counted = sections.data(report.counts or {}, names, what="Boxes")
    offered = (
        ("facts", "What was trained", None, sections.facts(report.facts)),
        ("curves", "Learning curves", own.CURVES_LEAD, own.curves(report.history)),
        ("classes", "Class by class", own.CLASSES_LEAD, own.classes(judgement)),
        ("scenes", "Worst images", own.SCENES_LEAD, own.scenes(report.scenes, names)),
        ("errors", "Which mistakes cost most", own.ERRORS_LEAD, own.errors(judgement)),
        ("precision", "Precision and recall", own.PRECISION_LEAD, own.precision_recall(judgement)),
        ("confusion", "What is mixed up with what", own.CONFUSION_LEAD, own.confusion(judgement)),
        ("exports", "Exported files", sections.EXPORTS_LEAD, box_exports(report.certificates)),
        ("data", "Data", None, counted),
        ("skipped", "Skipped", sections.SKIPPED_LEAD, sections.skipped(report.skipped)),
        ("notes", "Notes on the data", sections.NOTES_LEAD, sections.notes(report.notes)),
    )
    return [Part(anchor, title, lead, body) for anchor, title, lead, body in offered if body]
