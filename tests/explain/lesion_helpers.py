"""What the tests of lesions share: networks with random weights that matter, and modules silenced."""

import keras
import numpy as np
from keras import layers

from kerasvision.models import get_model, graph


def randomized(model, seed=0):
    """Give BatchNormalization and biases values that are not those of the start."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                positive = weight.path.rsplit("/", 1)[-1] in ("gamma", "moving_variance")
                weight.assign(
                    rng.uniform(1.0, 2.0, weight.shape) if positive else rng.normal(0, 0.3, weight.shape)
                )
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    return model


def network(name, side=32, **options):
    keras.utils.set_random_seed(0)
    options = {"input_shape": (side, side, 3), "classes": 5, "classifier_activation": None} | options
    return randomized(get_model(name, **options))


def pictures(side=32, count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, side, side, 3)).astype("float32")


def silenced(model, module):
    """Return a copy of a network in which the branch of a module adds 0: the last weights of it are 0."""
    copy = graph.copy(model)
    last = [copy.get_layer(name) for name in module.layers if copy.get_layer(name).weights][-1]
    for weight in last.weights:
        if "moving" not in weight.path:
            weight.assign(np.zeros(weight.shape))
    return copy


def close(answer, expected, tolerance=1e-5):
    answer, expected = np.asarray(answer), np.asarray(expected)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))
