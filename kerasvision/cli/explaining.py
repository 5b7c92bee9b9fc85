"""`kerasvision explain …`: experiments that show what a network's modules are good for."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_facts
from kerasvision.cli.reading import read_data

app = typer.Typer(no_args_is_help=True, help="Show what the modules of a network are good for.")

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A run folder, a .keras file, or a name of `kerasvision models`."),
]
Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder with a folder of images for each class, or a CSV.")
]
Weights = Annotated[str, typer.Option(help="For a network by name: imagenet, or a weights file.")]
Preprocessing = Annotated[
    str | None,
    typer.Option(help="For weights that do not say how pixels are prepared: torch, caffe, tf or zero_one."),
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="For a model that is no run: a text file with a class a line, in the model's order."),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images at a time; by default by their size.")]


@app.callback()
def experiments() -> None:
    """Show what the modules of a network are good for."""


@app.command()
def lesions(
    model: Model,
    data: Data,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder, created: results.json, report.html and the plots.")
    ],
    weights: Weights = "imagenet",
    preprocessing: Preprocessing = None,
    class_names: ClassNames = None,
    split: Annotated[
        str | None, typer.Option(help="By default test, else validation, else all images.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="How many to measure on.")] = 2000,
    counts: Annotated[
        str, typer.Option(help="How many random modules to delete together: 1-20, or 1,2,5.")
    ] = "1-20",
    repeats: Annotated[int, typer.Option(min=1, help="Random choices for each number.")] = 10,
    swaps: Annotated[str, typer.Option(help="How many pairs change places.")] = "1-4,6,8,11,15,20",
    permutations: Annotated[int, typer.Option(min=1, help="Random orders for each number.")] = 5,
    gradient_samples: Annotated[
        int, typer.Option(min=0, help="Random paths for each path length; 0 leaves this out.")
    ] = 256,
    batch_size: BatchSize = None,
    seed: Annotated[int, typer.Option(help="Of all choices.")] = 0,
    form: FormatOption = Format.table,
) -> None:
    """Delete and permute the modules of a trained network and see how it fares; nothing is trained.

    Interrupted in any way, the same command goes on where it was.

    For example:

    - `kerasvision explain lesions runs/flowers photos/ lesions/`

    - `kerasvision explain lesions resnet56 cifar/ lesions/ --weights resnet56.safetensors --counts 1-10`
    """
    from kerasvision.recipes import lesion_study

    opened = open_model(model, weights, preprocessing, class_names)
    study = lesion_study(
        opened,
        _read(opened, data, validation_fraction=0.0),
        out,
        split=split,
        images=images,
        counts=numbers(counts, "counts"),
        repeats=repeats,
        swaps=numbers(swaps, "swaps"),
        permutations=permutations,
        gradient_samples=gradient_samples,
        batch_size=batch_size,
        seed=seed,
    )
    each = study.each
    if form is Format.table:
        from kerasvision.recipes.lesions_page import findings

        show_facts(
            {"images": each.images, "error": each.baseline, "report": str(study.folder / "report.html")}
        )
        typer.echo()
        for sentence in findings(study):
            typer.echo(sentence.replace("`", "").replace("\u00a0", " "))
        typer.echo()
    show([_row(module) for module in each.modules], form)


@app.command()
def prune(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder, created: model.keras, pruning.json.")],
    weights: Weights = "imagenet",
    preprocessing: Preprocessing = None,
    class_names: ClassNames = None,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Accuracy that may be lost; 0.01 is one point.")
    ] = 0.01,
    split: Annotated[str, typer.Option(help="Images to choose the modules by.")] = "validation",
    validation_fraction: Annotated[
        float, typer.Option(help="Share of the images to choose by, where the folder has no splits.")
    ] = 0.2,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the split: that of the training.")] = 0,
    form: FormatOption = Format.table,
) -> None:
    """Remove the residual modules that a network can do without, and save the smaller network.

    The chosen images decide, so they flatter it a little: judge it with others. `train classifier --model
    OUT/model.keras --strategy finetune` goes on from it, `evaluate OUT/model.keras` judges it.

    For example:

    - `kerasvision explain prune runs/flowers photos/ smaller/ --max-drop 0.02`
    """
    from kerasvision.explain import prune_blocks
    from kerasvision.files import make_folder, write_json
    from kerasvision.recipes.opening import in_order
    from kerasvision.recipes.run_folder import PREPROCESSING, refuse_foreign, save_model, write_labels

    opened = open_model(model, weights, preprocessing, class_names)
    found = in_order(opened, _read(opened, data, validation_fraction=validation_fraction, seed=seed))
    out = make_folder(out)
    refuse_foreign(out)
    pruned = prune_blocks(opened.model, found, max_drop=max_drop, split=split, batch_size=batch_size)
    save_model(out, pruned.model)
    write_labels(out, found.class_names)
    write_json(out / PREPROCESSING, found.preprocessing.to_dict())
    write_json(out / "pruning.json", pruned.to_dict())
    if form is Format.table:
        typer.echo(str(pruned))
        return
    show(pruned.to_dict()["steps"], form)


def open_model(text: str, weights: str, preprocessing: str | None = None, class_names: Path | None = None):
    """Return the classifier of a run folder, of a .keras file, or of a network by name with its weights.

    Raises:
        ValueError: it is none of these; the closest names are in the message.
    """
    from kerasvision.recipes.opening import OpenedClassifier, open_classifier

    names = _lines(class_names) if class_names else None
    path = Path(text)
    if path.exists() or path.suffix == ".keras" or path.name != text:
        opened = open_classifier(path)
        return replace(opened, labels=names) if names else opened
    from kerasvision.models import pretrained

    return OpenedClassifier(pretrained(text, weights, preprocessing=preprocessing), names)


def _lines(file: Path) -> tuple[str, ...]:
    """Return the lines of a text file that are not empty."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(
            f"{file} cannot be read as text: {error}", param_hint="--class-names"
        ) from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _read(opened, path: Path, **settings):
    """Return the data of a folder or CSV, read as a classifier needs them."""
    from kerasvision.recipes.opening import reading_of

    return read_data(path, cache=False, **reading_of(opened), **settings)


def numbers(text: str, option: str) -> list[int]:
    """Return the whole numbers that a text such as "1-4,6,8" names.

    Raises:
        BadParameter: it is something else.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if match is None:
            raise typer.BadParameter(
                f"{text!r} is no list of numbers such as 1-4,6,8.", param_hint=f"--{option}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < 10_000:
            raise typer.BadParameter(
                f"{part.strip()!r} must go upwards, and not to 10,000.", param_hint=f"--{option}"
            )
        found += range(first, last + 1)
    return found


def _row(module) -> dict:
    return {
        "module": module.name,
        "shortcut": module.shortcut,
        "downsampling": "yes" if module.downsampling else "no",
        "error": module.error,
    }
