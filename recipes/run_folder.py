"""The files of a run folder: their names, how they are written, and when a run can be gone on with."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from kerasvision.errors import KerasvisionError, RunError
from kerasvision.files import read_json, write_atomically, write_csv, write_json

FORMAT = 1
CLASSIFIER, DETECTOR, SEGMENTER, EMBEDDER = "classifier", "detector", "segmenter", "embedder"
RECIPES = {
    CLASSIFIER: "train_classifier",
    DETECTOR: "train_detector",
    SEGMENTER: "train_segmenter",
    EMBEDDER: "train_face_embedder",
}
RECORD, MODEL, LABELS = "run.json", "model.keras", "labels.txt"
PREPROCESSING, METRICS, HISTORY = "preprocessing.json", "metrics.json", "history.csv"
REPORT, SAMPLES, MISTAKES = "report.html", "samples.npz", "mistakes.npz"
EXAMPLES = "examples.npz"
CERTIFICATES, CHECKPOINTS, CACHE = "certificates", "checkpoints", "cache"
COLUMNS = (
    "phase",
    "epoch",
    "learning_rate",
    "strength",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "seconds",
)
DETECTOR_COLUMNS = ("phase", "epoch", "learning_rate", "loss", "val_loss", "val_ap50", "val_ap", "seconds")
SEGMENTER_COLUMNS = (
    "phase",
    "epoch",
    "learning_rate",
    "loss",
    "val_loss",
    "val_mean_iou",
    "val_pixel_accuracy",
    "seconds",
)
EMBEDDER_COLUMNS = (
    "phase",
    "epoch",
    "learning_rate",
    "loss",
    "active",
    "spread",
    "dimensions",
    "positive_distance",
    "negative_distance",
    "val_loss",
    "val_true_accept_rate",
    "val_eer",
    "val_auc",
    "seconds",
)
PACKAGES = ("kerasvision", "tensorflow", "tensorflow-cpu", "keras", "numpy", "ai-edge-litert", "pillow")


def read_record(folder: str | os.PathLike, kind: str | None = CLASSIFIER) -> dict | None:
    """Return `run.json` of a folder, or None where there is none.

    Args:
        folder: the run folder.
        kind: that the run must be of, one of `RECIPES`; None: any of them.

    Raises:
        RunError: it is damaged, or of another kind or a newer format.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    try:
        record = read_json(path)
    except KerasvisionError as error:
        raise RunError(f"{error} This run cannot be gone on with; train in a new folder.") from None
    kinds = RECIPES if kind is None else (kind,)
    if not isinstance(record, dict) or record.get("kind") not in kinds or "arguments" not in record:
        whose = f"a {kind}'s run" if kind else "a run"
        raise RunError(f"{path} is not that of {whose}. Choose another folder (`out`).")
    if record.get("format", 0) > FORMAT:
        raise RunError(
            f"{path} has format {record['format']}, this version of kerasvision reads up to {FORMAT}. "
            "Update kerasvision."
        )
    return record


def recipe_names(kind: str | None) -> str:
    """Return the recipe that makes runs of a kind, for messages; all of them where it is None."""
    return f"`{RECIPES[kind]}`" if kind else " or ".join(f"`{name}`" for name in RECIPES.values())


def new_record(arguments: Mapping, data, kind: str = CLASSIFIER) -> dict:
    """Return the record of a run that begins now."""
    return {
        "format": FORMAT,
        "kind": kind,
        "status": "training",
        "created": now(),
        "arguments": plain(arguments),
        "decided": {},
        "seed": arguments["seed"],
        "data": {
            "origin": data.origin,
            "fingerprint": data.fingerprint(),
            "class_names": list(data.class_names),
            "image_size": list(data.image_size),
            "images": {split: len(part.labels) for split, part in data.splits.items()},
            "counts": data.counts,
            "skipped": [str(error) for error in data.skipped],
            "notes": list(getattr(data, "notes", ())),
        },
        "versions": versions(),
        "seconds": {},
    }


