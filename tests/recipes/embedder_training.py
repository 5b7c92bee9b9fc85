"""Small trainings of embedders for the tests of recipes."""

import keras
import numpy as np
from segmenter_training import backbone

from kerasvision import data
from kerasvision.recipes import train_face_embedder

QUICK = {"epochs": 3, "freeze_epochs": 1, "strategy": "finetune", "rehearse_export": False}
BATCHES = {"identities": 4, "per_identity": 3}


def badges(**changes):
    """Return drawn badges, split by identity."""
    values = {"count": 120, "classes": 20, "image_size": 32, "test_fraction": 0.25, "seed": 4}
    return data.shapes("embed", **({"validation_fraction": 0.25} | values | changes))


def train(images, out, **arguments):
    """Train a small embedder."""
    keras.utils.set_random_seed(1)
    values = {"backbone": backbone(), "preprocessing": "zero_one", "dimensions": 16, "false_accept_rate": 0.1}
    return train_face_embedder(images, out, **(values | QUICK | BATCHES | arguments))


def weights(run):
    """Return all weights of a run's embedder, one after the other."""
    return np.concatenate([w.ravel() for w in run.model.get_weights()])
