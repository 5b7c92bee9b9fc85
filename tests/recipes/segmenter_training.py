"""Small trainings of segmenters for the tests of recipes."""

from dataclasses import replace

import keras
import numpy as np
from keras import layers

from kerasvision import data
from kerasvision.recipes import train_segmenter

QUICK = {"epochs": 3, "freeze_epochs": 1, "strategy": "finetune", "rehearse_export": False}
DECODER = {"filters": (16, 16, 16, 8, 8)}


def backbone(normalised=True) -> keras.Model:
    """Return convolutions at strides 2 to 32, for pixels in [0, 1]."""
    x = image = layers.Input((None, None, 3))
    for index, filters in enumerate((8, 16, 24, 32, 32)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"c{index}")(x)
        x = layers.BatchNormalization(name=f"b{index}")(x) if normalised else x
        x = layers.ReLU(name=f"r{index}")(x)
    return keras.Model(image, x, name="small")


def scenes(**changes):
    """Return drawn scenes with label maps."""
    values = {"count": 40, "classes": 2, "image_size": 64, "batch_size": 8, "test_fraction": 0.2, "seed": 4}
    return data.shapes("segment", **(values | changes))


def by_heart(count=8, times=1, **changes):
    """Return scenes that are seen `times` an epoch, and are those for validation too."""
    drawn = scenes(count=count, validation_fraction=0.0, test_fraction=0.0, **changes)
    part = drawn.splits["train"]
    order = list(range(count)) * times
    often = data.Samples(
        [part.sources[i] for i in order],
        part.labels[order],
        [f"{place}-{part.names[i]}" for place, i in enumerate(order)],
        masks=part.masks.take(order),
    )
    return replace(drawn, splits={"train": often, "validation": part})


def train(images, out, **arguments):
    """Train a small U-Net."""
    keras.utils.set_random_seed(1)
    values = {"model": "unet", "backbone": backbone(), "preprocessing": "zero_one", "options": DECODER}
    return train_segmenter(images, out, **(values | QUICK | arguments))


def weights(run):
    """Return all weights of a run's segmenter, one after the other."""
    return np.concatenate([w.ravel() for w in run.model.get_weights()])
