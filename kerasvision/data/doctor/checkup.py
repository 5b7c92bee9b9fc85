"""The doctor: what is wrong with a folder of photos, which files, and what to do about it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from kerasvision.data.decoding import Source
from kerasvision.data.doctor.box_rules import BOX_RULES
from kerasvision.data.doctor.clean_list import CleanList, write_clean_list
from kerasvision.data.doctor.exam import examine_all, look_at_all
from kerasvision.data.doctor.findings import SEVERITIES, Case, Problem, Seen
from kerasvision.data.doctor.identity_rules import IDENTITY_RULES
from kerasvision.data.doctor.intake import Intake, take_in
from kerasvision.data.doctor.mask_rules import MASK_RULES
from kerasvision.data.doctor.rules import IMAGE_RULES, RULES
from kerasvision.data.doctor.sequence_rules import SEQUENCE_RULES
from kerasvision.data.doctor.twin_rules import TWIN_RULES
from kerasvision.data.doctor.twins import find_twins
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import several
from kerasvision.errors import BadImageError, CleanListError, DataError
from kerasvision.progress import say

__all__ = ("Case", "Checkup", "Problem", "check")

Picture = Source | Callable[[], np.ndarray | None]  # an image, or what draws one
PICTURED = 12  # cases of a problem whose pictures are shown
PER_CASE = 6  # pictures of a case


@dataclass(frozen=True)
class Checkup:
    """What the doctor found. Print it for a table; in a notebook it shows itself with pictures.

    Attributes:
        origin: what was checked.
        images: how many images were looked at.
        counts: readable images (or boxes, or masks that show it) by split (`"all"` where there are none) and
            class.
        problems: what is wrong, errors first; empty when all is well.
        facts: sizes, formats and the like, for people.
        seconds: how long it took.
        counted: what `counts` counts, `"images"`, `"boxes"` or `"masks"`.
        noun: what a label is, `"class"` or `"identity"`.
    """

    origin: str
    images: int
    counts: Mapping[str, Mapping[str, int]]
    problems: tuple[Problem, ...]
    facts: Mapping[str, str]
    seconds: float
    sources: Mapping[str, Picture | None] = field(default_factory=dict, repr=False)
    counted: str = "images"
    noun: str = "class"

    @property
    def ok(self) -> bool:
        """True when there is no error; warnings and notes may be there."""
        return not any(problem.severity == "error" for problem in self.problems)

    def summary(self) -> str:
        """Return the verdict in one sentence."""
        counts = {s: sum(p.severity == s for p in self.problems) for s in SEVERITIES}
        parts = [f"{n} {s}{'' if n == 1 else 's'}" for s, n in counts.items() if n]
        classes = len(next(iter(self.counts.values()), ()))
        boxes = sum(sum(counts.values()) for counts in self.counts.values())
        what = f"{self.images:,} images, " + (f"{boxes:,} boxes, " if self.counted == "boxes" else "")
        what += several(classes, self.noun)
        verdict = "ready to train" if self.ok else "not ready to train"
        return f"{what}: {verdict}" + (f" ({', '.join(parts)})." if parts else ", nothing to complain about.")

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {
            "origin": self.origin,
            "ok": self.ok,
            "images": self.images,
            "counted": self.counted,
            "counts": {split: dict(counts) for split, counts in self.counts.items()},
            "problems": [asdict(problem) for problem in self.problems],
            "facts": dict(self.facts),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        from kerasvision.data.doctor.table import as_text

        return as_text(self)

    def __rich__(self):
        from kerasvision.data.doctor.table import as_rich

        return as_rich(self)

    def _repr_html_(self) -> str:
        from kerasvision.data.doctor.page import notebook_checkup

        return notebook_checkup(self)


def check(
    data: str | os.PathLike | VisionData,
    *,
    identities: bool = False,
    near_duplicates: bool = True,
    page: str | os.PathLike | None = None,
    clean_list: str | os.PathLike | None = None,
) -> Checkup:
    """Look at every image of a folder or list and say what is wrong, which files, and what to do.

    Every image is decoded once. Found are: the same image in more than one split (also nearly the same), or
    in two classes; files that cannot be read; classes without, with few or with very many images; copies;
    names that lie about the format; odd sizes and colour modes. Nothing is ever written into the folder.

    Folders and files with boxes (Pascal VOC, COCO, YOLO, CSV) are told by their layout. Found are boxes
    without size, outside of the image, of unknown classes or drawn twice; annotations of another image size
    or without image; images without annotation; objects that are tiny at the input size.

    Folders with masks (`images/` and `masks/`, CamVid, Pascal VOC's `SegmentationClass`) are told likewise.
    Found are masks of another size than their image, without image, with soft edges, saved with loss or
    void all over; images without mask; values that stand for no class; 0 and 255 alone; classes that hardly
    occur; and videos whose frames are in several splits. Where `masks` needs more arguments, such as a table
    of colours, load first: `check(masks(images, masks, colours=…, on_bad_file="skip"))`.

    With `identities=True` (and for data of `identity_folder`) folders are people or the like, and a file has
    the columns `path,identity`. Found are identities in two splits, which training refuses; one photo under
    two names; identities with a single image or with very many; splits in which no pair can be made.

    Args:
        data: a folder as for `image_folder`, `pascal_voc`, `coco`, `yolo` or `read_masks`; a file as
            for `image_csv`, `box_csv`, `coco` or `yolo`; or a `VisionData`, whose splits are then compared.
        identities: the folders, or the labels of a file, are identities.
        near_duplicates: look for copies that were resized or saved again, too.
        page: HTML file to write, with pictures of what was found.
        clean_list: CSV file to write for `image_csv`, with `path,label` and, where there are splits, `split`:
            without what cannot be read, without images that lie in two classes, with one image of each group
            of copies. Of copies in several splits the one in test is kept, then that in validation: what is
            measured stays the same. Not for boxes and masks.

    Returns:
        A `Checkup`: `.ok`, `.problems`, `.counts`, `.summary()`; print it for a table.

    Raises:
        DataError: there is no such folder or no image in it; or `page` or `clean_list` lies in the folder, or
            is the file that is checked.
        CleanListError: `clean_list` cannot be written (boxes, masks, images in memory, or nothing would be
            left): a `DataError`, raised after the page is written, with the `Checkup` as `.checkup`.

    Example:
        ```python
        checkup = kv.data.check("photos/", page="checkup.html", clean_list="clean.csv")
        print(checkup)
        data = kv.data.image_csv("clean.csv")
        ```
    """
    started = time.perf_counter()
    intake = take_in(data, identities)
    page = _outside(page, intake, "page", ".html")
    clean_list = _outside(clean_list, intake, "clean_list", ".csv")
    exams = examine_all(intake.sources, intake.names)
    masks = ()
    if intake.masks is not None:
        masks = look_at_all(intake.masks.look_at, len(exams), "Checking masks")
        class_names, settled = intake.masks.settled(masks)
        intake = replace(intake, class_names=class_names, masks=settled)
    seen = Seen(intake, exams, find_twins(exams, near=near_duplicates), masks)
    problems = _problems(seen)
    checkup = Checkup(
        origin=intake.origin,
        images=len(exams),
        counts=seen.counts(),
        problems=problems,
        facts=_facts(seen),
        seconds=round(time.perf_counter() - started, 2),
        sources=_pictured(intake, problems),
        counted="images" if intake.classified else "masks" if intake.boxes is None else "boxes",
        noun=intake.noun,
    )
    if page is not None:
        from kerasvision.data.doctor.page import write_page

        write_page(page, checkup)
        say(f"Page with pictures: {page}")
    if clean_list is not None:
        _write_list(clean_list, seen, checkup)
    return checkup


def _write_list(path: Path, seen: Seen, checkup: Checkup) -> None:
    """Write the clean list and say so.

    Raises:
        CleanListError: it cannot be written, with the checkup, which is made by then.
    """
    if not seen.intake.classified:
        message = "`clean_list` lists images with classes. " + _instead_of_a_list(seen.intake)
        raise CleanListError(message, checkup)
    try:
        clean = write_clean_list(path, seen)
    except DataError as error:
        raise CleanListError(str(error), checkup) from None
    _say_clean(path, clean, len(seen.exams))


def _instead_of_a_list(intake: Intake) -> str:
    """Say what to do where there is no class an image that a list could hold."""
    if intake.masks is not None:
        return (
            "For masks load with on_bad_file='skip', which leaves out what cannot be used, and move copies "
            "and sequences that are in two splits by hand: `.problems` and the page name them."
        )
    return (
        "For boxes load with on_bad_file='skip' and write what is left by `write_pascal_voc`, `write_coco`, "
        "`write_yolo` or `write_box_csv`."
    )


def _problems(seen: Seen) -> tuple[Problem, ...]:
    """Apply all rules; errors first, within a severity in the order of the rules (leaks come first)."""
    rules = (*TWIN_RULES, *RULES)
    if seen.intake.boxes is not None:
        rules = (*TWIN_RULES, *BOX_RULES, *IMAGE_RULES)
    if seen.intake.identities:
        rules = IDENTITY_RULES
    if seen.intake.masks is not None:  # neighbouring frames of a video are nearly copies: it is told first
        rules = (*SEQUENCE_RULES, *TWIN_RULES, *MASK_RULES, *IMAGE_RULES)
    found = [problem for rule in rules for problem in rule(seen)]
    return tuple(sorted(found, key=lambda problem: SEVERITIES.index(problem.severity)))


def _outside(path: str | os.PathLike | None, intake: Intake, argument: str, suffix: str) -> Path | None:
    """Return the path to write to, or refuse one inside the checked folder, before the work begins."""
    if path is None:
        return None
    path = Path(path).expanduser()
    if path.is_dir():
        raise DataError(
            f"`{argument}` must be a file. Received the folder {path}. Try {path / ('checkup' + suffix)}."
        )
    if path.exists() and os.path.exists(intake.origin) and os.path.samefile(path, intake.origin):
        raise DataError(
            f"`{argument}` {path} is the file that is checked, which stays as it is. Try another."
        )
    real = Path(os.path.realpath(path))
    if intake.root is not None and real.is_relative_to(os.path.realpath(intake.root)):
        raise DataError(
            f"`{argument}` must lie outside the checked folder, as nothing is written into it. "
            f"Received: {path}. Try {Path(intake.root).parent / path.name}."
        )
    return path


def _facts(seen: Seen) -> dict[str, str]:
    good = [exam for _, exam in seen.usable()]
    facts = {
        "Images": f"{len(seen.exams):,}",
        seen.intake.nouns.capitalize(): str(len(seen.intake.class_names)),
    }
    if seen.intake.split_names:
        facts["Splits"] = ", ".join(seen.intake.split_names)
    if seen.masks:
        facts["Masks"] = _mask_facts(seen)
    if good:
        areas = np.array([(exam.width * exam.height, exam.width, exam.height) for exam in good])
        order = np.argsort(areas[:, 0], kind="stable")
        low, middle, high = (areas[order[k]] for k in (0, len(order) // 2, -1))
        facts["Sizes"] = (
            f"{low[1]} × {low[2]} to {high[1]} × {high[2]} pixels, in the middle {middle[1]} × {middle[2]}"
        )
        formats = sorted({exam.format for exam in good if exam.format})
        if formats:
            facts["Formats"] = ", ".join(formats)
        facts["On disk" if formats else "In memory"] = f"{sum(exam.size for exam in good) / 1e6:,.1f} MB"
    return facts


def _mask_facts(seen: Seen) -> str:
    usable = [exam for _, exam in seen.usable_masks()]
    words = f"{len(usable):,}"
    if usable and seen.intake.class_names:
        words += f", {seen.void_share:.1%} of their pixels void"
    return " ".join([f"{words}.", *seen.intake.masks.notes]) if seen.intake.masks.notes else words


def _pictured(intake: Intake, problems: tuple[Problem, ...]) -> dict[str, Picture | None]:
    """Return where to find the pictures that a page shows; they are read only then."""
    shown = {
        name for problem in problems for case in problem.cases[:PICTURED] for name in case.files[:PER_CASE]
    }
    found = {name: _source(intake, i) for i, name in enumerate(intake.names) if name in shown}
    if intake.masks is not None:
        masks = enumerate(intake.masks.names)
        found |= {name: partial(intake.masks.picture, i) for i, name in masks if name in shown - set(found)}
    return found


def _source(intake: Intake, index: int) -> Picture | None:
    try:
        return intake.sources[index]
    except BadImageError:  # a face that cannot be aligned is listed by name
        return None


def _say_clean(path: Path, clean: CleanList, images: int) -> None:
    why = ", ".join(f"{count:,} {reason}" for reason, count in clean.dropped.items())
    say(f"Clean list: {len(clean.kept):,} of {images:,} images{f' (left out: {why})' if why else ''}: {path}")
