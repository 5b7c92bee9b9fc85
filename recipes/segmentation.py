"""Train a segmenter on your own masks: heads first, then everything, interrupted anywhere."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from kerasvision.files import write_json
from kerasvision.progress import say
from kerasvision.recipes import phases, resumable, run_folder, settings
from kerasvision.recipes import segmentation_judging as judging
from kerasvision.recipes import segmentation_settings as own_settings
from kerasvision.recipes.job import Job
from kerasvision.recipes.segmentation_run import SegmenterRun
from kerasvision.recipes.segmentation_samples import choose_segmentation_samples, write_segmentation_samples
from kerasvision.recipes.segmentation_training import build_segmenter, train_phases
from kerasvision.training.precision import Precision, choose_precision


def train_segmenter(
    data,
    out: str | os.PathLike,
    *,
    model="deeplab_v3_plus",
    backbone="auto",
    weights: str | os.PathLike | None = "auto",
    strategy: str = "auto",
    epochs: int | None = None,
    freeze_epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "poly",
    weight_decay: float = 0.01,
    loss: str = "cross_entropy",
    class_weights: str | Sequence[float] | Mapping[str, float] | None = None,
    augment: str | None = "auto",
    augment_strength: float = 0.5,
    batchnorm: str = "frozen",
    class_balance: bool = False,
    clip_norm: float | None = 10.0,
    mixed_precision: str | bool = "auto",
    patience: int | None = None,
    ema: float | None = 0.998,
    seed: int = 0,
    preprocessing: str | None = None,
    options: Mapping | None = None,
    rehearse_export: bool = True,
    distribute=None,
) -> SegmenterRun:
    """Train a segmenter, judge it, and leave a run folder with everything.

    Called again with the same arguments after an interruption of any kind it goes on where it was; called
    again when it is finished it returns the finished run. Of all epochs the one with the highest mean IoU on
    the validation images, at the network's size, is kept (of equal ones that with the lowest loss); what is
    reported is measured at the size of the original masks.

    Args:
        data: a `VisionData` with masks, a training and a validation split, for example of
            `kerasvision.data.masks`. Void pixels teach nothing and count nowhere.
        out: the run folder; created.
        model: a name of `kerasvision.segmentation.list_segmenters()`; or a `keras.Model` from raw RGB images
            to the logits of each class at each pixel, which has been trained, for example `run.model`; it is
            copied.
        backbone: a name of `kerasvision.models.list_models("classify")`, your own functional network, None
            for a network that has none, or `"auto"`: that of the family, MobileNetV2 where it takes any. Not
            for a `model` of your own.
        weights: of the backbone: `"imagenet"`, a file, None (random; or those that your own has), or
            `"auto"`: `"imagenet"` for a backbone by name, else None.
        strategy: `"finetune"`: the heads learn while the backbone is frozen, then everything, the backbone at
            three tenths of the rate. `"freeze"`: the heads only. `"scratch"`: everything from the start.
            `"auto"`: `"finetune"` where the backbone has trained weights, else `"scratch"`.
        epochs: passes over the training images in all. Default: by strategy and number of images.
        freeze_epochs: how many of them the backbone is frozen for, in `"finetune"`. Default: an eighth, at
            most 5; none for a `model` of your own.
        batch_size: images of a step; default that of the data.
        learning_rate: the highest rate, of the heads; a linear rise comes before it.
        schedule: how the rate falls after that: `"poly"` (a power of 0.9, nearly a line) or `"cosine"`.
        weight_decay: of AdamW.
        loss: `"cross_entropy"`, `"focal"`, `"dice"`, `"lovasz"`, or a sum: `"cross_entropy+0.5*dice"`.
        class_weights: of pixels by their class, in cross-entropy and focal loss: None (all alike), `"auto"`
            (median frequency, up to 20 for the rarest class), a number for each class, or a mapping of class
            name to number.
        augment: `"auto"` (flips, scale and crop, colour), None, or what
            `kerasvision.data.mask_augmentation` takes: `"strong"`, `"flip+color"`, …
        augment_strength: from 0 to 1.
        batchnorm: of the backbone: `"frozen"` (statistics and parameters stay) or `"train"`; `"scratch"`
            always trains it. That of the heads is trained.
        class_balance: show images with rare classes more often, up to four times as often.
        clip_norm: largest norm of all gradients together; None: any.
        mixed_precision: `"auto"` (where the device gains), False, `"mixed_float16"`, `"mixed_bfloat16"`. A
            `model` of your own keeps the precision that it was built with.
        patience: stop after so many epochs without a better mean IoU; default half of the epochs, at least
            10.
        ema: decay of an average of the weights, which is what is judged and kept; None: none.
        seed: of everything random.
        preprocessing: what your own backbone expects of pixels (see `kerasvision.segmentation.segmenter`).
        options: further arguments of the segmenter's builder, for example
            `{"backbone_options": {"alpha": 0.35}}`.
        rehearse_export: convert the segmenter to TFLite before a long training, to know that it can be.
        distribute: a `tf.distribute` strategy of one machine for training steps, for example
            `tf.distribute.MirroredStrategy()`.

    Returns:
        The finished run.

    Raises:
        KerasvisionError: an argument is not accepted, or images have sides that the network cannot take; the
            message says how to load them.
        DataError: data that cannot be trained on.
        RunError: `out` holds a run with other arguments or data, or another process trains there.
        WeightsError: the weights do not fit.
        TrainingError: the loss is not finite; what was reached is kept.
        ExportError: TFLite has no operation for something in the segmenter.
    """
    given = dict(locals())
    arguments = _checked(given)
    out = resumable.carry_out(
        out, run_folder.SEGMENTER, arguments, data, lambda folder, record: _train(folder, record, data, given)
    )
    return SegmenterRun(out)


def _train(out: Path, record: dict, data, given: dict) -> None:
    from kerasvision.data.mask_coding import values_of
    from kerasvision.segmentation import inference_model

    before, started = record["seconds"].get("total", 0.0), time.monotonic()
    job = _make_job(out, record, data, given)
    say(f"Strategy: {job.strategy.name} ({job.strategy.why}).")
    with job.timed("build"), resumable.seeded(given["seed"]):
        model = build_segmenter(job)
    final = inference_model(model)
    job.decide(
        model=model.name,
        backbone=_backbone_name(given),
        parameters=final.count_params(),
        spec=own_settings.spec_of(given),
        pixels={name: part.masks.pixels.sum(0).tolist() for name, part in data.splits.items()},
        void={name: int(part.masks.void.sum()) for name, part in data.splits.items()},
        values=values_of(data.splits["train"].masks.coding, data.class_names),
    )
    for sentence in judging.warnings_about(data):
        job.advise(sentence)
    if given["rehearse_export"]:
        with job.timed("rehearsal"):
            _rehearse_export(job, final)
    history = train_phases(job, model)
    with job.timed("judge"):
        _judge(job, final, history)
    resumable.finish(job, started, before)
    judging.write_report(out)
    resumable.clear(out)


def _make_job(out: Path, record: dict, data, given: dict) -> Job:
    pretrained = given["weights"] is not None or not isinstance(given["model"], str)
    strategy = phases.choose_strategy(given["strategy"], pretrained=pretrained)
    precision = choose_precision(given["mixed_precision"])
    if not isinstance(given["model"], str):
        precision = Precision("float32", "that of your own model")
    job = Job(out, record, data, given, strategy, precision, None)
    job.decide(strategy=strategy.name, strategy_why=strategy.why)
    if strategy.name == "freeze" and not pretrained:
        job.advise(
            "The frozen backbone has random weights, so the heads see hardly more than chance. Train with "
            '`weights="imagenet"` or `strategy="scratch"`.'
        )
    return job


def _rehearse_export(job: Job, model) -> None:
    if job.record["decided"].get("rehearsed"):
        return
    from kerasvision.export import rehearse_segmenter

    say("Rehearsing the export: is there an operation for everything in the segmenter?")
    rehearse_segmenter(model)
    job.decide(rehearsed=True)


def _judge(job: Job, model, history) -> None:
    """Write everything but the report, which wants the seconds of all this."""
    from kerasvision.recipes.label_network import LabelNetwork

    out, data = job.out, job.data
    network = LabelNetwork.of_model(model, data.preprocessing)
    judged = {split: judging.judge_on(network, data, split) for split in job.held_out}
    judgements = {split: one.judgement for split, one in judged.items()}
    judging.write_metrics(out, judgements)
    split = judging.judged_split(judgements)
    scenes = judging.worst_scenes(network, data, split, judged[split].worst)
    judging.write_scenes(out / run_folder.EXAMPLES, scenes)
    run_folder.write_history(out, history, run_folder.SEGMENTER_COLUMNS)
    run_folder.write_labels(out, data.class_names)
    write_json(out / run_folder.PREPROCESSING, data.preprocessing.to_dict())
    samples = choose_segmentation_samples(data, seed=job.given["seed"])
    write_segmentation_samples(out / run_folder.SAMPLES, samples)
    model.trainable = True
    run_folder.save_model(out, model)


def _backbone_name(given: Mapping) -> str:
    backbone = given["backbone"]
    if not isinstance(given["model"], str):
        return "that of the model"
    return backbone if isinstance(backbone, str) else "none" if backbone is None else backbone.name


def _checked(given: dict) -> dict:
    """Check the arguments and return those that make the run what it is, as they go into run.json."""
    data, model = given["data"], given["model"]
    own_settings.check_masks(data)
    own_settings.resolve(given)
    names = ("epochs", "batch_size", "patience", "seed", "learning_rate", "ema")
    settings.check_numbers(**{k: given[k] for k in (*names, "weight_decay", "augment_strength")})
    own_settings.check_choices(given)
    resumable.refuse_several_machines(given["distribute"])
    phases.check_options(given)
    if isinstance(model, str):
        own_settings.check_network(given)
    else:
        own_settings.check_own_model(model, data)
        phases.check_own_precision(given["mixed_precision"], "model")
    kept = {k: v for k, v in given.items() if k not in ("data", "out", "distribute")}
    kept["model"], kept["backbone"] = own_settings.describe_segmenter(model, given["backbone"])
    kept["weights"] = settings.describe_weights(given["weights"])
    return kept
