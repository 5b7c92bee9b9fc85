"""Read and write a file at a place, by several threads at once, also where the system has no `pread`."""

import os
import threading

_lock = threading.Lock()


def open_for_reading(path: str | os.PathLike) -> int:
    """Return a file descriptor for `read_at`."""
    return os.open(path, os.O_RDONLY | _flags())


def open_for_writing(path: str | os.PathLike) -> int:
    """Return a file descriptor for `read_at` and `write_at`; the file is made if it is not there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _flags(), 0o666)


def read_at(file: int, size: int, offset: int) -> bytes:
    """Return up to `size` bytes from `offset`; fewer at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(file, size, offset)
    with _lock:
        os.lseek(file, offset, os.SEEK_SET)
        return os.read(file, size)


def write_at(file: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`."""
    view = memoryview(data)
    while view:
        written = _write_some(file, view, offset)
        view, offset = view[written:], offset + written


def _write_some(file: int, view: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, view, offset)
    with _lock:
        os.lseek(file, offset, os.SEEK_SET)
        return os.write(file, view)


def _flags() -> int:
    return getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
