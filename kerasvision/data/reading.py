"""Read all images of a data set once: find the bad ones, and fill the pixel cache on the way."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kerasvision.data.decoding import Source
from kerasvision.data.loading import usable_cores
from kerasvision.data.picking import Picked, source_facts
from kerasvision.data.pixel_cache import PixelCache, pixel_cache
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.progress import bar, say

_BLOCK = 1024  # what waits at once: a task takes about 1 kB


@dataclass(frozen=True)
class Found:
    """Labelled image files, before any is read.

    Args:
        paths: N absolute paths; or what is read in their place, such as aligned faces.
        names: N names for people.
        labels: (N,) int32.
        splits: (N,) of "train", "validation", "test", or `None` where the data do not say.
    """

    paths: Sequence[Source]
    names: Sequence[str]
    labels: np.ndarray
    splits: np.ndarray | None


@dataclass(frozen=True)
class Kept:
    """What is left once bad files and classes without an image are dealt with.

    Args:
        found: the images that stay.
        class_names: the classes that stay.
        slots: (N,) number of each image among all that were found: its place in the pixel cache.
        skipped: the images that were left out.
        notes: what else the user should know.
    """

    found: Found
    class_names: tuple[str, ...]
    slots: np.ndarray
    skipped: tuple[BadImageError, ...] = ()
    notes: tuple[str, ...] = ()


def keep_readable(
    found: Found,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    cache: PixelCache | None,
    on_bad_file: str,
) -> Kept:
    """Return all images (`"raise"`), or those that can be read (`"skip"`, which reads all of them now).

    Raises:
        DataError: `on_bad_file` is neither, no image can be read, or (`"raise"`) a class has no image.
    """
    check_mode(on_bad_file)
    everything = np.arange(len(found.paths))
    if on_bad_file == "raise":
        empty = _empty(class_names, found.labels)
        if empty:
            raise DataError(
                f"Classes without an image: {listed(empty)}. Add images, remove the class, or leave it "
                f'out with on_bad_file="skip".'
            )
        return Kept(found, tuple(class_names), everything)
    good, bad = readable(found, preprocessing, cache)
    if not len(good):
        raise DataError(f"None of the {len(everything)} images can be read, for example {bad[0]}.")
    kept = Found(
        paths=Picked(found.paths, good),
        names=[found.names[i] for i in good],
        labels=found.labels[good],
        splits=found.splits[good] if found.splits is not None else None,
    )
    return _without_empty_classes(Kept(kept, tuple(class_names), good, tuple(bad)))


def check_mode(on_bad_file: str) -> None:
    """Refuse anything but `"raise"` and `"skip"`."""
    if on_bad_file not in ("raise", "skip"):
        raise DataError(f'`on_bad_file` must be "raise" or "skip". Received: {on_bad_file!r}.')


def report_skipped(skipped: Sequence[BadImageError], most: int = 10) -> None:
    """Print which images and annotations were left out."""
    annotations = sum(isinstance(error, BadAnnotationError) for error in skipped)
    counts = ((len(skipped) - annotations, "image"), (annotations, "annotation"))
    what = " and ".join(several(count, noun) for count, noun in counts if count)
    if skipped:
        say(f"{what} {'was' if len(skipped) == 1 else 'were'} skipped:")
    for error in skipped[:most]:
        say(f"  {error}")
    if len(skipped) > most:
        say(f"  … and {len(skipped) - most} more, all in `.skipped`")


def first_of(errors: Sequence[BadImageError], what: str, on_bad_file: str = "raise") -> BadImageError:
    """Return the first error, which says how many more there are and how to leave `what` out.

    With `on_bad_file="skip"` it is raised for want of anything else, so that is what it says then.
    """
    more = f", and {several(len(errors) - 1, 'more problem')} of this kind" if len(errors) > 1 else ""
    advice = f'Mend it, or leave {what} out by on_bad_file="skip"'
    if on_bad_file == "skip":
        advice = f"Nothing is left without {what}"
    advice += "; kv.data.check lists all of them"
    return type(errors[0])(errors[0].path, f"{errors[0].reason}{more}. {advice}")


def open_cache(
    cache: bool | str | os.PathLike,
    found: Found,
    preprocessing: Preprocessing,
    limit: int,
    outside: Path | None = None,
    marks: Sequence[str] | None = None,
) -> PixelCache | None:
    """Return the pixel cache for these files, or `None` if none is wanted (see `pixel_cache`).

    `marks` says what else than the file the pixels of each image depend on.
    """
    if cache is False:
        return None
    facts = [source_facts(path) for path in found.paths]
    marks = [""] * len(facts) if marks is None else [f" {mark}" for mark in marks]
    return pixel_cache(
        cache,
        facts=(f"{path} {fact}{mark}" for path, fact, mark in zip(found.paths, facts, marks, strict=True)),
        count=len(facts),
        preprocessing=preprocessing,
        encoded_bytes=sum(int(fact.split()[0]) for fact in facts if fact != "missing"),
        limit=limit,
        outside=outside,
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
            image = preprocessing.read(found.paths[index], found.names[index])
        except BadImageError as error:
            return BadImageError(error.path, error.reason)  # without the traceback and what it holds on to
        if cache is not None:
            cache.write(index, image)
        return None

    good, bad = [], []
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="kerasvision-check")
    try:
        with bar("Reading photos", len(found.paths)) as advance:
            for start in range(0, len(found.paths), _BLOCK):
                block = range(start, min(start + _BLOCK, len(found.paths)))
                for index, error in zip(block, pool.map(problem, block), strict=True):
                    good.append(index) if error is None else bad.append(error)
                    advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return np.array(good, np.int64), bad


def _without_empty_classes(kept: Kept) -> Kept:
    empty = _empty(kept.class_names, kept.found.labels)
    if not empty:
        return kept
    names = tuple(name for name in kept.class_names if name not in empty)
    renumbered = np.cumsum([name not in empty for name in kept.class_names]) - 1
    return replace(
        kept,
        found=replace(kept.found, labels=renumbered[kept.found.labels].astype(np.int32)),
        class_names=names,
        notes=(*kept.notes, f"Classes left out, as they have no image: {listed(empty)}."),
    )


def _empty(class_names: Sequence[str], labels: np.ndarray) -> list[str]:
    counts = np.bincount(labels, minlength=len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if not count]
