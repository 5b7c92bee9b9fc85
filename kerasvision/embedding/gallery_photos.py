"""Photos on their way into a gallery: read by the embedder, told apart by their content."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.decoding import open_image
from kerasvision.data.folders import find_layout, label_by_folder
from kerasvision.data.listing import list_images
from kerasvision.data.wording import listed
from kerasvision.errors import BadImageError, DataError, KerasvisionError
from kerasvision.files import sha256
from kerasvision.progress import bar

BLOCK = 256  # photos that are handed to the embedder at once


@dataclass(frozen=True, eq=False)
class Photos:
    """Embedded photos, not yet in a gallery.

    Attributes:
        names: n names of people.
        photos: n names of photos.
        digests: n digests of their content.
        vectors: (n, d) float32.
        skipped: photos that were left out.
    """

    names: Sequence[str]
    photos: Sequence[str]
    digests: Sequence[str]
    vectors: np.ndarray
    skipped: tuple[BadImageError, ...] = ()


def photos_of_people(folder: str | os.PathLike, on_bad_file: str):
    """List the photos of a folder with a folder for each person, perhaps inside `train`, `val` and `test`.

    Returns:
        Names of people, paths, names of photos, and what was left out.

    Raises:
        DataError: no photos, photos beside the folders, folders that may be people or splits, or (`"raise"`)
            a person without a photo.
    """
    root = Path(folder).expanduser()
    listing = list_images(root)
    if not listing.images or not listing.folders:
        raise DataError(
            f"{root} must have a folder for each person, with photos in it. Found: {listing.found()}."
        )
    skip, layout = on_bad_file == "skip", find_layout(root, listing, task="embed")
    people = layout.classes
    found, stray = label_by_folder(root.absolute(), listing, layout, skip=skip)
    empty = [name for i, name in enumerate(people) if i not in set(found.labels.tolist())]
    if empty and not skip:
        raise DataError(
            f"There is no photo of {listed(empty)} in {root}. Add photos, remove the folder, or leave it out "
            f'with on_bad_file="skip".'
        )
    depth = 1 if layout.splits else 0
    theirs = [
        name for name in listing.folders if name.count("/") == depth and name.split("/")[depth] in empty
    ]
    stray = [*stray, *(BadImageError(root / name, "has no photo") for name in theirs)]
    return [people[label] for label in found.labels], found.paths, found.names, tuple(stray)


def embed_photos(
    embedder, names: Sequence[str], sources: Sequence, photos: Sequence[str], on_bad_file: str
) -> Photos:
    """Embed photos block by block, with progress.

    Raises:
        BadImageError: (`"raise"`) a photo cannot be read.
    """
    vectors, kept, skipped = [], [], []
    with bar("Enrolling", len(sources)) as advance:
        for start in range(0, len(sources), BLOCK):
            block = list(range(start, min(start + BLOCK, len(sources))))
            good, bad, found = _embed_block(embedder, sources, photos, block, on_bad_file)
            vectors.append(found)
            kept += good
            skipped += bad
            advance(len(block))
    if not kept:
        raise DataError(f"None of the {len(sources)} photos can be read, for example {skipped[0]}.")
    return Photos(
        names=[names[i] for i in kept],
        photos=[photos[i] for i in kept],
        digests=[digest(sources[i]) for i in kept],
        vectors=np.concatenate([found for found in vectors if len(found)]),
        skipped=tuple(skipped),
    )


def _embed_block(embedder, sources, photos, block: list[int], on_bad_file: str):
    """Return which photos of a block can be read, the errors of the others, and (n, d) vectors."""
    bad: dict[int, BadImageError] = {}
    while good := [i for i in block if i not in bad]:
        try:
            return good, list(bad.values()), embedded(embedder, [sources[i] for i in good])
        except BadImageError as error:
            if on_bad_file == "raise":
                raise
            # All of the block that cannot be read, as each try costs the embedding of the others.
            found = {i: problem for i in good if (problem := _problem(sources[i], photos[i]))}
            named = [i for i in good if str(sources[i]) == error.path] if not found else []
            bad |= found | {i: BadImageError(error.path, error.reason) for i in named}
            if not found and not named:
                raise
    return [], list(bad.values()), np.empty((0, 0), np.float32)


def _problem(source, photo: str) -> BadImageError | None:
    try:
        open_image(source, name=photo)
    except BadImageError as error:
        return BadImageError(error.path, error.reason)  # without the traceback and what it holds on to
    return None


def embedded(embedder, images: Sequence) -> np.ndarray:
    """Return (n, d) float32 embeddings, one an image.

    Raises:
        KerasvisionError: the embedder gives something else, or what is not finite.
    """
    return checked_vectors("embedder", embedder.embed(list(images)), len(images))


def checked_vectors(name: str, vectors, count: int) -> np.ndarray:
    """Return (count, d) finite float32 vectors, none of them all zeros, or say what is wrong."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1] or vectors.dtype.kind not in "fiu":
        raise KerasvisionError(
            f"`{name}` must give ({count}, d) numbers, one row an image. "
            f"Received: {vectors.shape} {vectors.dtype}."
        )
    vectors = vectors.astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(vectors).all(1) | ~vectors.any(1))
    if bad.size:
        raise KerasvisionError(
            f"`{name}` gives {bad.size} embeddings that are not finite or all zeros, the first for image "
            f"{bad[0]} of {count}: they are near nothing. Train the model again, with a lower learning rate."
        )
    return vectors


def digest(source) -> str:
    """Return a text that tells photos apart by their content: the bytes of files, the pixels of arrays."""
    if isinstance(source, str | os.PathLike):
        return sha256(source)[:32]
    if isinstance(source, np.ndarray):
        source = f"{source.shape} {source.dtype} ".encode() + np.ascontiguousarray(source).tobytes()
    return hashlib.sha256(source).hexdigest()[:32]


def checked_name(name: str) -> str:
    """Return the name of a person with accents in one way of writing them (file systems have two)."""
    if not isinstance(name, str) or not name.strip():
        raise KerasvisionError(f"`name` must be text that is not empty. Received: {name!r}.")
    return unicodedata.normalize("NFC", name.strip())
