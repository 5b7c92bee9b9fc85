"""`classifier`: raw pixels in, probabilities out, one flat graph of Keras' own layers."""

import subprocess
import sys
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvision import _litert
from kerasvision.models import classifier, entry, feature_extractor, head_of
from kerasvision.models.preprocessing import MODES, preprocess

# name -> options, size; the reference is Keras' own preprocess_input
NETWORKS = {
    "mobilenet_v2": ({"alpha": 0.35}, 32, keras.applications.mobilenet_v2),
    "mobilenet_v3_small": ({}, 32, keras.applications.mobilenet_v3),
    "efficientnet_v2_b0": ({}, 32, keras.applications.efficientnet_v2),
    "resnet50": ({}, 32, keras.applications.resnet),
    "resnet_small": ({}, 16, None),
}


def images(rng, size, count=3):
    return rng.integers(0, 256, (count, size, size, 3), dtype="uint8")


@cache
def build(name):
    options, size, module = NETWORKS[name]
    keras.utils.set_random_seed(0)
    return classifier(name, classes=4, image_size=size, **options), size, module


@pytest.fixture(params=NETWORKS)
def built(request):
    return *build(request.param), request.param


def test_contract(built, rng):
    model, size, _, name = built
    assert [tensor.name for tensor in model.inputs] == ["image"] and model.inputs[0].dtype == "float32"
    assert model.input_shape == (None, size, size, 3) and model.output_shape == (None, 4)
    assert [layer.name for layer in model.layers[-3:]] == ["head_pool", "head_dropout", "predictions"]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers) and model.name == name
    pixels = images(rng, size)
    probabilities = model(pixels).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities, model(pixels.astype("float32")))


def test_predict_takes_uint8(rng):
    model, pixels = build("resnet_small")[0], images(rng, 16)
    np.testing.assert_allclose(model.predict(pixels, verbose=0), model(pixels.astype("float32")), atol=1e-6)


