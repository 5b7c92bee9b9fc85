"""The arguments of `train_detector`: checked, and what follows from them and from the data."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from kerasvision.errors import DataError, KerasvisionError
from kerasvision.recipes import phases
from kerasvision.recipes.settings import describe_model

HEAD_RATE = {"freeze": 1e-3, "finetune": 1e-3, "scratch": 2e-3}
ANCHORS = ("auto", "default")
ANCHOR_OPTIONS = {"anchor_scale", "scales", "smallest", "first"}  # of the builders, where a user sets sizes
BOXES_COVERED = 0.8  # with fewer, a user is told
SPECS = {"auto": "standard", None: "none"}


def check_boxes(data) -> None:
    """Refuse data that no detector can be trained on and judged by.

    Raises:
        DataError: not a `VisionData` with boxes, or no images or no boxes to train on or to validate with.
    """
    if not hasattr(data, "splits") or not hasattr(data, "iterate"):
        raise DataError(
            "`data` must be a `VisionData` with boxes, for example kv.data.pascal_voc(folder, "
            f"image_size=320). Received: {type(data).__name__}."
        )
    if data.task != "detect":
        raise DataError(
            f"`data` must have boxes (task 'detect'). Received: task {data.task!r}. Read it with "
            "kv.data.pascal_voc, coco, yolo or box_csv; for classes without boxes use train_classifier."
        )
    for split in ("train", "validation"):
        if split not in data.splits or not len(data.splits[split].labels):
            raise DataError(
                f"`data` has no {split} images. It has: {', '.join(data.splits) or 'nothing'}. "
                + (" ".join(data.notes) or "Load it with validation_fraction=0.2, for example.")
            )
        if not sum(data.counts[split].values()):
            raise DataError(
                f"`data` has no box in its {split} split ({len(data.splits[split])} images without any). "
                "There is nothing to learn or to judge by; annotate some, or cut the splits otherwise."
            )


def check_choices(given: Mapping) -> None:
    """Refuse an unknown strategy, augmentation, BatchNorm policy, or numbers outside of their range.

    Raises:
        KerasvisionError: naming the argument.
    """
    phases.check_phases(given)
    if given["anchors"] not in ANCHORS:
        raise KerasvisionError(f'`anchors` must be "auto" or "default". Received: {given["anchors"]!r}.')
    make_augmentation(given["augment"], given["augment_strength"], given["seed"])


def usual_rate(phase: str, name: str) -> float:
    """Return the highest learning rate of a phase for a detector of some name."""
    from kerasvision.detection.families import family_of

    return HEAD_RATE[phase] * (1.0 if phase == "scratch" else family_of(name).finetuning_rate)


def make_augmentation(augment, strength: float, seed: int):
    """Return the augmentation of training steps, or None.

    Raises:
        KerasvisionError: a name or a number that is not accepted.
    """
    from kerasvision.data import box_augmentation

    return phases.named_augmentation(
        partial(box_augmentation, SPECS.get(augment, augment), strength=strength, seed=seed)
    )


def choose_epochs(given: Mapping, strategy: str, images: int) -> dict[str, int]:
    """Return phase -> epochs, in order; small sets are seen more often.

    Args:
        given: `epochs` and `freeze_epochs` of the recipe.
        strategy: what is trained.
        images: number of training images.
    """
    usual = next(number for most, number in ((500, 60), (5_000, 40), (np.inf, 24)) if images < most)
    return phases.share_epochs(given, strategy, usual)


def image_weights(samples, classes: int) -> np.ndarray:
    """Return how often each training image should be seen so that rare classes are: (n,) float.

    Args:
        samples: the training split, with boxes.
        classes: number of classes.
    """
    present = np.zeros((len(samples), classes), bool)
    for row, one in zip(present, samples.boxes, strict=True):
        row[one.labels[~one.crowd]] = True
    return phases.repeats(present)


def describe_detector(model, backbone) -> tuple[object, object]:
    """Return what tells one `model` and `backbone` from another, for run.json."""
    if isinstance(model, str):
        return model, None if backbone is None else describe_model(backbone)
    from kerasvision.training.engines import weights_digest

    spec = model.spec.to_dict()
    return {"detector": spec["name"], "weights": weights_digest(model.model)}, None
