"""Losses of detectors, element by element; sums and weights are the heads' own."""

import tensorflow as tf


def smooth_l1(errors, beta: float = 1.0):
    """Return squares of small errors and the size of large ones, with one slope where they meet.

    Args:
        errors: predictions minus targets, of any shape.
        beta: where they meet.

    Returns:
        errors**2 / (2 beta) below `beta`, |errors| - beta / 2 above it.

    Girshick, Fast R-CNN, 2015, https://arxiv.org/abs/1504.08083
    """
    size = tf.abs(errors)
    small = tf.minimum(size, beta)
    # One formula for both: where both sides of a `where` are computed, either may spoil the gradient.
    return small * small / (2 * beta) + (size - small)


def softmax_cross_entropy(labels, logits):
    """Return the cross-entropy (…,) of logits (…, classes) with the index of the class, (…,) int."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def focal_loss(targets, logits, *, alpha: float = 0.25, gamma: float = 2.0):
    """Return the binary cross-entropy of logits, with less weight on what is told well already.

    Args:
        targets: 0 or 1, of the shape of `logits`.
        logits: of any shape.
        alpha: weight of the ones; that of the zeros is 1 - alpha.
        gamma: how much less.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    wrong = tf.abs(targets - tf.sigmoid(logits))
    weight = targets * alpha + (1 - targets) * (1 - alpha)
    return weight * wrong**gamma * entropy