def test_preprocessing_is_that_of_the_network(built, rng):
    """The same pixels, preprocessed outside by Keras' function, through a backbone with the same weights."""
    model, size, module, name = built
    options = NETWORKS[name][0]
    backbone = entry(name).builder(include_top=False, pooling="avg", input_shape=(size, size, 3), **options)
    features = feature_extractor(model)
    backbone.set_weights(features.get_weights())
    pixels = images(rng, size).astype("float32")
    outside = module.preprocess_input(pixels.copy()) if module else pixels / 255
    expected = backbone(outside).numpy()
    np.testing.assert_allclose(features(pixels), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_features_then_head_is_the_model(built, rng):
    model, size, _, _ = built
    pixels = images(rng, size)
    features = feature_extractor(model)(pixels)
    np.testing.assert_allclose(head_of(model)(features), model(pixels), atol=1e-6)


def test_saved_files_load_without_this_package(rng, tmp_path):
    pixels = {name: images(rng, size) for name, (_, size, _) in NETWORKS.items()}
    np.savez(tmp_path / "pixels.npz", **pixels)
    for name in NETWORKS:
        build(name)[0].save(tmp_path / f"{name}.keras")
    code = (
        "import sys, keras, numpy as np; z = np.load('pixels.npz');"
        "np.savez('answers.npz', **{n: keras.models.load_model(n + '.keras')(z[n]) for n in z});"
        "sys.exit(any(name.startswith('kerasvision') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300, capture_output=True)
    answers = np.load(tmp_path / "answers.npz")
    for name in NETWORKS:
        np.testing.assert_allclose(answers[name], build(name)[0](pixels[name]), atol=1e-6)


def test_parts_of_a_loaded_model(rng, tmp_path):
    model, pixels = build("mobilenet_v3_small")[0], images(rng, 32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(head_of(loaded)(feature_extractor(loaded)(pixels)), model(pixels), atol=1e-6)


def test_every_weight_has_a_gradient(built, rng):
    """The graph is connected at every depth, and nothing is frozen by mistake."""
    model, size, _, _ = built
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.math.log(model(images(rng, size, 4), training=True)[:, 0]))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert None not in gradients
    # Biases before BatchNorm have none in fact (ResNet50 has such), and a ReLU may be off for four images.
    assert np.mean([np.abs(gradient).max() > 0 for gradient in gradients]) > 0.6


def test_training_the_head_trains_the_model(rng):
    model = classifier("resnet_small", classes=2, image_size=8)
    head = head_of(model)
    head.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    kernel = model.get_layer("predictions").kernel.numpy().copy()
    head.train_on_batch(rng.normal(size=(8, 64)).astype("float32"), np.arange(8) % 2)
    assert np.abs(model.get_layer("predictions").kernel.numpy() - kernel).max() > 0


def test_mixed_precision_keeps_pixels_and_probabilities_exact(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = classifier("resnet50", classes=3, image_size=32)
        head = head_of(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("preprocess").compute_dtype == "float32"
    assert model.get_layer("conv1_conv").compute_dtype == "bfloat16"
    assert model.outputs[0].dtype == "float32" and head.outputs[0].dtype == "float32"
    np.testing.assert_allclose(model(images(rng, 32)).numpy().sum(axis=1), 1, atol=1e-5)


def test_options(rng):
    model = classifier(
        "resnet_small",
        classes=3,
        image_size=(16, 24),
        pooling="max",
        dropout=0.0,
        activation=None,
        name="mine",
        width=8,
    )
    assert (model.name, model.input_shape) == ("mine", (None, 16, 24, 3))
    assert isinstance(model.get_layer("head_pool"), keras.layers.GlobalMaxPooling2D)
    assert model.get_layer("predictions").activation is keras.activations.linear
    assert feature_extractor(model).output_shape == (None, 32)


# One's own backbone


def plain_backbone(size=16):
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(6, 3, name="first")(image)
    x = keras.layers.BatchNormalization(name="norm")(x, training=False)
    return keras.Model(image, keras.layers.Conv2D(5, 3, activation="relu", name="second")(x), name="plain")


def nested_backbone():
    inner = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3), keras.layers.Dropout(0.9)]
    )
    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(2.0)(image)
    x = inner(x, training=False)
    return keras.Model(image, keras.layers.Conv2D(5, 3)(x), name="nested")


def shared_backbone():
    image = keras.Input((16, 16, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    return keras.Model(image, keras.layers.Add()([twice(twice(image)), image * 0.5]), name="shared")


def sequential_backbone():
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(5, 3)], name="sequential")


@pytest.mark.parametrize("make", [plain_backbone, nested_backbone, shared_backbone, sequential_backbone])
@pytest.mark.parametrize("mode", MODES)
def test_own_backbone_is_copied_flat(make, mode, rng):
    backbone = make()
    pixels = images(rng, 16).astype("float32")
    image = keras.Input((16, 16, 3))
    expected = backbone(keras.Model(image, preprocess(image, mode))(pixels)).numpy().mean(axis=(1, 2))
    model = classifier(backbone, classes=3, image_size=16, preprocessing=mode)
    np.testing.assert_allclose(feature_extractor(model)(pixels), expected, rtol=1e-5, atol=1e-4)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers) and model.name == backbone.name
    model.layers[-1].trainable = False
    for variable in model.variables:
        variable.assign(variable + 1)
    np.testing.assert_allclose(  # the given one is unchanged
        backbone(keras.Model(image, preprocess(image, mode))(pixels)).numpy().mean(axis=(1, 2)),
        expected,
        rtol=1e-5,
    )


def test_two_nested_models_with_the_same_names(rng):
    inner = [
        keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1, name="conv")]) for _ in range(2)
    ]
    image = keras.Input((8, 8, 3))
    model = classifier(
        keras.Model(image, inner[1](inner[0](image))), classes=2, image_size=8, preprocessing="included"
    )
    assert [layer.name for layer in model.layers if "conv" in layer.name] == ["conv", "conv_2"]
    pixels = images(rng, 8).astype("float32")
    expected = inner[1](inner[0](pixels)).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(feature_extractor(model)(pixels), expected, rtol=1e-5)


