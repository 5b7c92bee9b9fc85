"""Who is of the same identity as whom in a batch, in memory that grows with pairs and not with triplets."""

from typing import NamedTuple

import tensorflow as tf

from kerasvision.errors import KerasvisionError


class Groups(NamedTuple):
    """A batch sorted by label.

    Attributes:
        order: (b,) int32, indices by rising label; within a label by rising index.
        start: (b,) int32, for each sample (in the order of the batch) where its label begins in `order`.
        size: (b,) int32, how many samples its label has, itself included.
        rank: (b,) int32, its own place among them.
    """

    order: tf.Tensor
    start: tf.Tensor
    size: tf.Tensor
    rank: tf.Tensor

    @property
    def others(self):
        """(b,) int32, how many samples of other labels there are."""
        return tf.size(self.order) - self.size

    def positive(self, anchors, slots):
        """Return the sample at each place (from 0) among those of the anchor's label but itself."""
        skipped = slots + tf.cast(slots >= tf.gather(self.rank, anchors), slots.dtype)
        places = tf.gather(self.start, anchors) + skipped
        # One that has no positive would reach beyond the end.
        return tf.gather(self.order, tf.minimum(places, tf.size(self.order) - 1))

    def negative(self, anchors, slots):
        """Return the sample at each place (from 0) among those of other labels than the anchor's."""
        behind = tf.cast(slots >= tf.gather(self.start, anchors), slots.dtype)
        places = slots + behind * tf.gather(self.size, anchors)
        # Where all are of one label there is none.
        return tf.gather(self.order, tf.minimum(places, tf.size(self.order) - 1))


class Slots(NamedTuple):
    """The positives of each sample, side by side.

    Attributes:
        indices: (b, m) int32, m being one less than the samples of the largest label, but at least 1.
        real: (b, m) bool, False where a label has fewer.
    """

    indices: tf.Tensor
    real: tf.Tensor


def grouped(labels) -> Groups:
    """Return a batch sorted by label."""
    order = tf.argsort(labels, stable=True)
    ordered = tf.gather(labels, order)
    start = tf.searchsorted(ordered, labels, side="left")
    size = tf.searchsorted(ordered, labels, side="right") - start
    return Groups(order, start, size, tf.math.invert_permutation(order) - start)


def positive_slots(labels) -> Slots:
    """Return the positives of each sample as a table."""
    groups = grouped(labels)
    width = tf.maximum(tf.reduce_max(groups.size), 2) - 1
    anchors, slots = tf.meshgrid(tf.range(tf.size(labels)), tf.range(width), indexing="ij")
    real = slots < groups.size[:, None] - 1
    return Slots(groups.positive(anchors, tf.where(real, slots, 0)), real)


def different(labels):
    """Return (b, b) bool, True where two samples are of different labels."""
    return tf.not_equal(labels[:, None], labels[None, :])


def checked_labels(labels, rows=None):
    """Return (b,) integers; `rows` is what must be as long, embeddings or distances."""
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer or labels.shape.rank != 1:
        raise KerasvisionError(
            f"`labels` must be (b,) integers, one identity an image. "
            f"Received: {labels.shape} {labels.dtype.name}."
        )
    if rows is not None and not labels.shape[:1].is_compatible_with(rows.shape[:1]):
        raise KerasvisionError(
            f"`labels` must have one entry an image. Received: {labels.shape[0]} for {rows.shape[0]}."
        )
    return labels if labels.dtype in (tf.int32, tf.int64) else tf.cast(labels, tf.int64)


def checked_distances(distances):
    """Return (b, b) distances as a float tensor."""
    distances = tf.convert_to_tensor(distances)
    if (
        not distances.dtype.is_floating
        or distances.shape.rank != 2
        or not distances.shape[:1].is_compatible_with(distances.shape[1:])
    ):
        raise KerasvisionError(
            "`distances` must be (b, b) float, as `pairwise_distances` gives them. "
            f"Received: {distances.shape} {distances.dtype.name}."
        )
    return distances
