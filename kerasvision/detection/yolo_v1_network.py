"""The layers of YOLO v1: the network of the paper, and its head on the feature maps of any other.

Redmon et al. 2016, https://arxiv.org/abs/1506.02640, figure 3
"""

import math
from collections.abc import Mapping

import keras
from keras import layers

from kerasvision.detection.yolo_v1 import YOLOv1Head
from kerasvision.errors import KerasvisionError
from kerasvision.models.features import last_maps

GRID = 7  # cells a side in the paper
SLOPE = 0.1  # of leaky ReLU below 0, equation 2 of the paper
FINEST = 4  # stride of the first map whose places may be cells
HIDDEN = 4096
HEAD_CHANNELS = 512
# (kernel, filters, stride) of each convolution; None is max pooling.
PAPER = (
    *((7, 64, 2), None, (3, 192, 1), None),
    *((1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1), None),
    *(4 * ((1, 256, 1), (3, 512, 1))),
    *((1, 512, 1), (3, 1024, 1), None),
    *(2 * ((1, 512, 1), (3, 1024, 1))),
    *((3, 1024, 1), (3, 1024, 2)),
    *((3, 1024, 1), (3, 1024, 1)),
)


def yolo_v1(
    backbone: keras.Model,
    classes: int,
    *,
    grid: int | None = None,
    boxes: int = 2,
    top: str | None = None,
    hidden: int = HIDDEN,
    channels: int = HEAD_CHANNELS,
):
    """Lay out YOLO v1.

    Args:
        backbone: flat model from `image` to its last feature maps.
        classes: number of classes.
        grid: cells along the shorter side; default the fewest, but at least the paper's 7, that a feature map
            of the backbone has.
        boxes: boxes a cell, 2 in the paper.
        top: `"dense"`: two Dense layers over the whole map, as in the paper, or `"convolutional"`: three
            convolutions, with far fewer weights. Default: dense on the network of the paper only.
        hidden: units of the first Dense layer.
        channels: of the convolutions of a convolutional top.

    Returns:
        Raw outputs of the one level, and the `YOLOv1Head`.

    Raises:
        KerasvisionError: an argument is not accepted.
    """
    if top not in (None, "dense", "convolutional"):
        raise KerasvisionError(f"`top` must be 'dense' or 'convolutional'. Received: {top!r}.")
    if not isinstance(boxes, int) or boxes < 1:
        raise KerasvisionError(f"`boxes` must be a positive number of boxes a cell. Received: {boxes!r}.")
    image_size = tuple(backbone.inputs[0].shape[1:3])
    own = any(layer.name == "yolo24" for layer in backbone.layers)
    if own and grid is None:
        x = backbone.outputs[0]
    else:
        x = map_for_grid(last_maps(backbone), image_size, grid, channels)
    if top == "dense" or (top is None and own):
        outputs = dense_outputs(x, classes=classes, boxes=boxes, hidden=hidden)
    else:
        outputs = convolutional_outputs(x, classes=classes, boxes=boxes, channels=channels)
    return outputs, YOLOv1Head(classes, image_size, tuple(x.shape[1:3]), boxes)


def paper_backbone(*, batch_norm: bool = True) -> keras.Model:
    """Return the 24 convolutions of the paper, at stride 64, for pixels in [0, 1], with random weights.

    Args:
        batch_norm: after each convolution. The paper has none; its convolutions were trained on ImageNet for
            a week first.
    """
    x = image = layers.Input((None, None, 3))
    number = 0
    for step in PAPER:
        if step is None:
            x = layers.MaxPooling2D(2, padding="same", name=f"yolo{number}_pool")(x)
            continue
        number += 1
        x = _convolve(x, *step, batch_norm=batch_norm, name=f"yolo{number}")
    return keras.Model(image, x, name="yolo_v1_backbone")


def dense_outputs(x, *, classes: int, boxes: int, hidden: int = HIDDEN) -> dict:
    """Return the outputs by two Dense layers over the whole map, as in the paper.

    Args:
        x: (batch, rows, columns, channels): one cell a place.
        classes: number of classes.
        boxes: boxes a cell.
        hidden: units of the first Dense layer.
    """
    rows, columns = x.shape[1:3]
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hidden, name="hidden")(x)
    x = layers.LeakyReLU(SLOPE, name="hidden_relu")(x)
    x = layers.Dropout(0.5, name="hidden_dropout")(x)
    outputs = {}
    for name, channels in _channels(classes, boxes).items():
        flat = layers.Dense(rows * columns * channels, name=f"{name}_dense")(x)
        outputs[name] = layers.Reshape((rows, columns, channels), name=f"{name}_cells")(flat)
    return outputs


def convolutional_outputs(x, *, classes: int, boxes: int, channels: int = HEAD_CHANNELS) -> dict:
    """Return the outputs by convolutions: far fewer weights, the same ones for each cell.

    Args:
        x: (batch, rows, columns, channels): one cell a place.
        classes: number of classes.
        boxes: boxes a cell.
        channels: of the two 3x3 convolutions before the outputs.
    """
    for number in (1, 2):
        x = _convolve(x, 3, channels, 1, batch_norm=True, name=f"head_conv{number}")
    return {
        name: layers.Conv2D(count, 1, name=f"{name}_conv")(x)
        for name, count in _channels(classes, boxes).items()
    }


def map_for_grid(maps: Mapping, image_size: tuple[int, int], grid: int | None, channels: int = HEAD_CHANNELS):
    """Return the feature map with one place for each cell.

    Args:
        maps: stride -> feature map of the backbone.
        image_size: (height, width) in pixels.
        grid: cells along the shorter side; default the fewest, but at least 7, that a map has (of tiny images
            the most).
        channels: of the convolutions that halve the last map where the backbone ends before.

    Raises:
        KerasvisionError: no map has so many places; those that there are, are listed.
    """
    strides = sorted(stride for stride in maps if stride >= FINEST and stride & (stride - 1) == 0)
    while math.ceil(min(image_size) / strides[-1]) > 1:
        strides.append(strides[-1] * 2)
    sides = {stride: math.ceil(min(image_size) / stride) for stride in strides}
    if grid is None:
        enough = [stride for stride in strides if sides[stride] >= GRID]
        stride = enough[-1] if enough else strides[0]
    else:
        stride = next((stride for stride in strides if sides[stride] == grid), None)
    if stride is None:
        raise KerasvisionError(
            f"`grid` must be one of {sorted(set(sides.values()))}, which feature maps of images of "
            f"{image_size[0]} x {image_size[1]} pixels have. Received: {grid!r}. For 7 cells a side use "
            "images of 224 or 448 pixels."
        )
    return _reach(maps, stride, channels)


def _reach(maps: Mapping, stride: int, channels: int):
    """Return the map at a stride, made from the last one by halving it where there is none."""
    if stride in maps:
        return maps[stride]
    last = max(maps)
    x = maps[last]
    while last < stride:
        last *= 2
        x = _convolve(x, 3, channels, 2, batch_norm=True, name=f"head_stride{last}")
    return x


def _channels(classes: int, boxes: int) -> dict[str, int]:
    return {"box_1": 4 * boxes, "object_1": boxes, "class_1": classes}


def _convolve(x, size: int, filters: int, stride: int, *, batch_norm: bool, name: str):
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=not batch_norm, name=name)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.LeakyReLU(SLOPE, name=f"{name}_relu")(x)
