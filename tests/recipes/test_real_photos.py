"""Real weights on real photos: MobileNetV2 of ImageNet on five kinds of flowers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def _train(real_data, keras_home, folder, strategy, epochs, split="balanced"):
    environment = os.environ | {
        "KERAS_HOME": str(keras_home),
        "KERASVISION_QUIET": "1",
        "PYTHONPATH": str(HERE.parent.parent),
    }
    flowers = real_data / "flowers32_5class.npz"
    command = [
        sys.executable,
        str(HERE / "flowers_training.py"),
        str(flowers),
        str(folder),
        strategy,
        str(epochs),
        split,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.realdata
@pytest.mark.parametrize(("split", "held_out"), [("balanced", 500), ("random", 2000)])
def test_freeze_is_as_good_as_a_linear_probe_and_int8_keeps_it(
    split, held_out, real_data, keras_home, tmp_path
):
    found = _train(real_data, keras_home, tmp_path, "freeze", 0, split)
    assert found["accuracy"] >= 0.71, "a plain linear probe measured 71.4 %"
    assert found["int8"]["passed"]
    assert found["int8"]["accuracy_file"] >= found["int8"]["accuracy_model"] - 0.01
    assert found["int8"]["count"] == held_out


@pytest.mark.slow
@pytest.mark.realdata
def test_finetune_ends_above_freeze(real_data, keras_home, tmp_path):
    found = _train(real_data, keras_home, tmp_path, "finetune", 4)
    assert found["frozen"] >= 0.71
    assert found["accuracy"] >= found["frozen"] + 0.03
    assert found["int8"]["accuracy_file"] >= found["int8"]["accuracy_model"] - 0.01
