"""Networks by name."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import keras
import numpy as np
import pytest

from kerasvision.models import classifier, entry, get_model, list_models
from kerasvision.models.preprocessing import preprocess
from kerasvision.models.table import ENTRIES


def test_entries_are_complete():
    assert len({item.name for item in ENTRIES}) == len(ENTRIES)
    for item in ENTRIES:
        assert callable(item.builder) and item.minimum_size <= item.native_size
        assert item.paper.startswith("https://") and 1980 < item.year < 2100
        assert (item.top_1 is item.top_5 is None) == (item.accuracy_source is None)
        assert None in (item.top_1, item.top_5) or 50 < item.top_1 < item.top_5 < 100
        assert item.parameters > 0 and item.multiply_adds > item.parameters / 10
        assert all(name == "imagenet" or name.startswith(("hf://", "https://")) for name in item.weights)


def test_options_of_an_entry_make_its_builder():
    plain, normalized = entry("vgg11"), entry("vgg11_bn")
    assert plain.builder.__name__ == "VGG11" and not plain.options
    assert normalized.builder.func is plain.builder
    assert normalized.builder.keywords == {"name": "vgg11_bn", "batch_norm": True}
    with pytest.raises(FrozenInstanceError):
        plain.options = {}


KERAS_MODULES = {
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3",
    "mobilenet_v3_large": "mobilenet_v3",
    "efficientnet_v2_b0": "efficientnet_v2",
    **dict.fromkeys(("resnet50", "resnet101", "resnet152"), "resnet"),
    **dict.fromkeys(("resnet50_v2", "resnet101_v2", "resnet152_v2"), "resnet_v2"),
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
}


def test_pixels_are_prepared_as_the_weights_of_keras_applications_expect(rng):
    assert set(KERAS_MODULES) == {item.name for item in ENTRIES if "imagenet" in item.weights}
    pixels = rng.integers(0, 256, (1, 3, 3, 3)).astype("float32")
    for name, module in KERAS_MODULES.items():
        expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
        ours = preprocess(keras.ops.convert_to_tensor(pixels), entry(name).preprocessing)
        np.testing.assert_allclose(ours, expected, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["MobileNetV2", "mobilenet-v2", "MOBILENET_V2", "mobilenetv2"])
def test_spelling_does_not_matter(name):
    assert entry(name).name == "mobilenet_v2"


@pytest.mark.parametrize(
    "name, hint",
    [("resnet5O", "`resnet50`"), ("mobilnet_v2", "`mobilenet_v2`"), ("effnetv2b0", "`efficientnet_v2_b0`")],
)
def test_unknown_name_gives_the_closest(name, hint):
    with pytest.raises(ValueError, match="Did you mean.*" + hint):
        get_model(name)


@pytest.mark.parametrize("name", ["zzzz", None, 5])
def test_unknown_name_lists_all(name):
    with pytest.raises(ValueError, match="Known: mobilenet_v2, .*resnet_small"):
        entry(name)


def test_list_by_task():
    assert list_models("classify") == list_models()
    with pytest.raises(ValueError, match="`task` must be one of.*'sing'"):
        list_models("sing")


def test_names_need_no_tensorflow():
    code = (
        "import sys, kerasvision.models as m; m.list_models(); m.entry('resnet50'); m.summary_table();"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    "part, value", [("backend.backend", "jax"), ("config.image_data_format", "channels_first")]
)
def test_other_backend_or_layout_is_refused(part, value, monkeypatch):
    monkeypatch.setattr(f"keras.{part}", lambda: value)
    with pytest.raises(ValueError, match=f"'{value}'.*(Set|Call) "):
        classifier("resnet_small", classes=2, image_size=32)