def write_record(folder: Path, record: Mapping) -> None:
    """Write `run.json`."""
    write_json(folder / RECORD, record)


def is_same(record: Mapping, arguments: Mapping, data) -> bool:
    """Tell whether a run was begun with these arguments and data."""
    return record["arguments"] == plain(arguments) and record["data"]["fingerprint"] == data.fingerprint()


def check_same(folder: Path, record: Mapping, arguments: Mapping, data) -> None:
    """Refuse to go on with a run that was begun with other arguments or data.

    Raises:
        RunError: naming each argument, old and new.
    """
    old, new = record["arguments"], plain(arguments)
    changed = [f"`{k}` {_shown(old.get(k))} -> {_shown(new[k])}" for k in new if old.get(k) != new[k]]
    if changed:
        raise RunError(
            f"{folder} holds a run with other arguments: {', '.join(changed)}. Call it with the old ones to "
            "go on, or train in a new folder."
        )
    before, fingerprint = record["data"], data.fingerprint()
    if before["fingerprint"] != fingerprint:
        raise RunError(
            f"The data are not those that the run in {folder} began with: {_data_change(before, data)}. Put "
            "them back to go on, or train in a new folder."
        )


def _shown(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _data_change(before: Mapping, data) -> str:
    if before["class_names"] != list(data.class_names):
        return f"classes {', '.join(before['class_names'])} -> {', '.join(data.class_names)}"
    if before["image_size"] != list(data.image_size):
        return f"`image_size` {tuple(before['image_size'])} -> {tuple(data.image_size)}"
    old, new = ({s: sum(c.values()) for s, c in counts.items()} for counts in (before["counts"], data.counts))
    if old != new:
        return f"numbers of images {_counts(old)} -> {_counts(new)}"
    return "files, their contents, their labels or the way they are resized have changed"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in counts.items())


def versions() -> dict[str, str]:
    """Return the versions of what took part."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def plain(value):
    """Return a value as JSON would give it back."""
    return json.loads(json.dumps(value, default=_as_plain))


def _as_plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value)


def write_history(folder: Path, rows: Sequence[Mapping], columns: Sequence[str] = COLUMNS) -> None:
    """Write `history.csv`."""
    cells = ([_cell(row.get(column)) for column in columns] for row in rows)
    write_csv(folder / HISTORY, columns, cells)


def _cell(value) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_history(folder: Path) -> list[dict]:
    """Read `history.csv`; empty cells are None."""
    import csv

    with open(folder / HISTORY, encoding="utf-8", newline="") as file:
        return [{k: _value(k, v) for k, v in row.items()} for row in csv.DictReader(file)]


def _value(column: str, text: str):
    if text == "":
        return None
    if column == "phase":
        return text
    return int(text) if column == "epoch" else float(text)


def write_labels(folder: Path, labels: Sequence[str]) -> None:
    """Write `labels.txt`, one class a line."""
    with write_atomically(folder / LABELS, "w") as file:
        file.writelines(f"{label}\n" for label in labels)


def refuse_foreign(out: Path, what: str | None = None) -> None:
    """Refuse a folder that holds somebody's files.

    Args:
        out: the folder.
        what: that could have been gone on with, had it been there.

    Raises:
        RunError: naming some of the files.
    """
    foreign = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    if foreign:
        missing = f" but no {what}" if what else ""
        raise RunError(
            f"`out` {out} holds files{missing}: {', '.join(foreign[:5])}. Choose a new or empty folder."
        )


def remove_half_written(folder: Path) -> None:
    """Remove the temporary files of writes that were killed; only for whoever holds the folder's lock."""
    for pattern in (".*.part", ".*.part.keras"):
        for path in folder.rglob(pattern):
            path.unlink(missing_ok=True)


def save_model(folder: Path, model) -> None:
    """Write `model.keras` atomically."""
    staged = folder / f".{MODEL.removesuffix('.keras')}.part.keras"
    try:
        model.save(staged)
        os.replace(staged, folder / MODEL)
    finally:
        staged.unlink(missing_ok=True)
