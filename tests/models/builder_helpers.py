"""What the tests of several families of networks share."""

from contextlib import contextmanager
from unittest.mock import patch

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

INITIALIZERS = (
    keras.initializers.GlorotUniform,
    keras.initializers.HeNormal,
    keras.initializers.RandomNormal,
)


@contextmanager
def weightless():
    """Let layers start at zero: 140 million random numbers take seconds, and a count of them needs none."""

    def zeros(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    patches = [patch.object(kind, "__call__", zeros) for kind in INITIALIZERS]
    for item in patches:
        item.start()
    try:
        yield
    finally:
        for item in patches:
            item.stop()


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight a random value, BatchNorm statistics too, so that no swap goes unnoticed.

    Kernels are scaled so that activations neither vanish nor overflow in a hundred layers. Every addition may
    double the variance, so in networks of more than a hundred modules these add little.
    """
    generator = np.random.default_rng(seed)
    scale = 0.1 if sum(isinstance(layer, keras.layers.Add) for layer in model.layers) > 100 else 1.0
    for variable in model.variables:
        if len(variable.shape) > 1:
            inputs = variable.shape[: 2 if "depthwise" in variable.path else -1]
            deviation = scale * np.sqrt(2 / np.prod(inputs))
            value = generator.standard_normal(variable.shape, np.float32) * deviation
        else:
            value = generator.standard_normal(variable.shape, np.float32) * 0.1
            if "variance" in variable.path or "gamma" in variable.path:
                value = np.abs(value) + 0.9
        variable.assign(value)
    return model


def save_legacy(model: keras.Model, path) -> None:
    """Write a file as keras.applications publishes them."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def requested_file(builder, monkeypatch, **arguments) -> tuple:
    """Return name, address and checks of the file that a builder wants to fetch; it is stopped there."""
    asked = []

    def spy(fname, origin, **options):
        asked.append((fname, origin, options))
        raise RuntimeError("stop here")

    for owner in ("keras.src.utils.file_utils", "keras.utils"):
        monkeypatch.setattr(f"{owner}.get_file", spy)
    with weightless(), pytest.raises(RuntimeError, match="stop here"):
        builder(**arguments)
    return asked[0]


def trainable(model: keras.Model) -> int:
    """Count what a training changes: what torch calls parameters."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
