"""The real client: MediaPipe's ImageEmbedder opens the files unchanged and gives the same vectors."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from embedder_helpers import DIMENSIONS, small_embedder, source_of

from kerasvision.export import open_file
from kerasvision.export.embedding_tflite import tflite_bytes

CLIENT = Path(__file__).with_name("mediapipe_embedder_client.py")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed"
)


def ask_mediapipe(images: np.ndarray, files, folder: Path, timeout: float = 180) -> list[tuple]:
    """Return (vectors, cosine of the first two) of each file, from a fresh process."""
    np.save(folder / "images.npy", images)
    command = [sys.executable, CLIENT, folder / "images.npy", folder / "answers.npz", *files]
    done = subprocess.run(list(map(str, command)), timeout=timeout, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    with np.load(folder / "answers.npz") as found:
        return [(found[f"vectors_{index}"], found[f"similarity_{index}"]) for index in range(len(files))]


@pytest.mark.slow
@pytest.mark.parametrize("scaled", [True, False])
def test_vectors_equal_ours(scaled, tmp_path):
    source = source_of(small_embedder(l2_normalize=scaled))
    files = []
    for kind in (None, "float16", "dynamic", "int8"):
        files.append(tmp_path / f"{kind}.tflite")
        files[-1].write_bytes(tflite_bytes(source, kind))
    images = source.images[::8]
    for file, (vectors, similarity) in zip(files, ask_mediapipe(images, files, tmp_path), strict=True):
        expected = open_file(file)(images)
        assert vectors.shape == (len(images), DIMENSIONS)
        np.testing.assert_allclose(vectors, expected, atol=1e-6 * np.abs(expected).max(), err_msg=file.name)
        lengths = np.linalg.norm(expected[:2], axis=1)
        assert similarity == pytest.approx(expected[0] @ expected[1] / lengths.prod(), abs=1e-5)
        assert similarity < 0.9, "two identities"
