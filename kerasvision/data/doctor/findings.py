"""What the doctor says: problems with their cases, and the values that its rules look at."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from kerasvision.data.doctor.box_intake import count_boxes
from kerasvision.data.doctor.exam import Exam
from kerasvision.data.doctor.intake import Intake
from kerasvision.data.doctor.mask_exam import MaskExam
from kerasvision.data.doctor.twins import Twins
from kerasvision.metrics.segmentation import VOID

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
    """All that the rules look at.

    Attributes:
        intake: what there is.
        exams: N, each image looked at.
        twins: which images are alike.
        masks: N, the mask of each image looked at, None where it has none; () where there are no masks.
    """

    intake: Intake
    exams: Sequence[Exam]
    twins: Twins
    masks: Sequence[MaskExam | None] = ()

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
        """Return by split (or "all") and class: readable images, boxes, or images that show the class.

        Which of them depends on what there is: nothing, boxes or masks.
        """
        if self.intake.boxes is not None:
            there = self.intake
            return count_boxes(there.boxes, there.splits, there.class_names, there.split_names)
        if self.intake.masks is not None:
            return {
                split: {name: images for name, (images, _) in classes.items()}
                for split, classes in self.shown.items()
            }
        splits = self.intake.split_names or ("all",)
        counts = {split: dict.fromkeys(self.intake.class_names, 0) for split in splits}
        for i, _ in self.usable():
            split, label = self.intake.splits[i] or "all", self.intake.labels[i]
            if label is not None and split in counts:
                counts[split][label] += 1
        return counts

    def usable_masks(self) -> Iterator[tuple[int, MaskExam]]:
        """Yield index and exam of the masks that can be read."""
        return ((i, exam) for i, exam in enumerate(self.masks) if exam is not None and exam.reason is None)

    def mask_pixels(self, index: int) -> dict[int, int]:
        """Return the pixels of each class on a mask: class index -> how many, for those on it."""
        meaning, pixels = self.intake.masks.meaning, Counter()
        for value, count in self.masks[index].values.items():
            label = meaning.get(value)
            if label is not None and label != VOID:
                pixels[label] += count
        return dict(pixels)

    @cached_property
    def shown(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Split (or "all") -> class -> images that show it, and their pixels of it."""
        names = self.intake.class_names
        counts = {split: {name: (0, 0) for name in names} for split in self.intake.split_names or ("all",)}
        for i, _ in self.usable_masks():
            there = counts.get(self.intake.splits[i] or "all")
            for label, pixels in self.mask_pixels(i).items() if there is not None else ():
                images, before = there[names[label]]
                there[names[label]] = images + 1, before + pixels
        return counts

    def masks_in(self, split: str) -> int:
        """Return how many masks of a split (or "all") can be read."""
        return sum((self.intake.splits[i] or "all") == split for i, _ in self.usable_masks())

    @cached_property
    def void_share(self) -> float:
        """Share of the pixels of all masks that are void, in [0, 1]."""
        meaning, exams = self.intake.masks.meaning, [exam for _, exam in self.usable_masks()]
        void = sum(n for exam in exams for v, n in exam.values.items() if meaning.get(v) == VOID)
        return void / max(1, sum(exam.pixels for exam in exams))

    @cached_property
    def binary(self) -> bool:
        """Whether the masks hold 0 and 255 and nothing else."""
        values = {value for _, exam in self.usable_masks() for value in exam.values}
        return values == {0, VOID} and not self.intake.masks.coloured
