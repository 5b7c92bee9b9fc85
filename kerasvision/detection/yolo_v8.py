"""The head of YOLOv8: distances to four sides as distributions, and task-aligned assignment."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from kerasvision.detection.box_coding import complete_iou, pairwise_iou

BINS = 16  # of the distribution of each distance: 0 to 15 strides


@dataclass(frozen=True)
class YoloV8Head:
    """Reads and trains the raw outputs of YOLOv8.

    `box_<level>` is (b, rows, columns, 4 * 16): logits of the distances to the left, top, right and bottom,
    in strides; `class_<level>` is (b, rows, columns, classes), logits.

    Attributes:
        classes: number of classes.
        image_size: (height, width) in pixels.
        levels: of the feature maps; level n has stride 2**n.
        most: how many places learn a box at most.
        alpha: power of the class score in the alignment of a place and a box.
        beta: power of their overlap.
        box_weight: of the box loss.
        class_weight: of the class loss, which is a mean over the classes.

    The weights are those of keras-cv. Feng et al. 2021 (task alignment), https://arxiv.org/abs/2108.07755; Li
    et al. 2020 (distances as distributions), https://arxiv.org/abs/2006.04388
    """

    classes: int
    image_size: tuple[int, int]
    levels: tuple[int, ...] = (3, 4, 5)
    most: int = 10
    alpha: float = 0.5
    beta: float = 6.0
    box_weight: float = 7.5
    class_weight: float = 0.5

    @cached_property
    def places(self) -> np.ndarray:
        """Where each place looks from, (n, 2) float32: x, y in pixels."""
        parts = []
        for stride in (2**level for level in self.levels):
            y, x = (np.arange(side // stride) * stride + stride / 2 for side in self.image_size)
            parts.append(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
        return np.concatenate(parts).astype(np.float32)

    @cached_property
    def strides(self) -> np.ndarray:
        """Stride of each place, (n, 1) float32, in pixels."""
        parts = [np.full((count, 1), 2**n) for n, count in zip(self.levels, self._counts, strict=True)]
        return np.concatenate(parts).astype(np.float32)

    def decode(self, outputs: Mapping):
        """Return boxes (b, n, 4) float32, xyxy in pixels, and scores (b, n, classes) in [0, 1]."""
        return self._boxes(outputs), tf.sigmoid(self._logits(outputs))

    def losses(self, outputs: Mapping, boxes, classes, crowd) -> dict:
        """Return `box` and `class` (b,): CIoU and binary cross-entropy, by the sum of the batch's targets.

        Args:
            outputs: raw outputs.
            boxes: (b, m, 4) float32, xyxy in pixels.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool.
        """
        predicted, logits = self._boxes(outputs), self._logits(outputs)
        index, strength = self.assign(tf.sigmoid(logits), predicted, boxes, classes, crowd)
        matched = strength > 0
        targets = tf.one_hot(tf.gather(classes, index, batch_dims=1), self.classes) * strength[..., None]
        # Where nothing is matched the target is the prediction itself: a loss of 0, and no NaN to mask.
        box = tf.where(matched[..., None], tf.gather(boxes, index, batch_dims=1), tf.stop_gradient(predicted))
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
        in_crowd = tf.reduce_any(_inside(self.places, boxes) & (crowd & (classes >= 0))[..., None], axis=1)
        learnt = tf.cast(matched | ~in_crowd, tf.float32)
        total = tf.maximum(tf.reduce_sum(strength), 1.0)
        share = tf.cast(tf.shape(logits)[0], tf.float32) / total
        box_loss = tf.reduce_sum((1 - complete_iou(box, predicted)) * strength, 1)
        class_loss = tf.reduce_sum(tf.reduce_mean(entropy, -1) * learnt, 1)
        return {
            "box": self.box_weight * share * box_loss,
            "class": self.class_weight * share * class_loss,
        }

    def assign(self, scores, predicted, boxes, classes, crowd):
        """Say which place learns which box, and how strongly.

        Args:
            scores: (b, n, classes) in [0, 1], predicted.
            predicted: (b, n, 4) predicted boxes, xyxy in pixels.
            boxes: (b, m, 4) true boxes.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool: these are learnt by no place.

        Returns:
            Index of a box (b, n) int32, and the score that its class is to have (b, n) float32, 0 where
            nothing is to be found. No gradient flows through either.
        """
        real = (classes >= 0) & ~crowd
        eligible = _inside(self.places, boxes) & real[..., None]
        # The IoU of the paper: CIoU is negative for first guesses, and such boxes would never be learnt.
        overlaps = tf.where(eligible, pairwise_iou(boxes, predicted), 0.0)
        of_class = tf.gather(tf.transpose(scores, (0, 2, 1)), tf.maximum(classes, 0), batch_dims=1)
        alignment = of_class**self.alpha * overlaps**self.beta
        best = tf.math.top_k(alignment, min(self.most, len(self.places))).values
        chosen = (alignment >= best[..., -1:]) & (alignment > 0)
        # A place that several boxes choose learns the one that it overlaps most.
        index = tf.argmax(tf.where(chosen, overlaps, -1.0), axis=1, output_type=tf.int32)
        chosen &= tf.range(tf.shape(boxes)[1])[None, :, None] == index[:, None]
        alignment, overlaps = (tf.where(chosen, value, 0.0) for value in (alignment, overlaps))
        # The place that fits a box best is to score its overlap, the others less by their alignment.
        top = tf.reduce_max(alignment, -1, keepdims=True)
        # Without an epsilon in the division: the sixth power of a small overlap is far below any.
        scaled = tf.math.divide_no_nan(alignment, top) * tf.reduce_max(overlaps, -1, keepdims=True)
        return tf.stop_gradient(index), tf.stop_gradient(tf.reduce_max(scaled, axis=1))

    @property
    def _counts(self) -> list[int]:
        height, width = self.image_size
        return [(height // 2**level) * (width // 2**level) for level in self.levels]

    def _logits(self, outputs: Mapping):
        shapes = zip(self.levels, self._counts, strict=True)
        return tf.concat([tf.reshape(outputs[f"class_{n}"], (-1, c, self.classes)) for n, c in shapes], 1)

    def _boxes(self, outputs: Mapping):
        shapes = zip(self.levels, self._counts, strict=True)
        raw = tf.concat([tf.reshape(outputs[f"box_{n}"], (-1, c, 4, BINS)) for n, c in shapes], 1)
        distances = tf.reduce_sum(tf.nn.softmax(raw) * np.arange(BINS, dtype=np.float32), -1) * self.strides
        return tf.concat([self.places - distances[..., :2], self.places + distances[..., 2:]], -1)


def _inside(places, boxes):
    """Tell which places (n, 2) lie in which boxes (b, m, 4): (b, m, n) bool."""
    after = places > boxes[..., None, :2]
    before = places < boxes[..., None, 2:]
    return tf.reduce_all(after & before, axis=-1)
