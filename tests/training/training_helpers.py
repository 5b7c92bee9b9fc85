"""A tiny model and tiny data for the tests of training."""

from types import SimpleNamespace

import keras
import numpy as np

from kerasvision.training import Group, Plan


class TinyData:
    """Numbers as images, with the few members of a `VisionData` that training needs."""

    class_names = ("dark", "grey", "light")

    def __init__(self, train=50, validation=21, side=8):
        rng = np.random.default_rng(0)
        self.arrays = {"train": self._draw(rng, train, side)}
        if validation:
            self.arrays["validation"] = self._draw(rng, validation, side)
        self.splits = {name: SimpleNamespace(labels=labels) for name, (_, labels) in self.arrays.items()}
        self.interrupt_at = None
        self.batches = 0

    @staticmethod
    def _draw(rng, count, side):
        labels = rng.integers(0, 3, count).astype(np.int32)
        images = rng.integers(0, 120, (count, side, side, 3)) + labels[:, None, None, None] * 60
        return images.clip(0, 255).astype(np.uint8), labels

    def iterate(self, split, *, batch_size=None, order=None, start=0, drop_last=False):
        images, labels = self.arrays[split]
        for at in range(0, len(order), batch_size):
            self.batches += 1
            if self.batches == self.interrupt_at:
                raise KeyboardInterrupt
            chosen = order[at : at + batch_size]
            yield images[chosen], labels[chosen]


def tiny_model(seed=0, dropout=0.2):
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 3, strides=2, name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.8, name="bn")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    x = keras.layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(image, x)


def plan(**changes):
    values = {"phase": "test", "epochs": 3, "batch_size": 16, "learning_rate": 0.01, "seed": 1}
    return Plan(**(values | changes))


def groups(model, rate=0.01):
    return [Group(keras.optimizers.AdamW(rate), model.trainable_variables)]


def weights(model):
    return [np.array(w) for w in model.get_weights()]
