"""How the outputs of SSD are read and trained.

Liu et al., SSD: Single Shot MultiBox Detector, 2016, https://arxiv.org/abs/1512.02325
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from kerasvision.detection.anchors import ssd_boxes
from kerasvision.detection.assignment import BACKGROUND, assign, hard_negatives
from kerasvision.detection.box_coding import decode_deltas, encode_deltas
from kerasvision.detection.detection_losses import smooth_l1, softmax_cross_entropy


@dataclass(frozen=True, eq=False)
class SSDHead:
    """Default boxes, softmax over the classes and the background, smooth L1 and hard negatives.

    Level n of the network gives `box_n`, (b, rows, columns, 4 k), and `class_n`,
    (b, rows, columns, (classes + 1) k), logits, the background first.

    Attributes:
        classes: number of classes, without the background.
        image_size: (height, width) of the network's input in pixels.
        grids: (rows, columns) of each level.
        scales: of the default boxes of each level, and one more, as shares of the image.
        ratios: width to height of the default boxes of each level.
        variances: what the offsets of boxes are divided by.
        overlap: default boxes with a larger IoU than this learn a box, besides the best one of each box.
        negatives: how many hard negatives there are for each match of an image.
        least_negatives: and at least so many; 0 as in the paper, so that images without boxes teach nothing.
    """

    classes: int
    image_size: tuple[int, int]
    grids: tuple[tuple[int, int], ...]
    scales: tuple[float, ...]
    ratios: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    overlap: float = 0.5
    negatives: float = 3.0
    least_negatives: int = 0

    @cached_property
    def anchors(self) -> np.ndarray:
        """All default boxes, (n, 4) float32 xyxy in pixels, in the order of the outputs."""
        return ssd_boxes(self.image_size, self.grids, self.scales, self.ratios)

    def decode(self, outputs: Mapping):
        """Return boxes (b, n, 4) xyxy in pixels, not clipped, and scores (b, n, classes) of raw outputs."""
        deltas, logits = self._joined(outputs, "box", 4), self._joined(outputs, "class", self.classes + 1)
        return decode_deltas(deltas, self.anchors, self.variances), tf.nn.softmax(logits)[..., 1:]

    def losses(self, outputs: Mapping, boxes, classes, crowd) -> dict:
        """Return the parts of the loss: `box`, smooth L1, and `class`, cross-entropy, each (b,).

        Sums over the default boxes of an image are divided by the number of matches of the batch and
        multiplied by b, so that the mean over the batch is the loss of the paper: 0 without any match.

        Args:
            outputs: name -> raw output.
            boxes: (b, m, 4) float32, xyxy in pixels of the network's input.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool.
        """
        deltas, logits = self._joined(outputs, "box", 4), self._joined(outputs, "class", self.classes + 1)
        matched = assign(self.anchors, boxes, classes, crowd, overlap=self.overlap)
        positive, index = matched >= 0, tf.maximum(matched, 0)
        targets = encode_deltas(tf.gather(boxes, index, batch_dims=1), self.anchors, self.variances)
        errors = tf.where(positive[..., None], deltas - targets, 0.0)
        labels = tf.where(positive, tf.gather(classes, index, batch_dims=1) + 1, 0)
        entropy = softmax_cross_entropy(labels, logits)
        counts = tf.reduce_sum(tf.cast(positive, tf.int32), axis=1)
        negative = hard_negatives(
            tf.stop_gradient(entropy),
            matched == BACKGROUND,
            counts,
            ratio=self.negatives,
            at_least=self.least_negatives,
        )
        share = tf.cast(tf.shape(counts)[0], tf.float32) / tf.maximum(
            tf.cast(tf.reduce_sum(counts), tf.float32), 1.0
        )
        return {
            "box": tf.reduce_sum(smooth_l1(errors), axis=(1, 2)) * share,
            "class": tf.reduce_sum(tf.where(positive | negative, entropy, 0.0), axis=1) * share,
        }

    def _joined(self, outputs: Mapping, kind: str, channels: int):
        """Return the outputs of all levels as (b, n, channels) float32."""
        parts = []
        for level, ((rows, columns), ratios) in enumerate(zip(self.grids, self.ratios, strict=True), 1):
            count = rows * columns * (len(ratios) + 1)
            parts.append(tf.reshape(tf.cast(outputs[f"{kind}_{level}"], tf.float32), (-1, count, channels)))
        return tf.concat(parts, axis=1)
