"""`pretrained` and `classifier`: raw pixels in, with the preprocessing of the weights in the graph."""

import keras
import numpy as np
import pytest
from torch_states import cifar_modules, randomized, save, state_of

from kerasvision.errors import WeightsError
from kerasvision.models import ResNet20, classifier, load_weights, pretrained
from kerasvision.models.preprocessing import MODES, Normalization, agree, mode_in

CIFAR = {"normalize_mean": "0.4914,0.4822,0.4465", "normalize_std": "0.2470,0.2435,0.2616"}


def file_of(path, *, classes=7, metadata=None, kind="safetensors"):
    model = randomized(ResNet20(classes=classes, classifier_activation=None))
    return save(state_of(model, cifar_modules(model)), path, metadata=metadata, kind=kind), model


def images(rng, size=32):
    return rng.integers(0, 256, (3, size, size, 3), dtype="uint8")


def test_classes_and_preprocessing_of_the_file(rng, tmp_path):
    file, source = file_of(tmp_path / "file", metadata=CIFAR)
    model = pretrained("resnet20", file, activation=None)
    assert [tensor.name for tensor in model.inputs] == ["image"] and model.output_shape == (None, 7)
    assert model.input_shape == (None, 32, 32, 3) and model.name == "resnet20"
    pixels = images(rng)
    prepared = (pixels / 255 - [0.4914, 0.4822, 0.4465]) / [0.2470, 0.2435, 0.2616]
    expected = np.asarray(source(prepared.astype("float32")))
    assert np.ptp(expected) > 0.1 and np.isfinite(expected).all()
    np.testing.assert_allclose(model(pixels), expected, rtol=1e-4, atol=1e-4)


def test_probabilities_another_size_and_a_saved_file(rng, tmp_path):
    file, _ = file_of(tmp_path / "file", metadata=CIFAR)
    model = pretrained("resnet20", file, image_size=(40, 36))
    assert model.input_shape == (None, 40, 36, 3)
    pixels = rng.integers(0, 256, (2, 40, 36, 3)).astype("float32")
    np.testing.assert_allclose(np.sum(model(pixels), axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "model.keras")(pixels), model(pixels), atol=1e-6
    )


@pytest.mark.parametrize("mode", MODES)
def test_preprocessing_stated_where_the_file_does_not(mode, tmp_path):
    file, _ = file_of(tmp_path / "file")
    with pytest.raises(ValueError, match="`preprocessing` must be stated:.*does not say"):
        pretrained("resnet20", file)
    with pytest.raises(ValueError, match="`preprocessing` must be stated:.*does not say"):
        classifier("resnet20", classes=2, image_size=32, weights=file)
    for model in (
        pretrained("resnet20", file, preprocessing=mode),
        classifier("resnet20", classes=2, image_size=32, weights=file, preprocessing=mode),
    ):
        assert mode_in(model) == (None if mode == "included" else mode)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_classifier_prepares_pixels_as_the_weights_expect(kind, tmp_path):
    """Not as the network usually does: ResNet20 is in the table with another mode than this file's."""
    file, source = file_of(tmp_path / "file", metadata=CIFAR if kind == "safetensors" else None, kind=kind)
    stated = {} if kind == "safetensors" else {"preprocessing": "tf"}
    model = classifier("resnet20", classes=2, image_size=32, weights=file, **stated)
    expected = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)) if not stated else "tf"
    assert agree(mode_in(model), expected)
    np.testing.assert_array_equal(model.get_layer("conv1_conv").kernel, source.get_layer("conv1_conv").kernel)


def test_a_keras_file_keeps_its_preprocessing(rng, tmp_path):
    """A whole model, saved with its layer `preprocess`, is built on again with the same numbers."""
    file, _ = file_of(tmp_path / "file", metadata=CIFAR)
    first = pretrained("resnet20", file)
    first.save(tmp_path / "first.keras")
    second = pretrained("resnet20", tmp_path / "first.keras")
    pixels = images(rng)
    np.testing.assert_allclose(first(pixels), second(pixels), atol=1e-6)
    again = classifier("resnet20", classes=2, image_size=32, weights=tmp_path / "first.keras")
    assert agree(mode_in(again), mode_in(first))
    contrary = ResNet20(classes=7, input_tensor=classifier_pixels("tf"))
    with pytest.raises(WeightsError, match="prepares them as 'tf'"):
        load_weights(contrary, tmp_path / "first.keras")


def classifier_pixels(mode):
    from kerasvision.models.preprocessing import preprocess

    return preprocess(keras.Input((32, 32, 3)), mode)


