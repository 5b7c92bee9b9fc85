"""The real client: MediaPipe's ImageClassifier opens our files unchanged and answers as LiteRT does."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from export_helpers import CLASSES, pictures

from kerasvision.export import ExportSource, open_file, to_tflite

CLIENT = Path(__file__).with_name("mediapipe_client.py")
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed"
)


def ask_mediapipe(images: np.ndarray, files, folder: Path, timeout: float = 180) -> dict:
    """Return file -> for each image [[index, label, score], …], from a fresh process."""
    np.save(folder / "images.npy", images)
    answers = folder / "answers.json"
    command = [sys.executable, CLIENT, folder / "images.npy", answers, *files]
    done = subprocess.run(list(map(str, command)), timeout=timeout, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return json.loads(answers.read_text())


def compare_with_litert(answers: dict, images: np.ndarray, labels) -> None:
    """Fail unless MediaPipe gives LiteRT's top-1, labels and scores for each file and image."""
    for file, rows in answers.items():
        expected = open_file(file)(images)
        assert len(rows) == len(images)
        for row, probabilities in zip(rows, expected, strict=True):
            assert row[0][0] == probabilities.argmax()
            for index, label, score in row:
                assert label == labels[index]
                assert score == pytest.approx(probabilities[index], abs=1e-6)


@needs_mediapipe
def test_every_kind_of_file_is_opened_unchanged(exported, source, tmp_path):
    files = [file.path for file in exported.values()]
    options = {
        "bytes_in": {"input_type": "uint8"},
        "int8_bytes_out": {"quantize": "int8", "output_type": "uint8"},
        "int8_float_in": {"quantize": "int8", "input_type": "float32"},
    }
    for name, option in options.items():
        files.append(to_tflite(source, tmp_path / f"{name}.tflite", **option).path)
    answers = ask_mediapipe(source.images[:40], files, tmp_path)
    assert len(answers) == 7
    compare_with_litert(answers, source.images[:40], CLASSES)


@needs_mediapipe
@pytest.mark.realdata
@pytest.mark.slow
def test_real_photos_and_real_weights(real_data, keras_home, tmp_path):
    """100 flower photos through MobileNetV2 with ImageNet weights: float32, float16 and int8 by bytes."""
    program = Path(__file__).with_name("flowers_network.py")
    environment = os.environ | {"KERAS_HOME": str(keras_home), "PYTHONPATH": os.pathsep.join(sys.path)}
    made = [sys.executable, program, real_data / "flowers32_5class.npz", tmp_path]
    subprocess.run(made, check=True, timeout=500, env=environment)
    files = sorted(tmp_path.glob("*.tflite"))
    assert len(files) == 4
    images = np.load(tmp_path / "held_out.npy")
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert len(images) == 100
    answers = ask_mediapipe(images, files, tmp_path)
    compare_with_litert(answers, images, labels)
    for file in files:
        proof = json.loads(Path(f"{file}.certificate.json").read_text())
        assert proof["passed"]
        assert proof["accuracy_model"] > 0.6
        print(
            file.name,
            {k: proof[k] for k in ("max_difference", "agreement", "accuracy_model", "accuracy_file")},
        )


def test_the_comparison_notices_a_wrong_answer(exported, source):
    images, _ = pictures(3, seed=1)
    right = open_file(exported[None].path)(images)
    rows = [[[int(i), CLASSES[i], float(p[i])] for i in np.argsort(-p)] for p in right]
    compare_with_litert({exported[None].path: rows}, images, CLASSES)
    rows[2][0], rows[2][1] = rows[2][1], rows[2][0]
    with pytest.raises(AssertionError):
        compare_with_litert({exported[None].path: rows}, images, CLASSES)
    assert isinstance(source, ExportSource)
