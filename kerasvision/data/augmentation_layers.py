"""The layers behind `augmentation`: Keras' own where they do per image what they say, ours elsewhere.

Checked against Keras 3.15.1 (the tests repeat it):

- `RandomContrast(f)` with a number only ever raises contrast; a pair `(f, f)` does both.
- `RandomSaturation` clips saturation, a number in [0, 1], to its `value_range`; with (0, 255) it therefore
  does not clip, and colours leave the range. With `value_range=(0, 1)` it is right for any range of pixels.
- `RandomColorJitter` has both faults, and its inner layers ignore `dtype`. It is not used.
- `Solarization` scales only the upper end of its ranges to pixels. `_Solarize` takes its place.
- `RandAugment` draws one choice for the whole batch, computes all eleven operations whatever it drew,
  rotates by up to half a turn but one way only, brightens only, blurs but never sharpens, and its
  solarization and posterization are harshest at the lowest factor. `_RandAugment` takes its place.
- `Equalization` takes one histogram over the whole batch. It is not used.
- `RandomErasing` without `fill_value` fills with black and white grain (a normal deviate times 255, clipped).
"""

from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf
from keras import layers, ops

from kerasvision.data.step_seeds import StepSeeds

_RANGE = (0, 255)
_GROUPS = 4
_ROUNDS = 2
_MIDDLE_GREY = 127.5
# What most networks take for zero; the paper pads after it has subtracted the mean.
MEAN_COLOUR = (123.675, 116.28, 103.53)

Step = Callable  # (images, one_hot) -> (images, one_hot)


def build(name: str, strength: float, seeds: StepSeeds) -> list[Step]:
    """Return the functions (images, one_hot) -> (images, one_hot) that a name stands for.

    Args:
        name: a key of `BUILDERS`.
        strength: in (0, 1].
        seeds: from which all that is random is drawn.
    """
    return [_as_step(layer, seeds) for layer in BUILDERS[name](strength)]


def _as_step(layer, seeds: StepSeeds) -> Step:
    own = isinstance(layer, _Pixels)
    for part in (layer, *layer.layers) if own else (layer,):
        if hasattr(part, "generator"):
            part.generator = seeds.generator()
    if own:
        return lambda images, one_hot: (layer(images), one_hot)

    def step(images, one_hot):
        changed = layer({"images": images, "labels": one_hot}, training=True)
        return changed["images"], changed["labels"]

    return step


def _color(strength: float, layer: Callable) -> list:
    contrast, saturation = 0.4 * strength, 0.25 * strength
    return [
        layer(layers.RandomBrightness)(0.3 * strength, value_range=_RANGE),
        layer(layers.RandomContrast)((contrast, contrast), value_range=_RANGE),
        # 0.5 leaves as it is: Keras multiplies the saturation by factor / (1 - factor).
        layer(layers.RandomSaturation)((0.5 - saturation, 0.5 + saturation), value_range=(0, 1)),
        layer(layers.RandomHue)(0.1 * strength, value_range=_RANGE),
    ]


def show_window(images, left, top, wide, high):
    """Show a part of each image in the size of the whole; beyond its edges it goes on in the edge's colours.

    Args:
        images: (b, h, w, 3).
        left: (b,) where the part begins, in pixels; the first pixel begins at 0 and ends at 1.
        top: (b,)
        wide: (b,) share of the width that the part has; above 1 the image gets smaller.
        high: (b,)
    """
    zero = ops.zeros_like(wide)
    # In pixel centres: output x looks at left + (x + 0.5) * wide - 0.5 of the input.
    shift_x, shift_y = left + 0.5 * wide - 0.5, top + 0.5 * high - 0.5
    transforms = ops.stack([wide, zero, shift_x, zero, high, shift_y, zero, zero], axis=1)
    return ops.image.affine_transform(images, transforms, fill_mode="nearest")


class _Pixels:
    """Something of ours that changes images and leaves labels alone.

    `generator`, and that of each of `layers`, is set before use.
    """

    generator = None
    layers = ()


class _RandomCrop(_Pixels):
    """Cut out a part of random size, proportions and place, and enlarge it to the whole."""

    def __init__(self, strength: float):
        self.smallest_area = 1 - 0.92 * strength  # 0.08 at full strength, as is usual for ImageNet
        self.stretch = strength * 0.2877  # log(4 / 3)

    def __call__(self, images):
        count, height, width = ops.shape(images)[:3]
        draw = partial(keras.random.uniform, (count,), seed=self.generator)
        side = ops.sqrt(draw(minval=self.smallest_area, maxval=1.0))
        ratio = ops.exp(0.5 * draw(minval=-self.stretch, maxval=self.stretch))
        wide, high = ops.minimum(side * ratio, 1.0), ops.minimum(side / ratio, 1.0)
        left, top = draw() * (1 - wide), draw() * (1 - high)
        return show_window(images, left * width, top * height, wide, high)


