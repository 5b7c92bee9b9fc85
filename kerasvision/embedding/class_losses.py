"""Losses that train an embedding as a classifier by angles: ArcFace, CosFace, and the layer before them."""

import math

import keras
import tensorflow as tf

from kerasvision.embedding.distances import safe_root
from kerasvision.embedding.label_groups import checked_labels
from kerasvision.errors import KerasvisionError


@keras.saving.register_keras_serializable(package="kerasvision")
class ClassCosines(keras.layers.Layer):
    """The cosines between embeddings (b, d) and one learned direction a class, (b, classes) float32.

    It is needed in training only: `with_class_cosines` puts it behind an embedder, which is what is kept. It
    works in float32 whatever the policy: in half precision all angles below 1.3 degrees have the cosine 1.

    Args:
        classes: identities of the training data, labels 0 to `classes` - 1.

    Raises:
        KerasvisionError: `classes` below 2.
    """

    def __init__(self, classes: int, **options):
        super().__init__(**{"dtype": "float32", **options})
        if classes < 2:
            raise KerasvisionError(f"`classes` must be at least 2. Received: {classes}.")
        self.classes = classes

    def build(self, input_shape):
        """Make one direction a class; equally likely in all directions."""
        self.directions = self.add_weight(
            name="directions", shape=(self.classes, input_shape[-1]), initializer="random_normal"
        )

    def call(self, embeddings):
        """Return the cosines."""
        unit, directions = (tf.math.l2_normalize(x, -1) for x in (embeddings, self.directions))
        return tf.matmul(unit, directions, transpose_b=True)

    def compute_output_shape(self, input_shape):
        """Return (b, classes)."""
        return (*input_shape[:-1], self.classes)

    def get_config(self):
        """Return the arguments."""
        return {**super().get_config(), "classes": self.classes}


def with_class_cosines(model: keras.Model, classes: int) -> keras.Model:
    """Return an embedder as a class loss trains it: with a learned direction a class behind it.

    Args:
        model: image -> embeddings (b, d), functional.
        classes: identities of the training data.

    Returns:
        A model with the layers of `model`, which learns with it, and one more: image -> `embedding` (b, d)
        and `cosines` (b, classes). Its weights are those of `model` and, last, the directions.

    Raises:
        KerasvisionError: `classes` below 2.
    """
    embedding = model.outputs[0]
    cosines = ClassCosines(classes, name="class_cosines")(embedding)
    return keras.Model(model.input, {"embedding": embedding, "cosines": cosines}, name=model.name)


def arcface_loss(labels, cosines, *, margin: float = 0.5, scale: float = 64.0):
    """Return the cross-entropy of each sample with a margin added to the angle of its own class.

    Args:
        labels: (b,) integers in 0..classes - 1.
        cosines: (b, classes) float in [-1, 1], of `ClassCosines`.
        margin: radians, in [0, pi).
        scale: factor of the logits, above 0.

    Returns:
        (b,) float. Beyond an angle of pi - `margin`, where the cosine would rise again, the logit goes on
        falling as cosine - margin * sin(margin). Where a cosine is 1 or -1 to rounding its sine counts as 0.

    Raises:
        KerasvisionError: shapes that do not fit, or numbers out of range.

    Deng et al., ArcFace, 2019, equation 3.
    """
    _check(margin, scale, math.pi)
    labels, cosines = _checked(labels, cosines)
    own = tf.gather(cosines, labels, batch_dims=1)
    # cos(angle + margin); an arc cosine would have no finite gradient at 1.
    turned = own * math.cos(margin) - safe_root(1.0 - tf.square(own), 1e-6) * math.sin(margin)
    turned = tf.where(own >= -math.cos(margin), turned, own - margin * math.sin(margin))
    return _entropy(labels, cosines, own, turned, scale)


def cosface_loss(labels, cosines, *, margin: float = 0.35, scale: float = 64.0):
    """Return the cross-entropy of each sample with a margin taken off the cosine of its own class.

    Args:
        labels: (b,) integers in 0..classes - 1.
        cosines: (b, classes) float in [-1, 1], of `ClassCosines`.
        margin: of the cosine, in [0, 2).
        scale: factor of the logits, above 0.

    Returns:
        (b,) float.

    Raises:
        KerasvisionError: shapes that do not fit, or numbers out of range.

    Wang et al., CosFace, 2018, equation 4.
    """
    _check(margin, scale, 2.0)
    labels, cosines = _checked(labels, cosines)
    own = tf.gather(cosines, labels, batch_dims=1)
    return _entropy(labels, cosines, own, own - margin, scale)


def _entropy(labels, cosines, own, changed, scale: float):
    is_own = tf.one_hot(labels, tf.shape(cosines)[1], dtype=cosines.dtype)
    logits = scale * (cosines + is_own * (changed - own)[:, None])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def _check(margin: float, scale: float, most: float) -> None:
    if not 0 <= margin < most:
        raise KerasvisionError(f"`margin` must lie in [0, {most:.3g}). Received: {margin!r}.")
    if not 0 < scale < float("inf"):
        raise KerasvisionError(f"`scale` must be a number above 0. Received: {scale!r}.")


def _checked(labels, cosines):
    cosines = tf.convert_to_tensor(cosines)
    if not cosines.dtype.is_floating or cosines.shape.rank != 2:
        raise KerasvisionError(
            "`cosines` must be (b, classes) float, as `ClassCosines` gives them. "
            f"Received: {cosines.shape} {cosines.dtype.name}."
        )
    return checked_labels(labels, cosines), cosines
