"""Find the images in a folder, and count what else lies there."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kerasvision.data.decoding import IMAGE_SUFFIXES
from kerasvision.errors import DataError

_IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "icon\r"})


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        images: paths relative to the folder, with `/`, sorted.
        folders: every folder below it, relative, sorted.
        others: number of files that are no images, by suffix.
        other_files: the same files, relative, in the order found.
        repeated: links to folders that had been visited already, relative.
    """

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: Counter = field(default_factory=Counter)
    other_files: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def found(self) -> str:
        """Say what is there, for a message."""
        kinds = ", ".join(
            f"{count} {suffix or 'without a suffix'}" for suffix, count in self.others.most_common(6)
        )
        return (
            f"{len(self.images)} images, {len(self.folders)} folders, {self.others.total()} other files"
            + (f" ({kinds})" if kinds else "")
        )


def list_images(folder: str | os.PathLike) -> Listing:
    """List the images in a folder and all folders below it, by suffix.

    Hidden files and those that systems leave behind (`.DS_Store`, `Thumbs.db`, `__MACOSX`) do not count.
    A link to a folder is followed, but no folder is visited twice, so that loops end.

    Args:
        folder: the folder.

    Raises:
        DataError: it is not there, not a folder, or may not be read.
    """
    root = Path(folder).expanduser()
    if not root.exists():
        raise DataError(f"`folder` {root} is not there. The working folder is {Path.cwd()}.")
    if not root.is_dir():
        kind = (
            "an archive: unpack it first"
            if root.suffix.lower() in (".zip", ".tar", ".gz", ".tgz")
            else "a file"
        )
        raise DataError(f"`folder` {root} must be a folder. Received: {kind}.")
    listing = Listing()
    for image in _walk(root, "", {os.path.realpath(root)}, listing):
        listing.images.append(image)
    listing.images.sort()
    listing.folders.sort()
    return listing


def _walk(root: Path, inside: str, visited: set[str], listing: Listing) -> Iterator[str]:
    try:
        with os.scandir(root / inside) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"The folder {root / inside} cannot be listed: {error.strerror or error}.") from error
    links = []
    for entry in found:
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            continue
        name = f"{inside}{entry.name}"
        if not entry.is_dir():
            suffix = os.path.splitext(entry.name)[1].lower()
            if suffix in IMAGE_SUFFIXES:
                yield name
            else:
                listing.others[suffix] += 1
                listing.other_files.append(name)
        elif entry.is_symlink():
            links.append(name)
        else:
            yield from _enter(root, name, visited, listing)
    for name in links:  # after the real folders, so that a link never takes the place of one
        yield from _enter(root, name, visited, listing)


def _enter(root: Path, name: str, visited: set[str], listing: Listing) -> Iterator[str]:
    real = os.path.realpath(root / name)
    if real in visited:
        listing.repeated.append(name)
        return
    visited.add(real)
    listing.folders.append(name)
    yield from _walk(root, f"{name}/", visited, listing)
