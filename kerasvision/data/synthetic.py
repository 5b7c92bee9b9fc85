"""Labelled pictures that are drawn, not downloaded, for tests and tutorials."""

from collections.abc import Sequence

import numpy as np

from kerasvision.data.assembling import assemble
from kerasvision.data.in_memory import NumberedNames
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.scenes import SHAPES, Scene, random_scene
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError


def shapes(
    task: str = "classify",
    *,
    count: int = 500,
    classes: int | Sequence[str] = 5,
    image_size: int | tuple[int, int] = 64,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
) -> VisionData:
    """Draw scenes of simple shapes on cluttered grounds; the class is the shape.

    Pictures are drawn when they are read, so that any number of them takes no memory, and each is a
    function of (seed, its number) alone.

    Args:
        task: `"classify"`.
        count: number of pictures, with as many of each class as can be.
        classes: how many kinds of shape, or which: circle, square, triangle, star, cross, ring, heart, arrow.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share of pictures for validation, in [0, 1).
        test_fraction: share of pictures for the test split, in [0, 1).
        seed: of the pictures, the splits and the order of training images.
        batch_size: images in a batch.

    Returns:
        A `VisionData`.

    Raises:
        DataError: an argument is not one of those above.

    Example:
        >>> shapes(count=10, classes=2, image_size=32).counts["train"]
        {'circle': 4, 'square': 4}
    """
    if task != "classify":
        raise DataError(
            f'`task` must be "classify". Received: {task!r}. Scenes for other tasks are not drawn yet.'
        )
    names = _kinds(classes)
    if not isinstance(count, int | np.integer) or count < len(names):
        raise DataError(
            f"`count` must be a whole number from {len(names)}, one picture for each class. "
            f"Received: {count!r}."
        )
    preprocessing = Preprocessing(image_size)
    labels = np.arange(count, dtype=np.int32) % len(names)
    return assemble(
        sources=DrawnPictures(labels, names, preprocessing.image_size, seed),
        labels=labels,
        names=NumberedNames("shapes", count),
        class_names=names,
        preprocessing=preprocessing,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        origin=f"shapes: {count} drawn scenes, seed {seed}",
    )


class DrawnPictures(Sequence):
    """Pictures that are drawn when they are asked for."""

    def __init__(self, labels: np.ndarray, kinds: Sequence[str], image_size: tuple[int, int], seed: int):
        """Draw picture i as the shape `kinds[labels[i]]`."""
        self.labels, self.kinds, self.image_size, self.seed = labels, kinds, image_size, seed

    def __len__(self) -> int:
        return len(self.labels)

    def scene(self, index: int) -> Scene:
        """Return the scene of a picture: what is drawn where."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        height, width = self.image_size
        extent = width / min(self.image_size), height / min(self.image_size)
        return random_scene(self.kinds[self.labels[index]], np.random.default_rng((self.seed, index)), extent)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.scene(index).draw(self.image_size)


def _kinds(classes: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, int | np.integer) and 2 <= classes <= len(SHAPES):
        return SHAPES[:classes]
    if not isinstance(classes, int | str) and len(classes) >= 2 and set(classes) <= set(SHAPES):
        return tuple(classes)
    raise DataError(
        f"`classes` must be a number from 2 to {len(SHAPES)} or at least two of {', '.join(SHAPES)}. "
        f"Received: {classes!r}."
    )
