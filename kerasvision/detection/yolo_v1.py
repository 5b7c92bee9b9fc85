"""How the outputs of YOLO v1 are read and trained.

Redmon et al., You Only Look Once: Unified, Real-Time Object Detection, 2016, https://arxiv.org/abs/1506.02640
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from kerasvision.detection.box_coding import pairwise_iou, to_center, to_corners


@dataclass(frozen=True, eq=False)
class YOLOv1Head:
    """A grid of cells, each with some boxes and one class, all trained by squares of errors.

    The network gives, all of them linear: `box_1`, (b, rows, columns, 4 B): x and y of the centre within the
    cell, and the *square roots* of width and height as shares of the image, as the authors' program has it,
    so that the loss needs no root of what may be negative; `object_1`, (b, rows, columns, B), the confidence;
    `class_1`, (b, rows, columns, classes), the probabilities.

    Attributes:
        classes: number of classes.
        image_size: (height, width) of the network's input in pixels.
        grid: (rows, columns) of cells; 7 x 7 in the paper.
        boxes: B, the number of boxes of a cell.
        coordinate_weight: lambda_coord.
        background_weight: lambda_noobj.
    """

    classes: int
    image_size: tuple[int, int]
    grid: tuple[int, int]
    boxes: int = 2
    coordinate_weight: float = 5.0
    background_weight: float = 0.5

    def decode(self, outputs: Mapping):
        """Return boxes (b, n, 4) xyxy in pixels, not clipped, and scores (b, n, classes) of raw outputs.

        A score is confidence times probability of the class, each cut to [0, 1].
        """
        box, confidence, probability = self._cells(outputs)
        scores = _unit(confidence)[..., None] * _unit(probability)[:, :, None, :]
        count = self._count * self.boxes
        boxes = tf.reshape(to_corners(self._in_pixels(box)), (-1, count, 4))
        return boxes, tf.reshape(scores, (-1, count, self.classes))

    def losses(self, outputs: Mapping, boxes, classes, crowd) -> dict:
        """Return the five parts of the paper's loss, weights inside, each (b,).

        The cell in which the centre of a box lies learns it; of several, the first. Of its boxes that one
        is responsible whose prediction has the largest IoU with the truth, or, where none overlaps, the one
        nearest in position and size (as in the authors' program; the paper does not say). Its confidence
        learns that IoU. Boxes without area are left out. Cells without a box whose middle lies in a crowd are
        not background.

        Args:
            outputs: name -> raw output.
            boxes: (b, m, 4) float32, xyxy in pixels of the network's input.
            classes: (b, m) int32, -1 is padding.
            crowd: (b, m) bool.

        Returns:
            `position`, `size`, `object`, `background` and `class`.
        """
        box, confidence, probability = self._cells(outputs)
        owner, taken = self._owners(boxes, classes, crowd)
        truth = to_center(tf.gather(boxes, owner, batch_dims=1)[:, :, None])  # (b, cells, 1, 4)
        truth = tf.where(taken[..., None, None], truth, 0.0)
        iou, responsible = self._responsible(tf.stop_gradient(box), truth, taken)
        target = self._coded(truth)
        errors = tf.where(responsible[..., None] > 0, box - target, 0.0) ** 2
        label = tf.one_hot(tf.gather(classes, owner, batch_dims=1), self.classes)
        wrong = tf.where(taken[..., None], probability - label, 0.0) ** 2
        quiet = (1.0 - responsible) * self._punished(boxes, classes, crowd, taken)[..., None]
        return {
            "position": self.coordinate_weight * tf.reduce_sum(errors[..., :2], axis=(1, 2, 3)),
            "size": self.coordinate_weight * tf.reduce_sum(errors[..., 2:], axis=(1, 2, 3)),
            "object": tf.reduce_sum(responsible * (confidence - iou) ** 2, axis=(1, 2)),
            "background": self.background_weight * tf.reduce_sum(quiet * confidence**2, axis=(1, 2)),
            "class": tf.reduce_sum(wrong, axis=(1, 2)),
        }

    @property
    def _count(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def _cell(self) -> np.ndarray:
        """Width and height of a cell in pixels."""
        (rows, columns), (height, width) = self.grid, self.image_size
        return np.array([width / columns, height / rows], np.float32)

    @property
    def _corners(self) -> np.ndarray:
        """Column and row of each cell, (cells, 1, 2)."""
        row, column = np.indices(self.grid, dtype=np.float32).reshape(2, -1)
        return np.stack([column, row], axis=-1)[:, None]

    @property
    def _image(self) -> np.ndarray:
        return np.array(self.image_size[::-1], np.float32)

    def _cells(self, outputs: Mapping):
        """Return boxes (b, cells, B, 4), confidences (b, cells, B) and probabilities (b, cells, classes)."""
        box, confidence, probability = (
            tf.cast(outputs[f"{kind}_1"], tf.float32) for kind in ("box", "object", "class")
        )
        return (
            tf.reshape(box, (-1, self._count, self.boxes, 4)),
            tf.reshape(confidence, (-1, self._count, self.boxes)),
            tf.reshape(probability, (-1, self._count, self.classes)),
        )

    def _in_pixels(self, box):
        """Return raw boxes (b, cells, B, 4) as centre and size in pixels."""
        center = (box[..., :2] + self._corners) * self._cell
        return tf.concat([center, box[..., 2:] * box[..., 2:] * self._image], axis=-1)

    def _coded(self, truth):
        """Return centres and sizes in pixels, one a cell, as what the network learns: the way back."""
        center = truth[..., :2] / self._cell - self._corners
        return tf.concat([center, tf.sqrt(truth[..., 2:] / self._image)], axis=-1)

    def _owners(self, boxes, classes, crowd):
        """Return which box each cell learns, (b, cells) int32, and whether there is one."""
        center = to_center(boxes)
        last = np.array(self.grid[::-1], np.int32) - 1
        place = tf.cast(tf.floor(center[..., :2] / self._cell), tf.int32)
        place = tf.clip_by_value(place, 0, last)
        real = (classes >= 0) & ~crowd & (center[..., 2] > 0) & (center[..., 3] > 0)
        index = tf.where(real, place[..., 1] * self.grid[1] + place[..., 0], -1)
        there = tf.one_hot(index, self._count, axis=1, dtype=tf.int32)  # (b, cells, m)
        return tf.argmax(there, axis=2, output_type=tf.int32), tf.reduce_max(there, axis=2) > 0

    def _responsible(self, box, truth, taken):
        """Return the IoU of each prediction with the truth of its cell, and 1 for the responsible ones."""
        found = self._in_pixels(box)
        iou = pairwise_iou(to_corners(found), to_corners(truth))[..., 0]
        image = np.concatenate([self._image, self._image])
        distance = tf.reduce_sum(((found - truth) / image) ** 2, axis=-1)
        overlaps = tf.reduce_max(iou, axis=-1, keepdims=True) > 0
        best = tf.argmax(tf.where(overlaps, iou, -distance), axis=-1)
        responsible = tf.one_hot(best, self.boxes) * tf.cast(taken, tf.float32)[..., None]
        return iou, responsible

    def _punished(self, boxes, classes, crowd, taken):
        """Return 1 for cells whose free boxes are background, 0 for those in the middle of a crowd."""
        middle = (self._corners[:, 0] + 0.5) * self._cell  # (cells, 2)
        many = (classes >= 0) & crowd
        inside = (middle[:, None] > boxes[:, None, :, :2]) & (middle[:, None] < boxes[:, None, :, 2:])
        inside = tf.reduce_any(tf.reduce_all(inside, axis=-1) & many[:, None], axis=-1)
        return tf.cast(taken | ~inside, tf.float32)


def _unit(values):
    return tf.minimum(tf.maximum(values, 0.0), 1.0)
