"""Labelled images that are already in memory."""

from collections.abc import Sequence

import numpy as np

from kerasvision.data.assembling import assemble
from kerasvision.data.label_maps import LabelMaps, count_maps
from kerasvision.data.preprocessing import Preprocessing, Resize
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError
from kerasvision.metrics.segmentation import VOID


def from_arrays(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    class_names: Sequence[str],
    *,
    test: tuple | None = None,
    image_size: int | tuple[int, int] | None = None,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    name: str = "arrays",
) -> VisionData:
    """Make a data set of images in memory. The array is not copied, unless there is a `test` of its own.

    Args:
        images: (N, h, w), (N, h, w, 1) or (N, h, w, 3) uint8 in [0, 255]; grey becomes RGB when read.
        labels: (N,) whole numbers, indices into `class_names`; or label maps (N, h, w) of the size of the
            images, with 255 where they are void, which makes the task segmentation.
        class_names: name of each label.
        test: (images, labels) of the test split where the data have one, of the same kind as the others.
        image_size: (height, width) or one number; by default the size of the images.
        validation_fraction: share of images for validation, in [0, 1).
        test_fraction: share of images for the test split, in [0, 1), if `test` is not given.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        name: what to call the data set; images are called "name #17".

    Returns:
        A `VisionData` with the splits asked for.

    Raises:
        DataError: type, shape, range or labels do not fit; the message says which.

    Example:
        >>> data = from_arrays(np.zeros((20, 8, 8), np.uint8), [0, 1] * 10, ["a", "b"])
        >>> data.counts["train"]
        {'a': 8, 'b': 8}
    """
    images = np.asarray(images)
    check_images(images)
    labels = check_labels(labels, images, class_names)
    given = None
    if test is not None:
        given = np.repeat(["train", "test"], [len(images), len(test[0])])
        images, labels = _join(images, labels, test, class_names)
    preprocessing = Preprocessing(images.shape[1:3] if image_size is None else image_size, resize)
    masks = LabelMaps(labels, *count_maps(labels, len(class_names))) if labels.ndim == 3 else None
    return assemble(
        sources=images,
        labels=labels if masks is None else masks.rarest(),
        masks=masks,
        names=NumberedNames(name, len(images)),
        class_names=class_names,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        given=given,
        seed=seed,
        batch_size=batch_size,
        origin=f"{name}: {len(images)} images in memory",
    )


class NumberedNames(Sequence):
    """The names "shapes #0", "shapes #1", … without storing them."""

    def __init__(self, prefix: str, count: int):
        """Name `count` images after `prefix`."""
        self.prefix, self.count = prefix, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return f"{self.prefix} #{index}"


def check_images(images: np.ndarray) -> None:
    """Refuse what is no array of images.

    Raises:
        DataError: the type or shape is another.
    """
    if images.dtype != np.uint8:
        hint = (
            "for floats in [0, 1] pass `(images * 255).round().astype('uint8')`"
            if np.issubdtype(images.dtype, np.floating)
            else "pass `images.astype('uint8')` if all values are in [0, 255]"
        )
        raise DataError(f"`images` must be uint8 in [0, 255]. Received: {images.dtype}. Instead {hint}.")
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[-1] in (1, 3)
    if not (grey or colour) or 0 in images.shape:
        raise DataError(
            f"`images` must have shape (N, h, w), (N, h, w, 1) or (N, h, w, 3). Received: {images.shape}."
        )


def _join(images, labels, test, class_names) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of both splits behind each other, and their labels."""
    test_images = np.asarray(test[0])
    check_images(test_images)
    if test_images.shape[1:] != images.shape[1:]:
        raise DataError(
            f"The images of `test` must have the shape of the others, (N, {str(images.shape[1:])[1:]}. "
            f"Received: {test_images.shape}."
        )
    test_labels = check_labels(test[1], test_images, class_names)
    if test_labels.ndim != labels.ndim:
        raise DataError(
            f"The labels of `test` must be of the same kind as the others. Received: {test_labels.shape} and "
            f"{labels.shape}."
        )
    return np.concatenate([images, test_images]), np.concatenate([labels, test_labels])


def check_labels(labels, images: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Return labels (N,) int32, or label maps (N, h, w) uint8.

    Raises:
        DataError: the shape, type or range is another.
    """
    labels, count, maps = np.asarray(labels), len(images), images.shape[:3]
    if labels.shape not in ((count,), maps):
        raise DataError(
            f"`labels` must have shape ({count},), one for each image, or {maps}, one for each pixel. "
            f"Received: {labels.shape}. Turn one-hot values into numbers with `labels.argmax(-1)`."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"`labels` must be whole numbers. Received: {labels.dtype}. Pass `labels.astype(int)`."
        )
    known = labels[labels != VOID] if labels.ndim == 3 else labels
    if known.size and (known.min() < 0 or known.max() >= len(class_names)):
        void = f" or {VOID} (void)" if labels.ndim == 3 else ""
        raise DataError(
            f"`labels` must be from 0 to {len(class_names) - 1}{void}, as there are {len(class_names)} "
            f"`class_names`. Received: {known.min()} to {known.max()}."
        )
    return labels.astype(np.uint8 if labels.ndim == 3 else np.int32, copy=labels.ndim == 1)
