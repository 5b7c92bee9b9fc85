"""The arguments of `train_face_embedder`: checked, and what follows from them and from the data."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import DataError, KerasvisionError
from kerasvision.metrics.roc_curve import too_few
from kerasvision.recipes import phases
from kerasvision.recipes.embedding_judging import check_pairs
from kerasvision.recipes.settings import describe_model

HEAD_RATE = {"freeze": 3e-4, "finetune": 1e-4, "scratch": 1e-3}
SPECS = {"auto": "flip+crop+color", None: "none"}
MIXING = ("mixup", "cutmix")  # an image of two identities has no label
DISTANCES = {"triplet": "euclidean", "contrastive": "euclidean"}  # that a loss is of; cosine for all others
IDENTITIES = 8
FEWEST_STEPS, EPOCHS = 1_500, (10, 60)


def check_identities(data) -> None:
    """Refuse data that no embedder can be trained on and judged by.

    Raises:
        DataError: not a `VisionData` of identities, an identity in two splits, or a split without two
            identities of which one has two images.
    """
    if not hasattr(data, "splits") or not hasattr(data, "iterate"):
        raise DataError(
            "`data` must be a `VisionData` of identities, for example kv.data.identity_folder(folder, "
            f"image_size=112). Received: {type(data).__name__}."
        )
    if data.task != "embed":
        raise DataError(
            f"`data` must be images of identities (task 'embed'). Received: task {data.task!r}. Read it with "
            "kv.data.identity_folder, which splits by identity; images with a class each are for "
            "train_classifier."
        )
    for split in ("train", "validation"):
        if split not in data.splits or not len(data.splits[split].labels):
            raise DataError(
                f"`data` has no {split} images. It has: {', '.join(data.splits) or 'nothing'}. "
                + (" ".join(data.notes) or "Load it with by_identity_split=(0.8, 0.2), for example.")
            )
    for split, samples in data.splits.items():
        check_pairs(samples.labels, split)
    _refuse_shared(data)


def _refuse_shared(data) -> None:
    shown = {split: set(samples.labels.tolist()) for split, samples in data.splits.items()}
    splits = list(shown)
    for place, one in enumerate(splits):
        for other in splits[place + 1 :]:
            both = sorted(shown[one] & shown[other])
            if both:
                names = listed([data.class_names[label] for label in both])
                raise DataError(
                    f"Identities are in the {one} and in the {other} split: {names}. Verification is of "
                    "identities that were never seen; split by identity."
                )


def resolve(given: dict) -> None:
    """Put what is meant in the place of `"auto"` and of None: weights, mining, distance, identities.

    Raises:
        KerasvisionError: `mining` is given for a loss that mines nothing.
    """
    from kerasvision.embedding.families import NETWORKS

    trained = isinstance(given["backbone"], str) and given["backbone"] not in NETWORKS
    if isinstance(given["weights"], str) and given["weights"] == "auto":
        given["weights"] = "imagenet" if trained else None
    if given["mining"] is None and given["loss"] == "triplet":
        given["mining"] = "semi_hard"
    if given["mining"] is not None and given["loss"] != "triplet":
        raise KerasvisionError(
            f'`mining` is for loss="triplet", which learns from triplets; {given["loss"]!r} mines nothing. '
            f"Received: {given['mining']!r}. Leave it out."
        )
    if given["distance"] == "auto":
        given["distance"] = DISTANCES.get(given["loss"], "cosine")
    if given["identities"] is None:
        given["identities"] = min(IDENTITIES, _shown(given))
    if is_embedder(given["backbone"]) and given["freeze_epochs"] is None:
        given["freeze_epochs"] = 0  # its head has learned already


def _shown(given: Mapping) -> int:
    """Return how many training identities can be in a batch."""
    images = np.bincount(given["data"].splits["train"].labels)
    least = given["per_identity"] if given["few"] == "leave_out" else 1
    return int((images >= least).sum())


def check_batches(given: Mapping) -> None:
    """Refuse numbers of identities and images of a batch that are none.

    Raises:
        KerasvisionError: naming the argument.
    """
    for name in ("identities", "per_identity"):
        value = given[name]
        if value is None and name == "identities":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 2:
            raise KerasvisionError(f"`{name}` must be a whole number from 2. Received: {value!r}.")
    if given["few"] not in ("repeat", "leave_out"):
        raise KerasvisionError(f"`few` must be 'repeat' or 'leave_out'. Received: {given['few']!r}.")


def check_rate(rate, data) -> None:
    """Refuse a rate of false accepts that the validation identities cannot tell.

    Raises:
        KerasvisionError: not a share.
        DataError: too few pairs of two identities.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1:
        raise KerasvisionError(
            f"`false_accept_rate` must be a share between 0 and 1, for example 0.01. Received: {rate!r}."
        )
    labels = data.splits["validation"].labels
    images = np.bincount(labels)
    reason = too_few(int(len(labels) ** 2 - (images**2).sum()) // 2, rate)
    if reason:
        raise DataError(
            f"The validation split cannot give a threshold for `false_accept_rate` {rate:g}: {reason}. Give "
            "it more identities, or ask for a higher rate."
        )


def check_choices(given: Mapping) -> None:
    """Refuse an unknown strategy, rate, loss, distance or augmentation, or numbers outside of their range.

    Raises:
        KerasvisionError: naming the argument.
        DataError: batches that the data cannot fill.
    """
    from kerasvision.embedding.distances import check_distance

    phases.check_phases(given)
    phases.check_schedule(given["schedule"])
    check_distance(given["distance"])
    if given["head"] not in ("solved", "random"):
        raise KerasvisionError(f"`head` must be 'solved' or 'random'. Received: {given['head']!r}.")
    if given["loss_options"] is not None and not isinstance(given["loss_options"], Mapping):
        raise KerasvisionError(
            "`loss_options` must be a mapping of names to values, or None. "
            f"Received: {given['loss_options']!r}."
        )
    make_loss(given)
    make_augmentation(given["augment"], given["augment_strength"], given["seed"])
    check_rate(given["false_accept_rate"], given["data"])
    make_order(given, given["data"], given["seed"])(0)
    replicas = getattr(given["distribute"], "num_replicas_in_sync", 1)
    if given["identities"] % replicas:
        raise KerasvisionError(
            f"`identities` must be a multiple of the {replicas} devices, as each mines its own part of a "
            f"batch. Received: {given['identities']}."
        )


def make_loss(given: Mapping):
    """Return the `EmbeddingLoss` of the arguments; each training step seeds what it draws.

    Args:
        given: `loss`, `mining`, `margin`, `distance` and `loss_options` of the recipe.

    Raises:
        KerasvisionError: a name or a number that is not accepted.
    """
    from kerasvision import embedding

    name, options = given["loss"], dict(given["loss_options"] or {})
    taken = sorted(set(options) & {"mining", "margin", "distance", "seed"})
    if taken:
        raise KerasvisionError(
            f"`loss_options` must not hold what is an argument of its own: {', '.join(taken)}."
        )
    if name in DISTANCES:
        options["distance"] = given["distance"]
    if name == "triplet":
        options["mining"] = given["mining"]
    if given["margin"] is not None:
        options["margin"] = given["margin"]
    try:
        return embedding.make_loss(name, **options)
    except KerasvisionError as error:
        raise KerasvisionError(str(error).replace("`name`", "`loss`")) from None


def make_order(given: Mapping, data, seed: int, split: str = "train") -> Callable[[int], np.ndarray]:
    """Return epoch -> order of the images, P identities with K images each in every batch.

    Raises:
        DataError: the data cannot fill such batches.
    """
    from kerasvision.embedding import identity_order

    return lambda epoch: identity_order(
        data.splits[split].labels,
        identities=given["identities"],
        per_identity=given["per_identity"],
        seed=seed,
        epoch=epoch,
        few=given["few"],
    )


class ImageAugmentation:
    """An augmentation that changes images alone: identities are numbers, which are not mixed."""

    def __init__(self, inner):
        self.inner, self.names = inner, inner.names

    def __call__(self, images, labels):
        """Return changed images, and the labels as they are."""
        import tensorflow as tf

        images, _ = self.inner(images, tf.zeros((tf.shape(images)[0], 1)))
        return images, labels

    def seed_step(self, step) -> None:
        """Set all that is random from (seed, step)."""
        self.inner.seed_step(step)


def make_augmentation(augment, strength: float, seed: int) -> ImageAugmentation | None:
    """Return the augmentation of training steps, or None.

    Raises:
        KerasvisionError: a name or a number that is not accepted.
    """
    from kerasvision.data import augmentation

    made = phases.named_augmentation(
        partial(augmentation, SPECS.get(augment, augment), strength=strength, seed=seed)
    )
    mixing = [name for name in MIXING if made is not None and name in made.names]
    if mixing:
        raise KerasvisionError(
            f"`augment` must not hold {' or '.join(mixing)}: an image of two identities is neither. "
            f"Received: {augment!r}."
        )
    return None if made is None else ImageAugmentation(made)


def choose_epochs(given: Mapping, strategy: str, steps: int) -> dict[str, int]:
    """Return phase -> epochs, in order; small sets are seen more often.

    Args:
        given: `epochs` and `freeze_epochs` of the recipe.
        strategy: what is trained.
        steps: of an epoch.
    """
    least, most = EPOCHS
    return phases.share_epochs(given, strategy, int(np.clip(-(-FEWEST_STEPS // steps), least, most)))


def solves_head(given: Mapping, strategy: str) -> bool:
    """Tell whether the projection is solved for before it is trained."""
    has_one = given["dimensions"] is not None and not is_embedder(given["backbone"])
    return given["head"] == "solved" and has_one and strategy != "scratch"


def starts_good(given: Mapping, strategy: str) -> bool:
    """Tell whether the embedder is one before any training, so that its first weights may be the best."""
    return solves_head(given, strategy) or is_embedder(given["backbone"]) or given["dimensions"] is None


def is_embedder(backbone) -> bool:
    """Tell whether a `backbone` is a whole embedder of the user's: images in, vectors out."""
    shape = getattr(backbone, "output_shape", None)
    return isinstance(shape, tuple) and len(shape) == 2


def check_network(given: Mapping) -> None:
    """Refuse a backbone that is not known, or an embedder of the user's that does not fit the data.

    Raises:
        KerasvisionError: saying what is accepted.
    """
    backbone, wanted = given["backbone"], tuple(given["data"].image_size)
    if not is_embedder(backbone):
        spec_of(given)
        return
    takes = backbone.input_shape
    if not isinstance(takes, tuple) or len(takes) != 4 or tuple(takes[1:3]) != wanted:
        raise KerasvisionError(
            f"`backbone` is a whole embedder for images of {takes[1:3]}, `data` has {wanted}. Load these "
            f"with that image_size."
        )
    phases.check_own_precision(given["mixed_precision"], "backbone")


def spec_of(given: Mapping) -> dict | None:
    """Return how the embedder is built again, for run.json; None for a whole one of the user's.

    Raises:
        KerasvisionError: it cannot be built like that.
    """
    from kerasvision.embedding import embedder_spec

    if is_embedder(given["backbone"]):
        return None
    return embedder_spec(given["backbone"], **builder_options(given)).to_dict()


def builder_options(given: Mapping) -> dict:
    """Return the arguments of `kerasvision.embedding.embedder`, but for the backbone and its weights."""
    return {
        "dimensions": given["dimensions"],
        "image_size": tuple(given["data"].image_size),
        "preprocessing": given["preprocessing"],
        **(given["options"] or {}),
    }


def describe_backbone(backbone) -> object:
    """Return what tells one `backbone` from another, for run.json."""
    from kerasvision.embedding.families import known_name

    return known_name(backbone) if isinstance(backbone, str) else describe_model(backbone)
