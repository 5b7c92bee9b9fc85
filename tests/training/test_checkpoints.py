import numpy as np
import pytest

from kerasvision.errors import RunError
from kerasvision.training import Checkpoints
from kerasvision.training.checkpoints import read_arrays, write_arrays


def test_arrays_and_facts_come_back(tmp_path):
    arrays = {"a/0": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.uint8([1])}
    write_arrays(tmp_path / "x.npz", arrays, {"epoch": 3, "score": [0.5, None]})
    found, facts = read_arrays(tmp_path / "x.npz")
    assert facts == {"epoch": 3, "score": [0.5, None]}
    assert found.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(found[name], arrays[name])
        assert found[name].dtype == arrays[name].dtype


def _damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "empty":
        data = b""
    elif how == "truncated":
        data = data[: len(data) // 2]
    elif how == "flipped":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["empty", "truncated", "flipped"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, how, capsys, monkeypatch):
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    checkpoints = Checkpoints(tmp_path, "p")
    for step in (1, 2, 3):
        checkpoints.save(step, {"w": np.full(1000, step, np.float32)}, {"step": step})
    assert [path.name for path in checkpoints.files()] == ["p-00000002.npz", "p-00000003.npz"]
    _damage(checkpoints.files()[-1], how)
    arrays, facts = checkpoints.newest()
    assert facts == {"step": 2}
    assert arrays["w"][0] == 2
    assert "p-00000003.npz is damaged" in capsys.readouterr().err.replace("\n", "")
    _damage(checkpoints.files()[0], how)
    assert checkpoints.newest() is None


def test_the_best_stays_as_long_as_a_checkpoint_needs_it(tmp_path):
    checkpoints = Checkpoints(tmp_path, "p")
    for step, new_best in enumerate([True, True, False, True], 1):
        if new_best:
            best = checkpoints.save_best(step, {"w": np.float32([step])}, {})
        checkpoints.save(step, {"w": np.float32([step])}, {"best": best})
    kept = sorted(path.name for path in tmp_path.glob("p-best-*"))
    assert kept == ["p-best-00002.npz", "p-best-00004.npz"]
    (tmp_path / kept[1]).write_bytes(b"damaged")
    arrays, facts = checkpoints.newest()
    assert facts["best"] == kept[0]
    assert arrays["w"][0] == 3


def test_what_a_killed_write_left_is_ignored_and_removed(tmp_path):
    (tmp_path / ".p-00000001.npz.abc.part").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path, "p")
    assert checkpoints.newest() is None
    assert not list(tmp_path.iterdir())


def test_read_arrays_names_a_damaged_file(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(RunError, match="x.npz is damaged"):
        read_arrays(path)
