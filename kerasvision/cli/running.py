"""`kerasvision evaluate` and `kerasvision predict`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli import detecting, embedding, segmenting
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
            help="Folder with a folder of images for each class, or a CSV; for a detector images with boxes, "
            "for a segmenter images with masks, for an embedder a folder for each identity, as for `train`.",
        ),
    ],
    split: Annotated[
        str | None, typer.Option(help="By default test, else validation, else all images.")
    ] = None,
    on_bad_file: OnBadFile = "raise",
    mode: segmenting.Mode = None,
    overlap: segmenting.Overlap = None,
    flip: segmenting.Flip = None,
    scales: segmenting.Scales = None,
    masks: segmenting.Masks = None,
    class_names: segmenting.ClassNames = None,
    colours: segmenting.Colours = None,
    void: segmenting.Void = None,
    mask_orientation: segmenting.MaskOrientation = None,
    annotations: segmenting.Annotations = None,
    form: FormatOption = Format.table,
) -> None:
    """Judge a run or an exported file on new images: accuracy, AP50, mean IoU or true accepts, and details.

    For example:

    - `kerasvision evaluate runs/flowers more_photos/`

    - `kerasvision evaluate runs/flowers photos/ --split test --format json`

    - `kerasvision evaluate phone/model.tflite more_photos/`

    - `kerasvision evaluate runs/roads more_roads/ --void 11`
    """
    opened = _opened(run)
    viewing = _viewing(opened, run, mode=mode, overlap=overlap, flip=flip, scales=scales)
    told = segmenting.told(class_names, colours, void, mask_orientation)
    told |= {} if masks is None else {"masks": masks}
    told |= {} if annotations is None else {"annotations": annotations}
    found = _read(opened, run, data, on_bad_file, told)
    split = split or next(s for s in ("test", "validation", "train") if s in found.splits)
    judgement = opened.evaluate(found, split, **viewing)
    shows = {"boxes": detecting, "labels": segmenting, "embeddings": embedding}
    if _finds(opened) in shows:
        shows[_finds(opened)].show_judgement(judgement, split, len(found.splits) > 1, form)
        return
    if form is Format.json:
        show_facts({"split": split} | judgement.to_dict(), form)
        return
    if form is Format.table:
        show_facts(({"split": split} if len(found.splits) > 1 else {}) | _summary(judgement))
        typer.echo()
    show([_class_row(scores) for scores in judgement.per_class], form)


def _read(opened, run: Path, data: Path, on_bad_file: str, told: dict):
    """Return the `VisionData` to judge on; `told`, how masks are read, is refused where there are none."""
    if _finds(opened) != "labels":
        for name in told:
            _refuse(f"--{name.replace('_', '-')}", told, f"{run} reads no masks")
    if _finds(opened) in ("labels", "embeddings"):
        return opened.read(data, on_bad_file=on_bad_file, **told)
    read = _read_boxes if _finds(opened) == "boxes" else read_data
    settings = opened.preprocessing.to_dict()
    return read(data, validation_fraction=0.0, cache=False, on_bad_file=on_bad_file, **settings)


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
            help="Detectors: least score of a box; if not given, that with the best F1 of each class. "
            "Embedders: largest distance of two images of one identity; if not given, that of the run.",
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the images with what was found here. Detectors, segmenters."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the label maps here, as PNG files. Segmenters."),
    ] = None,
    mode: segmenting.Mode = None,
    overlap: segmenting.Overlap = None,
    flip: segmenting.Flip = None,
    scales: segmenting.Scales = None,
    on_bad_file: OnBadFile = "raise",
    form: FormatOption = Format.table,
) -> None:
    """Say what is on images, by a run or by an exported file; of an embedder, which of them are the same.

    A .tflite file is run as a phone would run it, without TensorFlow.

    For example:

    - `kerasvision predict runs/flowers new.jpg`

    - `kerasvision predict phone/model.tflite holiday/ --top 3 --format csv`

    - `kerasvision predict runs/cells smears/ --draw found/`

    - `kerasvision predict runs/roads new/ --draw found/ --save maps/ --flip`

    - `kerasvision predict runs/faces a.jpg b.jpg`
    """
    opened = _opened(run)
    viewing = _viewing(opened, run, mode=mode, overlap=overlap, flip=flip, scales=scales)
    if _finds(opened) != "labels":
        _refuse("--save", save, f"{run} finds no label maps")
    if _finds(opened) not in ("boxes", "embeddings"):
        _refuse("--threshold", threshold, f"{run} finds no boxes and compares nothing")
    if _finds(opened) == "embeddings":
        _refuse("--top", top, f"{run} compares images")
        _refuse("--draw", draw, f"{run} compares images, and finds nothing to draw")
        embedding.verify_images(opened, images, threshold, on_bad_file, form)
        return
    if _finds(opened) == "boxes":
        _refuse("--top", top, f"{run} finds boxes. `--threshold` says which")
        detecting.predict_boxes(opened, images, threshold, draw, on_bad_file, form)
        return
    if _finds(opened) == "labels":
        _refuse("--top", top, f"{run} says a class of each pixel")
        segmenting.predict_labels(opened, images, draw, save, on_bad_file, form, viewing)
        return
    _refuse("--draw", draw, f"{run} is a classifier, which finds nothing to draw")
    top = top or 1
    predictions = opened.predict(images, top=top, on_bad_file=on_bad_file)
    columns = ("image", *(("rank",) if top > 1 else ()), "label", "probability")
    show([row for prediction in predictions for row in _rows(prediction, top)], form, columns)


def _finds(opened) -> str:
    """Return what a run or file finds: "boxes", "labels" (of pixels), "embeddings" or "classes"."""
    return getattr(opened, "finds", "classes")


def _viewing(opened, run: Path, **options) -> dict:
    """Return how photos are shown to a segmenter, as arguments of its functions; refused for others."""
    if _finds(opened) != "labels":
        for name, value in options.items():
            _refuse(f"--{name}", value, f"{run} finds no label maps")
    return segmenting.viewing(**options) if _finds(opened) == "labels" else {}


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
