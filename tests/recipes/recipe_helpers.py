"""Small trainings for the tests of recipes."""

import numpy as np

from kerasvision.data import from_arrays
from kerasvision.recipes import train_classifier

CLASSES = ("dark", "grey", "light")


def toy_data(count=72, side=32, seed=0, **options):
    """Three shades with noise: learnt in a few steps, not perfectly."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.normal(60 + 60 * labels[:, None, None, None], 60, (count, side, side, 3))
    shift = rng.normal(0, 30, (count, 1, 1, 1))
    return from_arrays((images + shift).clip(0, 255).astype(np.uint8), labels, CLASSES, **options)


def train(data, out, **arguments):
    return train_classifier(
        data,
        out,
        **{"model": "resnet_small", "weights": None, "strategy": "freeze", "rehearse_export": False}
        | arguments,
    )


def weights(run):
    return np.concatenate([w.ravel() for w in run.model.get_weights()])
