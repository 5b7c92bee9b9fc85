"""Checkpoints: one atomic file with everything that a training needs to go on.

Each file is a NumPy archive whose members carry check sums, so that a damaged file is noticed when it is
read and the one before it takes its place.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasvision.errors import RunError
from kerasvision.files import make_folder, write_atomically
from kerasvision.progress import say

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], facts: Mapping) -> None:
    """Write named arrays and facts (JSON) as one file, atomically."""
    encoded = np.frombuffer(json.dumps(dict(facts)).encode(), np.uint8)
    with write_atomically(path) as file:
        np.savez(file, **{"facts": encoded}, **{f"array/{name}": value for name, value in arrays.items()})


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `write_arrays` wrote.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            facts = json.loads(bytes(archive["facts"]).decode())
            return {k[6:]: archive[k] for k in archive.files if k.startswith("array/")}, facts
    except DAMAGED as error:
        raise RunError(f"{os.fspath(path)} is damaged ({error}).") from None


class Checkpoints:
    """The checkpoints of one training phase in a folder: the last two, and the best that they refer to.

    Args:
        folder: where they lie; created.
        phase: name of the phase, part of the file names.
    """

    def __init__(self, folder: str | os.PathLike, phase: str):
        self.folder, self.phase = make_folder(folder), phase
        for path in self.folder.glob(f".{phase}-*.part"):  # of a write that was killed
            path.unlink(missing_ok=True)

    def save(self, step: int, arrays: Mapping[str, np.ndarray], facts: Mapping) -> None:
        """Write the checkpoint of a step and delete those before the last two.

        `facts["best"]`, where it is there, is the name of the best file; the best files that the kept
        checkpoints refer to are kept too.
        """
        write_arrays(self.folder / f"{self.phase}-{step:08d}.npz", arrays, facts)
        kept = self.files()[-2:]
        for path in self.files()[:-2]:
            path.unlink(missing_ok=True)
        wanted = {facts.get("best")} | {_best_of(path) for path in kept[:-1]}
        for path in self.folder.glob(f"{self.phase}-best-*.npz"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def save_best(self, epoch: int, arrays: Mapping[str, np.ndarray], facts: Mapping) -> str:
        """Write the best weights so far; returns the file's name for `facts["best"]`."""
        name = f"{self.phase}-best-{epoch:05d}.npz"
        write_arrays(self.folder / name, arrays, facts)
        return name

    def best(self, name: str) -> dict[str, np.ndarray]:
        """Read the best weights."""
        return read_arrays(self.folder / name)[0]

    def newest(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """Return arrays and facts of the newest checkpoint that is whole, with its best file whole too.

        A damaged one is reported and passed over. None: there is none, the phase begins anew.
        """
        for path in reversed(self.files()):
            try:
                arrays, facts = read_arrays(path)
                if facts.get("best"):
                    self.best(facts["best"])
                return arrays, facts
            except RunError as error:
                say(f"{error} Going back to the checkpoint before it.")
        return None

    def clear(self) -> None:
        """Delete all checkpoints of the phase."""
        for path in self.folder.glob(f"{self.phase}-*.npz"):
            path.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return the checkpoints, the newest last."""
        return sorted(self.folder.glob(f"{self.phase}-{'[0-9]' * 8}.npz"))


def _best_of(path: Path) -> str | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return json.loads(bytes(archive["facts"]).decode()).get("best")
    except DAMAGED:
        return None
