"""Pooled features of every image, computed once and kept on disk, in a file that can be gone on with.

A frozen backbone gives the same features in every epoch, so an epoch costs the head alone.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.files import explain_os_error, make_folder, read_json, write_json
from kerasvision.progress import bar
from kerasvision.training.engines import Engine

CHUNK = 64  # images between two looks at the clock, and of one batch of augmentation
MARK_SECONDS = 5.0


@dataclass(frozen=True)
class Features:
    """Features of a split: views one after the other, each in the order of the split.

    Attributes:
        values: (views x images, features) float32, memory-mapped.
        targets: (views x images, classes) float32; one-hot, or mixed by the augmentation.
        views: how many times each image occurs.
        seconds: what it took now; nearly 0 when all was there already.
    """

    values: np.ndarray
    targets: np.ndarray
    views: int
    seconds: float


class FeatureCache:
    """A folder of features, keyed by everything that they depend on.

    Args:
        folder: where the files lie; created.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = make_folder(folder)

    def get(
        self, engine: Engine, data, split: str, *, key: Mapping, augmentation=None, views: int = 1
    ) -> Features:
        """Return the features of a split, computing what is not there yet.

        The first view is each image as it is, the others are augmented, each with seeds of its own.

        Args:
            engine: from images to features.
            data: a `VisionData`.
            split: `"train"`, `"validation"` or `"test"`.
            key: facts that the features depend on: fingerprint of the data, weights, seed, augmentation.
                Where they differ from those of a file that is there, the file is made anew.
            augmentation: `(images, one_hot) -> (images, one_hot)` with `.seed_step(step)`; needed from two
                views on.
            views: how many times each image is seen.

        Raises:
            KerasvisionError: the disk is full or the folder cannot be written to.
        """
        started = time.monotonic()
        key = dict(key) | {"split": split, "views": views, "engine": engine.name}
        rows, classes = len(data.splits[split].labels) * views, len(data.class_names)
        path, marker = self.folder / f"{split}.features", self.folder / f"{split}.json"
        done, width = _progress(marker, path, key)
        if done < rows:
            _Writer(path, marker, key, done, width).run(engine, data, split, views, rows, augmentation)
            width = read_json(marker)["width"]
        table = np.memmap(path, np.float32, "r", shape=(rows, width))
        split_at = width - classes
        return Features(table[:, :split_at], table[:, split_at:], views, time.monotonic() - started)


class _Writer:
    """Appends rows (features, then targets) to a file; a marker beside it says how many are safe."""

    def __init__(self, path: Path, marker: Path, key: dict, done: int, width: int):
        self.path, self.marker, self.key, self.done, self.width = path, marker, key, done, width
        self.marked_at = time.monotonic()

    def run(self, engine, data, split, views, rows, augmentation) -> None:
        images = rows // views
        try:
            with (
                open(self.path, "r+b" if self.done else "wb") as file,
                bar(f"features: {split}", rows) as advance,
            ):
                file.truncate(self.done * self.width * 4)
                file.seek(0, os.SEEK_END)
                advance(self.done)
                for view in range(self.done // images, views):
                    augment = augmentation if view else None
                    for chunk in _chunks(engine, data, split, self.done - view * images, view, augment):
                        self.append(file, chunk)
                        advance(len(chunk))
                self.mark(file)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def append(self, file, chunk: np.ndarray) -> None:
        file.write(np.ascontiguousarray(chunk, np.float32).data)
        self.done, self.width = self.done + len(chunk), chunk.shape[1]
        if time.monotonic() - self.marked_at > MARK_SECONDS:
            self.mark(file)

    def mark(self, file) -> None:
        file.flush()
        os.fsync(file.fileno())
        write_json(self.marker, {"key": self.key, "done": self.done, "width": self.width})
        self.marked_at = time.monotonic()


def _chunks(engine: Engine, data, split: str, start: int, view: int, augmentation):
    """Yield rows of one view from image number `start` on, a multiple of the chunk size."""
    classes, count = len(data.class_names), len(data.splits[split].labels)
    order = np.arange(start, count)
    chunks_before = view * -(-count // CHUNK) + start // CHUNK
    for number, (images, labels) in enumerate(data.iterate(split, batch_size=CHUNK, order=order)):
        targets = np.eye(classes, dtype=np.float32)[labels]
        if augmentation is not None:
            images, targets = _augment(augmentation, images, targets, chunks_before + number)
        yield np.concatenate([engine.run(images).reshape(len(images), -1), targets], 1)


def _augment(augmentation, images, targets, step: int):
    """Augment a chunk, filled up to the full size so that no second graph is traced."""
    import tensorflow as tf

    count = len(images)
    rows = np.resize(np.arange(count), CHUNK)
    augmentation.seed_step(step)
    images, targets = augmentation(tf.constant(images[rows], tf.float32), tf.constant(targets[rows]))
    return np.asarray(images)[:count], np.asarray(targets)[:count]


def _progress(marker: Path, path: Path, key: dict) -> tuple[int, int]:
    """Return how many rows of a file are good, and their width."""
    try:
        found = read_json(marker)
        done, width = int(found["done"]), int(found["width"])
        if found["key"] == json.loads(json.dumps(key)) and path.stat().st_size >= done * width * 4:
            return done, width
    except (OSError, KerasvisionError, KeyError, TypeError, ValueError):
        pass
    return 0, 0
