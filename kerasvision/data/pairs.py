"""Files of pairs as LFW has them: who is compared with whom, in which fold."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.safe_parsing import brief
from kerasvision.data.table_text import read_table_text
from kerasvision.errors import DataError

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of photos, each of one person or of two.

    Attributes:
        first: N names of photos, `person/person_0001`, without suffix.
        second: N names of the photos that they are compared with.
        same: (N,) bool, whether both show one person.
        fold: (N,) int, the fold of each pair, from 0.
        lines: (N,) int, where each pair is in the file, from 1.
        path: the file.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    same: np.ndarray
    fold: np.ndarray
    lines: np.ndarray
    path: str

    def __len__(self) -> int:
        return len(self.first)

    @property
    def people(self) -> frozenset[str]:
        """Everyone who is on a pair."""
        return frozenset(name.split("/")[0] for name in (*self.first, *self.second))

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Return where the photos of the pairs are in a list of names, such as `data.files["test"]`.

        Args:
            names: paths that end in `person/person_0001.jpg`, with any suffix.

        Returns:
            (N, 2) int.

        Raises:
            DataError: a photo is not among them, or is there twice; the message names it and the line.
        """
        places: dict[str, int] = {}
        for index, name in enumerate(names):
            stem = "/".join(os.path.splitext(name)[0].split("/")[-2:])
            if stem in places:
                raise DataError(
                    f"{names[places[stem]]} and {name} are both {stem} of {self.path}. Keep one of them."
                )
            places[stem] = index
        for first, second, line in zip(self.first, self.second, self.lines.tolist(), strict=True):
            for name in (first, second):
                if name not in places:
                    raise DataError(
                        f"{self.path}, line {line}: the photo {name} is not among the {len(names):,} images. "
                        f"Is it the right folder and complete, and could the photo be read?"
                    )
        pairs = zip(self.first, self.second, strict=True)
        return np.array([(places[first], places[second]) for first, second in pairs], np.int64).reshape(-1, 2)


def read_pairs(file: str | os.PathLike) -> Pairs:
    """Read a file of pairs in the form of Labeled Faces in the Wild.

    The first line holds the number of folds and of pairs of each kind in a fold (`pairs.txt`: 10 and 300), or
    the latter alone (`pairsDevTrain.txt`, `pairsDevTest.txt`: one fold). Then, fold by fold, come that many
    lines `person n m` for two photos of one person, and as many `person n person m` for photos of two. Photo
    n of a person is `person/person_000n`.

    Args:
        file: UTF-8, with tabs or spaces; names of people have none.

    Returns:
        The pairs, in the order of the file.

    Raises:
        DataError: the file is not there, or a line is not as it must be; the message gives its number.

    Huang, Ramesh, Berg, Learned-Miller, Labeled Faces in the Wild, 2007 (view 1 and view 2).
    """
    path = Path(file).expanduser()
    lines = [(number, line.split()) for number, line in enumerate(read_table_text(path).splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    folds, size = _header(path, lines)
    rows = [(number, *_pair(path, number, words)) for number, words in lines[1:]]
    if len(rows) != 2 * folds * size:
        raise DataError(
            f"{path} must have {2 * folds * size:,} pairs below its first line, {size:,} of one person and "
            f"as many of two in each of {folds} folds. Received: {len(rows):,}. Is the file complete?"
        )
    same = np.array([kind for *_, kind in rows], bool)
    fold = np.arange(len(rows)) // (2 * size)
    _check_kinds(path, rows, same, size)
    return Pairs(
        first=tuple(row[1] for row in rows),
        second=tuple(row[2] for row in rows),
        same=same,
        fold=fold,
        lines=np.array([row[0] for row in rows], np.int64),
        path=str(path),
    )


def _header(path: Path, lines: list[tuple[int, list[str]]]) -> tuple[int, int]:
    words = lines[0][1] if lines else []
    if len(words) not in (1, 2) or not all(_NUMBER.fullmatch(word) for word in words):
        raise DataError(
            f"{path}, line {lines[0][0] if lines else 1}: the first line must be the number of folds and of "
            f"pairs of each kind in a fold, as `10 300`, or the latter alone. Received: "
            f"{brief(' '.join(words)) if words else 'nothing'}."
        )
    return (1, int(words[0])) if len(words) == 1 else (int(words[0]), int(words[1]))


def _pair(path: Path, number: int, words: list[str]) -> tuple[str, str, bool]:
    """Return the names of the two photos, and whether they are of one person."""
    numbers = words[1::2] if len(words) == 4 else words[1:]
    if len(words) not in (3, 4) or not all(_NUMBER.fullmatch(word) for word in numbers):
        raise DataError(
            f"{path}, line {number}: a pair is written `person n m` (two photos of one person) or `person n "
            f"person m` (photos of two), with numbers from 1. Received: {brief(' '.join(words))}."
        )
    people = (words[0], words[-2]) if len(words) == 4 else (words[0], words[0])
    names = [f"{who}/{who}_{int(photo):04d}" for who, photo in zip(people, numbers, strict=True)]
    if len(words) == 4 and people[0] == people[1]:
        raise DataError(
            f"{path}, line {number}: both photos are of {brief(people[0])}. Write `person n m` for a pair of "
            f"one person."
        )
    if names[0] == names[1]:
        raise DataError(f"{path}, line {number}: a photo is compared with itself. Name two photos.")
    return names[0], names[1], len(words) == 3


def _check_kinds(path: Path, rows: Sequence[tuple], same: np.ndarray, size: int) -> None:
    """Refuse a fold that has not as many pairs of one person as of two."""
    for fold, start in enumerate(range(0, len(rows), 2 * size), 1):
        alike = int(same[start : start + 2 * size].sum())
        if alike != size:
            first, last = rows[start][0], rows[start + 2 * size - 1][0]
            raise DataError(
                f"{path}, lines {first} to {last}: fold {fold} must have {size:,} pairs of one person and "
                f"{size:,} of two. Received: {alike:,} and {2 * size - alike:,}."
            )
