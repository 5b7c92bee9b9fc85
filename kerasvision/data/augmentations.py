"""Random changes to training images, on the device, inside the training step."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from kerasvision.data.splits import check_seed
from kerasvision.errors import DataError

NAMES = (
    "flip",
    "vertical_flip",
    "crop",
    "pad_crop",
    "rotation",
    "color",
    "randaugment",
    "mixup",
    "cutmix",
    "erasing",
)
PRESETS = {
    "none": "",
    "light": "flip+crop",
    "standard": "flip+crop+rotation+color",
    "strong": "flip+crop+randaugment+mixup",
}


def augmentation(spec: str = "standard", *, strength: float = 0.5, seed: int = 0) -> "Augmentation":
    """Build an augmentation by name.

    Args:
        spec: names joined with `+`, applied in that order: flip, vertical_flip, crop (a random part,
            enlarged), pad_crop (padded with the mean colour of ImageNet and cut to the old size; at the
            default strength by an eighth of each side, the 4 of 32 pixels that are usual for CIFAR),
            rotation, color, randaugment, mixup, cutmix, erasing; or a preset: none, light
            (flip+crop), standard (flip+crop+rotation+color), strong (flip+crop+randaugment+mixup).
        strength: above 0 (next to nothing) to 1 (as strong as it is ever used).
        seed: of all that is random.

    Returns:
        A function of (images float32 (b, h, w, 3) in [0, 255], one_hot (b, classes)) that returns the same.

    Raises:
        DataError: a name is not known, comes twice, or `strength` is outside of (0, 1].
    """
    if not isinstance(strength, int | float) or not 0 < strength <= 1:
        raise DataError(
            f'`strength` must be above 0 and at most 1. Received: {strength!r}. For none pass spec="none".'
        )
    check_seed(seed)
    return Augmentation(parse(spec, NAMES, PRESETS), float(strength), seed)


def parse(spec: str, names: Sequence[str], presets: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names that a `spec` joins with +, or that the preset it names stands for.

    Raises:
        DataError: it is no text, or a name is not known or comes twice.
    """
    if not isinstance(spec, str):
        raise DataError(f'`spec` must be text, as "{"+".join(names[:2])}". Received: {spec!r}.')
    chosen = tuple(name.strip() for name in presets.get(spec.strip(), spec).split("+"))
    if chosen == ("",):
        return ()
    unknown = [name for name in chosen if name not in names]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if not unknown and not twice:
        return chosen
    close = get_close_matches(unknown[0], (*names, *presets), 1) if unknown else []
    wrong = f"{unknown[0]!r} is not one of them" if unknown else f"{twice[0]!r} comes twice"
    raise DataError(
        f"`spec` must be names joined with +, each once: {', '.join(names)}; or one of {', '.join(presets)}. "
        f"Received: {spec!r}; {wrong}{f', did you mean {close[0]!r}?' if close else '.'}"
    )


class Augmentation:
    """Augmentations in a row, computed in float32 whatever the precision of the model.

    The same (seed, step) gives the same result, also after an interruption; each replica of a
    distribution strategy draws its own. Not for `tf.data`: call it inside the training step, after
    `seed_step(step)`.

    Attributes:
        names: what is applied, in order; empty for none.
    """

    def __init__(self, names: tuple[str, ...], strength: float, seed: int):
        """Build the layers."""
        from kerasvision.data import augmentation_layers, step_seeds

        self.names, self.strength, self.seed = names, strength, seed
        self._seeds = step_seeds.StepSeeds(seed)
        self._steps = [
            step for name in names for step in augmentation_layers.build(name, strength, self._seeds)
        ]

    @property
    def mixes_labels(self) -> bool:
        """Whether labels are mixed too, so that training accuracy says little."""
        return bool({"mixup", "cutmix"} & set(self.names))

    def __call__(self, images, one_hot):
        """Return changed images and labels of the same shapes.

        Args:
            images: (b, h, w, 3) in [0, 255].
            one_hot: (b, classes).

        Returns:
            Both as float32 tensors, images clipped to [0, 255].
        """
        import tensorflow as tf

        images, one_hot = tf.cast(images, tf.float32), tf.cast(one_hot, tf.float32)
        self._seeds.begin()
        for step in self._steps:
            images, one_hot = step(images, one_hot)
        return tf.clip_by_value(images, 0.0, 255.0), one_hot

    def seed_step(self, step) -> None:
        """Set all that is random from (seed, step).

        Args:
            step: a whole number or a scalar integer tensor, counted over the whole run.
        """
        self._seeds.assign(step)
