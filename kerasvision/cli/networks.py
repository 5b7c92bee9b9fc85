"""`kerasvision models`."""

from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_facts
from kerasvision.errors import KerasvisionError

# What is too long for a column; `kerasvision models NAME` and the other forms of output show it in full.
SHORT_SOURCES = {
    "https://keras.io/api/applications/": "keras.io",
    "https://pytorch.org/vision/stable/models.html": "torchvision",
}
TASKS = ("classify", "detect")
SHORT_WEIGHTS = {"hf://": "hf", "https://": "file"}


def models(
    name: Annotated[str | None, typer.Argument(help="Show all that is known about this one.")] = None,
    task: Annotated[
        str, typer.Option(help="classify, or detect: what `train detector --model` takes.")
    ] = "classify",
    form: FormatOption = Format.table,
) -> None:
    """List the networks that `--model` and `--backbone` take, or show one with its paper.

    Parameters are in millions; multiply-adds in billions, for one image of the native size (px). Top-1 and
    top-5 are what was published, in per cent, on the source's own test set and with its own protocol.
    Weights: `imagenet` is that of keras.applications, `hf` lies on the Hugging Face hub, `file` is to be
    downloaded; `kerasvision models NAME` says from where.
    """
    from kerasvision.detection import detector_table, list_detectors
    from kerasvision.models import entry, list_models, summary_table

    if task not in TASKS:
        raise KerasvisionError(f"`--task` must be one of {', '.join(TASKS)}. Received: {task!r}.")
    if name in list_detectors():
        return show_facts(next(row for row in detector_table() if row["name"] == name), form)
    if name is not None:
        return show_facts(_facts(entry(name)), form)
    if task == "detect":
        return show(detector_table(), form)
    wanted = set(list_models(task))
    rows = [row for row in summary_table() if row["name"] in wanted]
    if form is Format.json:
        return show(rows, form)
    rows = [{**row, "weights": ", ".join(row["weights"]) or None} for row in rows]
    return show([_short(row) for row in rows] if form is Format.table else rows, form)


def _short(row: dict) -> dict:
    """Return a row that fits a terminal."""
    return {
        "name": row["name"],
        "year": row["year"],
        "parameters M": round(row["parameters"] / 1e6, 2),
        "multiply-adds G": row["multiply_adds"] and round(row["multiply_adds"] / 1e9, 3),
        "px": row["native_size"],
        "top-1": row["top_1"],
        "top-5": row["top_5"],
        "source": _short_source(row["source"]),
        "weights": row["weights"] and ", ".join(_short_weights(part) for part in row["weights"].split(", ")),
    }


def _short_source(source: str | None) -> str | None:
    if source is None or source in SHORT_SOURCES:
        return SHORT_SOURCES.get(source)
    return "paper" if source.startswith("https://") else "docstring"


def _short_weights(name: str) -> str:
    """Return `hf://timm/vgg16.tv_in1k` as `hf`, an address as `file`: which one, the details say."""
    return next((short for start, short in SHORT_WEIGHTS.items() if name.startswith(start)), name)


def _facts(known) -> dict:
    options = ", ".join(f"{option}={value!r}" for option, value in known.options.items())
    return {
        "name": known.name,
        "builder": f"kerasvision.models.{known.built_by.split(':')[1]}({options})",
        "tasks": ", ".join(known.tasks),
        "classes": known.classes,
        "parameters": known.parameters,
        "multiply_adds": known.multiply_adds,
        "native_size": known.native_size,
        "minimum_size": known.minimum_size,
        "preprocessing": known.preprocessing,
        "weights": ", ".join(known.weights) or None,
        "top_1": known.top_1,
        "top_5": known.top_5,
        "source": known.accuracy_source,
        "year": known.year,
        "paper": known.paper,
    }
