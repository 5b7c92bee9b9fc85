"""A detector's file as a function from images to boxes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerasvision.export.runners import Runner
from kerasvision.metrics.detection_values import Detections


@dataclass(frozen=True)
class DetectionRunner(Runner):
    """An opened file of a detector.

    It has what a `Runner` has, and answers with boxes in pixels of the images, which must be of the size that
    the file takes. `Preprocessing.unplace` moves them to the photo.
    """

    def __call__(self, images: np.ndarray) -> list[Detections]:
        """Return one `Detections` an image, by falling score, for uint8 images, (n, h, w, 3).

        Raises:
            ExportError: the images are not of the size that the file takes.
        """
        return to_detections(self._answers(images), self.image_size)


def to_detections(found: Mapping, image_size: tuple[int, int]) -> list[Detections]:
    """Return what a file gave, in pixels of its input.

    Args:
        found: `boxes`, `classes`, `scores` and `count`, as numpy arrays.
        image_size: (height, width) of the input.
    """
    height, width = image_size
    boxes = np.asarray(found["boxes"], np.float32)[..., [1, 0, 3, 2]]
    boxes = boxes * np.array([width, height, width, height], np.float32)
    result = []
    for index, count in enumerate(np.asarray(found["count"]).astype(int)):
        labels = np.rint(found["classes"][index][:count]).astype(np.int32)
        result.append(Detections(boxes[index, :count], labels, np.asarray(found["scores"])[index, :count]))
    return result
