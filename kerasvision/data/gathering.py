"""From whatever holds images (paths, folders, patterns, arrays, PIL images) to sources that can be read."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kerasvision.data.decoding import from_pil
from kerasvision.data.listing import list_images
from kerasvision.errors import BadImageError, DataError


def gather(images) -> tuple[list, list[str]]:
    """Return sources that can be read one by one, and their names.

    Args:
        images: a path of an image, a folder (its images, also in folders inside), a pattern with `*`, a
            PIL image, encoded bytes, a uint8 array (h, w, 3) or (n, h, w, 3), or a sequence of these.

    Raises:
        DataError: nothing was found, or of a type that cannot be read.
    """
    sources, names = [], []
    for source, name in _each(images):
        sources.append(source)
        names.append(name or f"image #{len(sources)}")
    if not sources:
        raise DataError(f"`images` holds no images. Received: {_short(images)}.")
    return sources, names


def _each(images) -> Iterable[tuple]:
    if isinstance(images, str | os.PathLike):
        yield from _files(os.fspath(images))
    elif isinstance(images, bytes | bytearray):
        yield bytes(images), None
    elif isinstance(images, np.ndarray):
        yield from ((image, None) for image in (images if images.ndim == 4 else [images]))
    elif hasattr(images, "convert") and hasattr(images, "getexif"):
        name = getattr(images, "filename", "")
        yield np.asarray(from_pil(images, name or "image")), name or None
    elif isinstance(images, Iterable):
        for image in images:
            yield from _each(image)
    else:
        raise DataError(
            "`images` must be paths, folders, patterns, arrays or PIL images. "
            f"Received: {type(images).__name__}."
        )


def _files(path: str) -> list[tuple[str, str]]:
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        found = [os.path.join(path, name) for name in list_images(path).images]
        if not found:
            raise DataError(f"There are no images in {path}.")
    elif os.path.exists(path):
        found = [path]
    elif glob.has_magic(path):
        found = sorted(glob.glob(path, recursive=True))
        if not found:
            raise DataError(f"No file matches {path!r}. The pattern is taken from {Path.cwd()}.")
    else:
        raise BadImageError(path, "is not there")
    return [(os.path.abspath(file), file) for file in found if not os.path.isdir(file)]


def _short(value) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
