"""A CSV file with a box on each line."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.annotations import Annotated, Fault
from kerasvision.data.box_loading import BoxSettings, load_boxes
from kerasvision.data.box_writing import fresh_folder, outgoing, say_lost, write_image
from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.safe_parsing import inside, number
from kerasvision.data.table_text import read_table_text
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import listed
from kerasvision.errors import BadAnnotationError, DataError
from kerasvision.files import write_csv

CORNERS = ("xmin", "ymin", "xmax", "ymax")
NEEDED = ("path", *CORNERS, "label")
OPTIONAL = ("split", "width", "height", "crowd", "difficult")


def box_csv(
    file: str | os.PathLike,
    *,
    folder: str | os.PathLike | None = None,
    columns: Mapping[str, str] | None = None,
    class_names: Sequence[str] | None = None,
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
    """Read photos with boxes that a CSV file lists, a box a line, with a header.

    The header is `path,xmin,ymin,xmax,ymax,label`. Corners are pixels from 0, so (0, 0, 640, 480) is all of a
    photo of 640 x 480. A line with a path and nothing else is a photo without boxes. There may be columns
    `split`, `width` and `height` (which are checked), `crowd` and `difficult` (0 or 1). Paths are relative to
    the folder and stay in it.

    Args:
        file: UTF-8, with commas, semicolons or tabs.
        folder: what paths start from; by default the folder of the file.
        columns: our name -> name in the file, for example `{"path": "filename", "label": "class"}`.
        class_names: the classes and their order; by default those found, sorted. A box of another is an
            error.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), where the file names no validation photos.
        test_fraction: share for the test split, in [0, 1), where the file names no test photos.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`; boxes follow it.
        on_bad_file: `"raise"` or `"skip"`, as for `pascal_voc`.
        cache: of decoded pixels, as for `image_folder`.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` of the task `"detect"`.

    Raises:
        BadAnnotationError: a line is no box, a path leads out of the folder, …
        BadImageError: a photo is not there or cannot be read.
        DataError: a column is missing, a photo is in two splits, …
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
    table = Path(file).expanduser().absolute()
    root = Path(folder).expanduser().absolute() if folder is not None else table.parent
    return load_boxes(read_box_csv(table, root, columns), settings, origin=str(table))


def read_box_csv(table: Path, root: Path, columns: Mapping[str, str] | None = None) -> list[Annotated]:
    """Read all annotations of a CSV file, good or bad.

    Raises:
        DataError: a column is missing, a split is unknown, or a photo is in two.
        BadAnnotationError: a path leads out of the folder, or there is none.
    """
    names = {name: name for name in (*NEEDED, *OPTIONAL)} | dict(columns or {})
    wrong = set(names) - {*NEEDED, *OPTIONAL}
    if wrong:
        may = listed([*NEEDED, *OPTIONAL], 20)
        raise DataError(f"`columns` may rename {may}. Received: {sorted(wrong)}.")
    images: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in _rows(table, names):
        path = inside(row["path"], f"line {line}: the path", table)
        images.setdefault(path, []).append((line, row))
    if not images:
        raise DataError(f"`file` {table} lists no images: there is nothing below the header.")
    return [_annotated(table, root, path, rows) for path, rows in images.items()]


def is_box_csv(table: Path) -> bool:
    """Tell by its header whether a CSV file lists boxes."""
    try:
        header = read_table_text(table).partition("\n")[0].lower()
    except DataError:
        return False
    return all(corner in header for corner in CORNERS)


def _rows(table: Path, names: Mapping[str, str]) -> list[tuple[int, dict[str, str]]]:
    text = read_table_text(table)
    first = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True
    )
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [names[name] for name in NEEDED if names[name] not in header]
    if missing:
        raise DataError(
            f"`file` {table} has no column {listed(missing)}. Its first line says: {listed(header, 20)}. "
            f"Write a header {','.join(NEEDED)}, or pass `columns`, such as {{'path': 'filename'}}."
        )
    reader.fieldnames = header
    try:
        return [
            (reader.line_num, {ours: (row.get(theirs) or "").strip() for ours, theirs in names.items()})
            for row in reader
        ]
    except csv.Error as error:
        raise DataError(f"{table}, line {reader.line_num}: {error}. Is a quotation mark missing?") from None


def _annotated(table: Path, root: Path, path: str, rows: list[tuple[int, dict[str, str]]]) -> Annotated:
    splits = {row["split"].lower() for _, row in rows}
    line = rows[0][0]
    if len(splits) > 1 or splits - {*SPLIT_FOLDERS, ""}:
        raise DataError(
            f"{table}, line {line}: {path} must be in one of train, validation and test. "
            f"Received: {sorted(splits)}."
        )
    boxed = [(line, row) for line, row in rows if any(row[name] for name in (*CORNERS, "label"))]
    boxes, faults = np.zeros((len(boxed), 4)), {}
    for index, (_, row) in enumerate(boxed):
        try:
            boxes[index] = [number(row[corner], corner, table) for corner in CORNERS]
        except BadAnnotationError as error:
            faults[index] = Fault(error.reason)
        if not row["label"]:
            faults.setdefault(index, Fault("has no label", "class"))
    return Annotated(
        source=str(root / path),
        name=path,
        file=str(table),
        boxes=boxes,
        labels=[row["label"] for _, row in boxed],
        objects=[f"line {line} ({row['label'] or 'no label'})" for line, row in boxed],
        size=_stated_size(table, rows),
        crowd=np.array([_flag(row["crowd"]) for _, row in boxed], bool),
        difficult=np.array([_flag(row["difficult"]) for _, row in boxed], bool),
        split=SPLIT_FOLDERS.get(splits.pop(), ""),
        faults=faults,
    )


def _stated_size(table: Path, rows: list[tuple[int, dict[str, str]]]) -> tuple[int, int] | None:
    line, row = rows[0]
    if not row["width"] or not row["height"]:
        return None
    height, width = (int(number(row[side], f"line {line}: {side}", table)) for side in ("height", "width"))
    return height, width


def _flag(word: str) -> bool:
    return word.lower() in ("1", "true", "yes", "1.0")


def write_box_csv(data: VisionData, folder: str | os.PathLike) -> Path:
    """Write photos and boxes as `boxes.csv` and `images/`.

    Files of photos are copied as they are. Outlines are lost.

    Args:
        data: with boxes.
        folder: empty, or not there yet.

    Returns:
        The CSV file; `box_csv` reads it.

    Raises:
        DataError: the data have no boxes, or there is something in the folder.
    """
    images = outgoing(data)
    root = fresh_folder(folder)
    say_lost(data, "CSV", difficult=False, segments=True)
    rows = []
    for image in images:
        write_image(image, root / "images")
        height, width = image.boxes.size
        path, facts, boxes = f"images/{image.file}", (image.split, width, height), image.boxes
        for index, box in enumerate(boxes.boxes.tolist()):
            corners = [f"{value:.8g}" for value in box]
            marks = int(boxes.crowd[index]), int(boxes.difficult[index])
            rows.append((path, *corners, data.class_names[boxes.labels[index]], *facts, *marks))
        if not len(boxes):
            rows.append((path, "", "", "", "", "", *facts, "", ""))
    write_csv(root / "boxes.csv", (*NEEDED, *OPTIONAL), rows)
    return root / "boxes.csv"
