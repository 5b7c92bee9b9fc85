"""Pascal VOC: one XML file a photo, splits in `ImageSets/Main`."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from kerasvision.data.annotations import Annotated, Fault, unusable
from kerasvision.data.box_loading import BoxSettings, load_boxes
from kerasvision.data.box_writing import SHORT, Outgoing, fresh_folder, outgoing, say_lost, write_image
from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.listing import list_images
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.safe_parsing import inside, number, read_xml
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.files import write_atomically
from kerasvision.progress import say

_FLAG = re.compile(r"\s+(-1|0|1)$")
_KEPT = ("pose", "truncated", "occluded")  # what else VOC says of an object, as text


def pascal_voc(
    folder: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    splits: Mapping[str, str] | None = None,
    image_size: int | tuple[int, int] = 320,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Read photos with boxes in the layout of Pascal VOC.

    `Annotations/*.xml` describe the photos of `JPEGImages/`; `ImageSets/Main/train.txt`, `val.txt` and
    `test.txt` list the splits. XML files beside their photos, in one folder or in `train/`, `valid/` and
    `test/`, are read, too. A photo is found by `<filename>`, or else by the name of its XML file. An XML file
    without objects makes a photo without boxes; a photo without an XML file is left out, as nobody may have
    looked at it.

    VOC counts pixels from 1 and means both corners to belong to the box, so (1, 1, 640, 480) is all of a
    photo of 640 x 480. Here that is (0, 0, 640, 480): 1 is taken from xmin and ymin when reading, and added
    when writing.

    Args:
        folder: holds the above. Nothing is written into it.
        class_names: the classes and their order; by default those found, sorted. A box of another is an
            error.
        splits: "train", "validation", "test" -> name of a file in `ImageSets/Main` (without .txt); by default
            those of the usual names, and `trainval` for training where there is no `train`.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), where no such split is given.
        test_fraction: share for the test split, in [0, 1), where no such split is given.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`; boxes follow it.
        on_bad_file: `"raise"`: the first box or file that cannot be used raises. `"skip"`: such boxes and
            files are left out and listed in `.skipped`; all images are read now.
        cache: of decoded pixels, as for `image_folder`.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` of the task `"detect"`.

    Raises:
        BadAnnotationError: a box has no size or lies outside of its photo, a file is broken or tries to do
            harm, …
        BadImageError: a photo is not there or cannot be read.
        DataError: there are no annotations, a split lists what is not there, …

    Source: Everingham et al., 2010, "The Pascal Visual Object Classes (VOC) Challenge".

    Example:
        ```python
        data = kv.data.pascal_voc("bccd/", image_size=320, on_bad_file="skip")
        ```
    """
    settings = BoxSettings(
        class_names=class_names,
        image_size=image_size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
    )
    root = Path(folder).expanduser().absolute()
    images, left_over = read_voc(root, splits)
    notes = _left_over_note(left_over)
    return load_boxes(images, settings, origin=str(root), outside=root, notes=notes)


def read_voc(
    root: Path, splits: Mapping[str, str] | None = None
) -> tuple[list[Annotated], tuple[list[str], list[str]]]:
    """Read all annotations of a folder, good or bad.

    Returns:
        What is annotated, and what is left over: photos without XML, and XML files in no split, both
        relative.

    Raises:
        DataError: there are no XML files, or `splits` names a list that is not there.
    """
    listing = list_images(root)
    files = [name for name in listing.other_files if name.lower().endswith(".xml")]
    if not files:
        raise DataError(
            f"No XML files in {root}. Found: {listing.found()}. Pascal VOC keeps one XML file a photo, in "
            f"`Annotations/` or beside the photos."
        )
    places = _Places(root, listing.images)
    lists = read_image_sets(root, splits)
    images, unlisted = [], []
    for file in sorted(files):
        split = _split_of(file, lists)
        if split is None:
            unlisted.append(file)
            continue
        images.append(_read_file(root, file, places, split))
    images += _missing(root, lists, files)
    used = {one.source for one in images}
    alone = [name for name in listing.images if str(root / name) not in used]
    return images, (alone, unlisted)


class _Places:
    """Where the photos are: by relative path, by file name, and by name without suffix."""

    def __init__(self, root: Path, names: Sequence[str]):
        self.root = root
        self.by_name: dict[str, list[str]] = {}
        for name in names:
            base = name.rpartition("/")[2]
            for key in {name, base, os.path.splitext(base)[0]}:
                self.by_name.setdefault(key, []).append(name)

    def find(self, file: str, wanted: Sequence[str]) -> str | None:
        """Return the photo that an XML file means: the first name that is there, the nearest to it."""
        folder = file.rpartition("/")[0]
        for name in wanted:
            found = self.by_name.get(name, ())
            if found:
                return max(found, key=lambda one: (one.rpartition("/")[0] == folder, _shared(one, file)))
        return None


def _shared(first: str, second: str) -> int:
    """Return how many folders two paths begin with in common."""
    return len(os.path.commonprefix([first.split("/")[:-1], second.split("/")[:-1]]))


