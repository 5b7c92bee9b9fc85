"""The report of an embedder: one HTML file that explains itself, and the same for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.metrics import EmbeddingJudgement
from kerasvision.report import embedding_sections as own
from kerasvision.report import sections
from kerasvision.report.certificates import vector_exports
from kerasvision.report.embedding_charts import embedding_map
from kerasvision.report.page import Part, summary, whole_page


@dataclass(frozen=True, eq=False)
class JudgedPair:
    """Two held-out images that are nearer, or farther apart, than they should be.

    Attributes:
        names: the two files, for people.
        identities: who they are of.
        images: (h, w, 3) uint8 each.
        distance: between their embeddings.
    """

    names: tuple[str, str]
    identities: tuple[str, str]
    images: tuple[np.ndarray, np.ndarray]
    distance: float

    @property
    def same(self) -> bool:
        """Whether both are of one identity."""
        return self.identities[0] == self.identities[1]


@dataclass(frozen=True, eq=False)
class DistanceHistogram:
    """How far apart pairs of images are.

    Attributes:
        edges: (bins + 1,) float.
        same: (bins,) int, pairs of one identity.
        different: (bins,) int, pairs of two.
    """

    edges: np.ndarray
    same: np.ndarray
    different: np.ndarray


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Embeddings of held-out images, flattened to two dimensions.

    Attributes:
        points: (n, 2) float.
        labels: (n,) int, index into `identities`.
        identities: names.
        names: of the n images, for people.
        method: how it was made, in words.
    """

    points: np.ndarray
    labels: np.ndarray
    identities: Sequence[str]
    names: Sequence[str]
    method: str


@dataclass(frozen=True, eq=False)
class EmbeddingReportInput:
    """Everything that the report of an embedder shows.

    Attributes:
        title: of the page.
        facts: name -> text, in the order of display.
        advice: sentences worth the reader's while.
        judgement: what the held-out identities say.
        history: rows of `history.csv` (phase, epoch, learning_rate, loss, active, spread, val_eer, …).
        margin: of the loss in training; None where it has none.
        histogram: of the distances of pairs.
        counts: split -> identity -> images.
        pairs: the nearest of two identities and the farthest of one, the worst first.
        map: of the embedding.
        certificates: `to_dict()` of the certificate of every exported file.
        skipped: what was left out, one sentence each.
        notes: what the loader decided or noticed, one sentence each.
    """

    title: str
    facts: Mapping[str, str]
    advice: Sequence[str]
    judgement: EmbeddingJudgement
    history: Sequence[Mapping] = ()
    margin: float | str | None = None
    histogram: DistanceHistogram | None = None
    counts: Mapping[str, Mapping[str, int]] | None = None
    pairs: Sequence[JudgedPair] = ()
    map: EmbeddingMap | None = None
    certificates: Sequence[Mapping] = ()
    skipped: Sequence[str] = ()
    notes: Sequence[str] = ()


def embedder_page(report: EmbeddingReportInput) -> str:
    """Return the whole report as one self-contained HTML page (no script, nothing loaded)."""
    return whole_page(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def embedding_summary(report: EmbeddingReportInput) -> str:
    """Return the report as a fragment for a notebook: headline and curves open, the rest a click away."""
    return summary(
        report.title, own.headline(report.judgement), sections.advice(report.advice), _parts(report)
    )


def _parts(report: EmbeddingReportInput) -> list[Part]:
    judgement = report.judgement
    nearest = [pair for pair in report.pairs if not pair.same]
    farthest = [pair for pair in report.pairs if pair.same]
    offered = (
        ("facts", "What was trained", None, sections.facts(report.facts)),
        ("curves", "Learning curves", own.CURVES_LEAD, own.curves(report.history, report.margin)),
        (
            "verification",
            "The same or not?",
            own.VERIFICATION_LEAD,
            own.verification(judgement, report.histogram),
        ),
        ("accepts", "Worst false accepts", own.ACCEPTS_LEAD, own.pairs(nearest, judgement.threshold)),
        ("rejects", "Worst false rejects", own.REJECTS_LEAD, own.pairs(farthest, judgement.threshold)),
        ("retrieval", "Finding the same among many", own.RETRIEVAL_LEAD, own.retrieval(judgement)),
        ("map", "Map of the embedding", own.MAP_LEAD, report.map and embedding_map(report.map)),
        ("exports", "Exported files", sections.EXPORTS_LEAD, vector_exports(report.certificates)),
        ("data", "Data", own.DATA_LEAD, own.data(report.counts or {})),
        ("skipped", "Skipped", sections.SKIPPED_LEAD, sections.skipped(report.skipped)),
        ("notes", "Notes on the data", sections.NOTES_LEAD, sections.notes(report.notes)),
    )
    return [Part(anchor, title, lead, body) for anchor, title, lead, body in offered if body]
