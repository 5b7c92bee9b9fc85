"""Write files so that a reader never sees half of one, and say it clearly when that fails."""

import csv
import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

from kerasvision.errors import KerasvisionError


@contextmanager
def write_atomically(path: str | os.PathLike, mode: str = "wb"):
    r"""Open a temporary file that takes the place of `path` when the block ends without an error.

    In text, what is no valid Unicode (file names of other bytes than UTF-8) is written as an escape such as
    `\udce9`, which JSON reads back as it was.

    Args:
        path: the file to write; its folder must exist.
        mode: `"wb"` or `"w"` (UTF-8).

    Raises:
        KerasvisionError: the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def explain_os_error(error: OSError, path: str | os.PathLike) -> OSError | KerasvisionError:
    """Return a `KerasvisionError` that says what to do about a disk error, or the error itself."""
    reasons = {
        errno.ENOSPC: "the disk is full. Free some space and call again: what was finished is kept",
        errno.EDQUOT: "the disk quota is used up. Free some space and call again: what was finished is kept",
        errno.EROFS: "the file system is read-only. Choose another folder",
        errno.EACCES: "permission denied. Choose a folder that you can write to",
        errno.EPERM: "not permitted. Choose a folder that you can write to",
        errno.ENAMETOOLONG: "the name is too long for this file system. Choose a shorter one",
        errno.ENOTDIR: "a part of this path is a file, not a folder. Choose another folder",
    }
    if error.errno in reasons:
        return KerasvisionError(f"Cannot write {os.fspath(path)}: {reasons[error.errno]}.")
    return error


def make_folder(path: str | os.PathLike) -> Path:
    """Create a folder (and its parents) and check that files can be written into it.

    Raises:
        KerasvisionError: it cannot be created or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise KerasvisionError(f"{path} is a file, not a folder. Choose another folder.") from None
    except OSError as error:
        raise explain_os_error(error, path) from error
    return path


@contextmanager
def locked(path: str | os.PathLike, *, seconds: float = 30.0):
    """Let one process at a time read a file, change it and write it, while the block runs.

    The operating system drops the lock when the process ends in any way. A hidden, empty file beside `path`
    holds it, because `write_atomically` puts another file in the place of `path` itself.

    Args:
        path: the file; its folder must exist, it need not.
        seconds: how long to wait for another process.

    Raises:
        KerasvisionError: another process held it all the time, or the folder cannot be written to.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.lock")
    try:
        file = open(beside, "a+b")
    except OSError as error:
        raise explain_os_error(error, beside) from error
    with file:
        until = time.monotonic() + seconds
        while not take_lock(file):
            if time.monotonic() > until:
                raise KerasvisionError(
                    f"Another process has been writing {path} for {seconds:g} seconds. "
                    f"Wait until it has ended."
                )
            time.sleep(0.02)
        yield


def take_lock(file) -> bool:
    """Lock an open file until it is closed, and tell whether that was possible; does not wait."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def write_json(path: str | os.PathLike, value) -> None:
    """Write a value as indented UTF-8 JSON, atomically."""
    with write_atomically(path, "w") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read_json(path: str | os.PathLike):
    """Read a UTF-8 JSON file.

    Raises:
        KerasvisionError: it is not JSON.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise KerasvisionError(f"{os.fspath(path)} is not valid JSON: {error}.") from None


def write_csv(path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a UTF-8 CSV file with a header, atomically."""
    with write_atomically(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, or of a folder's files and their names, as hexadecimal digits."""
    path = Path(path)
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with open(file, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
