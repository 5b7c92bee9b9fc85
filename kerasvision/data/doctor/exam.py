"""Look at each image once, in threads: is it whole, what is it, and what does it look like in a few bytes."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from typing import TypeVar

import numpy as np
from PIL import Image

from kerasvision.data.decoding import FORMATS, Source, open_image, open_photo, orientation
from kerasvision.data.headers import upright
from kerasvision.data.loading import usable_cores
from kerasvision.errors import BadImageError
from kerasvision.progress import bar

LOOK = 64  # pixels: a JPEG is decoded at the smallest scale that keeps this, all of its data are read still
SIDE = 16  # of the small grey picture that near duplicates are compared by
LARGEST = 1 << 30  # bytes of a file; the most that is decoded, 89 megapixels, takes half of it at 16 bits
CHUNK = 1024  # images handed to the threads at a time
Look = TypeVar("Look")


@dataclass(frozen=True, slots=True)
class Exam:
    """What is known of one image afterwards, about 600 bytes.

    Attributes:
        reason: why it cannot be used, None when it can.
        file_digest: of its bytes; b"" when they could not be read.
        pixel_digest: of size and pixels (a JPEG's at reduced scale).
        format: of the content, such as "JPEG"; "" for arrays.
        width: pixels, upright.
        height: pixels, upright.
        mode: colour mode as stored, such as "RGB", "CMYK".
        orientation: of EXIF, 1 when upright as stored.
        size: bytes.
        spread: standard deviation of the grey values; near 0 is a blank image.
        hash: 64-bit difference hash.
        grey: (16, 16) uint8 as bytes.
        colours: (4, 4, 3) uint8 as bytes.
    """

    reason: str | None
    file_digest: bytes = b""
    pixel_digest: bytes = b""
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    orientation: int = 1
    size: int = 0
    spread: float = 0.0
    hash: int = 0
    grey: bytes = b""
    colours: bytes = b""


def examine_all(sources: Sequence[Source], names: Sequence[str]) -> list[Exam]:
    """Examine every image with a progress bar; memory does not depend on how large the images are."""
    return look_at_all(lambda i: _examine_one(sources, names, i), len(names), "Checking photos")


def look_at_all(look: Callable[[int], Look], count: int, words: str) -> list[Look]:
    """Return `look(i)` for i below `count`, in threads, with a progress bar."""
    found: list[Look] = []
    with ThreadPoolExecutor(usable_cores(), "kerasvision-doctor") as pool, bar(words, count) as advance:
        for start in range(0, count, CHUNK):
            for one in pool.map(look, range(start, min(start + CHUNK, count))):
                found.append(one)
                advance()
    return found


def _examine_one(sources: Sequence[Source], names: Sequence[str], index: int) -> Exam:
    try:
        source = sources[index]
    except BadImageError as error:  # a face that cannot be aligned
        return Exam(error.reason)
    return examine(source, names[index])


def examine(source: Source, name: str) -> Exam:
    """Decode one image and describe it; what is wrong with it becomes `reason`."""
    try:
        content = _bytes(source)
        if isinstance(source, np.ndarray):
            picture, facts = open_image(source, name=name), {"mode": "RGB" if source.ndim == 3 else "L"}
        else:
            picture, facts = open_image(content, at_least=(LOOK, LOOK), name=name), _header(content)
    except BadImageError as error:
        return Exam(error.reason)
    facts.setdefault("width", picture.width)
    facts.setdefault("height", picture.height)
    return Exam(
        reason=None,
        file_digest=blake2b(content, digest_size=16).digest(),
        pixel_digest=_pixel_digest(picture, facts["width"], facts["height"]),
        size=len(content),
        **facts,
        **appearance(picture),
    )


def _bytes(source: Source) -> bytes:
    if isinstance(source, np.ndarray):
        return np.ascontiguousarray(source).tobytes()
    if isinstance(source, bytes):
        return source
    path = os.fspath(source)
    with open_photo(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise BadImageError(path, f"has {size / 1e9:.1f} GB, more than a photo can have")
        try:
            return file.read()
        except OSError as error:
            raise BadImageError(path, f"cannot be read: {error.strerror or error}") from error


def _header(content: bytes) -> dict:
    with Image.open(BytesIO(content), formats=FORMATS) as image:
        turned = orientation(image)
        height, width = upright(image)
        kind = "JPEG" if image.format == "MPO" else image.format
        mode = "RGBA" if "transparency" in image.info and image.mode == "RGB" else image.mode
    return {"format": kind, "width": width, "height": height, "mode": mode, "orientation": turned}


def _pixel_digest(picture: Image.Image, width: int, height: int) -> bytes:
    digest = blake2b(f"{width} {height} {picture.size}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.digest()


def appearance(picture: Image.Image) -> dict:
    """Return how an image looks in a few bytes: `spread`, `hash`, `grey`, `colours`.

    The hash is the difference hash: a bit says whether a pixel of the 9 x 8 picture is darker than its right
    neighbour. It survives scaling and compression.

    Source: Krawetz, 2013, "Kind of like that".
    """
    small = picture.resize((LOOK, LOOK), Image.Resampling.BILINEAR, reducing_gap=3.0)
    grey = small.convert("L")
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BILINEAR)).astype(np.int16)
    bits = np.packbits(steps[:, :-1] < steps[:, 1:])
    return {
        "spread": float(np.asarray(grey).std()),
        "hash": int.from_bytes(bits.tobytes(), "big"),
        "grey": grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes(),
        "colours": small.resize((4, 4), Image.Resampling.BILINEAR).tobytes(),
    }
