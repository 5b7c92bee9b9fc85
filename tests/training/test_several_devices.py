"""The same training on one and on two (logical) devices, and in two processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
COMMON = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, tensorflow as tf, keras
from training_helpers import TinyData, plan, tiny_model
from kerasvision.training import Checkpoints, Group, fit
def run(strategy, folder, dropout=0.0, norm=False):
    from contextlib import nullcontext
    with strategy.scope() if strategy else nullcontext():
        model = tiny_model(dropout=dropout)
        model.get_layer("bn").trainable = norm  # statistics are those of a device's share of the batch
        groups = [Group(keras.optimizers.AdamW(0.01), model.trainable_variables)]
    settings = plan(epochs=2, clip_norm=0.5, ema=0.9, label_smoothing=0.1, loss_scaling=True)
    checkpoints = Checkpoints(folder, "test") if folder else None
    fitted = fit(model, TinyData(), settings, groups, strategy=strategy, checkpoints=checkpoints)
    flat = np.concatenate([np.asarray(w).ravel() for w in model.get_weights()])
    rows = [[r["loss"], r["accuracy"], r["val_loss"], r["val_accuracy"]] for r in fitted.history]
    return flat.tolist(), rows
"""
MIRRORED = (
    COMMON
    + """
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
results = [run(None, None), run(strategy, sys.argv[2]), run(strategy, sys.argv[2])]
print(json.dumps(results + [run(strategy, None, dropout=0.5, norm=True)]))
"""
)
WORKER = (
    COMMON
    + """
print(json.dumps(run(tf.distribute.MultiWorkerMirroredStrategy(), None)))
"""
)
SINGLE = (
    COMMON
    + """
print(json.dumps(run(None, None)))
"""
)


def _start(code, *arguments, **environment):
    settings = os.environ | {"KERASVISION_QUIET": "1", "CUDA_VISIBLE_DEVICES": "-1"} | environment
    command = [sys.executable, "-c", code, str(HERE), *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=settings,
        cwd=HERE.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _result(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error[-3000:]
    return json.loads(out.strip().splitlines()[-1])


def _compare(one, other):
    np.testing.assert_allclose(np.array(other[0]), np.array(one[0]), atol=2e-5)
    np.testing.assert_allclose(np.array(other[1]), np.array(one[1]), atol=1e-4)


@pytest.mark.slow
def test_two_devices_give_what_one_gives(tmp_path):
    single, mirrored, resumed, random = _result(_start(MIRRORED, tmp_path))
    _compare(single, mirrored)
    assert resumed == mirrored
    assert np.isfinite(random[0]).all()
    assert random[1][-1][0] < random[1][0][0]


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_two_processes_give_what_one_gives():
    workers = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    processes = [
        _start(
            WORKER,
            TF_CONFIG=json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}),
        )
        for i in range(2)
    ]
    try:
        first, second = (_result(process) for process in processes)
    finally:
        for process in processes:
            process.kill()
    single = _result(_start(SINGLE))
    _compare(single, first)
    assert first == second
