"""The size of images from their headers: boxes must fit it, and decoding takes a hundred times longer."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
from PIL import Image

from kerasvision.data.decoding import FORMATS, Source, open_image, open_photo, orientation
from kerasvision.data.loading import usable_cores
from kerasvision.errors import BadImageError

_BLOCK = 1024  # handed to the threads at a time
# PNG chunks that may say how the photo is turned; Pillow would decode the whole image to look for them.
_MAY_TURN = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def upright_sizes(sources: Sequence[Source], names: Sequence[str]) -> list[tuple[int, int] | BadImageError]:
    """Return the size of every image, or the error of those that have none; headers are read in threads."""
    found: list[tuple[int, int] | BadImageError] = []

    def size(index: int) -> tuple[int, int] | BadImageError:
        try:
            return upright_size(sources[index], names[index])
        except BadImageError as error:
            return BadImageError(error.path, error.reason)  # without the traceback and what it holds on to

    with ThreadPoolExecutor(usable_cores(), "kerasvision-sizes") as pool:
        for start in range(0, len(sources), _BLOCK):
            found += pool.map(size, range(start, min(start + _BLOCK, len(sources))))
    return found


def upright_size(source: Source, name: str | None = None) -> tuple[int, int]:
    """Return (height, width) of an image as `open_image` would return it, from its header alone.

    Args:
        source: a path, encoded bytes, or a uint8 array.
        name: what to call the image in an error, for sources that are not paths.

    Raises:
        BadImageError: it is not there, or no image.
    """
    return size_and_turn(source, name)[0]


def size_and_turn(source: Source, name: str | None = None) -> tuple[tuple[int, int], int]:
    """Return what `upright_size` does, and the EXIF orientation (1 to 8) by which the image is turned."""
    if isinstance(source, np.ndarray):
        return (source.shape[0], source.shape[1]), 1
    try:
        if isinstance(source, bytes):
            return _from_header(BytesIO(source))
        with open_photo(os.fspath(source)) as file:
            return _from_header(file)
    except BadImageError:
        raise
    except Exception:  # as in `decoding`: Pillow raises many kinds. Decoding it whole says what is wrong.
        width, height = open_image(source, name=name).size
        return (height, width), 1


def _from_header(file) -> tuple[tuple[int, int], int]:
    with Image.open(file, formats=FORMATS) as image:
        if image.format == "PNG" and not _has_chunk(file, _MAY_TURN):
            return (image.height, image.width), 1
        return upright(image), orientation(image)


def upright(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) of an image that Pillow has opened and not yet loaded, as it will be upright."""
    width, height = image.size
    if (
        image.format == "TIFF"
    ):  # newer versions of Pillow give the upright size at once, older ones when loaded
        width, height = image.tag_v2[_TIFF_WIDTH], image.tag_v2[_TIFF_HEIGHT]
    return (width, height) if orientation(image) >= 5 else (height, width)


def _has_chunk(file, wanted: Sequence[bytes]) -> bool:
    """Tell whether a PNG file has a chunk of one of these kinds; the pixels are stepped over."""
    place = file.tell()
    file.seek(8)
    try:
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            if head[4:] in wanted:
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(place)
