"""InceptionV3 and InceptionResNetV2: names and answers of keras.applications, whatever was built before."""

import keras
import numpy as np
import pytest
from builder_helpers import randomize, requested_file, save_legacy, trainable, weightless
from keras import layers

from kerasvision.models import InceptionResNetV2, InceptionV3, loading
from kerasvision.models.inception_blocks import Numbers, average_pool

OURS = {"InceptionV3": InceptionV3, "InceptionResNetV2": InceptionResNetV2}
BOTH = ["InceptionV3", pytest.param("InceptionResNetV2", marks=pytest.mark.slow)]
# keras.applications' own count; https://keras.io/api/applications/ has it in millions
PARAMETERS = {"InceptionV3": 23_851_784, "InceptionResNetV2": 55_873_736}


def reference(name: str, **arguments) -> keras.Model:
    """Build that of keras.applications as a fresh program does: its names count from the start."""
    keras.backend.clear_session()
    with weightless():
        return getattr(keras.applications, name)(weights=None, **arguments)


@pytest.mark.parametrize("name", BOTH)
def test_parameters(name):
    with weightless():
        assert OURS[name]().count_params() == PARAMETERS[name]


@pytest.mark.parametrize("name", BOTH)
def test_same_weights_in_the_same_order(name):
    theirs = reference(name, include_top=False)
    with weightless():
        layers.Conv2D(1, 1)  # takes Keras' next number
        ours = OURS[name](include_top=False)
    assert [(v.path, v.shape) for v in ours.variables] == [(v.path, v.shape) for v in theirs.variables]
    skipped = ("custom_scale_layer", "input_layer")
    expected = [layer.name for layer in theirs.layers if not layer.name.startswith(skipped)]
    scaled = {layer.name for layer in ours.layers if layer.name.endswith(("_scale", "_add"))}
    names = [layer.name for layer in ours.layers[1:] if layer.name not in scaled]
    assert sorted(names) == sorted(expected)
    assert len(scaled) == (0 if name == "InceptionV3" else 80)


@pytest.mark.parametrize("name", BOTH)
def test_same_file_same_answers(name, tmp_path, rng):
    shape = (75, 97, 3)
    theirs = randomize(reference(name, include_top=False, input_shape=shape))
    images = rng.uniform(-1, 1, (2, *shape)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    save_legacy(theirs, tmp_path / "legacy.h5")
    theirs.save_weights(tmp_path / "new.weights.h5")
    with weightless():
        ours = OURS[name](include_top=False, input_shape=shape)
    scale = np.abs(expected).max()
    for file in ("legacy.h5", "new.weights.h5"):
        randomize(ours, seed=1)
        assert np.abs(ours(images, training=False) - expected).max() > 0.01 * scale
        loading.load_weights(ours, tmp_path / file)
        np.testing.assert_allclose(ours(images, training=False), expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.slow
def test_published_file_counts_from_one(tmp_path, rng):
    """The files of keras.applications were saved by programs that had built other layers before."""
    keras.backend.clear_session()
    layers.Conv2D(1, 1), layers.BatchNormalization()
    with weightless():
        theirs = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(75, 75, 3))
    assert theirs.layers[1].name == "conv2d_1"
    save_legacy(randomize(theirs), tmp_path / "legacy.h5")
    with weightless():
        ours = InceptionV3(include_top=False, input_shape=(75, 75, 3), weights=tmp_path / "legacy.h5")
    images = rng.uniform(-1, 1, (1, 75, 75, 3)).astype("float32")
    expected = np.asarray(theirs(images, training=False))
    np.testing.assert_allclose(ours(images, training=False), expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_torchvisions_form_differs_in_factors_and_borders():
    with weightless():
        plain, torch = InceptionV3(), InceptionV3(form="torchvision")
    # 23,834,568: https://pytorch.org/vision/stable/models.html has 27,161,264 with AuxLogits
    assert trainable(torch) == 23_834_568
    assert trainable(torch) - trainable(plain) == torch.count_params() - plain.count_params() == 17_216
    pads = [layer.name for layer in torch.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert len(pads) == 9 and not [x for x in plain.layers if isinstance(x, layers.ZeroPadding2D)]
    assert {layer.epsilon for layer in torch.layers if isinstance(layer, layers.BatchNormalization)} == {1e-3}


def test_averages_at_the_border():
    """In a corner four of nine pixels are in the image."""
    ones = keras.ops.ones((1, 4, 4, 1))
    inside, padded = average_pool(ones, Numbers()), average_pool(ones, Numbers(), count_padding=True)
    assert np.all(inside == 1) and inside.shape == padded.shape
    np.testing.assert_allclose(padded[0, 0, :, 0], [4 / 9, 6 / 9, 6 / 9, 4 / 9], rtol=1e-6)


@pytest.mark.slow
def test_residual_branches_are_scaled_as_in_keras_applications():
    with weightless():
        ours, theirs = InceptionResNetV2(False), reference("InceptionResNetV2", include_top=False)
    scales = [layer.scale for layer in ours.layers if isinstance(layer, layers.Rescaling)]
    expected = [layer.scale for layer in theirs.layers if layer.name.startswith("custom_scale")]
    assert scales == expected and len(scales) == 40


@pytest.mark.parametrize("top", [pytest.param(True, marks=pytest.mark.slow), False])
@pytest.mark.parametrize("name", BOTH)
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
        ({"form": "caffe"}, "`form` must be 'keras' or 'torchvision'. Received: 'caffe'"),
        ({"input_shape": (74, 80, 3)}, "at least 75 x 75.*74 x 80"),
        ({"weights": "imagenet", "form": "torchvision"}, "no ImageNet weights"),
    ],
)
def test_errors(arguments, message):
    with weightless(), pytest.raises(ValueError, match=message):
        InceptionV3(**arguments)
