"""The model of a run as converted for predicting: kept in its folder, and no TensorFlow needed after it.

Kept are the backbone as a TFLite file and the last layer as an array: that is what a frozen training has
converted anyhow, and a product of a matrix needs no engine.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from kerasvision import _litert
from kerasvision.errors import KerasvisionError
from kerasvision.files import make_folder, sha256, write_atomically
from kerasvision.recipes import run_folder
from kerasvision.training.engines import LITERT_BATCH, open_litert
from kerasvision.training.linear import softmax

_BACKBONE, _HEAD = "backbone.tflite", "head.npz"


def converted_folder(run: Path) -> Path:
    """Return where the converted model of a run is kept: a name that follows the content of `model.keras`."""
    return run / run_folder.CACHE / f"predict-{sha256(run / run_folder.MODEL)[:16]}"


def convert_and_keep(run: Path, model, backbone: bytes | None = None):
    """Convert the model of a run and keep the files, where its folder can be written to.

    Args:
        run: the run folder.
        model: the trained classifier.
        backbone: its feature extractor as converted already, if it was.

    Returns:
        A function from images (n, h, w, 3) to probabilities (n, classes).
    """
    from kerasvision.models import feature_extractor

    if backbone is None:
        backbone = _litert.convert(feature_extractor(model), batch=LITERT_BATCH)
    layer, folder = model.get_layer("predictions"), converted_folder(run)
    kernel, bias = (np.asarray(weight) for weight in layer.get_weights())
    with suppress(OSError, KerasvisionError):  # a run in a folder that cannot be written to predicts too
        make_folder(folder)
        with write_atomically(folder / _HEAD) as stream:
            np.savez(stream, kernel=kernel, bias=bias)
        with write_atomically(folder / _BACKBONE) as stream:  # the last one: it tells that both are there
            stream.write(backbone)
    return _classify(backbone, kernel, bias)


def is_kept(folder: Path) -> bool:
    """Tell whether a converted model lies in the folder that `converted_folder` gives."""
    return (folder / _BACKBONE).is_file()


def open_kept(folder: Path):
    """Return the kept model as a function from images (n, h, w, 3) to probabilities (n, classes)."""
    with np.load(folder / _HEAD, allow_pickle=False) as head:
        return _classify((folder / _BACKBONE).read_bytes(), head["kernel"], head["bias"])


def _classify(backbone: bytes, kernel: np.ndarray, bias: np.ndarray):
    features = open_litert(backbone)
    return lambda images: softmax(features(images) @ kernel + bias)
