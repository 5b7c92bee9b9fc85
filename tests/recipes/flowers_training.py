"""Train on real flowers with real ImageNet weights: run as a program, with its own KERAS_HOME.

Usage: python flowers_training.py FLOWERS.npz FOLDER STRATEGY EPOCHS SPLIT

SPLIT is `balanced` (200 photos of each class to train, 100 to judge) or `random` (1,000 of all 3,000 photos
to train, all others to judge).
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import kerasvision as kv

SIZE = 128  # pixels
TRAINING, HELD_OUT = 200, 100  # photos of each class in the balanced split
TRAINING_AT_RANDOM = 1000


def main(flowers: str, folder: str, strategy: str, epochs: str, split: str) -> None:
    """Write the photos, train, export int8, and print what came out as JSON."""
    photos = write_photos(Path(flowers), Path(folder) / "photos", split)
    data = kv.data.image_folder(photos, image_size=SIZE, cache=False)
    run = kv.recipes.train_classifier(
        data, Path(folder) / "run", strategy=strategy, epochs=int(epochs) or None, model="mobilenet_v2"
    )
    facts = {"accuracy": run.metrics["accuracy"], "seconds": run.record["seconds"]}
    facts["frozen"] = max(row["val_accuracy"] for row in run.history if row["phase"] == "freeze")
    every = np.arange(len(data.splits["validation"].labels))
    file = kv.export.to_tflite(
        run,
        Path(folder) / "model.tflite",
        quantize="int8",
        images=data.images("validation", every),
        targets=data.splits["validation"].labels,
    )
    facts["int8"] = file.certificate.to_dict()
    print(json.dumps(facts))


def write_photos(flowers: Path, folder: Path, split: str) -> Path:
    """Write photos as train/ and others as val/, in class folders."""
    with np.load(flowers) as content:
        images, labels, names = (content[k] for k in ("images", "labels", "class_names_as_seen"))
    for part, indices in zip(("train", "val"), chosen(labels, split), strict=True):
        for index in indices:
            file = folder / part / str(names[labels[index]]) / f"{index:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[index]).save(file)
    return folder


def chosen(labels: np.ndarray, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to train on and those to judge with."""
    random = np.random.default_rng(0)
    if split == "random":
        order = random.permutation(len(labels))
        return order[:TRAINING_AT_RANDOM], order[TRAINING_AT_RANDOM:]
    orders = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    end = TRAINING + HELD_OUT
    return (
        np.concatenate([order[:TRAINING] for order in orders]),
        np.concatenate([order[TRAINING:end] for order in orders]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
