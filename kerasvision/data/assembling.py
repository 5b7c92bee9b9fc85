"""From a list of labelled sources to a `VisionData`: class names checked, splits cut, the cache attached."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerasvision.data.boxes import ImageBoxes, box_counts
from kerasvision.data.decoding import Source
from kerasvision.data.label_maps import MOST_CLASSES, LabelMaps
from kerasvision.data.picking import Picked
from kerasvision.data.pixel_cache import PixelCache
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.splits import identity_split, stratified_split
from kerasvision.data.vision_data import SPLITS, Samples, VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadImageError, DataError

_LEAST = {
    "classify": "A classifier needs at least 2 classes",
    "detect": "A detector needs at least 1 class",
    "segment": "A segmenter needs at least 2 classes (the background is one)",
    "embed": "An embedder needs at least 2 identities",
}


def assemble(
    *,
    sources: Sequence[Source],
    labels: np.ndarray,
    names: Sequence[str],
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    validation_fraction: float = 0.0,
    test_fraction: float = 0.0,
    given: np.ndarray | None = None,
    seed: int = 0,
    batch_size: int = 32,
    origin: str = "",
    skipped: Sequence[BadImageError] = (),
    notes: Sequence[str] = (),
    cache: PixelCache | None = None,
    slots: np.ndarray | None = None,
    boxes: Sequence[ImageBoxes] | None = None,
    masks: LabelMaps | None = None,
    task: str = "classify",
) -> VisionData:
    """Cut the splits that are not given, and put all together.

    Args:
        sources: N images.
        labels: (N,) int32.
        names: N names for people.
        class_names: name of each label.
        preprocessing: decode and resize.
        validation_fraction: cut from the training images, unless validation images are given.
        test_fraction: cut from the training images, unless test images are given.
        given: (N,) of "train", "validation", "test" where the data say so themselves.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        origin: what the data were made from.
        skipped: images that were left out.
        notes: what the loader noticed so far.
        cache: decoded pixels, or `None`.
        slots: (N,) place of each image in the cache; by default its index.
        boxes: of N images, which makes the task detection; `labels` are then what splits are stratified by.
        masks: of N images, which makes the task segmentation; so for `labels`.
        task: without boxes and masks: `"classify"`, or `"embed"` where labels are identities, which are
            never in two splits, and fractions are of identities.

    Raises:
        DataError: fewer than two classes (for boxes: none), names that cannot be told apart, impossible
            fractions, or an identity in two splits.
    """
    task = "segment" if masks is not None else task if boxes is None else "detect"
    class_names = check_class_names(class_names, task=task)
    labels = np.asarray(labels, np.int32)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    if task == "embed" and given is not None:
        _refuse_shared(labels, given, class_names)
    parts = _cut(labels, given, fractions, seed, identity_split if task == "embed" else stratified_split)
    slots = np.arange(len(labels)) if slots is None else slots
    splits = {
        part: Samples(
            sources=Picked(sources, parts[part]),
            labels=labels[parts[part]],
            names=Picked(names, parts[part]),
            slots=slots[parts[part]] if cache is not None else None,
            boxes=None if boxes is None else [boxes[i] for i in parts[part]],
            masks=None if masks is None else masks.take(parts[part]),
        )
        for part in SPLITS
        if part in parts and len(parts[part])
    }
    return VisionData(
        task=task,
        class_names=class_names,
        preprocessing=preprocessing,
        splits=splits,
        batch_size=batch_size,
        seed=seed,
        skipped=tuple(skipped),
        origin=origin,
        notes=(
            *notes,
            *_no_split(
                fractions, splits, "identity is left" if task == "embed" else "class has an image to spare"
            ),
            *(thin_identities(splits) if task == "embed" else _thin_classes(class_names, splits)),
        ),
        cache=cache,
    )


def check_class_names(class_names: Sequence[str], task: str = "classify") -> tuple[str, ...]:
    """Return the names, normalised (Unicode NFC, no outer spaces).

    Raises:
        DataError: fewer than the task needs, more than label maps can hold, not text, empty, equal once
            normalised, or not fit for a text file.
    """
    names = []
    for name in class_names:
        if not isinstance(name, str):
            raise DataError(f"`class_names` must be text. Received: {name!r}. Pass `[str(n) for n in …]`.")
        names.append(unicodedata.normalize("NFC", name).strip())
    for position, name in enumerate(names):
        if not is_line(name):
            raise DataError(
                f"A class name must have at least one character, no line break and only valid Unicode, as "
                f"labels.txt has one name a line. Received: {class_names[position]!r}. Rename it."
            )
        if name in names[:position]:
            twin = class_names[names.index(name)]
            raise DataError(
                f"Two classes have the same name: {twin!r} and {class_names[position]!r} (compared without "
                f"outer spaces and in one Unicode form). Merge or rename one."
            )
    if len(names) < (1 if task == "detect" else 2):
        raise DataError(f"{_LEAST[task]}. Received: {len(names)} ({', '.join(names) or 'none'}).")
    if task == "segment" and len(names) > MOST_CLASSES:
        raise DataError(f"Masks can have at most {MOST_CLASSES} classes. Received: {len(names)}.")
    return tuple(names)


def is_line(text: str) -> bool:
    """Tell whether a text file can hold this as one line: not empty, no line break, only valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:  # what was a file name of other bytes than UTF-8
        return False
    return len(text.splitlines()) == 1 and text.splitlines()[0] == text


