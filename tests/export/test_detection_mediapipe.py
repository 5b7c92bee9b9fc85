"""The real client: MediaPipe's ObjectDetector opens the files of all four families unchanged."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from detector_helpers import LABELS, NAMES, SIZE, small_source

from kerasvision.export import open_file
from kerasvision.export.detection_certificate import compare_detections
from kerasvision.export.detection_tflite import tflite_bytes
from kerasvision.metrics import Detections

CLIENT = Path(__file__).with_name("mediapipe_detector_client.py")
needs_mediapipe = pytest.mark.skipif(
    importlib.util.find_spec("mediapipe") is None, reason="mediapipe is not installed"
)


def ask_mediapipe(images: np.ndarray, files, folder: Path, timeout: float = 180) -> dict:
    """Return file -> for each image [[xmin, ymin, width, height, label, score], …], from a fresh process."""
    np.save(folder / "images.npy", images)
    answers = folder / "answers.json"
    command = [sys.executable, CLIENT, folder / "images.npy", answers, *files]
    done = subprocess.run(list(map(str, command)), timeout=timeout, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return json.loads(answers.read_text())


def compare_with_litert(file, rows, images) -> int:
    """Fail unless MediaPipe gives LiteRT's boxes, labels and scores; return how many there are."""
    count = 0
    for answer, found in zip(rows, open_file(file)(images), strict=True):
        rest = list(answer)  # boxes of equal scores may come in another order
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
            place = np.concatenate([box[:2], box[2:] - box[:2]])
            same = [row for row in rest if row[4] == LABELS[label] and _is_at(row, place, score)]
            assert same, f"{file}: MediaPipe lacks {place} {LABELS[label]} {score}; it has {rest}"
            rest.remove(same[0])
            count += 1
        assert not rest
    return count


def _is_at(row, place, score) -> bool:
    lost = place - np.array(row[:4])  # MediaPipe cuts to whole pixels
    return abs(row[5] - score) < 1e-3 and (lost > -0.01).all() and (lost < 1.01).all()


def agreement(file, rows, images) -> float:
    """Return the share of boxes that both have.

    Of an int8 file MediaPipe's own kernels round a little differently, and many boxes have equal scores.
    """
    answers = []
    for answer in rows:
        corners = np.array([[x, y, x + w + 1, y + h + 1] for x, y, w, h, _, _ in answer]).reshape(-1, 4)
        labels = np.array([LABELS.index(row[4]) for row in answer], np.int32)
        answers.append(Detections(corners, labels, np.array([row[5] for row in answer])))
    figures = compare_detections(open_file(file)(images), answers, (SIZE, SIZE), 0.3)
    assert figures["boxes_model"] >= 6
    return min(figures["recall"], figures["precision"])


def check(names, kinds, folder: Path) -> None:
    files = {}
    for name in names:
        source = small_source(name)
        for kind in kinds:
            path = folder / f"{name}_{kind}.tflite"
            path.write_bytes(tflite_bytes(source, kind))
            files[path] = source.images[:6]
    answers = ask_mediapipe(next(iter(files.values())), files, folder)
    assert len(answers) == len(files)
    for path, images in files.items():
        if "None" in path.name:
            assert compare_with_litert(path, answers[str(path)], images) >= 6
        else:
            assert agreement(path, answers[str(path)], images) > 0.85, path.name


@needs_mediapipe
def test_a_file_is_opened_unchanged(tmp_path):
    check(["yolo_v1"], [None, "int8"], tmp_path)


@needs_mediapipe
@pytest.mark.slow
def test_files_of_all_families_are_opened_unchanged(tmp_path):
    check(NAMES, [None, "dynamic", "int8"], tmp_path)
