"""The real client: MediaPipe's ImageSegmenter opens the files unchanged."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segmenter_helpers import LABELS, SIZE, small_source

from kerasvision.export import open_file
from kerasvision.export.segmentation_tflite import tflite_bytes

CLIENT = Path(__file__).with_name("mediapipe_segmenter_client.py")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed"
)


def ask_mediapipe(images: np.ndarray, files, folder: Path, timeout: float = 180) -> list[tuple]:
    """Return (category masks, confidence masks, labels) of each file, from a fresh process."""
    np.save(folder / "images.npy", images)
    command = [sys.executable, CLIENT, folder / "images.npy", folder / "answers.npz", *files]
    done = subprocess.run(list(map(str, command)), timeout=timeout, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    with np.load(folder / "answers.npz") as found:
        names = ("category", "confidence", "labels")
        return [tuple(found[f"{name}_{index}"] for name in names) for index in range(len(files))]


@pytest.fixture(scope="module")
def source():
    return small_source()


def masks_equal_ours(source, folder: Path, outputs) -> None:
    """Compare the client's masks of float and int8 files with those of our runner."""
    files = []
    for output in outputs:
        for kind in (None, "int8"):
            files.append(folder / f"{output}_{kind}.tflite")
            files[-1].write_bytes(tflite_bytes(replace(source, output=output), kind))
    images = source.images[:4]
    for file, (category, confidence, labels) in zip(files, ask_mediapipe(images, files, folder), strict=True):
        mine, probabilities = open_file(file).answer(images)
        assert set(np.unique(mine)) == {0, 1, 2}
        assert tuple(labels) == LABELS, file.name
        np.testing.assert_allclose(confidence, probabilities, atol=1e-5, err_msg=file.name)
        np.testing.assert_array_equal(category, mine, err_msg=file.name)


def test_masks_equal_ours(source, tmp_path):
    """Softmax is taken once: in the file of probabilities, by the client for logits."""
    masks_equal_ours(source, tmp_path, ("probabilities", "logits"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplab_v3_plus", "stacked_hourglass"])
def test_masks_of_other_networks_equal_ours(name, tmp_path):
    masks_equal_ours(small_source(name), tmp_path, ("probabilities",))


def test_masks_have_the_size_of_the_picture(source, tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(tflite_bytes(source, None))
    large = source.images[:2].repeat(2, axis=1).repeat(3, axis=2)
    ((category, confidence, _),) = ask_mediapipe(large, [file], tmp_path)
    assert category.shape == (2, 2 * SIZE, 3 * SIZE) and confidence.shape == (*category.shape, 3)
    mine = open_file(file)(source.images[:2]).repeat(2, axis=1).repeat(3, axis=2)
    assert (category == mine).mean() > 0.95


def test_labels_are_not_for_this_client(source, tmp_path):
    """It takes them for floats without an error; `lint` and the note say so."""
    file = tmp_path / "m.tflite"
    file.write_bytes(tflite_bytes(replace(source, output="labels"), None))
    ((category, _, labels),) = ask_mediapipe(source.images[:2], [file], tmp_path)
    assert len(labels) == 0
    assert (category == open_file(file)(source.images[:2])).mean() < 0.95
