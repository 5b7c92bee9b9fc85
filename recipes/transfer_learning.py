"""Train a classifier on your own photos: frozen, fine-tuned or from scratch, interrupted anywhere."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.files import write_json
from kerasvision.progress import say
from kerasvision.recipes import finetuning, judging, resumable, run_folder, settings
from kerasvision.recipes.converted import convert_and_keep
from kerasvision.recipes.frozen import Backbone, train_frozen
from kerasvision.recipes.job import Job, build_model, make_job
from kerasvision.recipes.run import Run
from kerasvision.recipes.samples import choose_samples, write_samples
from kerasvision.training import make_engine
from kerasvision.training.engines import conversion_seconds

# A network that converts in so many seconds is kept converted too: predicting then starts at once, without
# TensorFlow. A larger one is converted when many images are predicted for the first time.
KEPT_SECONDS = 3.0


def train_classifier(
    data,
    out: str | os.PathLike,
    *,
    model="mobilenet_v2",
    weights: str | os.PathLike | None = "imagenet",
    strategy: str = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float = 0.01,
    augment: str | None = "auto",
    augment_strength: float = 0.5,
    views: int | None = None,
    finetune_stages: int | str = "all",
    batchnorm: str = "frozen",
    class_weights: str | Mapping[str, float] | None = None,
    label_smoothing: float | None = None,
    dropout: float = 0.2,
    mixed_precision: str | bool = "auto",
    patience: int | None = None,
    ema: float | None = None,
    seed: int = 0,
    engine: str = "auto",
    rehearse_export: bool = True,
    preprocessing: str | None = None,
    distribute=None,
) -> Run:
    """Train a classifier, judge it, and leave a run folder with everything.

    Called again with the same arguments after an interruption of any kind it goes on where it was; called
    again when it is finished it returns the finished run.

    Args:
        data: a `VisionData` with a training and a validation split, for example of
            `kerasvision.data.image_folder`.
        out: the run folder; created.
        model: a name of `kerasvision.models.list_models("classify")`, or your own functional backbone.
        weights: `"imagenet"`, a file, or None (random; or those that your own backbone has).
        strategy: `"freeze"`: only the last layer is trained, on features that are computed once.
            `"finetune"`: from the frozen solution on, the network is trained too, at a lower rate; ends no
            worse on the validation images than `"freeze"`. `"scratch"`: everything, from the weights
            that are there. `"auto"`: by the number of training images; the report says why.
        epochs: passes over the training images. Default: by strategy and number of images. For `"freeze"`,
            the most passes over the cached features for each strength of the penalty.
        batch_size: images of a step; default that of the data.
        learning_rate: the highest rate, of the head; the backbone's is three tenths of it in `"finetune"`.
        weight_decay: of AdamW; `"freeze"` has a penalty of its own that validation chooses.
        augment: `"auto"` (none for `"freeze"`; flip and crop otherwise), None, or what
            `kerasvision.data.augmentation` takes: `"flip+crop+randaugment"`, `"strong"`, …
        augment_strength: from 0 to 1.
        views: for `"freeze"`: how many times each image is seen, the first time as it is, then augmented.
            Default 1, or 4 when `augment` is named.
        finetune_stages: `"all"`, or the last N stages of the backbone.
        batchnorm: `"frozen"` (statistics and parameters stay) or `"train"`; `"scratch"` always trains it.
        class_weights: None, `"auto"` (rare classes count more), or class name -> weight.
        label_smoothing: share of each target spread over all classes; default 0 for `"freeze"`, else 0.1.
        dropout: before the last layer, in `"finetune"` and `"scratch"`.
        mixed_precision: `"auto"` (where the device gains), False, `"mixed_float16"`, `"mixed_bfloat16"`.
        patience: stop after so many epochs without a better validation score; default half of
            `epochs`, at least 5.
        ema: decay of an average of the weights that is judged and kept, for example 0.999; None: none.
        seed: of everything random.
        engine: that computes features: `"litert"`, `"graph"`, or `"auto"`: the one that is done first.
        rehearse_export: convert the network to TFLite before a long training, to know that it can be.
        preprocessing: what your own backbone expects of pixels (see `kerasvision.models.classifier`).
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
        ExportError: TFLite has no operation for something in the model.
    """
    given = dict(locals())
    arguments = _checked(given)
    out = resumable.carry_out(
        out,
        run_folder.CLASSIFIER,
        arguments,
        data,
        lambda folder, record: _train(folder, record, data, given),
    )
    return Run.load(out)


def _train(out: Path, record: dict, data, given: dict) -> None:
    before, started = record["seconds"].get("total", 0.0), time.monotonic()
    job = make_job(out, record, data, given)
    say(f"Strategy: {job.strategy.name} ({job.strategy.why}).")
    with job.timed("build"), resumable.seeded(given["seed"]):
        model = build_model(job)
    job.decide(model=model.name, parameters=model.count_params())
    history, probabilities, backbone = _fit(job, model)
    with job.timed("judge"):
        mistakes = _judge(job, model, history, probabilities)
    judging.write_mistakes(out / run_folder.MISTAKES, mistakes)
    resumable.finish(job, started, before)
    judging.write_report(out)
    resumable.clear(out)
    if backbone or (job.given["rehearse_export"] and conversion_seconds(model) <= KEPT_SECONDS):
        convert_and_keep(out, model, backbone)


def _fit(job: Job, model) -> tuple[list[dict], dict[str, np.ndarray], bytes | None]:
    """Train by the strategy.

    Returns:
        The rows of the history, the probabilities of held-out splits, and the final backbone as TFLite file
        where it was converted on the way.
    """
    strategy, history = job.strategy.name, []
    backbone = Backbone(job, model) if strategy != "scratch" else None
    if strategy != "freeze":
        with job.timed("rehearsal"):
            training, trained = finetuning.prepare(job, model)
            if not training.begun:
                training.rehearse()
    # LiteRT computes the features of a network that it could convert; nothing is left to rehearse then.
    if job.given["rehearse_export"] and (backbone is None or backbone.engine.name != "litert"):
        with job.timed("rehearsal"):
            _rehearse_export(job, model)
    if backbone is not None:
        solution, probabilities = train_frozen(job, model, backbone)
        history += solution.history
    if strategy != "freeze":
        history += finetuning.finish(job, training, trained, model).history
        with job.timed("judge"):
            probabilities = _probabilities(job, model)
        return history, probabilities, None
    return history, probabilities, backbone.engine.content() if backbone.engine.content else None


def _rehearse_export(job: Job, model) -> None:
    if job.record["decided"].get("rehearsed"):
        return
    from kerasvision.export import rehearse

    rehearse(model)
    job.decide(rehearsed=True)


def _probabilities(job: Job, model) -> dict[str, np.ndarray]:
    count = sum(len(job.data.splits[split].labels) for split in job.held_out)
    run = make_engine(model, count).run
    return {
        split: np.concatenate([run(images) for images, _ in job.data.iterate(split, batch_size=32)])
        for split in job.held_out
    }


def _judge(job: Job, model, history, probabilities) -> list:
    """Write everything but the report, which wants the seconds of all this; return the mistakes."""
    out, data = job.out, job.data
    judgements = judging.judge_splits(probabilities, data)
    judging.write_metrics(out, judgements)
    run_folder.write_history(out, history)
    run_folder.write_labels(out, data.class_names)
    write_json(out / run_folder.PREPROCESSING, data.preprocessing.to_dict())
    write_samples(out / run_folder.SAMPLES, choose_samples(data, seed=job.given["seed"]))
    model.trainable = True
    run_folder.save_model(out, model)
    split = judging.judged_split(judgements)
    return judging.find_mistakes(model, data, split, probabilities[split])


def _checked(given: dict) -> dict:
    """Check the arguments and return those that make the run what it is, as they go into run.json."""
    settings.check_data(given["data"])
    settings.check_numbers(
        **{
            name: given[name]
            for name in (
                "epochs",
                "batch_size",
                "views",
                "patience",
                "seed",
                "learning_rate",
                "label_smoothing",
                "dropout",
                "ema",
                "weight_decay",
                "augment_strength",
            )
        }
    )
    settings.choose_strategy(given["strategy"], images=1, pretrained=True)
    settings.check_augment(given["augment"], given["augment_strength"])
    settings.class_weights_of(given["class_weights"], given["data"])
    if given["batchnorm"] not in ("frozen", "train"):
        raise KerasvisionError(f'`batchnorm` must be "frozen" or "train". Received: {given["batchnorm"]!r}.')
    resumable.refuse_several_machines(given["distribute"])
    kept = {k: v for k, v in given.items() if k not in ("data", "out", "distribute")}
    kept["model"] = settings.describe_model(given["model"])
    kept["weights"] = settings.describe_weights(given["weights"])
    return kept
