"""Train on real flowers with real ImageNet weights: run as a program, with its own KERAS_HOME.

Usage: python flowers_training.py FLOWERS.npz FOLDER STRATEGY EPOCHS
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import kerasvision as kv

SIZE, TRAINING, HELD_OUT = 128, 200, 100  # pixels, photos of each class


def main(flowers: str, folder: str, strategy: str, epochs: str) -> None:
    """Write the photos, train, export int8, and print what came out as JSON."""
    photos = write_photos(Path(flowers), Path(folder) / "photos")
    data = kv.data.image_folder(photos, image_size=SIZE, cache=False)
    run = kv.recipes.train_classifier(
        data, Path(folder) / "run", strategy=strategy, epochs=int(epochs) or None, model="mobilenet_v2"
    )
    facts = {"accuracy": run.metrics["accuracy"], "seconds": run.record["seconds"]}
    facts["frozen"] = max(row["val_accuracy"] for row in run.history if row["phase"] == "freeze")
    (file,) = run.export(Path(folder) / "phone", formats=("tflite",), quantize="int8").files
    facts["int8"] = file.certificate.to_dict()
    print(json.dumps(facts))


def write_photos(flowers: Path, folder: Path) -> Path:
    """Write 200 photos of each class as train/ and 100 others as val/, in class folders."""
    with np.load(flowers) as content:
        images, labels, names = (content[k] for k in ("images", "labels", "class_names_as_seen"))
    random = np.random.default_rng(0)
    for label, name in enumerate(names):
        order = random.permutation(np.flatnonzero(labels == label))[: TRAINING + HELD_OUT]
        for place, index in enumerate(order):
            part = "train" if place < TRAINING else "val"
            file = folder / part / str(name) / f"{index:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[index]).save(file)
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:])
