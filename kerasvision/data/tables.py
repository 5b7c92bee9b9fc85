"""A CSV file of paths and labels as a `VisionData`."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.labelled_loading import LabelSettings, load_labelled
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.reading import Found
from kerasvision.data.table_text import choose_delimiter, read_table_text
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
# How pandas writes `str` of a missing value. A class may really be called so, therefore it is only noted.
_MISSING = ("nan", "NaN", "<NA>")
_WORDS = {"classify": "label", "embed": "identity"}


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    path: str
    label: str
    split: str


def image_csv(
    file: str | os.PathLike,
    *,
    folder: str | os.PathLike | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    image_size: int | tuple[int, int] = 224,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Read photos that a CSV file lists, one a line, with a header: `path,label` and, if wanted, `split`.

    Args:
        file: UTF-8, with commas, semicolons or tabs.
        folder: what relative paths start from; by default the folder of the file.
        path_column: name of the column with paths.
        label_column: name of the column with class names.
        split_column: name of the column with train, validation (val) or test; it may be missing.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), where the file names no validation images.
        test_fraction: share for the test split, in [0, 1), where the file names no test images.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        on_bad_file: `"raise"` or `"skip"`, as for `image_folder`.
        cache: as for `image_folder`.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` whose labels are numbered by the sorted class names.

    Raises:
        DataError: the file or a column is missing, a line has no label or one value too many, a path is
            listed twice, …
        BadImageError: (when read) an image cannot be used; the message names the file.
    """
    settings = LabelSettings(
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
    columns = {"path": path_column, "label": label_column, "split": split_column}
    return load_table(file, folder, columns, settings)


def load_table(
    file: str | os.PathLike,
    folder: str | os.PathLike | None,
    columns: Mapping[str, str],
    settings: LabelSettings,
) -> VisionData:
    """Read photos that a CSV file lists with their classes or identities, as `image_csv` describes it.

    Args:
        file: the CSV file.
        folder: what relative paths start from; by default the folder of the file.
        columns: `"path"`, `"label"` and `"split"` -> the column.
        settings: the arguments of the loader.

    Raises:
        DataError: as for `image_csv`; for identities: one of them is in two splits.
    """
    found, names, notes = list_table(file, folder, columns, settings.task)
    origin = str(Path(file).expanduser().absolute())
    return load_labelled(found, names, settings, origin=origin, notes=notes)


def list_table(
    file: str | os.PathLike, folder: str | os.PathLike | None, columns: Mapping[str, str], task: str
) -> tuple[Found, list[str], list[str]]:
    """Return the images that a CSV file lists, the names of their labels, and notes.

    Args:
        file: the CSV file.
        folder: what relative paths start from; by default the folder of the file.
        columns: `"path"`, `"label"` and `"split"` -> the column.
        task: `"classify"`, or `"embed"` where validation and test have other labels than training.

    Raises:
        DataError: as for `image_csv`.
    """
    table = Path(file).expanduser()
    rows = _read(table, columns, _WORDS[task])
    root = str(Path(folder).expanduser().absolute() if folder is not None else table.absolute().parent)
    names = sorted({row.label for row in rows})
    number = {name: i for i, name in enumerate(names)}
    found = Found(
        paths=[os.path.normpath(os.path.join(root, row.path)) for row in rows],
        names=[row.path for row in rows],
        labels=np.array([number[row.label] for row in rows], np.int32),
        splits=_splits(table, rows),
    )
    _check(table, rows, found)
    if found.splits is not None and task == "classify":
        _check_splits(table, rows, found.splits)
    return found, names, _missing_labels(rows)


def _read(table: Path, columns: Mapping[str, str], word: str) -> list[_Row]:
    text = read_table_text(table)
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=choose_delimiter(text, {columns["path"], columns["label"]})
    )
    try:
        reader.fieldnames = _header(table, reader.fieldnames or (), columns, word)
        rows = [_row(table, reader.line_num, values, columns, word) for values in reader]
    except csv.Error as error:
        raise DataError(
            f"{table}, line {reader.line_num}: {error}. Is a quotation mark missing, there or above?"
        ) from None
    if not rows:
        raise DataError(f"`file` {table} lists no images: there is nothing below the header.")
    return rows