def read_image_sets(
    root: Path, splits: Mapping[str, str] | None, task: str = "Main"
) -> dict[str, set[str]] | None:
    """Return the names of photos (without suffix) by split, or `None` where the folder has no lists.

    Raises:
        DataError: `splits` names a list that is not there, or a photo is in two splits.
    """
    folder = root / "ImageSets" / task
    if splits is None:
        there = {path.stem: path for path in sorted(folder.glob("*.txt"))} if folder.is_dir() else {}
        splits = {SPLIT_FOLDERS[name.lower()]: name for name in there if name.lower() in SPLIT_FOLDERS}
        if "train" not in splits and "trainval" in there:
            splits["train"] = "trainval"
            splits.pop("validation", None)  # is part of it
        if not splits:
            return None
    lists = {split: _read_list(folder / f"{name}.txt") for split, name in splits.items()}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        both = sorted(lists.get(first, set()) & lists.get(second, set()))
        if both:
            raise DataError(
                f"{several(len(both), 'photo', ('is', 'are'))} in the {first} and the {second} list of "
                f"{folder}: {listed(both)}. Keep each in one, or choose the lists by `splits`."
            )
    return lists


def _read_list(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        there = [file.stem for file in sorted(path.parent.glob("*.txt"))]
        raise DataError(
            f"`splits` names the list {path}, which is not there. There are: {listed(there) or 'none'}."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error}).") from None
    # Lists of a class have a 1, 0 or -1 behind each name; names themselves may hold spaces.
    return {_FLAG.sub("", line.strip()) for line in lines if line.strip()}


def _split_of(file: str, lists: Mapping[str, set[str]] | None) -> str | None:
    """Return the split of an XML file, `""` where there are none, `None` where the lists leave it out."""
    if lists is None:
        return SPLIT_FOLDERS.get(file.split("/")[0].lower(), "") if "/" in file else ""
    stem = os.path.splitext(file.rpartition("/")[2])[0]
    return next((split for split, names in lists.items() if stem in names), None)


def _missing(root: Path, lists: Mapping[str, set[str]] | None, files: Sequence[str]) -> list[Annotated]:
    there = {os.path.splitext(file.rpartition("/")[2])[0] for file in files}
    return [
        unusable(
            name,
            name,
            str(root / "ImageSets" / "Main"),
            f"lists {name!r} for {split}, but there is no {name}.xml",
            split,
        )
        for split, names in (lists or {}).items()
        for name in sorted(names - there)
    ]


def _read_file(root: Path, file: str, places: _Places, split: str) -> Annotated:
    path = str(root / file)
    stem = os.path.splitext(file.rpartition("/")[2])[0]
    try:
        document = read_xml(path)
        if document.tag != "annotation":
            raise BadAnnotationError(path, f"holds <{document.tag[:60]}> where VOC has <annotation>")
        stated = document.findtext("filename")
        wanted = [stem]
        if stated and stated.strip():
            stated = inside(stated, "<filename>", path)
            base = stated.rpartition("/")[2]
            wanted = [stated, base, stem, os.path.splitext(base)[0]]
        image = places.find(file, wanted)
        if image is None:
            raise BadAnnotationError(
                path, f"describes {(stated or stem)[:200]!r}, but there is no such photo"
            )
        return _annotated(document, str(root / image), image, path, split)
    except BadImageError as error:
        return unusable(path, file, path, error.reason, split)


def _annotated(document: ElementTree.Element, source: str, name: str, path: str, split: str) -> Annotated:
    objects = document.findall("object")
    boxes, faults = np.zeros((len(objects), 4)), {}
    for index, element in enumerate(objects):
        try:
            boxes[index] = _box(element, path)
        except BadAnnotationError as error:
            faults[index] = Fault(error.reason)
            continue
        xmin, ymin, xmax, ymax = boxes[index] + (1, 1, 0, 0)
        if xmax == xmin or ymax == ymin:  # a click without a drag, not an object of one pixel
            where = f"xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax {ymax:g}"
            faults[index] = Fault(f"has no size ({where})", "size")
    labels = [(element.findtext("name") or "").strip() for element in objects]
    faults |= {index: Fault("has no <name>") for index, label in enumerate(labels) if not label}
    return Annotated(
        source=source,
        name=name,
        file=path,
        boxes=boxes,
        labels=labels,
        objects=[f"object {index + 1} ({label or 'no name'})" for index, label in enumerate(labels)],
        size=_stated_size(document, path),
        crowd=np.array([_flag(element, "iscrowd") for element in objects], bool),
        difficult=np.array([_flag(element, "difficult") for element in objects], bool),
        extras=tuple(_extras(element) for element in objects),
        split=split,
        faults=faults,
    )


def _box(element: ElementTree.Element, path: str) -> tuple[float, float, float, float]:
    box = element.find("bndbox")
    if box is None:
        raise BadAnnotationError(path, "has no <bndbox>")
    xmin, ymin, xmax, ymax = (
        number(box.findtext(corner), f"<{corner}>", path) for corner in ("xmin", "ymin", "xmax", "ymax")
    )
    return xmin - 1, ymin - 1, xmax, ymax


