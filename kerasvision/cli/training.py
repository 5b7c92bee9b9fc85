"""`kerasvision train …`: one command a task."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli import detecting, embedding, segmenting
from kerasvision.cli.output import Format, FormatOption, show, show_facts
from kerasvision.cli.reading import read_data

TFDS = "tfds:"  # a data set of tensorflow-datasets instead of a path

app = typer.Typer(
    no_args_is_help=True,
    help="Train: a classifier, a detector, a segmenter, an embedder, or networks to compare.",
)

Data = partial(typer.Option, rich_help_panel="The data")
Training = partial(typer.Option, rich_help_panel="The training")
Details = partial(typer.Option, rich_help_panel="Details of the training")


@app.callback()
def tasks() -> None:
    """Train a classifier, detector, segmenter or embedder on your own images, or networks to compare."""


@app.command()
def classifier(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Folder with a folder of images for each class, or a CSV file."),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Run folder, created: the model, its report, and all the rest."),
    ],
    image_size: Annotated[int, Data(help="Side in pixels that images are resized to.")] = 224,
    validation_fraction: Annotated[float, Data(help="Share of the images to judge with.")] = 0.2,
    test_fraction: Annotated[float, Data(help="Share of the images for a final test.")] = 0.0,
    resize: Annotated[str, Data(help="stretch, crop or pad.")] = "stretch",
    on_bad_file: Annotated[str, Data(help="raise, or skip: what is skipped is listed.")] = "raise",
    cache: Annotated[str, Data(help="Decoded pixels on disk: auto, off, or a folder.")] = "auto",
    model: Annotated[
        str, Training(help="A name of `kerasvision models`, or a .keras file, such as a pruned network.")
    ] = "mobilenet_v2",
    weights: Annotated[
        str, Training(help="imagenet, none, or a weights file. A .keras file as --model has its own.")
    ] = "imagenet",
    strategy: Annotated[str, Training(help="auto, freeze, finetune or scratch.")] = "auto",
    epochs: Annotated[int | None, Training(help="Passes over the training images.")] = None,
    batch_size: Annotated[int, Training(help="Images in a batch.")] = 32,
    learning_rate: Annotated[float | None, Training(help="Highest rate, of the head.")] = None,
    augment: Annotated[
        str, Training(help="auto, none, light, standard, strong, or names: flip+crop+mixup.")
    ] = "auto",
    augment_strength: Annotated[float, Training(help="From 0 to 1.")] = 0.5,
    class_weights: Annotated[str, Training(help="none, or auto: rare classes count more.")] = "none",
    patience: Annotated[
        int | None, Training(help="Stop after so many epochs without a better score.")
    ] = None,
    seed: Annotated[int, Training(help="Of the splits and of all that is random.")] = 0,
    views: Annotated[int | None, Details(help="freeze: how many times each image is seen.")] = None,
    finetune_stages: Annotated[str, Details(help="all, or the last N stages of the backbone.")] = "all",
    batchnorm: Annotated[str, Details(help="frozen or train.")] = "frozen",
    weight_decay: Annotated[float, Details(help="Of AdamW.")] = 0.01,
    label_smoothing: Annotated[
        float | None, Details(help="Share of a target spread over all classes.")
    ] = None,
    dropout: Annotated[float, Details(help="Before the last layer.")] = 0.2,
    mixed_precision: Annotated[str, Details(help="auto, off, mixed_float16 or mixed_bfloat16.")] = "auto",
    ema: Annotated[
        float | None, Details(help="Decay of an average of the weights, for example 0.999.")
    ] = None,
    engine: Annotated[str, Details(help="That computes features: auto, litert or graph.")] = "auto",
    rehearse_export: Annotated[bool, Details(help="First see that the network converts to TFLite.")] = True,
    form: FormatOption = Format.table,
) -> None:
    """Train a classifier, judge it, and leave a run folder with the model and a report.

    Interrupted in any way, the same command goes on where it was.

    For example:

    - `kerasvision train classifier photos/ runs/flowers`

    - `kerasvision train classifier photos/ runs/flowers --model resnet50 --strategy finetune`

    - `kerasvision train classifier clean.csv runs/flowers --weights none --augment strong --epochs 60`

    - `kerasvision train classifier photos/ runs/smaller --model smaller/model.keras --strategy finetune`
    """
    from kerasvision.recipes import train_classifier

    network = _network(model)
    images = read_data(
        data,
        image_size=image_size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=False if cache == "off" else cache,
    )
    run = train_classifier(
        images,
        out,
        model=network,
        weights=None if network is not model and weights == "imagenet" else _or_none(weights),
        strategy=strategy,
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        augment=_or_none(augment),
        augment_strength=augment_strength,
        views=views,
        finetune_stages=int(finetune_stages) if finetune_stages.isdecimal() else finetune_stages,
        batchnorm=batchnorm,
        class_weights=_or_none(class_weights),
        label_smoothing=label_smoothing,
        dropout=dropout,
        mixed_precision=False if mixed_precision == "off" else mixed_precision,
        patience=patience,
        ema=ema,
        seed=seed,
        engine=engine,
        rehearse_export=rehearse_export,
    )
    show_facts(summary(run), form)


app.command("detector")(detecting.detector)
app.command("segmenter")(segmenting.segmenter)
app.command("embedder")(embedding.embedder)


@app.command()
def degradation(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Folder of small images, with a folder for each class; a CSV file; or tfds:NAME, such as "
            "tfds:cifar10.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder of the study, created: curves, figure, report, networks."),
    ],
    image_size: Annotated[int, Data(help="Side in pixels that images are resized to.")] = 32,
    test_fraction: Annotated[
        float, Data(help="Share of the images for test errors, where the data have no test images.")
    ] = 0.2,
    resize: Annotated[str, Data(help="stretch, crop or pad.")] = "stretch",
    on_bad_file: Annotated[str, Data(help="raise, or skip: what is skipped is listed.")] = "raise",
    networks: Annotated[
        list[str],
        Training("--network", "--networks", help="A name of `kerasvision models`; may be repeated."),
    ] = ("plainnet20", "plainnet56", "resnet20", "resnet56"),
    epochs: Annotated[int, Training(help="Passes over the training images; 182 are the paper's.")] = 182,
    initializers: Annotated[
        list[str],
        Training("--initializer", "--initializers", help="he_normal, glorot_uniform; may be repeated."),
    ] = ("he_normal",),
    batch_norms: Annotated[
        list[str], Training("--batch-norm", "--batch-norms", help="on, off; may be repeated.")
    ] = ("on",),
    batch_size: Annotated[int, Training(help="Images of a step.")] = 128,
    learning_rate: Annotated[float, Training(help="Of the first half of the epochs.")] = 0.1,
    momentum: Annotated[float, Training(help="Of SGD.")] = 0.9,
    weight_decay: Annotated[float, Training(help="L2 penalty on kernels.")] = 1e-4,
    warmup_epochs: Annotated[float, Training(help="Begin with a tenth of the rate for so long.")] = 0.0,
    augment: Annotated[str, Training(help="none, or names joined with +.")] = "pad_crop+flip",
    mixed_precision: Annotated[str, Details(help="off, auto, mixed_float16 or mixed_bfloat16.")] = "off",
    seed: Annotated[int, Training(help="Of the split and of all that is random.")] = 0,
    form: FormatOption = Format.table,
) -> None:
    """Train plain and residual networks side by side, as in the paper of ResNet, and draw their error curves.

    Interrupted in any way, the same command goes on where it was; further networks can join a study.

    For example:

    - `kerasvision train degradation tfds:cifar10 studies/cifar --epochs 20`

    - `kerasvision train degradation photos/ studies/photos --network plainnet20 --network plainnet56`

    - `kerasvision train degradation photos/ studies/he --initializer he_normal --initializer glorot_uniform
    --network plainnet56 --batch-norm on --batch-norm off --epochs 10`
    """
    from kerasvision.recipes import degradation as study_degradation

    norms = tuple(_switch(value) for value in batch_norms)
    study = study_degradation(
        _read_or_fetch(
            data,
            on_bad_file,
            image_size=image_size,
            validation_fraction=0.0,
            test_fraction=test_fraction,
            seed=seed,
            resize=resize,
        ),
        out,
        networks=tuple(networks),
        epochs=epochs,
        initializers=tuple(initializers),
        batch_norms=norms,
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup_epochs=warmup_epochs,
        augment=_or_none(augment),
        mixed_precision=False if mixed_precision == "off" else mixed_precision,
        seed=seed,
    )
    show(study.table(), form)
    if form is Format.table:
        typer.echo("\n".join(["", *study.findings, f"report  {out / 'report.html'}"]))


def summary(run) -> dict:
    """Return what is printed of a run."""
    low, high = run.judgement.accuracy_interval
    return {
        "run": str(run.folder),
        "accuracy": run.judgement.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "images": run.judgement.count,
        "split": run.metrics["split"],
        "report": str(run.folder / "report.html"),
    }


def _network(model: str):
    """Return the name of a network as it is, and the model of a .keras file."""
    if Path(model).suffix != ".keras":
        return model
    from kerasvision.recipes.opening import open_classifier

    return open_classifier(Path(model)).model


def _read_or_fetch(data: str, on_bad_file: str, **settings):
    if not data.startswith(TFDS):
        return read_data(Path(data), on_bad_file=on_bad_file, **settings)
    from kerasvision.data import from_tfds

    return from_tfds(data.removeprefix(TFDS), **settings)


def _switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise typer.BadParameter(f"must be on or off. Received: {value!r}", param_hint="--batch-norm")
    return value == "on"


def _or_none(text: str) -> str | None:
    return None if text == "none" else text
