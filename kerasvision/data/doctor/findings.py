"""What the doctor says: problems with their cases, and the values that its rules look at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kerasvision.data.doctor.box_intake import count_boxes
from kerasvision.data.doctor.exam import Exam
from kerasvision.data.doctor.intake import Intake
from kerasvision.data.doctor.twins import Twins

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Case:
    """One finding of a problem.

    Attributes:
        files: the images concerned, together: several for duplicates, none for a class as a whole.
        note: what is special about it, such as why a file cannot be read.
    """

    files: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Problem:
    """One kind of problem and where it occurs.

    Attributes:
        kind: short name, such as `"leak"`, `"unreadable"`.
        severity: `"error"` (training would fail or its result would lie), `"warning"` or `"note"`.
        message: what is wrong, in a sentence with its figures.
        advice: what to do.
        cases: each occurrence.
    """

    kind: str
    severity: Literal["error", "warning", "note"]
    message: str
    advice: str
    cases: tuple[Case, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """All files concerned, each once."""
        return tuple(dict.fromkeys(file for case in self.cases for file in case.files))


@dataclass(frozen=True)
class Seen:
    """All that the rules look at."""

    intake: Intake
    exams: Sequence[Exam]
    twins: Twins

    def usable(self) -> Iterator[tuple[int, Exam]]:
        """Yield index and exam of the images that can be read."""
        return ((i, exam) for i, exam in enumerate(self.exams) if exam.reason is None)

    def cases(self, found: Iterable[tuple[int, str]]) -> tuple[Case, ...]:
        """Return a case for each (index, note)."""
        return tuple(Case((self.intake.names[i],), note) for i, note in found)

    def together(self, members: Sequence[int], note: str) -> Case:
        """Return one case of several images."""
        return Case(tuple(self.intake.names[i] for i in members), note)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return readable images (or boxes, where there are any) by split (or "all") and class."""
        if self.intake.boxes is not None:
            there = self.intake
            return count_boxes(there.boxes, there.splits, there.class_names, there.split_names)
        splits = self.intake.split_names or ("all",)
        counts = {split: dict.fromkeys(self.intake.class_names, 0) for split in splits}
        for i, _ in self.usable():
            split, label = self.intake.splits[i] or "all", self.intake.labels[i]
            if label is not None and split in counts:
                counts[split][label] += 1
        return counts
