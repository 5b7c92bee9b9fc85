"""Rules on boxes: those that cannot be used, those that are there twice, and images that nobody annotated."""

from collections.abc import Container, Iterator

import numpy as np

from kerasvision.data.annotations import Annotated, Fault, box_faults, image_fault, overhanging
from kerasvision.data.doctor.findings import Case, Problem, Seen
from kerasvision.data.wording import listed, several
from kerasvision.metrics.box_geometry import pairwise_iou

# Intersection over union above which two boxes of a class are one object. In BCCD eight pairs are above it
# (0.83, and seven from 0.92 on), none is between 0.70 and 0.83.
TWICE = 0.8
FEW_BOXES = 50  # of a class in training
UNEVEN_BOXES = 20.0
SMALL_OBJECT = 8.0  # pixels at the input size: one cell of the finest feature map of usual detectors
BLOCK = 1024  # boxes compared with all others at a time
SKIP = 'Mend them, or leave them out by on_bad_file="skip".'
FAULTS = {
    "size": ("box without size", "have no size: they were clicked, not drawn"),
    "place": ("box outside", "lie outside of their image"),
    "class": ("unknown class", "are of a class that has no name here"),
    "format": ("broken box", "cannot be read"),
}


def broken_annotations(seen: Seen) -> Iterator[Problem]:
    """Annotation files that cannot be used, and those that belong to no image."""
    lost = seen.intake.boxes.lost
    if lost:
        yield Problem(
            "broken annotation",
            "error",
            f"{several(len(lost), 'annotation', ('belongs', 'belong'))} to no image or cannot be used.",
            SKIP,
            tuple(Case((one.name,), one.problem) for one in lost),
        )
    if alone := seen.intake.boxes.alone:
        yield Problem(
            "unused annotation",
            "warning",
            f"{several(len(alone), 'annotation file', ('is', 'are'))} not in use: no image, or in no list.",
            "Add the images, or list them in a split.",
            tuple(Case((name,)) for name in alone),
        )


def bad_boxes(seen: Seen) -> Iterator[Problem]:
    """Boxes of no size, outside of the image, of unknown classes, or written wrongly."""
    found: dict[str, list[Case]] = {kind: [] for kind in FAULTS}
    for name, one, size in _annotated(seen):
        for index, fault in sorted(_faults(seen, one, size).items()):
            found[fault.kind].append(Case((name,), f"{one.objects[index]} {fault.reason}"))
    for kind, cases in found.items():
        if cases:
            short, what = FAULTS[kind]
            yield Problem(short, "error", f"{several(len(cases), 'box')}: {what}.", SKIP, tuple(cases))


def wrong_sizes(seen: Seen) -> Iterator[Problem]:
    """Images of another size than their annotation states."""
    cases = [
        Case((seen.intake.names[i],), fault)
        for i, exam in seen.usable()
        if (one := seen.intake.boxes.annotated[i]) is not None
        and (fault := image_fault(one, (exam.height, exam.width)))
    ]
    if cases:
        yield Problem(
            "wrong size",
            "error",
            f"{several(len(cases), 'image', ('is', 'are'))} not of the size that the annotation states: the "
            "boxes belong to another picture.",
            "Find the original photos, or scale the boxes.",
            tuple(cases),
        )


def cut_boxes(seen: Seen) -> Iterator[Problem]:
    """Boxes that reach beyond the edge of their image."""
    cases = []
    for name, one, size in _annotated(seen):
        faults = _faults(seen, one, size)
        for index in np.flatnonzero(overhanging(one.in_pixels(size), size)):
            if index not in faults:
                cases.append(Case((name,), f"{one.objects[index]} reaches beyond the edge"))
    if cases:
        yield Problem(
            "box over the edge",
            "warning",
            f"{several(len(cases), 'box', ('reaches', 'reach'))} beyond the edge of the image.",
            "They are cut there. Look at them: were they drawn on another picture?",
            tuple(cases),
        )


def double_boxes(seen: Seen) -> Iterator[Problem]:
    """Boxes that are drawn twice, with the same class or with two."""
    same, apart = [], []
    for name, one, size in _annotated(seen):
        crowds = () if one.crowd is None else np.flatnonzero(one.crowd)  # an object may fill its crowd
        left_out = {*_faults(seen, one, size), *crowds}
        for first, second, overlap in _pairs(one.in_pixels(size), left_out):
            case = Case((name,), f"{one.objects[first]} and {one.objects[second]}, IoU {overlap:.2f}")
            (same if one.labels[first] == one.labels[second] else apart).append(case)
    if same:
        yield Problem(
            "double box",
            "warning",
            f"{several(len(same), 'object', ('has', 'have'))} two boxes of one class (IoU above {TWICE}).",
            "Delete one of each: a detector that finds the object once is counted as having missed it once.",
            tuple(same),
        )
    if apart:
        yield Problem(
            "box conflict",
            "warning",
            f"{several(len(apart), 'object', ('has', 'have'))} two boxes of different classes.",
            "Decide which class is right.",
            tuple(apart),
        )


