"""`kerasvision evaluate` and `kerasvision predict`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli import detecting
from kerasvision.cli.output import Format, FormatOption, show, show_facts
from kerasvision.cli.reading import read_data
from kerasvision.errors import KerasvisionError

OnBadFile = Annotated[
    str, typer.Option(help="raise, or skip: images that cannot be read are listed and left out.")
]


Opened = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run folder, or a file: .tflite, .onnx, .keras, SavedModel."),
]


def evaluate(
    run: Opened,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with a folder of images for each class, or a CSV; for a detector, images with boxes "
            "as for `train detector`.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="By default test, else validation, else all images.")
    ] = None,
    on_bad_file: OnBadFile = "raise",
    form: FormatOption = Format.table,
) -> None:
    """Judge a run or an exported file on new images: accuracy or AP50 with its interval, and each class.

    For example:

    - `kerasvision evaluate runs/flowers more_photos/`

    - `kerasvision evaluate runs/flowers photos/ --split test --format json`

    - `kerasvision evaluate phone/model.tflite more_photos/`
    """
    opened = _opened(run)
    settings = opened.preprocessing.to_dict()
    read = _read_boxes if _finds_boxes(opened) else read_data
    found = read(data, validation_fraction=0.0, cache=False, on_bad_file=on_bad_file, **settings)
    split = split or next(s for s in ("test", "validation", "train") if s in found.splits)
    judgement = opened.evaluate(found, split)
    if _finds_boxes(opened):
        detecting.show_judgement(judgement, split, len(found.splits) > 1, form)
        return
    if form is Format.json:
        show_facts({"split": split} | judgement.to_dict(), form)
        return
    if form is Format.table:
        show_facts(({"split": split} if len(found.splits) > 1 else {}) | _summary(judgement))
        typer.echo()
    show([_class_row(scores) for scores in judgement.per_class], form)


def _summary(judgement) -> dict:
    low, high = judgement.accuracy_interval
    facts = {
        "images": judgement.count,
        "accuracy": f"{judgement.accuracy:.1%} ({low:.1%} to {high:.1%})",
        "calibration error": f"{judgement.calibration_error:.1%}",
    }
    return facts | ({"top 5": f"{judgement.top_5:.1%}"} if judgement.top_5 is not None else {})


def _class_row(scores) -> dict:
    return {
        "class": scores.name,
        "precision": scores.precision,
        "recall": scores.recall,
        "f1": scores.f1,
        "images": scores.support,
    }


def predict(
    run: Opened,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES", help="Images, folders, or patterns such as 'new/*.jpg'."),
    ],
    top: Annotated[
        int | None, typer.Option(min=1, help="How many answers for each image; 1 if not given. Classifiers.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Least score of a box; if not given, that with the best F1 of each class. Detectors.",
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the images with their boxes here. Detectors."),
    ] = None,
    on_bad_file: OnBadFile = "raise",
    form: FormatOption = Format.table,
) -> None:
    """Say what is on images, by a run or by an exported file.

    A .tflite file is run as a phone would run it, without TensorFlow.

    For example:

    - `kerasvision predict runs/flowers new.jpg`

    - `kerasvision predict phone/model.tflite holiday/ --top 3 --format csv`

    - `kerasvision predict runs/cells smears/ --draw found/`
    """
    opened = _opened(run)
    if _finds_boxes(opened):
        _refuse("--top", top, f"{run} finds boxes. `--threshold` says which")
        detecting.predict_boxes(opened, images, threshold, draw, on_bad_file, form)
        return
    _refuse("--threshold", threshold, f"{run} is a classifier, which finds no boxes")
    _refuse("--draw", draw, f"{run} is a classifier, which finds no boxes")
    top = top or 1
    predictions = opened.predict(images, top=top, on_bad_file=on_bad_file)
    columns = ("image", *(("rank",) if top > 1 else ()), "label", "probability")
    show([row for prediction in predictions for row in _rows(prediction, top)], form, columns)


def _finds_boxes(opened) -> bool:
    return hasattr(opened, "draw")


def _refuse(option: str, value, why: str) -> None:
    if value is not None:
        raise KerasvisionError(f"`{option}` does not go with this run: {why}.")


def _read_boxes(data: Path, **settings):
    from kerasvision.data import read_boxes

    return read_boxes(data, **settings)


def _opened(path: Path):
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        from kerasvision.recipes import Run

        return Run.load(path)
    from kerasvision.recipes.exported import open_exported

    return open_exported(path)


def _rows(prediction, top: int) -> list[dict]:
    """Return one row for each answer; the rank only where there can be several."""
    return [
        {"image": prediction.name}
        | ({"rank": rank} if top > 1 else {})
        | {"label": label, "probability": round(probability, 6)}
        for rank, (label, probability) in enumerate(prediction.top[:top], 1)
    ]
