"""Our ResNets are those of keras.applications: names, shapes, parameters, and answers from the same file."""

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from kerasvision.models import ResNet50, ResNet101, ResNet152, loading

OURS = {"ResNet50": ResNet50, "ResNet101": ResNet101, "ResNet152": ResNet152}
VARIANTS = ["ResNet50", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ResNet101", "ResNet152"))]


def randomize(model, seed=0):
    """Give every weight a random value, BatchNorm statistics too, so that no swap goes unnoticed."""
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        value = generator.normal(0, 0.05, variable.shape)
        variable.assign(
            np.abs(value) + 0.5 if "variance" in variable.path or "gamma" in variable.path else value
        )
    return model


def save_legacy(model, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("name", VARIANTS)
def test_same_file_same_answers(name, tmp_path, rng):
    reference = randomize(
        getattr(keras.applications, name)(weights=None, input_shape=(48, 64, 3), include_top=False)
    )
    save_legacy(reference, tmp_path / "legacy.h5")
    reference.save_weights(tmp_path / "new.weights.h5")
    images = rng.normal(0, 60, (2, 48, 64, 3)).astype("float32")
    expected = reference(images).numpy()
    for file in ("legacy.h5", "new.weights.h5"):
        ours = OURS[name](include_top=False, input_shape=(48, 64, 3), weights=tmp_path / file)
        np.testing.assert_allclose(
            ours(images).numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
        )
    ours = randomize(OURS[name](include_top=False, input_shape=(48, 64, 3)), seed=1)
    assert np.abs(ours(images).numpy() - expected).max() > 1e-2 * np.abs(expected).max()
    ours.load_weights(tmp_path / "legacy.h5")  # Keras' own loader takes it too
    np.testing.assert_allclose(ours(images).numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_same_layers_and_parameters(name):
    ours = OURS[name](input_shape=(64, 64, 3), classes=7)
    reference = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=7)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in reference.layers[1:]]
    assert [(v.path, v.shape) for v in ours.variables] == [(v.path, v.shape) for v in reference.variables]
    assert ours.count_params() == reference.count_params()
    assert [layer.output.shape for layer in ours.layers] == [layer.output.shape for layer in reference.layers]


def test_top_gives_the_same_answers(tmp_path, rng):
    reference = randomize(keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=5))
    save_legacy(reference, tmp_path / "top.h5")
    ours = ResNet50(input_shape=(32, 32, 3), classes=5, weights=tmp_path / "top.h5")
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
    asked = []

    def spy(fname, origin, **options):
        asked.append((fname, origin, options))
        raise RuntimeError("stop here")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", spy)
    monkeypatch.setattr(loading.keras.utils, "get_file", spy)
    for builder in (getattr(keras.applications, name), OURS[name]):
        with pytest.raises(RuntimeError, match="stop here"):
            builder(weights="imagenet", include_top=top)
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (31, 64, 3)}, "at least 32 x 32.*31 x 64"),
        ({"input_shape": (64, 64)}, "`input_shape` must be"),
        ({"input_tensor": np.zeros((1, 32, 32, 3))}, "`input_tensor` must be a Keras tensor"),
        ({"include_top": False, "pooling": "mean"}, "`pooling` must be.*'mean'"),
        ({"weights": "imagenet", "classes": 10}, "`classes` must be 1000.*10"),
        ({"weights": "nowhere.h5"}, "no weights file nowhere.h5"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet50(**arguments)
