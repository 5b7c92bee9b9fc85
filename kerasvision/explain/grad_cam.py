"""Grad-CAM: where in the image the evidence for a class lies.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, 2016,
https://arxiv.org/abs/1610.02391
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from kerasvision.models import graph
from kerasvision.models.features import last_maps

SQUASHING = (keras.activations.softmax, keras.activations.sigmoid)


def gradcam(
    model: keras.Model,
    images: np.ndarray,
    classes: int | Sequence[int] | None = None,
    layer: str | None = None,
    *,
    batch_size: int = 8,
) -> np.ndarray:
    """Show where the evidence for a class lies in each image.

    The score whose gradient is taken is the logit: where the model ends in a softmax or sigmoid, the value
    before it, since a saturated probability has no gradient left.

    Args:
        model: functional classifier with one image input and one output (batch, classes): one of
            `kerasvision.models.classifier`, or any convolutional network.
        images: (n, height, width, channels), uint8 or float, as `model` takes them (raw RGB in [0, 255] for
            our classifiers), at its size.
        classes: the class to explain, for all images or one for each; default the predicted class.
        layer: name of the layer whose feature map is weighed; default the last feature map of the network
            that is larger than 1 x 1.
        batch_size: images at a time.

    Returns:
        (n, height, width) float32 in [0, 1], at the size of the images; the largest value of each is 1, or
        all are 0 where nothing speaks for the class.

    Raises:
        ValueError: the images, the classes or the layer do not fit the model.
    """
    flat = graph.functional(model) if graph.is_flat(model) else graph.copy(model)
    _check_model(flat)
    images = _checked_images(flat, images)
    wanted = _checked_classes(classes, len(images), flat.outputs[0].shape[-1])
    target = _map_of(flat, layer)
    heats = [
        _heat(flat, target, images[start : start + batch_size], wanted[start : start + batch_size])
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(heats) if heats else np.zeros(images.shape[:3], "float32")


def _heat(model: keras.Model, target, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the heat of one batch; a class of -1 stands for the predicted one."""
    import tensorflow as tf

    x = tf.cast(images, model.inputs[0].dtype)
    maps, logits, tape = _run(model, target, x)
    with tape:
        chosen = tf.where(classes < 0, tf.argmax(logits, axis=-1, output_type=tf.int32), classes)
        score = tf.reduce_sum(tf.gather(logits, chosen, axis=1, batch_dims=1))
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(tf.cast(weights * maps, "float32"), axis=-1, keepdims=True))
    heat = tf.image.resize(heat, images.shape[1:3])[..., 0]
    peak = tf.reduce_max(heat, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(heat, peak).numpy()


def _run(model: keras.Model, target, x):
    """Run a graph; return the feature maps, the logits, and a tape that recorded what lies between."""
    import tensorflow as tf

    # Nothing is watched before the feature maps exist, so the tape holds only what comes after them.
    tape = tf.GradientTape(watch_accessed_variables=False)

    def call(operation, args, kwargs, node):
        if any(output is model.outputs[0] for output in node.output_tensors):
            return call_without_squashing(operation, *args, **kwargs)
        outputs = operation(*args, **kwargs)
        if any(output is target for output in node.output_tensors):
            tape.watch(outputs)
        return outputs

    with tape:
        tensors = graph.replay(model, {id(model.inputs[0]): x}, call)
    return tensors[id(target)], tensors[id(model.outputs[0])], tape


def call_without_squashing(operation, x, **kwargs):
    """Call the last operation of a classifier without its softmax or sigmoid."""
    squashes = getattr(operation, "activation", None) in SQUASHING or isinstance(operation, layers.Softmax)
    if squashes and isinstance(operation, layers.Dense):
        return keras.ops.matmul(keras.ops.cast(x, operation.kernel.dtype), operation.kernel) + (
            operation.bias if operation.use_bias else 0.0
        )
    if squashes and isinstance(operation, layers.Activation | layers.Softmax):
        return x
    return operation(x, **kwargs)


def _map_of(model: keras.Model, layer: str | None):
    """Return the tensor of the feature map to weigh."""
    if layer is not None:
        tensor = graph.output_of(model, layer)
        if len(tensor.shape) != 4:
            raise ValueError(
                f"`layer` must name a layer with feature maps (batch, height, width, channels). "
                f"{layer!r} gives {tensor.shape}."
            )
        return tensor
    maps = last_maps(model)
    large = {stride: tensor for stride, tensor in maps.items() if tensor.shape[1:3] != (1, 1)}
    if not large:
        raise ValueError(
            f"`model` {model.name!r} has no feature map; Grad-CAM needs a convolutional network."
        )
    return large[max(large)]


def _check_model(model: keras.Model) -> None:
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    if len(model.inputs) != 1 or len(model.outputs) != 1 or list(map(len, shapes)) != [4, 2]:
        raise ValueError(
            "`model` must have one input (batch, height, width, channels) and one output (batch, classes). "
            f"Received inputs and outputs of shapes {shapes}."
        )


def _checked_images(model: keras.Model, images) -> np.ndarray:
    images, expected = np.asarray(images), model.inputs[0].shape
    fits = images.ndim == 4 and all(
        e in (None, s) for e, s in zip(expected[1:], images.shape[1:], strict=True)
    )
    if not fits:
        sides = ", ".join(
            name if side is None else str(side) for name, side in zip("hwc", expected[1:], strict=True)
        )
        raise ValueError(f"`images` must be of shape (n, {sides}). Received: {images.shape}.")
    return images


def _checked_classes(classes, count: int, known: int) -> np.ndarray:
    """Return (count,) int32, with -1 for "the predicted class"."""
    if classes is None:
        return np.full(count, -1, "int32")
    wanted = np.asarray(classes)
    if wanted.dtype.kind not in "iu" or wanted.shape not in ((), (count,)):
        raise ValueError(
            f"`classes` must be a class number, or one for each of the {count} images. Received: {classes!r}."
        )
    if wanted.size and not (0 <= wanted.min() and wanted.max() < known):
        raise ValueError(f"`classes` must be from 0 to {known - 1}. Received: {classes!r}.")
    return np.broadcast_to(wanted, count).astype("int32")
