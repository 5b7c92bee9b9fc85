"""The arguments of `train_segmenter`: checked, and what follows from them and from the data."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from kerasvision.errors import DataError, KerasvisionError
from kerasvision.recipes import phases
from kerasvision.recipes.settings import describe_model

HEAD_RATE = {"freeze": 1e-3, "finetune": 1e-3, "scratch": 2e-3}
LARGEST_CLASS_WEIGHT = 20.0
SPECS = {"auto": "standard", None: "none"}


def check_masks(data) -> None:
    """Refuse data that no segmenter can be trained on and judged by.

    Raises:
        DataError: not a `VisionData` with masks, fewer than two classes, or no images or nothing but void to
            train on or to validate with.
    """
    if not hasattr(data, "splits") or not hasattr(data, "iterate"):
        raise DataError(
            "`data` must be a `VisionData` with masks, for example kv.data.masks(images, masks, "
            f"image_size=256). Received: {type(data).__name__}."
        )
    if data.task != "segment":
        raise DataError(
            f"`data` must have masks (task 'segment'). Received: task {data.task!r}. Read it with "
            "kv.data.masks, coco_masks, pascal_voc_masks or camvid; for boxes use train_detector, for "
            "classes of whole images train_classifier."
        )
    if len(data.class_names) < 2:
        raise DataError(
            f"`data` must have at least two classes. It has: {', '.join(data.class_names)}. What is not of "
            "interest is a class too, for example 'background'."
        )
    for split in ("train", "validation"):
        if split not in data.splits or not len(data.splits[split].labels):
            raise DataError(
                f"`data` has no {split} images. It has: {', '.join(data.splits) or 'nothing'}. "
                + (" ".join(data.notes) or "Load it with validation_fraction=0.2, for example.")
            )
        if not data.splits[split].masks.pixels.sum():
            raise DataError(
                f"Every pixel of the {split} split is void ({len(data.splits[split])} images). There is "
                "nothing to learn or to judge by; check which values the masks have, and which of them is "
                "`void`."
            )


def check_choices(given: Mapping) -> None:
    """Refuse an unknown strategy, rate, loss or augmentation, or numbers outside of their range.

    Raises:
        KerasvisionError: naming the argument.
    """
    phases.check_phases(given)
    phases.check_schedule(given["schedule"])
    make_augmentation(given["augment"], given["augment_strength"], given["seed"])
    weights_of_classes(given["class_weights"], given["data"])
    make_loss(given["loss"], None)


def make_loss(name: str, weights: np.ndarray | None) -> Callable:
    """Return the loss of label maps.

    Raises:
        KerasvisionError: a name that is not known.
    """
    from kerasvision import segmentation

    if not isinstance(name, str):
        raise KerasvisionError(f"`loss` must be a text such as 'cross_entropy'. Received: {name!r}.")
    try:
        return segmentation.make_loss(name, weights=weights)
    except KerasvisionError as error:
        raise KerasvisionError(f"`loss` is not known. {error}") from None


def weights_of_classes(class_weights, data) -> np.ndarray | None:
    """Return (classes,) weights of pixels by their class, or None.

    Args:
        class_weights: None; `"auto"`, the median frequency of the classes by that of each (up to 20 for the
            rarest); a sequence of numbers in the order of the classes; or a mapping of class name to number.
        data: a `VisionData` with masks.

    Raises:
        KerasvisionError: another value.
    """
    if class_weights is None:
        return None
    if isinstance(class_weights, str):
        if class_weights != "auto":
            raise KerasvisionError(
                '`class_weights` must be None, "auto", a number for each class, or a mapping of class name '
                f"to number. Received: {class_weights!r}."
            )
        return _by_median_frequency(data)
    names = data.class_names
    if isinstance(class_weights, Mapping):
        wrong = sorted(set(class_weights) ^ set(names))
        if wrong:
            raise KerasvisionError(
                "`class_weights` must have a weight for each class and no other. Wrong or missing: "
                f"{', '.join(map(repr, wrong))}."
            )
        class_weights = [class_weights[name] for name in names]
    try:
        weights = np.asarray(class_weights, np.float32)
    except (TypeError, ValueError):
        weights = np.zeros(0)
    if weights.shape != (len(names),) or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise KerasvisionError(
            f"`class_weights` must be {len(names)} numbers from 0, for {', '.join(names)}. "
            f"Received: {class_weights!r}."
        )
    pixels = data.splits["train"].masks.pixels.sum(0)
    if not (weights[pixels > 0] > 0).any():
        raise KerasvisionError("`class_weights` are 0 for every class that there are training pixels of.")
    return weights


def _by_median_frequency(data) -> np.ndarray:
    from kerasvision.segmentation import class_weights

    pixels = data.splits["train"].masks.pixels
    whole = pixels.sum(1, keepdims=True)
    weights = class_weights(pixels.sum(0), np.where(pixels > 0, whole, 0).sum(0))
    return np.minimum(weights, LARGEST_CLASS_WEIGHT)


def make_augmentation(augment, strength: float, seed: int):
    """Return the augmentation of training steps, or None.

    Raises:
        KerasvisionError: a name or a number that is not accepted.
    """
    from kerasvision.data import mask_augmentation

    return phases.named_augmentation(
        partial(mask_augmentation, SPECS.get(augment, augment), strength=strength, seed=seed)
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


def image_weights(samples) -> np.ndarray:
    """Return how often each training image should be seen so that rare classes are: (n,) float.

    Args:
        samples: the training split, with masks.
    """
    return phases.repeats(samples.masks.pixels > 0)


def resolve(given: dict) -> None:
    """Put what `"auto"` stands for in the place of it, for the backbone and its weights.

    Raises:
        KerasvisionError: there is no segmenter of the name.
    """
    from kerasvision.segmentation.families import family_of

    model, own = given["model"], not isinstance(given["model"], str)
    if isinstance(given["backbone"], str) and given["backbone"] == "auto":
        given["backbone"] = None if own else family_of(model).backbone
    if isinstance(given["weights"], str) and given["weights"] == "auto":
        given["weights"] = "imagenet" if isinstance(given["backbone"], str) else None
    if own and given["freeze_epochs"] is None:
        given["freeze_epochs"] = 0  # its heads have learned already


def check_network(given: Mapping) -> None:
    """Refuse a name that no segmenter has, a backbone that does not fit, or images that it cannot take.

    Raises:
        KerasvisionError: with the size to load the data at.
    """
    from kerasvision.segmentation.families import family_of

    name, image_size = given["model"], tuple(given["data"].image_size)
    multiple = family_of(name).multiple
    fitting = tuple(-(-side // multiple) * multiple for side in image_size)
    if fitting != image_size:
        raise KerasvisionError(
            f"Sides of the images must be multiples of {multiple} for {name!r}. `data` has {image_size}. "
            f"Load it with image_size={fitting}, which stretches images a little, or with "
            f'image_size={fitting} and resize="pad", which keeps their proportions.'
        )
    spec_of(given)


def spec_of(given: Mapping) -> dict | None:
    """Return how the segmenter is built again, for run.json; None for one of the user's own.

    Raises:
        KerasvisionError: it cannot be built like that.
    """
    from kerasvision.segmentation import segmenter_spec

    if not isinstance(given["model"], str):
        return None
    return segmenter_spec(
        given["model"],
        classes=len(given["data"].class_names),
        image_size=tuple(given["data"].image_size),
        backbone=given["backbone"],
        preprocessing=given["preprocessing"],
        **(given["options"] or {}),
    ).to_dict()


def check_own_model(model, data) -> None:
    """Refuse a segmenter of the user's that does not fit the data.

    Raises:
        KerasvisionError: not a network from images to the logits of each class at each pixel, or other
            classes, or another image size.
    """
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    main = gives.get("logits") if isinstance(gives, Mapping) else gives
    if not (isinstance(takes, tuple) and isinstance(main, tuple) and len(takes) == len(main) == 4):
        raise KerasvisionError(
            "`model` must be a name of kerasvision.segmentation.list_segmenters(), or a keras.Model from raw "
            "RGB images (b, h, w, 3) to logits (b, h, w, classes). "
            f"Received: {type(model).__name__}{'' if takes is None else f' from {takes} to {gives}'}."
        )
    if main[-1] != len(data.class_names):
        raise KerasvisionError(
            f"`model` has {main[-1]} classes, `data` has {len(data.class_names)}: "
            f"{', '.join(data.class_names)}. Build it with classes={len(data.class_names)}."
        )
    wanted = tuple(data.image_size)
    if tuple(takes[1:3]) != wanted or tuple(main[1:3]) != wanted:
        raise KerasvisionError(
            f"`model` takes images of {takes[1:3]} and gives logits of {main[1:3]}, `data` has {wanted}. "
            "Both must be the size of the data; load these with that image_size."
        )


def describe_segmenter(model, backbone) -> tuple[object, object]:
    """Return what tells one `model` and `backbone` from another, for run.json."""
    if isinstance(model, str):
        return model, None if backbone is None else describe_model(backbone)
    return describe_model(model), None
