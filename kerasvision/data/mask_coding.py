"""From a mask file to the class of each pixel: indices, palettes and colours, and what is refused."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from PIL import Image

from kerasvision.data.decoding import Source, decode, orientation, turned
from kerasvision.data.wording import several
from kerasvision.errors import BadAnnotationError, BadImageError
from kerasvision.metrics.segmentation import VOID

FORMATS = ("PNG", "BMP", "GIF", "TIFF")
_UNKNOWN = 255  # of a colour table, which has at most 255 names
_BITS_PER_SAMPLE = 258  # the tag of TIFF
_SHOWN = 4
MOST_COLOURS = 255  # of a mask that may hold classes
TOO_MANY_COLOURS = (
    "So many are no classes: it is a photo (are `images` and `masks` in the right order?), or was smoothed: "
    "masks must be saved and resized without that"
)


class Stored(NamedTuple):
    """What a mask file holds.

    Args:
        pixels: (H, W) uint8 values, or (H, W, 3) uint8 colours.
        palette: (256, 3) uint8, the colour that stands for each value; `None` where there is no palette.
        grey: the file has three channels, which are equal.
    """

    pixels: np.ndarray
    palette: np.ndarray | None = None
    grey: bool = False


def open_mask(source: Source, name: str | None = None) -> Stored:
    """Read a mask as it is stored, without making a photo of it.

    Args:
        source: a path, encoded bytes, or a uint8 array (H, W), (H, W, 1) or (H, W, 3).
        name: what to call the mask in an error, for sources that are not paths.

    Returns:
        Of an image with a palette the indices, never its colours; bits of a 1-bit image as 0 and 1.

    Raises:
        BadAnnotationError: it cannot be read, or is of a kind that does not keep labels: JPEG, WebP, 16 bits,
            transparency.
    """
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, name or "array")
        return decode(source, name, _stored)
    except BadImageError as error:
        raise BadAnnotationError(error.path, error.reason) from None


def _from_array(array: np.ndarray, name: str) -> Stored:
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.dtype != np.uint8 or 0 in array.shape or not (array.ndim == 2 or array.shape[2:] == (3,)):
        raise BadImageError(name, f"must be uint8 (H, W) or (H, W, 3). Received: {array.dtype} {array.shape}")
    return _equal_channels(array) if array.ndim == 3 else Stored(array)


def _stored(image: Image.Image, name: str) -> Stored:
    if image.format not in FORMATS:
        raise BadImageError(
            name,
            f"is a mask in {image.format}, which does not keep pixels as they are: labels near edges turn "
            f"into others. Export the masks again as PNG; converting this file does not bring them back",
        )
    bits = _bits(image)
    if bits > 8 or image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA"):
        raise BadImageError(
            name,
            f"holds {bits if bits > 8 else image.mode} bits a pixel and channel; masks have 8. If they are "
            f"class indices below 256, save `np.asarray(mask).astype('uint8')` as PNG; if they number "
            f"objects, make masks of their classes",
        )
    image.load()
    turn = orientation(image)
    if image.mode in ("RGBA", "LA"):
        image = _opaque(image, name)
    palette = _palette(image) if image.mode == "P" else None
    pixels = np.asarray(turned(image, turn))
    if image.mode == "1":
        return Stored(pixels.astype(np.uint8))
    if image.mode == "RGB":
        return _equal_channels(pixels)
    # Pillow spreads grey of 2 or 4 bits over 0 to 255.
    return Stored(pixels // (255 // (2**bits - 1)) if image.mode == "L" and bits < 8 else pixels, palette)


def _bits(image: Image.Image) -> int:
    """Return the bits a sample of a file whose header has been read."""
    if image.format == "PNG":
        place = image.fp.tell()
        image.fp.seek(24)
        bits = image.fp.read(1)[0]
        image.fp.seek(place)
        return bits
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    return 16 if image.mode.startswith(("I", "F")) else 8


def _opaque(image: Image.Image, name: str) -> Image.Image:
    if image.getchannel("A").getextrema()[0] < 255:
        raise BadImageError(
            name,
            "has transparent pixels, and what they are is not said. Save it without an alpha channel, with a "
            "colour or index for what is transparent",
        )
    return image.convert(image.mode[:-1])


def _palette(image: Image.Image) -> np.ndarray:
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colours)] = colours
    return palette


def _equal_channels(pixels: np.ndarray) -> Stored:
    """Return grey that was saved in three channels as grey."""
    grey = (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    return Stored(np.ascontiguousarray(pixels[..., 0]), grey=True) if grey else Stored(pixels)


@dataclass(frozen=True, eq=False)
class ColourTable:
    """Which colours stand for which name.

    Args:
        names: of the classes, in order; void may be among them.
        colours: (k, 3) uint8.
        rows: (k,) int, the name that each colour stands for.
    """

    names: tuple[str, ...]
    colours: np.ndarray
    rows: np.ndarray

    @cached_property
    def _by_colour(self) -> np.ndarray:
        """Return a table of all 2^24 colours, which is thirty times as fast as a search."""
        table = np.full(1 << 24, _UNKNOWN, np.uint8)
        table[_packed(self.colours)] = self.rows
        return table

    def values(self, stored: Stored, name: str) -> np.ndarray:
        """Return the number of the name of each pixel, (H, W) uint8.

        Raises:
            BadAnnotationError: there are other colours.
        """
        pixels = stored.pixels
        if pixels.ndim == 3:
            values = self._by_colour[_packed(pixels)]
        else:
            grey = np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)
            values = self._by_colour[_packed(grey if stored.palette is None else stored.palette)][pixels]
        wrong = values == _UNKNOWN
        if wrong.any():
            raise BadAnnotationError(name, self._strange(stored, wrong))
        return values

    def _strange(self, stored: Stored, wrong: np.ndarray) -> str:
        pixels = stored.pixels if stored.palette is None else stored.palette[stored.pixels]
        pixels = pixels[wrong] if pixels.ndim == 3 else pixels[wrong][:, None].repeat(3, 1)
        found, counts = np.unique(pixels, axis=0, return_counts=True)
        shown = [str(tuple(colour.tolist())) for colour in found[np.argsort(-counts, kind="stable")][:_SHOWN]]
        more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
        soft = (
            ". So many are a sign of smoothing: masks must be saved and resized without it"
            if len(found) > 20
            else ". Add them to `colours`"
        )
        return (
            f"has {several(len(found), 'colour')} on {several(int(wrong.sum()), 'pixel')} that the colour "
            f"table lacks: {', '.join(shown)}{more}{soft}"
        )


def _packed(colours: np.ndarray) -> np.ndarray:
    red, green, blue = (colours[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue


def stored_values(stored: Stored, table: ColourTable | None, name: str) -> np.ndarray:
    """Return the value of each pixel, (H, W) uint8: as stored, or the number of its colour's name.

    Raises:
        BadAnnotationError: colours without a table, or that the table lacks.
    """
    if table is not None:
        return table.values(stored, name)
    if stored.pixels.ndim == 2:
        return stored.pixels
    found = np.unique(stored.pixels.reshape(-1, 3), axis=0)
    if len(found) > MOST_COLOURS:
        raise BadAnnotationError(name, f"has {len(found):,} colours. {TOO_MANY_COLOURS}")
    shown = ", ".join(str(tuple(colour.tolist())) for colour in found[:_SHOWN])
    raise BadAnnotationError(
        name,
        f"is coloured ({several(len(found), 'colour')}: {shown}{', …' if len(found) > _SHOWN else ''}), and "
        f'which colour is which class is not known. Pass `colours`: {{"road": (128, 64, 128), …}} in Python, '
        f"or a file with a name and a colour a line",
    )


@dataclass(frozen=True, eq=False)
class MaskCoding:
    """How the files of a data set say which class a pixel is of.

    Args:
        labels: (256,) uint8, the label of each value; 255 where it is void or not known.
        known: (256,) bool, values that stand for a class or for void.
        table: turns colours into values; `None` where values are stored.
    """

    labels: np.ndarray
    known: np.ndarray
    table: ColourTable | None = None

    def read(self, source: Source, name: str | None = None) -> np.ndarray:
        """Return the label map (H, W) uint8 of a mask.

        Raises:
            BadAnnotationError: it cannot be read, or has a value that none had when the data were read.
        """
        called = os.fspath(source) if isinstance(source, str | os.PathLike) else name or "mask"
        values = stored_values(open_mask(source, name), self.table, called)
        if not self.known[values].all():
            strange = np.unique(values[~self.known[values]]).tolist()
            raise BadAnnotationError(called, f"holds {strange}, which are no class: it was changed")
        return self.labels[values]

    def facts(self) -> str:
        """Return what tells this coding from others."""
        table = self.table
        colours = "" if table is None else f"{table.colours.tolist()} {table.rows.tolist()}"
        return f"{self.labels.tolist()} {colours}"


def values_of(coding, class_names: Sequence[str]) -> dict[int, str | None] | None:
    """Return value -> name of its class, `None` for void, in the order of the classes.

    Args:
        coding: of label maps.
        class_names: of the labels.

    Returns:
        `None` where values say nothing: of masks in colour, outlines and arrays.
    """
    if not isinstance(coding, MaskCoding) or coding.table is not None:
        return None
    known = np.flatnonzero(coding.known)
    order = known[np.argsort(coding.labels[known], kind="stable")].tolist()  # void, 255, comes last
    labels = coding.labels.tolist()
    return {value: None if labels[value] == VOID else class_names[labels[value]] for value in order}
