"""A segmenter for real photos: CamVid (its own split), on MobileNetV2 of ImageNet."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TEST_PIXELS = 233 * 180 * 240


@pytest.fixture(scope="module")
def roads(real_data, keras_home, tmp_path_factory):
    """Return what `camvid_training.py` printed."""
    environment = os.environ | {
        "KERAS_HOME": str(keras_home),
        "KERASVISION_QUIET": "1",
        "PYTHONPATH": str(HERE.parent.parent),
    }
    archive = real_data / "camvid_180x240_q90.zip"
    command = [
        *(sys.executable, str(HERE / "camvid_training.py")),
        *(str(archive), str(tmp_path_factory.mktemp("roads"))),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.realdata
def test_eight_epochs_find_what_is_large(roads):
    """At 96 x 128 pixels; judged on every pixel of the original masks that is not void."""
    assert roads["images"] == 233
    assert roads["void"] + roads["masks"] == TEST_PIXELS
    assert roads["mean_iou"] > 0.33
    assert roads["pixel_accuracy"] > 0.8
    assert abs(roads["flipped"] - roads["mean_iou"]) < 0.03
    for name in ("sky", "road", "building"):
        assert roads["classes"][name] > 0.6


@pytest.mark.slow
@pytest.mark.realdata
def test_the_report_says_that_sequences_are_in_two_splits(roads):
    assert "images of 0001TP" in roads["report"]


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(("file", "allowed"), [("float32", 0.001), ("int8", 0.02)])
def test_files_find_the_same_regions(roads, file, allowed):
    certificate = roads["files"][file]
    assert certificate["passed"]
    assert abs(certificate["miou_file"] - certificate["miou_model"]) <= allowed
