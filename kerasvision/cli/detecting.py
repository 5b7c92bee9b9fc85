"""What commands do with detectors: `train detector`, and how results with boxes are shown."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_facts

TFDS = "tfds:"  # a data set of tensorflow-datasets instead of a path
COLUMNS = ("image", "label", "score", "left", "top", "right", "bottom")

Data = partial(typer.Option, rich_help_panel="The data")
Training = partial(typer.Option, rich_help_panel="The training")
Details = partial(typer.Option, rich_help_panel="Details of the training")


def detector(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Images with boxes: a folder of Pascal VOC, COCO or YOLO, a COCO JSON, a YOLO YAML, a CSV "
            "with path, xmin, ymin, xmax, ymax, label; or tfds:NAME, such as tfds:voc/2007.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Run folder, created: the detector, its report, and the rest."),
    ],
    image_size: Annotated[int, Data(help="Side in pixels that images are resized to.")] = 320,
    annotations: Annotated[str, Data(help="voc, coco, yolo, csv, or auto: after their look.")] = "auto",
    validation_fraction: Annotated[
        float, Data(help="Share of the images to judge with, where no split is given.")
    ] = 0.2,
    test_fraction: Annotated[float, Data(help="Share of the images for a final test.")] = 0.0,
    resize: Annotated[str, Data(help="stretch, crop or pad.")] = "stretch",
    on_bad_file: Annotated[
        str, Data(help="raise, or skip: images and boxes that are skipped are listed.")
    ] = "raise",
    cache: Annotated[str, Data(help="Decoded pixels on disk: auto, off, or a folder.")] = "auto",
    model: Annotated[
        str, Training(help="retinanet, yolo_v8_xs, yolo_v8_s, yolo_v8_m, yolo_v8_l, ssd300, ssd512, yolo_v1.")
    ] = "yolo_v8_s",
    backbone: Annotated[
        str, Training(help="A name of `kerasvision models`, or none: that of the family.")
    ] = "mobilenet_v2",
    weights: Annotated[
        str, Training(help="Of the backbone: imagenet, none, or a weights file.")
    ] = "imagenet",
    strategy: Annotated[str, Training(help="auto, freeze, finetune or scratch.")] = "auto",
    epochs: Annotated[int | None, Training(help="Passes over the training images.")] = None,
    freeze_epochs: Annotated[
        int | None, Training(help="finetune: how many of them the heads learn alone.")
    ] = None,
    batch_size: Annotated[int, Training(help="Images in a batch.")] = 16,
    learning_rate: Annotated[float | None, Training(help="Highest rate, of the heads.")] = None,
    augment: Annotated[
        str, Training(help="auto, none, light, standard, strong (with mosaic), or names: flip+color.")
    ] = "auto",
    augment_strength: Annotated[float, Training(help="From 0 to 1.")] = 0.5,
    class_balance: Annotated[bool, Training(help="Show images with rare classes more often.")] = False,
    patience: Annotated[int | None, Training(help="Stop after so many epochs without a better AP50.")] = None,
    seed: Annotated[int, Training(help="Of the splits and of all that is random.")] = 0,
    batchnorm: Annotated[str, Details(help="Of the backbone: frozen or train.")] = "frozen",
    weight_decay: Annotated[float, Details(help="Of AdamW.")] = 0.01,
    clip_norm: Annotated[float, Details(help="Largest norm of all gradients together.")] = 10.0,
    mixed_precision: Annotated[str, Details(help="auto, off, mixed_float16 or mixed_bfloat16.")] = "auto",
    ema: Annotated[float, Details(help="Decay of the average of the weights; 0: none.")] = 0.998,
    anchors: Annotated[
        str, Details(help="retinanet, ssd: auto (sizes that fit the boxes) or default.")
    ] = "auto",
    rehearse_export: Annotated[bool, Details(help="First see that the detector converts to TFLite.")] = True,
    form: FormatOption = Format.table,
) -> None:
    """Train a detector on images with boxes, judge it, and leave a run folder with it and a report.

    Interrupted in any way, the same command goes on where it was.

    For example:

    - `kerasvision train detector bccd/ runs/cells`

    - `kerasvision train detector instances.json runs/cells --model retinanet --backbone resnet50`

    - `kerasvision train detector boxes.csv runs/cells --image-size 512 --augment strong --epochs 100`
    """
    from kerasvision.detection.families import check_sides
    from kerasvision.recipes import train_detector

    check_sides(model, (image_size, image_size))  # before reading, which may take long or complain as well
    images = _read(
        data,
        annotations,
        image_size=image_size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=False if cache == "off" else cache,
    )
    run = train_detector(
        images,
        out,
        model=model,
        backbone=_or_none(backbone),
        weights=_or_none(weights),
        strategy=strategy,
        epochs=epochs,
        freeze_epochs=freeze_epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        augment=_or_none(augment),
        augment_strength=augment_strength,
        batchnorm=batchnorm,
        class_balance=class_balance,
        clip_norm=clip_norm,
        mixed_precision=False if mixed_precision == "off" else mixed_precision,
        patience=patience,
        ema=ema or None,
        seed=seed,
        anchors=anchors,
        rehearse_export=rehearse_export,
    )
    facts = {"run": str(run.folder)} | judgement_facts(run.judgement, form)
    show_facts(facts | {"split": run.metrics["split"], "report": str(run.folder / "report.html")}, form)


def judgement_facts(judgement, form: Format) -> dict:
    """Return the figures of a judgement, as text for people and as numbers for programs."""
    low, high = judgement.ap50_interval or (None, None)
    counts = {"images": judgement.count, "boxes": judgement.boxes}
    if form is Format.table and low is not None:
        return {
            "AP50": f"{judgement.ap50:.1%} ({low:.1%} to {high:.1%})",
            "AP": f"{judgement.ap:.1%}",
        } | counts
    return {"ap50": judgement.ap50, "ap50_from": low, "ap50_to": high, "ap": judgement.ap} | counts


def show_judgement(judgement, split: str, several: bool, form: Format) -> None:
    """Print the figures and a row for each class."""
    if form is Format.json:
        show_facts({"split": split} | judgement.to_dict(), form)
        return
    if form is Format.table:
        show_facts(({"split": split} if several else {}) | judgement_facts(judgement, form))
        typer.echo()
    show([_class_row(scores) for scores in judgement.per_class], form)


def _class_row(scores) -> dict:
    best = scores.best
    return {
        "class": scores.name,
        "AP50": scores.coco.ap50,
        "AP": scores.coco.ap,
        "threshold": best and best.threshold,
        "precision": best and best.precision,
        "recall": best and best.recall,
        "boxes": scores.support,
    }


def predict_boxes(
    run, images: list[str], threshold: float | None, draw: Path | None, on_bad_file: str, form: Format
) -> None:
    """Print a row for each box that was found, and draw them where a folder is named."""
    options = {"threshold": threshold, "on_bad_file": on_bad_file}
    found = run.predict(images, **options) if draw is None else run.draw_all(images, draw, **options)
    show([row for one in found for row in one.rows()], form, COLUMNS)


def _read(data: str, annotations: str, **settings):
    from kerasvision.data import from_tfds, read_boxes

    if data.startswith(TFDS):
        return from_tfds(data.removeprefix(TFDS), task="detect", **settings)
    return read_boxes(Path(data), annotations=annotations, **settings)


def _or_none(text: str) -> str | None:
    return None if text.lower() == "none" else text
