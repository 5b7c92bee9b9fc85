"""Networks by name."""

import subprocess
import sys

import pytest

from kerasvision.models import classifier, entry, get_model, list_models
from kerasvision.models.table import ENTRIES

LARGE = {"resnet101", "resnet152"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in list_models()]
)
def test_entry_states_the_parameters(name):
    assert get_model(name).count_params() == entry(name).parameters


def test_entries_are_complete():
    assert len({item.name for item in ENTRIES}) == len(ENTRIES)
    for item in ENTRIES:
        assert callable(item.builder) and item.minimum_size <= item.native_size
        assert item.paper.startswith("https://") and 1980 < item.year < 2100
        assert (item.top_1 is None) == (item.accuracy_source is None)
        assert item.top_5 is None or item.top_1 < item.top_5 < 100


@pytest.mark.parametrize("name", [name for name in list_models() if name not in LARGE])
def test_smallest_size_is_accepted(name):
    size = entry(name).minimum_size
    assert None not in get_model(name, include_top=False, input_shape=(size, size, 3)).output_shape[1:]


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
        "import sys, kerasvision.models as m; m.list_models(); m.entry('resnet50');"
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
