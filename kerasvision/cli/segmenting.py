"""What commands do with segmenters: `train segmenter`, and how label maps are asked for and shown."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_facts

TFDS = "tfds:"  # a data set of tensorflow-datasets instead of a path
COLUMNS = ("image", "label", "share", "pixels")
SIDES = 2

Data = partial(typer.Option, rich_help_panel="The data")
Training = partial(typer.Option, rich_help_panel="The training")
Details = partial(typer.Option, rich_help_panel="Details of the training")
Seeing = partial(typer.Option, rich_help_panel="How segmenters see photos")
Reading = partial(typer.Option, rich_help_panel="How masks are read")

Masks = Annotated[
    Path | None, Reading(metavar="FOLDER", help="Of the masks, where they are not found by DATA alone.")
]
ClassNames = Annotated[
    str | None, Reading(help="Of the values 0, 1, 2, …: a text file with a name a line, or sky,road,car.")
]
Colours = Annotated[
    Path | None, Reading(metavar="FILE", help="For masks in colour: a name and three numbers a line.")
]
Void = Annotated[
    str | None, Reading(help="What does not count: auto, none, or values and names: 255,unlabelled.")
]
MaskOrientation = Annotated[
    str | None, Reading(help="upright: masks lie on photos as shown; stored: as they are before EXIF turns.")
]
Annotations = Annotated[str | None, Reading(help="Format of the masks, or auto: after their look.")]

Mode = Annotated[
    str | None,
    Seeing(help="whole: resized to the network's size; sliding: in its own size, through windows."),
]
Overlap = Annotated[float | None, Seeing(help="Of neighbouring windows, a share of their sides; 0.5.")]
Flip = Annotated[
    bool | None, Seeing("--flip", help="Average with what is found on the mirrored photo; twice as long.")
]
Scales = Annotated[
    list[float] | None, Seeing(help="Average over photos enlarged by these factors; may be repeated.")
]


def segmenter(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Images with masks: a folder with images/ and masks/, of Pascal VOC or CamVid, a COCO JSON; "
            "tfds:NAME, such as tfds:oxford_iiit_pet; or, with --masks, the folder of the images.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Run folder, created: the segmenter, its report, and the rest."),
    ],
    masks: Masks = None,
    class_names: ClassNames = None,
    colours: Colours = None,
    void: Void = "auto",
    mask_orientation: MaskOrientation = "upright",
    image_size: Annotated[
        str, Data(help="Side in pixels that images are resized to, or HEIGHTxWIDTH, such as 192x256.")
    ] = "256",
    annotations: Annotations = "auto",
    validation_fraction: Annotated[
        float, Data(help="Share of the images to judge with, where no split is given.")
    ] = 0.2,
    test_fraction: Annotated[float, Data(help="Share of the images for a final test.")] = 0.0,
    resize: Annotated[str, Data(help="stretch, crop or pad.")] = "stretch",
    on_bad_file: Annotated[
        str, Data(help="raise, or skip: images and masks that are skipped are listed.")
    ] = "raise",
    cache: Annotated[str, Data(help="Decoded pixels on disk: auto, off, or a folder.")] = "auto",
    model: Annotated[
        str, Training(help="A name of `kerasvision models --task segment`.")
    ] = "deeplab_v3_plus",
    backbone: Annotated[
        str, Training(help="A name of `kerasvision models`, none, or auto: that of the family.")
    ] = "auto",
    weights: Annotated[
        str, Training(help="Of the backbone: imagenet, none, a weights file, or auto: imagenet where it can.")
    ] = "auto",
    strategy: Annotated[str, Training(help="auto, freeze, finetune or scratch.")] = "auto",
    epochs: Annotated[int | None, Training(help="Passes over the training images.")] = None,
    freeze_epochs: Annotated[
        int | None, Training(help="finetune: how many of them the heads learn alone.")
    ] = None,
    batch_size: Annotated[int, Training(help="Images in a batch.")] = 8,
    learning_rate: Annotated[float | None, Training(help="Highest rate, of the heads.")] = None,
    schedule: Annotated[str, Training(help="How the rate falls: poly or cosine.")] = "poly",
    loss: Annotated[
        str, Training(help="cross_entropy, focal, dice, lovasz, or a sum: cross_entropy+0.5*dice.")
    ] = "cross_entropy",
    class_weights: Annotated[
        str, Training(help="none, auto (median frequency), or a number for each class: 1,2.5,1.")
    ] = "none",
    augment: Annotated[
        str, Training(help="auto, none, light, standard, strong, or names: flip+color.")
    ] = "auto",
    augment_strength: Annotated[float, Training(help="From 0 to 1.")] = 0.5,
    class_balance: Annotated[bool, Training(help="Show images with rare classes more often.")] = False,
    patience: Annotated[
        int | None, Training(help="Stop after so many epochs without a better mean IoU.")
    ] = None,
    seed: Annotated[int, Training(help="Of the splits and of all that is random.")] = 0,
    batchnorm: Annotated[str, Details(help="Of the backbone: frozen or train.")] = "frozen",
    weight_decay: Annotated[float, Details(help="Of AdamW.")] = 0.01,
    clip_norm: Annotated[float, Details(help="Largest norm of all gradients together.")] = 10.0,
    mixed_precision: Annotated[str, Details(help="auto, off, mixed_float16 or mixed_bfloat16.")] = "auto",
    ema: Annotated[float, Details(help="Decay of the average of the weights; 0: none.")] = 0.998,
    rehearse_export: Annotated[bool, Details(help="First see that the segmenter converts to TFLite.")] = True,
    form: FormatOption = Format.table,
) -> None:
    """Train a segmenter on images with masks, judge it, and leave a run folder with it and a report.

    Interrupted in any way, the same command goes on where it was.

    For example:

    - `kerasvision train segmenter camvid/ runs/roads --image-size 192x256`

    - `kerasvision train segmenter photos/ runs/pets --masks masks/ --class-names pet,ground --model unet`

    - `kerasvision train segmenter VOC2012/ runs/voc --model pspnet --backbone resnet50 --epochs 60`
    """
    from kerasvision.recipes import train_segmenter
    from kerasvision.segmentation.families import check_sides

    size, weights_of_classes = _size(image_size), _weights(class_weights)
    # Before reading, which may take long or complain as well.
    check_sides(model, size if isinstance(size, tuple) else (size, size))
    images = read(
        data,
        masks=masks,
        class_names=class_names,
        colours=colours,
        void=void,
        mask_orientation=mask_orientation,
        annotations=annotations,
        image_size=size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=False if cache == "off" else cache,
    )
    run = train_segmenter(
        images,
        out,
        model=model,
        backbone=_or_none(backbone),
        weights=_or_none(weights),
        strategy=strategy,
        epochs=epochs,
        freeze_epochs=freeze_epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        loss=loss,
        class_weights=weights_of_classes,
        augment=_or_none(augment),
        augment_strength=augment_strength,
        batchnorm=batchnorm,
        class_balance=class_balance,
        clip_norm=clip_norm,
        mixed_precision=False if mixed_precision == "off" else mixed_precision,
        patience=patience,
        ema=ema or None,
        seed=seed,
        rehearse_export=rehearse_export,
    )
    facts = {"run": str(run.folder)} | judgement_facts(run.judgement, form)
    show_facts(facts | {"split": run.metrics["split"], "report": str(run.folder / "report.html")}, form)


def read(
    data: str | Path,
    *,
    masks: Path | None = None,
    class_names: str | None = None,
    colours: Path | None = None,
    void: str = "auto",
    mask_orientation: str = "upright",
    annotations: str = "auto",
    **settings,
):
    """Return the `VisionData` of images with masks.

    Args:
        data: of a data set, or the folder of the images where `masks` is given.
        masks: their folder.
        class_names: a text file, or names with commas between them.
        colours: a file with a name and three numbers a line.
        void: "auto", "none", or values and names with commas between them.
        mask_orientation: "upright" or "stored".
        annotations: the format, for what is read by its look.
        **settings: what all loaders take.
    """
    from kerasvision.data import from_tfds, read_masks
    from kerasvision.data import masks as pairs

    own = told(class_names, colours, void, mask_orientation)
    if masks is not None:
        return pairs(data, masks, **own, **settings)
    if str(data).startswith(TFDS):
        return from_tfds(str(data).removeprefix(TFDS), task="segment", **own, **settings)
    return read_masks(Path(data), annotations=annotations, **own, **settings)


def told(
    class_names: str | None, colours: Path | None, void: str | None, mask_orientation: str | None
) -> dict:
    """Return what was said of how masks are read, as arguments of `kerasvision.data.masks`."""
    own = {"class_names": _names(class_names), "colours": colours}
    own = {name: value for name, value in own.items() if value is not None}
    own |= {} if void in (None, "auto") else {"void": _void(void)}
    usual = mask_orientation in (None, "upright")
    return own | ({} if usual else {"mask_orientation": mask_orientation})


def judgement_facts(judgement, form: Format) -> dict:
    """Return the figures of a judgement, as text for people and as numbers for programs."""
    low, high = judgement.mean_iou_interval or (None, None)
    counts = {"images": judgement.count}
    if form is Format.table:
        interval = "" if low is None else f" ({low:.1%} to {high:.1%})"
        return {
            "mean IoU": f"{judgement.mean_iou:.1%}{interval}",
            "pixel accuracy": f"{judgement.pixel_accuracy:.1%}",
            "boundary F": f"{judgement.boundary_f:.1%}",
        } | counts
    return {
        "mean_iou": judgement.mean_iou,
        "mean_iou_from": low,
        "mean_iou_to": high,
        "pixel_accuracy": judgement.pixel_accuracy,
        "boundary_f": judgement.boundary_f,
    } | counts


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
    return {
        "class": scores.name,
        "IoU": scores.iou,
        "precision": scores.precision,
        "recall": scores.accuracy,
        "boundary F": scores.boundary_f,
        "pixels": scores.pixels,
        "images": scores.images,
    }


def predict_labels(
    run,
    images: list[str],
    draw: Path | None,
    save: Path | None,
    on_bad_file: str,
    form: Format,
    options: dict,
) -> None:
    """Print a row for each class on each image, and write pictures and label maps where a folder is named."""
    found = run.draw_each(images, draw, save=save, on_bad_file=on_bad_file, **options)
    show([row for one in found for row in one.rows()], form, COLUMNS)


def viewing(mode: str | None, overlap: float | None, flip: bool | None, scales: list[float] | None) -> dict:
    """Return the options of how photos are seen that were given, as arguments of `predict`."""
    given = {"mode": mode, "overlap": overlap, "flip": flip, "scales": tuple(scales or ()) or None}
    return {name: value for name, value in given.items() if value is not None}


def _size(text: str) -> int | tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) not in (1, SIDES) or not all(side.isdecimal() and int(side) for side in sides):
        raise typer.BadParameter(
            f"must be a side in pixels, or HEIGHTxWIDTH. Received: {text!r}", param_hint="--image-size"
        )
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _names(text: str | None):
    if text is None or Path(text).is_file() or "," not in text:
        return text if text is None else Path(text)
    return [name.strip() for name in text.split(",")]


def _void(text: str):
    if text.lower() == "none":
        return None
    values = [int(part) if part.isdecimal() else part for part in map(str.strip, text.split(","))]
    return values[0] if len(values) == 1 else values


def _weights(text: str):
    if text == "none" or text == "auto":
        return None if text == "none" else text
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"must be none, auto, or numbers with commas between them. Received: {text!r}",
            param_hint="--class-weights",
        ) from None


def _or_none(text: str) -> str | None:
    return None if text.lower() == "none" else text
