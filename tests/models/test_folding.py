"""Folding BatchNorm gives the same function."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.models import classifier, feature_pyramid, fold_batchnorm


def norms(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


def randomize(model, seed=0):
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                positive = weight.path.rsplit("/", 1)[-1] in ("gamma", "moving_variance")
                weight.assign(
                    generator.uniform(0.5, 1.5, weight.shape)
                    if positive
                    else generator.normal(0, 0.3, weight.shape)
                )
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(generator.normal(0, 0.3, layer.bias.shape))
    return model


def assert_same(model, folded, images):
    expected, answer = keras.tree.flatten(model(images, training=False)), keras.tree.flatten(folded(images))
    assert len(expected) == len(answer)
    for want, got in zip(expected, answer, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def functional(*parts, shape=(8, 8, 3)):
    image = x = keras.Input(shape)
    for part in parts:
        x = part(x)
    return keras.Model(image, x)


def used_twice():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    return keras.Model(image, layers.BatchNormalization()(x) + x)


def tapped():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    return keras.Model(image, {"before": x, "after": layers.BatchNormalization()(x)})


def shared_conv():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3)
    return keras.Model(image, layers.BatchNormalization()(conv(image)) + conv(image * 2.0))


def shared_norm():
    image = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization()
    return keras.Model(image, norm(layers.Conv2D(4, 3)(image)) + norm(layers.Conv2D(4, 3)(image)))


def two_branches():
    image = keras.Input((8, 8, 3))
    a, b = (layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(image)) for _ in range(2))
    return keras.Model(image, [a, {"sum": layers.Add()([a, b]), "b": b}])


def two_inputs():
    image, other = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 4), name="b")
    return keras.Model([image, other], layers.BatchNormalization()(layers.Conv2D(4, 1)(image)) * other)


def nested():
    inner = functional(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU())
    return functional(inner, layers.Conv2D(2, 3), layers.BatchNormalization())


# case -> (model, BatchNorms that must remain)
CASES = {
    "conv": (lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization()), 0),
    "conv without bias": (
        lambda: functional(layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization()),
        0,
    ),
    "strides, dilation": (
        lambda: functional(
            layers.Conv2D(4, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
            layers.BatchNormalization(),
        ),
        0,
    ),
    "groups": (lambda: functional(layers.Conv2D(6, 3, groups=3), layers.BatchNormalization()), 0),
    "depthwise": (lambda: functional(layers.DepthwiseConv2D(3), layers.BatchNormalization()), 0),
    "depthwise, multiplier 2": (
        lambda: functional(layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()),
        0,
    ),
    "dense": (lambda: functional(layers.Flatten(), layers.Dense(5), layers.BatchNormalization()), 0),
    "dense on maps": (lambda: functional(layers.Dense(5, use_bias=False), layers.BatchNormalization()), 0),
    "no scale, no center": (
        lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(scale=False, center=False)),
        0,
    ),
    "axis 3": (lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(axis=3)), 0),
    "two in a row": (
        lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.BatchNormalization()),
        1,
    ),
    "another axis": (lambda: functional(layers.Conv2D(4, 3), layers.BatchNormalization(axis=1)), 1),
    "activation before": (
        lambda: functional(layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()),
        1,
    ),
    "first layer": (lambda: functional(layers.BatchNormalization(), layers.Conv2D(4, 3)), 1),
    "after a ReLU": (lambda: functional(layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()), 1),
    "transposed": (lambda: functional(layers.Conv2DTranspose(4, 3), layers.BatchNormalization()), 1),
    "used twice": (used_twice, 1),
    "tapped": (tapped, 1),
    "shared convolution": (shared_conv, 1),
    "shared normalization": (shared_norm, 1),
    "two branches, nested outputs": (two_branches, 0),
    "nested model": (nested, 0),
}


@pytest.mark.parametrize("make, remain", CASES.values(), ids=CASES)
def test_same_function(make, remain, rng):
    model = randomize(make())
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    before = [weight.copy() for weight in model.get_weights()]
    expected = keras.tree.map_structure(np.array, model(images))
    folded = fold_batchnorm(model)
    assert norms(folded) == remain
    assert_same(model, folded, images)
    for old, new in zip(before, model.get_weights(), strict=True):  # the model itself is unchanged
        np.testing.assert_array_equal(old, new)
    for weight in model.weights:  # and shares nothing with its folded form
        weight.assign(weight * 0)
    keras.tree.map_structure(
        lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4),
        folded(images),
        expected,
    )


def test_several_inputs(rng):
    model = randomize(two_inputs())
    images = [rng.normal(size=(2, 8, 8, channels)).astype("float32") for channels in (3, 4)]
    assert_same(model, folded := fold_batchnorm(model), images)
    assert norms(folded) == 0


def test_batch_statistics_are_not_folded(rng):
    image = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(image), training=True)
    assert norms(fold_batchnorm(keras.Model(image, x))) == 1


NETWORKS = [
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_v2_b0",
    "resnet50",
    "resnet_small",
    pytest.param("mobilenet_v3_large", marks=pytest.mark.slow),
    pytest.param("resnet152", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, rng):
    keras.utils.set_random_seed(0)
    model = randomize(classifier(name, classes=3, image_size=48, activation=None))
    images = rng.integers(0, 256, (2, 48, 48, 3)).astype("float32")
    folded = fold_batchnorm(model)
    assert norms(folded) == 0 and folded.name == model.name
    assert_same(model, folded, images)


def test_feature_pyramid_and_folding(rng):
    model = randomize(classifier("mobilenet_v2", classes=3, image_size=48, alpha=0.35))
    images = rng.integers(0, 256, (2, 48, 48, 3)).astype("float32")
    pyramid = feature_pyramid(model)
    folded = fold_batchnorm(pyramid)
    assert sorted(folded.output) == ["P3", "P4", "P5"] and norms(folded) == 0
    assert_same(pyramid, folded, images)


def test_folded_file_loads(rng, tmp_path):
    model = randomize(classifier("resnet_small", classes=3, image_size=16))
    images = rng.integers(0, 256, (2, 16, 16, 3)).astype("float32")
    fold_batchnorm(model).save(tmp_path / "folded.keras")
    assert_same(model, keras.models.load_model(tmp_path / "folded.keras"), images)


def test_subclassed_model_is_refused():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="subclassed.*functional API"):
        fold_batchnorm(Subclassed())
