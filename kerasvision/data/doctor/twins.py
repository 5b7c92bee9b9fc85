"""Find images that are the same, or nearly so, without comparing each with each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.doctor.exam import SIDE, Exam

BANDS = 8  # of 8 bits: hashes that differ in at most 7 bits agree in one band (pigeonhole)
MOST_BITS = 7
# Measured with 16 x 16 pictures: of copies saved at JPEG quality 30, or at two thirds of the size, 96 to 100
# in 100 pass (BCCD, CamVid, CIFAR-10, 32-pixel flowers); of different images 1 pair in 364 BCCD photos,
# 1 in 4,000 CIFAR-10 images and 22 in 3,000 MNIST digits do.
LEAST_CORRELATION = 0.99
MOST_COLOUR_DIFFERENCE = 8.0  # grey levels, with the difference in brightness taken out
MOST_BRIGHTNESS_DIFFERENCE = 30.0
FLAT = 4.0  # grey levels: below this spread the hash is made of noise
BLOCK = 2048
MOST_PAIRS = 1_000_000


@dataclass(frozen=True)
class Twins:
    """Which images are alike.

    Attributes:
        group: (N,) int, images with equal numbers have equal pixels; -1 for those that cannot be read.
        pairs: (P, 2) int, groups that look nearly the same.
        complete: False when the search stopped at its limit of pairs.
    """

    group: np.ndarray
    pairs: np.ndarray
    complete: bool = True

    def groups(self) -> list[list[int]]:
        """Return the images of every group of at least two with equal pixels, in order."""
        return _several(self.group)

    def clusters(self) -> list[list[int]]:
        """Return the images of every chain of groups that are nearly the same."""
        if not len(self.pairs):
            return []
        chain = connected(int(self.group.max()) + 1, self.pairs)
        linked = np.isin(self.group, self.pairs)
        return _several(np.where(linked, chain[self.group], -1))


def find_twins(exams: Sequence[Exam], *, near: bool = True) -> Twins:
    """Group equal images and, with `near`, pair those that look nearly the same."""
    numbers: dict[bytes, int] = {}
    group = np.array(
        [-1 if e.reason else numbers.setdefault(e.pixel_digest, len(numbers)) for e in exams], np.int64
    )
    if not near or len(numbers) < 2:
        return Twins(group, np.zeros((0, 2), np.int64))
    _, first = np.unique(group, return_index=True)
    first = [i for i in first if group[i] >= 0 and exams[i].spread >= FLAT]
    if len(first) < 2:
        return Twins(group, np.zeros((0, 2), np.int64))
    looks = Looks.of([exams[i] for i in first])
    pairs, complete = near_pairs(looks)
    return Twins(group, group[np.array(first)][pairs], complete)


@dataclass(frozen=True)
class Looks:
    """The appearance of N images: hashes (N,) uint64, grey (N, 256) and colours (N, 48) uint8."""

    hashes: np.ndarray
    grey: np.ndarray
    colours: np.ndarray

    @classmethod
    def of(cls, exams: Sequence[Exam]) -> "Looks":
        """Collect the appearance of examined images."""
        return cls(
            np.array([e.hash for e in exams], np.uint64),
            np.frombuffer(b"".join(e.grey for e in exams), np.uint8).reshape(-1, SIDE * SIDE),
            np.frombuffer(b"".join(e.colours for e in exams), np.uint8).reshape(-1, 48),
        )

    def alike(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Tell for pairs of indices whether the small pictures are nearly the same."""
        a, b = (self.grey[i].astype(np.float32) for i in (first, second))
        a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
        correlation = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1) + 1e-9)
        apart = self.colours[first].astype(np.float32) - self.colours[second]
        brighter = apart.mean(1, keepdims=True)
        colours = np.abs(apart - brighter).mean(1)
        return (
            (correlation >= LEAST_CORRELATION)
            & (colours <= MOST_COLOUR_DIFFERENCE)
            & (np.abs(brighter[:, 0]) <= MOST_BRIGHTNESS_DIFFERENCE)
        )


def near_pairs(looks: Looks) -> tuple[np.ndarray, bool]:
    """Return (P, 2) pairs i < j of images that look nearly the same, and whether that is all of them.

    Hashes are sorted into buckets by each of 8 bands; only within a bucket are images compared, first by
    Hamming distance, then by their small pictures.
    """
    count = len(looks.hashes)
    found = np.zeros(0, np.int64)
    for band in range(BANDS):
        keys = (looks.hashes >> np.uint64(8 * band)) & np.uint64(0xFF)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for first, second in _close_hashes(looks.hashes, bucket):
                fresh = np.setdiff1d(first * count + second, found)
                first, second = fresh // count, fresh % count
                found = np.union1d(found, fresh[_in_parts(looks, first, second)])
                if len(found) > MOST_PAIRS:
                    return _unpack(found, count), False
    return _unpack(found, count), True


def _close_hashes(hashes: np.ndarray, bucket: np.ndarray):
    """Yield arrays (i, j), i < j, of images in one bucket whose hashes differ in few bits, block by block."""
    for start in range(0, len(bucket), BLOCK):
        rows = bucket[start : start + BLOCK]
        for other in range(start, len(bucket), BLOCK):
            columns = bucket[other : other + BLOCK]
            near = _bits(hashes[rows][:, None] ^ hashes[columns][None]) <= MOST_BITS
            i, j = np.nonzero(near)
            first, second = rows[i], columns[j]
            keep = first < second
            if keep.any():
                yield first[keep], second[keep]


def _in_parts(looks: Looks, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    step = 20_000
    parts = [looks.alike(first[i : i + step], second[i : i + step]) for i in range(0, len(first), step)]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def _bits(values: np.ndarray) -> np.ndarray:
    """Count the bits of uint64 numbers (numpy 1.26 has no `bitwise_count`)."""
    one, two, four = (np.uint64(v) for v in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    values = values - ((values >> np.uint64(1)) & one)
    values = (values & two) + ((values >> np.uint64(2)) & two)
    values = (values + (values >> np.uint64(4))) & four
    return (values * np.uint64(0x0101010101010101)) >> np.uint64(56)


def _unpack(codes: np.ndarray, count: int) -> np.ndarray:
    return np.stack([codes // count, codes % count], axis=1)


def connected(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each of `count` nodes the smallest node that pairs link it to."""
    parent = list(range(count))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs.tolist():
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    return np.array([root(node) for node in range(count)], np.int64)


def _several(group: np.ndarray) -> list[list[int]]:
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    several = [part.tolist() for part in parts if len(part) > 1 and group[part[0]] >= 0]
    return sorted(several)
