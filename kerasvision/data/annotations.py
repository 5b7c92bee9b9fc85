"""What an annotation file says of one image, as it stands there, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.decoding import Source
from kerasvision.data.segments import scaled_polygons
from kerasvision.errors import BadAnnotationError

# Targets of a batch have room for as many boxes as the fullest image has: one file with a million boxes would
# take the memory of the whole machine.
MOST_BOXES = 10_000
NO_CLASS = "which is none of the class names"
# Sizes are whole pixels; labelling tools round and clip edges in their own ways.
OVERHANG = 2.0  # pixels beyond an edge that are cut off without a word


class Fault(NamedTuple):
    """Why a box cannot be used.

    Args:
        reason: what is wrong with it, to follow the words that the box is called by.
        kind: what it is about: how it is written, its size, its place, or its class.
    """

    reason: str
    kind: Literal["format", "size", "place", "class"] = "format"


@dataclass(frozen=True, eq=False)
class Annotated:
    """One image and what a file says of it, before any of it is believed.

    Args:
        source: the image: an absolute path, or its bytes.
        name: of the image, for people.
        file: the annotation file, for messages.
        boxes: (n, 4) float64 xyxy in pixels, or in [0, 1] if `relative`.
        labels: n class names.
        objects: n words to call each box by in a message, such as `"object 3 (RBC)"`.
        size: (height, width) that the file states, `None` where it does not.
        relative: boxes are shares of the width and height.
        crowd: (n,) bool or `None`.
        difficult: (n,) bool or `None`.
        segments: per box, or `None`.
        extras: per box, or `None`.
        split: `"train"`, `"validation"`, `"test"` or `""`.
        faults: what the reader found wrong with boxes, by index.
        problem: why nothing the file says of this image can be used, `None` if that can.
    """

    source: Source
    name: str
    file: str
    boxes: np.ndarray
    labels: Sequence[str]
    objects: Sequence[str]
    size: tuple[int, int] | None = None
    relative: bool = False
    crowd: np.ndarray | None = None
    difficult: np.ndarray | None = None
    segments: tuple | None = None
    extras: tuple[Mapping, ...] | None = None
    split: str = ""
    faults: Mapping[int, Fault] = field(default_factory=dict)
    problem: str | None = None

    def in_pixels(self, size: tuple[int, int]) -> np.ndarray:
        """Return the boxes in pixels of an image (height, width)."""
        return self.boxes * np.array([size[1], size[0]] * 2) if self.relative else self.boxes


def unusable(source: Source, name: str, file: str, problem: str, split: str = "") -> Annotated:
    """Return the value of an image of which nothing is known but what is wrong."""
    return Annotated(source, name, file, np.zeros((0, 4)), (), (), split=split, problem=problem)


def image_fault(one: Annotated, size: tuple[int, int]) -> str | None:
    """Say why what is annotated cannot belong to an image of this size (height, width), or `None`."""
    if one.problem:
        return one.problem
    if len(one.boxes) > MOST_BOXES:
        return f"has {len(one.boxes):,} boxes, more than the {MOST_BOXES:,} that an image may have"
    if one.size is None or one.size == size:
        return None
    stated, real = (f"{wide} x {high}" for high, wide in (one.size, size))
    hint = (
        "The boxes were drawn on the photo as it is stored, before EXIF turns it"
        if one.size == size[::-1]
        else "Was the photo resized after it was annotated?"
    )
    return f"states {stated} pixels for {one.name}, which has {real}. {hint}"


def box_faults(one: Annotated, size: tuple[int, int], classes: Mapping[str, int]) -> dict[int, Fault]:
    """Return what is wrong with boxes that cannot be used, by index.

    Args:
        one: what is annotated.
        size: (height, width) of the image.
        classes: the class names there are.
    """
    faults = dict(one.faults)
    boxes = one.in_pixels(size)
    finite = np.isfinite(boxes).all(-1)
    boxes = np.where(finite[:, None], boxes, 0)
    sides = boxes[:, 2:] - boxes[:, :2]
    visible = cut(boxes, size)
    outside = ((visible[:, 2:] - visible[:, :2]) <= 0).any(-1)
    for index in np.flatnonzero(~finite | (sides <= 0).any(-1) | outside):
        width, height = sides[index]
        if not finite[index]:
            fault = Fault("has a coordinate that is no finite number")
        elif width <= 0 or height <= 0:
            kind = "a negative size" if width < 0 or height < 0 else "no size"
            fault = Fault(f"has {kind} ({width:g} x {height:g} pixels)", "size")
        else:
            where = f"{corners(boxes[index])} on {size[1]} x {size[0]} pixels"
            fault = Fault(f"lies outside of the image ({where})", "place")
        faults.setdefault(int(index), fault)
    for index, label in enumerate(one.labels):
        if label not in classes:
            reason = f"has the class {label!r}, {NO_CLASS}"
            faults.setdefault(index, Fault(reason, "class"))
    return faults


def usable_boxes(
    one: Annotated, size: tuple[int, int], classes: Mapping[str, int]
) -> tuple[ImageBoxes, list[BadAnnotationError], int]:
    """Return the boxes that can be used, the errors of the others, and how many were cut at the edges."""
    faults = box_faults(one, size, classes)
    errors = [BadAnnotationError(one.file, f"{one.objects[i]} {faults[i].reason}") for i in sorted(faults)]
    boxes = one.in_pixels(size)
    inside = cut(boxes, size)
    good = np.array([i for i in range(len(boxes)) if i not in faults], np.int64)
    kept = ImageBoxes(
        size=size,
        boxes=inside,
        labels=[classes.get(label, 0) for label in one.labels],
        crowd=one.crowd,
        difficult=one.difficult,
        segments=_segments(one, size),
        extras=one.extras,
    ).take(good)
    return kept, errors, int(overhanging(boxes[good], size).sum())


def _segments(one: Annotated, size: tuple[int, int]) -> tuple | None:
    if one.segments is None or not one.relative:
        return one.segments
    return tuple(segment and scaled_polygons(segment, size) for segment in one.segments)


def cut(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return boxes (n, 4) cut at the edges of an image (height, width)."""
    return np.clip(boxes, 0, np.array([size[1], size[0]] * 2))


def overhanging(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tell which boxes (n, 4) reach further beyond an edge than rounding explains, (n,) bool."""
    return (np.abs(boxes - cut(boxes, size)) > OVERHANG).any(-1)


def corners(box: Sequence[float]) -> str:
    """Return a box as text."""
    return ", ".join(f"{value:g}" for value in box)
