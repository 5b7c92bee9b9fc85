"""Stacked hourglasses: networks that narrow and widen again, one after the other, each with its scores.

Newell et al., Stacked hourglass networks for human pose estimation, 2016, https://arxiv.org/abs/1603.06937;
here a heat map is of a class, not of a joint.
"""

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.segmentation.building import AUXILIARY, HEAD, LOGITS
from kerasvision.segmentation.decoding import convolve, enlarge, image_size, normalize

STEM = 64  # channels of the first convolution


def stacked_hourglass(
    pixels: keras.Model,
    classes: int,
    *,
    stacks: int = 2,
    features: int = 256,
    depth: int = 4,
    modules: int = 1,
):
    """Lay out stacked hourglasses, on maps at a quarter of the image's sides.

    Convolutions that BatchNorm follows have no biases; those of the paper's code have some, to no effect.

    Args:
        pixels: model from `image` to its preprocessed pixels; its sides are multiples of 4.
        classes: number of classes.
        stacks: hourglasses one after the other; 8 in the paper.
        features: channels of their maps, an even number.
        depth: how often each of them halves its map. Sides that do not halve have a row or a column more,
            which is cut off where they are doubled again.
        modules: residual modules for each box of the paper's figure 3.

    Returns:
        `logits` of the last hourglass, and `auxiliary_1`, … of those before it, (b, h, w, classes) each.
    """
    _check_numbers(stacks=stacks, features=features, depth=depth, modules=modules)
    size, scores = image_size(pixels), {}
    x = stem(pixels.outputs[0], features)
    for number in range(1, stacks + 1):
        name = f"stack_{number}"
        y = hourglass(x, depth, modules, name=name)
        y = residuals(y, features, modules, name=f"{name}_after")
        y = convolve(y, features, 1, name=f"{name}_line")
        found = layers.Conv2D(classes, 1, name=f"{HEAD}{name}_score")(y)
        key = LOGITS if number == stacks else f"{AUXILIARY}{number}"
        scores[key] = enlarge(found, size, name=f"{name}_score_up")
        if number < stacks:
            back = [
                layers.Conv2D(features, 1, name=f"{HEAD}{name}_{part}_back")(z)
                for part, z in (("line", y), ("score", found))
            ]
            x = layers.Add(name=f"{HEAD}{name}_join")([x, *back])
    return scores


def stem(x, features: int):
    """Bring pixels to a quarter of their sides: (b, h, w, 3) -> (b, h/4, w/4, features)."""
    # As torch pads: "same" would shift the map.
    x = layers.ZeroPadding2D(3, name=f"{HEAD}stem_pad")(x)
    x = layers.Conv2D(STEM, 7, strides=2, use_bias=False, name=f"{HEAD}stem_conv")(x)
    x = normalize(x, name=f"{HEAD}stem")
    x = residual(x, 2 * STEM, name="stem_1")
    x = layers.MaxPooling2D(2, name=f"{HEAD}stem_pool")(x)
    x = residual(x, 2 * STEM, name="stem_2")
    return residual(x, features, name="stem_3")


def hourglass(x, depth: int, modules: int, *, name: str):
    """Look at a map at `depth` coarser sizes too, and sum what is seen: (b, h, w, c) -> (b, h, w, c)."""
    filters, level = x.shape[-1], f"{name}_{depth}"
    skip = residuals(x, filters, modules, name=f"{level}_skip")
    y = layers.MaxPooling2D(2, padding="same", name=f"{HEAD}{level}_pool")(x)
    y = residuals(y, filters, modules, name=f"{level}_down")
    if depth > 1:
        y = hourglass(y, depth - 1, modules, name=name)
    else:
        y = residuals(y, filters, modules, name=f"{level}_waist")
    y = residuals(y, filters, modules, name=f"{level}_up")
    y = layers.UpSampling2D(2, name=f"{HEAD}{level}_double")(y)
    more = tuple((0, twice - side) for twice, side in zip(y.shape[1:3], skip.shape[1:3], strict=True))
    if any(end for _, end in more):
        y = layers.Cropping2D(more, name=f"{HEAD}{level}_cut")(y)
    return layers.Add(name=f"{HEAD}{level}_add")([skip, y])


def residuals(x, filters: int, count: int, *, name: str):
    """Apply `count` residual modules: (b, h, w, c) -> (b, h, w, filters)."""
    for number in range(1, count + 1):
        x = residual(x, filters, name=name if count == 1 else f"{name}_{number}")
    return x


def residual(x, filters: int, *, name: str):
    """Add three convolutions, each after BatchNorm and ReLU: (b, h, w, c) -> (b, h, w, filters)."""
    name = f"{HEAD}{name}"
    y = normalize(x, name=f"{name}_1")
    y = layers.Conv2D(filters // 2, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = normalize(y, name=f"{name}_2")
    y = layers.Conv2D(filters // 2, 3, padding="same", use_bias=False, name=f"{name}_2_conv")(y)
    y = normalize(y, name=f"{name}_3")
    y = layers.Conv2D(filters, 1, name=f"{name}_3_conv")(y)
    if x.shape[-1] != filters:
        x = layers.Conv2D(filters, 1, name=f"{name}_0_conv")(x)
    return layers.Add(name=f"{name}_add")([x, y])


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise KerasvisionError(f"`{name}` must be a whole number from 1. Received: {number!r}.")
    if numbers["features"] % 2:
        raise KerasvisionError(
            f"`features` must be even: modules have half as many inside. Received: {numbers['features']}. "
            f"Use {numbers['features'] + 1}."
        )
