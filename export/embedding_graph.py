"""The two parts of an embedder in its files: the network, and the scaling to length 1, which stays float."""

from collections import Counter

import keras
import tensorflow as tf

from kerasvision import _litert
from kerasvision.errors import ExportError
from kerasvision.export.embedding_source import check_embedder
from kerasvision.export.source import float32_form
from kerasvision.models import graph


def without_scaling(model: keras.Model) -> keras.Model | None:
    """Return an embedder without the layer at its end that scales vectors to length 1.

    8 bits of the vectors before it are finer than of those after it, as the scale of TFLite's own operation
    for it is fixed to steps of 1/128.

    Args:
        model: the embedder.

    Returns:
        A model on the same layers; `None` where it does not end in `keras.layers.UnitNormalization`.
    """
    if not hasattr(model, "_nodes_by_depth") and not isinstance(model, keras.Sequential):
        return None
    last = graph.nodes(model)[-1]
    if not isinstance(last.operation, keras.layers.UnitNormalization):
        return None
    inside = graph.functional(model)
    return keras.Model(inside.inputs[0], last.input_tensors[0], name=model.name)


def scaled_to_one(vectors):
    """Return vectors (n, d) divided by their lengths, as `keras.layers.UnitNormalization` does it."""
    return tf.math.l2_normalize(vectors, -1, epsilon=1e-12)


def rehearse_embedder(model: keras.Model) -> Counter:
    """Check in seconds that an embedder will convert to TFLite, before hours of training.

    Args:
        model: `keras.Model` of a fixed input size that gives vectors; its weights do not matter.

    Returns:
        How often each TFLite operation would occur.

    Raises:
        ExportError: TFLite has no built-in operation for something in it; the message names it.
    """
    takes = getattr(model, "input_shape", None)
    if isinstance(takes, tuple) and None in takes[1:]:
        raise ExportError(
            f"`model` must have a fixed input size: files for phones do. It takes {takes[1:]}. Build it with "
            "`image_size`."
        )
    check_embedder(model, takes[1:] if isinstance(takes, tuple) else takes)
    return _litert.rehearse(float32_form(model))
