"""`kill -9` at random moments of a run of an embedder, then the same call: the result is the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from embedder_training import badges, train, weights

from kerasvision.recipes import EmbedderRun

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ARGUMENTS = {"epochs": 4, "freeze_epochs": 2, "ema": 0.9, "mining": "distance_weighted"}
CODE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from embedder_training import badges, train
from kerasvision.data import VisionData
from kerasvision.training import Plan
Plan.checkpoint_seconds = 0.2
read = VisionData.iterate
def slowly(self, *args, **options):  # so that moments fall into all phases
    for batch in read(self, *args, **options):
        time.sleep(0.2)
        yield batch
VisionData.iterate = slowly
print("ready", flush=True)
train(badges(), sys.argv[2], **{arguments!r})
""".replace("{arguments!r}", repr(ARGUMENTS))


def _start(out):
    environment = os.environ | {"KERASVISION_QUIET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE, str(HERE), str(out)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    return process


def _checkpoints(out):
    return {path.name for path in (out / "checkpoints").glob("*.npz")}


@pytest.mark.slow
def test_killed_five_times_it_ends_the_same(tmp_path):
    whole = train(badges(), tmp_path / "whole", **ARGUMENTS)
    out, moments, seen, kills = tmp_path / "killed", random.Random(0), set(), 0
    process = _start(out)
    while kills < 5:
        before, deadline = _checkpoints(out), time.monotonic() + 120
        while _checkpoints(out) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 0.7))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        seen |= {name.split("-")[0] for name in _checkpoints(out)}
        kills += 1
        process = _start(out)
    assert process.wait(300) == 0
    process.stdout.close()
    assert kills >= 3 and {"freeze", "finetune"} <= seen, "the kills fell into neither phase: slow it down"
    run = EmbedderRun.load(out)
    np.testing.assert_allclose(weights(run), weights(whole), atol=2e-3)
    for row, other in zip(run.history, whole.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    assert run.threshold == pytest.approx(whole.threshold, abs=1e-3)
    assert not [path.name for path in out.rglob("*") if ".part" in path.name]
