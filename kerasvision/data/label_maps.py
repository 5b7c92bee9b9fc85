"""The label maps of a split as one value: read when they are needed, counted beforehand."""

import hashlib
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from PIL import Image

from kerasvision.data.decoding import Source, turned
from kerasvision.data.picking import Picked, source_facts
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import DataError
from kerasvision.metrics.segmentation import VOID

MOST_CLASSES = 255  # label maps are uint8, and 255 is void
KEPT_BYTES = 256 << 20  # of resized label maps in memory: 80,000 of CamVid's at 256 pixels


class Coding(Protocol):
    """How a stored mask says which class each pixel is of."""

    def read(self, source, name: str | None = None) -> np.ndarray:
        """Return the label map (H, W) uint8 that is stored so."""

    def facts(self) -> str:
        """Return what tells this coding from others."""


@dataclass(frozen=True)
class PlainCoding:
    """Sources that are label maps (H, W) uint8 themselves."""

    def read(self, source: np.ndarray, name: str | None = None) -> np.ndarray:
        """Return it as it is."""
        return source

    def facts(self) -> str:
        """Return what tells this coding from others."""
        return "label maps"


@dataclass(frozen=True, eq=False, repr=False)
class LabelMaps:
    """What class each pixel of each image is of; 255 is void: not known, or not to be learned.

    Args:
        sources: N masks as they are stored: paths, bytes, arrays or what else `coding` reads; may be lazy.
        pixels: (N, classes) int64, pixels of each class on each mask as it is stored.
        void: (N,) int64, void pixels.
        coding: how a source becomes a label map; by default it is one.
        names: N names to call the masks by in an error; by default their own.
        turns: (N,) EXIF orientation of photos whose masks lie on them as they are stored; by default 1.
        kept: where resized label maps stay; shared by the splits of a data set.
        slots: (N,) int, the place of each in `kept`.

    Raises:
        DataError: lengths do not fit.
    """

    sources: Sequence
    pixels: np.ndarray
    void: np.ndarray
    coding: Coding = PlainCoding()
    names: Sequence[str] | None = None
    turns: np.ndarray | None = None
    kept: "KeptMaps" = field(default_factory=lambda: KeptMaps())
    slots: np.ndarray | None = None

    def __post_init__(self):
        count = len(self.sources)
        pixels, void = np.asarray(self.pixels, np.int64), np.asarray(self.void, np.int64)
        slots = np.arange(count) if self.slots is None else self.slots
        if pixels.ndim != 2 or not len(pixels) == len(void) == len(slots) == count:
            raise DataError(
                f"`sources`, `pixels` (n, classes) and `void` (n,) must have one length. Received: {count}, "
                f"{pixels.shape} and {void.shape}."
            )
        for name, value in {"pixels": pixels, "void": void, "slots": slots}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.read(index)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(index) for index in range(len(self)))

    def __repr__(self) -> str:
        return f"LabelMaps({len(self):,} masks of {self.pixels.shape[1]} classes)"

    def read(self, index: int) -> np.ndarray:
        """Return a label map in pixels of the upright original photo.

        Returns:
            (H, W) uint8: class indices, and 255 where it is void. It may be shared: do not write into it.

        Raises:
            BadImageError: the mask can no longer be read.
        """
        name = None if self.names is None else self.names[index]
        stored = self.coding.read(self.sources[index], name)
        turn = 1 if self.turns is None else int(self.turns[index])
        return stored if turn == 1 else np.asarray(turned(Image.fromarray(stored), turn))

    def place(self, index: int, preprocessing: Preprocessing) -> np.ndarray:
        """Return a label map as its photo is resized, (h, w) uint8; it stays in memory for the next time."""
        slot = int(self.slots[index])
        placed = self.kept.get(slot, preprocessing)
        if placed is None:
            placed = preprocessing.read_mask(self.read(index))
            self.kept.put(slot, preprocessing, placed)
        return placed

    def take(self, indices: Sequence[int] | np.ndarray) -> "LabelMaps":
        """Return some of them, by indices (k,)."""
        indices = np.asarray(indices, np.int64)
        return replace(
            self,
            sources=Picked(self.sources, indices),
            pixels=self.pixels[indices],
            void=self.void[indices],
            names=None if self.names is None else Picked(self.names, indices),
            turns=None if self.turns is None else self.turns[indices],
            slots=self.slots[indices],
        )

    def rarest(self) -> np.ndarray:
        """Return for each image the class on it that has the fewest pixels in all, (N,) int32; -1: all void.

        It is what splits are stratified by: a rare class then comes into every split.
        """
        order = np.argsort(np.argsort(self.pixels.sum(0), kind="stable"), kind="stable")
        there = self.pixels > 0
        ranks = np.where(there, order, len(order))
        return np.where(there.any(1), ranks.argmin(1), -1).astype(np.int32)

    def fingerprint(self) -> str:
        """Return hexadecimal digits that change when the masks do; files are not read for it."""
        digest = hashlib.sha256(f"{self.coding.facts()} {self.pixels.shape}".encode())
        digest.update(self.pixels.tobytes())
        digest.update(self.void.tobytes())
        digest.update(b"" if self.turns is None else self.turns.tobytes())
        own = getattr(self.sources, "fingerprint", lambda: None)()
        if own is not None:
            digest.update(own.encode())
            return digest.hexdigest()
        for source in self.sources:
            digest.update(f"{source_facts(source)}\0".encode())
        return digest.hexdigest()


