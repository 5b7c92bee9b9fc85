"""What the writers of all box formats share: a folder of their own, and images under safe names."""

import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.decoding import FORMATS, Source
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.errors import DataError
from kerasvision.files import explain_os_error, make_folder
from kerasvision.progress import say

SHORT = {"train": "train", "validation": "val", "test": "test"}  # as VOC, COCO and YOLO call them
_SUFFIX = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "GIF": ".gif"}
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Outgoing:
    """One image on its way into a folder.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        stem: name without suffix, unlike that of any other image.
        suffix: such as `".jpg"`.
        source: where its pixels come from.
        boxes: in pixels of the upright image.
    """

    split: str
    stem: str
    suffix: str
    source: Source
    boxes: ImageBoxes

    @property
    def file(self) -> str:
        """Name with suffix."""
        return self.stem + self.suffix


def outgoing(data: VisionData) -> Iterator[Outgoing]:
    """Return the images of all splits, each with a file name of its own.

    Raises:
        DataError: the data have no boxes.
    """
    check_boxes(data)
    return _outgoing(data)


def _outgoing(data: VisionData) -> Iterator[Outgoing]:
    taken: Counter = Counter()
    for split in (split for split in SPLITS if split in data.splits):
        part = data.splits[split]
        for index, (name, boxes) in enumerate(zip(part.names, part.boxes, strict=True)):
            source = part.sources[index]
            stem, suffix = _safe_name(name, source)
            taken[stem.casefold()] += 1
            while taken[stem.casefold()] > 1:  # file systems of laptops do not tell capitals apart
                stem = f"{stem}_{taken[stem.casefold()]}"
                taken[stem.casefold()] += 1
            yield Outgoing(split, stem, suffix, source, boxes)


def check_boxes(data: VisionData) -> None:
    """Refuse data that have no boxes."""
    if not isinstance(data, VisionData) or data.task != "detect":
        what = f"task {data.task!r}" if isinstance(data, VisionData) else type(data).__name__
        raise DataError(f"`data` must be a `VisionData` of the task 'detect', with boxes. Received: {what}.")


def fresh_folder(folder: str | os.PathLike) -> Path:
    """Create a folder to write into.

    Raises:
        DataError: something lies in it already.
        KerasvisionError: it cannot be created.
    """
    path = make_folder(Path(folder).expanduser())
    if any(path.iterdir()):
        raise DataError(f"`folder` {path} must be empty, as nothing is written over. Choose another.")
    return path


def write_image(image: Outgoing, folder: Path) -> None:
    """Put an image into a folder: files and encoded images byte for byte, arrays as PNG."""
    target = folder / image.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(image.source, bytes):
            target.write_bytes(image.source)
        elif isinstance(image.source, np.ndarray):
            Image.fromarray(image.source).save(target)
        else:
            shutil.copyfile(image.source, target)
    except OSError as error:
        raise explain_os_error(error, target) from error


def say_lost(data: VisionData, format_name: str, *, crowd: str = "", difficult: bool, segments: bool) -> None:
    """Say what of the annotations a format cannot hold.

    Args:
        data: what is written.
        format_name: for people.
        crowd: what becomes of crowds, if they are not written as such.
        difficult: whether the mark is lost.
        segments: whether outlines are lost.
    """
    boxes = [one for part in data.splits.values() for one in part.boxes]
    lost = {
        f"crowds ({crowd})": crowd and sum(int(one.crowd.sum()) for one in boxes),
        "marks of difficult boxes": difficult and sum(int(one.difficult.sum()) for one in boxes),
        "outlines": segments and sum(s is not None for one in boxes for s in one.segments or ()),
    }
    words = [f"{count:,} {what}" for what, count in lost.items() if count]
    if words:
        say(f"{format_name} has no place for {' and '.join(words)}.")


def _safe_name(name: str, source: Source) -> tuple[str, str]:
    base = unicodedata.normalize("NFC", str(name)).replace("\\", "/").rpartition("/")[2]
    stem, suffix = os.path.splitext(base)
    if isinstance(source, np.ndarray):
        stem, suffix = base, ".png"
    elif isinstance(source, bytes):
        stem, suffix = base, _suffix_of(source)
    stem = _UNSAFE.sub("_", stem.encode("utf-8", "replace").decode()).strip("_.")[:100]
    return stem or "image", suffix


def _suffix_of(content: bytes) -> str:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        return _SUFFIX.get(image.format, f".{image.format.lower()}")
