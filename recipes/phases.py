"""What trainings of a backbone with new heads share: their phases, rates and checks."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np

from kerasvision.errors import DataError, KerasvisionError
from kerasvision.progress import say
from kerasvision.recipes.job import Job
from kerasvision.recipes.settings import STRATEGIES, Strategy
from kerasvision.training import Fitted, Group, Plan, Training, set_backbone_trainable

BACKBONE_FACTOR = 0.3
MOST_FREEZE_EPOCHS = 5
SCHEDULES = ("poly", "cosine")
WARMUP_EPOCHS = 2.0
MOST_REPEATS = 4.0  # how much more often an image is seen for its rare classes than others


def check_phases(given: Mapping) -> None:
    """Refuse an unknown strategy or BatchNorm policy, or numbers of the phases outside of their range.

    Raises:
        KerasvisionError: naming the argument.
    """
    choose_strategy(given["strategy"], pretrained=True)
    if given["batchnorm"] not in ("frozen", "train"):
        raise KerasvisionError(f'`batchnorm` must be "frozen" or "train". Received: {given["batchnorm"]!r}.')
    balance = given.get("class_balance", False)
    if not isinstance(balance, bool):
        raise KerasvisionError(f"`class_balance` must be True or False. Received: {balance!r}.")
    clip = given["clip_norm"]
    if clip is not None and not (isinstance(clip, int | float) and 0 < clip < np.inf):
        raise KerasvisionError(f"`clip_norm` must be a number above 0, or None. Received: {clip!r}.")
    freeze, epochs = given["freeze_epochs"], given["epochs"]
    if freeze is not None and (isinstance(freeze, bool) or not isinstance(freeze, int) or freeze < 0):
        raise KerasvisionError(f"`freeze_epochs` must be a whole number from 0. Received: {freeze!r}.")
    if freeze and epochs and freeze >= epochs and given["strategy"] != "freeze":
        raise KerasvisionError(
            f"`freeze_epochs` must be fewer than `epochs`, of which they are a part. Received: {freeze} of "
            f"{epochs}. To train the heads only, use strategy='freeze'."
        )


def check_options(given: Mapping) -> None:
    """Refuse builder's options that are no mapping, and a backbone of one's own without its preprocessing.

    Raises:
        KerasvisionError: naming the argument.
    """
    if given["options"] is not None and not isinstance(given["options"], Mapping):
        raise KerasvisionError(
            f"`options` must be a mapping of names to values, or None. Received: {given['options']!r}."
        )
    own = given["backbone"] is not None and not isinstance(given["backbone"], str)
    if own and given["preprocessing"] is None:
        raise KerasvisionError(
            "`preprocessing` must be stated for your own backbone: 'included' if it takes raw RGB, else "
            "'tf', 'zero_one', 'torch' or 'caffe'."
        )


def choose_strategy(strategy: str, *, pretrained: bool) -> Strategy:
    """Decide what is trained: `"auto"` finetunes what has trained weights, and else trains from scratch.

    Raises:
        KerasvisionError: an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise KerasvisionError(
            f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}. Received: {strategy!r}."
        )
    if strategy != "auto":
        return Strategy(strategy, "asked for")
    if not pretrained:
        return Strategy("scratch", "the weights are random, so there is nothing worth freezing")
    return Strategy(
        "finetune", "the backbone has trained weights: the new heads learn first, then all learn together"
    )


