"""VGG: names, shapes and answers of keras.applications from the same file; counts of torchvision."""

import keras
import numpy as np
import pytest
from builder_helpers import randomize, requested_file, save_legacy, trainable, weightless

from kerasvision.models import VGG11, VGG13, VGG16, VGG19, loading

# Parameters that torch counts (without the statistics of BatchNorm), from
# https://pytorch.org/vision/stable/models.html
PARAMETERS = {
    (VGG11, False): 132_863_336,
    (VGG13, False): 133_047_848,
    (VGG16, False): 138_357_544,
    (VGG19, False): 143_667_240,
    (VGG11, True): 132_868_840,
    (VGG13, True): 133_053_736,
    (VGG16, True): 138_365_992,
    (VGG19, True): 143_678_248,
}
BOTH = {"VGG16": VGG16, "VGG19": VGG19}
VARIANTS = ["VGG16", pytest.param("VGG19", marks=pytest.mark.slow)]


@pytest.mark.parametrize("builder, batch_norm", PARAMETERS)
def test_parameters(builder, batch_norm):
    with weightless():
        assert trainable(builder(batch_norm=batch_norm)) == PARAMETERS[builder, batch_norm]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("save", ["legacy.h5", "new.weights.h5"])
def test_same_file_same_answers(name, save, tmp_path, rng):
    shape = (48, 32, 3)
    reference = randomize(
        getattr(keras.applications, name)(weights=None, input_shape=shape, include_top=False)
    )
    if save == "legacy.h5":
        save_legacy(reference, tmp_path / save)
    else:
        reference.save_weights(tmp_path / save)
    images = rng.normal(0, 60, (2, *shape)).astype("float32")
    expected = np.asarray(reference(images))
    with weightless():
        ours = BOTH[name](include_top=False, input_shape=shape)
    scale = np.abs(expected).max()
    assert np.abs(ours(images) - expected).max() > 0.1 * scale
    loading.load_weights(ours, tmp_path / save)
    np.testing.assert_allclose(ours(images), expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_same_file_same_answers_with_the_top(name, tmp_path, rng):
    with weightless():
        reference = getattr(keras.applications, name)(weights=None, classes=5)
        ours = BOTH[name](classes=5)
    randomize(reference)
    save_legacy(reference, tmp_path / "top.h5")
    images = rng.normal(0, 60, (1, 224, 224, 3)).astype("float32")
    expected = np.asarray(reference(images))
    loading.load_weights(ours, tmp_path / "top.h5")
    np.testing.assert_allclose(ours(images, training=False), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_same_layers(name):
    with weightless():
        ours = BOTH[name](classes=7, dropout=0)
        reference = getattr(keras.applications, name)(weights=None, classes=7)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in reference.layers[1:]]
    assert [(v.path, v.shape) for v in ours.variables] == [(v.path, v.shape) for v in reference.variables]


def test_any_size_has_the_same_weights(rng):
    with weightless():
        small, native = VGG11(input_shape=(64, 96, 3)), VGG11()
    assert [v.shape for v in small.variables] == [v.shape for v in native.variables]
    assert "pool_to_7x7" not in {layer.name for layer in native.layers}


@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_imagenet_asks_for_the_files_of_keras_applications(name, top, monkeypatch):
    """Both sides are stopped where they fetch; nothing is downloaded."""
    ours, theirs = (
        requested_file(builder, monkeypatch, weights="imagenet", include_top=top)
        for builder in (BOTH[name], getattr(keras.applications, name))
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "builder, arguments, message",
    [
        (VGG16, {"input_shape": (31, 64, 3)}, "at least 32 x 32.*31 x 64"),
        (VGG16, {"input_shape": (None, None, 3)}, "`input_shape` must state the height and width.*7 x 7"),
        (VGG16, {"weights": "imagenet", "classes": 10}, "`classes` must be 1000.*10"),
        (VGG11, {"weights": "imagenet", "include_top": False}, "no ImageNet weights for vgg11"),
        (VGG16, {"weights": "imagenet", "include_top": False, "batch_norm": True}, "no ImageNet weights"),
    ],
)
def test_errors(builder, arguments, message):
    with weightless(), pytest.raises(ValueError, match=message):
        builder(**arguments)