class Subclassed(keras.Model):
    def call(self, x):
        return x


def own(**arguments):
    return {"model": plain_backbone(), "preprocessing": "included", "image_size": 16, **arguments}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"model": "resnet_smal"}, "Did you mean `resnet_small`"),
        ({"classes": 0}, "`classes` must be a positive.*0"),
        ({"classes": ["a", "b"]}, "`classes` must be a positive"),
        ({"image_size": 7}, "`image_size` must be at least 8 x 8.*7 x 7"),
        ({"model": "resnet50", "image_size": (32, 31)}, "at least 32 x 32.*32 x 31"),
        ({"model": "mobilenet_v2", "image_size": 16}, "at least 32 x 32.*16 x 16"),
        ({"image_size": 31.5}, "`image_size` must be a side"),
        ({"image_size": (32, 32, 3)}, "`image_size` must be a side"),
        ({"pooling": "mean"}, "`pooling` must be 'avg' or 'max'.*'mean'"),
        ({"dropout": 1.0}, "`dropout` must be"),
        ({"preprocessing": "caffe"}, "`preprocessing` of resnet_small is 'zero_one'"),
        ({"weights": "imagenet"}, "no ImageNet weights for resnet_small"),
        (own(preprocessing=None), "`preprocessing` must be stated"),
        (own(preprocessing="mean"), "`preprocessing` must be one of.*'mean'"),
        (own(image_size=20), "takes \\(16, 16, 3\\)"),
        (own(weights="imagenet"), "for networks by name"),
        (own(alpha=0.5), "no builder to take \\['alpha'\\]"),
        (own(model=Subclassed(name="mine")), "'mine' is subclassed"),
        (own(model=keras.Sequential(name="empty")), "'empty' is a Sequential without an input shape"),
        (
            own(model=keras.applications.MobileNetV2(weights=None, alpha=0.35)),
            "Leave its pooling and its head out",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier(**{"model": "resnet_small", "classes": 3, "image_size": 32, **arguments})


def test_feature_extractor_of_another_model():
    with pytest.raises(ValueError, match="no layer 'head_pool'"):
        feature_extractor(plain_backbone())


@pytest.mark.parametrize("mode", MODES)
def test_preprocessing_converts_to_int8(mode, rng):
    """Built-in operations only, also in int8, and close to the model."""
    keras.utils.set_random_seed(0)
    model = classifier(plain_backbone(), classes=3, image_size=16, preprocessing=mode, activation=None)
    pixels = images(rng, 16, 32)
    file = _litert.LiteRTModel(_litert.convert(model, quantize="int8", calibration=pixels))
    assert not any("Flex" in operation or "CUSTOM" in operation for operation in file.operations)
    (answer,) = file(pixels).values()
    expected = model.predict(pixels, verbose=0)
    assert np.abs(answer - expected).max() < 0.1 * np.ptp(expected) + 0.02 * np.abs(expected).max()


def test_resnet_small_survives_int8(rng):
    """Trained on where a bright patch lies, then in int8: the same answers."""
    keras.utils.set_random_seed(0)
    labels = rng.integers(0, 4, 256)
    pixels = rng.integers(0, 100, (256, 16, 16, 3), dtype="uint8")
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, :, :] //= 2
        picture[4:12, 4:12, label % 3] = 255 if label < 3 else 0
    model = classifier("resnet_small", classes=4, image_size=16, width=8)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(pixels, labels, epochs=6, batch_size=32, verbose=0)
    answers = model.predict(pixels, verbose=0).argmax(axis=1)
    assert np.mean(answers == labels) > 0.95
    file = _litert.LiteRTModel(_litert.convert(model, quantize="int8", calibration=pixels[:64]))
    (quantized,) = file(pixels).values()
    assert np.mean(quantized.argmax(axis=1) == answers) > 0.98