def share_epochs(given: Mapping, strategy: str, usual: int) -> dict[str, int]:
    """Return phase -> epochs, in order.

    Args:
        given: `epochs` and `freeze_epochs` of the recipe.
        strategy: what is trained.
        usual: epochs where none are given; training from scratch takes half as many more.
    """
    epochs = given["epochs"] or (usual if strategy != "scratch" else int(usual * 1.5))
    if strategy != "finetune":
        return {strategy: epochs}
    freeze = given["freeze_epochs"]
    if freeze is None:
        freeze = min(MOST_FREEZE_EPOCHS, max(1, epochs // 8)) if epochs > 1 else 0
    return ({"freeze": freeze} if freeze else {}) | {"finetune": max(1, epochs - freeze)}


def check_schedule(name: str) -> None:
    """Refuse an unknown fall of the learning rate.

    Raises:
        KerasvisionError: naming those there are.
    """
    if name not in SCHEDULES:
        raise KerasvisionError(f'`schedule` must be "poly" or "cosine". Received: {name!r}.')


def make_schedule(name: str, *, peak: float, epochs: int) -> Callable[[int, int], float]:
    """Return `(step, steps in all) -> learning rate`: a linear rise, then a fall until the end."""
    from kerasvision.training import poly, warmup_cosine

    curve = {"poly": poly, "cosine": warmup_cosine}[name]
    share = min(WARMUP_EPOCHS, epochs / 5) / epochs

    def rate(step: int, steps: int) -> float:
        return curve(step, peak=peak, steps=steps, warmup=round(share * steps))

    return rate


def check_own_precision(mixed_precision, argument: str) -> None:
    """Refuse to change the precision of a whole network of the user's, which is given as `argument`.

    Raises:
        KerasvisionError: another precision than float32 is asked for.
    """
    if mixed_precision not in ("auto", False, "float32"):
        raise KerasvisionError(
            '`mixed_precision` must be "auto" or False with a network of your own as '
            f"`{argument}`, which keeps the precision that it was built with. Received: {mixed_precision!r}."
        )


def named_augmentation(make: Callable):
    """Return what `make()` gives, or None where it does nothing, with errors in the words of a recipe.

    Raises:
        KerasvisionError: a name or a number that is not accepted.
    """
    try:
        change = make()
    except DataError as error:
        message = str(error).replace("`spec`", "`augment`").replace("`strength`", "`augment_strength`")
        raise KerasvisionError(message) from None
    return change if change.names else None


def repeats(present: np.ndarray) -> np.ndarray:
    """Return how often each training image should be seen so that rare classes are: (n,) float.

    An image counts by the rarest class on it: the root of how many more images have the most frequent
    class, up to four. Images without any class count 1.

    Args:
        present: (n, classes) bool, which classes are on which image.

    Source: repeat factors of Gupta et al., LVIS, 2019, section on sampling, relative to the most frequent
    class instead of a stated share.
    """
    images = present.sum(0)
    wanted = np.sqrt(images.max() / np.maximum(images, 1))
    return np.minimum(np.where(present, wanted, 1.0).max(1), MOST_REPEATS)


def make_groups(
    model, backbone_layers: Collection[str], *, rate: float, phase: str, weight_decay: float
) -> list[Group]:
    """Return the heads and the backbone with an optimizer each; the backbone moves slower in `finetune`."""
    import keras

    inside = set(backbone_layers)
    heads = [v for layer in model.layers if layer.name not in inside for v in layer.trainable_variables]
    backbone = [v for layer in model.layers if layer.name in inside for v in layer.trainable_variables]
    factor = BACKBONE_FACTOR if phase == "finetune" else 1.0
    groups = []
    for variables, share in ((heads, 1.0), (backbone, factor)):
        if not variables:
            continue
        optimizer = keras.optimizers.AdamW(rate, weight_decay=weight_decay)
        # Decay is for kernels: shrinking an offset or a normalisation's scale regularises nothing.
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        groups.append(Group(optimizer, variables, share))
    return groups


@dataclass(frozen=True, eq=False)
class Phase:
    """A phase of a training, which says what is trained before each of its parts is traced.

    Attributes:
        training: not begun yet, or to be gone on with.
        set_flags: sets the `trainable` flags of all layers.
    """

    training: Training
    set_flags: Callable[[], None]


def prepare(job: Job, model, backbone_layers: Collection[str], plan: Plan, **parts) -> Phase:
    """Return a phase, not begun yet.

    Args:
        job: the run in the making.
        model: what is trained, made in the scope of the job's strategy.
        backbone_layers: names of the layers of its backbone.
        plan: of the phase, which is `freeze`, `finetune` or `scratch`.
        **parts: of `Training`: `objective`, `augmentation`, `checkpoints`, `validate`.
    """
    given, distribute = job.given, job.given["distribute"]
    batchnorm = "train" if plan.phase == "scratch" else given["batchnorm"]
    set_flags = partial(
        set_backbone_trainable, model, backbone_layers, plan.phase != "freeze", batchnorm=batchnorm
    )
    set_flags()
    with distribute.scope() if distribute is not None else nullcontext():
        groups = make_groups(
            model,
            backbone_layers,
            rate=plan.learning_rate,
            phase=plan.phase,
            weight_decay=given["weight_decay"],
        )
    return Phase(Training(model, job.data, plan, groups, strategy=distribute, **parts), set_flags)


def rehearse(phases: Sequence[Phase], validation) -> None:
    """Try a step of each phase that has not begun, and of the validation."""
    say("Rehearsing a step of each phase and of the validation: what fails, fails now.")
    for phase in reversed(phases):  # the last phase needs the most memory
        if not phase.training.begun:
            phase.set_flags()
            phase.training.rehearse()
    if not any(phase.training.begun for phase in phases):
        validation.rehearse()


def run_phases(job: Job, phases: Sequence[Phase], figure: str) -> list[dict]:
    """Train the phases one after the other; return the rows of the history.

    Args:
        job: the run in the making.
        phases: rehearsed.
        figure: what the best epoch is chosen by, in words.
    """
    history, planned = [], sum(phase.training.plan.epochs for phase in phases)
    for phase in phases:
        phase.set_flags()
        with job.timed("training"):
            fitted = phase.training.run()
        _report(job, phase.training.plan, fitted, figure, planned)
        history += fitted.history
    return history


def _report(job: Job, plan: Plan, fitted: Fitted, figure: str, planned: int) -> None:
    last = len(fitted.history)
    stop = f", stopped after epoch {last}" if fitted.stopped_early else ""
    epochs = f"{plan.epochs} epoch{'' if plan.epochs == 1 else 's'} planned{stop}"
    kept = f"epoch {fitted.best_epoch} kept" if fitted.best_epoch else "the weights of before kept"
    text = f"{epochs}, {kept}; learning rate {plan.learning_rate:g}"
    job.decide(settings=f"batches of {plan.batch_size}, {job.precision.policy} ({job.precision.why})")
    job.decide(**{plan.phase: text})
    if plan.phase == "finetune" and fitted.best_epoch == 0:
        job.advise(
            f"Training the backbone too could not improve {figure} on the validation images, so the weights "
            "of before were kept."
        )
    if not fitted.stopped_early and fitted.best_epoch == plan.epochs > 1 and plan.phase != "freeze":
        job.advise(f"The last epoch was the best one: more epochs than {planned} may give a better result.")
    say(f"{plan.phase}: best epoch {fitted.best_epoch} of {last}.")
