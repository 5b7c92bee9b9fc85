"""Segmenters: shapes, parameters, interpolation, and eight pictures learnt by heart."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasvision._litert import LiteRTModel, convert
from kerasvision.data.scenes import crowded_scene
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import mean_iou
from kerasvision.segmentation import list_segmenters, make_loss, segmenter
from kerasvision.segmentation.fcn import bilinear_kernel, upsample

KINDS = ("circle", "square", "triangle")


def small_backbone():
    x = image = layers.Input((None, None, 3))
    for index, filters in enumerate((16, 24, 32, 48, 64)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"c{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"b{index}")(x)
        x = layers.ReLU(name=f"r{index}")(x)
    return keras.Model(image, x, name="small")


def made(name, classes=4, size=64, **options):
    return segmenter(
        name, classes=classes, image_size=size, backbone=small_backbone(), preprocessing="zero_one", **options
    )


def pictures(count=8, size=64):
    """Return drawn scenes, (n, h, w, 3) uint8, and their label maps: 0 is the ground."""
    rng, images, maps = np.random.default_rng(5), [], []
    for _ in range(count):
        scene = crowded_scene([KINDS[i] for i in rng.integers(0, 3, 3)], rng)
        images.append(scene.draw((size, size)))
        labels = np.zeros((size, size), np.int32)
        for shape, mask in zip(scene.shapes, scene.masks((size, size)), strict=True):
            labels[mask] = 1 + KINDS.index(shape.kind)
        maps.append(labels)
    return np.stack(images), np.stack(maps)


@pytest.mark.parametrize("name", list_segmenters())
def test_learns_eight_pictures_by_heart(name):
    keras.utils.set_random_seed(1)
    # Of 64 pixels the map at stride 32 has four places.
    size = 160 if name == "fcn_32s" else 96 if name == "fcn_16s" else 64
    model, loss = made(name, size=size), make_loss("cross_entropy")
    images, maps = pictures(size=size)
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(maps, model(tf.cast(images, tf.float32), training=True)))
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        return value

    def score():
        return mean_iou(maps, np.argmax(model(images.astype(np.float32), training=False), -1), 4)

    # Coarse maps cannot draw thin edges; the paper's FCN-32s is as blunt.
    wanted = {"fcn_32s": 0.6, "fcn_16s": 0.75, "fcn_8s": 0.85, "unet": 0.95}[name]
    for _ in range(6):
        for _ in range(60):
            step()
        if score() > wanted:
            break
    assert score() > wanted


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18", "vgg11_bn"])
@pytest.mark.parametrize("name", ["unet", "fcn_8s"])
def test_on_networks_of_the_gallery(name, backbone):
    model = segmenter(name, classes=5, image_size=(64, 96), backbone=backbone)
    assert model.output_shape == (None, 64, 96, 5) and model.output.dtype == "float32"
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


def test_enlarging_is_bilinear_interpolation(rng):
    values = rng.normal(size=(1, 5, 6, 3)).astype(np.float32)
    x = layers.Input((5, 6, 3))
    large = keras.Model(x, upsample(x, 4, name="up"))(values).numpy()
    wanted = tf.image.resize(values, (20, 24), "bilinear").numpy()
    # The border differs: a transposed convolution has zeros beyond it, interpolation goes on with the edge.
    np.testing.assert_allclose(large[:, 2:-2, 2:-2], wanted[:, 2:-2, 2:-2], atol=1e-5)
    assert bilinear_kernel(4, 3).shape == (8, 8, 3, 3)


def test_fcn_begins_with_the_coarse_scores_alone(rng):
    keras.utils.set_random_seed(0)
    model = made("fcn_8s")
    image = rng.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    before = model(image).numpy()
    model.get_layer("head_score_5").set_weights(
        [w * 0 for w in model.get_layer("head_score_5").get_weights()]
    )
    assert np.abs(before).max() > 0 and not model(image).numpy().any()
    assert not model.get_layer("head_up_image").trainable_weights


@pytest.mark.parametrize("name", ["fcn_8s", "unet"])
def test_converts_to_built_in_operations(name, rng):
    model = made(name)
    file = LiteRTModel(convert(model, input_shape=(64, 64, 3)))
    image = rng.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    (found,) = file(image).values()
    np.testing.assert_allclose(found, model(image, training=False), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "unett"}, "Did you mean `unet`"),
        ({"name": "unet", "size": 100}, r"multiples of 32.*Use \(128, 128\)"),
        ({"name": "unet", "classes": 1}, "`classes` must be"),
        ({"name": "unet", "depth": 3}, "no such option.*depth"),
        ({"name": "unet", "filters": (8, 8)}, "`filters` must be 5 numbers"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(KerasvisionError, match=message):
        made(**arguments)
