"""Turn a classifier into a fully convolutional network: a heat map of each class in one pass.

Long et al., Fully convolutional networks for semantic segmentation, 2015, section 3.1.
"""

import keras
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models import graph

_AVERAGES = layers.GlobalAveragePooling2D
_MAXIMA = layers.GlobalMaxPooling2D


def convolutionalize(model: keras.Model) -> keras.Model:
    """Return a classifier as a network for images of any size, with the same weights.

    Where the classifier pools its last feature map, or looks at all of it with a Dense layer, the new network
    does so at every place of a larger map: pooling becomes pooling over a window of the native size that
    moves by one place, a Dense layer a convolution with such a kernel, all later ones 1x1 convolutions. One
    pass over a large image so gives what the classifier would say of every crop of its native size, shifted
    by the stride of the map; but for what the borders of crops do to convolutions with padding, which see
    zeros there, and not the rest of the image.

    Args:
        model: a classifier of one image input of a fixed size, for example of `kerasvision.models.classifier`
            or `get_model`; it is copied, not changed.

    Returns:
        A functional model: images (b, h, w, 3) of any size from the native one on -> (b, rows, columns,
        classes), one row and column at the native size. It ends with the activation of the classifier.

    Raises:
        KerasvisionError: the input has no fixed size, there is no feature map to begin with, it is brought to
            a fixed size, or a layer after it has no convolutional form.
        ValueError: the model is not functional.

    >>> from kerasvision.models import classifier
    >>> cats = classifier("resnet_small", classes=2, image_size=32)
    >>> convolutionalize(cats)(keras.ops.zeros((1, 40, 48, 3))).shape
    TensorShape([1, 2, 3, 2])
    """
    flat = graph.copy(model)
    (image,) = graph.functional(flat).inputs
    if len(image.shape) != 4 or None in image.shape[1:]:
        raise KerasvisionError(
            f"`model` must take images of a fixed size, which is what a crop is. It takes: {image.shape}."
        )
    calls = graph.nodes(flat)
    last = max((i for i, node in enumerate(calls) if _is_map(node.output_tensors[0])), default=None)
    if last is None or last == len(calls) - 1:
        raise KerasvisionError(
            f"`model` {model.name!r} must be a classifier: feature maps, then pooling or Dense layers. "
            + ("It has no feature map." if last is None else "It ends with a feature map.")
        )
    head = {id(node) for node in calls[last + 1 :]}
    windows: dict[int, tuple[int, int]] = {}  # `id` of a flattened map -> the size that it had

    def call(operation, args, kwargs, node):
        if id(node) not in head:
            return operation(*args, **kwargs)
        return _everywhere(operation, args, kwargs, node, windows)

    anything = keras.Input((None, None, image.shape[-1]), dtype=image.dtype, name="image")
    tensors = graph.replay(flat, {id(image): anything}, call)
    everywhere = keras.Model(anything, tensors[id(graph.functional(flat).outputs[0])], name=model.name)
    twice = (1, 2 * image.shape[1], 2 * image.shape[2], image.shape[3])
    if min(everywhere.compute_output_shape(twice)[1:3]) < 2:
        raise KerasvisionError(
            f"`model` {model.name!r} brings its feature map to one size, whatever that of the image (VGG and "
            "AlexNet do, for images that are not of their native size). Build it for its native size."
        )
    return everywhere


def _everywhere(operation, args, kwargs, node, windows: dict):
    """Return what an operation of the head gives at every place of a map."""
    source, x = node.input_tensors[0], args[0]
    if isinstance(operation, _AVERAGES | _MAXIMA):
        kind = layers.AveragePooling2D if isinstance(operation, _AVERAGES) else layers.MaxPooling2D
        return kind(tuple(source.shape[1:3]), strides=1, name=operation.name)(x)
    if isinstance(operation, layers.Flatten | layers.Reshape) and _flattens(node):
        if len(source.shape) == 4:
            windows[id(node.output_tensors[0])] = tuple(source.shape[1:3])
        return x
    if isinstance(operation, layers.Dense):
        return _convolution(operation, windows.get(id(source), (1, 1)))(x)
    if _is_elementwise(operation):
        if id(source) in windows:  # the places are still apart
            windows[id(node.output_tensors[0])] = windows[id(source)]
        return operation(*args, **kwargs)
    raise KerasvisionError(
        f"Layer {operation.name!r} ({type(operation).__name__}) after the last feature map has no "
        "convolutional form. Known are global pooling, Flatten, Dense, Dropout, activations and 1x1 "
        "convolutions."
    )


def _convolution(dense: layers.Dense, window: tuple[int, int]) -> layers.Conv2D:
    """Return a Dense layer over flattened windows of a map as a convolution."""
    inputs, units = dense.kernel.shape
    conv = layers.Conv2D(
        units,
        window,
        activation=dense.activation,
        use_bias=dense.use_bias,
        dtype=dense.dtype_policy,
        name=dense.name,
    )
    channels = inputs // (window[0] * window[1])
    conv.build((None, *window, channels))
    kernel = keras.ops.reshape(dense.kernel, (*window, channels, units))
    conv.set_weights([kernel, *([dense.bias] if dense.use_bias else [])])
    return conv


def _flattens(node) -> bool:
    """Tell whether a node makes one row of numbers of a map, or a map of one place of such a row."""
    shape = node.output_tensors[0].shape
    return len(shape) == 2 or tuple(shape[1:3]) == (1, 1)


def _is_elementwise(operation) -> bool:
    if isinstance(operation, layers.Conv2D):
        return tuple(operation.kernel_size) == (1, 1) and tuple(operation.strides) == (1, 1)
    kinds = (
        *(layers.Dropout, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU),
        *(layers.Softmax, layers.BatchNormalization, layers.Rescaling),
    )
    return isinstance(operation, kinds)


def _is_map(tensor) -> bool:
    """Tell whether a tensor is a feature map with more than one place."""
    return len(tensor.shape) == 4 and tensor.shape[1:3] != (1, 1)
