"""How fast a file answers, how long it takes to open, and the memory it needs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision._litert import usable_cpus
from kerasvision.errors import ExportError
from kerasvision.export.certificate import size_of
from kerasvision.export.runners import format_of, open_file

_TIMEOUT_S = 600


@dataclass(frozen=True)
class Timing:
    """One file at one number of threads, one image a call.

    Attributes:
        threads: CPU threads.
        p50: milliseconds that half of the calls stayed below.
        p90: likewise nine in ten.
        p99: likewise 99 in 100.
        fastest: milliseconds of the fastest call.
        load_ms: milliseconds to open the file and answer once.
        memory_mb: how much the file added to the peak memory of its process, in 1e6 bytes; `None` where the
            system does not say.
        runs: calls that were timed.
    """

    threads: int
    p50: float
    p90: float
    p99: float
    fastest: float
    load_ms: float
    memory_mb: float | None
    runs: int


@dataclass(frozen=True)
class Latency:
    """What `benchmark` measured; `print` shows a table.

    Attributes:
        file: the file.
        format: its format.
        size: bytes.
        timings: one for each number of threads.
    """

    file: Path
    format: str
    size: int
    timings: tuple[Timing, ...]

    def __str__(self) -> str:
        head = f"{self.file} ({self.format}, {self.size / 1e6:.2f} MB), milliseconds for one image"
        names = ("threads", "p50", "p90", "p99", "fastest", "load", "memory MB")
        rows = [(str(t.threads), *map("{:.2f}".format, _figures(t)), _memory_text(t)) for t in self.timings]
        lines = ["  ".join(f"{cell:>9}" for cell in row) for row in (names, *rows)]
        return "\n".join([head, *lines])


def benchmark(
    file: str | os.PathLike, *, threads: Sequence[int] | None = None, runs: int = 50, warmup: int = 5
) -> Latency:
    """Measure a file in fresh processes, one after the other, one image a call.

    A fresh process is what gives the memory figure a meaning; for TFLite it imports only LiteRT and numpy.

    Args:
        file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel; for the last two, loading
            and memory include TensorFlow itself.
        threads: numbers of threads; 1 and all CPUs of this process when `None`.
        runs: calls to time.
        warmup: calls before those.

    Raises:
        ExportError: the file cannot be run.
    """
    if runs < 1 or warmup < 0:
        raise ExportError(f"`runs` must be at least 1 and `warmup` at least 0. Received: {runs}, {warmup}.")
    kind = format_of(file)
    counts = tuple(threads) if threads is not None else tuple(sorted({1, usable_cpus()}))
    if not counts or any(count < 1 for count in counts):
        raise ExportError(f"`threads` must be numbers of at least 1. Received: {threads!r}.")
    timings = tuple(_in_fresh_process(Path(file), count, runs, warmup) for count in counts)
    return Latency(Path(file), kind, size_of(Path(file)), timings)


def measure(file: str, threads: int, runs: int, warmup: int) -> Timing:
    """Measure in this process; `benchmark` calls it in a fresh one."""
    before, started = _memory("VmRSS"), time.perf_counter()
    if format_of(file) in ("saved_model", "keras"):
        _limit_tensorflow(threads)
    runner = open_file(file, threads=threads)
    image = np.random.default_rng(0).integers(0, 256, (1, *runner.image_size, 3), dtype=np.uint8)
    runner(image)
    load_ms = (time.perf_counter() - started) * 1000
    for _ in range(warmup):
        runner(image)
    times = [_milliseconds(runner, image) for _ in range(runs)]
    peak = _memory("VmHWM")
    memory = None if before is None or peak is None else (peak - before) / 1e6
    middle, high, highest = (float(value) for value in np.percentile(times, [50, 90, 99]))
    return Timing(threads, middle, high, highest, min(times), load_ms, memory, runs)


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _figures(timing: Timing) -> tuple[float, ...]:
    return timing.p50, timing.p90, timing.p99, timing.fastest, timing.load_ms


def _memory_text(timing: Timing) -> str:
    return "?" if timing.memory_mb is None else f"{timing.memory_mb:.1f}"


def _milliseconds(runner: Callable, image: np.ndarray) -> float:
    started = time.perf_counter()
    runner(image)
    return (time.perf_counter() - started) * 1000


def _in_fresh_process(file: Path, threads: int, runs: int, warmup: int) -> Timing:
    arguments = [str(file.resolve()), threads, runs, warmup]
    program = (
        "import json, sys, dataclasses\n"
        "from kerasvision.errors import KerasvisionError\n"
        "from kerasvision.export.latency import measure\n"
        "try:\n"
        "    found = dataclasses.asdict(measure(*json.loads(sys.argv[1])))\n"
        "except KerasvisionError as error:\n"
        "    found = {'error': str(error)}\n"
        "print('\\n' + json.dumps(found))\n"
    )
    # The package may be found through a path that only this process knows.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        raise ExportError(f"{file} ends its process: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if "error" in found:
        raise ExportError(found["error"])
    return Timing(**found)


def _memory(field: str) -> int | None:
    """Return a figure of /proc/self/status in bytes; ru_maxrss would count the parent before exec."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)
