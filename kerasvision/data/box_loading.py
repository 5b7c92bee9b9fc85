"""From annotations of any format to a `VisionData` of images with boxes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.annotations import Annotated, image_fault, usable_boxes
from kerasvision.data.assembling import assemble, check_class_names
from kerasvision.data.boxes import ImageBoxes, rarest_labels
from kerasvision.data.decoding import Source
from kerasvision.data.headers import upright_sizes
from kerasvision.data.picking import Picked
from kerasvision.data.pixel_cache import DEFAULT_LIMIT, pixel_cache
from kerasvision.data.preprocessing import Preprocessing, Resize
from kerasvision.data.reading import Found, check_mode, first_of, open_cache, readable, report_skipped
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.progress import say


@dataclass(frozen=True)
class BoxSettings:
    """The arguments that all loaders of boxes share; `pascal_voc` describes them."""

    class_names: Sequence[str] | None = None
    image_size: int | tuple[int, int] = 320
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 0
    batch_size: int = 16
    resize: Resize = "stretch"
    on_bad_file: Literal["raise", "skip"] = "raise"
    cache: bool | str | os.PathLike = "auto"
    cache_limit: int = DEFAULT_LIMIT

    def __post_init__(self):
        check_mode(self.on_bad_file)
        Preprocessing(self.image_size, self.resize)


@dataclass(frozen=True)
class _Usable:
    """Images that stay: which ones, and their boxes."""

    kept: list[int]
    boxes: list[ImageBoxes]
    skipped: list[BadImageError]
    cut: int


def load_boxes(
    images: Sequence[Annotated],
    settings: BoxSettings,
    *,
    origin: str,
    outside: Path | None = None,
    notes: Sequence[str] = (),
    known: Sequence[str] | None = None,
    sources: Sequence[Source] | None = None,
) -> VisionData:
    """Check every image's size and boxes, cut the splits that are not given, and put all together.

    Args:
        images: what is annotated on each image.
        settings: the arguments of the loader.
        origin: what the data were made from.
        outside: a folder of the user in which no cache may lie.
        notes: what the reader noticed.
        known: class names that the format itself lists, in order.
        sources: the images in the same order, where they are not files (those in memory, or packed).

    Raises:
        BadAnnotationError: (`on_bad_file="raise"`) a box or what is said of an image cannot be used.
        BadImageError: (`on_bad_file="raise"`) an image is not there or no image.
        DataError: nothing is left, or as for `assemble`.
    """
    if not images:
        raise DataError(f"No annotated image in {origin}. Is that the right folder?")
    names = choose_class_names(images, settings.class_names, known)
    packed = sources is not None
    sources = sources if packed else [one.source for one in images]
    usable = _usable(images, sources, names, settings.on_bad_file == "raise")
    preprocessing = Preprocessing(settings.image_size, settings.resize)
    found = _found(images, sources, usable)
    store = (packed_cache if packed else file_cache)(settings, found, preprocessing, outside)
    slots, bad = np.arange(len(found.paths)), []
    if settings.on_bad_file == "skip":
        slots, bad = readable(found, preprocessing, store)
    if not len(slots):
        first = [*usable.skipped, *bad][0]
        raise DataError(f"None of the {len(images)} images of {origin} can be used, for example {first}.")
    left_out = (*usable.skipped, *bad)
    notes = (*notes, *_cut_note(usable.cut))
    for note in notes:
        say(note)
    report_skipped(left_out)
    boxes = [usable.boxes[i] for i in slots]
    return assemble(
        sources=Picked(found.paths, slots),
        labels=rarest_labels(boxes, len(names)),
        names=[found.names[i] for i in slots],
        class_names=names,
        preprocessing=preprocessing,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        given=found.splits[slots] if found.splits is not None else None,
        seed=settings.seed,
        batch_size=settings.batch_size,
        origin=origin,
        skipped=left_out,
        notes=notes,
        cache=store,
        slots=slots,
        boxes=boxes,
    )


def file_cache(settings: BoxSettings, found: Found, preprocessing: Preprocessing, outside: Path | None):
    """Return the pixel cache of image files, or `None`."""
    return open_cache(settings.cache, found, preprocessing, settings.cache_limit, outside=outside)


def packed_cache(settings: BoxSettings, found: Found, preprocessing: Preprocessing, outside: Path | None):
    """Return the pixel cache of packed images, or `None`."""
    return pixel_cache(
        settings.cache,
        facts=[found.paths.fingerprint()],
        count=len(found.paths),
        preprocessing=preprocessing,
        encoded_bytes=found.paths.items.size,
        limit=settings.cache_limit,
        outside=outside,
    )


def choose_class_names(
    images: Sequence[Annotated], wanted: Sequence[str] | None = None, known: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the class names: those asked for, or those the format lists, or else those on the boxes, sorted.

    Raises:
        DataError: there are none, or they cannot be told apart.
    """
    if isinstance(wanted, str):
        raise DataError(f"`class_names` must be a list of names. Received: {wanted!r}. Try [{wanted!r}].")
    names = wanted if wanted is not None else known
    if names is None:
        names = sorted({label for one in images for label in one.labels} - {""})
    if not len(names):
        raise DataError("No image has a box, so there are no classes. Check where the annotations are.")
    return check_class_names(list(names), task="detect")


def _usable(
    images: Sequence[Annotated], sources: Sequence[Source], names: Sequence[str], strict: bool
) -> _Usable:
    number = {name: i for i, name in enumerate(names)}
    sizes = upright_sizes(sources, [one.name for one in images])
    kept, kept_boxes, errors, skipped, cut = [], [], [], [], 0
    for index, (one, size) in enumerate(zip(images, sizes, strict=True)):
        boxes, found, beyond = _boxes_of(one, size, number)
        errors += found
        skipped += found
        if boxes is None:
            continue
        if found and not len(boxes):
            skipped.append(
                BadAnnotationError(one.file, "has no box that can be used, so its image is left out")
            )
            continue
        kept.append(index)
        kept_boxes.append(boxes)
        cut += beyond
    if strict and errors:
        raise first_of(errors, "such boxes and images")
    return _Usable(kept, kept_boxes, skipped, cut)


def _boxes_of(
    one: Annotated, size: tuple[int, int] | BadImageError, number: dict[str, int]
) -> tuple[ImageBoxes | None, list[BadImageError], int]:
    if one.problem:
        return None, [BadAnnotationError(one.file, one.problem)], 0
    if isinstance(size, BadImageError):
        return None, [size], 0
    if fault := image_fault(one, size):
        return None, [BadAnnotationError(one.file, fault)], 0
    return usable_boxes(one, size, number)


def _found(images: Sequence[Annotated], sources: Sequence[Source], usable: _Usable) -> Found:
    splits = [images[i].split for i in usable.kept]
    return Found(
        paths=Picked(sources, np.array(usable.kept, np.int64)),
        names=[images[i].name for i in usable.kept],
        labels=np.zeros(len(usable.kept), np.int32),
        splits=np.array(splits) if any(splits) else None,
    )


def _cut_note(count: int) -> list[str]:
    boxes, were = several(count, "box", ("reaches", "reach")), "was" if count == 1 else "were"
    return [f"{boxes} beyond the edge of the image and {were} cut there."] if count else []
