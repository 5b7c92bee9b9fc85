"""Random changes to training images and their boxes, on the device, inside the training step."""

from collections.abc import Mapping

from kerasvision.data.augmentations import parse
from kerasvision.data.splits import check_seed
from kerasvision.errors import DataError

NAMES = ("flip", "vertical_flip", "scale_crop", "color", "mosaic")
PRESETS = {
    "none": "",
    "light": "flip+scale_crop",
    "standard": "flip+scale_crop+color",
    "strong": "mosaic+flip+scale_crop+color",
}
_KEYS = {"boxes", "classes", "crowd"}


def box_augmentation(
    spec: str = "standard", *, strength: float = 0.5, seed: int = 0, most_boxes: int | None = None
) -> "BoxAugmentation":
    """Build an augmentation of images with boxes by name.

    An object of which less than a quarter is left (or a side below one pixel) loses its box; groups
    (`crowd`) keep theirs while anything of them is to be seen, since nothing may be learnt there.

    Args:
        spec: names joined with `+`, applied in that order: flip, vertical_flip, scale_crop (a random part,
            enlarged, or the whole, made smaller on grey; at strength 0.5 objects get up to 1.7 times as
            large or small), color (brightness, contrast, saturation, hue), mosaic (each image makes place
            for parts of three others of its batch, in a share of the images that is `strength`); or a preset:
            none, light (flip+scale_crop), standard (flip+scale_crop+color), strong
            (mosaic+flip+scale_crop+color).
        strength: from 0 (nothing changes, flips neither) to 1 (as strong as it is ever used).
        seed: of all that is random.
        most_boxes: boxes a row that leave. By default all that may be there: as many as enter, four times
            as many with mosaic. With fewer, the largest stay.

    Returns:
        A function of (images, {"boxes", "classes", "crowd"}), the batches of `VisionData.iterate`, that
        returns the same.

    Raises:
        DataError: a name is not known, comes twice, or a number is out of its range.

    Example:
        ```python
        change = kv.data.box_augmentation("strong", strength=0.5, seed=0)
        change.seed_step(step)
        images, targets = change(images, targets)
        ```
    """
    check_strength(strength)
    if most_boxes is not None and (not isinstance(most_boxes, int) or most_boxes < 1):
        raise DataError(f"`most_boxes` must be a whole number from 1, or None. Received: {most_boxes!r}.")
    check_seed(seed)
    names = parse(spec, NAMES, PRESETS)
    return BoxAugmentation(names if strength else (), float(strength), seed, most_boxes)


def check_strength(strength: float) -> None:
    """Refuse a strength that is no number from 0 to 1."""
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise DataError(f"`strength` must be from 0 to 1. Received: {strength!r}.")


class BoxAugmentation:
    """Augmentations in a row, computed in float32 whatever the precision of the model.

    The same (seed, step) gives the same result, also after an interruption; each replica of a
    distribution strategy draws its own. Not for `tf.data`: call it inside the training step, after
    `seed_step(step)`.

    Attributes:
        names: what is applied, in order; empty for none.
    """

    def __init__(self, names: tuple[str, ...], strength: float, seed: int, most_boxes: int | None = None):
        """Build the parts."""
        from kerasvision.data import box_augmentation_layers, step_seeds

        self.names, self.strength, self.seed, self.most_boxes = names, strength, seed, most_boxes
        self._seeds = step_seeds.StepSeeds(seed)
        self._steps = [box_augmentation_layers.build(name, strength, self._seeds) for name in names]

    def __call__(self, images, targets: Mapping):
        """Return changed images and targets; boxes come first in their rows, padding last.

        Args:
            images: (b, h, w, 3) in [0, 255].
            targets: `boxes` (b, m, 4) xyxy in pixels, `classes` (b, m), -1 for padding, `crowd` (b, m) bool.

        Returns:
            Images as float32 clipped to [0, 255], and the targets as float32, int32 and bool with `m`,
            `4 * m` (mosaic) or `most_boxes` boxes a row; what is padding is 0, -1 and False.

        Raises:
            DataError: the targets are others than these three.
        """
        import tensorflow as tf

        from kerasvision.data import box_augmentation_layers

        if set(targets) != _KEYS:
            raise DataError(
                f"`targets` must hold {', '.join(sorted(_KEYS))}: what else there is would not move with the "
                f"image. Received: {', '.join(sorted(targets))}."
            )
        images = tf.cast(images, tf.float32)
        state = box_augmentation_layers.open_targets(targets)
        self._seeds.begin()
        for step in self._steps:
            images, state = step(images, state)
        targets = box_augmentation_layers.close_targets(state, self.most_boxes)
        return tf.clip_by_value(images, 0.0, 255.0), targets

    def seed_step(self, step) -> None:
        """Set all that is random from (seed, step).

        Args:
            step: a whole number or a scalar integer tensor, counted over the whole run.
        """
        self._seeds.assign(step)
