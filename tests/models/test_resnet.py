"""ResNets for ImageNet: those of keras.applications (v1, v2) to the answer, all others to the parameter."""

import inspect
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from builder_helpers import randomize, requested_file, save_legacy, trainable, weightless
from keras import layers

from kerasvision import _litert
from kerasvision.models import (
    PlainNet18,
    PlainNet34,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet50V2,
    ResNet101,
    ResNet101V2,
    ResNet152,
    ResNet152V2,
    ResNeXt50,
    WideResNet50,
)

slow = pytest.mark.slow
OURS = {
    builder.__name__: builder
    for builder in (ResNet50, ResNet101, ResNet152, ResNet50V2, ResNet101V2, ResNet152V2)
}
VARIANTS = [name if name in ("ResNet50", "ResNet50V2") else pytest.param(name, marks=slow) for name in OURS]
TORCHVISION = {"form": "torchvision"}


@pytest.mark.parametrize("name", VARIANTS)
def test_same_file_same_answers(name, tmp_path, rng):
    with weightless():
        reference = getattr(keras.applications, name)(
            weights=None, input_shape=(48, 64, 3), include_top=False
        )
    randomize(reference)
    save_legacy(reference, tmp_path / "legacy.h5")
    reference.save_weights(tmp_path / "new.weights.h5")
    images = rng.normal(0, 60, (2, 48, 64, 3)).astype("float32")
    expected = reference(images).numpy()
    for file in ("legacy.h5", "new.weights.h5"):
        ours = OURS[name](include_top=False, input_shape=(48, 64, 3), weights=tmp_path / file)
        np.testing.assert_allclose(
            ours(images).numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
        )
    randomize(ours, seed=1)
    assert np.abs(ours(images).numpy() - expected).max() > 1e-2 * np.abs(expected).max()
    ours.load_weights(tmp_path / "legacy.h5")  # Keras' own loader takes it too
    np.testing.assert_allclose(ours(images).numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_same_layers_and_parameters(name):
    ours = OURS[name](input_shape=(64, 64, 3), classes=7)
    reference = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=7)
    if not name.endswith("V2"):  # which has layers of padding where none is needed, and some without a name
        shapes = [[(la.name, la.output.shape) for la in m.layers[1:]] for m in (ours, reference)]
        assert shapes[0] == shapes[1]
    assert [(v.path, v.shape) for v in ours.variables] == [(v.path, v.shape) for v in reference.variables]
    assert trainable(ours) == trainable(reference)


