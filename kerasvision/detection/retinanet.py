"""The head of RetinaNet: anchors on five levels, offsets from them, focal loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from kerasvision.detection.anchors import tile
from kerasvision.detection.assignment import BACKGROUND, IGNORED, assign
from kerasvision.detection.box_coding import decode_deltas, encode_deltas
from kerasvision.detection.detection_losses import focal_loss, smooth_l1

SCALES = tuple(2 ** (third / 3) for third in range(3))
RATIOS = (0.5, 1.0, 2.0)  # width to height
ANCHORS_PER_PLACE = len(SCALES) * len(RATIOS)


@dataclass(frozen=True)
class RetinaNetHead:
    """Reads and trains the raw outputs of RetinaNet.

    `box_<level>` is (b, rows, columns, 9 * 4), offsets in the order y, x, height, width, as keras-cv has
    them; `class_<level>` is (b, rows, columns, 9 * classes), logits.

    Attributes:
        classes: number of classes.
        image_size: (height, width) in pixels.
        levels: of the feature maps; level n has stride 2**n.
        anchor_scale: side of the smallest anchor of a level, in strides.
        low_quality: each box is learnt by the anchor that fits it best, also where their IoU is below
            `overlap`, as torchvision and detectron2 do; keras-cv lets such boxes go unlearnt.
        overlap: anchors with a larger IoU than this learn the box.
        background: anchors whose IoU is at most this are background.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002
    """

    classes: int
    image_size: tuple[int, int]
    levels: tuple[int, ...] = (3, 4, 5, 6, 7)
    anchor_scale: float = 4.0
    low_quality: bool = True
    overlap: float = 0.5
    background: float = 0.4

    @cached_property
    def anchors(self) -> np.ndarray:
        """Anchors (n, 4) float32, xyxy in pixels, clipped to the image."""
        parts = []
        for stride in (2**level for level in self.levels):
            sides = np.array([self.anchor_scale * stride * scale for scale in SCALES])[:, None]
            ratios = np.sqrt(RATIOS)
            sizes = np.stack([sides * ratios, sides / ratios], axis=-1).reshape(-1, 2)
            grid = tuple(-(-side // stride) for side in self.image_size)
            parts.append(tile(sizes, grid, (grid[0] * stride, grid[1] * stride)))
        height, width = self.image_size
        return np.clip(np.concatenate(parts), 0, np.float32([width, height, width, height]))

    def decode(self, outputs: Mapping):
        """Return boxes (b, n, 4) float32, xyxy in pixels, and scores (b, n, classes) in [0, 1]."""
        deltas, logits = self._raw(outputs)
        return decode_deltas(deltas, self.anchors), tf.sigmoid(logits)

    def losses(self, outputs: Mapping, boxes, classes, crowd) -> dict:
        """Return `box` and `class` (b,): smooth L1 and focal loss, by the matched anchors of the batch.

        Args:
            outputs: raw outputs.
            boxes: (b, m, 4) float32, xyxy in pixels.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool.
        """
        deltas, logits = self._raw(outputs)
        matched = assign(
            self.anchors,
            boxes,
            classes,
            crowd,
            overlap=self.overlap,
            background=self.background,
            force=self.low_quality,
        )
        positive = matched >= 0
        index = tf.maximum(matched, 0)
        # Where nothing is matched the target is the anchor itself: an offset of 0, and no NaN to mask.
        box = tf.where(positive[..., None], tf.gather(boxes, index, batch_dims=1), self.anchors)
        label = tf.where(positive, tf.gather(classes, index, batch_dims=1), BACKGROUND)
        errors = smooth_l1(deltas - encode_deltas(box, self.anchors))
        focal = focal_loss(tf.one_hot(label, self.classes), logits)
        found = tf.cast(positive, tf.float32)
        # The mean over the images is then the sum over the batch by its number of matched anchors.
        share = tf.cast(tf.shape(logits)[0], tf.float32) / tf.maximum(tf.reduce_sum(found), 1.0)
        box_loss = tf.reduce_mean(errors, -1) * found
        class_loss = tf.reduce_sum(focal, -1) * tf.cast(matched != IGNORED, tf.float32)
        return {"box": tf.reduce_sum(box_loss, 1) * share, "class": tf.reduce_sum(class_loss, 1) * share}

    def _raw(self, outputs: Mapping):
        """Return offsets (b, n, 4) in the order x, y, width, height, and logits (b, n, classes)."""
        counts = [-(-self.image_size[0] // 2**n) * -(-self.image_size[1] // 2**n) for n in self.levels]
        deltas, logits = [], []
        for level, count in zip(self.levels, counts, strict=True):
            places = count * ANCHORS_PER_PLACE
            deltas.append(tf.reshape(outputs[f"box_{level}"], (-1, places, 4)))
            logits.append(tf.reshape(outputs[f"class_{level}"], (-1, places, self.classes)))
        return tf.gather(tf.concat(deltas, 1), [1, 0, 3, 2], axis=-1), tf.concat(logits, 1)
