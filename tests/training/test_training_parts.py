import subprocess
import sys

import numpy as np
import pytest

from kerasvision.errors import KerasvisionError, RunError
from kerasvision.training import choose_precision, only_process, warmup_cosine
from kerasvision.training.batches import Share, epoch_order, padded_batches


@pytest.mark.parametrize(
    ("step", "wanted"),
    [(0, 0.25), (3, 1.0), (4, 1.0), (8, 0.505), (12, 0.01), (99, 0.01)],
)
def test_warmup_cosine(step, wanted):
    assert warmup_cosine(step, peak=1.0, steps=12, warmup=4) == pytest.approx(wanted)


def test_batches_hold_each_image_once_and_are_filled_up_with_the_last_ones():
    order = epoch_order(21, seed=3, epoch=2)
    indices, weights = padded_batches(order, Share(8, 0, 8))
    assert indices.shape == weights.shape == (3, 8)
    assert sorted(indices[weights == 1]) == list(range(21))
    assert set(indices[2]) == set(order[16:])
    assert weights[2].tolist() == [1] * 5 + [0] * 3


def test_shares_of_two_processes_make_up_the_batch():
    order = epoch_order(21, seed=3, epoch=2)
    whole = padded_batches(order, Share(8, 0, 8))
    parts = [padded_batches(order, Share(8, first, 4)) for first in (0, 4)]
    for k in range(2):
        np.testing.assert_array_equal(np.concatenate([p[k] for p in parts], 1), whole[k])


def test_fewer_images_than_a_batch():
    indices, weights = padded_batches(np.array([2, 0, 1]), Share(8, 0, 8))
    assert indices.tolist() == [[2, 0, 1, 2, 0, 1, 2, 0]]
    assert weights.sum() == 3


def test_order_is_a_function_of_seed_and_epoch():
    assert epoch_order(50, seed=1, epoch=1).tolist() == epoch_order(50, seed=1, epoch=1).tolist()
    assert epoch_order(50, seed=1, epoch=1).tolist() != epoch_order(50, seed=1, epoch=2).tolist()


def test_precision_on_a_cpu_is_float32_and_says_why():
    precision = choose_precision("auto")
    assert precision.policy == "float32"
    assert "CPU" in precision.why
    assert not precision.scales_loss


@pytest.mark.parametrize(
    ("asked", "policy", "scales"),
    [
        (False, "float32", False),
        ("mixed_float16", "mixed_float16", True),
        ("mixed_bfloat16", "mixed_bfloat16", False),
    ],
)
def test_precision_as_asked_for(asked, policy, scales):
    import keras

    precision = choose_precision(asked)
    assert (precision.policy, precision.scales_loss) == (policy, scales)
    with precision.active():
        assert keras.config.dtype_policy().name == policy
    assert keras.config.dtype_policy().name == "float32"


def test_precision_refuses_others():
    with pytest.raises(KerasvisionError, match="`mixed_precision` must be .*Received: 'half'"):
        choose_precision("half")


def test_one_process_at_a_time(tmp_path):
    code = (
        "import sys; from kerasvision.training.locking import only_process\n"
        f"with only_process({str(tmp_path)!r}): print('in', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b"in"
        with pytest.raises(RunError, match="Another process is training in"), only_process(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        other.stdout.close()
    with only_process(tmp_path):  # the system dropped the lock of the killed process
        pass
