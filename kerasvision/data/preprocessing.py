"""What happens to a photo outside the model: decode, turn upright, make RGB, resize."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from kerasvision.data.decoding import Source, open_image
from kerasvision.errors import BadImageError, DataError

Resize = Literal["stretch", "crop", "pad"]
_SMALLEST, _LARGEST = 8, 4096


@dataclass(frozen=True)
class Preprocessing:
    """The steps between a file and the model's input, saved with a model and used everywhere.

    Scaling, mean and deviation are not here: they are the model's own first layers.

    Args:
        image_size: (height, width) in pixels, or one number for a square.
        resize: `"stretch"` to the size, whatever the proportions; `"crop"` the middle with the right
            proportions; `"pad"` with black so that all of the photo is seen.

    Resizing is bilinear and antialiased.

    Example:
        >>> Preprocessing(image_size=32).read(np.zeros((60, 80), np.uint8)).shape
        (32, 32, 3)
    """

    image_size: tuple[int, int]
    resize: Resize = "stretch"

    def __post_init__(self):
        object.__setattr__(self, "image_size", as_image_size(self.image_size))
        if self.resize not in get_args(Resize):
            raise DataError(
                f'`resize` must be "stretch", "crop" or "pad". Received: {self.resize!r}. '
                f'"crop" keeps proportions and loses the edges, "pad" keeps all of the photo.'
            )

    def read(self, source: Source, name: str | None = None) -> np.ndarray:
        """Decode and resize one image.

        Args:
            source: a path, encoded bytes, or a uint8 array (h, w), (h, w, 1) or (h, w, 3).
            name: what to call the image in an error, for sources that are not paths.

        Returns:
            uint8 (height, width, 3).

        Raises:
            BadImageError: the image cannot be used; the message names it.
        """
        picture = open_image(source, self.image_size, name=name)
        try:
            return np.asarray(self._resize(picture))
        except (OSError, ValueError) as error:
            shown = source if isinstance(source, str | os.PathLike) else name or "image"
            raise BadImageError(shown, f"cannot be resized to {self.image_size}: {error}") from error

    def _resize(self, picture: Image.Image) -> Image.Image:
        height, width = self.image_size
        if picture.size == (width, height):
            return picture
        if self.resize == "stretch":
            return _scale(picture, (width, height))
        if self.resize == "crop":
            return _scale(picture, (width, height), _middle(picture.size, (width, height)))
        scale = min(width / picture.width, height / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        padded = Image.new("RGB", (width, height))
        padded.paste(_scale(picture, inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return padded

    def to_dict(self) -> dict:
        """Return what `from_dict` takes, ready for JSON."""
        return {"image_size": list(self.image_size), "resize": self.resize}

    @classmethod
    def from_dict(cls, value: Mapping) -> "Preprocessing":
        """Rebuild from `to_dict`.

        Raises:
            DataError: a key is missing or unknown.
        """
        if set(value) != {"image_size", "resize"}:
            raise DataError(
                f"`Preprocessing.from_dict` takes the keys image_size and resize. Received: {sorted(value)}. "
                f"Was the file written by another version?"
            )
        return cls(image_size=tuple(value["image_size"]), resize=value["resize"])


def as_image_size(value) -> tuple[int, int]:
    """Return (height, width) from one number or a pair.

    Raises:
        DataError: it is neither, or outside of 8 to 4096 pixels.
    """
    try:
        height, width = (value, value) if np.isscalar(value) and not isinstance(value, str) else value
        size = int(height), int(width)
        good = size == (height, width) and all(_SMALLEST <= side <= _LARGEST for side in size)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise DataError(
            f"`image_size` must be one number or (height, width), each from {_SMALLEST} to {_LARGEST} "
            f"pixels. Received: {value!r}. A usual size is 224."
        )
    return size


def _scale(picture: Image.Image, size: tuple[int, int], box=None) -> Image.Image:
    # reducing_gap shrinks large pictures in two steps; from 3.0 on Pillow calls the result indistinguishable.
    return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = target[0] * scale, target[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height
