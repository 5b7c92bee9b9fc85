"""COCO's outlines as label maps: polygons and run lengths of all objects of a photo in one map."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.annotations import NO_CLASS, Annotated, image_fault
from kerasvision.data.coco_files import find_coco, read_coco
from kerasvision.data.headers import upright_sizes
from kerasvision.data.label_maps import LabelMaps, count_labels
from kerasvision.data.mask_loading import (
    SKIPPED,
    MaskedPhotos,
    MaskSettings,
    assemble_masks,
    each_in_threads,
)
from kerasvision.data.outline_filling import fill_segment, segment_area
from kerasvision.data.reading import first_of
from kerasvision.data.segments import segment_fault
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError, KerasvisionError
from kerasvision.metrics.segmentation import VOID


def coco_masks(
    annotations: str | os.PathLike | Mapping[str, str | os.PathLike],
    images: str | os.PathLike | Mapping[str, str | os.PathLike] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    background: str | None = "background",
    **settings,
) -> VisionData:
    """Read photos whose objects are outlined in JSON files in the format of COCO.

    The outlines of a photo, polygons or run lengths, become one label map: a pixel is of the object that
    covers its centre. Where objects overlap, the smaller one is on top, and of equal ones the later one.
    Crowds (`iscrowd`) are void where no object lies. Photos without objects are all background.

    Args:
        annotations: a JSON file, one for each split, or a folder with them, as for `coco`.
        images: the folder that `file_name` starts from, or one for each split, as for `coco`.
        class_names: the classes of objects and their order; by default those of the file. An object of
            another is an error.
        background: name of class 0, what no object covers; `None`: that is void, and there is no such class.
        **settings: as for `masks`: `image_size`, `validation_fraction`, `on_bad_file`, …

    Returns:
        A `VisionData` of the task `"segment"`.

    Raises:
        BadAnnotationError: an object has no outline, or one that is no polygon and no run lengths of its
            photo, …
        BadImageError: a photo is not there or cannot be read.
        DataError: nothing is outlined, or as for `coco`.

    Source: Lin et al., 2014, "Microsoft COCO: Common Objects in Context".

    Example:
        ```python
        data = kv.data.coco_masks("instances_train.json", "photos/", image_size=256)
        ```
    """
    chosen = MaskSettings(**settings)
    if chosen.colours is not None or chosen.void != "auto" or chosen.mask_orientation != "upright":
        raise DataError(
            "`colours`, `void` and `mask_orientation` are for masks in image files, not for outlines."
        )
    files = find_coco(annotations, images)
    read, known = read_coco(files)
    names = _names(class_names, known, background)
    number = {name: i for i, name in enumerate(names)}
    sizes = upright_sizes([one.source for one in read], [one.name for one in read])
    objects, skipped = [], []
    for one, size in zip(read, sizes, strict=True):
        outlines, faults = _outlines(one, size, number, background is not None)
        objects.append(outlines)
        skipped += faults
    if skipped and chosen.on_bad_file == "raise":
        raise first_of(skipped, SKIPPED)
    usable = [i for i, outlines in enumerate(objects) if outlines is not None]
    drawn, wrong, maps = _draw([objects[i] for i in usable], len(names))
    if wrong and chosen.on_bad_file == "raise":
        raise first_of(wrong, SKIPPED)
    kept = [usable[i] for i in drawn]
    if not kept:
        raise DataError(f"No photo of {files[0][1]} has outlines that can be used.")
    photos = MaskedPhotos(
        photos=[read[i].source for i in kept],
        masks=(),
        names=[read[i].name for i in kept],
        splits=[read[i].split for i in kept],
    )
    return assemble_masks(
        photos,
        maps,
        names,
        chosen,
        origin=str(annotations) if not isinstance(annotations, Mapping) else str(files[0][1].parent),
        outside=Path(files[0][2]),
        skipped=(*skipped, *wrong),
        notes=_overlap_note(maps),
    )


def _names(wanted: Sequence[str] | None, known: Sequence[str], background: str | None) -> list[str]:
    if isinstance(wanted, str | Mapping) or (wanted is not None and not len(wanted)):
        raise DataError(f"`class_names` must be a list of names. Received: {wanted!r}.")
    names = list(known if wanted is None else wanted)
    if background is None:
        return names
    return [background, *(name for name in names if name != background)]


@dataclass(frozen=True)
class Outlines:
    """The objects of one photo.

    Args:
        size: (height, width) of the upright photo.
        objects: for each its label and its outline, polygons as arrays or run lengths.
        ground: the label of what no object covers.
        file: the annotation file, for messages.
        called: what to call each object.
    """

    size: tuple[int, int]
    objects: Sequence[tuple[int, object]]
    ground: int
    file: str
    called: Sequence[str]


class OutlineCoding:
    """Draws the label map of a photo from the outlines of its objects."""

    def read(self, source: Outlines, name: str | None = None) -> np.ndarray:
        """Return the label map (H, W) uint8.

        Raises:
            BadAnnotationError: run lengths do not make up the photo.
        """
        label_map = np.full(source.size, source.ground, np.uint8)
        for index in self._order(source):
            label, segment = source.objects[index]
            label_map[fill_segment(segment, source.size)] = label
        return label_map

    @staticmethod
    def _order(source: Outlines) -> list[int]:
        """Return crowds first, then the largest; the order is stable: of equal ones the later is on top."""
        areas = []
        for (_, segment), called in zip(source.objects, source.called, strict=True):
            try:
                areas.append(segment_area(segment, source.size))
            except KerasvisionError as error:
                raise BadAnnotationError(source.file, f"{called} {error}") from None
        return sorted(range(len(areas)), key=lambda i: (source.objects[i][0] != VOID, -areas[i]))

    def facts(self) -> str:
        """Return what tells this coding from others."""
        return "outlines, smaller ones on top"


class OutlineList(Sequence):
    """The outlines of all photos."""

    def __init__(self, photos: Sequence[Outlines]):
        """Hold what is outlined on each photo."""
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Outlines:
        return self.photos[index]

    def fingerprint(self) -> str:
        """Return what tells these outlines from others."""
        digest = hashlib.sha256()
        for one in self.photos:
            digest.update(f"{one.size} {one.ground}".encode())
            for label, segment in one.objects:
                parts = (
                    [str(segment["counts"]).encode()] if isinstance(segment, dict) else map(bytes, segment)
                )
                digest.update(b"".join([f"{label}".encode(), *parts]))
        return digest.hexdigest()


def _outlines(
    one: Annotated, size: tuple[int, int] | BadImageError, number: Mapping[str, int], has_ground: bool
) -> tuple[Outlines | None, list[BadImageError]]:
    """Return what can be drawn of a photo, `None` if nothing is known of it, and what is wrong."""
    if one.problem:
        return None, [BadAnnotationError(one.file, one.problem)]
    if isinstance(size, BadImageError):
        return None, [size]
    if fault := image_fault(one, size):
        return None, [BadAnnotationError(one.file, fault)]
    segments = one.segments or (None,) * len(one.labels)
    objects, called, errors = [], [], []
    every = zip(one.labels, segments, one.crowd, one.objects, strict=True)
    for index, (label, segment, crowd, name) in enumerate(every):
        if segment is None:
            fault = "has no outline (`segmentation`)"
        elif label not in number:
            known = one.faults.get(index)
            fault = known.reason if known and not label else f"has the class {label!r}, {NO_CLASS}"
        else:
            fault = segment_fault(segment, size)
        if fault:
            errors.append(BadAnnotationError(one.file, f"{name} {fault}"))
            continue
        objects.append((VOID if crowd else number[label], _compact(segment)))
        called.append(name)
    if errors:  # an object that is left out would be taught to be background
        return None, errors
    return Outlines(size, objects, 0 if has_ground else VOID, one.file, called), []


def _compact(segment):
    """Return polygons as arrays: lists of numbers take ten times the memory."""
    return segment if isinstance(segment, dict) else [np.asarray(polygon, np.float32) for polygon in segment]


def _draw(photos: Sequence[Outlines], classes: int) -> tuple[list[int], list[BadImageError], LabelMaps]:
    """Draw every map once to count it; return which could be drawn, the errors of the others, the maps."""
    coding = OutlineCoding()
    counted = each_in_threads(
        lambda index: count_labels(coding.read(photos[index]), classes), len(photos), "Drawing masks"
    )
    wrong = [result for result in counted if isinstance(result, BadImageError)]
    good = [index for index, result in enumerate(counted) if not isinstance(result, BadImageError)]
    maps = LabelMaps(
        sources=OutlineList([photos[i] for i in good]),
        pixels=np.array([counted[i][0] for i in good], np.int64).reshape(-1, classes),
        void=np.array([counted[i][1] for i in good], np.int64),
        coding=coding,
    )
    return good, wrong, maps


def _overlap_note(maps: LabelMaps) -> list[str]:
    several_objects = sum(len(one.objects) > 1 for one in maps.sources.photos)
    photos = several(several_objects, "photo", ("has", "have"))
    return (
        [f"{photos} several objects: where they overlap, the smaller is on top."] if several_objects else []
    )