class KeptMaps:
    """Resized label maps in memory, compressed: about a twentieth of their size, and quick to unpack.

    To unpack one of 256 x 256 pixels takes 0.1 ms, to decode a mask of 2048 x 1024 13 ms (measured on one
    core of a Xeon). When `limit` bytes are full, no more are taken: those that are there save their share
    every epoch.
    """

    def __init__(self, limit: int = KEPT_BYTES):
        """Keep up to `limit` bytes."""
        self.limit = limit
        self._begin(None)
        self._lock = threading.Lock()

    def get(self, slot: int, preprocessing: Preprocessing) -> np.ndarray | None:
        """Return the label map (h, w) of a slot, resized so; `None` if it is not there."""
        with self._lock:
            packed = self._packed.get(slot) if self._preprocessing == preprocessing else None
        if packed is None:
            return None
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(preprocessing.image_size)

    def put(self, slot: int, preprocessing: Preprocessing, placed: np.ndarray) -> None:
        """Keep a label map, if there is room; those of another preprocessing make room for it."""
        packed = zlib.compress(np.ascontiguousarray(placed), 1)
        with self._lock:
            if self._preprocessing != preprocessing:
                self._begin(preprocessing)
            if slot not in self._packed and self._size + len(packed) <= self.limit:
                self._packed[slot] = packed
                self._size += len(packed)

    def _begin(self, preprocessing: Preprocessing | None) -> None:
        self._preprocessing, self._packed, self._size = preprocessing, {}, 0

    def __getstate__(self):
        return {"limit": self.limit}

    def __setstate__(self, state):
        self.__init__(**state)


def count_labels(label_map: np.ndarray, classes: int) -> tuple[np.ndarray, int]:
    """Return the pixels of each class on a label map, (classes,) int64, and how many are void.

    Raises:
        DataError: it holds a value that is neither a class nor 255.
    """
    counts = np.bincount(label_map.reshape(-1), minlength=256)
    wrong = np.flatnonzero(counts[classes:VOID]) + classes
    if len(wrong):
        raise DataError(
            f"A label map holds {wrong[0]}, which is neither a class (0 to {classes - 1}) nor {VOID} (void)."
        )
    return counts[:classes], int(counts[VOID])


def count_maps(sources: Sequence[Source], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `pixels` and `void` of label maps that are at hand."""
    counted = [count_labels(one, classes) for one in sources]
    pixels = np.array([pixels for pixels, _ in counted], np.int64).reshape(-1, classes)
    return pixels, np.array([void for _, void in counted], np.int64)
