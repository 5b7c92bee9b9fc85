"""Pre-activation ResNets for ImageNet. Against keras.applications they are tested in test_resnet.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from builder_helpers import weightless
from keras import layers

from kerasvision import _litert
from kerasvision.models import (
    PreActResNet18,
    PreActResNet34,
    ResNet50V2,
    ResNet101V2,
    ResNet152V2,
    feature_pyramid,
)

slow = pytest.mark.slow


@pytest.mark.parametrize(
    "builder, total",
    [
        (ResNet50V2, 25_613_800),
        pytest.param(ResNet101V2, 44_675_560, marks=slow),
        pytest.param(ResNet152V2, 60_380_648, marks=slow),
    ],
)
def test_parameters_are_those_of_keras(builder, total):
    """Of keras.applications, BatchNorm statistics included."""
    with weightless():
        assert builder().count_params() == total


@pytest.mark.parametrize("builder, gluon", [(PreActResNet18, 11_695_796), (PreActResNet34, 21_811_380)])
def test_parameters_are_those_of_gluon(builder, gluon):
    """As stated in MXNet's model zoo (resnet18_v2, resnet34_v2), BatchNorm statistics included.

    Its networks normalize the image too (4 x 3), and twice around the pooling of the stem (4 x 64), where the
    paper has one activation.
    """
    with weightless():
        assert builder().count_params() == gluon - 4 * 3 - 4 * 64


def test_strides_are_at_the_end_of_a_stage():
    with weightless():
        model = ResNet50V2()
    strided = [la.name for la in model.layers if isinstance(la, layers.Conv2D) and la.strides == (2, 2)]
    assert strided == ["conv1_conv", *(f"conv{s}_block{b}_2_conv" for s, b in ((2, 3), (3, 4), (4, 6)))]


@pytest.mark.parametrize("builder", [PreActResNet18, pytest.param(ResNet50V2, marks=slow)])
def test_forward_and_backward_at_any_size(builder, rng):
    model = builder(include_top=False)
    images = rng.normal(0, 1, (2, 47, 65, 3)).astype("float32")
    with tf.GradientTape() as tape:
        maps = model(images, training=True)
        loss = keras.ops.mean(keras.ops.square(maps))
    assert maps.shape[1:3] == (2, 3)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_feature_maps_have_the_channels_of_the_stages():
    with weightless():
        maps = feature_pyramid(PreActResNet18(input_shape=(64, 96, 3)), (2, 3, 4, 5)).output
    shapes = {level: tensor.shape[1:] for level, tensor in maps.items()}
    assert shapes == {"P2": (16, 24, 64), "P3": (8, 12, 128), "P4": (4, 6, 256), "P5": (2, 3, 512)}


def test_first_activation_is_that_of_the_stem():
    with weightless():
        names = {la.name for la in PreActResNet18().layers}
    assert "conv1_bn" in names and "conv2_block1_preact_bn" not in names
    assert {"conv2_block2_preact_bn", "conv3_block1_preact_bn", "post_bn"} <= names


@pytest.mark.parametrize("builder", [PreActResNet18, pytest.param(ResNet50V2, marks=slow)])
def test_converts_to_built_in_operations(builder):
    with weightless():
        model = builder(input_shape=(32, 32, 3))
    assert _litert.rehearse(model)["CONV_2D"] >= 18
