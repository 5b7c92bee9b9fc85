"""What a segmenter found on a photo: the class of each pixel, for people and programs."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.files import make_folder, write_atomically
from kerasvision.metrics.segmentation import VOID


@dataclass(frozen=True, eq=False)
class FoundLabels:
    """The class of each pixel of one photo.

    Attributes:
        name: the file, or "image #3".
        labels: (h, w) uint8, in pixels of the upright photo: indices into `class_names`; 255 where the
            network does not see the photo, which only `resize="crop"` does.
        class_names: in the order of the labels.
    """

    name: str
    labels: np.ndarray
    class_names: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright photo."""
        return self.labels.shape

    def pixels(self) -> dict[str, int]:
        """Return how many pixels there are of each class that was found, the most frequent first."""
        counts = np.bincount(self.labels.reshape(-1), minlength=VOID + 1)[: len(self.class_names)]
        order = np.argsort(-counts, kind="stable")
        return {self.class_names[i]: int(counts[i]) for i in order if counts[i]}

    def shares(self) -> dict[str, float]:
        """Return the share of each class among the pixels that were seen, the largest first."""
        pixels = self.pixels()
        total = sum(pixels.values())
        return {name: count / total for name, count in pixels.items()}

    def rows(self) -> list[dict]:
        """Return one dictionary a class that was found: image, label, share, pixels."""
        pixels = self.pixels()
        total = sum(pixels.values())
        return [
            {"image": self.name, "label": name, "share": round(count / total, 6), "pixels": count}
            for name, count in pixels.items()
        ]

    def save(self, path: str | os.PathLike) -> Path:
        """Write the label map as a PNG with a palette: programs read the indices, people see colours.

        Args:
            path: the file; it must end in `.png`, its folder is created.

        Returns:
            The path.

        Raises:
            KerasvisionError: another ending, which could not hold indices, or it cannot be written.
        """
        from PIL import Image

        from kerasvision.report.mask_pictures import palette

        path = Path(path)
        if path.suffix.lower() != ".png":
            raise KerasvisionError(
                f"`path` must end in .png: JPEG would change the indices. Received: {path}."
            )
        image = Image.fromarray(self.labels)
        image.putpalette(palette(self.class_names).tobytes())
        make_folder(path.parent)
        with write_atomically(path) as file:
            image.save(file, "PNG", optimize=True)
        return path

    def overlay(self, image, *, strength: float = 0.55, names: bool = True):
        """Return the photo with each region in the colour of its class, and its name on it.

        Args:
            image: the photo: a path, encoded bytes, a uint8 array or a PIL image.
            strength: opacity of the colours, from 0 to 1.
            names: write the names of the classes on their largest regions.

        Returns:
            A `PIL.Image`, as large as the upright photo.

        Raises:
            KerasvisionError: the photo has another size than the label map.
        """
        from kerasvision.data import open_image
        from kerasvision.data.gathering import gather
        from kerasvision.report import draw_labels

        sources, shown = gather(image)
        photo = open_image(sources[0], name=shown[0])
        if photo.size[::-1] != self.size:
            raise KerasvisionError(
                f"`image` must be the photo that the labels are of, {self.size} pixels high and wide. "
                f"Received: {photo.size[::-1]} ({shown[0]})."
            )
        return draw_labels(photo, self.labels, self.class_names, strength=strength, names=names)

    def __str__(self):
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares().items())
        return f"{self.name}: {shares or 'nothing'}"

    def __repr__(self):
        return f"FoundLabels({self})"

    def _repr_html_(self) -> str:
        from kerasvision.report.mask_pictures import labels_summary

        return labels_summary(self.name, self.labels, self.class_names, self.shares())