@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_keras_files_without_preprocessing_are_taken_as_usual(ending, tmp_path):
    source = randomized(ResNet20(classes=5))
    file = tmp_path / f"file.{ending}"
    (source.save if ending == "keras" else source.save_weights)(file)
    model = pretrained("resnet20", file)
    assert model.output_shape == (None, 5) and mode_in(model) == "torch"
    # Networks for CIFAR have no public weights of Keras that would tell what is usual.
    assert load_weights(ResNet20(classes=5), file).preprocessing is None
    for stated in (
        pretrained("resnet20", file, preprocessing="zero_one"),
        classifier("resnet20", classes=2, image_size=32, weights=file, preprocessing="zero_one"),
    ):
        assert mode_in(stated) == "zero_one"
    assert load_weights(model, file).preprocessing == "torch"


def headless(path):
    model = randomized(ResNet20())
    state = state_of(model, cifar_modules(model))
    return save(
        {name: values for name, values in state.items() if "linear" not in name}, path, metadata=CIFAR
    )


# case -> arguments, message
WRONG = {
    "no such network": ({"name": "resnet21"}, "Did you mean .*resnet20"),
    "no ImageNet weights": (
        {"name": "vgg11"},
        "no ImageNet weights of keras.applications for vgg11.*or 'hf://timm/",
    ),
    "a file to download": ({"name": "alexnet"}, "weights=<a file>, for example https://.*/alexnet-owt-.*pth"),
    "no weights at all": (
        {"name": "resnet_small"},
        "no ImageNet weights of keras.applications for resnet_small",
    ),
    "no file": ({"weights": "nowhere.pth"}, "There is no weights file nowhere.pth"),
    "no weights asked for": ({"weights": None}, "`source` must be a path, 'hf://owner/name' or 'imagenet'"),
    "small images": ({"weights": "FILE", "image_size": 4}, "at least 8 x 8"),
    "contrary": (
        {"weights": "FILE", "preprocessing": "caffe"},
        "`preprocessing` of the weights in .* is Normalization",
    ),
    "contrary for imagenet": (
        {"name": "mobilenet_v2", "preprocessing": "caffe"},
        "`preprocessing` of mobilenet_v2 is 'tf'",
    ),
    "other depth": ({"name": "resnet32", "weights": "FILE"}, "layer1.3.conv1.weight is not in the file"),
    "other classes": ({"weights": "FILE", "classes": 3}, "7x64 in the file, 3x64 in the model"),
    "no top": ({"weights": "HEADLESS"}, "has no top of resnet20 .predictions."),
}


@pytest.mark.parametrize("arguments, message", WRONG.values(), ids=WRONG)
def test_errors(arguments, message, tmp_path):
    files = {
        "FILE": file_of(tmp_path / "file", metadata=CIFAR)[0],
        "HEADLESS": headless(tmp_path / "headless"),
    }
    arguments = {"name": "resnet20", **arguments}
    if arguments.get("weights") in files:
        arguments["weights"] = files[arguments["weights"]]
    with pytest.raises(ValueError, match=message):
        pretrained(**arguments)


# ImageNet weights


def test_imagenet_for_a_model_of_another_name():
    with pytest.raises(WeightsError, match="of the name 'mine'. There are for: mobilenet_v2, .*resnet50"):
        load_weights(ResNet20(name="mine"), "imagenet")


@pytest.mark.realdata
def test_imagenet_for_a_built_model(keras_home):
    """In a process of its own: Keras reads KERAS_HOME when it is imported."""
    import os
    import subprocess
    import sys

    code = """
import numpy as np, kerasvision as kv
from kerasvision.models import MobileNetV2, load_weights, pretrained
pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype("float32")
built = MobileNetV2(input_shape=(224, 224, 3), name="MobileNetV2")
loaded = load_weights(built, "imagenet")
assert loaded.preprocessing == "tf" and loaded.ignored == () and "predictions" in loaded.layers
model = pretrained("mobilenet_v2")
assert model.output_shape == (None, 1000)
np.testing.assert_allclose(model(pixels), built(pixels / 127.5 - 1), atol=1e-5)
backbone = MobileNetV2(include_top=False, input_shape=(96, 96, 3))
assert load_weights(backbone, "imagenet").preprocessing == "tf"
for other in (MobileNetV2(classes=3), MobileNetV2(alpha=0.5)):
    before = other.get_weights()
    try:
        load_weights(other, "imagenet")
    except kv.errors.WeightsError as error:
        print(error)
    else:
        raise SystemExit("loaded")
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_HOME": str(keras_home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (
        "predictions: [(1280, 3), (3,)] in the model, [(1280, 1000), (1000,)] in the weights" in done.stdout
    )
