"""A gallery as one file, which is refused when a bit of it is not as it was written.

The bytes `kerasvision gallery` and a newline; the SHA-256 of everything after it; the length of the header
in eight bytes, little-endian; the header, JSON in ASCII; the vectors, (photos, dimensions) float32,
little-endian.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from kerasvision.embedding.gallery_records import Records
from kerasvision.errors import KerasvisionError
from kerasvision.files import write_atomically

MAGIC, VERSION = b"kerasvision gallery\n", 1
_DIGEST, _LENGTH = 32, 8


def write_gallery(path: str | os.PathLike, records: Records, facts: dict) -> None:
    """Write a gallery atomically; `facts` are put into the header as they are."""
    header = {
        "version": VERSION,
        **facts,
        "people": records.people,
        "owners": records.owners.tolist(),
        "photos": records.photos,
        "digests": records.digests,
        "shape": records.vectors.shape,
    }
    encoded = json.dumps(header).encode("ascii")
    vectors = np.ascontiguousarray(records.vectors, "<f4")
    raw = vectors.data.cast("B") if vectors.size else b""
    parts = [len(encoded).to_bytes(_LENGTH, "little"), encoded, raw]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    with write_atomically(path) as file:
        for part in (MAGIC, digest.digest(), *parts):
            file.write(part)


def read_gallery(path: str | os.PathLike) -> tuple[Records, dict]:
    """Return the photos and the facts of a gallery.

    Raises:
        KerasvisionError: it is not there, no gallery, of a later version, or damaged.
    """
    content = _content(path)
    body = content[len(MAGIC) + _DIGEST :]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : len(MAGIC) + _DIGEST]:
        raise KerasvisionError(
            f"{os.fspath(path)} is damaged: it is not as it was written. Take a copy, or build the "
            f"gallery again."
        )
    # What follows is what was written, so it can be trusted to be well-formed.
    length = int.from_bytes(body[:_LENGTH], "little")
    facts = json.loads(bytes(body[_LENGTH : _LENGTH + length]))
    if facts.pop("version") != VERSION:
        raise KerasvisionError(f"{os.fspath(path)} was written by a later version of kerasvision. Update it.")
    vectors = np.frombuffer(body[_LENGTH + length :], "<f4").reshape(facts.pop("shape")).astype(np.float32)
    records = Records(
        people=tuple(facts.pop("people")),
        owners=np.array(facts.pop("owners"), np.int64),
        photos=tuple(facts.pop("photos")),
        digests=tuple(facts.pop("digests")),
        vectors=vectors,
    )
    return records, facts


def check_is_gallery(path: str | os.PathLike) -> None:
    """Refuse a file that is no gallery, damaged or not."""
    with open(path, "rb") as file:
        _check_magic(path, file.read(len(MAGIC)))


def _content(path: str | os.PathLike) -> memoryview:
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise KerasvisionError(f"{path} is not there. The working folder is {Path.cwd()}.") from None
    except OSError as error:
        raise KerasvisionError(f"{path} cannot be read: {error.strerror or error}.") from error
    _check_magic(path, content)
    return memoryview(content)


def _check_magic(path: str | os.PathLike, content: bytes) -> None:
    if not content.startswith(MAGIC):
        raise KerasvisionError(
            f"{os.fspath(path)} is not a gallery. Files of galleries are written by `Gallery.save`."
        )
