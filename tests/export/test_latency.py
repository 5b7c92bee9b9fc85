"""Timings in fresh processes."""

import os
import subprocess
import sys

import pytest

from kerasvision.errors import ExportError
from kerasvision.export import benchmark


def test_a_tflite_file_is_measured_at_each_number_of_threads(exported):
    file = exported[None]
    found = benchmark(file.path, threads=(1, 2), runs=20, warmup=2)
    assert (found.format, found.size) == ("tflite", file.size)
    assert [timing.threads for timing in found.timings] == [1, 2]
    for timing in found.timings:
        assert 0 < timing.fastest <= timing.p50 <= timing.p90 <= timing.p99
        assert timing.load_ms > timing.fastest
        assert timing.runs == 20
        # LiteRT itself: about 20 MB. TensorFlow would be 600.
        assert 0 < timing.memory_mb < 100
    lines = str(found).splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:4] == ["threads", "p50", "p90", "p99"]


def test_measuring_tflite_imports_no_tensorflow(exported):
    program = (
        "import sys; from kerasvision.export.latency import measure; "
        f"measure({str(exported['int8'].path)!r}, 1, 1, 0); "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath}
    assert subprocess.run([sys.executable, "-c", program], env=environment, timeout=120).returncode == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"runs": 0}, "`runs` must be at least 1"),
        ({"warmup": -1}, "`warmup` at least 0"),
        ({"threads": ()}, "`threads` must be"),
        ({"threads": (0,)}, "`threads` must be"),
    ],
)
def test_wrong_arguments_are_told(exported, options, message):
    with pytest.raises(ExportError, match=message):
        benchmark(exported[None].path, **options)


def test_a_damaged_file_is_named(tmp_path):
    file = tmp_path / "broken.tflite"
    file.write_bytes(b"nothing")
    with pytest.raises(ExportError, match="broken.tflite is not a TFLite file"):
        benchmark(file, threads=[1])
