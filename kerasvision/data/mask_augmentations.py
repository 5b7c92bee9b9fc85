"""Random changes to training images and their label maps, on the device, inside the training step."""

from kerasvision.data.augmentations import parse
from kerasvision.data.box_augmentations import check_strength
from kerasvision.data.splits import check_seed
from kerasvision.errors import DataError

NAMES = ("flip", "vertical_flip", "scale_crop", "rotation", "color", "cutmix")
PRESETS = {
    "none": "",
    "light": "flip+scale_crop",
    "standard": "flip+scale_crop+color",
    "strong": "flip+scale_crop+rotation+color+cutmix",
}


def mask_augmentation(spec: str = "standard", *, strength: float = 0.5, seed: int = 0) -> "MaskAugmentation":
    """Build an augmentation of images with label maps by name.

    Label maps move with the pixels, by nearest neighbour: no class comes out that did not go in. What comes
    into view from beyond the edge is grey on the image and void (255) on the label map.

    Args:
        spec: names joined with `+`, applied in that order: flip, vertical_flip, scale_crop (a random part,
            enlarged, or the whole, made smaller; at strength 0.5 objects get up to 1.7 times as large or
            small), rotation (by up to 15 degrees at strength 0.5), color (brightness, contrast, saturation,
            hue), cutmix (a rectangle of another image of its batch, with its labels, in a share of the images
            that is `strength`); or a preset: none, light (flip+scale_crop), standard (flip+scale_crop+color),
            strong (flip+scale_crop+rotation+color+cutmix). Neighbours that move pixels are one movement: what
            one brings back from beyond the edge is shown.
        strength: from 0 (nothing changes, flips neither) to 1 (as strong as it is ever used).
        seed: of all that is random.

    Returns:
        A function of (images, masks), the batches of `VisionData.iterate`, that returns the same.

    Raises:
        DataError: a name is not known, comes twice, or a number is out of its range.

    Example:
        ```python
        change = kv.data.mask_augmentation("standard", strength=0.5, seed=0)
        change.seed_step(step)
        images, masks = change(images, masks)
        ```

    CutMix: Yun et al., 2019, arXiv:1905.04899; with label maps French et al., 2020, arXiv:1906.01916.
    """
    check_strength(strength)
    check_seed(seed)
    names = parse(spec, NAMES, PRESETS)
    return MaskAugmentation(names if strength else (), float(strength), seed)


class MaskAugmentation:
    """Augmentations in a row, computed in float32 whatever the precision of the model.

    The same (seed, step) gives the same result, also after an interruption; each replica of a
    distribution strategy draws its own. Not for `tf.data`: call it inside the training step, after
    `seed_step(step)`.

    Attributes:
        names: what is applied, in order; empty for none.
    """

    def __init__(self, names: tuple[str, ...], strength: float, seed: int):
        """Build the parts."""
        from kerasvision.data import mask_augmentation_layers, step_seeds

        self.names, self.strength, self.seed = names, strength, seed
        self._seeds = step_seeds.StepSeeds(seed)
        self._steps = mask_augmentation_layers.build(names, strength, self._seeds)

    def __call__(self, images, masks):
        """Return changed images and label maps of the same shapes.

        Args:
            images: (b, h, w, 3) in [0, 255].
            masks: (b, h, w) whole numbers, classes and 255 for void.

        Returns:
            Images as float32 clipped to [0, 255], label maps as int32.

        Raises:
            DataError: images and label maps differ in size, or are no batches.
        """
        import tensorflow as tf

        images, masks = tf.convert_to_tensor(images), tf.convert_to_tensor(masks)
        fits = images.shape.rank == 4 and masks.shape.rank == 3
        if not fits or not images.shape[:3].is_compatible_with(masks.shape):
            raise DataError(
                "`images` must be (b, h, w, 3) and `masks` (b, h, w) of the same size. Received: "
                f"{tuple(images.shape)} and {tuple(masks.shape)}."
            )
        images, masks = tf.cast(images, tf.float32), tf.cast(masks, tf.int32)
        self._seeds.begin()
        for step in self._steps:
            images, masks = step(images, masks)
        return tf.clip_by_value(images, 0.0, 255.0), masks

    def seed_step(self, step) -> None:
        """Set all that is random from (seed, step).

        Args:
            step: a whole number or a scalar integer tensor, counted over the whole run.
        """
        self._seeds.assign(step)
