"""What the doctor looks at where images have boxes: every annotation as it stands in its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasvision.data.annotations import Annotated
from kerasvision.data.box_formats import format_of
from kerasvision.data.box_loading import choose_class_names
from kerasvision.data.box_tables import read_box_csv
from kerasvision.data.coco_files import find_coco, read_coco
from kerasvision.data.decoding import Source
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.data.voc import read_voc
from kerasvision.data.yolo_files import find_yolo, read_yolo
from kerasvision.errors import DataError

INPUT_SIZE = (320, 320)  # what `pascal_voc` and the other loaders resize to where nothing else is said


@dataclass(frozen=True)
class BoxIntake:
    """What is annotated on each image, before any of it is believed.

    Attributes:
        annotated: N, one an image; `None` for an image that no file describes.
        lost: annotations that no image could be found for, or whose file cannot be read.
        alone: annotation files that are not in use: no image, or in no list.
        image_size: (height, width) that images will be resized to.
    """

    annotated: Sequence[Annotated | None]
    lost: tuple[Annotated, ...] = ()
    alone: tuple[str, ...] = ()
    image_size: tuple[int, int] = INPUT_SIZE


@dataclass(frozen=True)
class Boxed:
    """What is needed to make an `Intake`: images and their annotations."""

    root: Path | None
    sources: Sequence[Source]
    names: Sequence[str]
    splits: Sequence[str]
    class_names: tuple[str, ...]
    boxes: BoxIntake


def boxed_path(path: Path) -> Boxed | None:
    """Read a folder or file with boxes; `None` where it has none.

    Raises:
        DataError: the files say that they have boxes, but cannot be read at all.
    """
    kind = format_of(path)
    if kind is None:
        return None
    path = path.absolute()
    if kind == "csv":
        return _boxed(read_box_csv(path, path.parent), path.parent, None)
    if kind == "coco":
        annotated, names = read_coco(find_coco(path))
        return _boxed(annotated, path if path.is_dir() else path.parent, names)
    if kind == "yolo":
        root, file = find_yolo(path)
        annotated, names, without, alone = read_yolo(root, file)
        return _boxed(annotated, root, names, alone=alone, bare=without)
    annotated, (without, alone) = read_voc(path)
    return _boxed(annotated, path, None, alone=alone, bare=without)


def _boxed(
    annotated: Sequence[Annotated],
    root: Path,
    names: Sequence[str] | None,
    *,
    alone: Sequence[str] = (),
    bare: Sequence[str] = (),
) -> Boxed:
    """Put together what is annotated; `bare` are the images that no file describes."""
    usable = [one for one in annotated if one.problem is None and one.name not in set(bare)]
    try:
        class_names = choose_class_names(annotated, known=names)
    except DataError:  # no boxes, or names that cannot be told apart: rules say so
        class_names = tuple(dict.fromkeys(label for one in annotated for label in one.labels))
    splits = {one.name: one.split for one in annotated}
    return Boxed(
        root=root,
        sources=[*(one.source for one in usable), *(str(root / name) for name in bare)],
        names=[*(one.name for one in usable), *bare],
        splits=[*(one.split for one in usable), *(splits.get(name, "") for name in bare)],
        class_names=class_names,
        boxes=BoxIntake(
            annotated=[*usable, *(None for _ in bare)],
            lost=tuple(one for one in annotated if one.problem is not None),
            alone=tuple(alone),
        ),
    )


def boxes_of_data(data: VisionData, names: Sequence[str]) -> BoxIntake:
    """Return what a `VisionData` knows of the boxes of its images, in the order of its splits."""
    parts = [data.splits[split] for split in SPLITS if split in data.splits]
    every = (boxes for part in parts for boxes in part.boxes)
    annotated = [
        Annotated(
            source="",
            name=name,
            file=name,
            boxes=one.boxes,
            labels=[data.class_names[label] for label in one.labels],
            objects=[f"box {i + 1} ({data.class_names[label]})" for i, label in enumerate(one.labels)],
            size=one.size,
            crowd=one.crowd,
        )
        for name, one in zip(names, every, strict=True)
    ]
    return BoxIntake(annotated, image_size=data.image_size)


def count_boxes(
    boxes: BoxIntake, splits: Sequence[str], class_names: Sequence[str], split_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Return how many boxes there are by split (or "all") and class."""
    counts: Mapping[str, dict[str, int]] = {
        split: dict.fromkeys(class_names, 0) for split in split_names or ("all",)
    }
    for one, split in zip(boxes.annotated, splits, strict=True):
        there = counts.get(split or "all")
        for label in one.labels if one is not None and there is not None else ():
            if label in there:
                there[label] += 1
    return dict(counts)
