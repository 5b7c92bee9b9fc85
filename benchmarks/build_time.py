"""Building a network: our ResNets against those of keras.applications, CPU time, in turn.

Run: python benchmarks/build_time.py [--rounds 7]
"""

import argparse
import time

import keras
import numpy as np
from common import print_table, verdict

from kerasvision.models import get_model

NETWORKS = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "resnet152": keras.applications.ResNet152,
}
AT_MOST = 1.0


def seconds(build) -> float:
    start = time.process_time()
    build()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rows = []
    for name, theirs in NETWORKS.items():
        pairs = [
            (seconds(lambda n=name: get_model(n, weights=None)), seconds(lambda t=theirs: t(weights=None)))
            for _ in range(rounds)
        ]
        ours, keras_own = np.median(pairs, axis=0)
        ratio = ours / keras_own
        rows.append(
            (
                name,
                f"{ours:.2f} s",
                f"{keras_own:.2f} s",
                f"{ratio:.2f} x",
                verdict(ratio, AT_MOST, at_least=False),
            )
        )
    print_table(("network", "kerasvision", "keras.applications", "ratio", ""), rows)


if __name__ == "__main__":
    main()
