"""From raw RGB in [0, 255] to what a network expects, as layers, so that it is in every exported file."""

import keras
from keras import layers

# mode -> per-channel scale and offset in RGB order: pixel * scale + offset
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
MODES = {
    "included": None,
    "zero_one": (1 / 255, 0.0),
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / 255 / deviation for deviation in IMAGENET_DEVIATION],
        [-mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
    ),
    "caffe": (1.0, [-123.68, -116.779, -103.939]),
}


def preprocess(image, mode: str):
    """Add the preprocessing layers of a mode of `ModelEntry.preprocessing` to a tensor of raw RGB pixels.

    Raises:
        ValueError: the mode is unknown.
    """
    if mode not in MODES:
        raise ValueError(f"`preprocessing` must be one of {', '.join(map(repr, MODES))}. Received: {mode!r}.")
    if MODES[mode] is None:
        return image
    scale, offset = MODES[mode]
    # float32 also under mixed precision: 255 steps of brightness do not fit bfloat16 after the scaling.
    x = layers.Rescaling(scale, offset, dtype="float32", name="preprocess")(image)
    if mode == "caffe":
        # RGB -> BGR by a gather: a built-in operation in TFLite (also int8) and ONNX, and no custom object.
        x = keras.ops.take(x, [2, 1, 0], axis=-1)
    return x
