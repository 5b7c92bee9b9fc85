"""What the benchmarks share: arms in processes of their own, in turn; medians; tables; made-up photos."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


class Usage:
    """Wall time, CPU time and memory between entering and leaving a `with` block.

    Memory is the resident set of the process itself, in MB; `peak` is its highest point inside the block,
    and `growth` that less what was resident at the start. (`ru_maxrss` is not used: it is handed down from
    the parent process through `exec`.)
    """

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        self.start = resident("VmRSS")
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu
        self.peak = resident("VmHWM")
        self.growth = self.peak - self.start

    def to_dict(self) -> dict[str, float]:
        """Return all figures: seconds and MB."""
        return {name: getattr(self, name) for name in ("wall", "cpu", "start", "peak", "growth")}


def cpu_seconds() -> float:
    """Return user and system seconds of this process and of its children that have ended."""
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in use)


def resident(field: str) -> float:
    """Return `VmRSS` or `VmHWM` of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} in /proc/self/status: this benchmark needs Linux")


def run_arm(script: str, arm: str, **options) -> dict:
    """Run `script --arm ARM --option value …` in a process of its own; return the JSON of its last line."""
    command = [sys.executable, script, "--arm", arm]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    environment = os.environ | {"KERASVISION_QUIET": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def alternate(arms: Iterable[str], run: Callable[[str], dict], rounds: int) -> dict[str, list[dict]]:
    """Run the arms in turn (A B A B …), so that a slow spell of the machine meets all of them."""
    arms = list(arms)
    results: dict[str, list[dict]] = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in arms:
            results[arm].append(run(arm))
            print(f"  round {number + 1}/{rounds}: {arm}", file=sys.stderr, flush=True)
    return results


def median(results: Sequence[Mapping], key: str) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(result[key] for result in results)


def print_table(header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Print rows under a header, in columns."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def verdict(value: float, target: float, at_least: bool = True) -> str:
    """Say whether a figure meets its target."""
    met = value >= target if at_least else value <= target
    return f"{'met' if met else 'NOT MET'} ({'at least' if at_least else 'at most'} {target:g})"


def make_photos(
    folder: Path, count: int, *, size: tuple[int, int], noise: float, quality: int = 92, classes: int = 2
) -> Path:
    """Write made-up JPEG photos into class folders; what is there already is kept.

    Args:
        folder: gets `class_0/0000.jpg`, …
        count: number of photos.
        size: (height, width) in pixels.
        noise: standard deviation of the grain in grey levels; it decides the size of the files.
        quality: of the JPEG files.
        classes: number of class folders.
    """
    height, width = size
    rng = np.random.default_rng(0)
    grain = rng.normal(0, noise, (height, width, 3)).astype(np.float32)
    for i in range(count):
        file = folder / f"class_{i % classes}" / f"{i:05d}.jpg"
        if file.exists():
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(20, 236, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        pixels = smooth + np.roll(grain, 997 * i, (0, 1))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, quality=quality)
    return folder


def keras_cv_retinanet(size: int, classes: int):
    """Return keras-cv's RetinaNet on its ResNet18, with random weights, for square images."""
    import keras_cv

    backbone = keras_cv.models.ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[2, 2, 2, 2],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=True,
        block_type="basic_block",
        input_shape=(size, size, 3),
    )
    return keras_cv.models.RetinaNet(backbone, classes, "xyxy")
