"""Deleting each of the 27 modules of ResNet-56: as one tree against one lesioned network after the other.

Each network is a compiled function on the same batches. "networks" is `without(model, name)`, each run from
the input; "folded" is the same with BatchNormalization folded first; "tree" is what `delete_each` uses,
which folds too. Against "folded" the tree can gain 1.86 times at the most: it runs 377 modules, they 702.
"first" includes building and tracing, as a user's first call does; "again" is a pass over the images with
everything compiled, "cpu" its processor seconds, which other work on the machine hardly moves. Each arm
runs in a process of its own, in turn; figures are medians of the rounds. Weights are random, which costs
the same. The largest difference between outputs of the arms is shown too.

Run: python benchmarks/lesions.py [--images 512] [--batch 128] [--rounds 3]
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from common import alternate, median, print_table, run_arm, verdict

NETWORKS, FOLDED, TREE = "networks", "folded", "tree"
FASTER, CLOSE = 1.8, 1e-4


def network():
    """Return ResNet-56 with BatchNorm statistics that are not those of the start."""
    import keras

    from kerasvision.models import get_model

    keras.utils.set_random_seed(0)
    model = get_model("resnet56", classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            count = layer.gamma.shape[0]
            values = (
                rng.uniform(0.8, 1.2, count),
                rng.normal(0, 0.1, (2, count)),
                rng.uniform(0.8, 1.2, count),
            )
            layer.set_weights([values[0], *values[1], values[2]])
    return model


def networks_arm(images: np.ndarray, batch: int, fold: bool = False) -> tuple[dict, np.ndarray]:
    """Run every lesioned network from the input."""
    import tensorflow as tf

    from kerasvision.explain import residual_modules, without
    from kerasvision.models import fold_batchnorm

    model = network()
    start = time.perf_counter()
    lesioned = [without(model, module.name) for module in residual_modules(model)]
    lesioned = [fold_batchnorm(one) for one in lesioned] if fold else lesioned
    functions = [tf.function(lambda x, m=m: m(x, training=False), autograph=False) for m in lesioned]

    def once():
        starts = range(0, len(images), batch)
        parts = [tf.convert_to_tensor(images[i : i + batch]) for i in starts]
        return np.stack([np.concatenate([f(part).numpy() for part in parts]) for f in functions])

    return timed(once, start)


def tree_arm(images: np.ndarray, batch: int) -> tuple[dict, np.ndarray]:
    """Run them as one tree."""
    from kerasvision.explain import Segments

    model = network()
    start = time.perf_counter()
    segments = Segments(model)
    forms = [segments.deletion(name) for name in segments.names]

    def once():
        found = np.zeros((len(forms), len(images), 10), "float32")
        for form, place, outputs in segments.outputs(images, forms, batch_size=batch):
            found[form, place : place + len(outputs)] = outputs
        return found

    return timed(once, start)


def timed(once, start: float) -> tuple[dict, np.ndarray]:
    """Return seconds of the first pass since `start` and of a second one, and the outputs."""
    once()
    first = time.perf_counter() - start
    start, busy = time.perf_counter(), time.process_time()
    outputs = once()
    again, cpu = time.perf_counter() - start, time.process_time() - busy
    return {"first": first, "again": again, "cpu": cpu}, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        images = np.random.default_rng(1).normal(size=(arguments.images, 32, 32, 3)).astype("float32")
        seconds, outputs = ARMS[arguments.arm](images, arguments.batch)
        np.save(Path(arguments.folder) / f"{arguments.arm}.npy", outputs)
        print(json.dumps(seconds))
        return
    with tempfile.TemporaryDirectory() as folder:
        options = {"images": arguments.images, "batch": arguments.batch, "folder": folder}
        found = alternate(tuple(ARMS), lambda arm: run_arm(__file__, arm, **options), arguments.rounds)
        outputs = {arm: np.load(Path(folder) / f"{arm}.npy") for arm in ARMS}
    print(f"27 deletions in ResNet-56, {arguments.images} images, batches of {arguments.batch}\n")
    rows = [row(found, arm, figure) for arm in (NETWORKS, FOLDED) for figure in ("again", "cpu", "first")]
    print_table(("", "alternative", "tree", "ratio", "of the rounds", ""), rows)
    expected = outputs[NETWORKS]
    apart = max(float(np.abs(one - expected).max() / np.abs(expected).max()) for one in outputs.values())
    print(f"largest relative difference of outputs {apart:.1e}: {verdict(apart, CLOSE, at_least=False)}")


def row(found: dict, arm: str, figure: str) -> tuple:
    """Return a line of the table: one figure of an arm against that of the tree."""
    ratios = [a[figure] / b[figure] for a, b in zip(found[arm], found[TREE], strict=True)]
    ratio = float(np.median(ratios))
    seconds = (f"{median(found[one], figure):.1f} s" for one in (arm, TREE))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return (f"{arm}, {figure}", *seconds, f"{ratio:.2f} x", spread, verdict(ratio, FASTER))


ARMS = {NETWORKS: networks_arm, FOLDED: partial(networks_arm, fold=True), TREE: tree_arm}

if __name__ == "__main__":
    main()
