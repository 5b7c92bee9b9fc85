"""The trained CIFAR networks of the real data, their images and logits; mistakes made on purpose."""

import io

import keras
import numpy as np
from PIL import Image

from kerasvision.models import get_model, graph
from kerasvision.models.preprocessing import preprocess

# Of the training images of CIFAR-10, as many people state it.
CIFAR_MEAN, CIFAR_DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def first_of_each_class(real_data, count: int) -> np.ndarray:
    """Return indices of test images, which are sorted by class; 200 a class are the 2,000 of the pitfalls."""
    with np.load(real_data / "cifar10_test_jpeg.npz") as z:
        labels = z["labels"]
    return np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)])


def jpeg_images(real_data, indices) -> tuple[np.ndarray, np.ndarray]:
    """Return JPEG test images (n, 32, 32, 3) uint8 and their labels."""
    with np.load(real_data / "cifar10_test_jpeg.npz") as z:
        jpeg, offsets, labels = z["jpeg"], z["offsets"], z["labels"]
    encoded = [io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes()) for i in indices]
    return np.stack([np.asarray(Image.open(one).convert("RGB")) for one in encoded]), labels[indices]


def lossless_images(real_data, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first lossless training images (count, 32, 32, 3) uint8 and their labels."""
    with np.load(real_data / "cifar10_train_lossless_4000.npz") as z:
        return z["images"][:count], z["labels"][:count]


def reference_logits(real_data, name: str, indices) -> np.ndarray:
    """Return the logits (n, 10) that torch gave for JPEG test images."""
    with np.load(real_data / "cifar_reference_logits.npz") as z:
        return z[name][indices]


def logits_of(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the logits of raw RGB images."""
    return model.predict(images.astype("float32"), batch_size=250, verbose=0)


def raw_to_logits(name: str) -> keras.Model:
    """Return a network with random weights, from raw RGB to logits."""
    image = keras.Input((32, 32, 3), name="image")
    return get_model(name, input_tensor=preprocess(image, "torch"), classifier_activation=None)


def with_mistake(model: keras.Model, mistake) -> keras.Model:
    """Return a copy with the same weights, in which `mistake(layer, x)` stands for layers that it knows.

    It returns the output in place of `layer(x)`, a layer to use instead (which gets the weights), or None.
    """
    made = []

    def call(layer, args, kwargs, node):
        changed = mistake(layer, args[0]) if isinstance(args[0], keras.KerasTensor) else None
        if changed is not None:
            made.append(layer.name)
        if keras.backend.is_keras_tensor(changed):
            return changed
        new = changed if changed is not None else graph.copy_layer(layer)
        outputs = new(*args, **kwargs)
        graph.assign(new, layer)
        return outputs

    wrong = graph.rebuild(model, call)
    if not made:
        raise ValueError(f"{model.name!r} has no layer in which {mistake.__name__} could be made.")
    return wrong


def epsilon(layer, x):
    """Take the epsilon that Keras has by default."""
    return (
        graph.copy_layer(layer, epsilon=1e-3) if isinstance(layer, keras.layers.BatchNormalization) else None
    )


def same_padding(layer, x):
    """Let Keras pad where the stride is 2: an even side gets nothing on the left and at the top."""
    if isinstance(layer, keras.layers.ZeroPadding2D) and layer.data_format == "channels_last":
        return graph.copy_layer(layer, padding=0)
    if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2):
        return graph.copy_layer(layer, padding="same")
    return None


def averaged_shortcut(layer, x):
    """Average four pixels where the shortcut takes one."""
    pools = isinstance(layer, keras.layers.MaxPooling2D) and layer.pool_size == (1, 1)
    return keras.layers.AveragePooling2D(2, name=layer.name) if pools else None


def zeros_at_the_end(layer, x):
    """Put all channels of zeros behind the others."""
    if not isinstance(layer, keras.layers.ZeroPadding2D) or layer.data_format != "channels_first":
        return None
    return graph.copy_layer(layer, padding=((0, 0), (0, sum(layer.padding[1]))))


def cifar_statistics(layer, x):
    """Take the mean and deviation of CIFAR-10 in place of those of ImageNet."""
    if not isinstance(layer, keras.layers.Rescaling):
        return None
    scale = [1 / 255 / deviation for deviation in CIFAR_DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(CIFAR_MEAN, CIFAR_DEVIATION, strict=True)]
    return graph.copy_layer(layer, scale=scale, offset=offset)


def bgr(layer, x):
    """Take blue for red."""
    return layer(keras.ops.take(x, [2, 1, 0], axis=-1)) if isinstance(layer, keras.layers.Rescaling) else None


def zero_to_one(layer, x):
    """Leave mean and deviation out."""
    return (
        graph.copy_layer(layer, scale=1 / 255, offset=0.0)
        if isinstance(layer, keras.layers.Rescaling)
        else None
    )


# the names in cifar_resnet20_pitfalls.json
MISTAKES = {
    "bn_eps_1e-3 (Keras default)": epsilon,
    "tf_same_padding_on_stride2": same_padding,
    "avgpool_shortcut_instead_of_subsample": averaged_shortcut,
    "zero_channels_all_at_end": zeros_at_the_end,
    "cifar_mean_std_instead": cifar_statistics,
    "bgr_input": bgr,
    "0_1_scaling_only": zero_to_one,
}
