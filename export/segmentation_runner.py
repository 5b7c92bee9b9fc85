"""A segmenter's file as a function from images to label maps."""

from dataclasses import dataclass

import numpy as np

from kerasvision.errors import ExportError
from kerasvision.export.runners import Runner

# Bytes of float values for which images are run together.
_AT_ONCE = 2**26


@dataclass(frozen=True)
class SegmentationRunner(Runner):
    """An opened file of a segmenter.

    It has what a `Runner` has, and answers with label maps of images, which must be of the size that the file
    takes.

    Attributes:
        output_size: (height, width) of the label maps.
    """

    output_size: tuple[int, int] = (0, 0)

    @property
    def output(self) -> str:
        """What the file gives: `"probabilities"`, `"labels"` or `"logits"`."""
        return self.outputs[0]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return label maps, (n, *output_size) uint8, for uint8 images, (n, h, w, 3).

        Raises:
            ExportError: the images are not of the size that the file takes.
        """
        maps = [self.answer(images[rows])[0] for rows in self.parts_of(len(images))]
        return np.concatenate(maps) if maps else np.zeros((0, *self.output_size), np.uint8)

    def answer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return label maps, and the probabilities of the classes where the file gives them or logits.

        Args:
            images: (n, h, w, 3) uint8.

        Returns:
            (n, *output_size) uint8, and (n, *output_size, classes) float32 or `None`.
        """
        values = self._answers(images)[self.output]
        if self.output == "labels":
            return values.astype(np.uint8), None
        return values.argmax(-1).astype(np.uint8), softmax(values) if self.output == "logits" else values

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return what may be resized before the best class is taken: logits, up to a number a pixel.

        Args:
            images: (n, h, w, 3) uint8.

        Returns:
            (n, *output_size, classes) float32; of probabilities their logarithm.

        Raises:
            ExportError: the file gives label maps only.
        """
        if self.output == "labels":
            raise ExportError(
                f"{self.file} gives label maps only. Export it with output='probabilities' for scores."
            )
        values = self._answers(images)[self.output]
        return values if self.output == "logits" else np.log(np.maximum(values, np.finfo(np.float32).tiny))

    def parts_of(self, count: int) -> list[slice]:
        """Cut images into parts whose answers fit into memory."""
        size = images_at_once(self.output_size, len(self.labels) or 32)
        return [slice(start, start + size) for start in range(0, count, size)]


def images_at_once(size: tuple[int, int], classes: int) -> int:
    """Return how many images of logits of a size are computed at once: 64 MB of them, 1 to 16."""
    return max(1, min(16, _AT_ONCE // (4 * size[0] * size[1] * classes)))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, float32."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
