"""DeepFace and FaceNet's NN1 and NN2 by the tables of their papers; their files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_files import cosines, most_apart, onnx, pictures, settle, tflite
from keras import layers

from kerasvision.embedding import DeepFace, FaceNetNN1, FaceNetNN2, embedder
from kerasvision.embedding.facenet import l2_pool, maxout
from kerasvision.embedding.families import NETWORKS
from kerasvision.models import graph, multiply_adds

# Figure 2 of DeepFace: the shape after each layer. The parameters follow from it; the paper says "more than
# 120 million" of all, but its own sizes give 118.9 million with its 4,030 identities, biases included.
DEEPFACE = {
    "c1": ((142, 142, 32), 11 * 11 * 3 * 32 + 32),
    "m2": ((71, 71, 32), 0),
    "c3": ((63, 63, 16), 9 * 9 * 32 * 16 + 16),
    "l4": ((55, 55, 16), 55 * 55 * 16 * (9 * 9 * 16 + 1)),
    "l5": ((25, 25, 16), 25 * 25 * 16 * (7 * 7 * 16 + 1)),
    "l6": ((21, 21, 16), 21 * 21 * 16 * (5 * 5 * 16 + 1)),
    "f7": ((4096,), 21 * 21 * 16 * 4096 + 4096),
    "predictions": ((4030,), 4096 * 4030 + 4030),
}
# Tables 1 and 2 of FaceNet: side and channels after each layer, and parameters as printed, in thousands.
NN1 = {
    "conv1": (110, 64, 9),
    "pool1": (55, 64, 0),
    "conv2a": (55, 64, 4),
    "conv2": (55, 192, 111),
    "pool2": (28, 192, 0),
    "conv3a": (28, 192, 37),
    "conv3": (28, 384, 664),
    "pool3": (14, 384, 0),
    "conv4a": (14, 384, 148),
    "conv4": (14, 256, 885),
    "conv5a": (14, 256, 66),
    "conv5": (14, 256, 590),
    "conv6a": (14, 256, 66),
    "conv6": (14, 256, 590),
    "pool4": (7, 256, 0),
}
NN1_DENSE = {"fc1": (4096, 103_000), "fc2": (4096, 34_000), "fc7128": (128, 524)}
NN2 = {
    "conv1": (112, 64, 9),
    "pool1": (56, 64, 0),
    "inception_2_3x3": (56, 192, 115),
    "pool2": (28, 192, 0),
    "inception_3a_output": (28, 256, 164),
    "inception_3b_output": (28, 320, 228),
    "inception_3c_output": (14, 640, 398),
    "inception_4a_output": (14, 640, 545),
    "inception_4b_output": (14, 640, 595),
    "inception_4c_output": (14, 640, 654),
    "inception_4d_output": (14, 640, 722),
    "inception_4e_output": (7, 1024, 717),
    "inception_5a_output": (7, 1024, 1600),
    "inception_5b_output": (7, 1024, 1600),
}


def thousands(model, prefix):
    return sum(layer.count_params() for layer in model.layers if layer.name.startswith(prefix)) / 1000


def check_maps(model, table, printed_to=lambda figure: 0.6 if figure < 1000 else 60):
    """Compare with a table; some figures there are cut off instead of rounded, so 0.6 of the last digit."""
    for name, (side, channels, parameters) in table.items():
        assert graph.output_of(model, name).shape[1:] == (side, side, channels), name
        found = thousands(model, name.removesuffix("_output").removesuffix("_3x3"))
        if name in ("conv2", "conv3", "conv4", "conv5", "conv6"):  # the others begin with it and an "a"
            found = model.get_layer(name).count_params() / 1000
        assert found == pytest.approx(parameters, abs=printed_to(parameters)), name


@pytest.mark.slow
def test_deepface_is_that_of_the_figure():
    model = DeepFace()
    for name, (shape, parameters) in DEEPFACE.items():
        assert graph.output_of(model, name).shape[1:] == shape, name
        assert model.get_layer(name).count_params() == parameters, name
    assert model.count_params() == NETWORKS["deepface"].parameters == 118_923_774
    outside = model.get_layer("c1").count_params() + model.get_layer("c3").count_params()
    assert 1 - outside / model.count_params() > 0.95  # as the paper says of its local and Dense layers
    assert model.get_layer("l4").kernel.numpy().std() == pytest.approx(0.01, rel=0.01)
    assert (model.get_layer("l6").bias.numpy() == 0.5).all()


@pytest.mark.slow
def test_nn1_is_that_of_table_1():
    model = FaceNetNN1()
    check_maps(model, NN1)
    for name, (units, parameters) in NN1_DENSE.items():
        assert graph.output_of(model, name).shape == (None, units)
        assert thousands(model, name) == pytest.approx(parameters, abs=600 if parameters > 1000 else 0.6)
    assert model.count_params() == NETWORKS["facenet_nn1"].parameters == 140_025_664
    assert multiply_adds(model) == pytest.approx(1.6e9, rel=0.01)


def test_nn2_is_that_of_table_2():
    model = FaceNetNN2()
    check_maps(model, NN2)
    assert thousands(model, "fc") == pytest.approx(131, abs=0.6)
    assert model.count_params() == NETWORKS["facenet_nn2"].parameters == 7_456_304
    assert multiply_adds(model) == pytest.approx(1.6e9, rel=0.01)
    pools = [node for node in graph.nodes(model) if type(node.operation).__name__ == "Sqrt"]
    assert len(pools) == 6


@pytest.mark.parametrize("side", [5, None])
def test_l2_pooling_as_a_slow_loop(side, rng):
    image = layers.Input((side, side, 3))
    maps = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    found = keras.Model(image, l2_pool(image, name="p"))(maps).numpy()
    for row in range(5):
        for column in range(5):
            window = maps[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            wanted = np.sqrt((window**2).sum((1, 2)))
            np.testing.assert_allclose(found[:, row, column], wanted, rtol=1e-5)


def test_l2_pooling_of_nothing_has_a_gradient_of_0():
    image = layers.Input((4, 4, 1))
    model = keras.Model(image, l2_pool(image, name="p"))
    with tf.GradientTape() as tape:
        tape.watch(zero := tf.zeros((1, 4, 4, 1)))
        total = tf.reduce_sum(model(zero))
    assert total < 1e-4 and not tape.gradient(total, zero).numpy().any()


def test_maxout_is_the_larger_of_two(rng):
    vector = layers.Input((5,))
    model, x = keras.Model(vector, maxout(vector, 4, name="m")), rng.normal(size=(3, 5)).astype(np.float32)
    first, second = (model.get_layer(f"m_{piece}")(x) for piece in "ab")
    np.testing.assert_allclose(model(x), np.maximum(first, second), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("deepface", {"features": 256}, marks=pytest.mark.slow),
        ("facenet_nn1", {"hidden": 64}),
        pytest.param("facenet_nn2", {}, marks=pytest.mark.slow),
    ],
)
def test_small_ones_answer_alike_as_files(name, options, rng):
    keras.utils.set_random_seed(0)
    size, dimensions = (72, None) if name == "deepface" else (48, 32)
    model = embedder(name, image_size=size, dimensions=dimensions, backbone_options=options)
    images = pictures(rng, 32, size)
    wanted = settle(model, images)(images, training=False).numpy()
    assert most_apart(wanted) < 0.8, "the vectors are too alike to tell anything"
    assert cosines(tflite(model, images), wanted).min() > 0.9999
    assert cosines(onnx(model, images), wanted).min() > 0.9999
    if name == "deepface":
        assert cosines(tflite(model, images, quantize="int8"), wanted).mean() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name, options", [("facenet_nn1", {"hidden": 64}), ("facenet_nn2", {})])
def test_int8_of_trained_ones_keeps_their_vectors(name, options):
    """Int8 on random weights of so many layers is noise (0.95 for NN1), which training takes away."""
    keras.utils.set_random_seed(0)
    rng, size = np.random.default_rng(0), 48
    model = embedder(name, image_size=size, dimensions=32, backbone_options={"batch_norm": True, **options})
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.8
    kinds, goals = pictures(rng, 8, size), np.linalg.qr(rng.normal(size=(32, 32)))[0][:8]
    who = rng.integers(0, 8, 320)
    photos = np.clip(kinds[who] + rng.normal(0, 30, (320, size, size, 3)), 0, 255).round().astype(np.float32)
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(photos, goals[who], batch_size=16, epochs=2, verbose=0)
    images = photos[:32]
    wanted = model(images, training=False).numpy()
    int8 = cosines(tflite(model, images, quantize="int8"), wanted)
    print(name, most_apart(wanted), int8.mean(), int8.min())
    assert most_apart(wanted) < 0.6 and int8.mean() > 0.98
