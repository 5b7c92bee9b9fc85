"""`kill -9` at random moments of a run of two phases, then the same call: the result is the same."""

import os
import random
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from kerasvision import recipes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ARGUMENTS = {"epochs": 4, "freeze_epochs": 2, "ema": 0.9}
# Of each kind: the module that trains a small one, the function that makes its data, further arguments.
KINDS = {
    "detector": ("detector_training", "scenes", {}),
    "segmenter": ("segmenter_training", "scenes", {}),
    "embedder": ("embedder_training", "badges", {"mining": "distance_weighted"}),
}
CODE = """
import json, sys, time
from importlib import import_module
sys.path.insert(0, sys.argv[1])
from kerasvision.data import VisionData
from kerasvision.training import Plan
module = import_module(sys.argv[3])
Plan.checkpoint_seconds = 0.2
read = VisionData.iterate
def slowly(self, *args, **options):  # so that moments fall into all phases
    for batch in read(self, *args, **options):
        time.sleep(0.2)
        yield batch
VisionData.iterate = slowly
print("ready", flush=True)
module.train(getattr(module, sys.argv[4])(), sys.argv[2], **ARGUMENTS)
"""


def _start(out, module: str, drawn: str, arguments: dict):
    environment = os.environ | {"KERASVISION_QUIET": "1", "PYTHONPATH": str(ROOT)}
    code = CODE.replace("ARGUMENTS", repr(arguments))
    command = [sys.executable, "-c", code, str(HERE), str(out), module, drawn]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    return process


def _checkpoints(out):
    return {path.name for path in (out / "checkpoints").glob("*.npz")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_five_times_it_ends_the_same(kind, tmp_path):
    name, drawn, more = KINDS[kind]
    module, arguments = import_module(name), ARGUMENTS | more
    whole = module.train(getattr(module, drawn)(), tmp_path / "whole", **arguments)
    out, moments, seen, kills = tmp_path / "killed", random.Random(0), set(), 0
    process = _start(out, name, drawn, arguments)
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
        seen |= {file.split("-")[0] for file in _checkpoints(out)}
        kills += 1
        process = _start(out, name, drawn, arguments)
    assert process.wait(300) == 0
    process.stdout.close()
    assert kills >= 3 and {"freeze", "finetune"} <= seen, "the kills fell into neither phase: slow it down"
    run = getattr(recipes, f"{kind.title()}Run").load(out)
    np.testing.assert_allclose(module.weights(run), module.weights(whole), atol=2e-3)
    for row, other in zip(run.history, whole.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    if kind == "embedder":
        assert run.threshold == pytest.approx(whole.threshold, abs=1e-3)
    assert not [path.name for path in out.rglob("*") if ".part" in path.name]
