"""The phase that trains the network itself, from the frozen solution or from scratch."""

from contextlib import nullcontext

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.progress import say
from kerasvision.recipes import settings
from kerasvision.recipes.job import Job, build_model
from kerasvision.training import Checkpoints, Fitted, Group, Plan, Training, set_trainable

NOT_BETTER = (
    "Fine-tuning could not improve the frozen solution on the validation images, so that was kept. A lower "
    "`learning_rate` or more epochs may help; a network that knew these classes before has little to gain."
)


def prepare(job: Job, model) -> tuple[Training, object]:
    """Return the training, not begun yet, and the model that it trains.

    That is `model` itself, or a copy under mixed precision or a distribution strategy.
    """
    plan = make_plan(job)
    distribute = job.given["distribute"]
    own = distribute is not None or job.precision.policy != "float32"
    with distribute.scope() if distribute is not None else nullcontext():
        trained = build_model(job, job.precision.policy) if own else model
        scratch = job.strategy.name == "scratch"
        set_trainable(
            trained,
            "all" if scratch else job.given["finetune_stages"],
            batchnorm="train" if scratch else job.given["batchnorm"],
        )
        groups = make_groups(trained, job, plan.learning_rate)
    training = Training(
        trained,
        job.data,
        plan,
        groups,
        augmentation=make_augmentation(job),
        checkpoints=Checkpoints(job.checkpoints, plan.phase),
        strategy=distribute,
    )
    return training, trained


def make_plan(job: Job) -> Plan:
    """Return how to train, with the defaults of the strategy where nothing was given."""
    given, name = job.given, job.strategy.name
    epochs = given["epochs"] or settings.default_epochs(name, job.images)
    smoothing = given["label_smoothing"]
    return Plan(
        phase=name,
        epochs=epochs,
        batch_size=batch_size(job),
        learning_rate=given["learning_rate"] or settings.HEAD_RATE[name],
        warmup_epochs=min(1.0, epochs / 5),
        seed=given["seed"],
        label_smoothing=0.1 if smoothing is None else smoothing,
        class_weights=job.class_weights,
        # The rate falls until the end, and much is gained there, so patience is long.
        patience=given["patience"] or max(5, epochs // 2),
        ema=given["ema"] or None,
        keep_initial=name == "finetune",
        loss_scaling=job.precision.scales_loss,
    )


def batch_size(job: Job) -> int:
    """Return the images of a step: as given, at most all, and a multiple of the devices."""
    wanted = job.given["batch_size"] or job.data.batch_size
    if job.given["distribute"] is None:
        return min(wanted, job.images)
    replicas = job.given["distribute"].num_replicas_in_sync
    if job.given["batch_size"] and wanted % replicas:
        raise KerasvisionError(
            f"`batch_size` must be a multiple of the {replicas} devices. Received: {wanted}. "
            f"Give {-(-wanted // replicas) * replicas}."
        )
    return -(-wanted // replicas) * replicas


def make_groups(model, job: Job, rate: float) -> list[Group]:
    """Return the head and the rest with an optimizer each; the rest moves slower, except from scratch."""
    import keras

    head = {id(v) for v in model.get_layer("predictions").trainable_variables}
    parts = (
        ([v for v in model.trainable_variables if id(v) in head], 1.0),
        (
            [v for v in model.trainable_variables if id(v) not in head],
            1.0 if job.strategy.name == "scratch" else settings.BACKBONE_FACTOR,
        ),
    )
    groups = []
    for variables, factor in parts:
        if not variables:
            continue
        optimizer = keras.optimizers.AdamW(rate, weight_decay=job.given["weight_decay"])
        # Decay is for kernels: shrinking an offset or a normalisation's scale regularises nothing.
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        groups.append(Group(optimizer, variables, factor))
    return groups


def make_augmentation(job: Job):
    """Return the augmentation of training steps, or None."""
    spec = {"auto": "light", None: "none"}.get(job.given["augment"], job.given["augment"])
    if spec == "none":
        return None
    from kerasvision.data import augmentation

    return augmentation(spec, strength=job.given["augment_strength"], seed=job.given["seed"])


def finish(job: Job, training: Training, trained, model) -> Fitted:
    """Train to the end and put the best weights into the model that is kept."""
    if trained is not model:
        trained.set_weights(model.get_weights())
    with job.timed("training"):
        fitted = training.run()
    if trained is not model:
        model.set_weights([np.asarray(w) for w in trained.weights])
    plan = training.plan
    last = len(fitted.history)
    stop = f", stopped after epoch {last}" if fitted.stopped_early else ""
    job.decide(
        finetune=(
            f"{plan.epochs} epochs planned{stop}, best epoch {fitted.best_epoch}; batches of "
            f"{plan.batch_size}, learning rate {plan.learning_rate:g}, label smoothing "
            f"{plan.label_smoothing:g}, "
            f"{job.precision.policy} ({job.precision.why})"
        ),
    )
    if fitted.best_epoch == 0 and job.strategy.name == "finetune":
        job.advise(NOT_BETTER)
        say(NOT_BETTER)
    if not fitted.stopped_early and fitted.best_epoch == plan.epochs and plan.epochs > 1:
        job.advise(
            f"The last epoch was the best one: more epochs than {plan.epochs} may give a better result."
        )
    say(f"Trained: best epoch {fitted.best_epoch} of {last}.")
    return fitted