def bare_images(seen: Seen) -> Iterator[Problem]:
    """Images that no file describes, and images without any box."""
    bare = [(i, "") for i, one in enumerate(seen.intake.boxes.annotated) if one is None]
    if bare:
        yield Problem(
            "no annotation",
            "warning",
            f"{several(len(bare), 'image', ('has', 'have'))} no annotation file that can be read.",
            "Annotate them, also those without objects: for YOLO by an empty text file (they count as such "
            "now), for Pascal VOC by an XML file without any <object> (they are left out now).",
            seen.cases(bare),
        )
    empty = [
        (i, "") for i, _ in seen.usable() if (one := seen.intake.boxes.annotated[i]) and not len(one.boxes)
    ]
    if empty:
        yield Problem(
            "no boxes",
            "note",
            f"{several(len(empty), 'image', ('has', 'have'))} no box.",
            "They teach what is no object. Make sure that nothing was forgotten on them.",
            seen.cases(empty),
        )


def small_objects(seen: Seen) -> Iterator[Problem]:
    """Objects that are hardly seen once the image is resized."""
    height, width = seen.intake.boxes.image_size
    cases, count = [], 0
    for name, one, size in _annotated(seen):
        boxes = one.in_pixels(size) * np.array([width / size[1], height / size[0]] * 2)
        sides = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=-1))
        count += len(sides)
        faults = _faults(seen, one, size)
        for index in np.flatnonzero(sides < SMALL_OBJECT):
            if index not in faults:
                cases.append(Case((name,), f"{one.objects[index]}: about {sides[index]:.0f} pixels"))
    if cases:
        yield Problem(
            "tiny object",
            "warning" if len(cases) > 0.05 * count else "note",
            f"{len(cases):,} of {several(count, 'box')} will be smaller than {SMALL_OBJECT:.0f} pixels at an "
            f"input of {width} x {height}.",
            "Choose a larger image_size, or cut the photos into tiles: such objects are hardly found.",
            tuple(cases),
        )


def box_balance(seen: Seen) -> Iterator[Problem]:
    """Classes without, with few or with very many boxes."""
    for split, counts in seen.counts().items():
        training, where = split in ("all", "train"), "" if split == "all" else f" in {split}"
        empty = [name for name, count in counts.items() if not count]
        if empty:
            yield Problem(
                "empty class",
                "warning" if training else "note",
                f"{several(len(empty), 'class', ('has', 'have'))} no box{where}: {listed(empty)}.",
                "Annotate some, or remove the class.",
                tuple(Case((), name) for name in empty),
            )
        few = {name: count for name, count in counts.items() if 0 < count < FEW_BOXES}
        if few and training:
            yield Problem(
                "few boxes",
                "warning",
                f"{several(len(few), 'class', ('has', 'have'))} fewer than {FEW_BOXES} boxes{where}: "
                f"{listed([f'{name} ({count})' for name, count in few.items()])}.",
                "More boxes of these classes will help more than anything else.",
                tuple(Case((), f"{name}: {count}") for name, count in few.items()),
            )
        filled = {name: count for name, count in counts.items() if count}
        if training and filled and max(filled.values()) >= UNEVEN_BOXES * min(filled.values()):
            large, small = max(filled, key=filled.get), min(filled, key=filled.get)
            yield Problem(
                "imbalance",
                "note",
                f"{large} has {filled[large]:,} boxes{where}, {small} only {filled[small]:,}.",
                "Judge by the AP of each class, and add images of the rare ones.",
            )


def _annotated(seen: Seen) -> Iterator[tuple[str, Annotated, tuple[int, int]]]:
    """Yield name, annotation and size of the images whose boxes can be looked at."""
    for i, exam in seen.usable():
        one, size = seen.intake.boxes.annotated[i], (exam.height, exam.width)
        if one is not None and image_fault(one, size) is None:
            yield seen.intake.names[i], one, size


def _faults(seen: Seen, one: Annotated, size: tuple[int, int]) -> dict[int, Fault]:
    return box_faults(one, size, {name: i for i, name in enumerate(seen.intake.class_names)})


def _pairs(boxes: np.ndarray, left_out: Container[int]) -> Iterator[tuple[int, int, float]]:
    """Yield (first, second, IoU) of boxes that are nearly the same."""
    good = np.array([i for i in range(len(boxes)) if i not in left_out], np.int64)
    for start in range(0, len(good), BLOCK):
        rows = good[start : start + BLOCK]
        overlaps = pairwise_iou(boxes[rows], boxes[good[start:]])
        for row, column in np.argwhere(overlaps > TWICE):
            if column > row:
                yield int(rows[row]), int(good[start + column]), float(overlaps[row, column])


BOX_RULES = (
    broken_annotations,
    bad_boxes,
    wrong_sizes,
    cut_boxes,
    double_boxes,
    bare_images,
    box_balance,
    small_objects,
)
