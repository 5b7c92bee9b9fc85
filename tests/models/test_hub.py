"""`hf://` sources, against a cache laid out as huggingface_hub lays it out, without a connection."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from torch_states import cifar_modules, randomized, save, state_of

from kerasvision.errors import MissingPackageError, WeightsError
from kerasvision.models import ResNet20, hub, load_weights
from kerasvision.models.preprocessing import Normalization, preprocess

pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return a function that puts files into the cache; the hub itself is out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(repository: str, files: dict) -> Path:
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / COMMIT
        for name, make in files.items():
            (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            make(snapshot / name)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(COMMIT)
        return snapshot

    return put


def weights(seed=0, kind="safetensors"):
    model = randomized(ResNet20(), seed)
    return lambda path: save(state_of(model, cifar_modules(model)), path, kind=kind)


def config(**values):
    return lambda path: path.write_text(json.dumps(values))


HALF = [0.5, 0.5, 0.5]
ODD = ([0.49, 0.48, 0.45], [0.25, 0.24, 0.26])
# case -> files of the repository, the source, seed of the weights that it stands for, preprocessing
SOURCES = {
    "safetensors first": (
        {"model.safetensors": weights(1), "pytorch_model.bin": weights(2, "zip")},
        "hf://owner/name",
        1,
        None,
    ),
    "only pytorch_model.bin": ({"pytorch_model.bin": weights(2, "zip")}, "hf://owner/name", 2, None),
    "a file by name": (
        {"model.safetensors": weights(1), "old.pth": weights(3, "legacy")},
        "hf://owner/name/old.pth",
        3,
        None,
    ),
    "a file in a folder": (
        {"weights/a.pt": weights(4), "weights/config.json": config(mean=HALF, std=HALF)},
        "hf://owner/name/weights/a.pt",
        4,
        "tf",
    ),
    "configuration of timm": (
        {
            "model.safetensors": weights(),
            "config.json": config(architecture="x", pretrained_cfg={"mean": HALF, "std": HALF}),
        },
        "hf://owner/name",
        0,
        "tf",
    ),
    "configuration of transformers": (
        {
            "model.safetensors": weights(),
            "config.json": config(architectures=["ResNet"]),
            "preprocessor_config.json": config(image_mean=ODD[0], image_std=ODD[1]),
        },
        "hf://owner/name",
        0,
        Normalization(*map(tuple, ODD)),
    ),
    "configuration of something else": (
        {"model.safetensors": weights(), "config.json": lambda path: path.write_text("[1, 2]")},
        "hf://owner/name",
        0,
        None,
    ),
}


@pytest.mark.parametrize("files, source, seed, expected", SOURCES.values(), ids=SOURCES)
def test_sources(files, source, seed, expected, cache, capsys, monkeypatch):
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    cache("owner/name", files)
    model = ResNet20()
    assert load_weights(model, source).preprocessing == expected
    assert ("prepared as is usual" in capsys.readouterr().err) == (expected is None)
    for a, b in zip(model.get_weights(), randomized(ResNet20(), seed).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_copy_of_a_repository(cache):
    """A folder that was downloaded has the configuration beside the file."""
    files = {name: weights() for name in ("model.safetensors", "other.safetensors")}
    folder = cache("owner/name", {**files, "config.json": config(pretrained_cfg={"mean": HALF, "std": HALF})})
    assert load_weights(ResNet20(), folder / "model.safetensors").preprocessing == "tf"
    # Beside a file of any other name, a config.json may belong to anything.
    assert load_weights(ResNet20(), folder / "other.safetensors").preprocessing is None


def test_what_the_file_says_goes_before_the_configuration(cache):
    model = ResNet20()
    noted = {"normalize_mean": "0,0,0", "normalize_std": "1,1,1"}
    cache(
        "owner/name",
        {
            "model.safetensors": lambda path: save(
                state_of(model, cifar_modules(model)), path, metadata=noted
            ),
            "config.json": config(mean=HALF, std=HALF),
        },
    )
    assert load_weights(ResNet20(), "hf://owner/name").preprocessing == "zero_one"


# case -> files in the cache (None: no such repository), source, message
WRONG = {
    "not in the cache": (None, "hf://owner/name", "no connection to the hub, and its cache"),
    "no weights": (
        {"config.json": config()},
        "hf://owner/name",
        "its cache .HF_HOME. has no model.safetensors and no pytorch_model.bin",
    ),
    "no such file": ({"model.safetensors": weights()}, "hf://owner/name/b.pth", "has no b.pth of this"),
    "no name": (None, "hf://owner", "must be 'hf://owner/name' or"),
    "nothing": (None, "hf://", "must be 'hf://owner/name' or"),
    "names that cannot be": (None, "hf://own er/na me", "cannot be fetched"),
    "a pointer": (
        {"model.safetensors": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n")},
        "hf://owner/name",
        "pointer of git-lfs",
    ),
    "impossible numbers": (
        {"model.safetensors": weights(), "config.json": config(mean=[0, 0], std=[1, 1])},
        "hf://owner/name",
        "for pixels, which cannot be",
    ),
}


@pytest.mark.parametrize("files, source, message", WRONG.values(), ids=WRONG)
def test_wrong_sources(files, source, message, cache):
    if files is not None:
        cache("owner/name", files)
    model = ResNet20()
    before = model.get_weights()
    with pytest.raises(WeightsError, match=message):
        load_weights(model, source)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["RepositoryNotFoundError", "GatedRepoError", "HfHubHTTPError"])
def test_answers_of_the_hub(name, monkeypatch):
    """The hub's own errors, as it raises them."""
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*arguments, **options):
        error = getattr(errors, name)
        raise error.__new__(error, "404 Client Error\nmore")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(
        WeightsError, match="hf://owner/name.*(no public repository 'owner/name'|cannot be fetched)"
    ):
        hub.fetch("hf://owner/name")


def test_without_a_connection_it_is_tried_once(monkeypatch):
    """Each try takes the hub's package some 20 s."""
    import huggingface_hub
    from huggingface_hub import errors

    calls = []

    def unreachable(repository, file, local_files_only):
        calls.append(local_files_only)
        raise errors.LocalEntryNotFoundError("cannot find the requested files")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(WeightsError, match="no connection to the hub"):
        hub.fetch("hf://owner/name")
    assert calls == [False, True]


def test_no_such_file_while_connected(monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    def absent(repository, file, local_files_only):
        raise errors.EntryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    with pytest.raises(WeightsError, match="the repository has no b.pth. Name the file"):
        hub.fetch("hf://owner/name/b.pth")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'kerasvision\[hub\]'"):
        load_weights(ResNet20(), "hf://owner/name")


def test_numbers_become_a_layer(rng):
    image = keras.Input((8, 8, 3))
    scaled = preprocess(image, Normalization(*map(tuple, ODD)))
    pixels = rng.integers(0, 256, (2, 8, 8, 3)).astype("float32")
    expected = (pixels / 255 - np.array(ODD[0])) / np.array(ODD[1])
    np.testing.assert_allclose(keras.Model(image, scaled)(pixels), expected, atol=1e-5)
