"""Tell when an embedding collapses: figures of a batch to be logged each epoch, and what to do about them."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from kerasvision.embedding.batch_all import Margin, active_triplets
from kerasvision.embedding.distances import Distance, checked_embeddings, pairwise_distances
from kerasvision.embedding.label_groups import checked_labels, different
from kerasvision.errors import KerasvisionError

NEAR = 0.05  # of the level: a loss so near to it sits there
# Cosines of 0.9975 between all images; an untrained network with a rectifier has spreads from about 0.1.
NARROW = 0.05
WATCHED = ("active", "spread", "dimensions", "positive_distance", "negative_distance")
TIE = 1e-6  # a positive that is nearer by less than this is not nearer


def watch_embedding(
    labels, embeddings, *, margin: Margin | None = 0.2, distance: Distance = "euclidean"
) -> dict:
    """Return figures of a batch that tell whether its embedding still tells images apart.

    Give it a batch with several images of each identity, such as `identity_order` makes; b * b memory.

    Args:
        labels: (b,) integers.
        embeddings: (b, d) float.
        margin: of the triplet loss; `"soft"` or None: triplets count as active where the positive is no
            nearer than the negative.
        distance: as in `pairwise_distances`.

    Returns:
        () float32 tensors by name, 0 where a figure is not defined:
        `active`: share of all valid triplets whose loss is above 0;
        `spread`: root of the share of the mean squared length that is variance: 1 when the embeddings are
        spread around 0, 0 when all are one point;
        `dimensions`: how many dimensions take part, (sum of the variances)² / (sum of their squares) along
        the principal axes, from 1 to d;
        `positive_distance`, `negative_distance`: means over the pairs of one identity, and of two.

    Raises:
        KerasvisionError: shapes that do not fit, or a margin that is not above 0.
    """
    embeddings = tf.stop_gradient(checked_embeddings("embeddings", embeddings))
    labels = checked_labels(labels, embeddings)
    distances, apart = pairwise_distances(embeddings, distance=distance), different(labels)
    alike = ~apart & ~tf.eye(tf.size(labels), dtype=tf.bool)
    found = active_triplets(labels, distances, margin=TIE if margin in ("soft", None) else margin)
    centred = embeddings - tf.reduce_mean(embeddings, 0, keepdims=True)
    variance, square = tf.reduce_sum(tf.square(centred)), tf.reduce_sum(tf.square(embeddings))
    together = tf.reduce_sum(tf.square(tf.matmul(centred, centred, transpose_a=True)))
    figures = (
        _ratio(tf.reduce_sum(found.active), tf.reduce_sum(found.valid)),
        tf.sqrt(_ratio(variance, square)),
        _ratio(tf.square(variance), together),
        _mean(distances, alike),
        _mean(distances, apart),
    )
    return {name: tf.cast(x, tf.float32) for name, x in zip(WATCHED, figures, strict=True)}


def collapse_advice(rows: Sequence[Mapping], *, level: float | None, epochs: int = 2) -> str | None:
    """Say what to do when a loss sits where an embedding without any knowledge has it.

    Args:
        rows: one an epoch, oldest first, each with `loss` (in training) and the figures of `watch_embedding`.
        level: loss of an embedding that gives one point for all images: the margin of a triplet loss, log 2
            with the soft margin; `EmbeddingLoss.level` has it. None, where it is not known (of losses that
            compare by cosine): the spread alone tells.
        epochs: how many of the last ones must be so before anything is said, at least 1.

    Returns:
        A sentence or two, or None when there is nothing to say.

    Raises:
        KerasvisionError: a level that is not above 0, or `epochs` below 1.

    >>> row = {"loss": 0.2, "active": 1.0, "spread": 0.001, "negative_distance": 0.002}
    >>> print(collapse_advice([row, row], level=0.2))
    The embedding has collapsed: ...
    """
    if (level is not None and not level > 0) or epochs < 1:
        raise KerasvisionError(
            "`level` must be a loss above 0, or None, and `epochs` at least 1. "
            f"Received: level={level!r}, epochs={epochs!r}."
        )
    last = list(rows)[-epochs:]
    if len(last) < epochs:
        return None
    narrow = all(row["spread"] < NARROW for row in last)
    spread = last[-1]["spread"]
    if level is None:
        return f"{_collapsed(spread)} {_CALMER}." if narrow else None
    if not all(abs(row["loss"] - level) <= NEAR * level for row in last):
        return None
    sits = f"The loss has been {last[-1]['loss']:.3g} for {epochs} epochs, and {level:.3g} is what it is for"
    if narrow or last[-1]["negative_distance"] < NEAR * level:
        return (
            f"{_collapsed(spread)} {sits} a single point. {_CALMER}, with mining='semi_hard' or 'random' "
            "instead of the hardest triplets, or with margin='soft'; more identities in a batch help too."
        )
    return (
        f"The embedding does not tell identities apart yet. {sits} guessing; "
        f"{100 * last[-1]['active']:.0f} % of the triplets are active and the spread is {spread:.2g}, so it "
        "has not collapsed. Check that the labels are right, and that the learning rate is not too low (or "
        "so high that nothing is kept); unfreeze more layers, or train longer."
    )


_CALMER = "Start again with a learning rate of a tenth"


def _collapsed(spread: float) -> str:
    return f"The embedding has collapsed: all images are nearly one point (spread {spread:.2g}, 1 is full)."


def _ratio(part, whole):
    return tf.math.divide_no_nan(tf.cast(part, tf.float64), tf.cast(whole, tf.float64))


def _mean(values, counted):
    total = tf.reduce_sum(tf.where(counted, values, tf.zeros_like(values)))
    return _ratio(total, tf.reduce_sum(tf.cast(counted, tf.float64)))
