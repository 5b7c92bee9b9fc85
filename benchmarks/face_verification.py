"""Verification of faces that no training saw: losses and minings against raw pixels and untrained features.

The ORL faces in KERASVISION_DATA, 30 people with ten photos each: 10 people are for the test, drawn anew for
each split, 16 to train on and 4 to choose the epoch and the threshold by. Judged are all pairs of the test
people. MobileNetV2 at 112 pixels with ImageNet weights (KERAS_HOME; without them this refuses to run). The
intervals are those of the mean over the splits by Student's t; the splits share people, so they are somewhat
too narrow.

Run: python benchmarks/face_verification.py [--splits 5] [--epochs 12] [--only pixels,features,triplet…]
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from common import print_table
from scipy import stats

FAR, SIZE, TESTED, VALIDATED = 0.01, 112, 10, 4
TRAINED = {
    "contrastive": {"loss": "contrastive"},
    "triplet, semi-hard": {"loss": "triplet", "mining": "semi_hard"},
    "triplet, batch-hard": {"loss": "triplet", "mining": "batch_hard"},
    "arcface": {"loss": "arcface"},
}


def faces(split: int):
    """Return a `VisionData` of the ORL faces, split by people."""
    from kerasvision.data import identity_arrays

    folder = Path(os.environ.get("KERASVISION_DATA", Path(__file__).parents[2] / "shared" / "data"))
    with np.load(folder / "orl_faces_30.npz") as file:
        images, labels = file["images"], file["labels"].astype(np.int32)
    order = np.random.default_rng(split).permutation(np.unique(labels)).tolist()
    kinds = ["test"] * TESTED + ["validation"] * VALIDATED + ["train"] * (len(order) - TESTED - VALIDATED)
    of = dict(zip(order, kinds, strict=True))
    names = [f"person {number}" for number in range(len(order))]
    splits = [of[label] for label in labels.tolist()]
    return identity_arrays(images, labels, names, splits=splits, image_size=SIZE, name="orl")


def figures(embeddings, labels, distance: str = "euclidean") -> tuple[float, float]:
    """Return true accepts at the stated rate of false ones, and the equal error rate."""
    from kerasvision.metrics import verify_embeddings

    found = verify_embeddings(embeddings, labels, distance=distance, false_accept_rates=(FAR,), repeats=0)
    return found.at(FAR).true_accept_rate, found.eer


def judged(name: str, split: int, epochs: int) -> tuple[float, float]:
    """Return the figures of one way to compare faces on the test people of a split."""
    from kerasvision.embedding import embedder
    from kerasvision.recipes import train_face_embedder

    data = faces(split)
    part = data.splits["test"]
    images = data.images("test", np.arange(len(part)))
    if name == "raw pixels":
        grey = images[..., 0].reshape(len(images), -1) / 255
        return figures(grey.astype(np.float32), part.labels)
    if name == "features":
        model = embedder("mobilenet_v2", dimensions=None, image_size=SIZE, weights="imagenet")
        return figures(model.predict(images, verbose=0), part.labels)
    with tempfile.TemporaryDirectory() as folder:
        run = train_face_embedder(
            data, folder, epochs=epochs, seed=split, rehearse_export=False, **TRAINED[name]
        )
        return figures(run.embed(images), part.labels, run.distance)


def interval(values: list[float]) -> str:
    """Return mean and interval in percent."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.1%}"
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return f"{mean:.1%} ({max(0.0, mean - half):.1%} to {min(1.0, mean + half):.1%})"


def main() -> None:
    """Print a row for each way to compare faces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--only", default=",".join(("raw pixels", "features", *TRAINED)).replace(", ", "; "))
    given = parser.parse_args()
    rows = []
    for name in (part.replace(";", ",") for part in given.only.split(",")):
        found = [judged(name, split, given.epochs) for split in range(given.splits)]
        accepts, errors = zip(*found, strict=True)
        each = ", ".join(f"{error:.1%}" for error in errors)
        rows.append((name, interval(list(accepts)), interval(list(errors)), each))
        print(*rows[-1], sep=" | ", flush=True)
    print_table(("", f"TAR at FAR {FAR:.0%}", "EER", "EER of each split"), rows)


if __name__ == "__main__":
    main()
