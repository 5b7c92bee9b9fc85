"""Some items of a sequence, and what tells sources apart without reading them."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from kerasvision.data.decoding import Source


class Picked(Sequence):
    """Some items of a sequence, by index, without copying them."""

    def __init__(self, items: Sequence, indices: np.ndarray):
        """Look at `items[indices[0]]`, `items[indices[1]]` and so on."""
        self.items, self.indices = items, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int):
        return self.items[int(self.indices[index])]

    def fingerprint(self) -> str | None:
        """Return what tells these items from others, where the sequence knows it without reading them all."""
        whole = getattr(self.items, "fingerprint", None)
        facts = whole() if whole is not None else None
        return facts and f"{facts} {hashlib.sha256(np.asarray(self.indices, np.int64)).hexdigest()}"


def source_facts(source: Source) -> str:
    """Return what tells one source from another: size and time of a file, a digest of bytes and arrays."""
    if isinstance(source, str | os.PathLike):
        try:
            status = os.stat(source)
        except OSError:
            return "missing"
        return f"{status.st_size} {status.st_mtime_ns}"
    if isinstance(source, np.ndarray):
        return f"{source.shape} {hashlib.sha256(np.ascontiguousarray(source)).hexdigest()}"
    return hashlib.sha256(source).hexdigest()
