"""What commands do with embedders: `train embedder`, and how pairs of images and judgements are shown."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_facts

TFDS = "tfds:"  # a data set of tensorflow-datasets instead of a path
COLUMNS = ("first", "second", "distance", "threshold", "same")

Data = partial(typer.Option, rich_help_panel="The data")
Training = partial(typer.Option, rich_help_panel="The training")
Details = partial(typer.Option, rich_help_panel="Details of the training")


def embedder(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Folder with a folder of images for each identity (a person, a product), perhaps inside "
            "train/, val/ and test/; a CSV file with the columns path and identity; or tfds:NAME.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Run folder, created: the embedder, its report, and the rest."),
    ],
    image_size: Annotated[int, Data(help="Side in pixels that images are resized to.")] = 112,
    validation_fraction: Annotated[
        float, Data(help="Share of the identities to judge with, where no split is given.")
    ] = 0.2,
    test_fraction: Annotated[float, Data(help="Share of the identities for a final test.")] = 0.0,
    resize: Annotated[str, Data(help="stretch, crop or pad.")] = "stretch",
    on_bad_file: Annotated[str, Data(help="raise, or skip: what is skipped is listed.")] = "raise",
    cache: Annotated[str, Data(help="Decoded pixels on disk: auto, off, or a folder.")] = "auto",
    backbone: Annotated[str, Training(help="A name of `kerasvision models`.")] = "mobilenet_v2",
    weights: Annotated[
        str, Training(help="Of the backbone: imagenet, none, a weights file, or auto: imagenet.")
    ] = "auto",
    loss: Annotated[
        str, Training(help="triplet, contrastive, arcface, cosface, multi_similarity or circle.")
    ] = "triplet",
    mining: Annotated[
        str | None,
        Training(help="Of triplets: semi_hard (if not given), batch_hard, random, all, distance_weighted."),
    ] = None,
    margin: Annotated[
        str | None, Training(help="Of the loss: a number, or soft for triplets; if not given, its own.")
    ] = None,
    distance: Annotated[
        str, Training(help="euclidean, squared, cosine, or auto: that of the loss.")
    ] = "auto",
    dimensions: Annotated[int, Training(help="Of the embedding.")] = 128,
    head: Annotated[
        str, Training(help="Where the projection begins: solved on the training images, or random.")
    ] = "solved",
    identities: Annotated[
        int | None, Training(help="In a batch; 8 if not given, or as many as there are.")
    ] = None,
    per_identity: Annotated[int, Training(help="Images of each identity in a batch.")] = 4,
    few: Annotated[
        str, Training(help="Identities with fewer images: repeat these, or leave_out.")
    ] = "repeat",
    strategy: Annotated[str, Training(help="auto, freeze, finetune or scratch.")] = "auto",
    epochs: Annotated[int | None, Training(help="Passes over the training images.")] = None,
    freeze_epochs: Annotated[
        int | None, Training(help="finetune: how many of them the head learns alone.")
    ] = None,
    learning_rate: Annotated[float | None, Training(help="Highest rate, of the head.")] = None,
    schedule: Annotated[str, Training(help="How the rate falls: cosine or poly.")] = "cosine",
    augment: Annotated[str, Training(help="auto, none, light, standard, or names: crop+color.")] = "auto",
    augment_strength: Annotated[float, Training(help="From 0 to 1.")] = 0.3,
    false_accept_rate: Annotated[
        float, Training(help="Share of pairs of two identities that may be called the same.")
    ] = 0.01,
    patience: Annotated[
        int | None, Training(help="Stop after so many epochs without more true accepts.")
    ] = None,
    seed: Annotated[int, Training(help="Of the splits and of all that is random.")] = 0,
    batchnorm: Annotated[str, Details(help="Of the backbone: frozen or train.")] = "frozen",
    weight_decay: Annotated[float, Details(help="Of AdamW.")] = 0.01,
    clip_norm: Annotated[float, Details(help="Largest norm of all gradients together.")] = 10.0,
    mixed_precision: Annotated[str, Details(help="auto, off, mixed_float16 or mixed_bfloat16.")] = "auto",
    ema: Annotated[
        float | None, Details(help="Decay of an average of the weights, for example 0.999.")
    ] = None,
    rehearse_export: Annotated[bool, Details(help="First see that the embedder converts to TFLite.")] = True,
    form: FormatOption = Format.table,
) -> None:
    """Train an embedder of faces, products or animals, judge it on identities never seen, and leave a run.

    Interrupted in any way, the same command goes on where it was.

    For example:

    - `kerasvision train embedder faces/ runs/faces`

    - `kerasvision train embedder products.csv runs/products --loss arcface --image-size 224`

    - `kerasvision train embedder digits/ runs/digits --backbone resnet_small --weights none --augment none`
    """
    from kerasvision.recipes import train_face_embedder

    limit = _margin(margin)
    images = read(
        data,
        image_size=image_size,
        by_identity_split=(1 - validation_fraction - test_fraction, validation_fraction, test_fraction),
        seed=seed,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=False if cache == "off" else cache,
    )
    run = train_face_embedder(
        images,
        out,
        backbone=backbone,
        weights=_or_none(weights),
        loss=loss,
        mining=mining,
        margin=limit,
        distance=distance,
        dimensions=dimensions,
        head=head,
        identities=identities,
        per_identity=per_identity,
        few=few,
        strategy=strategy,
        epochs=epochs,
        freeze_epochs=freeze_epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        augment=_or_none(augment),
        augment_strength=augment_strength,
        batchnorm=batchnorm,
        clip_norm=clip_norm,
        mixed_precision=False if mixed_precision == "off" else mixed_precision,
        patience=patience,
        ema=ema,
        false_accept_rate=false_accept_rate,
        seed=seed,
        rehearse_export=rehearse_export,
    )
    facts = {"run": str(run.folder)} | judgement_facts(run.judgement, form)
    show_facts(facts | {"split": run.metrics["split"], "report": str(run.folder / "report.html")}, form)


def read(data: str | Path, **settings):
    """Return the `VisionData` of identities.

    Args:
        data: a folder, a CSV file, or `tfds:NAME`.
        **settings: what all loaders of identities take.
    """
    from kerasvision.data import from_tfds, identity_csv, identity_folder
    from kerasvision.data.tables import TABLE_SUFFIXES

    if str(data).startswith(TFDS):
        return from_tfds(str(data).removeprefix(TFDS), task="embed", **settings)
    path = Path(data)
    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        return identity_csv(path, **settings)
    return identity_folder(path, **settings)


def judgement_facts(judgement, form: Format) -> dict:
    """Return the figures of a judgement, as text for people and as numbers for programs."""
    found = judgement.verification
    rate = found.at(judgement.false_accept_rate)
    low, high = rate.interval or (None, None)
    if form is Format.table:
        interval = "" if low is None else f" ({low:.1%} to {high:.1%})"
        share = "-" if rate.true_accept_rate is None else f"{rate.true_accept_rate:.1%}{interval}"
        return {
            f"true accepts at {rate.false_accept_rate:.2%} false": share,
            "equal error rate": f"{found.eer:.1%}",
            "area under the ROC": f"{found.auc:.4f}",
            "threshold": f"{judgement.threshold:.4f} ({judgement.distance})",
            "at the threshold": f"{judgement.true_accept_rate:.1%} true, "
            f"{judgement.measured_false_accept_rate:.2%} false accepts",
            "identities": judgement.identities,
            "images": judgement.count,
        }
    return {
        "false_accept_rate": rate.false_accept_rate,
        "true_accept_rate": rate.true_accept_rate,
        "true_accept_rate_from": low,
        "true_accept_rate_to": high,
        "eer": found.eer,
        "auc": found.auc,
        "threshold": judgement.threshold,
        "distance": judgement.distance,
        "true_accepts_at_threshold": judgement.true_accept_rate,
        "false_accepts_at_threshold": judgement.measured_false_accept_rate,
        "identities": judgement.identities,
        "images": judgement.count,
    }


def show_judgement(judgement, split: str, several: bool, form: Format) -> None:
    """Print the figures, and a row for each rate of false accepts."""
    if form is Format.json:
        show_facts({"split": split} | judgement.to_dict(), form)
        return
    if form is Format.table:
        show_facts(({"split": split} if several else {}) | judgement_facts(judgement, form))
        typer.echo()
    show([_rate_row(rate) for rate in judgement.verification.rates], form)


def _rate_row(rate) -> dict:
    low, high = rate.interval or (None, None)
    return {
        "false accepts": rate.false_accept_rate,
        "true accepts": rate.true_accept_rate,
        "from": low,
        "to": high,
        "threshold": rate.threshold,
        "measured": rate.measured,
    }


def verify_images(run, images: list[str], threshold: float | None, on_bad_file: str, form: Format) -> None:
    """Print for every two images whether they are of one identity."""
    from kerasvision.data.gathering import gather

    if (count := len(gather(images)[0])) < 2:
        raise typer.BadParameter(
            f"must be two or more, to be compared. Received: {count}", param_hint="IMAGES"
        )
    found = run.verify_all(images, threshold=threshold, on_bad_file=on_bad_file)
    show([one.row() for one in found], form, COLUMNS)


def _margin(text: str | None):
    if text is None or text == "soft":
        return text
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"must be a number, or soft. Received: {text!r}", param_hint="--margin"
        ) from None


def _or_none(text: str) -> str | None:
    return None if text.lower() == "none" else text
