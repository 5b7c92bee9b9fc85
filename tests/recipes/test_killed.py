"""`kill -9` at random moments of a run, then the same call: nothing is lost, the result is the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from recipe_helpers import toy_data, train, weights

from kerasvision.recipes import Run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ARGUMENTS = {"strategy": "finetune", "epochs": 4, "batch_size": 16, "ema": 0.9, "augment": "flip+crop"}
CODE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from recipe_helpers import toy_data, train
from kerasvision.data import VisionData
from kerasvision.training import Plan, feature_cache
Plan.checkpoint_seconds = 0.2
feature_cache.MARK_SECONDS = 0.0
read = VisionData.iterate
def slowly(self, *args, **options):  # so that moments fall into all phases
    for batch in read(self, *args, **options):
        time.sleep(0.05)
        yield batch
VisionData.iterate = slowly
print("ready", flush=True)
train(toy_data(), sys.argv[2], **{arguments!r})
""".replace("{arguments!r}", repr(ARGUMENTS))


def _start(out):
    environment = os.environ | {"KERASVISION_QUIET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE, str(HERE), str(out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    while not (out / "run.json").exists() and process.poll() is None:
        time.sleep(0.05)
    return process


def _wait(process, out, moments, until_progress):
    """Wait for a random time; every other time, for a new checkpoint first, so that all phases are met."""
    before = _checkpoints(out)
    while until_progress and _checkpoints(out) == before and process.poll() is None:
        time.sleep(0.02)
    time.sleep(moments.uniform(0.0, 0.6 if until_progress else 6.0))


def _checkpoints(out):
    return {p.name for p in (out / "checkpoints").glob("*.npz")}


@pytest.mark.slow
def test_killed_ten_times_it_ends_the_same(tmp_path):
    whole = train(toy_data(), tmp_path / "whole", **ARGUMENTS)
    out, kills, moments, seen = tmp_path / "killed", 0, random.Random(0), set()
    process = _start(out)
    while kills < 10:
        _wait(process, out, moments, until_progress=kills % 2)
        if process.poll() is not None:  # it was done already: begin another run, there are kills left
            process.stdout.close()
            _same(Run.load(out), whole)
            out = tmp_path / f"killed{kills}"
        else:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            kills += 1
            seen |= {name.split("-")[0] for name in _checkpoints(out)}
        process = _start(out)
    assert process.wait(300) == 0
    process.stdout.close()
    _same(Run.load(out), whole)
    assert {"freeze", "finetune"} <= seen, "the kills fell into neither phase: slow it down"
    left = [p.name for p in out.rglob("*") if p.name.endswith(".part") or ".part." in p.name]
    assert not left


def _same(run, whole):
    np.testing.assert_allclose(weights(run), weights(whole), atol=2e-3)
    assert run.metrics["confusion"] == whole.metrics["confusion"]
    assert [row["epoch"] for row in run.history] == [row["epoch"] for row in whole.history]
    for row, other in zip(run.history, whole.history, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-3)