@pytest.mark.parametrize("name", ["ResNet50", pytest.param("ResNet50V2", marks=slow)])
def test_top_gives_the_same_answers(name, tmp_path, rng):
    reference = randomize(getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3), classes=5))
    save_legacy(reference, tmp_path / "top.h5")
    ours = OURS[name](input_shape=(32, 32, 3), classes=5, weights=tmp_path / "top.h5")
    images = rng.normal(0, 60, (3, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(ours(images), reference(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "pooling, shape", [("avg", (None, 2048)), ("max", (None, 2048)), (None, (None, None, None, 2048))]
)
def test_without_top(pooling, shape):
    assert ResNet50(include_top=False, pooling=pooling).output_shape == shape


def test_input_tensor_keeps_the_layers_before_it():
    image = keras.Input((32, 32, 3), name="picture")
    model = ResNet50(include_top=False, input_tensor=keras.layers.Rescaling(1 / 255, name="scale")(image))
    assert model.inputs[0] is image and model.layers[1].name == "scale"


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_imagenet_asks_for_the_files_of_keras_applications(name, top, monkeypatch):
    """Both sides are stopped where they fetch; nothing is downloaded."""
    ours, theirs = (
        requested_file(builder, monkeypatch, weights="imagenet", include_top=top)
        for builder in (OURS[name], getattr(keras.applications, name))
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (31, 64, 3)}, "at least 32 x 32.*31 x 64"),
        ({"input_shape": (64, 64)}, "`input_shape` must be"),
        ({"input_tensor": np.zeros((1, 32, 32, 3))}, "`input_tensor` must be a Keras tensor"),
        ({"include_top": False, "pooling": "mean"}, "`pooling` must be.*'mean'"),
        ({"weights": "imagenet", "classes": 10}, "`classes` must be 1000.*10"),
        ({"weights": "nowhere.h5"}, "no weights file nowhere.h5"),
        ({"form": "torch"}, "`form` must be one of .*'torchvision'.*Received: 'torch'"),
        ({"shortcut": "D"}, "`shortcut` must be one of .*Received: 'D'"),
        ({"initializer": "zeros"}, "`initializer` must be one of .*Received: 'zeros'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet50(**arguments)


def test_an_option_that_there_is_not():
    with pytest.raises(TypeError, match=r"ResNet50\(\) got an unexpected .*'groups'.*form, shortcut"):
        ResNet50(groups=4)
    with pytest.raises(TypeError, match=r"ResNet50V2\(\) got an unexpected .*'form'.*it has: none"):
        ResNet50V2(form="keras")


@pytest.mark.parametrize("builder", [ResNet18, ResNet50, PlainNet34, ResNeXt50, ResNet50V2])
def test_every_argument_is_described(builder):
    described = {line.split(":")[0].strip() for line in builder.__doc__.splitlines()}
    assert set(inspect.signature(builder).parameters) <= described
    assert builder.__doc__.startswith("Build ") and "{" not in builder.__doc__
    assert pickle.loads(pickle.dumps(builder)) is builder


# Trainable parameters: what torchvision states (https://pytorch.org/vision/stable/models.html) counts these.
# Plain networks are ResNets less their projections: 1x1 convolutions and BatchNorm to 128, 256, 512 channels.
PROJECTIONS = sum(c // 2 * c + 2 * c for c in (128, 256, 512))
PARAMETERS = [
    (ResNet18, {}, 11_689_512),
    (ResNet34, {}, 21_797_672),
    (PlainNet18, {}, 11_689_512 - PROJECTIONS),
    (PlainNet34, {}, 21_797_672 - PROJECTIONS),
    (ResNet50, TORCHVISION, 25_557_032),
    pytest.param(ResNet101, TORCHVISION, 44_549_160, marks=slow),
    pytest.param(ResNet152, TORCHVISION, 60_192_808, marks=slow),
    (ResNeXt50, {}, 25_028_904),
    (WideResNet50, {}, 68_883_240),
]


@pytest.mark.parametrize("builder, options, expected", PARAMETERS)
def test_parameters_are_those_of_torchvision(builder, options, expected):
    with weightless():
        assert trainable(builder(**options)) == expected


@pytest.mark.parametrize(
    "builder, total",
    [
        (ResNet50, 25_636_712),
        pytest.param(ResNet101, 44_707_176, marks=slow),
        pytest.param(ResNet152, 60_419_944, marks=slow),
    ],
)
def test_parameters_are_those_of_keras(builder, total):
    """As Keras states them, BatchNorm statistics included: https://keras.io/api/applications/resnet/."""
    with weightless():
        assert builder().count_params() == total


def test_the_two_forms():
    convolutions = {
        form: {la.name: la for la in ResNet50(form=form).layers if la.weights}
        for form in ("keras", "torchvision")
    }
    assert list(convolutions["keras"]) == list(convolutions["torchvision"])
    for form, strides, epsilon in (("keras", (2, 1), 1.001e-5), ("torchvision", (1, 2), 1e-5)):
        found = convolutions[form]
        for stage in (3, 4, 5):
            names = [f"conv{stage}_block1_{i}_conv" for i in (1, 2, 0)]
            assert [found[name].strides[0] for name in names] == [*strides, 2]
        assert {la.epsilon for la in found.values() if isinstance(la, layers.BatchNormalization)} == {epsilon}
        assert {la.use_bias for la in found.values() if isinstance(la, layers.Conv2D)} == {form == "keras"}


FAMILIES = {
    "plain": (PlainNet18, {}),
    "basic": (ResNet18, {}),
    "basic, keras form": (ResNet18, {"form": "keras"}),
    "padded": (ResNet18, {"shortcut": "A"}),
    "bottleneck": (ResNet50, TORCHVISION),
    "grouped": (ResNeXt50, {}),
    "wide": (WideResNet50, {}),
}
QUICK = ("plain", "basic", "padded", "bottleneck")


@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=slow) for name in FAMILIES]
)
def test_forward_and_backward_at_any_size(family, rng):
    """Sides that no stride divides are rounded up, at every stage; each weight has a gradient."""
    builder, options = FAMILIES[family]
    model = builder(include_top=False, **options)
    images = rng.normal(0, 1, (2, 47, 65, 3)).astype("float32")
    with tf.GradientTape() as tape:
        maps = model(images, training=True)
        loss = keras.ops.mean(keras.ops.square(maps))
    assert maps.shape[1:3] == (2, 3)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)


def test_shortcuts_differ_in_projections_only():
    counts, projections = {}, {}
    with weightless():
        for shortcut in ("A", "B", "C", None):
            model = ResNet18(shortcut=shortcut)
            counts[shortcut] = trainable(model)
            projections[shortcut] = [la.name for la in model.layers if la.name.endswith("_0_conv")]
    assert counts["A"] == counts[None] == 11_689_512 - PROJECTIONS
    assert projections["A"] == projections[None] == []
    assert projections["B"] == [f"conv{stage}_block1_0_conv" for stage in (3, 4, 5)]
    assert len(projections["C"]) == 8
    assert not [la for la in PlainNet18().layers if isinstance(la, layers.Add)]


def test_without_batch_norm_there_are_biases():
    with weightless():
        plain = PlainNet18(batch_norm=False)
    kinds = {type(la) for la in plain.layers}
    assert layers.BatchNormalization not in kinds
    assert all(la.use_bias for la in plain.layers if isinstance(la, layers.Conv2D))


@pytest.mark.parametrize("initializer", ["he_normal", "glorot_uniform"])
def test_deviation_of_the_first_weights(initializer):
    """He et al. 2015, https://arxiv.org/abs/1502.01852, and Glorot and Bengio 2010."""
    model = PlainNet18(initializer=initializer, include_top=False)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            height, width, before, after = layer.kernel.shape
            fan = height * width * np.array([before, after])
            expected = np.sqrt(2 / fan[0]) if initializer == "he_normal" else np.sqrt(2 / fan.sum())
            assert np.std(layer.kernel) == pytest.approx(expected, rel=0.05), layer.name


@pytest.mark.parametrize(
    "family", [name if name == "padded" else pytest.param(name, marks=slow) for name in FAMILIES]
)
def test_converts_to_built_in_operations(family, rng):
    builder, options = FAMILIES[family]
    model = randomize(builder(input_shape=(32, 32, 3), classes=4, classifier_activation=None, **options))
    images = rng.normal(0, 1, (3, 32, 32, 3)).astype("float32")
    (answers,) = _litert.LiteRTModel(_litert.convert(model))(images).values()
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
