"""Boxes of tensorflow-datasets: which feature holds them, how they are packed, and on to a `VisionData`.

Most of its data sets say it as those of Pascal VOC and COCO do: a sequence of objects, each with a box in
shares of the image (ymin, xmin, ymax, xmax) and a class. It forgets the pixels that a data set was annotated
in; VOC's first pixel, 1, is not 0 here, as it is with `pascal_voc`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.annotations import Annotated, Fault
from kerasvision.data.box_loading import BoxSettings, load_boxes
from kerasvision.data.decoding import Source
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError

_CROWD = ("is_crowd", "iscrowd", "is_group_of")  # a group of objects under one box, in COCO and Open Images
_DIFFICULT = ("is_difficult", "difficult")


@dataclass(frozen=True)
class BoxFeature:
    """Where a data set keeps its boxes.

    Args:
        key: feature of an example that is a sequence of objects.
        box: what the box is called in it.
        label: what the class is called in it, `None` where all objects are of one class.
        crowd: name of the mark for groups, or `None`.
        difficult: name of the mark for objects that do not count, or `None`.
        names: of the classes.
    """

    key: str
    box: str
    label: str | None
    crowd: str | None
    difficult: str | None
    names: tuple[str, ...]

    def columns(self, example: Mapping) -> dict[str, np.ndarray]:
        """Return what is kept of an example: how many rows it has, and each row."""
        objects = example[self.key]
        boxes = np.asarray(objects[self.box], np.float32).reshape(-1, 4)
        count = len(boxes)
        marks = {name: getattr(self, name) for name in ("crowd", "difficult")}
        return {
            "rows": np.array([count], np.int32),
            "boxes": boxes,
            "labels": np.zeros(count, np.int32)
            if self.label is None
            else np.asarray(objects[self.label], np.int32).reshape(count),
        } | {
            name: np.zeros(count, bool) if key is None else np.asarray(objects[key]).reshape(count) == 1
            for name, key in marks.items()
        }


def has_boxes(builder) -> bool:
    """Tell whether a feature of this builder is a sequence of objects with boxes."""
    return bool(_fitting(builder))


def box_feature(builder, key: str | None) -> BoxFeature:
    """Return where the boxes of this builder are.

    Args:
        builder: of tensorflow-datasets.
        key: the feature asked for, `None` for the only one.

    Raises:
        DataError: there is none, there are several and none was asked for, or its objects have several
            boxes or classes.
    """
    fitting = _fitting(builder)
    if key is None and len(fitting) == 1:
        (key,) = fitting
    if key not in fitting:
        raise DataError(
            f"`boxes_key` must name a feature of {builder.info.full_name} that is a sequence of objects with "
            f"a box each. It has: {', '.join(fitting) or 'none'} (all features: "
            f"{', '.join(builder.info.features)}). Received: {key!r}."
        )
    parts = fitting[key]
    boxes, labels = _of_type(parts, "BBoxFeature"), _of_type(parts, "ClassLabel")
    if len(boxes) > 1 or len(labels) > 1:
        raise DataError(
            f"The objects of {key!r} in {builder.info.full_name} have several boxes or classes each "
            f"({', '.join(boxes + labels)}); which is meant cannot be told. Write it as a table and use "
            f"`box_csv`."
        )
    return BoxFeature(
        key=key,
        box=boxes[0],
        label=labels[0] if labels else None,
        crowd=next((name for name in _CROWD if name in parts), None),
        difficult=next((name for name in _DIFFICULT if name in parts), None),
        names=tuple(parts[labels[0]].names) if labels else (key,),
    )


def load_packed_boxes(
    sources: Sequence[Source],
    tables: Mapping[str, Mapping[str, np.ndarray]],
    names: Sequence[str],
    settings: BoxSettings,
    origin: str,
    title: str,
) -> VisionData:
    """Make a `VisionData` of packed images and what `BoxFeature.columns` says of them.

    Args:
        sources: the images of all splits, one split behind the other.
        tables: for each split its columns: `rows` of each image, and `boxes`, `labels`, `crowd`, `difficult`
            of all rows.
        names: of the classes.
        settings: the arguments of the loader.
        origin: what the data were made from.
        title: what to call an image, before its number.

    Raises:
        BadAnnotationError: as for `load_boxes`.
        DataError: a split has no box at all, or as for `load_boxes`.
    """
    images: list[Annotated] = []
    for split, table in tables.items():
        if not len(table["boxes"]):
            raise DataError(
                f"The {split} split of {origin} has no boxes: they are not published, or this is not the "
                f"right feature. Pass `splits` without it, or another `boxes_key`."
            )
        ends = np.cumsum(table["rows"])
        for start, end in zip(ends - table["rows"], ends, strict=True):
            images.append(_annotated(table, slice(start, end), names, split, f"{title} #{len(images)}"))
    return load_boxes(images, settings, origin=origin, known=names, sources=sources)


class _Words(Sequence):
    """What to call the objects of an image in messages; made only when asked for."""

    def __init__(self, labels: Sequence[str]):
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> str:
        return f"object {index + 1} ({self.labels[index] or 'no class'})"


def _annotated(
    table: Mapping[str, np.ndarray], rows: slice, names: Sequence[str], split: str, name: str
) -> Annotated:
    numbers = table["labels"][rows]
    labels = tuple(names[i] if 0 <= i < len(names) else "" for i in numbers)
    return Annotated(
        source=name,  # the images themselves are handed over beside
        name=name,
        file=name,
        boxes=table["boxes"][rows][:, [1, 0, 3, 2]].astype(np.float64),
        labels=labels,
        objects=_Words(labels),
        relative=True,
        crowd=table["crowd"][rows],
        difficult=table["difficult"][rows],
        split=split,
        faults={
            i: Fault(f"has no class (label {numbers[i]})", "class") for i, n in enumerate(labels) if not n
        },
    )


def _fitting(builder) -> dict[str, Mapping]:
    """Return the features that are sequences of objects with a box, and what each object has."""
    parts = {key: getattr(feature, "feature", None) for key, feature in builder.info.features.items()}
    parts = {key: part for key, part in parts.items() if hasattr(part, "items")}
    return {key: dict(part.items()) for key, part in parts.items() if _of_type(part, "BBoxFeature")}


def _of_type(parts: Mapping, kind: str) -> list[str]:
    return [name for name, part in parts.items() if type(part).__name__ == kind]
