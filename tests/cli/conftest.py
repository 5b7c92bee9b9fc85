"""A tiny folder of images, a run trained on it, and its exported file, for all tests of the command line."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasvision.cli.main import run as run_command

CLASSES = ("blue", "green", "red")


def write_folder(folder: Path, classes=CLASSES, count: int = 8, size: int = 24) -> Path:
    """Write `count` noisy images of one colour for each class."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
            image[..., {"red": 0, "green": 1}.get(name, 2)] += 120
            Image.fromarray(image).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def write_photos():
    """The function that writes such folders."""
    return write_folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A good folder; tests must not change it."""
    return write_folder(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="session")
def training(photos) -> list[str]:
    """The options of the session's run."""
    options = (
        "--model resnet_small --weights none --strategy scratch --image-size 24 --batch-size 8 --epochs 2"
    )
    return [*options.split(), "--augment", "none", "--cache", "off", "--no-rehearse-export"]


@pytest.fixture(scope="session")
def trained(photos, training, tmp_path_factory) -> Path:
    """A finished run; tests must not change it."""
    os.environ["KERASVISION_QUIET"] = "1"
    folder = tmp_path_factory.mktemp("runs") / "colours"
    assert run_command(["train", "classifier", str(photos), str(folder), *training]) == 0
    return folder


@pytest.fixture(scope="session")
def tflite(trained, tmp_path_factory) -> Path:
    """The exported file of that run."""
    folder = tmp_path_factory.mktemp("phone")
    assert run_command(["export", str(trained), str(folder), "--format", "tflite"]) == 0
    (file,) = folder.glob("*.tflite")
    return file


@pytest.fixture
def command(capsys):
    """Run a command in this process; returns (exit code, standard output, standard error)."""

    def call(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call
