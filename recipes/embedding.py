"""Train an embedder of faces, products or animals on your own images, interrupted anywhere."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from kerasvision.files import write_json
from kerasvision.progress import say
from kerasvision.recipes import embedding_judging as judging
from kerasvision.recipes import embedding_settings as own_settings
from kerasvision.recipes import phases, resumable, run_folder, settings
from kerasvision.recipes.embedding_run import EmbedderRun
from kerasvision.recipes.embedding_samples import choose_embedding_samples
from kerasvision.recipes.embedding_training import build_embedder, solve_head, train_phases
from kerasvision.recipes.embeds import Embedder
from kerasvision.recipes.job import Job
from kerasvision.recipes.samples import write_samples
from kerasvision.training.engines import weights_digest
from kerasvision.training.precision import Precision, choose_precision


def train_face_embedder(
    data,
    out: str | os.PathLike,
    *,
    backbone="mobilenet_v2",
    weights: str | os.PathLike | None = "auto",
    loss: str = "triplet",
    mining: str | None = None,
    margin: float | str | None = None,
    distance: str = "auto",
    loss_options: Mapping | None = None,
    dimensions: int | None = 128,
    head: str = "solved",
    identities: int | None = None,
    per_identity: int = 4,
    few: str = "repeat",
    strategy: str = "auto",
    epochs: int | None = None,
    freeze_epochs: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "cosine",
    weight_decay: float = 0.01,
    augment: str | None = "auto",
    augment_strength: float = 0.3,
    batchnorm: str = "frozen",
    clip_norm: float | None = 10.0,
    mixed_precision: str | bool = "auto",
    patience: int | None = None,
    ema: float | None = None,
    false_accept_rate: float = 0.01,
    seed: int = 0,
    preprocessing: str | None = None,
    options: Mapping | None = None,
    rehearse_export: bool = True,
    distribute=None,
) -> EmbedderRun:
    """Train an embedder, judge it on identities that it never saw, and leave a run folder with everything.

    Faces are the example; products, animals or handwriting do as well. Called again with the same arguments
    after an interruption of any kind it goes on where it was; called again when it is finished it returns the
    finished run. Of all epochs the one that accepts most pairs of one identity on the validation identities,
    at the stated rate of false accepts, is kept; the threshold is chosen there too.

    Args:
        data: a `VisionData` of identities, a training and a validation split, which share no identity; for
            example of `kerasvision.data.identity_folder`.
        out: the run folder; created.
        backbone: a name of `kerasvision.embedding.list_embedders()`; your own functional network without a
            head; or a whole embedder, images to vectors (b, d), which is copied and trained further, for
            example `run.model`.
        weights: of the backbone: `"imagenet"`, a file, None (random; or those that your own has), or
            `"auto"`: `"imagenet"` for a backbone by name that has such, else None.
        loss: `"triplet"`, `"contrastive"`, `"arcface"`, `"cosface"`, `"multi_similarity"` or `"circle"`.
        mining: which triplets of a batch teach: `"semi_hard"` (the default), `"batch_hard"`, `"random"`,
            `"all"` or `"distance_weighted"`. For `loss="triplet"` only.
        margin: of the loss, in the unit of its distance; `"soft"` for triplets; None: that of the loss.
        distance: between embeddings, in the loss and ever after: `"euclidean"`, `"squared"`, `"cosine"`, or
            `"auto"`: Euclidean for triplet and contrastive loss, cosine for the others, which have no other.
        loss_options: further arguments of `kerasvision.embedding.make_loss`, for example `{"scale": 30.0}`.
        dimensions: of the embedding; None: the pooled features. A whole embedder keeps its own.
        head: where the projection of a new head begins, unless everything is trained from scratch:
            `"solved"`: at the directions of the backbone's features in which images of one identity vary
            least; `"random"`.
        identities: in a batch; default 8, or as many as there are.
        per_identity: images of each in a batch, at least 2.
        few: what becomes of identities with fewer images: `"repeat"` or `"leave_out"`.
        strategy: `"finetune"`: the head learns while the backbone is frozen, then everything, the backbone at
            three tenths of the rate. `"freeze"`: the head only. `"scratch"`: everything from the start.
            `"auto"`: `"finetune"` where the backbone has trained weights, else `"scratch"`.
        epochs: passes over the training images in all. Default: by strategy and number of batches.
        freeze_epochs: how many of them the backbone is frozen for, in `"finetune"`. Default: an eighth, at
            most 5; none for a whole embedder.
        learning_rate: the highest rate, of the head; a linear rise comes before it.
        schedule: how the rate falls after that: `"cosine"` or `"poly"`.
        weight_decay: of AdamW.
        augment: `"auto"` (flips, crops, colour), None, or what `kerasvision.data.augmentation` takes, without
            what mixes images. Leave flips out where they change the identity, as of handwriting.
        augment_strength: from 0 to 1.
        batchnorm: of the backbone: `"frozen"` (statistics and parameters stay) or `"train"`; `"scratch"`
            always trains it.
        clip_norm: largest norm of all gradients together; None: any.
        mixed_precision: `"auto"` (where the device gains), False, `"mixed_float16"`, `"mixed_bfloat16"`. A
            whole embedder keeps the precision that it was built with.
        patience: stop after so many epochs without more true accepts; default half of the epochs, at least
            10.
        ema: decay of an average of the weights, which is what is judged and kept; None: none.
        false_accept_rate: share of pairs of two identities that may be called the same; the threshold of the
            run is chosen for it on the validation identities.
        seed: of everything random.
        preprocessing: what your own backbone expects of pixels (see `kerasvision.embedding.embedder`).
        options: further arguments of `kerasvision.embedding.embedder`, for example
            `{"backbone_options": {"alpha": 0.35}}`.
        rehearse_export: convert the embedder to TFLite before a long training, to know that it can be.
        distribute: a `tf.distribute` strategy of one machine for training steps, for example
            `tf.distribute.MirroredStrategy()`.

    Returns:
        The finished run.

    Raises:
        KerasvisionError: an argument is not accepted, or images have sides that the network cannot take.
        DataError: data that cannot be trained on, an identity in two splits, or too few to choose a threshold
            by.
        RunError: `out` holds a run with other arguments or data, or another process trains there.
        WeightsError: the weights do not fit.
        TrainingError: the loss is not finite; what was reached is kept.
        ExportError: TFLite has no operation for something in the embedder.
    """
    given = dict(locals())
    arguments = _checked(given)
    out = resumable.carry_out(
        out, run_folder.EMBEDDER, arguments, data, lambda folder, record: _train(folder, record, data, given)
    )
    return EmbedderRun(out)


def _train(out: Path, record: dict, data, given: dict) -> None:
    before, started = record["seconds"].get("total", 0.0), time.monotonic()
    job = _make_job(out, record, data, given)
    say(f"Strategy: {job.strategy.name} ({job.strategy.why}).")
    with job.timed("build"), resumable.seeded(given["seed"]):
        model = build_embedder(job)
        if not any(job.checkpoints.glob("*.npz")):
            solve_head(job, model)
    job.decide(
        model=model.name,
        backbone=_backbone_name(given),
        parameters=model.count_params(),
        dimensions=model.output_shape[-1],
        margin=given["margin"] if given["margin"] is not None else own_settings.make_loss(given).margin,
        spec=own_settings.spec_of(given),
    )
    for sentence in judging.warnings_about(data):
        job.advise(sentence)
    if given["rehearse_export"]:
        with job.timed("rehearsal"):
            _rehearse_export(job, model)
    history = train_phases(job, model)
    with job.timed("judge"):
        _judge(job, model, history)
    resumable.finish(job, started, before)
    judging.write_report(out)
    resumable.clear(out)


def _make_job(out: Path, record: dict, data, given: dict) -> Job:
    whole = own_settings.is_embedder(given["backbone"])
    pretrained = given["weights"] is not None or not isinstance(given["backbone"], str)
    strategy = phases.choose_strategy(given["strategy"], pretrained=pretrained)
    precision = choose_precision(given["mixed_precision"])
    if whole:
        precision = Precision("float32", "that of your own embedder")
    job = Job(out, record, data, given, strategy, precision, None)
    job.decide(strategy=strategy.name, strategy_why=strategy.why)
    if strategy.name == "freeze" and not pretrained:
        job.advise(
            "The frozen backbone has random weights, so the head sees hardly more than chance. Train with "
            '`weights="imagenet"` or `strategy="scratch"`.'
        )
    return job


def _rehearse_export(job: Job, model) -> None:
    if job.record["decided"].get("rehearsed"):
        return
    from kerasvision.export import rehearse_embedder

    say("Rehearsing the export: is there an operation for everything in the embedder?")
    rehearse_embedder(model)
    job.decide(rehearsed=True)


def _judge(job: Job, model, history) -> None:
    """Write everything but the report, which wants the seconds of all this."""
    out, data, given = job.out, job.data, job.given
    rate, seed = given["false_accept_rate"], given["seed"]
    embedder = Embedder.of_model(model, data.preprocessing, given["distance"])
    judged = {"validation": judging.choose_threshold(embedder, data, rate, seed=seed)}
    embedder = embedder.at(judged["validation"].judgement.threshold, rate)
    if "test" in data.splits:
        judged["test"] = judging.judge_on(embedder, data, "test", seed=seed)
    judging.write_metrics(out, {split: one.judgement for split, one in judged.items()})
    split = judging.judged_split(judged)
    judging.write_shown(out / run_folder.EXAMPLES, judging.look(judged[split], data, split, seed))
    job.decide(
        threshold=embedder.threshold,
        false_accept_rate=rate,
        distance=given["distance"],
        fingerprint=weights_digest(model),
    )
    run_folder.write_history(out, history, run_folder.EMBEDDER_COLUMNS)
    run_folder.write_labels(out, data.class_names)
    write_json(out / run_folder.PREPROCESSING, data.preprocessing.to_dict())
    write_samples(out / run_folder.SAMPLES, choose_embedding_samples(data, seed=seed))
    model.trainable = True
    run_folder.save_model(out, model)


def _backbone_name(given: Mapping) -> str:
    backbone = given["backbone"]
    return backbone if isinstance(backbone, str) else backbone.name


def _checked(given: dict) -> dict:
    """Check the arguments and return those that make the run what it is, as they go into run.json."""
    own_settings.check_identities(given["data"])
    own_settings.check_batches(given)
    own_settings.resolve(given)
    names = ("epochs", "patience", "seed", "learning_rate", "ema", "weight_decay", "augment_strength")
    settings.check_numbers(**{name: given[name] for name in names})
    own_settings.check_choices(given)
    resumable.refuse_several_machines(given["distribute"])
    whole = own_settings.is_embedder(given["backbone"])
    phases.check_options(given | ({"backbone": None} if whole else {}))
    own_settings.check_network(given)
    kept = {k: v for k, v in given.items() if k not in ("data", "out", "distribute")}
    kept["backbone"] = own_settings.describe_backbone(given["backbone"])
    kept["weights"] = settings.describe_weights(given["weights"])
    return kept
