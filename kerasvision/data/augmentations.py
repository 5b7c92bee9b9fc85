"""Random changes to training images, on the device, inside the training step."""

import zlib
from collections.abc import Callable

import numpy as np

from kerasvision.errors import DataError

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
            enlarged), rotation, color, randaugment, mixup, cutmix, erasing; or a preset: none, light
            (flip+crop), standard (flip+crop+rotation+color), strong (flip+crop+randaugment+mixup).
        strength: from 0 (next to nothing) to 1 (as strong as it is ever used).
        seed: of all that is random.

    Returns:
        A function of (images float32 (b, h, w, 3) in [0, 255], one_hot (b, classes)) that returns the same.

    Raises:
        DataError: a name is not known, comes twice, or `strength` is outside of [0, 1].
    """
    if not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise DataError(f"`strength` must be from 0 to 1. Received: {strength!r}.")
    names = [name.strip() for name in PRESETS.get(spec, spec).split("+") if name.strip()]
    unknown = [name for name in names if name not in _LAYERS]
    if unknown or len(set(names)) < len(names):
        raise DataError(
            f"`spec` must be names of {', '.join(_LAYERS)}, each once, joined with +, or one of "
            f"{', '.join(PRESETS)}. Received: {spec!r}."
        )
    return Augmentation(names, float(strength), seed)


class Augmentation:
    """Augmentations in a row; the same (seed, step) gives the same result.

    Call it inside a training step, after `seed_step(step)`.

    Attributes:
        names: what is applied, in order.
    """

    def __init__(self, names: list[str], strength: float, seed: int):
        """Build the layers."""
        self.names, self.strength, self.seed = tuple(names), strength, seed
        self._layers = [_LAYERS[name](strength) for name in names]
        self._generators = [g for layer in self._layers for g in _generators(layer)]

    def __call__(self, images, one_hot):
        """Return changed images and labels of the same shapes.

        Args:
            images: (b, h, w, 3) float32 in [0, 255].
            one_hot: (b, classes) float32.
        """
        from keras import ops

        images, one_hot = ops.cast(images, "float32"), ops.cast(one_hot, "float32")
        for layer in self._layers:
            changed = layer({"images": images, "labels": one_hot}, training=True)
            images, one_hot = changed["images"], changed["labels"]
        return ops.clip(images, 0.0, 255.0), one_hot

    def seed_step(self, step) -> None:
        """Set all random states from (seed, step).

        Args:
            step: a whole number or a scalar integer tensor, counted over the whole run.
        """
        from keras import ops

        low = ops.cast(step, "uint32")
        for number, generator in enumerate(self._generators):
            key = np.uint32(zlib.crc32(f"{self.seed} {number}".encode()))
            generator.state.assign(ops.stack([ops.bitwise_xor(low, key), ops.cast(0, "uint32")]))


def _generators(layer) -> list:
    found = [layer.generator] if hasattr(layer, "generator") else []
    for inner in layer._flatten_layers(include_self=False):
        found += [inner.generator] if hasattr(inner, "generator") else []
    return found


def _keras(name: str, arguments: Callable[[float], dict]) -> Callable:
    def build(strength: float):
        import keras

        return getattr(keras.layers, name)(**arguments(strength), dtype="float32")

    return build


_LAYERS: dict[str, Callable] = {
    "flip": _keras("RandomFlip", lambda s: {"mode": "horizontal"}),
    "vertical_flip": _keras("RandomFlip", lambda s: {"mode": "vertical"}),
    "crop": _keras("RandomZoom", lambda s: {"height_factor": (-0.6 * s, 0.0)}),
    "rotation": _keras("RandomRotation", lambda s: {"factor": s / 12}),
    "color": _keras("RandomBrightness", lambda s: {"factor": 0.4 * s, "value_range": (0, 255)}),
    "randaugment": _keras("RandAugment", lambda s: {"factor": 0.2 * s, "value_range": (0, 255)}),
    "mixup": _keras("MixUp", lambda s: {"alpha": 0.4 * s}),
    "cutmix": _keras("CutMix", lambda s: {"factor": s}),
    "erasing": _keras("RandomErasing", lambda s: {"factor": s, "value_range": (0, 255)}),
}