def _header(table: Path, names: Sequence[str], columns: Mapping[str, str], word: str) -> list[str]:
    header = [name.strip() for name in names]
    for wanted in (columns["path"], columns["label"]):
        if wanted not in header:
            raise DataError(
                f"`file` {table} has no column {wanted!r}. Its first line says: "
                f"{listed(header, 20) or 'nothing'}. {_how_to_name(header, columns, word)}"
            )
    for wanted in columns.values():
        if header.count(wanted) > 1:
            raise DataError(
                f"`file` {table} has {header.count(wanted)} columns {wanted!r}. Rename all but one."
            )
    return header


def _how_to_name(header: Sequence[str], columns: Mapping[str, str], word: str) -> str:
    who = _WORDS["embed"]
    if word != who and who in header and columns["path"] in header:
        return (
            f"Its column {who} is for embedders: read it by `identity_csv`, and check it as such "
            f"(`kerasvision check --identities`, or `identities` set)."
        )
    return f"Write a header `path,{word}`, or, in Python, pass `path_column` and `{word}_column`."


def _row(table: Path, line: int, values: Mapping, columns: Mapping[str, str], word: str) -> _Row:
    row = _Row(line, **{name: (values.get(column) or "").strip() for name, column in columns.items()})
    if any(values.get(None, ())):
        raise DataError(
            f"{table}, line {line}: more values than the header has columns. Put what holds a delimiter, "
            f'such as a path with a comma, into "quotation marks".'
        )
    if not row.path or not row.label:
        raise DataError(f"{table}, line {line}: no {'path' if not row.path else word}. Fill it in.")
    return row


def _missing_labels(rows: Sequence[_Row]) -> list[str]:
    found = [row for row in rows if row.label in _MISSING]
    if not found:
        return []
    lines = several(len(found), "line", ("has", "have"))
    return [f"{lines} the class {found[0].label!r}, first line {found[0].line}: is that a missing label?"]


def _splits(table: Path, rows: Sequence[_Row]) -> np.ndarray | None:
    if not any(row.split for row in rows):
        return None
    for row in rows:
        if row.split.lower() not in SPLIT_FOLDERS:
            raise DataError(
                f"{table}, line {row.line}: the split must be train, validation or test. "
                f"Received: {row.split!r}."
            )
    return np.array([SPLIT_FOLDERS[row.split.lower()] for row in rows])


def _check(table: Path, rows: Sequence[_Row], found: Found) -> None:
    first: dict[str, _Row] = {}
    for path, row in zip(found.paths, rows, strict=True):
        other = first.setdefault(path, row)
        if other is not row:
            twice = "" if other.label == row.label else f", as {other.label!r} and {row.label!r}"
            raise DataError(
                f"{table}, lines {other.line} and {row.line}: {row.path} is listed twice{twice}. Keep "
                f"one line."
            )
    missing = [path for path in found.paths if not os.path.lexists(path)]
    if len(missing) == len(rows):
        raise DataError(
            f"None of the {len(rows)} images in {table} is there, for example {missing[0]}. "
            f"{_how_to_find(rows[0].path)}"
        )


def _how_to_find(path: str) -> str:
    if "://" in path:
        return "Images are not downloaded: do that first, and list the files."
    if "\\" in path and os.sep == "/":
        return "Write the paths with / instead of \\."
    return "Pass `folder`, what relative paths start from."


def _check_splits(table: Path, rows: Sequence[_Row], splits: np.ndarray) -> None:
    trained = {row.label for row, split in zip(rows, splits, strict=True) if split == "train"}
    extra = sorted({row.label for row in rows} - trained)
    if extra:
        raise DataError(
            f"{table} has classes without a training image: {listed(extra)}. A model cannot learn them. Add "
            f"training images, or remove these lines."
        )
