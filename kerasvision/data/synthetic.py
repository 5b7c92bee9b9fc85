"""Labelled pictures that are drawn, not downloaded, for tests and tutorials."""

from collections.abc import Sequence

import numpy as np

from kerasvision.data.assembling import assemble
from kerasvision.data.boxes import ImageBoxes, rarest_labels
from kerasvision.data.in_memory import NumberedNames
from kerasvision.data.label_maps import LabelMaps, count_maps
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.scenes import SHAPES, Scene, badge_scene, crowded_scene, random_scene
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError

EMPTY = 0.05  # share of pictures without any shape in the scenes for detectors


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
    objects: tuple[int, int] = (1, 4),
) -> VisionData:
    """Draw scenes of simple shapes on cluttered grounds; the class is the shape.

    For `"detect"` a scene holds several shapes, each with its box, and one picture in twenty holds none. For
    `"segment"` it is the same scenes, with the shape that each pixel is of; class 0 is the background. For
    `"embed"` a scene shows one badge of three shapes; the identity is which ones, how large and in which
    colours, and splits are by identity.

    Pictures are drawn when they are read, so that any number of them takes no memory, and each is a
    function of (seed, its number) alone.

    Args:
        task: `"classify"`, `"detect"`, `"segment"` or `"embed"`.
        count: number of pictures, with as many of each class as can be.
        classes: how many kinds of shape, or which: circle, square, triangle, star, cross, ring, heart, arrow.
            For `"embed"` the number of identities, which may be any from 4 (2 without a split).
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share of pictures for validation, in [0, 1).
        test_fraction: share of pictures for the test split, in [0, 1).
        seed: of the pictures, the splits and the order of training images.
        batch_size: images in a batch.
        objects: for `"detect"` and `"segment"`, the fewest and the most shapes on a picture that has any.

    Returns:
        A `VisionData`.

    Raises:
        DataError: an argument is not one of those above.

    Example:
        >>> shapes(count=10, classes=2, image_size=32).counts["train"]
        {'circle': 4, 'square': 4}
    """
    if task not in ("classify", "detect", "segment", "embed"):
        raise DataError(
            f'`task` must be "classify", "detect", "segment" or "embed". Received: {task!r}. There are no '
            f"scenes for other tasks."
        )
    names = _identities(classes) if task == "embed" else _kinds(classes)
    least = len(names) if task in ("classify", "embed") else 1
    if not isinstance(count, int | np.integer) or count < least:
        each = ", one picture for each class" if least > 1 else ""
        raise DataError(f"`count` must be a whole number from {least}{each}. Received: {count!r}.")
    preprocessing = Preprocessing(image_size)
    boxes = masks = None
    if task in ("classify", "embed"):
        labels = np.arange(count, dtype=np.int32) % len(names)
        drawn = DrawnPictures if task == "classify" else DrawnBadges
        sources = drawn(labels, names, preprocessing.image_size, seed)
    else:
        sources = DrawnScenes(count, names, preprocessing.image_size, seed, _check_objects(objects))
    if task == "detect":
        boxes = [sources.boxes(i) for i in range(count)]
        labels = rarest_labels(boxes, len(names))
    if task == "segment":
        names, drawn = ("background", *names), DrawnLabelMaps(sources)
        masks = LabelMaps(drawn, *count_maps(drawn, len(names)))
        labels = masks.rarest()
    return assemble(
        task="embed" if task == "embed" else "classify",
        sources=sources,
        labels=labels,
        boxes=boxes,
        masks=masks,
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
        return random_scene(
            self.kinds[self.labels[index]], np.random.default_rng((self.seed, index)), _extent(self)
        )

    def __getitem__(self, index: int) -> np.ndarray:
        return self.scene(index).draw(self.image_size)


class DrawnBadges(DrawnPictures):
    """Pictures of badges that are drawn when they are asked for; the label is the badge."""

    def scene(self, index: int) -> Scene:
        """Return the scene of a picture: what is drawn where."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        identity = np.random.default_rng((self.seed, int(self.labels[index]), 2))
        return badge_scene(identity, np.random.default_rng((self.seed, index, 3)), _extent(self))


class DrawnScenes(Sequence):
    """Pictures of several shapes that are drawn when they are asked for."""

    def __init__(
        self,
        count: int,
        kinds: Sequence[str],
        image_size: tuple[int, int],
        seed: int,
        objects: tuple[int, int],
    ):
        """Draw `count` pictures with `objects[0]` to `objects[1]` shapes of any of the kinds."""
        self.count, self.kinds, self.image_size = count, tuple(kinds), image_size
        self.seed, self.objects = seed, objects

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> Scene:
        """Return the scene of a picture: what is drawn where."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, index, 1))
        fewest, most = self.objects
        count = 0 if rng.random() < EMPTY else int(rng.integers(fewest, most + 1))
        return crowded_scene(
            [self.kinds[i] for i in rng.integers(len(self.kinds), size=count)], rng, _extent(self)
        )

    def boxes(self, index: int) -> ImageBoxes:
        """Return the boxes of a picture."""
        scene = self.scene(index)
        labels = [self.kinds.index(shape.kind) for shape in scene.shapes]
        return ImageBoxes(self.image_size, scene.boxes(self.image_size), labels)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.scene(index).draw(self.image_size)


class DrawnLabelMaps(Sequence):
    """The label maps of drawn scenes: 0 is the background, 1 the first kind of shape."""

    def __init__(self, scenes: DrawnScenes):
        """Draw the maps of these scenes."""
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> np.ndarray:
        scene, size = self.scenes.scene(index), self.scenes.image_size
        label_map = np.zeros(size, np.uint8)
        for shape, visible in zip(scene.shapes, scene.masks(size), strict=True):
            label_map[visible] = self.scenes.kinds.index(shape.kind) + 1
        return label_map

    def fingerprint(self) -> str:
        """Return what tells these scenes from others, without drawing them."""
        scenes = self.scenes
        return f"{scenes.seed} {scenes.count} {scenes.kinds} {scenes.image_size} {scenes.objects}"


def _extent(pictures: "DrawnPictures | DrawnScenes") -> tuple[float, float]:
    height, width = pictures.image_size
    return width / min(height, width), height / min(height, width)


def _check_objects(objects: tuple[int, int]) -> tuple[int, int]:
    try:
        fewest, most = (int(number) for number in objects)
        good = (fewest, most) == tuple(objects) and 1 <= fewest <= most <= 100
    except (TypeError, ValueError):
        good = False
    if not good:
        raise DataError(
            f"`objects` must be the fewest and the most shapes on a picture, from 1 to 100. "
            f"Received: {objects!r}. Try (1, 4)."
        )
    return fewest, most


def _identities(classes: int | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(classes, int | np.integer) or classes < 2:
        raise DataError(
            f"`classes` must be the number of identities, at least 2. Received: {classes!r}. Try 50."
        )
    return tuple(f"badge {number}" for number in range(classes))


def _kinds(classes: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(classes, int | np.integer) and 2 <= classes <= len(SHAPES):
        return SHAPES[:classes]
    if not isinstance(classes, int | str) and len(classes) >= 2 and set(classes) <= set(SHAPES):
        return tuple(classes)
    raise DataError(
        f"`classes` must be a number from 2 to {len(SHAPES)} or at least two of {', '.join(SHAPES)}. "
        f"Received: {classes!r}."
    )
