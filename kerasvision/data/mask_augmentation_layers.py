"""The parts behind `mask_augmentation`, which move pixels and label maps by the same numbers.

Neighbours that move pixels are multiplied into one 3 x 3 matrix an image, from the place of an output pixel
to that in the input, both in pixels from the upper left corner of the picture (the first pixel's centre is
at 0.5). So a picture is resampled once: bilinear for images, nearest for label maps.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasvision.data.augmentation_layers import MEAN_COLOUR
from kerasvision.data.box_augmentation_layers import Color
from kerasvision.data.step_seeds import StepSeeds
from kerasvision.metrics.segmentation import VOID

OUTSIDE = -1.0  # what label maps show beyond the edge, until image and map are filled there
TO_PLACE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], np.float32)  # of a pixel's centre from its index
TO_INDEX = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]], np.float32)

Step = Callable  # (images, masks) -> (images, masks)
Draw = Callable  # (minval, maxval) -> (b,) float32
Movement = Callable[[Draw, float, float], tf.Tensor]  # (draw, height, width) -> (b, 3, 3)


def build(names: Sequence[str], strength: float, seeds: StepSeeds) -> list[Step]:
    """Return the functions (images, masks) -> (images, masks) that names stand for.

    Args:
        names: keys of `MOVEMENTS` and `CHANGES`.
        strength: in (0, 1].
        seeds: from which all that is random is drawn.
    """
    steps: list[Step] = []
    for moves, group in groupby(names, key=MOVEMENTS.__contains__):
        if moves:
            steps.append(_Move([partial(MOVEMENTS[name], strength) for name in group], seeds))
        else:
            steps += [CHANGES[name](strength, seeds) for name in group]
    return steps


class _Move:
    """Resample images and label maps once for several movements in a row."""

    def __init__(self, movements: Sequence[Movement], seeds: StepSeeds):
        self.movements, self.generators = movements, [seeds.generator() for _ in movements]

    def __call__(self, images, masks):
        count, height, width = ops.shape(images)[:3]
        matrix = tf.eye(3, batch_shape=[count])
        for movement, generator in zip(self.movements, self.generators, strict=True):
            draw = partial(keras.random.uniform, (count,), seed=generator)
            moved = movement(draw, tf.cast(height, tf.float32), tf.cast(width, tf.float32))
            matrix = _product(matrix, moved)
        matrix = _product(_product(TO_INDEX, matrix), TO_PLACE)
        move = partial(
            tf.raw_ops.ImageProjectiveTransformV3,
            transforms=tf.reshape(matrix, (-1, 9))[:, :8],
            output_shape=tf.stack([height, width]),
            fill_value=OUTSIDE,
        )
        pixels = move(images=images, interpolation="BILINEAR", fill_mode="NEAREST")
        moved = move(images=masks[..., None], interpolation="NEAREST", fill_mode="CONSTANT")
        outside = moved == int(OUTSIDE)
        images = tf.where(
            outside, tf.constant(MEAN_COLOUR, tf.float32), tf.ensure_shape(pixels, images.shape)
        )
        return images, tf.ensure_shape(tf.where(outside, VOID, moved)[..., 0], masks.shape)


def _flip(strength: float, draw: Draw, height, width, *, upside_down: bool = False):
    """Mirror half of the images."""
    sign = tf.where(draw(minval=0.0, maxval=1.0) < 0.5, -1.0, 1.0)
    one, side = tf.ones_like(sign), height if upside_down else width
    shift = 0.5 * (1 - sign) * side
    return _scaled(0 * shift, shift, one, sign) if upside_down else _scaled(shift, 0 * shift, sign, one)


def _scale_crop(strength: float, draw: Draw, height, width):
    """Show a random part of an image enlarged, or all of it made smaller, as `box_augmentation` does."""
    largest, stretch = strength * 1.0986, strength * 0.2877  # log(3), log(4 / 3)
    side = draw(minval=-largest, maxval=largest)
    ratio = 0.5 * draw(minval=-stretch, maxval=stretch)
    wide, high = ops.exp(side + ratio), ops.exp(side - ratio)
    left = draw(minval=0.0, maxval=1.0) * (1 - wide) * width
    return _scaled(left, draw(minval=0.0, maxval=1.0) * (1 - high) * height, wide, high)


def _rotation(strength: float, draw: Draw, height, width):
    """Turn images about their middle."""
    most = strength * np.pi / 6
    angle = draw(minval=-most, maxval=most)
    sine, cosine, zero, one = tf.sin(angle), tf.cos(angle), 0 * angle, tf.ones_like(angle)
    x, y = width / 2, height / 2
    return _matrix(
        (cosine, -sine, x - cosine * x + sine * y),
        (sine, cosine, y - sine * x - cosine * y),
        (zero, zero, one),
    )


def _scaled(left, top, wide, high):
    """Return the matrices that show what begins at (left, top), at a scale for each axis; all are (b,)."""
    zero = 0 * left
    return _matrix((wide, zero, left), (zero, high, top), (zero, zero, zero + 1))


def _matrix(*rows: tuple):
    """Stack 3 x 3 values (b,) into (b, 3, 3)."""
    return tf.stack([tf.stack(row, -1) for row in rows], -2)


def _product(first, second):
    """Multiply matrices (…, 3, 3) in full precision: a GPU may round the numbers of `matmul` to 10 bits."""
    return tf.reduce_sum(first[..., :, :, None] * second[..., None, :, :], -2)


class _CutMix:
    """Put a rectangle of the next image, with its labels, over some of the images."""

    def __init__(self, strength: float, seeds: StepSeeds):
        self.share, self.generator = strength, seeds.generator()

    def __call__(self, images, masks):
        count, height, width = ops.shape(images)[:3]
        draw = partial(keras.random.uniform, (count,), seed=self.generator)
        chosen = draw() < self.share
        # The area is even in [0, 1], the proportions are those of the image, as in the paper.
        side = tf.sqrt(draw())
        inside = chosen[:, None, None]
        for axis, length in ((1, height), (2, width)):
            start = draw() * (1 - side)
            place = (tf.range(length, dtype=tf.float32) + 0.5) / tf.cast(length, tf.float32)
            within = (place >= start[:, None]) & (place < (start + side)[:, None])
            inside &= tf.expand_dims(within, 3 - axis)
        images = tf.where(inside[..., None], tf.roll(images, 1, 0), images)
        return images, tf.where(inside, tf.roll(masks, 1, 0), masks)


MOVEMENTS: dict[str, Callable] = {
    "flip": _flip,
    "vertical_flip": partial(_flip, upside_down=True),
    "scale_crop": _scale_crop,
    "rotation": _rotation,
}
CHANGES: dict[str, Callable[[float, StepSeeds], Step]] = {"color": Color, "cutmix": _CutMix}
