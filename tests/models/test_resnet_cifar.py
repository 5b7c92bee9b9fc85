"""Networks for small images: parameters as published, answers as a slow reference gives them."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from builder_helpers import randomize, trainable, weightless
from keras import layers

from kerasvision import _litert
from kerasvision.models import get_model, resnet_cifar

slow = pytest.mark.slow
# Trainable parameters with ten classes. ResNets: He et al. 2015, table 6, has 0.27, 0.46, 0.66, 0.85, 1.7 and
# 19.4 M; to the digit as counted in github.com/akamaster/pytorch_resnet_cifar10. Pre-activation: He et al.
# 2016, table 4, has 1.7 and 10.2 M; to the digit (and the wide one) as in github.com/osmr/imgclsmob.
PARAMETERS = {
    "plainnet20": 269_722,
    "plainnet56": 853_018,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "preact_resnet110": 1_727_962,
    "preact_resnet164": 1_703_258,
    "preact_resnet1001": 10_327_706,
    "wide_resnet28": 36_479_194,
}
DEEP = ("resnet1202", "preact_resnet1001")
SLOW = (*DEEP, "resnet110", "preact_resnet110", "preact_resnet164")


@pytest.mark.parametrize("name", [pytest.param(n, marks=slow if n in SLOW else []) for n in PARAMETERS])
def test_parameters(name):
    with weightless():
        assert trainable(get_model(name)) == PARAMETERS[name]


# Shortcuts of ResNet-20: B adds 1x1 convolutions with BatchNorm where the form changes, C to all nine blocks.
B = sum(c // 2 * c + 2 * c for c in (32, 64))
C = B + 3 * (16 * 16 + 32) + 2 * (32 * 32 + 64) + 2 * (64 * 64 + 128)


@pytest.mark.parametrize("shortcut, more", [("A", 0), ("B", B), ("C", C), (None, 0)])
def test_parameters_of_shortcuts(shortcut, more):
    assert trainable(resnet_cifar.ResNet20(shortcut=shortcut)) == 269_722 + more


@pytest.mark.parametrize("name", ["ResNet1202", "PreActResNet1001"])
def test_deep_networks_say_what_loading_them_takes(name):
    text = getattr(resnet_cifar, name).__doc__
    assert "sys.setrecursionlimit" in text and "recursion" not in resnet_cifar.ResNet20.__doc__


def test_a_plain_network_has_no_shortcuts():
    model = resnet_cifar.PlainNet20()
    assert not [la for la in model.layers if isinstance(la, layers.Add)]
    assert all(len(keras.tree.flatten(la.input)) == 1 for la in model.layers[1:])


class Reference:
    """The networks written out again in TensorFlow, from the values of the weights."""

    def __init__(self, model):
        self.values = {variable.path: variable.numpy() for variable in model.variables}

    def conv(self, x, name, stride=1):
        kernel = self.values[f"{name}_conv/kernel"]
        pad = kernel.shape[0] // 2
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        x = tf.nn.conv2d(x, kernel, stride, "VALID").numpy()
        return x + self.values.get(f"{name}_conv/bias", 0)

    def norm(self, x, name):
        gamma, beta, mean, variance = (
            self.values.get(f"{name}_bn/{part}")
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return x if gamma is None else (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def active(self, x, name):
        return np.maximum(self.norm(x, name), 0)

    def shortcut(self, x, name, channels, stride, normalize):
        if f"{name}_0_conv/kernel" in self.values:
            x = self.conv(x, f"{name}_0", stride)
            return self.norm(x, f"{name}_0") if normalize else x
        x, more = x[:, ::stride, ::stride], channels - x.shape[-1]
        return np.pad(x, ((0, 0), (0, 0), (0, 0), (more // 2, more // 2)))

    def residual(self, x, widths, blocks, kind):
        x = self.active(self.conv(x, "conv1"), "conv1")
        for name, channels, stride, _ in places(widths, blocks):
            y = self.active(self.conv(x, f"{name}_1", stride), f"{name}_1")
            y = self.norm(self.conv(y, f"{name}_2"), f"{name}_2")
            x = np.maximum(y + (self.shortcut(x, name, channels, stride, True) if kind else 0), 0)
        return x

    def preactivated(self, x, widths, blocks, kind, convolutions=2):
        x = self.active(self.conv(x, "conv1"), "conv1")
        for name, channels, stride, first in places(widths, blocks):
            active = x if first else self.active(x, f"{name}_preact")
            changes = stride > 1 or x.shape[-1] != channels or kind == "C"
            kept = self.shortcut(active if changes else x, name, channels, stride, False)
            y = self.conv(active, f"{name}_1", stride)
            for index in range(1, convolutions):
                y = self.conv(self.active(y, f"{name}_{index}"), f"{name}_{index + 1}")
            x = kept + y
        return self.active(x, "post")


def places(widths, blocks):
    for stage, channels in enumerate(widths):
        for block in range(blocks):
            first = stage == block == 0
            yield f"conv{stage + 2}_block{block + 1}", channels, 2 if stage and not block else 1, first


def of(body, **settings):
    image = keras.Input((None, None, 3))
    return randomize(keras.Model(image, body(image, blocks=2, **settings)))


SMALL = {
    **{
        f"residual {kind}{'' if norm else ' without BatchNorm'}": (
            resnet_cifar.residual,
            {"shortcut": kind, "batch_norm": norm},
            lambda reference, x, kind=kind: reference.residual(x, (16, 32, 64), 2, kind),
        )
        for kind, norm in (("A", True), ("B", True), ("C", True), (None, True), ("A", False), (None, False))
    },
    **{
        f"pre-activation {kind}": (
            resnet_cifar.preactivated,
            {"shortcut": kind, "bottlenecks": False},
            lambda reference, x, kind=kind: reference.preactivated(x, (16, 32, 64), 2, kind),
        )
        for kind in "ABC"
    },
    **{
        f"bottlenecks {kind}": (
            resnet_cifar.preactivated,
            {"shortcut": kind, "bottlenecks": True},
            lambda reference, x, kind=kind: reference.preactivated(x, (64, 128, 256), 2, kind, 3),
        )
        for kind in "AB"
    },
    "wide": (
        resnet_cifar.wide,
        {"widen": 2, "dropout": 0.3},
        lambda reference, x: reference.preactivated(x, (32, 64, 128), 2, "B"),
    ),
}


@pytest.mark.parametrize("size", [(8, 8), (13, 18)])
@pytest.mark.parametrize("case", SMALL)
def test_answers_are_those_of_the_reference(case, size, rng):
    body, settings, reference = SMALL[case]
    model = of(body, **settings)
    images = rng.normal(0, 1, (2, *size, 3)).astype("float32")
    expected = reference(Reference(model), images)
    assert expected.std() > 1e-3
    got = model(images, training=False).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", SMALL)
def test_every_weight_is_trained(case, rng):
    model = of(SMALL[case][0], **SMALL[case][1])
    images = rng.normal(0, 1, (3, 11, 16, 3)).astype("float32")
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(model(images, training=True)))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("case", ["residual A", "pre-activation A", "bottlenecks B", "wide"])
def test_converts_to_built_in_operations(case, rng):
    body, settings, _ = SMALL[case]
    image = keras.Input((16, 16, 3))
    model = randomize(keras.Model(image, body(image, blocks=1, **settings)))
    images = rng.normal(0, 1, (2, 16, 16, 3)).astype("float32")
    (answers,) = _litert.LiteRTModel(_litert.convert(model))(images).values()
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@slow
@pytest.mark.parametrize("name", [name for name in PARAMETERS if name not in DEEP])
def test_whole_networks_convert(name):
    assert _litert.rehearse(get_model(name))["CONV_2D"] >= 19


def test_wide_network_drops_between_convolutions():
    rates = [
        la.rate for la in of(resnet_cifar.wide, dropout=0.3, widen=1).layers if la.name.endswith("_dropout")
    ]
    assert rates == [0.3] * 6
    assert not [la for la in of(resnet_cifar.wide, widen=1).layers if isinstance(la, layers.Dropout)]


@slow
@pytest.mark.parametrize("name", DEEP)
def test_a_thousand_layers_are_copied_saved_and_loaded(name, tmp_path, rng):
    """Keras goes along a graph by recursion, so Python's limit must be up to it after building."""
    with weightless():
        model = get_model(name, input_shape=(8, 8, 3))
    assert sys.getrecursionlimit() > len(model.layers)
    model.save(tmp_path / "deep.keras")
    loaded = keras.models.load_model(tmp_path / "deep.keras")
    images = rng.normal(0, 1, (1, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


@pytest.mark.parametrize(
    "builder, options, message",
    [
        ("ResNet20", {"shortcut": "D"}, "`shortcut` must be one of .*'D'"),
        ("ResNet20", {"initializer": "ones"}, "`initializer` must be one of .*'ones'"),
        ("ResNet20", {"input_shape": (7, 8, 3)}, "at least 8 x 8.*7 x 8"),
        ("PreActResNet110", {"shortcut": None}, "`shortcut` must be one of .*None"),
        ("WideResNet28", {"widen": 0}, "`widen` must be a whole number from 1.*0"),
        ("WideResNet28", {"dropout": 1.0}, "`dropout` must be from 0.*1.0"),
        ("ResNet20", {"weights": "imagenet", "classes": 1000}, "no ImageNet weights"),
    ],
)
def test_errors(builder, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(resnet_cifar, builder)(**options)
