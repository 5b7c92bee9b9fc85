"""LocallyConnected2D against a slow loop, a convolution, and its own files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_files import cosines, onnx, pictures, tflite
from keras import layers

from kerasvision.embedding import LocallyConnected2D
from kerasvision.errors import KerasvisionError
from kerasvision.models import multiply_adds

CASES = {
    "square": ((5, 5, 2), {"filters": 3, "kernel_size": 3}),
    "oblong kernel and strides": ((9, 7, 3), {"filters": 4, "kernel_size": (4, 2), "strides": (2, 3)}),
    "one place": ((3, 4, 2), {"filters": 2, "kernel_size": (3, 4)}),
    "strides beyond the kernel": ((8, 8, 1), {"filters": 2, "kernel_size": 1, "strides": 3}),
    "no bias": ((6, 6, 2), {"filters": 3, "kernel_size": 2, "use_bias": False}),
    "relu": ((6, 6, 2), {"filters": 3, "kernel_size": 2, "activation": "relu"}),
}


def built(rng, shape, options):
    """Return a layer with random weights and a batch for it."""
    layer = LocallyConnected2D(**options)
    layer.build((None, *shape))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape))
    return layer, rng.normal(size=(3, *shape)).astype(np.float32)


def windows(layer, maps):
    """Give the index of each place and the patch there, (b, inputs)."""
    (height, width), (down, right) = layer.kernel_size, layer.strides
    _, rows, columns, _ = layer.compute_output_shape(maps.shape)
    for row in range(rows):
        for column in range(columns):
            top, left = row * down, column * right
            patch = maps[:, top : top + height, left : left + width]
            yield row, column, row * columns + column, patch.reshape(len(maps), -1)


def slow(layer, maps):
    result = np.zeros(layer.compute_output_shape(maps.shape))
    for row, column, place, patch in windows(layer, maps):
        result[:, row, column] = patch @ layer.kernel.numpy()[place]
    result += layer.bias.numpy() if layer.use_bias else 0
    return np.maximum(result, 0) if layer.activation is keras.activations.relu else result


@pytest.mark.parametrize("shape, options", CASES.values(), ids=CASES)
def test_as_a_slow_loop(rng, shape, options):
    layer, maps = built(rng, shape, options)
    np.testing.assert_allclose(layer(maps), slow(layer, maps), rtol=1e-5, atol=1e-5)


def test_gradients_as_a_slow_loop(rng):
    layer, maps = built(rng, *CASES["oblong kernel and strides"])
    upstream = rng.normal(size=layer.compute_output_shape(maps.shape)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(given := tf.constant(maps))
        total = tf.reduce_sum(layer(given) * upstream)
    of_kernel, of_bias, of_maps = tape.gradient(total, [layer.kernel.value, layer.bias.value, given])
    kernel, wanted = np.zeros(layer.kernel.shape), np.zeros(maps.shape)
    (height, width), (down, right) = layer.kernel_size, layer.strides
    for row, column, place, patch in windows(layer, maps):
        from_here = upstream[:, row, column]
        kernel[place] = patch.T @ from_here
        back = (from_here @ layer.kernel.numpy()[place].T).reshape(-1, height, width, maps.shape[-1])
        wanted[:, row * down : row * down + height, column * right : column * right + width] += back
    np.testing.assert_allclose(of_kernel, kernel, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_maps, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(of_bias, upstream.sum(0), rtol=1e-4, atol=1e-4)


def test_with_the_same_kernel_everywhere_it_is_a_convolution(rng):
    layer, maps = built(rng, (8, 7, 3), {"filters": 4, "kernel_size": (3, 2), "strides": 2})
    convolution = layers.Conv2D(4, (3, 2), strides=2)
    wanted = convolution(maps)
    kernel = convolution.kernel.numpy().reshape(1, -1, 4)
    layer.set_weights([np.repeat(kernel, layer.kernel.shape[0], 0), np.zeros(layer.bias.shape)])
    np.testing.assert_allclose(layer(maps), wanted, rtol=1e-5, atol=1e-5)


def test_weights_begin_at_the_scale_of_a_convolution_and_differ():
    layer = LocallyConnected2D(16, 3)
    layer.build((None, 22, 22, 8))
    kernel = layer.kernel.numpy()
    assert kernel.shape == (400, 72, 16)
    assert kernel.std() == pytest.approx((2 / 72) ** 0.5, rel=0.02)
    assert np.abs(np.corrcoef(kernel.reshape(400, -1))[0, 1:]).max() < 0.2


def test_a_model_is_saved_counted_and_converted(rng, tmp_path):
    image = layers.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = LocallyConnected2D(6, (4, 3), strides=(2, 1), activation="relu", kernel_initializer="lecun_normal")(x)
    model, images = keras.Model(image, layers.Flatten()(x)), pictures(rng, 8, 16)
    assert multiply_adds(model) == 7 * 14 * 4 * 3 * 3 * 6
    model.save(tmp_path / "m.keras")
    again, wanted = keras.saving.load_model(tmp_path / "m.keras"), model(images).numpy()
    np.testing.assert_array_equal(again(images), wanted)
    assert again.layers[2].get_config() == model.layers[2].get_config()
    np.testing.assert_allclose(tflite(model, images), wanted, atol=1e-5)
    np.testing.assert_allclose(onnx(model, images), wanted, atol=1e-5)
    assert cosines(tflite(model, images, quantize="int8"), wanted).min() > 0.999


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((8, 8, 2), {"filters": 0, "kernel_size": 3}, "`filters` must be a positive number. Received: 0"),
        (
            (8, 8, 2),
            {"filters": 2, "kernel_size": (3, 0)},
            "`kernel_size` must be a positive number or a pair",
        ),
        ((8, 8, 2), {"filters": 2, "kernel_size": 3, "strides": 1.5}, "`strides` must be"),
        ((None, 8, 2), {"filters": 2, "kernel_size": 3}, "of a stated size"),
        ((8, 2, 2), {"filters": 2, "kernel_size": 3}, r"at least \(3, 3\)"),
    ],
)
def test_what_is_refused(shape, options, message):
    with pytest.raises(KerasvisionError, match=message):
        LocallyConnected2D(**options)(layers.Input(shape))
