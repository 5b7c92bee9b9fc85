"""AlexNet in its two forms."""

import keras
import numpy as np
import pytest
from builder_helpers import trainable, weightless
from keras import layers

from kerasvision import _litert
from kerasvision.errors import WeightsError
from kerasvision.models import AlexNet, graph

# Sides of the maps: torchvision's from its own layers, those of 2012 from figure 2 of the paper.
MAPS = {
    "single": {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6},
    "grouped": {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6},
}
# torchvision; figure 2 of the paper (its text says 60 million)
PARAMETERS = {"single": 61_100_840, "grouped": 60_965_224}


@pytest.mark.parametrize("form", MAPS)
def test_maps_and_parameters(form):
    with weightless():
        model = AlexNet(form=form)
    assert trainable(model) == model.count_params() == PARAMETERS[form]
    for name, side in MAPS[form].items():
        assert graph.output_of(model, name).shape[1:3] == (side, side), name


def test_two_groups_see_half_of_the_maps():
    kernels = {
        f"conv{n}": AlexNet(False, form="grouped").get_layer(f"conv{n}").kernel.shape for n in range(1, 6)
    }
    assert kernels["conv1"] == (11, 11, 3, 96) and kernels["conv2"] == (5, 5, 48, 256)
    assert kernels["conv3"] == (3, 3, 256, 384)
    assert kernels["conv4"] == (3, 3, 192, 384) and kernels["conv5"] == (3, 3, 192, 256)


def test_initial_weights_of_the_paper():
    model = AlexNet(input_shape=(67, 67, 3), form="grouped", classes=5)
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for layer in (layer for layer in model.layers if layer.weights):
        assert np.all(np.asarray(layer.bias) == (1 if layer.name in ones else 0)), layer.name
    assert np.std(model.get_layer("fc7").kernel) == pytest.approx(0.01, rel=0.01)


def test_normalization_follows_the_first_two_convolutions_only():
    model = AlexNet(False, form="grouped")
    order = [node.operation for node in graph.nodes(model)]
    powers = [i for i, operation in enumerate(order) if type(operation).__name__ == "Power"]
    places = {layer.name: i for i, layer in enumerate(order)}
    assert len(powers) == 2
    assert places["conv1"] < powers[0] < places["pool1"] < places["conv2"] < powers[1] < places["pool2"]
    single = graph.nodes(AlexNet(False))
    assert not [node for node in single if type(node.operation).__name__ == "Power"]


def test_dropout_is_where_each_form_has_it():
    def order(form):
        model = AlexNet(input_shape=(67, 67, 3), classes=2, form=form)
        names = [layer.name for layer in model.layers]
        return names[names.index("flatten") + 1 :]

    with weightless():
        assert order("single") == ["fc6_dropout", "fc6", "fc7_dropout", "fc7", "predictions"]
        assert order("grouped") == ["fc6", "fc6_dropout", "fc7", "fc7_dropout", "predictions"]
        model = AlexNet(input_shape=(63, 63, 3), classes=2, dropout=0)
    assert not [layer for layer in model.layers if isinstance(layer, layers.Dropout)]


@pytest.mark.parametrize("size", [63, 127, 300])
def test_any_size_has_the_same_weights(size):
    with weightless():
        assert AlexNet(input_shape=(size, size + 5, 3)).count_params() == PARAMETERS["single"]


def test_the_grouped_form_trains_and_converts(rng):
    features = AlexNet(False, input_shape=(67, 67, 3), form="grouped", pooling="avg")
    model = keras.Sequential([features, layers.Dense(2)])
    before = np.asarray(features.get_layer("conv1").kernel).copy()
    model.compile("sgd", "mse")
    images = rng.normal(0, 50, (2, 67, 67, 3)).astype("float32")
    loss = model.fit(images, np.eye(2), verbose=0).history["loss"][0]
    assert np.isfinite(loss) and np.abs(features.get_layer("conv1").kernel - before).max() > 0
    converted = _litert.LiteRTModel(_litert.convert(features))
    assert converted.operations["POW"] == 2 and converted.operations["CONV_2D"] == 5
    (answer,) = converted(images).values()
    np.testing.assert_allclose(answer, features(images, training=False), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"form": "double"}, "`form` must be 'single' or 'grouped'. Received: 'double'"),
        ({"input_shape": (62, 70, 3)}, "at least 63 x 63.*62 x 70"),
        ({"form": "grouped", "input_shape": (66, 66, 3)}, "at least 67 x 67"),
        ({"input_shape": (None, None, 3)}, "`input_shape` must state the height and width.*6 x 6"),
        ({"include_top": False, "pooling": "mean"}, "`pooling` must be"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        AlexNet(**arguments)


def test_imagenet_weights_do_not_exist():
    with weightless(), pytest.raises(WeightsError, match="no ImageNet weights for alexnet"):
        AlexNet(weights="imagenet")
