"""A detector for real photos: blood cells (BCCD, two boxes of no size in it), on MobileNetV2 of ImageNet."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def cells(real_data, keras_home, tmp_path_factory):
    """Return what `cells_training.py` printed."""
    environment = os.environ | {
        "KERAS_HOME": str(keras_home),
        "KERASVISION_QUIET": "1",
        "PYTHONPATH": str(HERE.parent.parent),
    }
    command = [
        *(sys.executable, str(HERE / "cells_training.py")),
        *(str(real_data / "bccd_voc.zip"), str(tmp_path_factory.mktemp("cells"))),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.realdata
def test_five_epochs_find_most_cells(cells):
    assert cells["images"] == 72
    assert cells["ap50"] > 0.75
    assert set(cells["classes"]) == {"Platelets", "RBC", "WBC"}


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(("file", "allowed"), [("float32", 0.001), ("int8", 0.02)])
def test_files_find_the_same_cells(cells, file, allowed):
    certificate = cells["files"][file]
    assert certificate["passed"]
    assert certificate["ap50_file"] >= certificate["ap50_model"] - allowed
