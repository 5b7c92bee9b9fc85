"""How long `import kerasvision` takes, and that it brings no TensorFlow.

Run: python benchmarks/import_time.py
"""

import argparse
import statistics
import subprocess
import sys

from common import print_table, verdict

TARGET_MS = 50
CODE = """
import sys, time
begun = time.perf_counter()
import {module}
seconds = time.perf_counter() - begun
heavy = [name for name in "tensorflow keras keras_cv matplotlib PIL numpy".split() if name in sys.modules]
print(seconds * 1000, *heavy)
"""


def measure(module: str, rounds: int) -> tuple[float, list[str]]:
    """Return the median in ms over fresh processes, and which heavy packages came along."""
    times, heavy = [], []
    for _ in range(rounds):
        command = [sys.executable, "-c", CODE.format(module=module)]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        times.append(float(words[0]))
        heavy = words[1:]
    return statistics.median(times), heavy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows, failed = [], False
    for module, target in (("kerasvision", TARGET_MS), ("kerasvision.data", None), ("kerasvision.cli", None)):
        milliseconds, heavy = measure(module, rounds)
        failed |= "tensorflow" in heavy or (target is not None and milliseconds > target)
        told = verdict(milliseconds, target, at_least=False) if target else ""
        rows.append((f"import {module}", f"{milliseconds:.1f} ms", told, ", ".join(heavy) or "none"))
    print_table(("", f"median of {rounds}", "target, ms", "heavy packages imported"), rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