def _cut(
    labels: np.ndarray, given: np.ndarray | None, fractions: Mapping[str, float], seed: int, split: Callable
) -> dict[str, np.ndarray]:
    if given is None:
        return split(labels, fractions, seed)
    parts = {part: np.flatnonzero(given == part) for part in SPLITS}
    missing = {part: share for part, share in fractions.items() if not len(parts[part])}
    pool = parts["train"]
    cut = split(labels[pool], missing, seed)
    return parts | {part: pool[indices] for part, indices in cut.items()}


def shared_identities(labels: Sequence, splits: Sequence[str]) -> dict:
    """Return the labels that are in more than one split, each with the splits, in order of `SPLITS`.

    Example:
        >>> shared_identities(["ann", "ben", "ann"], ["train", "train", "test"])
        {'ann': ('train', 'test')}
    """
    there: dict = {}
    for label, split in zip(labels, splits, strict=True):
        there.setdefault(label, set()).add(split)
    return {
        label: tuple(split for split in SPLITS if split in places)
        for label, places in there.items()
        if len(places) > 1
    }


def _refuse_shared(labels: np.ndarray, given: np.ndarray, class_names: Sequence[str]) -> None:
    shared = shared_identities(labels.tolist(), given.tolist())
    if shared:
        which = [f"{class_names[label]!r} ({' and '.join(places)})" for label, places in shared.items()]
        raise DataError(
            f"{several(len(shared), 'identity', ('is', 'are'))} in more than one split: {listed(which)}. "
            f"Whoever was seen in training is recognised too easily afterwards. Keep all images of an "
            f"identity in one split."
        )


def _no_split(fractions: Mapping[str, float], splits: Mapping[str, Samples], why: str) -> list[str]:
    """Say which splits were asked for and are not there."""
    empty = [part for part, fraction in fractions.items() if fraction and part not in splits]
    return [f"There is no {part} split: no {why} for it." for part in empty]


def _thin_classes(class_names: Sequence[str], splits: Mapping[str, Samples]) -> list[str]:
    """Say which classes have no image in a split."""
    notes = []
    for split, part in splits.items():
        if part.boxes is not None or part.masks is not None:
            notes += _thin_marked_classes(class_names, split, part)
            continue
        counts = np.bincount(part.labels, minlength=len(class_names))
        absent = [repr(name) for name, count in zip(class_names, counts, strict=True) if not count]
        if absent and split == "train":
            raise DataError(
                f"The training split has no image of {listed(absent)}. Add some, or remove the class."
            )
        if absent:
            notes.append(
                f"No image of {listed(absent)} in the {split} split: too few to share, or none given."
            )
    return notes


def thin_identities(splits: Mapping[str, Samples]) -> list[str]:
    """Say where there are too few identities, or images of them, to make pairs."""
    notes = []
    for split, part in splits.items():
        _, counts = np.unique(part.labels, return_counts=True)
        single = int((counts == 1).sum())
        if len(counts) == 1:
            notes.append(f"The {split} split has one identity only: there are no pairs of different ones.")
        if single:
            notes.append(
                f"{several(single, 'identity', ('has', 'have'))} one image only in the {split} split, of "
                f"{len(counts):,}: no pair of the same."
            )
    return notes


def _thin_marked_classes(class_names: Sequence[str], split: str, part: Samples) -> list[str]:
    """Say which classes a split has no box or pixel of: the list may be longer than what these data show."""
    segment = part.masks is not None
    counts = part.masks.pixels.sum(0) if segment else box_counts(part.boxes, len(class_names))
    if split == "train" and not counts.any():
        where = "a pixel that is not void" if segment else "a box"
        raise DataError(f"No training image has {where}. Annotate some, or check where the annotations are.")
    absent = [repr(name) for name, count in zip(class_names, counts, strict=True) if not count]
    return [f"No {'pixel' if segment else 'box'} of {listed(absent)} in the {split} split."] if absent else []
