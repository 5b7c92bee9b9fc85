"""A classifier for every place of a large image.

At its native size the convolutional form must answer as the classifier does. On a larger image a cell equals
the classifier on the crop that it stands for only where no padding comes between: a crop has zeros around it,
the image has not. So both steps are compared where that can be done exactly: the cells with the classifier's
own head on windows of the feature map; and, of a network without padding, the cells with crops.
"""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models import classifier, get_model, graph
from kerasvision.segmentation import convolutionalize

QUICK = ("mobilenet_v2", "mobilenet_v2 max", "small_vgg", "resnet_small", "mobilenet_v3_small")


def spread(model, rng):
    """Give a network with random weights answers that differ from image to image."""
    images = rng.uniform(0, 255, (4, *model.input_shape[1:])).astype(np.float32)
    images *= np.array([1.0, 0.7, 0.4, 0.1], np.float32)[:, None, None, None]
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)
    last = model.layers[-1]
    before = keras.Model(graph.functional(model).inputs, graph.output_of(model, last.name))
    logits = np.log(np.asarray(before(images, training=False)))
    last.set_weights([w * 3 / logits.std(0).mean() for w in last.get_weights()])
    return model


def small_vgg():
    image = layers.Input((48, 48, 3))
    x = layers.Rescaling(1 / 255)(image)
    for filters in (8, 12, 16):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.5)(layers.Dense(32, activation="relu")(layers.Flatten()(x)))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def made(kind, rng):
    keras.utils.set_random_seed(3)
    if kind == "small_vgg":
        return spread(small_vgg(), rng)
    if kind == "vgg16":
        return spread(get_model("vgg16", classes=10), rng)
    pooling = "max" if kind == "mobilenet_v2 max" else "avg"
    return spread(classifier(kind.split()[0], classes=10, image_size=96, pooling=pooling), rng)


@pytest.mark.parametrize("kind", [*QUICK, pytest.param("vgg16", marks=pytest.mark.slow)])
def test_the_same_answer_at_the_native_size(kind, rng):
    model = made(kind, rng)
    size = model.input_shape[1]
    images = rng.uniform(0, 255, (3, size, size, 3)).astype(np.float32)
    images *= np.array([1.0, 0.6, 0.2], np.float32)[:, None, None, None]
    wanted = model.predict(images, verbose=0)
    found = convolutionalize(model).predict(images, verbose=0)
    assert found.shape == (3, 1, 1, 10) and np.ptp(wanted, axis=0).max() > 0.01
    np.testing.assert_allclose(found[:, 0, 0], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["mobilenet_v2", "small_vgg", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_each_cell_is_the_head_on_a_window_of_the_map(kind, rng):
    model = made(kind, rng)
    size = model.input_shape[1]
    everywhere = convolutionalize(model)
    images = rng.uniform(0, 255, (1, size + 64, size + 96, 3)).astype(np.float32)
    maps = [n for n in graph.nodes(model) if len(n.output_tensors[0].shape) == 4]
    last = [node for node in maps if node.output_tensors[0].shape[1] > 1][-1]
    native = last.output_tensors[0]
    stride = size // native.shape[1]
    found = everywhere.predict(images, verbose=0)
    assert found.shape == (1, 64 // stride + 1, 96 // stride + 1, 10)
    head = keras.Model(native, graph.functional(model).outputs[0])
    large = keras.Model(everywhere.inputs, graph.output_of(everywhere, last.operation.name))
    large = large.predict(images, verbose=0)
    rows, columns = native.shape[1:3]
    for i, j in np.ndindex(found.shape[1:3]):
        wanted = head.predict(large[:, i : i + rows, j : j + columns], verbose=0)
        # Sums of 25,088 products in another order, with logits spread over three units and more.
        np.testing.assert_allclose(found[:, i, j], wanted, atol=5e-5)


def test_each_cell_is_the_classifier_on_its_crop_where_nothing_is_padded(rng):
    keras.utils.set_random_seed(1)
    x = image = layers.Input((33, 33, 3))
    for filters in (8, 12, 16):
        x = layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
    x = layers.Dense(7, activation="relu")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(5, activation="softmax")(layers.Dropout(0.5)(x)))
    images = rng.normal(0, 1, (2, 33 + 16, 33 + 24, 3)).astype(np.float32)
    found = convolutionalize(model).predict(images, verbose=0)
    assert found.shape == (2, 3, 4, 5)
    for i in range(3):
        for j in range(4):
            crop = images[:, 8 * i : 8 * i + 33, 8 * j : 8 * j + 33]
            np.testing.assert_allclose(found[:, i, j], model.predict(crop, verbose=0), atol=1e-5)


def test_the_classifier_is_not_changed(rng):
    model = made("resnet_small", rng)
    before = [w.copy() for w in model.get_weights()]
    everywhere = convolutionalize(model)
    everywhere.layers[-1].set_weights([w + 1 for w in everywhere.layers[-1].get_weights()])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_classifier():
    image = layers.Input((None, None, 3))
    with pytest.raises(KerasvisionError, match="fixed size"):
        convolutionalize(keras.Model(image, layers.GlobalAveragePooling2D()(image)))
    image = layers.Input((16, 16, 3))
    with pytest.raises(KerasvisionError, match="must be a classifier"):
        convolutionalize(keras.Model(image, layers.Conv2D(3, 3)(image)))
    x = layers.UnitNormalization(name="unit")(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image)))
    with pytest.raises(KerasvisionError, match="'unit'.*no convolutional form"):
        convolutionalize(keras.Model(image, x))


def test_a_map_that_is_brought_to_one_size():
    model = get_model("alexnet", classes=3, input_shape=(127, 127, 3))
    with pytest.raises(KerasvisionError, match="Build it for its native size"):
        convolutionalize(model)
