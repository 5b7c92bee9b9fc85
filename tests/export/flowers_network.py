"""Fit a head on MobileNetV2 with ImageNet weights and export it: run as a program, with its own KERAS_HOME.

Usage: python flowers_network.py FLOWERS.npz FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np

from kerasvision._litert import LiteRTModel, convert
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export import ExportSource, to_tflite
from kerasvision.models import classifier, feature_extractor

SIZE, TRAINING, HELD_OUT = 128, 1000, 500


def main(flowers: str, folder: str) -> None:
    """Write four TFLite files, certified on 500 pictures, 100 of those pictures, and the labels."""
    with np.load(flowers) as content:
        order = np.random.default_rng(0).permutation(len(content["images"]))[: TRAINING + HELD_OUT]
        pixels, targets = content["images"][order], content["labels"][order].astype(np.int32)
        labels = tuple(str(name) for name in content["class_names_as_seen"])
    images = np.stack([Preprocessing(SIZE).read(picture) for picture in pixels])
    model = classifier("mobilenet_v2", classes=len(labels), image_size=SIZE, weights="imagenet", dropout=0.0)
    _fit_head(model, images[:TRAINING], targets[:TRAINING])
    held_out = images[TRAINING:], targets[TRAINING:]
    source = ExportSource(model, labels, Preprocessing(SIZE), images[:200], *held_out)
    for kind in (None, "float16", "dynamic", "int8"):
        print(to_tflite(source, Path(folder) / f"flowers_{kind or 'float32'}.tflite", quantize=kind))
    np.save(Path(folder) / "held_out.npy", held_out[0][:100])
    (Path(folder) / "labels.json").write_text(json.dumps(labels))


def _fit_head(model, images: np.ndarray, targets: np.ndarray) -> None:
    from sklearn.linear_model import LogisticRegression

    extract = LiteRTModel(convert(feature_extractor(model), batch=8))
    (features,) = extract(images).values()
    fitted = LogisticRegression(C=0.02, max_iter=2000).fit(features, targets)
    model.get_layer("predictions").set_weights([fitted.coef_.T, fitted.intercept_])


if __name__ == "__main__":
    main(*sys.argv[1:])
