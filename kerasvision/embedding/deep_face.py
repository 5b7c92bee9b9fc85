"""DeepFace: convolutions, layers with kernels of their own at each place, and a long vector.

Taigman, Yang, Ranzato and Wolf, DeepFace: closing the gap to human-level performance in face verification,
CVPR 2014, https://doi.org/10.1109/CVPR.2014.220.
"""

import os

import keras
from keras import layers

from kerasvision.embedding.locally_connected import LocallyConnected2D
from kerasvision.models.building import finish, image_input, source_of

# Figure 2: name -> filters, side of the kernel, stride.
LOCAL = {"l4": (16, 9, 1), "l5": (16, 7, 2), "l6": (16, 5, 1)}
IDENTITIES = 4030  # of the paper's training set
MINIMUM = 71  # of smaller images l6 has no place to be at


def DeepFace(
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple | None = None,
    classes: int = IDENTITIES,
    classifier_activation="softmax",
    name: str = "deepface",
    *,
    features: int = 4096,
    dropout: float = 0.5,
) -> keras.Model:
    """Build DeepFace, which is trained as a classifier of identities and used without its top.

    The faces of the paper were turned to the front by a 3-D model; alignment by landmarks takes its place
    here. Its vectors are the outputs of `f7`, scaled to length 1 (`embedder("deepface", dimensions=None)`).
    Where the paper divides each number by its largest over the training set before, we do not.

    Args:
        include_top: end in a dropout and a Dense layer `predictions` (F8), as in training.
        weights: `None` (random, as in the paper), or what `kerasvision.models.load_weights` takes. There are
            none for `"imagenet"`.
        input_tensor: Keras tensor (batch, height, width, channels) to build on, pixels in [0, 1].
        input_shape: (height, width, channels), 71 pixels at least; default (152, 152, 3).
        classes: number of identities of the top.
        classifier_activation: activation of the top; `None` for logits.
        name: name of the model.
        features: numbers that `f7` gives.
        dropout: in training, after `f7`.

    Returns:
        A flat functional model, image -> probabilities (b, classes), or without the top -> (b, features), at
        least 0.

    Raises:
        ValueError: an argument is not accepted, or the images are too small.
        WeightsError: the weights cannot be read, or do not fit.

    https://doi.org/10.1109/CVPR.2014.220
    """
    image = image_input(input_tensor, input_shape, include_top=True, native=152, minimum=MINIMUM)
    x = layers.Conv2D(32, 11, name="c1", **_start())(image)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="m2")(x)
    x = layers.Conv2D(16, 9, name="c3", **_start())(x)
    for key, (filters, size, stride) in LOCAL.items():
        x = LocallyConnected2D(filters, size, strides=stride, name=key, **_start())(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(features, name="f7", **_start())(x)
    if include_top:
        x = layers.Dropout(dropout, name="f7_dropout")(x)
        x = layers.Dense(classes, name="predictions", **_start(classifier_activation))(x)
    return finish(keras.Model(source_of(image, input_tensor), x, name=name), weights, download=None)


def _start(activation="relu") -> dict:
    """Return the activation, and the initial weights of the paper."""
    return {
        "activation": activation,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.01),
        "bias_initializer": keras.initializers.Constant(0.5),
    }
