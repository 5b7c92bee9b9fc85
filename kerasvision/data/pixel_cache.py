"""Decoded pixels on disk, so that a photo is decoded once and not once an epoch.

One folder a data set and preprocessing: `pixels.bin` holds one slot an image, `filled.bin` a checksum a
slot, written after the pixels. A process that is killed, two processes at once and a power cut can leave
a slot without a fitting checksum; it then counts as empty. Both files are read and written with `pread`
and `pwrite`: mapped pages would count as memory of the process.
"""

import errno
import hashlib
import os
import re
import shutil
import sys
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kerasvision.data.positional import open_for_writing, read_at, write_at
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import DataError
from kerasvision.progress import say

DEFAULT_LIMIT = 4 << 30
_FORMAT = "1"
_PIXELS, _FILLED, _LAST_USED = "pixels.bin", "filled.bin", "last_used"
_FILES = {_PIXELS, _FILLED, _LAST_USED}
_NAME = re.compile("[0-9a-f]{32}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class PixelCache:
    """The decoded images of one data set at one preprocessing.

    Args:
        folder: where it is kept; made on first use.
        count: number of slots.
        image_size: (height, width).
    """

    def __init__(self, folder: str | os.PathLike, count: int, image_size: tuple[int, int]):
        """Point at a folder; nothing is read or written yet."""
        self.folder, self.count, self.image_size = Path(folder), count, tuple(image_size)
        self.slot_bytes = image_size[0] * image_size[1] * 3
        self._lock = threading.Lock()
        self._files: tuple[int, int] | None = None
        self._off = False

    def read_into(self, slot: int, image: np.ndarray) -> bool:
        """Fill `image` (h, w, 3) uint8 from a slot; `False` if the slot holds nothing that fits."""
        files = self._open()
        if files is None:
            return False
        try:
            expected = int.from_bytes(read_at(files[1], 4, int(slot) * 4), "little")
            if not expected:
                return False
            pixels = read_at(files[0], self.slot_bytes, int(slot) * self.slot_bytes)
        except OSError as error:
            self._give_up(error)
            return False
        if len(pixels) != self.slot_bytes or _checksum(pixels) != expected:
            return False
        image[:] = np.frombuffer(pixels, np.uint8).reshape(image.shape)
        return True

    def write(self, slot: int, image: np.ndarray) -> None:
        """Keep an image (h, w, 3) uint8. When the disk is full the cache is given up, which is said once."""
        files = self._open()
        if files is None:
            return
        pixels = np.ascontiguousarray(image).tobytes()
        try:
            write_at(files[0], pixels, int(slot) * self.slot_bytes)
            write_at(files[1], _checksum(pixels).to_bytes(4, "little"), int(slot) * 4)
        except OSError as error:
            self._give_up(error)

    def filled(self) -> int:
        """Return the number of slots that hold an image."""
        files = self._open()
        return (
            int(np.count_nonzero(np.frombuffer(read_at(files[1], self.count * 4, 0), "<u4"))) if files else 0
        )

    def close(self) -> None:
        """Close the files; they are opened again when needed."""
        with self._lock:
            for file in self._files or ():
                os.close(file)
            self._files = None

    def _open(self) -> tuple[int, int] | None:
        if self._files is not None or self._off:
            return self._files
        with self._lock:
            if self._files is None and not self._off:
                try:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._files = (
                        _open_sized(self.folder / _PIXELS, self.count * self.slot_bytes),
                        _open_sized(self.folder / _FILLED, self.count * 4),
                    )
                    touch(self.folder)
                except OSError as error:
                    self._off = True
                    self._say(error)
        return self._files

    def _give_up(self, error: OSError) -> None:
        with self._lock:
            told, self._off = self._off, True
        if not told:
            self._say(error)
        # The files stay open: other threads may be reading what was kept so far, and that stays right.

    def _say(self, error: OSError) -> None:
        why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        say(
            f"The cache of decoded pixels in {self.folder} is not used further: {why}. "
            f"Photos are decoded again."
        )

    def __getstate__(self):
        return {"folder": self.folder, "count": self.count, "image_size": self.image_size}

    def __setstate__(self, state):
        self.__init__(**state)

    def __del__(self):
        if getattr(self, "_files", None):
            self.close()


def cache_home() -> Path:
    """Return the folder for caches: `KERASVISION_CACHE`, or `kerasvision` in the platform's cache folder."""
    if own := os.environ.get("KERASVISION_CACHE"):
        return Path(own).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "kerasvision"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "kerasvision"
    caches = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return caches / "kerasvision"


def pixel_cache(
    cache: bool | str | os.PathLike,
    *,
    facts: Iterable[str],
    count: int,
    preprocessing: Preprocessing,
    encoded_bytes: int,
    limit: int = DEFAULT_LIMIT,
    outside: Path | None = None,
) -> PixelCache | None:
    """Return the cache for a data set, or `None` if none is wanted.

    Args:
        cache: `False`; `True`; a folder; or `"auto"`: where decoding costs more than reading pixels (the
            files have at least a quarter of the bytes of their pixels), all fits below `limit`, and the
            disk has twice as much free.
        facts: what tells this data set from others (names, sizes and times of files).
        count: number of images.
        preprocessing: how they are read.
        encoded_bytes: size of all files together.
        limit: bytes that all caches in the folder may take. Those not used for longest are deleted.
        outside: a folder of the user's that the cache must not lie in.

    Raises:
        DataError: a cache is demanded and does not fit below `limit`, or it would lie inside of `outside`.
    """
    if cache is False:
        return None
    if cache is not True and not isinstance(cache, str | os.PathLike):
        raise DataError(f'`cache` must be "auto", True, False or a folder. Received: {cache!r}.')
    home = (cache_home() if cache in (True, "auto") else Path(cache).expanduser()) / "pixels"
    height, width = preprocessing.image_size
    need = count * (height * width * 3 + 4)
    if cache == "auto" and not (4 * encoded_bytes >= need and need <= limit and _has_room(home, need)):
        return None
    if need > limit:
        raise DataError(
            f"The decoded pixels take {need / 1e9:.1f} GB, more than `cache_limit` = {limit / 1e9:.1f} GB. "
            f"Raise it, or pass cache=False."
        )
    if outside is not None and home.resolve().is_relative_to(outside.resolve()):
        raise DataError(
            f"The cache of decoded pixels would lie among the photos, in {home}. Pass another folder as "
            f"`cache`, or set KERASVISION_CACHE."
        )
    digest = hashlib.sha256(f"{_FORMAT} {preprocessing.to_dict()} {count}".encode())
    for fact in facts:
        digest.update(fact.encode(errors="surrogateescape") + b"\0")
    folder = home / digest.hexdigest()[:32]
    make_room(home, need, limit, keep=folder)
    return PixelCache(folder, count, preprocessing.image_size)


def make_room(home: Path, need: int, limit: int, keep: Path | None = None) -> None:
    """Delete the caches that were not used for longest until `need` more bytes stay within `limit`.

    A process that is reading a deleted cache keeps its open files and is not disturbed. What else lies in
    `home` may be the user's, and neither counts nor is touched.
    """
    if not home.is_dir():
        return
    others = sorted((f for f in home.iterdir() if f != keep and _is_cache(f)), key=_age, reverse=True)
    total = need + sum(map(_size, others))
    for folder in others:
        if total <= limit:
            return
        total -= _size(folder)
        shutil.rmtree(folder, ignore_errors=True)


def touch(folder: Path) -> None:
    """Note that a cache is in use now."""
    (folder / _LAST_USED).write_text(f"{time.time()}\n")


def _is_cache(folder: Path) -> bool:
    try:
        return bool(_NAME.fullmatch(folder.name)) and set(os.listdir(folder)) <= _FILES
    except OSError:  # not a folder, or deleted meanwhile by another process
        return False


def _has_room(home: Path, need: int) -> bool:
    there = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    return there is not None and os.access(there, os.W_OK) and shutil.disk_usage(there).free > 2 * need


def _age(folder: Path) -> float:
    try:
        return time.time() - (folder / _LAST_USED).stat().st_mtime
    except OSError:
        return float("inf")


def _size(folder: Path) -> int:
    """Return what a cache takes once it is filled: until then its files are sparse."""
    total = 0
    for file in folder.glob("*"):
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


def _open_sized(path: Path, size: int) -> int:
    file = open_for_writing(path)
    if os.fstat(file).st_size != size:
        os.ftruncate(file, size)
    return file


def _checksum(pixels: bytes) -> int:
    return zlib.crc32(pixels) or 1  # 0 stands for an empty slot
