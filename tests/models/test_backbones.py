"""A whole classifier is cut into backbone and head, and built anew with both."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.models import ResNet20, ResNetSmall, backbone_of, classifier, entry
from kerasvision.models.backbones import find_head, whole_head
from kerasvision.models.preprocessing import preprocess


def whole(classes=3, **options):
    return classifier("resnet_small", classes=classes, image_size=16, width=8, **options)


def with_its_own_top(activation="softmax"):
    """Return a network with its own top on raw pixels, as `pretrained` builds it."""
    image = keras.Input((16, 16, 3), name="image")
    return ResNetSmall(
        input_tensor=preprocess(image, "torch"), classes=3, width=8, classifier_activation=activation
    )


def with_softmax_layer():
    model = with_its_own_top(activation=None)
    return keras.Model(model.inputs[0], layers.Softmax()(model.outputs[0]))


MODELS = {
    "classifier": whole,
    "maximum": lambda: whole(pooling="max"),
    "own top": with_its_own_top,
    "softmax as a layer": with_softmax_layer,
}


def outputs_of(model, rng):
    return np.asarray(model(rng.integers(0, 256, (4, 16, 16, 3)).astype("float32"), training=False))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_built_anew_it_answers_the_same(make):
    model = make()
    again = classifier(model, classes=3, image_size=16)
    expected, found = (outputs_of(m, np.random.default_rng(0)) for m in (model, again))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert again.name == model.name and expected.std() > 1e-3
    assert [again.layers[i].name for i in (-3, -2, -1)] == ["head_pool", "head_dropout", "predictions"]
    assert not {id(v) for v in again.variables} & {id(v) for v in model.variables}
    assert again.count_params() == model.count_params()


def test_other_classes_get_a_new_head():
    model, wider = whole(3), classifier(whole(3), classes=5, image_size=16)
    assert wider.output_shape == (None, 5)
    backbone = backbone_of(model)
    np.testing.assert_allclose(
        outputs_of(backbone_of(classifier(model, classes=5, image_size=16)), np.random.default_rng(0)),
        outputs_of(backbone, np.random.default_rng(0)),
        atol=1e-6,
    )


def test_loaded_from_a_file(tmp_path):
    model = whole()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = classifier(loaded, classes=3, image_size=16)
    expected, found = (outputs_of(m, np.random.default_rng(0)) for m in (model, again))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_backbone_shares_layers():
    model = whole()
    backbone = backbone_of(model)
    assert backbone.output_shape == (None, 4, 4, 32)
    assert all(layer is model.get_layer(layer.name) for layer in backbone.layers if layer.weights)


def two_dense():
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Dense(8)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
    return keras.Model(image, layers.Dense(3)(x))


def flattened():
    image = keras.Input((16, 16, 3), name="image")
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3)(image))))


def two_outputs():
    image = keras.Input((16, 16, 3), name="image")
    pooled = layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [layers.Dense(3)(pooled), layers.Dense(3)(pooled)])


OTHERS = {
    "two Dense layers": two_dense,
    "flattened": flattened,
    "two outputs": two_outputs,
    "no head": lambda: ResNetSmall(include_top=False, width=8),
    "pooled only": lambda: ResNetSmall(include_top=False, width=8, pooling="avg"),
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_ends_are_told_apart(make):
    model = make()
    assert find_head(model) is None
    with pytest.raises(ValueError, match="must end in a global pooling and one Dense layer"):
        backbone_of(model)
    with pytest.raises(ValueError, match="`preprocessing` must be stated"):
        classifier(model, classes=3, image_size=16)


def test_a_network_that_takes_preprocessed_pixels_must_say_how():
    model = ResNet20()  # with a head, but its input is not raw RGB
    assert find_head(model) is not None and whole_head(model) is None
    with pytest.raises(ValueError, match="`preprocessing` must be stated"):
        classifier(model, classes=10, image_size=32)
    backbone = backbone_of(model)
    built = classifier(backbone, classes=10, image_size=32, preprocessing=entry("resnet20").preprocessing)
    assert built.count_params() == model.count_params()
