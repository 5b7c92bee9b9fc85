"""An embedder's file as a function from images to vectors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerasvision.export.runners import Runner


@dataclass(frozen=True)
class EmbeddingRunner(Runner):
    """An opened file of an embedder.

    It has what a `Runner` has, and answers with the embeddings of images, which must be of the size that the
    file takes.

    Attributes:
        facts: `dimensions`, `distance`, `threshold`, `false_accept_rate` and `fingerprint`, and `alignment`
            of aligned faces, as far as the file knows them; or `None`.
    """

    facts: Mapping | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return embeddings, (n, d) float32, for uint8 images, (n, h, w, 3).

        Raises:
            ExportError: the images are not of the size that the file takes.
        """
        return super().__call__(images)
