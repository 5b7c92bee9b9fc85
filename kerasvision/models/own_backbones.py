"""Keep a user's own backbone in a spec that JSON can hold, and build it again."""

import copy
from collections.abc import Mapping

import keras

from kerasvision.errors import KerasvisionError
from kerasvision.models import graph


def describe_backbone(backbone: keras.Model, preprocessing: str | None) -> dict:
    """Return `{"config": what keras.saving.serialize_keras_object gives}`, without weights.

    Args:
        backbone: functional model; others nested inside are opened.
        preprocessing: what it expects of pixels, which nobody else can know.

    Raises:
        KerasvisionError: `preprocessing` is not stated.
    """
    if preprocessing is None:
        raise KerasvisionError(
            "`preprocessing` must be stated for your own backbone: 'included' if it takes raw RGB, else "
            "'tf', 'zero_one', 'torch' or 'caffe'."
        )
    return {"config": keras.saving.serialize_keras_object(graph.copy(backbone))}


def described_backbone(description: str | Mapping | None) -> keras.Model | None:
    """Return the backbone that `describe_backbone` described, with random weights; `None` for a name."""
    if not isinstance(description, Mapping):
        return None
    # A copy: Keras empties what it is given.
    return keras.saving.deserialize_keras_object(copy.deepcopy(dict(description["config"])))
