"""What happens to a photo outside the model: decode, turn upright, make RGB, resize."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from kerasvision.data.alignment import NO_FACE, Template, align, template_points
from kerasvision.data.decoding import Source, open_image
from kerasvision.errors import BadImageError, DataError
from kerasvision.metrics.segmentation import VOID

Resize = Literal["stretch", "crop", "pad"]
_SMALLEST, _LARGEST = 8, 4096


class Placement(NamedTuple):
    """Where a photo is in its resized image: `resized = original * scale + offset`, in pixels."""

    scale_y: float
    scale_x: float
    offset_y: float
    offset_x: float


@dataclass(frozen=True)
class Preprocessing:
    """The steps between a file and the model's input, saved with a model and used everywhere.

    Scaling, mean and deviation are not here: they are the model's own first layers.

    Args:
        image_size: (height, width) in pixels, or one number for a square.
        resize: `"stretch"` to the size, whatever the proportions; `"crop"` the middle with the right
            proportions; `"pad"` with black so that all of the photo is seen.
        alignment: `None`, or the template that faces are aligned to, `"arcface"` or `"eyes"` (`align`). Every
            photo then needs landmarks, unless it is aligned already.

    Resizing is bilinear and antialiased.

    Example:
        >>> Preprocessing(image_size=32).read(np.zeros((60, 80), np.uint8)).shape
        (32, 32, 3)
    """

    image_size: tuple[int, int]
    resize: Resize = "stretch"
    alignment: Template | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_size", as_image_size(self.image_size))
        if self.resize not in get_args(Resize):
            raise DataError(
                f'`resize` must be "stretch", "crop" or "pad". Received: {self.resize!r}. '
                f'"crop" keeps proportions and loses the edges, "pad" keeps all of the photo.'
            )
        if self.alignment is not None:
            height, width = self.image_size
            template_points(self.alignment, height if height == width else self.image_size)

    def read(self, source: Source, name: str | None = None, landmarks=None) -> np.ndarray:
        """Decode and resize one image, or cut out the face on it.

        Args:
            source: a path, encoded bytes, or a uint8 array (h, w), (h, w, 1) or (h, w, 3).
            name: what to call the image in an error, for sources that are not paths.
            landmarks: with `alignment`, where the face is, as for `align`; or a callable that is given the
                image, (h, w, 3) uint8, and returns it, `None` if there is no face.

        Returns:
            uint8 (height, width, 3).

        Raises:
            BadImageError: the image cannot be used; the message names it. With `alignment`, also an image of
                another size without landmarks.
            DataError: landmarks of the wrong shape, or without `alignment`.
        """
        if landmarks is not None:
            return self._read_face(source, name, landmarks)
        if self.alignment is not None:
            return self._read_aligned(source, name)
        picture = open_image(source, self.image_size, name=name)
        try:
            return np.asarray(self._resize(picture))
        except (OSError, ValueError) as error:
            shown = source if isinstance(source, str | os.PathLike) else name or "image"
            raise BadImageError(shown, f"cannot be resized to {self.image_size}: {error}") from error

    def _read_face(self, source: Source, name: str | None, landmarks) -> np.ndarray:
        if self.alignment is None:
            raise DataError(
                "`landmarks` are for models of aligned faces; the photos that this one learned from were "
                "only resized. Leave them out."
            )
        shown = os.fspath(source) if isinstance(source, str | os.PathLike) else name or "image"
        if callable(landmarks):
            source = np.array(open_image(source, name=name))
            landmarks = landmarks(source)
        if landmarks is None:
            raise BadImageError(shown, NO_FACE)
        return align(source, landmarks, image_size=self.image_size[0], template=self.alignment, name=shown)

    def _read_aligned(self, source: Source, name: str | None) -> np.ndarray:
        """Return an image that must be aligned already: it is, if it has the size."""
        picture = open_image(source, name=name)
        height, width = self.image_size
        if picture.size != (width, height):
            shown = os.fspath(source) if isinstance(source, str | os.PathLike) else name or "image"
            raise BadImageError(
                shown,
                f"has {picture.height} x {picture.width} pixels, but the model knows faces aligned to "
                f"{height} x {width}. Pass its landmarks, or first kv.data.align(image, landmarks, "
                f"image_size={height}, template={self.alignment!r})",
            )
        return np.asarray(picture)

    def _resize(self, picture: Image.Image) -> Image.Image:
        height, width = self.image_size
        if picture.size == (width, height):
            return picture
        if self.resize == "stretch":
            return _scale(picture, (width, height))
        if self.resize == "crop":
            return _scale(picture, (width, height), _middle(picture.size, (width, height)))
        inner = _fitted(picture.size, (width, height))
        padded = Image.new("RGB", (width, height))
        padded.paste(_scale(picture, inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return padded

    def read_mask(self, label_map: np.ndarray) -> np.ndarray:
        """Resize a label map as `read` resizes its photo, by nearest neighbour.

        The pixel of the photo under the centre of each pixel of the resized image gives its label.

        Args:
            label_map: (H, W) uint8, in pixels of the upright photo.

        Returns:
            (height, width) uint8; what `"pad"` adds is 255, void.

        Example:
            >>> Preprocessing((8, 12), "pad").read_mask(np.zeros((4, 4), np.uint8))[0].tolist()
            [255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]
        """
        height, width = self.image_size
        if label_map.shape == (height, width):
            return label_map
        placed = self.place(label_map.shape)
        rows = _nearest(height, label_map.shape[0], placed.scale_y, placed.offset_y)
        columns = _nearest(width, label_map.shape[1], placed.scale_x, placed.offset_x)
        resized = label_map.take(np.maximum(rows, 0), axis=0).take(np.maximum(columns, 0), axis=1)
        resized[rows < 0] = VOID
        resized[:, columns < 0] = VOID
        return resized

    def place(self, size: tuple[int, int]) -> Placement:
        """Return where a photo of `size` (height, width) is in the resized image.

        Example:
            >>> Preprocessing(100, "pad").place((50, 100))
            Placement(scale_y=1.0, scale_x=1.0, offset_y=25.0, offset_x=0.0)
        """
        (height, width), (high, wide) = self.image_size, size
        if self.resize == "stretch":
            return Placement(height / high, width / wide, 0.0, 0.0)
        if self.resize == "crop":
            left, top, right, bottom = _middle((wide, high), (width, height))
            scale_y, scale_x = height / (bottom - top), width / (right - left)
            return Placement(scale_y, scale_x, -top * scale_y, -left * scale_x)
        inner_width, inner_height = _fitted((wide, high), (width, height))
        offset_y, offset_x = (height - inner_height) // 2, (width - inner_width) // 2
        return Placement(inner_height / high, inner_width / wide, float(offset_y), float(offset_x))

    def place_boxes(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Move boxes (…, 4) xyxy from pixels of a photo of `size` (height, width) to the resized image."""
        scale_y, scale_x, offset_y, offset_x = self.place(size)
        return boxes * np.array([scale_x, scale_y] * 2) + np.array([offset_x, offset_y] * 2)

    def unplace(self, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Move boxes from the resized image back to the photo, and cut them at its edges.

        Args:
            boxes: (…, 4) xyxy in pixels of the resized image.
            size: (height, width) of the photo.

        Returns:
            (…, 4) float64 xyxy in pixels of the photo.

        Example:
            >>> Preprocessing(100).unplace(np.array([[0.0, 0, 50, 200]]), (20, 40)).tolist()
            [[0.0, 0.0, 20.0, 20.0]]
        """
        scale_y, scale_x, offset_y, offset_x = self.place(size)
        original = (boxes - np.array([offset_x, offset_y] * 2)) / np.array([scale_x, scale_y] * 2)
        return np.clip(original, 0, np.array([size[1], size[0]] * 2))

    def to_dict(self) -> dict:
        """Return what `from_dict` takes, ready for JSON."""
        value = {"image_size": list(self.image_size), "resize": self.resize}
        return value if self.alignment is None else value | {"alignment": self.alignment}

    @classmethod
    def from_dict(cls, value: Mapping) -> "Preprocessing":
        """Rebuild from `to_dict`.

        Raises:
            DataError: a key is missing or unknown.
        """
        if set(value) - {"alignment"} != {"image_size", "resize"}:
            raise DataError(
                f"`Preprocessing.from_dict` takes the keys image_size and resize, and may have alignment. "
                f"Received: {sorted(value)}. Was the file written by another version?"
            )
        return cls(tuple(value["image_size"]), value["resize"], value.get("alignment"))


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


def _nearest(count: int, original: int, scale: float, offset: float) -> np.ndarray:
    """Return which of the original pixels each of `count` resized ones shows, -1 for none."""
    at = np.floor((np.arange(count) + 0.5 - offset) / scale).astype(np.int64)
    return np.where((at >= 0) & (at < original), at, -1)


def _scale(picture: Image.Image, size: tuple[int, int], box=None) -> Image.Image:
    # reducing_gap shrinks large pictures in two steps; from 3.0 on Pillow calls the result indistinguishable.
    return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = target[0] * scale, target[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height


def _fitted(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) with the proportions of `size` that fits into `target`."""
    scale = min(target[0] / size[0], target[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
