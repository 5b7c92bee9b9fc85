"""Memory grows with the pairs of a batch and not with its triplets, of which 1,024 images can have 10⁹."""

import json
import subprocess
import sys

import pytest

CODE = """
import json, re, sys
import tensorflow as tf
from pathlib import Path
from kerasvision import embedding as kv

def resident(field):
    return int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def one(name, size, identities):
    labels = tf.range(size) % identities
    x = tf.random.stateless_normal((size, 128), (0, 0))
    loss = kv.make_loss(*name) if len(name) == 1 else kv.make_loss(name[0], mining=name[1])
    signature = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 128])]
    @tf.function(autograph=False, input_signature=signature)
    def step(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_mean(loss(labels, x))
        return total, tape.gradient(total, x), loss.watch(labels, x)
    step(labels[:64], x[:64])
    Path("/proc/self/clear_refs").write_text("5")
    start = resident("VmRSS")
    step(labels, x)
    return resident("VmHWM") - start

names = [("triplet", m) for m in ("all", "semi_hard", "batch_hard", "random", "distance_weighted")]
names += [("contrastive",), ("multi_similarity",), ("circle",)]
growth = {str(name): one(name, 1024, 256) for name in names}
# 64 images of each identity: here rows are sorted instead
growth |= {f"{name} sorted": one(name, 1024, 16) for name in names[:2]}
print(json.dumps(growth))
"""


@pytest.mark.slow
def test_a_step_over_1024_images_needs_less_than_100_megabytes():
    """As float32 a matrix of them is 4 MB, and the cube of all triplets 4 GB."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    growth = json.loads(done.stdout.splitlines()[-1])
    assert len(growth) == 10
    assert max(growth.values()) < 100, growth