class _PadCrop(_Pixels):
    """Pad with the mean colour on all sides and cut out a part of the old size (arXiv:1512.03385, 4.2)."""

    def __init__(self, strength: float):
        self.share = strength / 4  # 4 of 32 pixels at strength 0.5

    def __call__(self, images):
        count, height, width = ops.shape(images)[:3]
        colour = ops.convert_to_tensor(MEAN_COLOUR, images.dtype)
        images = images - colour  # so that padding with zeros is padding with it
        for axis, side in ((1, height), (2, width)):
            images = self._shift(images, axis, count, side)
        return images + colour

    def _shift(self, images, axis: int, count, side: int):
        most = max(1, round(self.share * side))
        padding = [(most, most) if a == axis else (0, 0) for a in range(4)]
        starts = keras.random.randint((count, 1), 0, 2 * most + 1, seed=self.generator)
        return tf.gather(ops.pad(images, padding), starts + tf.range(side), axis=axis, batch_dims=1)


class _Solarize(_Pixels):
    """Invert what is brighter than a random threshold."""

    def __init__(self, strength: float):
        self.lowest = 255.0 * (1 - strength)

    def __call__(self, images, training=True):
        shape = (ops.shape(images)[0], 1, 1, 1)
        threshold = keras.random.uniform(shape, self.lowest, 255.0, seed=self.generator)
        return ops.where(images < threshold, images, 255.0 - images)


class _RandAugment(_Pixels):
    """Two random operations in a row (arXiv:1909.13719), drawn anew for each quarter of the batch.

    Only what was drawn is computed: one operation an image and round.
    """

    def __init__(self, strength: float):
        layer = partial(partial, dtype="float32")
        contrast, sharpness = 0.9 * strength, 0.45 * strength
        self.layers = [
            layer(layers.RandomRotation)(strength / 12),
            layer(layers.RandomShear)(0.3 * strength, 0.3 * strength),
            layer(layers.RandomTranslation)(0.3 * strength, 0.3 * strength),
            layer(layers.RandomBrightness)(0.5 * strength, value_range=_RANGE),
            layer(layers.RandomContrast)((contrast, contrast), value_range=_RANGE),
            layer(layers.RandomColorDegeneration)((0.0, 0.9 * strength), value_range=_RANGE),
            layer(layers.RandomSharpness)((0.5 - sharpness, 0.5 + sharpness), value_range=_RANGE),
            layer(layers.RandomPosterization)((8 - round(4 * strength), 8), value_range=_RANGE),
            _Solarize(strength),
            layer(layers.AutoContrast)(value_range=_RANGE),
        ]

    def __call__(self, images):
        drawn = keras.random.randint((_GROUPS, _ROUNDS), 0, len(self.layers) + 1, seed=self.generator)
        size = ops.shape(images)[0]
        each = (size + _GROUPS - 1) // _GROUPS
        # Groups of one size, the last filled up from the front. A loop over them, so that tracing meets
        # each operation once: unrolled it took 4 s.
        padded = tf.gather(images, tf.range(each * _GROUPS) % size)
        groups = tf.reshape(padded, (_GROUPS, each, *images.shape[1:]))
        signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
        turns = tf.reshape(tf.range(_GROUPS * _ROUNDS, dtype=tf.int64), (_GROUPS, _ROUNDS))
        changed = tf.map_fn(self._change, (groups, drawn, turns), fn_output_signature=signature)
        return ops.reshape(tf.reshape(changed, tf.shape(padded))[:size], ops.shape(images))

    def _change(self, group):
        images, drawn, turns = group

        def one_round(number, images):
            branches = [partial(self._apply, layer, images, turns[number]) for layer in self.layers]
            return number + 1, tf.switch_case(drawn[number], [*branches, partial(tf.identity, images)])

        return tf.while_loop(lambda number, _: number < _ROUNDS, one_round, (0, images))[1]

    @staticmethod
    def _apply(layer, images, turn):
        if hasattr(layer, "generator"):
            layer.generator.begin(turn)
        return tf.ensure_shape(layer(images, training=True), images.shape)


def _solid(layer_class: type, **arguments) -> Callable:
    return lambda strength: [layer_class(**arguments, dtype="float32")]


BUILDERS: dict[str, Callable[[float], list]] = {
    "flip": _solid(layers.RandomFlip, mode="horizontal"),
    "vertical_flip": _solid(layers.RandomFlip, mode="vertical"),
    "crop": lambda strength: [_RandomCrop(strength)],
    "pad_crop": lambda strength: [_PadCrop(strength)],
    "rotation": lambda strength: [layers.RandomRotation(strength / 12, dtype="float32")],
    "color": lambda strength: _color(strength, partial(partial, dtype="float32")),
    "randaugment": lambda strength: [_RandAugment(strength)],
    "mixup": lambda strength: [layers.MixUp(0.4 * strength, dtype="float32")],
    "cutmix": lambda strength: [layers.CutMix(strength, dtype="float32")],
    "erasing": lambda strength: [
        # A pair, because a number stands for a probability that is itself drawn between 0 and it.
        layers.RandomErasing(
            (strength, strength), fill_value=_MIDDLE_GREY, value_range=_RANGE, dtype="float32"
        )
    ],
}
