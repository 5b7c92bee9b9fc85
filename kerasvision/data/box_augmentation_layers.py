"""The parts behind `box_augmentation`, which move pixels and boxes by the same numbers.

Keras' layers take boxes, too. Checked against Keras 3.15.1 (the tests repeat it): `RandomCrop` takes the
offset of y from x and that of x from y. `RandomFlip` is right, but moves padding. `RandomZoom` is right to a
pixel, but knows no crowds and keeps a box however little of its object is left. All of them write into the
dictionary that they are given. So boxes move here, where the drop rule can see
the whole object through several changes in a row; colours change by the layers of `augmentation`.

Inside, targets carry `whole` (b, m) beside what they are made of: the area that each object would have in the
present scale if nothing of it had been cut off.
"""

from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf
from keras import ops

from kerasvision.data import augmentation_layers
from kerasvision.data.augmentation_layers import MEAN_COLOUR, show_window
from kerasvision.data.boxes import LEAST_VISIBLE
from kerasvision.data.step_seeds import StepSeeds

LEAST_SIDE = 1.0  # pixels; nothing can be learnt of a smaller object
_PAD = {"boxes": 0.0, "classes": -1, "crowd": False, "whole": 0.0}
_MIDDLE = 0.3, 0.7  # where the four images of a mosaic meet, in shares of the sides

Step = Callable  # (images, targets) -> (images, targets)


def build(name: str, strength: float, seeds: StepSeeds) -> Step:
    """Return the function (images, targets) -> (images, targets) that a name stands for.

    Args:
        name: a key of `BUILDERS`.
        strength: in (0, 1].
        seeds: from which all that is random is drawn.
    """
    return BUILDERS[name](strength, seeds)


def open_targets(targets: dict) -> dict:
    """Return the targets of a batch with the areas that their objects have."""
    classes = tf.cast(targets["classes"], tf.int32)
    boxes = tf.cast(targets["boxes"], tf.float32)
    state = {"boxes": boxes, "classes": classes, "crowd": tf.cast(targets["crowd"], tf.bool)}
    return _only(classes >= 0, state | {"whole": _areas(boxes)})


def close_targets(state: dict, most: int | None) -> dict:
    """Return the targets of a batch with the boxes first, and no more than `most` of them: the largest."""
    there = state["classes"] >= 0
    if most is not None:
        order = tf.argsort(tf.where(there, -_areas(state["boxes"]), 1.0), stable=True)
        there &= tf.argsort(order) < most
    order = tf.argsort(tf.cast(~there, tf.int32), stable=True)
    state = _only(there, state)
    state.pop("whole")
    state = {name: tf.gather(value, order, batch_dims=1) for name, value in state.items()}
    return state if most is None else {name: _to_width(name, value, most) for name, value in state.items()}


def _to_width(name: str, value, width: int):
    """Cut rows (b, m, …) to a width, or fill them up to it."""
    missing = tf.maximum(width - tf.shape(value)[1], 0)
    padding = [(0, 0), (0, missing), *[(0, 0)] * (value.shape.rank - 2)]
    value = tf.pad(value, padding, constant_values=_PAD[name])[:, :width]
    return tf.ensure_shape(value, (None, width, *value.shape[2:]))


class _Flip:
    """Mirror half of the images."""

    def __init__(self, strength: float, seeds: StepSeeds, *, axis: int):
        self.axis, self.generator = axis, seeds.generator()

    def __call__(self, images, targets):
        mirrored = keras.random.uniform((tf.shape(images)[0],), seed=self.generator) < 0.5
        images = tf.where(mirrored[:, None, None, None], tf.reverse(images, [self.axis]), images)
        left, top, right, bottom = tf.unstack(targets["boxes"], axis=-1)
        height, width = (tf.cast(side, tf.float32) for side in ops.shape(images)[1:3])
        flipped = (
            (width - right, top, width - left, bottom)
            if self.axis == 2
            else (left, height - bottom, right, height - top)
        )
        boxes = tf.where(mirrored[:, None, None], tf.stack(flipped, axis=-1), targets["boxes"])
        return images, _only(targets["classes"] >= 0, targets | {"boxes": boxes})


class _ScaleCrop:
    """Show a random part of an image enlarged, or all of it made smaller on the mean colour."""

    def __init__(self, strength: float, seeds: StepSeeds):
        self.generator = seeds.generator()
        self.largest = strength * 1.0986  # log(3)
        self.stretch = strength * 0.2877  # log(4 / 3)

    def __call__(self, images, targets):
        count, height, width = ops.shape(images)[:3]
        draw = partial(keras.random.uniform, (count,), seed=self.generator)
        side = draw(minval=-self.largest, maxval=self.largest)
        ratio = 0.5 * draw(minval=-self.stretch, maxval=self.stretch)
        wide, high = ops.exp(side + ratio), ops.exp(side - ratio)
        left, top = draw() * (1 - wide) * width, draw() * (1 - high) * height
        pixels = show_window(images, left, top, wide, high)
        inside = _between(left, wide, width)[:, None, :] & _between(top, high, height)[:, :, None]
        images = tf.where(inside[..., None], pixels, tf.constant(MEAN_COLOUR, tf.float32))
        return images, _move(targets, left, top, wide, high, (0.0, 0.0, width, height))


