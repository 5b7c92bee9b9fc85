"""The arguments of `train_classifier`: checked, and what follows from them and from the data."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import DataError, KerasvisionError

STRATEGIES = ("auto", "freeze", "finetune", "scratch")
# Below so many training images, "auto" trains the head only; docs/decisions.md has the measurement.
FINETUNE_FROM = 500
HEAD_RATE = {"finetune": 1e-3, "scratch": 3e-3}
# On 1,000 flower photos a tenth ended at 81.8 % (validation loss 0.59), three tenths at 82.8 % (0.52).
BACKBONE_FACTOR = 0.3
LARGEST_CLASS_WEIGHT = 10.0


@dataclass(frozen=True)
class Strategy:
    """What is trained, and why."""

    name: str
    why: str


def choose_strategy(strategy: str, *, images: int, pretrained: bool) -> Strategy:
    """Decide what is trained.

    The rule of `"auto"`: random weights leave nothing to freeze, so `"scratch"`. With trained weights and
    fewer than 500 training images `"freeze"`: it is done in seconds, and a fifth of so few images held out
    for validation cannot tell a better network from a luckier one. From 500 on `"finetune"`, which takes
    minutes, starts from the frozen solution and keeps it where it cannot be improved.

    Args:
        strategy: what was asked for.
        images: number of training images.
        pretrained: whether the backbone has trained weights.
    """
    if strategy not in STRATEGIES:
        raise KerasvisionError(
            f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}. Received: {strategy!r}."
        )
    if strategy != "auto":
        return Strategy(strategy, "asked for")
    if not pretrained:
        return Strategy("scratch", "the weights are random, so there is nothing worth freezing")
    if images < FINETUNE_FROM:
        why = f"fewer than {FINETUNE_FROM} training images ({images}): done in seconds, few to judge more by"
        return Strategy("freeze", why)
    why = f"{images:,} training images, {FINETUNE_FROM} or more, are enough to train the network itself"
    return Strategy("finetune", why)


def default_epochs(strategy: str, images: int) -> int | None:
    """Return the number of epochs where none is given: more for small sets; None is the solver's own."""
    if strategy == "freeze":
        return None
    if strategy == "scratch":
        return 60 if images < 5000 else 40
    return 12 if images < 5000 else 8


def class_weights_of(class_weights, data) -> np.ndarray | None:
    """Return (classes,) weights with mean 1 over the training images, or None.

    Args:
        class_weights: None, `"auto"` (each class counts the same, whatever its number of images, up to ten
            times the weight of another), or a mapping of class name to weight.
        data: a `VisionData`.

    Raises:
        KerasvisionError: another value, a class that is not there or left out, or a weight below 0.
    """
    if class_weights is None:
        return None
    counts = np.array([data.counts["train"][name] for name in data.class_names], float)
    if isinstance(class_weights, Mapping):
        wrong = sorted(set(class_weights) ^ set(data.class_names))
        if wrong:
            raise KerasvisionError(
                f"`class_weights` must have a weight for each class and no other. Wrong or missing: "
                f"{', '.join(map(repr, wrong))}."
            )
        weights = np.array([float(class_weights[name]) for name in data.class_names])
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights @ counts > 0):
            raise KerasvisionError(f"`class_weights` must be 0 or more. Received: {dict(class_weights)}.")
    elif class_weights == "auto":
        weights = np.where(counts > 0, counts.max() / np.maximum(counts, 1), 0.0)
        weights = np.minimum(weights, LARGEST_CLASS_WEIGHT)
    else:
        raise KerasvisionError(
            '`class_weights` must be None, "auto" or a mapping of class name to weight. '
            f"Received: {class_weights!r}."
        )
    return (weights * counts.sum() / (weights @ counts)).astype(np.float32)


def check_data(data) -> None:
    """Refuse data that cannot be trained on and judged by.

    Raises:
        DataError: no training or validation images, or fewer than two classes.
    """
    check_classification(data, ("train", "validation"))


def check_classification(data, splits: tuple[str, ...] = ("train",)) -> None:
    """Refuse data of another task, without images in these splits, or with training images of one class only.

    Raises:
        DataError: saying which.
    """
    if not hasattr(data, "splits") or not hasattr(data, "iterate"):
        raise DataError(
            "`data` must be a `VisionData`, for example kv.data.image_folder(folder, image_size=160). "
            f"Received: {type(data).__name__}."
        )
    if data.task != "classify":
        raise DataError(
            f"`data` must be images of one class each. Received: task {data.task!r}. Train on boxes with "
            "train_detector, on masks with train_segmenter."
        )
    for split in splits:
        if split not in data.splits or not len(data.splits[split].labels):
            raise DataError(
                f"`data` has no {split} images. It has: {', '.join(data.splits) or 'nothing'}. "
                + (" ".join(data.notes) or "Load it with validation_fraction=0.2, for example.")
            )
    present = [name for name, count in data.counts["train"].items() if count]
    if len(present) < 2:
        raise DataError(
            f"`data` must have training images of at least two classes. It has: {', '.join(present)}."
        )


def check_numbers(**given) -> None:
    """Refuse numbers outside of their range; None is always accepted.

    Raises:
        KerasvisionError: naming the argument and its range.
    """
    ranges = {
        "epochs": (int, 1, None),
        "batch_size": (int, 1, None),
        "views": (int, 1, None),
        "patience": (int, 1, None),
        "seed": (int, 0, None),
        "learning_rate": (float, 0, None),
        "momentum": (float, 0, 1),
        "warmup_epochs": (float, 0, None),
        "label_smoothing": (float, 0, 1),
        "dropout": (float, 0, 1),
        "ema": (float, 0, 1),
        "weight_decay": (float, 0, None),
        "augment_strength": (float, 0, 1),
    }
    for name, value in given.items():
        kind, low, high = ranges[name]
        if value is None:
            continue
        types = (int, np.integer) if kind is int else (int, float, np.integer, np.floating)
        good = isinstance(value, types) and not isinstance(value, bool) and np.isfinite(value)
        inside = good and value >= low and (high is None or value < high or name == "augment_strength")
        if name == "learning_rate" and good and value == 0:
            inside = False
        if not inside:
            what = "a whole number" if kind is int else "a number"
            span = f"from {low}" if high is None else f"from {low} to below {high}"
            raise KerasvisionError(f"`{name}` must be {what} {span}. Received: {value!r}.")


def check_augment(augment, strength: float) -> None:
    """Refuse an unknown augmentation before anything is begun.

    Raises:
        KerasvisionError: naming what is known.
    """
    if augment in (None, "auto", "none"):
        return
    from kerasvision.data import augmentation

    try:
        augmentation(augment, strength=strength)
    except DataError as error:
        raise KerasvisionError(str(error).replace("`spec`", "`augment`")) from None


def describe_model(model) -> object:
    """Return what tells one `model` argument from another, for run.json."""
    if isinstance(model, str):
        from kerasvision.models import entry

        return entry(model).name  # so that ResNet50 and resnet50 are one, and a typing error is seen at once
    from kerasvision.training.engines import weights_digest

    return {"keras.Model": getattr(model, "name", type(model).__name__), "weights": weights_digest(model)}


def describe_weights(weights) -> object:
    """Return what tells one `weights` argument from another, for run.json."""
    if weights is None or not os.path.isfile(weights):
        return None if weights is None else os.fspath(weights)
    from kerasvision.files import sha256

    return {"file": os.fspath(weights), "sha256": sha256(weights)}
