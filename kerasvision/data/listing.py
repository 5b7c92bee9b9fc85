"""Find the images in a folder, and count what else lies there."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kerasvision.data.decoding import IMAGE_SUFFIXES
from kerasvision.data.wording import by_suffix, several
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
        counts = ((self.images, "image"), (self.folders, "folder"), (self.other_files, "other file"))
        kinds = f" ({by_suffix(self.others)})" if self.others else ""
        return ", ".join(several(len(names), noun) for names, noun in counts) + kinds


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
    listing = _walk(root)
    for found in (listing.images, listing.folders, listing.repeated):
        found.sort()
    return listing


def _walk(root: Path) -> Listing:
    listing, visited = Listing(), set()
    folders, links = [("", os.path.realpath(root))], []  # each with what it really is
    while folders or links:
        # Links come after all real folders, so that a link never takes the place of one.
        inside, real = folders.pop() if folders else links.pop()
        if real in visited:
            listing.repeated.append(inside)
            continue
        visited.add(real)
        if inside:
            listing.folders.append(inside)
        for entry in _entries(real):
            name = f"{inside}/{entry.name}" if inside else entry.name
            if not _is_folder(entry):
                _add_file(listing, name)
            elif entry.is_symlink():
                links.append((name, os.path.realpath(entry.path)))
            else:
                folders.append((name, entry.path))
    return listing


def _entries(folder: str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be listed: {error.strerror or error}.") from error
    return [e for e in found if not e.name.startswith(".") and e.name.lower() not in _IGNORED]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: if it is named as an image, reading it says so
        return False


def _add_file(listing: Listing, name: str) -> None:
    suffix = os.path.splitext(name)[1].lower()
    if suffix in IMAGE_SUFFIXES:
        listing.images.append(name)
    else:
        listing.others[suffix] += 1
        listing.other_files.append(name)
