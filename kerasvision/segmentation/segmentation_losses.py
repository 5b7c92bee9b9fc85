"""Losses of label maps: by name, in sums, with pixels that do not count.

All take targets (b, h, w) of class indices, or `VOID`, and logits (b, h, w, classes), and return (b,)
float32. Where an image has nothing but void its loss is 0, and so are its gradients.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import tensorflow as tf

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.segmentation import VOID

GAMMA = 2.0  # of the focal loss


def make_loss(name: str = "cross_entropy", *, weights=None, ignore_index: int = VOID) -> Callable:
    """Return a loss, or a sum of several.

    Args:
        name: of `"cross_entropy"`, `"focal"`, `"dice"`, `"lovasz"`; several with `+` between them, each
            with a factor before it where it is not 1: `"cross_entropy+0.5*dice"`.
        weights: (classes,) of pixels by their class, for `cross_entropy` and `focal`; None: all alike.
        ignore_index: label of pixels that do not count.

    Raises:
        KerasvisionError: a name that is not known, or a factor that is not a number above 0.

    >>> loss = make_loss("cross_entropy+0.5*dice")
    >>> loss(tf.constant([[[0, 255]]]), tf.zeros((1, 1, 2, 2))).shape
    TensorShape([1])
    """
    parts = [_part(text) for text in str(name).split("+")]
    weights = None if weights is None else tf.constant(np.asarray(weights, np.float32))
    losses = [
        (factor, partial(_LOSSES[kind], weights=weights, ignore_index=ignore_index)) for factor, kind in parts
    ]

    def loss(targets, logits):
        logits = tf.cast(logits, tf.float32)
        return tf.add_n([factor * part(targets, logits) for factor, part in losses])

    return loss


def class_weights(pixels: Mapping | np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return weights by median frequency balancing: (classes,) float32, 1 for the class in the middle.

    Args:
        pixels: (classes,) how many pixels there are of each class.
        images: (classes,) how many pixels the images have, together, that the class is on.

    Returns:
        The median of the frequencies by the frequency of the class; 0 for a class without pixels.

    Eigen and Fergus, Predicting depth, surface normals and semantic labels, 2015, section 4.3.2.
    """
    pixels, images = (np.asarray(values, np.float64) for values in (pixels, images))
    there = pixels > 0
    frequency = np.divide(pixels, images, out=np.zeros_like(pixels), where=there)
    middle = np.median(frequency[there]) if there.any() else 0.0
    return np.divide(middle, frequency, out=np.zeros_like(pixels), where=there).astype(np.float32)


def cross_entropy(targets, logits, *, weights=None, ignore_index: int = VOID):
    """Return the mean cross-entropy over the pixels that count, by their weights."""
    entropy, weight = _entropy(targets, logits, weights, ignore_index)
    return _weighted_mean(entropy, weight)


def focal(targets, logits, *, weights=None, ignore_index: int = VOID, gamma: float = GAMMA):
    """Return the cross-entropy with less weight on pixels that are told well: times (1 - p)**gamma.

    Lin et al., Focal loss for dense object detection, 2017, equation 4, over a softmax.
    """
    entropy, weight = _entropy(targets, logits, weights, ignore_index)
    # The probability of the right class is exp(-entropy).
    return _weighted_mean((1.0 - tf.exp(-entropy)) ** gamma * entropy, weight)


def dice(targets, logits, *, weights=None, ignore_index: int = VOID):
    """Return 1 less the mean over the classes on the image of twice the overlap by the sum of both areas.

    Milletari et al., V-Net, 2016, section 3 (squares in the denominator), for several classes. Classes that
    are not on an image have no overlap to reach and are left out; `weights` do not apply.
    """
    del weights
    truth, counted = _one_hot(targets, logits, ignore_index)
    found = tf.nn.softmax(logits) * counted[..., None]
    overlap, areas = (
        tf.reduce_sum(value, axis=(1, 2)) for value in (truth * found, truth * truth + found * found)
    )
    return _mean_of_present(1.0 - 2.0 * overlap / tf.maximum(areas, 1e-6), truth)


def lovasz(targets, logits, *, weights=None, ignore_index: int = VOID):
    """Return the Lovász extension of 1 - IoU, the mean over the classes on the image.

    Berman et al., The Lovász-Softmax loss, 2018, sections 2 and 3. `weights` do not apply.
    """
    del weights
    truth, counted = _one_hot(targets, logits, ignore_index)
    classes = logits.shape[-1]
    # Void pixels are neither right nor wrong: an error of 0 comes last and changes nothing.
    errors = tf.abs(truth - tf.nn.softmax(logits)) * counted[..., None]
    flat, hits = (
        tf.transpose(tf.reshape(value, (tf.shape(logits)[0], -1, classes)), (0, 2, 1))
        for value in (errors, truth)
    )
    order = tf.argsort(flat, axis=-1, direction="DESCENDING", stable=True)
    flat, hits = (tf.gather(value, order, axis=-1, batch_dims=2) for value in (flat, hits))
    real = tf.reshape(counted, (tf.shape(logits)[0], 1, -1))
    real = tf.gather(tf.repeat(real, classes, axis=1), order, axis=-1, batch_dims=2)
    total = tf.reduce_sum(hits, axis=-1, keepdims=True)
    missed = total - tf.cumsum(hits, axis=-1)
    union = total + tf.cumsum((1.0 - hits) * real, axis=-1)
    jaccard = 1.0 - missed / tf.maximum(union, 1.0)
    steps = tf.concat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], axis=-1)
    return _mean_of_present(tf.reduce_sum(flat * tf.stop_gradient(steps), axis=-1), truth)


_LOSSES = {"cross_entropy": cross_entropy, "focal": focal, "dice": dice, "lovasz": lovasz}


def _part(text: str) -> tuple[float, str]:
    factor, _, name = text.strip().rpartition("*")
    name = name.strip()
    try:
        number = float(factor) if factor else 1.0
    except ValueError:
        number = 0.0
    if name not in _LOSSES or not 0 < number < np.inf:
        raise KerasvisionError(
            f"A loss is one of {', '.join(_LOSSES)}, or a sum such as 'cross_entropy+0.5*dice'. "
            f"Received: {text.strip()!r}."
        )
    return number, name


def _entropy(targets, logits, weights, ignore_index: int):
    """Return the cross-entropy and the weight of each pixel, (b, h, w)."""
    counted = tf.not_equal(targets, ignore_index)
    labels = tf.where(counted, tf.cast(targets, tf.int32), 0)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    weight = tf.cast(counted, tf.float32)
    return entropy, weight if weights is None else weight * tf.gather(weights, labels)


def _weighted_mean(values, weights):
    total = tf.reduce_sum(weights, axis=(1, 2))
    return tf.reduce_sum(values * weights, axis=(1, 2)) / tf.where(total > 0, total, 1.0)


def _one_hot(targets, logits, ignore_index: int):
    """Return (b, h, w, classes) of 0 and 1, void being 0 everywhere, and (b, h, w) of what counts."""
    counted = tf.not_equal(targets, ignore_index)
    labels = tf.where(counted, tf.cast(targets, tf.int32), -1)
    return tf.one_hot(labels, logits.shape[-1]), tf.cast(counted, tf.float32)


def _mean_of_present(values, truth):
    """Return the mean of (b, classes) over the classes that are on the image, 0 where none is."""
    present = tf.cast(tf.reduce_max(truth, axis=(1, 2)) > 0, tf.float32)
    return tf.reduce_sum(values * present, -1) / tf.maximum(tf.reduce_sum(present, -1), 1.0)