def _stated_size(document: ElementTree.Element, path: str) -> tuple[int, int] | None:
    """Return (height, width), or `None` where there is none or a tool wrote 0 for "not known"."""
    size = document.find("size")
    if size is None:
        return None
    height, width = (int(number(size.findtext(side) or 0, f"<{side}>", path)) for side in ("height", "width"))
    return (height, width) if (height, width) != (0, 0) else None


def _flag(element: ElementTree.Element, name: str) -> bool:
    return (element.findtext(name) or "").strip().lower() in ("1", "true", "yes")


def _extras(element: ElementTree.Element) -> dict[str, str]:
    found = ((name, (element.findtext(name) or "").strip()) for name in _KEPT)
    return {name: value for name, value in found if value}


def _left_over_note(left_over: tuple[list[str], list[str]]) -> list[str]:
    alone, unlisted = left_over
    notes = []
    if alone:
        photos = several(len(alone), "photo", ("has", "have"))
        were = "was" if len(alone) == 1 else "were"
        notes.append(f"{photos} no annotation in use and {were} left out: {listed(alone)}.")
    if unlisted:
        files = several(len(unlisted), "XML file", ("is", "are"))
        were = "was" if len(unlisted) == 1 else "were"
        notes.append(f"{files} in no list of ImageSets/Main and {were} left out: {listed(unlisted)}.")
    return notes


def write_pascal_voc(data: VisionData, folder: str | os.PathLike) -> Path:
    """Write photos and boxes as Pascal VOC: `JPEGImages/`, `Annotations/`, `ImageSets/Main/`.

    Files of photos are copied as they are. Corners are rounded to whole pixels, counted from 1 and both
    inside, as VOC does; a box that would vanish by this is made two pixels wide, which is said. Crowds are
    marked by `<iscrowd>`, an element of our own; outlines are lost.

    Args:
        data: with boxes.
        folder: empty, or not there yet.

    Returns:
        The folder; `pascal_voc(folder)` reads it.

    Raises:
        DataError: the data have no boxes, a class name holds what XML cannot, or there is something in the
            folder.
    """
    images = outgoing(data)
    _check_for_xml(data.class_names)
    root = fresh_folder(folder)
    say_lost(data, "Pascal VOC", difficult=False, segments=True)
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / name).mkdir(parents=True)
    lists: dict[str, list[str]] = {split: [] for split in data.splits}
    widened = 0
    for image in images:
        write_image(image, root / "JPEGImages")
        document, made = _document(image, data.class_names)
        widened += made
        with write_atomically(root / "Annotations" / f"{image.stem}.xml") as file:
            file.write(ElementTree.tostring(document, encoding="utf-8"))
        lists[image.split].append(image.stem)
    for split, stems in lists.items():
        with write_atomically(root / "ImageSets" / "Main" / f"{SHORT[split]}.txt", "w") as file:
            file.writelines(f"{stem}\n" for stem in stems)
    if widened:
        say(f"{several(widened, 'box', ('was', 'were'))} widened to two pixels.")
    return root


def _check_for_xml(class_names: Sequence[str]) -> None:
    for name in class_names:
        if any(ord(letter) < 32 or letter in "\ufffe\uffff" for letter in name):
            raise DataError(f"The class name {name!r} holds a character that XML has not. Rename the class.")


def _document(image: Outgoing, class_names: Sequence[str]) -> tuple[ElementTree.Element, int]:
    """Return the XML of an image, and how many of its boxes were widened."""
    document = ElementTree.Element("annotation")
    _add(document, {"folder": "JPEGImages", "filename": image.file})
    height, width = image.boxes.size
    _add(ElementTree.SubElement(document, "size"), {"width": width, "height": height, "depth": 3})
    _add(document, {"segmented": 0})
    widened = 0
    for index, label in enumerate(image.boxes.labels):
        element = ElementTree.SubElement(document, "object")
        extras = image.boxes.extras[index] if image.boxes.extras is not None else {}
        _add(element, {"name": class_names[label]})
        _add(element, {"pose": "Unspecified", "truncated": 0} | {k: extras[k] for k in _KEPT if k in extras})
        _add(element, {"difficult": int(image.boxes.difficult[index])})
        _add(element, {"iscrowd": 1} if image.boxes.crowd[index] else {})
        left, right, wide = _whole_pixels(*image.boxes.boxes[index, [0, 2]], width)
        top, bottom, high = _whole_pixels(*image.boxes.boxes[index, [1, 3]], height)
        box = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
        _add(ElementTree.SubElement(element, "bndbox"), box)
        widened += wide or high
    ElementTree.indent(document)
    return document, widened


def _whole_pixels(low: float, high: float, size: int) -> tuple[int, int, bool]:
    """Return first and last pixel of a span, counted from 1, and whether it had to be widened."""
    first, last = int(np.floor(low + 0.5)) + 1, int(np.floor(high + 0.5))
    if last > first:
        return first, last, False
    first = min(max(1, first), max(1, size - 1))
    return first, first + 1, True


def _add(element: ElementTree.Element, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)
