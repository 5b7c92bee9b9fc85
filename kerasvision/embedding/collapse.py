"""Tell when an embedding collapses: figures of a batch to be logged each epoch, and what to do about them."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from kerasvision.embedding.batch_all import Margin, active_triplets, check_margin
from kerasvision.embedding.distances import Distance, checked_embeddings, pairwise_distances
from kerasvision.embedding.label_groups import checked_labels, different

NEAR = 0.05  # of the level: a loss so near to it sits there
# Cosines of 0.9975 between all images; an untrained network with a rectifier has spreads from about 0.1.
NARROW = 0.05
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
    embeddings = checked_embeddings("embeddings", embeddings)
    labels = checked_labels(labels, embeddings)
    distances, apart = pairwise_distances(embeddings, distance=distance), different(labels)
    alike = ~apart & ~tf.eye(tf.size(labels), dtype=tf.bool)
    found = active_triplets(labels, distances, margin=TIE if margin in ("soft", None) else margin)
    centred = embeddings - tf.reduce_mean(embeddings, 0, keepdims=True)
    variance, square = tf.reduce_sum(tf.square(centred)), tf.reduce_sum(tf.square(embeddings))
    together = tf.reduce_sum(tf.square(tf.matmul(centred, centred, transpose_a=True)))
    figures = {
        "active": _ratio(tf.reduce_sum(found.active), tf.reduce_sum(found.valid)),
        "spread": tf.sqrt(_ratio(variance, square)),
        "dimensions": _ratio(tf.square(variance), together),
        "positive_distance": _mean(distances, alike),
        "negative_distance": _mean(distances, apart),
    }
    return {name: tf.cast(tf.stop_gradient(value), tf.float32) for name, value in figures.items()}


def collapse_advice(rows: Sequence[Mapping], *, level: float, epochs: int = 2) -> str | None:
    """Say what to do when the loss sits where an embedding without any knowledge has it.

    Args:
        rows: one an epoch, oldest first, each with `loss` (in training) and the figures of `watch_embedding`.
        level: loss of an embedding that gives one point for all images: the margin of a triplet loss, log 2
            with the soft margin; `EmbeddingLoss.level` has it.
        epochs: how many of the last ones must sit at the level before anything is said.

    Returns:
        A sentence or two, or None when there is nothing to say.

    Raises:
        KerasvisionError: a level that is not above 0.

    >>> row = {"loss": 0.2, "active": 1.0, "spread": 0.001, "negative_distance": 0.002}
    >>> print(collapse_advice([row, row], level=0.2))
    The embedding has collapsed: ...
    """
    check_margin(level)
    last = list(rows)[-epochs:]
    if len(last) < epochs or not all(abs(row["loss"] - level) <= NEAR * level for row in last):
        return None
    loss, spread, active = (last[-1][name] for name in ("loss", "spread", "active"))
    sits = f"The loss has been {loss:.3g} for {epochs} epochs, and {level:.3g} is what it is for"
    if spread < NARROW or last[-1]["negative_distance"] < NEAR * level:
        return (
            f"The embedding has collapsed: all images are nearly one point (spread {spread:.2g}, 1 is full). "
            f"{sits} a single point. Start again with a learning rate of a tenth, with mining='semi_hard' "
            "or 'random' instead of the hardest triplets, or with margin='soft'; more identities in a batch "
            "and embeddings brought to length 1 help too."
        )
    return (
        f"The embedding does not tell identities apart yet. {sits} guessing; {100 * active:.0f} % of the "
        f"triplets are active and the spread is {spread:.2g}, so it has not collapsed. Check that the labels "
        "are right, and that the learning rate is not too low (or so high that nothing is kept); unfreeze "
        "more layers, or train longer."
    )


def _ratio(part, whole):
    return tf.math.divide_no_nan(tf.cast(part, tf.float64), tf.cast(whole, tf.float64))


def _mean(values, counted):
    total = tf.reduce_sum(tf.where(counted, values, tf.zeros_like(values)))
    return _ratio(total, tf.reduce_sum(tf.cast(counted, tf.float64)))
