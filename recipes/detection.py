"""Train a detector on your own boxes: heads first, then everything, interrupted anywhere."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from kerasvision.errors import KerasvisionError
from kerasvision.files import write_json
from kerasvision.progress import say
from kerasvision.recipes import detection_judging as judging
from kerasvision.recipes import detection_settings, phases, resumable, run_folder, settings
from kerasvision.recipes.detection_run import DetectorRun
from kerasvision.recipes.detection_samples import choose_detection_samples, write_detection_samples
from kerasvision.recipes.detection_training import (
    JUDGED_FROM,
    OVERLAP,
    build_detector,
    check_detector,
    most_boxes,
    train_phases,
    with_fitting_anchors,
)
from kerasvision.recipes.found_boxes import in_full_batches
from kerasvision.recipes.job import Job
from kerasvision.training.precision import choose_precision


def train_detector(
    data,
    out: str | os.PathLike,
    *,
    model="yolo_v8_s",
    backbone="mobilenet_v2",
    weights: str | os.PathLike | None = "imagenet",
    strategy: str = "auto",
    epochs: int | None = None,
    freeze_epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float = 0.01,
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
    anchors: str = "auto",
    rehearse_export: bool = True,
    distribute=None,
) -> DetectorRun:
    """Train a detector, judge it, and leave a run folder with everything.

    Called again with the same arguments after an interruption of any kind it goes on where it was; called
    again when it is finished it returns the finished run. Of all epochs the one with the highest AP50 on the
    validation images is kept (of equal ones that with the lowest loss).

    Args:
        data: a `VisionData` with boxes, a training and a validation split, for example of
            `kerasvision.data.pascal_voc`. Images without any box are welcome.
        out: the run folder; created.
        model: a name of `kerasvision.detection.list_detectors()`; or a `Detector` that has been trained, for
            example of `kerasvision.detection.from_keras_cv`, which is copied.
        backbone: a name of `kerasvision.models.list_models("classify")`, your own functional network, or None
            for that of the detector's family. Not for a `model` of your own.
        weights: of the backbone: `"imagenet"`, a file, or None (random; or those that your own has).
        strategy: `"finetune"`: the heads learn while the backbone is frozen, then everything, the backbone at
            three tenths of the rate. `"freeze"`: the heads only. `"scratch"`: everything from the start.
            `"auto"`: `"finetune"` where the backbone has trained weights, else `"scratch"`.
        epochs: passes over the training images in all. Default: by strategy and number of images.
        freeze_epochs: how many of them the backbone is frozen for, in `"finetune"`. Default: an eighth, at
            most 5.
        batch_size: images of a step; default that of the data.
        learning_rate: the highest rate, of the heads; a linear rise comes before it and a cosine after.
        weight_decay: of AdamW.
        augment: `"auto"` (flips, scale and crop, colour), None, or what
            `kerasvision.data.box_augmentation` takes: `"strong"` has mosaic too, `"flip+color"`, …
        augment_strength: from 0 to 1.
        batchnorm: of the backbone: `"frozen"` (statistics and parameters stay) or `"train"`; `"scratch"`
            always trains it. That of the heads is trained.
        class_balance: show images with rare classes more often, up to four times as often.
        clip_norm: largest norm of all gradients together; None: any.
        mixed_precision: `"auto"` (where the device gains), False, `"mixed_float16"`, `"mixed_bfloat16"`.
        patience: stop after so many epochs without a better AP50; default half of the epochs, at least 10.
        ema: decay of an average of the weights, which is what is judged and kept; None: none.
        seed: of everything random.
        preprocessing: what your own backbone expects of pixels (see `kerasvision.detection.detector`).
        options: further arguments of the detector's builder, for example `{"anchor_scale": 3.0}`. RetinaNet
            has BatchNorm in its heads (`{"batchnorm": True}`) where it is trained from scratch.
        anchors: of RetinaNet and SSD: `"auto"` takes other sizes than those of the papers where these leave
            out many of the training boxes; `"default"` never does, nor where `options` has sizes. The
            others have no anchors.
        rehearse_export: convert the detector to TFLite before a long training, to know that it can be.
        distribute: a `tf.distribute` strategy of one machine for training steps, for example
            `tf.distribute.MirroredStrategy()`.

    Returns:
        The finished run.

    Raises:
        KerasvisionError: an argument is not accepted.
        DataError: data that cannot be trained on.
        RunError: `out` holds a run with other arguments or data, or another process trains there.
        WeightsError: the weights do not fit.
        TrainingError: the loss is not finite; what was reached is kept.
        ExportError: TFLite has no operation for something in the detector.
    """
    given = dict(locals())
    arguments = _checked(given)
    out = resumable.carry_out(
        out, run_folder.DETECTOR, arguments, data, lambda folder, record: _train(folder, record, data, given)
    )
    return DetectorRun(out)


def _train(out: Path, record: dict, data, given: dict) -> None:
    before, started = record["seconds"].get("total", 0.0), time.monotonic()
    job = _make_job(out, record, data, given)
    say(f"Strategy: {job.strategy.name} ({job.strategy.why}).")
    with job.timed("build"), resumable.seeded(given["seed"]):
        detector = with_fitting_anchors(job, build_detector(job))
    spec = detector.spec.to_dict()
    job.decide(
        model=detector.spec.name,
        backbone=_backbone_name(detector.spec.backbone),
        parameters=detector.model.count_params(),
        spec=spec,
        most=most_boxes(data),
    )
    if given["rehearse_export"]:
        with job.timed("rehearsal"):
            _rehearse_export(job, detector)
    history = train_phases(job, detector)
    with job.timed("judge"):
        _judge(job, detector, history)
    resumable.finish(job, started, before)
    judging.write_report(out)
    resumable.clear(out)


def _make_job(out: Path, record: dict, data, given: dict) -> Job:
    pretrained = given["weights"] is not None or not isinstance(given["model"], str)
    strategy = phases.choose_strategy(given["strategy"], pretrained=pretrained)
    job = Job(out, record, data, given, strategy, choose_precision(given["mixed_precision"]), None)
    job.decide(strategy=strategy.name, strategy_why=strategy.why)
    if strategy.name == "freeze" and not pretrained:
        job.advise(
            "The frozen backbone has random weights, so the heads see hardly more than chance. Train with "
            '`weights="imagenet"` or `strategy="scratch"`.'
        )
    return job


def _rehearse_export(job: Job, detector) -> None:
    if job.record["decided"].get("rehearsed"):
        return
    from kerasvision.export import rehearse_detector

    say("Rehearsing the export: is there an operation for everything in the detector?")
    rehearse_detector(detector)
    job.decide(rehearsed=True)


def _judge(job: Job, detector, history) -> None:
    """Write everything but the report, which wants the seconds of all this."""
    from kerasvision.detection.finding import finder

    out, data = job.out, job.data
    compiled = finder(detector, most=most_boxes(data), overlap=OVERLAP, threshold=JUDGED_FROM)
    function = in_full_batches(compiled)
    found = {split: judging.find_on(function, data, split) for split in job.held_out}
    judgements = judging.judge_splits(data, found)
    judging.write_metrics(out, judgements)
    split = judging.judged_split(judgements)
    scenes = judging.worst_scenes(data, split, found[split], judgements[split])
    judging.write_scenes(out / run_folder.EXAMPLES, scenes)
    run_folder.write_history(out, history, run_folder.DETECTOR_COLUMNS)
    run_folder.write_labels(out, data.class_names)
    write_json(out / run_folder.PREPROCESSING, data.preprocessing.to_dict())
    samples = choose_detection_samples(data, seed=job.given["seed"])
    write_detection_samples(out / run_folder.SAMPLES, samples)
    detector.model.trainable = True
    run_folder.save_model(out, detector.model)


def _backbone_name(backbone) -> str:
    if isinstance(backbone, Mapping):
        return str(backbone["config"].get("config", {}).get("name", "your own"))
    return backbone or "that of the family"


def _checked(given: dict) -> dict:
    """Check the arguments and return those that make the run what it is, as they go into run.json."""
    from kerasvision.detection import Detector, DetectorSpec
    from kerasvision.detection.building import check_spec
    from kerasvision.models import entry

    data, model = given["data"], given["model"]
    detection_settings.check_boxes(data)
    names = ("epochs", "batch_size", "patience", "seed", "learning_rate", "ema")
    settings.check_numbers(**{k: given[k] for k in (*names, "weight_decay", "augment_strength")})
    detection_settings.check_choices(given)
    resumable.refuse_several_machines(given["distribute"])
    if isinstance(model, Detector):
        check_detector(model, data)
    elif isinstance(model, str):
        check_spec(DetectorSpec(model, len(data.class_names), tuple(data.image_size)))
        if isinstance(given["backbone"], str):
            entry(given["backbone"])
    else:
        raise KerasvisionError(
            "`model` must be a name of kerasvision.detection.list_detectors() or a Detector. "
            f"Received: {type(model).__name__}."
        )
    phases.check_options(given)
    kept = {k: v for k, v in given.items() if k not in ("data", "out", "distribute")}
    kept["model"], kept["backbone"] = detection_settings.describe_detector(model, given["backbone"])
    kept["weights"] = settings.describe_weights(given["weights"])
    return kept
