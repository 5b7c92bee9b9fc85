"""Segmenters: shapes, interpolation, conversion, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_segmenters import made

from kerasvision._litert import LiteRTModel, convert
from kerasvision.errors import KerasvisionError
from kerasvision.segmentation import segmenter
from kerasvision.segmentation.fcn import bilinear_kernel, upsample


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
