"""The report of a segmenter: one HTML file that explains itself, and the same for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.metrics import SegmentationJudgement
from kerasvision.report import sections
from kerasvision.report import segmentation_sections as own
from kerasvision.report.certificates import mask_exports
from kerasvision.report.page import Part, summary, whole_page


@dataclass(frozen=True, eq=False)
class LabelScene:
    """A held-out image, what is annotated on it, and what was found.

    Attributes:
        name: the file, for people.
        image: (h, w, 3) uint8, made small for the page.
        truth: (h, w) uint8, the label of each pixel; 255 where it is void.
        found: (h, w) uint8, the same as the segmenter says it.
        why: why it is shown, where not for the share of its pixels that is wrong.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    found: np.ndarray
    why: str


@dataclass(frozen=True, eq=False)
class SegmentationReportInput:
    """Everything that the report of a segmenter shows.

    Attributes:
        title: of the page.
        facts: name -> text, in the order of display.
        advice: sentences worth the reader's while.
        judgement: what the held-out images say.
        history: rows of `history.csv` (phase, epoch, learning_rate, loss, val_loss, val_mean_iou, …).
        images: split -> number of images.
        counts: split -> class -> images that it is on.
        pixels: split -> pixels of each class, in the order of the classes.
        void: split -> pixels that are void.
        scenes: the worst images first.
        certificates: `to_dict()` of the certificate of every exported file.
        skipped: what was left out, one sentence each.
        notes: what the loader decided or noticed, one sentence each.
    """

    title: str
    facts: Mapping[str, str]
    advice: Sequence[str]
    judgement: SegmentationJudgement
    history: Sequence[Mapping] = ()
    images: Mapping[str, int] | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    pixels: Mapping[str, Sequence[int]] | None = None
    void: Mapping[str, int] | None = None
    scenes: Sequence[LabelScene] = ()
    certificates: Sequence[Mapping] = ()
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()


def segmenter_page(report: SegmentationReportInput) -> str:
    """Return the whole report as one self-contained HTML page (no script, nothing loaded)."""
    return whole_page(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def segmentation_summary(report: SegmentationReportInput) -> str:
    """Return the report as a fragment for a notebook: headline and curves open, the rest a click away."""
    return summary(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def _parts(report: SegmentationReportInput) -> list[Part]:
    judgement, names = report.judgement, report.judgement.class_names
    counted = own.data(
        report.images or {}, report.counts or {}, report.pixels or {}, report.void or {}, names
    )
    offered = (
        ("facts", "What was trained", None, sections.facts(report.facts)),
        ("curves", "Learning curves", own.CURVES_LEAD, own.curves(report.history)),
        ("classes", "Class by class", own.CLASSES_LEAD, own.classes(judgement)),
        ("scenes", "Worst images", own.SCENES_LEAD, own.scenes(report.scenes, names)),
        ("confusion", "What is mixed up with what", own.CONFUSION_LEAD, own.confusion(judgement)),
        ("exports", "Exported files", sections.EXPORTS_LEAD, mask_exports(report.certificates)),
        ("data", "Data", None, counted),
        ("skipped", "Skipped", sections.SKIPPED_LEAD, sections.skipped(report.skipped)),
        ("notes", "Notes on the data", sections.NOTES_LEAD, sections.notes(report.notes)),
    )
    return [Part(anchor, title, lead, body) for anchor, title, lead, body in offered if body]