class _Mosaic:
    """Put parts of three other images of the batch beside a part of each (arXiv:2004.10934, 3.3).

    Where the four meet is drawn anew for each image. Each shows as much of itself as fits into its corner at
    a scale between just filling it and that of the original, so that no part of the result is empty.
    """

    def __init__(self, strength: float, seeds: StepSeeds):
        self.share, self.generator = strength, seeds.generator()

    def __call__(self, images, targets):
        count = tf.shape(images)[0]
        chosen = keras.random.uniform((count,), seed=self.generator) < self.share
        rows = tf.where(chosen)[:, 0]
        mixed, moved = self._mix(images, targets, rows)
        # Row i is the i-th of all images, or, where it was chosen, one of those that are appended.
        appended = count + tf.cumsum(tf.cast(chosen, tf.int32)) - 1
        pick = tf.where(chosen, appended, tf.range(count))
        targets = {name: _widened(name, value) for name, value in targets.items()}
        return (
            tf.gather(tf.concat([images, mixed], 0), pick),
            {name: tf.gather(tf.concat([targets[name], moved[name]], 0), pick) for name in targets},
        )

    def _mix(self, images, targets, rows):
        count, (height, width) = tf.shape(rows)[0], ops.shape(images)[1:3]
        draw = partial(keras.random.uniform, (count,), seed=self.generator)
        sources = self._sources(rows, tf.shape(images, tf.int64)[0])
        # Whole pixels, so that the edge between two images is that between two boxes.
        x, y = (tf.round(draw(*_MIDDLE) * side) for side in (width, height))
        across, down = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)
        mixed, parts = tf.zeros((count, height, width, 3)), []
        for number, (is_right, is_low) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            left, right = (x, tf.fill([count], float(width))) if is_right else (tf.zeros_like(x), x)
            top, bottom = (y, tf.fill([count], float(height))) if is_low else (tf.zeros_like(y), y)
            least = tf.maximum((right - left) / width, (bottom - top) / height)
            size = 1 / (least + draw() * (1 - least))  # of the window, in shares of the source
            from_left = draw() * (width - (right - left) * size) - left * size
            from_top = draw() * (height - (bottom - top) * size) - top * size
            shown = show_window(tf.gather(images, sources[:, number]), from_left, from_top, size, size)
            inside = ((across >= left[:, None]) & (across < right[:, None]))[:, None, :]
            inside &= ((down >= top[:, None]) & (down < bottom[:, None]))[:, :, None]
            mixed = tf.where(inside[..., None], shown, mixed)
            taken = {name: tf.gather(value, sources[:, number]) for name, value in targets.items()}
            parts.append(_move(taken, from_left, from_top, size, size, (left, top, right, bottom)))
        return mixed, {name: tf.concat([part[name] for part in parts], 1) for name in targets}

    def _sources(self, rows, size):
        """Return for each corner which image it shows, (n, 4); one of them is the image itself."""
        count = tf.shape(rows)[0]
        others = keras.random.uniform((count, 4), seed=self.generator)
        others = tf.minimum(tf.cast(others * tf.cast(size, tf.float32), tf.int64), size - 1)
        own = tf.cast(keras.random.uniform((count, 1), seed=self.generator) * 4, tf.int32)
        return tf.where(tf.range(4) == own, rows[:, None], others)


class Color:
    """Change colours; boxes (and masks) stay as they are."""

    def __init__(self, strength: float, seeds: StepSeeds):
        """Build Keras' layers."""
        self.steps = augmentation_layers.build("color", strength, seeds)

    def __call__(self, images, targets):
        """Return changed images and the targets as they came."""
        none = tf.zeros((tf.shape(images)[0], 1))
        for step in self.steps:
            images, _ = step(images, none)
        return images, targets


def _move(targets: dict, left, top, wide, high, region: tuple) -> dict:
    """Move boxes as `show_window` moves pixels, cut them to a region, and drop what is hardly there.

    Args:
        targets: boxes (b, m, 4) and what is said of them.
        left: (b,) as for `show_window`.
        top: (b,)
        wide: (b,)
        high: (b,)
        region: left, top, right, bottom, numbers or (b,), of what the image shows of it.
    """
    shift, scale = tf.stack([left, top, left, top], -1), tf.stack([wide, high, wide, high], -1)
    boxes = (targets["boxes"] - shift[:, None]) / scale[:, None]
    whole = targets["whole"] / (wide * high)[:, None]
    edges = tf.stack([tf.zeros_like(left) + tf.cast(edge, tf.float32) for edge in region], -1)[:, None]
    boxes = tf.clip_by_value(boxes, tf.tile(edges[..., :2], [1, 1, 2]), tf.tile(edges[..., 2:], [1, 1, 2]))
    seen = tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= LEAST_SIDE, -1)
    kept = seen & (targets["crowd"] | (_areas(boxes) >= LEAST_VISIBLE * whole))
    return _only(kept & (targets["classes"] >= 0), targets | {"boxes": boxes, "whole": whole})


def _only(kept, targets: dict) -> dict:
    """Turn all boxes but those kept, (b, m) bool, into padding."""
    mask = {name: kept[..., None] if value.shape.rank == 3 else kept for name, value in targets.items()}
    return {
        name: tf.where(mask[name], value, tf.cast(_PAD[name], value.dtype)) for name, value in targets.items()
    }


def _widened(name: str, value):
    """Return rows (b, m, …) with room for 4 * m."""
    return tf.concat([value, *[tf.cast(tf.fill(tf.shape(value), _PAD[name]), value.dtype)] * 3], 1)


def _between(start, scale, side: int):
    """Tell which of `side` pixels look at something inside the image, (b, side)."""
    place = start[:, None] + (tf.range(side, dtype=tf.float32) + 0.5) * scale[:, None]
    return (place >= 0) & (place <= side)


def _areas(boxes):
    return tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0), -1)


BUILDERS: dict[str, Callable[[float, StepSeeds], Step]] = {
    "flip": partial(_Flip, axis=2),
    "vertical_flip": partial(_Flip, axis=1),
    "scale_crop": _ScaleCrop,
    "color": Color,
    "mosaic": _Mosaic,
}
