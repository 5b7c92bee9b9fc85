"""Feature maps and stages are found from the graph alone."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.models import ResNet50, classifier, feature_pyramid, get_model, stages
from kerasvision.models.features import last_maps

slow = pytest.mark.slow
# keras.applications network -> layers at strides 8, 16, 32 (block outputs, as the literature taps them)
TAPS = {
    "ResNet50": ("conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
    "MobileNetV2": ("block_6_expand_relu", "block_13_expand_relu", "out_relu"),
    "VGG16": ("block4_conv3", "block5_conv3", "block5_pool"),
    "ResNet50V2": ("conv3_block3_out", "conv4_block5_out", "post_relu"),
    "EfficientNetV2B0": ("block4a_expand_activation", "block6a_expand_activation", "top_activation"),
    "DenseNet121": ("pool3_conv", "pool4_conv", "relu"),
    "InceptionV3": ("mixed2", "mixed7", "mixed10"),
    "MobileNet": ("conv_pw_5_relu", "conv_pw_11_relu", "conv_pw_13_relu"),
}
QUICK = ("ResNet50", "MobileNetV2", "VGG16", "MobileNet")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else slow) for n in TAPS])
def test_taps_of_keras_applications(name):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(None, None, 3))
    found = last_maps(model)
    assert tuple(found[stride]._keras_history.operation.name for stride in (8, 16, 32)) == TAPS[name]


@slow
@pytest.mark.parametrize(
    "name", ["NASNetMobile", "ConvNeXtTiny", "Xception", "EfficientNetB0", "MobileNetV3Large"]
)
def test_strides_of_other_networks(name):
    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(224, 224, 3))
    shapes = {key: tensor.shape[1] for key, tensor in feature_pyramid(model).output.items()}
    assert {key: round(224 / side / 2 ** int(key[1]), 1) for key, side in shapes.items()} == pytest.approx(
        dict.fromkeys(("P3", "P4", "P5"), 1.0), abs=0.05
    )


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "resnet50"])
def test_classifiers_of_any_size(name, rng):
    """Sides that no stride divides are rounded up."""
    model = classifier(name, classes=2, image_size=(70, 45))
    pixels = rng.integers(0, 256, (1, 70, 45, 3), dtype="uint8")
    maps = feature_pyramid(model, levels=(2, 3, 4, 5))(pixels)
    for level in (2, 3, 4, 5):
        assert maps[f"P{level}"].shape[1:3] == (-(-70 // 2**level), -(-45 // 2**level))


def test_values_are_those_inside_the_network(rng):
    model = ResNet50(include_top=False, input_shape=(64, 64, 3))
    images = rng.normal(0, 50, (2, 64, 64, 3)).astype("float32")
    expected = keras.Model(model.input, [model.get_layer(name).output for name in TAPS["ResNet50"]])(images)
    for got, want in zip(feature_pyramid(model)(images).values(), expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_nested_backbone(rng):
    inner = ResNet50(include_top=False, input_shape=(64, 64, 3))
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(inner(image * 2.0)))
    images = rng.normal(0, 50, (1, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(feature_pyramid(model)(images)["P5"], inner(images * 2), rtol=1e-5)


def test_decoder_goes_back_down():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(2, 3, strides=2, padding="same", name="down")(image)
    x = layers.UpSampling2D(name="up")(layers.Conv2D(2, 1, name="deep")(x))
    x = layers.Conv2DTranspose(2, 2, strides=2, name="beyond")(layers.AveragePooling2D(4, name="small")(x))
    maps = {
        stride: tensor._keras_history.operation.name
        for stride, tensor in last_maps(keras.Model(image, x)).items()
    }
    assert maps == {1: "up", 2: "beyond", 4: "small"}


def test_unknown_operations_are_measured():
    image = keras.Input((32, 32, 3))
    x = keras.ops.image.resize(image, (8, 8))
    model = keras.Model(image, layers.Flatten()(layers.ReLU(name="mapped")(x)))
    assert last_maps(model)[4]._keras_history.operation.name == "mapped"


@pytest.mark.parametrize("levels", [(6,), (), (3, 9)])
def test_levels_that_are_not_there(levels):
    with pytest.raises(ValueError, match=r"must be from \[1, 2, 3, 4, 5\]"):
        feature_pyramid(ResNet50(include_top=False), levels=levels)


STAGES = {
    # name -> first and last layer with weights of each stage, from stride 2 on
    "resnet50": [
        ("conv1_conv", "conv1_bn"),
        ("conv2_block1_1_conv", "conv2_block3_3_bn"),
        ("conv3_block1_1_conv", "conv3_block4_3_bn"),
        ("conv4_block1_1_conv", "conv4_block6_3_bn"),
        ("conv5_block1_1_conv", "conv5_block3_3_bn"),
    ],
    "mobilenet_v2": [
        ("Conv1", "block_1_expand_BN"),
        ("block_1_depthwise", "block_3_expand_BN"),
        ("block_3_depthwise", "block_6_expand_BN"),
        ("block_6_depthwise", "block_13_expand_BN"),
        ("block_13_depthwise", "Conv_1_bn"),
    ],
}


@pytest.mark.parametrize("name", STAGES)
def test_stages(name):
    model = classifier(name, classes=2, image_size=64)
    groups = stages(model)
    weighted = [[n for n in group if model.get_layer(n).weights] for group in groups]
    assert [(group[0], group[-1]) for group in weighted[1:-1]] == STAGES[name]
    assert groups[-1] == ["head_pool", "head_dropout", "predictions"]


@pytest.mark.parametrize(
    "name", ["resnet50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_v2_b0", "resnet_small"]
)
def test_stages_hold_every_layer_once_in_order(name):
    model = classifier(name, classes=2, image_size=32)
    groups = stages(model)
    names = [layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    assert sorted(sum(groups, [])) == sorted(names)
    place = {name: index for index, group in enumerate(groups) for name in group}
    for layer in model.layers[1:]:  # no layer comes before one that it needs
        for tensor in keras.tree.flatten(layer.input):
            maker = tensor._keras_history.operation.name
            assert place.get(maker, 0) <= place[layer.name]


def test_stages_of_a_headless_network_end_with_an_empty_list():
    assert stages(get_model("resnet_small", include_top=False))[-1] == []


def test_stages_of_nested_models_are_refused():
    image = keras.Input((32, 32, 3))
    with pytest.raises(ValueError, match="nested"):
        stages(keras.Model(image, get_model("resnet_small", include_top=False)(image)))
