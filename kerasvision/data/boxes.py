"""Boxes of one image as a value, and what they become in the resized image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import DataError
from kerasvision.metrics.box_geometry import box_areas

# Share of a box that must be left when `resize="crop"` cuts the edges off; below it the object can hardly be
# recognised, and asking for it would teach noise.
LEAST_VISIBLE = 0.25


@dataclass(frozen=True, eq=False, repr=False)
class ImageBoxes:
    """What is annotated on one image, in pixels of the upright original.

    Args:
        size: (height, width) of the original image.
        boxes: (n, 4) float64 xyxy: left, top, right, bottom; the first pixel begins at 0 and ends at 1.
        labels: (n,) int32, indices into the class names.
        crowd: (n,) bool, groups of objects (COCO's `iscrowd`) that neither train nor count; by default none.
        difficult: (n,) bool, VOC's mark: they train and do not count in VOC AP; by default none.
        segments: per box, COCO polygons or RLE or `None`; `None` where there are none at all.
        extras: per box, what else its format says of it.

    Raises:
        DataError: shapes do not fit.
    """

    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray | None = None
    difficult: np.ndarray | None = None
    segments: tuple | None = None
    extras: tuple[Mapping, ...] | None = None

    def __post_init__(self):
        boxes = np.asarray(self.boxes, np.float64)
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
        count = len(boxes)
        values = {"labels": np.asarray(self.labels, np.int32).reshape(-1)}
        for name in ("crowd", "difficult"):
            mark = getattr(self, name)
            values[name] = np.zeros(count, bool) if mark is None else np.asarray(mark, bool).reshape(-1)
        lengths = {len(value) for value in values.values()}
        lengths |= {len(value) for value in (self.segments, self.extras) if value is not None}
        if boxes.shape != (count, 4) or lengths != {count}:
            raise DataError(
                f"`boxes` must have shape (n, 4), and all that is said of them the length n. Received: "
                f"{boxes.shape} and lengths {sorted(lengths)}."
            )
        for name, value in {"boxes": boxes, **values}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"ImageBoxes({len(self)} boxes on {self.size[0]} x {self.size[1]} pixels)"

    @classmethod
    def empty(cls, size: tuple[int, int]) -> "ImageBoxes":
        """Return the value of an image (height, width) without any box."""
        return cls(size, np.zeros((0, 4)), np.zeros(0, np.int32))

    def take(self, which: np.ndarray) -> "ImageBoxes":
        """Return some of the boxes, by indices or a mask (n,)."""
        indices = np.arange(len(self))[np.asarray(which)] if len(which) else np.zeros(0, np.int64)
        pick = lambda items: None if items is None else tuple(items[i] for i in indices)  # noqa: E731
        return replace(
            self,
            boxes=self.boxes[indices],
            labels=self.labels[indices],
            crowd=self.crowd[indices],
            difficult=self.difficult[indices],
            segments=pick(self.segments),
            extras=pick(self.extras),
        )


class BoxTargets:
    """The boxes of a split in pixels of the resized image, in batches of one shape.

    Args:
        boxes: of every image of the split.
        preprocessing: how the images are resized.

    Attributes:
        most: boxes a row: the largest number of boxes on an image of the split, and at least 1.
    """

    def __init__(self, boxes: Sequence[ImageBoxes], preprocessing: Preprocessing):
        """Count the boxes; they are placed when a batch is asked for."""
        self.boxes, self.preprocessing = boxes, preprocessing
        self.most = max((len(one) for one in boxes), default=0) or 1

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Return the targets of these images: boxes (b, most, 4), classes (b, most), crowd (b, most)."""
        count = len(indices)
        batch = {
            "boxes": np.zeros((count, self.most, 4), np.float32),
            "classes": np.full((count, self.most), -1, np.int32),
            "crowd": np.zeros((count, self.most), bool),
        }
        for row, index in enumerate(indices):
            placed, kept = place_boxes(self.boxes[int(index)], self.preprocessing)
            one = self.boxes[int(index)]
            batch["boxes"][row, : len(placed)] = placed
            batch["classes"][row, : len(placed)] = one.labels[kept]
            batch["crowd"][row, : len(placed)] = one.crowd[kept]
        return batch


def place_boxes(one: ImageBoxes, preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Move boxes to where their objects are in the resized image.

    Only `resize="crop"` can lose any: those of which less than a quarter is left.

    Args:
        one: n boxes in pixels of the original.
        preprocessing: how the image is resized.

    Returns:
        (k, 4) float64 xyxy in pixels of the resized image, cut at its edges, and (k,) int, which boxes these
        are.
    """
    placed = preprocessing.place_boxes(one.boxes, one.size)
    height, width = preprocessing.image_size
    cut = np.clip(placed, 0, [width, height, width, height])
    if preprocessing.resize != "crop":
        return cut, np.arange(len(one))
    whole = np.maximum(box_areas(placed), 1e-9)
    kept = np.flatnonzero((box_areas(cut) >= LEAST_VISIBLE * whole) & (box_areas(cut) > 0))
    return cut[kept], kept


def box_counts(boxes: Sequence[ImageBoxes], classes: int) -> np.ndarray:
    """Return how many boxes there are of each class, (classes,) int; crowds do not count."""
    counts = np.zeros(classes, np.int64)
    for one in boxes:
        counts += np.bincount(one.labels[~one.crowd], minlength=classes)
    return counts


def rarest_labels(boxes: Sequence[ImageBoxes], classes: int) -> np.ndarray:
    """Return for each image the class on it that has the fewest boxes in all, -1 where there is no box.

    It is what splits are stratified by: a class with few boxes then comes into every split.
    """
    order = np.argsort(np.argsort(box_counts(boxes, classes), kind="stable"), kind="stable")
    labels = (one.labels[~one.crowd] for one in boxes)
    return np.array([there[np.argmin(order[there])] if len(there) else -1 for there in labels], np.int32)
