"""A loss of an embedding by name, as a training step calls it: (labels, outputs) -> one value an image."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import tensorflow as tf

from kerasvision.embedding import mining as miners
from kerasvision.embedding.batch_all import Margin, active_triplets, check_margin
from kerasvision.embedding.class_losses import arcface_loss, cosface_loss
from kerasvision.embedding.collapse import WATCHED, watch_embedding
from kerasvision.embedding.distances import (
    Distance,
    checked_embeddings,
    pairwise_distances,
)
from kerasvision.embedding.label_groups import checked_labels, different
from kerasvision.embedding.pair_losses import (
    circle_loss,
    contrastive_loss,
    multi_similarity_loss,
    triplet_loss,
)
from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import check_distance


@dataclass(frozen=True, eq=False)
class EmbeddingLoss:
    """A loss as `make_loss` returns it: call it with labels (b,) and outputs, get (b,) float.

    Attributes:
        name: of the loss.
        takes: what its second argument is: `"embedding"` (b, d), or `"cosines"` (b, classes) of
            `with_class_cosines`.
        distance: what it compares by, and `watch` measures.
        margin: of a triplet loss, None for others.
        level: the loss of an embedding that gives the same point for all images, where it is known: what
            `collapse_advice` compares with.
        seeds: (2,) integer variables that it draws with; who wants the same triplets again sets them.
        watched: names of what `watch` returns.
    """

    name: str
    function: Callable = field(repr=False)
    takes: str = "embedding"
    distance: Distance = "cosine"
    margin: Margin | None = None
    level: float | None = None
    seeds: tuple = ()
    watched: ClassVar[tuple[str, ...]] = WATCHED

    def __call__(self, labels, outputs):
        """Return the loss of each image, (b,) float."""
        return self.function(labels, outputs)

    def watch(self, labels, embeddings) -> dict:
        """Return what `watch_embedding` says of a batch, by the distance and margin of the loss."""
        return watch_embedding(labels, embeddings, margin=self.margin, distance=self.distance)


def make_loss(name: str = "triplet", **options: Any) -> EmbeddingLoss:
    """Return a loss by name.

    The mean of the (b,) values that it returns is the loss of the batch; each is what the image adds as an
    anchor.

    Args:
        name: `"contrastive"`, `"triplet"`, `"multi_similarity"`, `"circle"`, `"arcface"` or `"cosface"`.
        **options: those of the loss.
            contrastive: `margin` (1.0), `distance` (`"euclidean"`), `balanced` (True: pairs of one identity
            and pairs of two count alike together, though there are fewer of the former).
            triplet: `mining` (`"semi_hard"`; `"all"`, `"random"`, `"batch_hard"`, `"distance_weighted"`),
            `margin` (0.2, or `"soft"`), `distance` (`"euclidean"`), `average` (`"all"` the mined triplets, or
            only those `"active"`; by default `"active"` with `mining="all"`, whose mean would soon be of
            zeros), `seed` (0; only `"random"` and `"distance_weighted"` draw).
            multi_similarity, circle, arcface, cosface: those of the functions `…_loss`.

    Raises:
        KerasvisionError: a name, or an option of it, that is not known or out of range.

    >>> loss = make_loss("triplet", mining="batch_hard", margin="soft")
    >>> loss(tf.constant([0, 0, 1, 1]), tf.zeros((4, 2))).numpy().round(3)
    array([0.693, 0.693, 0.693, 0.693], dtype=float32)
    """
    makers = {**_MAKERS, **_FUNCTIONS}
    if name not in makers:
        raise KerasvisionError(f"`name` must be one of {', '.join(makers)}. Received: {name!r}.")
    parameters = inspect.signature(makers[name]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise KerasvisionError(
            f"The loss `{name}` has no option {', '.join(f'`{option}`' for option in unknown)}. "
            f"It has: {', '.join(known)}."
        )
    if name in _MAKERS:
        return _MAKERS[name](**options)
    function = partial(_FUNCTIONS[name], **options)
    function(tf.constant([0, 0, 1]), tf.zeros((3, 2)))  # says what is wrong with an option, now
    return EmbeddingLoss(name, function, takes="cosines" if name in _OF_COSINES else "embedding")


def _contrastive(
    *, margin: float = 1.0, distance: Distance = "euclidean", balanced: bool = True
) -> EmbeddingLoss:
    check_distance(distance)
    contrastive_loss(True, tf.zeros(()), margin=margin)  # says what is wrong with the margin, now

    def loss(labels, embeddings):
        embeddings = checked_embeddings("embeddings", embeddings)
        labels = checked_labels(labels, embeddings)
        apart = different(labels)
        alike = ~apart & ~tf.eye(tf.size(labels), dtype=tf.bool)
        losses = contrastive_loss(~apart, pairwise_distances(embeddings, distance=distance), margin=margin)
        kinds = (alike, apart) if balanced else (alike | apart,)
        means = [_share_of_each(losses, kind) for kind in kinds]
        return tf.add_n(means) / len(means)

    level = margin**2 / 4 if balanced else None
    return EmbeddingLoss("contrastive", loss, distance=distance, level=level)


def _triplet(
    *,
    mining: str = "semi_hard",
    margin: Margin = 0.2,
    distance: Distance = "euclidean",
    average: str | None = None,
    seed: int = 0,
) -> EmbeddingLoss:
    check_distance(distance)
    check_margin(margin)
    if mining not in ("all", *_MINERS):
        raise KerasvisionError(f"`mining` must be one of all, {', '.join(_MINERS)}. Received: {mining!r}.")
    if average not in (None, "all", "active"):
        raise KerasvisionError(f"`average` must be 'all', 'active' or None. Received: {average!r}.")
    average = average or ("active" if mining == "all" else "all")
    seeds = _generator(seed)
    mine = None if mining == "all" else _MINERS[mining](seeds)

    def loss(labels, embeddings):
        embeddings = checked_embeddings("embeddings", embeddings)
        labels = checked_labels(labels, embeddings)
        distances = pairwise_distances(embeddings, distance=distance)
        if mine is None:
            found = active_triplets(labels, distances, margin=margin)
            return _scaled(found.loss, found.active if average == "active" else found.valid)
        triplets = mine(labels, embeddings, distances)
        losses = triplet_loss(distances, triplets, margin=margin)
        sums = tf.math.unsorted_segment_sum(losses, triplets.anchors, tf.size(labels))
        return _scaled(sums, losses > 0 if average == "active" else tf.ones_like(losses))

    level = math.log(2.0) if margin == "soft" else float(margin)
    drawn = (seeds.state,) if mining in _DRAWING else ()
    return EmbeddingLoss("triplet", loss, distance=distance, margin=margin, level=level, seeds=drawn)


_MAKERS = {"contrastive": _contrastive, "triplet": _triplet}
_FUNCTIONS = {
    "multi_similarity": multi_similarity_loss,
    "circle": circle_loss,
    "arcface": arcface_loss,
    "cosface": cosface_loss,
}
_OF_COSINES = ("arcface", "cosface")


def _distance_weighted(seeds):
    def mine(labels, embeddings, _):
        # How rare a distance is is known for Euclidean distances on the sphere.
        unit = tf.math.l2_normalize(tf.stop_gradient(embeddings), -1)
        return miners.distance_weighted(
            labels, pairwise_distances(unit), dimensions=embeddings.shape[-1], seed=seeds.next()
        )

    return mine


_MINERS = {
    "random": lambda seeds: lambda labels, *_: miners.random_triplets(labels, seed=seeds.next()),
    "semi_hard": lambda _: lambda labels, _, distances: miners.semi_hard(labels, distances),
    "batch_hard": lambda _: lambda labels, _, distances: miners.batch_hard(labels, distances),
    "distance_weighted": _distance_weighted,
}
_DRAWING = ("random", "distance_weighted")


def _generator(seed):
    import keras

    if not isinstance(seed, int) or seed < 0:
        raise KerasvisionError(f"`seed` must be a whole number from 0. Received: {seed!r}.")
    return keras.random.SeedGenerator(seed)


def _share_of_each(losses, counted):
    """Return (b,) whose mean is the mean of the (b, b) losses that count, 0 where none does."""
    return _scaled(tf.reduce_sum(tf.where(counted, losses, tf.zeros_like(losses)), 1), counted)


def _scaled(sums, counted):
    """Return (b,) sums times b by how many there were in all, so that their mean is the mean of all."""
    count = tf.reduce_sum(tf.cast(counted, sums.dtype))
    return sums * tf.cast(tf.size(sums), sums.dtype) / tf.maximum(count, 1.0)
