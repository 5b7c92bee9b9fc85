"""Read all images of a data set once: find the bad ones, and fill the pixel cache on the way."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from kerasvision.data.loading import usable_cores
from kerasvision.data.pixel_cache import PixelCache, pixel_cache
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.vision_data import source_facts
from kerasvision.errors import BadImageError
from kerasvision.progress import bar


@dataclass(frozen=True)
class Found:
    """Labelled image files, before any is read.

    Args:
        paths: N absolute paths.
        names: N names for people.
        labels: (N,) int32.
        splits: (N,) of "train", "validation", "test", or `None` where the data do not say.
    """

    paths: Sequence[str]
    names: Sequence[str]
    labels: np.ndarray
    splits: np.ndarray | None


def open_cache(
    cache: bool | str | os.PathLike, found: Found, preprocessing: Preprocessing, limit: int
) -> PixelCache | None:
    """Return the pixel cache for these files, or `None` if none is wanted (see `pixel_cache`)."""
    if cache is False:
        return None
    facts = [source_facts(path) for path in found.paths]
    return pixel_cache(
        cache,
        facts=(f"{path} {fact}" for path, fact in zip(found.paths, facts, strict=True)),
        count=len(facts),
        preprocessing=preprocessing,
        encoded_bytes=sum(int(fact.split()[0]) for fact in facts if fact != "missing"),
        limit=limit,
    )


def readable(
    found: Found, preprocessing: Preprocessing, cache: PixelCache | None
) -> tuple[np.ndarray, list[BadImageError]]:
    """Read every image; return the indices of those that can be read, and the errors of the others.

    What is decoded goes into the cache, and what is there already is not decoded again.
    """

    def problem(index: int) -> BadImageError | None:
        image = np.empty((*preprocessing.image_size, 3), np.uint8)
        if cache is not None and cache.read_into(index, image):
            return None
        try:
            image = preprocessing.read(found.paths[index])
        except BadImageError as error:
            return BadImageError(error.path, error.reason)  # without the traceback and what it holds on to
        if cache is not None:
            cache.write(index, image)
        return None

    good, bad = [], []
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="kerasvision-check")
    try:
        with bar("Reading photos", len(found.paths)) as advance:
            for index, error in enumerate(pool.map(problem, range(len(found.paths)))):
                good.append(index) if error is None else bad.append(error)
                advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return np.array(good, np.int64), bad
