"""What the degradation experiment leaves: the curves of each network, read from `results.json`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kerasvision.errors import KerasvisionError, RunError
from kerasvision.files import read_json

FORMAT, KIND, RESULTS = 1, "degradation", "results.json"
COLUMNS = (
    "epoch",
    "learning_rate",
    "training_loss",
    "training_error",
    "test_loss",
    "test_error",
    "seconds",
)
# A network whose training error is not that far below the error of guessing has learned nothing.
LEARNED = 0.02


@dataclass(frozen=True)
class NetworkCurves:
    """One network of a study.

    Attributes:
        name: the name of its folder: network, and what differs from He initialisation with BatchNorm.
        network: name in `kerasvision.models`.
        initializer: `"he_normal"` or `"glorot_uniform"`.
        batch_norm: whether it has BatchNorm.
        parameters: weights, those of BatchNorm statistics included; None before it has begun.
        epochs: passes that were planned.
        status: `"training"`, `"trained"` or `"diverged"`.
        history: a row an epoch: epoch, learning_rate, training_loss and training_error (measured while
            training, on augmented images and with the statistics of the batch, as in the paper), test_loss
            and test_error (of the network as it is after the epoch), seconds. Errors are in [0, 1].
        guessing: the error on the training images of always answering the most frequent class.
        diverged: epoch and step, from 1, at which the loss was not finite; None if it always was.
        clean_training_error: after the last epoch, on the training images as they are, with the network as it
            predicts; None before.
        clean_training_loss: the same for the loss.
    """

    name: str
    network: str
    initializer: str
    batch_norm: bool
    epochs: int
    guessing: float
    status: str = "training"
    parameters: int | None = None
    history: tuple[Mapping, ...] = ()
    diverged: Mapping | None = None
    clean_training_error: float | None = None
    clean_training_loss: float | None = None

    @property
    def training_errors(self) -> list[float]:
        """Training error of each epoch, in [0, 1]."""
        return [row["training_error"] for row in self.history]

    @property
    def test_errors(self) -> list[float]:
        """Test error after each epoch, in [0, 1]."""
        return [row["test_error"] for row in self.history]

    @property
    def family(self) -> str:
        """The network's name without its depth, for example `"plainnet"`."""
        return re.sub(r"\d+$", "", self.network)

    @property
    def depth(self) -> int | None:
        """The number at the end of the network's name, for example 56."""
        found = re.search(r"\d+$", self.network)
        return int(found[0]) if found else None

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        if self.status == "diverged":
            return f"diverged in epoch {self.diverged['epoch']}, step {self.diverged['step']}"
        if self.status == "training":
            return f"at epoch {len(self.history)} of {self.epochs}"
        if min(self.training_errors) > self.guessing - LEARNED:
            return "trained, learned nothing"
        return "trained"


@dataclass(frozen=True)
class DegradationStudy:
    """The experiment on a folder: curves, a table, a figure and a page.

    Attributes:
        folder: where it lies.
        curves: one value a network, in the order in which they were asked for.
        held_out: the split that test errors are of, `"test"` or `"validation"`.
        record: arguments, data and versions.
    """

    folder: Path
    curves: tuple[NetworkCurves, ...]
    held_out: str
    record: Mapping

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "DegradationStudy":
        """Read a study, finished or not.

        Raises:
            RunError: the folder holds none, or it is damaged.
        """
        record = read_results(folder)
        if record is None:
            raise RunError(f"{os.fspath(folder)} holds no degradation study: {RESULTS} is not there.")
        curves = tuple(
            NetworkCurves(name=name, **{**facts, "history": tuple(facts["history"])})
            for name, facts in record["networks"].items()
        )
        kept = {key: value for key, value in record.items() if key != "networks"}
        return cls(Path(folder), curves, record["held_out"], kept)

    @property
    def finished(self) -> bool:
        """Whether every network was trained to the end, or diverged."""
        return all(curve.status != "training" for curve in self.curves)

    def __getitem__(self, name: str) -> NetworkCurves:
        """Return the curves of a network by the name of its folder."""
        found = {curve.name: curve for curve in self.curves}
        if name not in found:
            raise KerasvisionError(f"`name` must be one of {', '.join(found)}. Received: {name!r}.")
        return found[name]

    def table(self) -> list[dict]:
        """Return one row a network; errors of the last epoch in [0, 1], None where there are none."""
        return [_row(curve) for curve in self.curves]

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What the figures say about depth and shortcuts, one sentence for each pair that can be compared."""
        from kerasvision.recipes.degradation_page import findings

        return findings(self.curves)

    def __str__(self) -> str:
        lines = [_line(row) for row in [dict(zip(_HEADER, _HEADER, strict=True)), *self.table()]]
        return "\n".join([*lines, *self.findings])

    def _repr_html_(self) -> str:
        from kerasvision.recipes.degradation_page import notebook_page

        return notebook_page(self)


_HEADER = (
    "name",
    "parameters",
    "epochs",
    "training_error",
    "clean_training_error",
    "test_error",
    "minutes",
    "outcome",
)


def _row(curve: NetworkCurves) -> dict:
    last = curve.history[-1] if curve.history else {}
    values = (
        curve.name,
        curve.parameters,
        len(curve.history),
        last.get("training_error"),
        curve.clean_training_error,
        last.get("test_error"),
        round(sum(row["seconds"] for row in curve.history) / 60, 1),
        curve.outcome,
    )
    return dict(zip(_HEADER, values, strict=True))


def _line(row: Mapping) -> str:
    cells = [f"{v:.1%}" if "error" in k and isinstance(v, float) else v for k, v in row.items()]
    cells = ["-" if cell is None else str(cell) for cell in cells]
    width = 34
    rest = "  ".join(f"{cell:>{len(name)}}" for cell, name in zip(cells[1:-1], _HEADER[1:-1], strict=True))
    return f"{cells[0]:{width}}  {rest}  {cells[-1]}"


def read_results(folder: str | os.PathLike) -> dict | None:
    """Return `results.json` of a folder, or None where there is none.

    Raises:
        RunError: it is damaged, of another kind, or of a newer format.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except KerasvisionError as error:
        raise RunError(f"{error} This study cannot be gone on with; choose a new folder.") from None
    if not isinstance(record, dict) or record.get("kind") != KIND or "networks" not in record:
        raise RunError(f"{path} is not that of a degradation study. Choose another folder (`out`).")
    if record.get("format", 0) > FORMAT:
        raise RunError(
            f"{path} has format {record['format']}, this version of kerasvision reads up to {FORMAT}. "
            "Update kerasvision."
        )
    return record
