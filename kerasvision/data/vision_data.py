"""The one value that every loader returns: labelled images in splits, read when they are needed."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.boxes import BoxTargets, ImageBoxes, box_counts
from kerasvision.data.decoding import Source
from kerasvision.data.label_maps import LabelMaps
from kerasvision.data.loading import as_tf_dataset, batch_count, epoch_order, iterate_batches
from kerasvision.data.picking import source_facts
from kerasvision.data.pixel_cache import PixelCache
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.splits import check_seed
from kerasvision.data.wording import several
from kerasvision.errors import BadImageError, DataError

SPLITS = ("train", "validation", "test")
CLASSES_SHOWN = 8


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """The images and labels of one split.

    Args:
        sources: N absolute paths, encoded images (bytes), or uint8 arrays; may be lazy.
        labels: (N,) int32, indices into the class names; where there are boxes or masks, the rarest class
            on each image and -1 on those without any.
        names: N names for people: the path relative to the folder, or "shapes #17".
        slots: (N,) int, the place of each image in the pixel cache; `None` without one.
        boxes: N values, what is annotated on each image; `None` where the task is not detection.
        masks: of the N images; `None` where the task is not segmentation.
    """

    sources: Sequence[Source]
    labels: np.ndarray
    names: Sequence[str]
    slots: np.ndarray | None = None
    boxes: Sequence[ImageBoxes] | None = None
    masks: LabelMaps | None = None

    def __post_init__(self):
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int32))
        lengths = [len(self.sources), len(self.labels), len(self.names)]
        lengths += [len(marks) for marks in (self.boxes, self.masks) if marks is not None]
        if len(set(lengths)) != 1:
            raise DataError(
                f"`sources`, `labels` and `names` (and `boxes`, `masks`) must have one length. Received: "
                f"{', '.join(map(str, lengths[:-1]))} and {lengths[-1]}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Samples({len(self):,} images)"


@dataclass(frozen=True, eq=False, repr=False)
class VisionData:
    """Labelled images in splits, decoded and resized when they are read.

    Args:
        task: `"classify"`, `"detect"` where the splits have boxes, `"segment"` where they have masks,
            `"embed"` where labels are identities, of which each split has its own.
        class_names: name of each label.
        preprocessing: decode and resize, the same for all images.
        splits: `"train"`, `"validation"`, `"test"` -> `Samples`; a split that is not there is absent.
        batch_size: images in a batch, unless a call says otherwise.
        seed: of the order of training images.
        skipped: images that were left out because they cannot be read, and boxes that cannot be used.
        origin: what the data were made from, for reports.
        notes: what the loader decided or noticed that a reader of the result should know.
        cache: where decoded pixels are kept, or `None`.
    """

    task: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    splits: Mapping[str, Samples]
    batch_size: int = 32
    seed: int = 0
    skipped: tuple[BadImageError, ...] = ()
    origin: str = ""
    notes: tuple[str, ...] = ()
    cache: PixelCache | None = None

    def __post_init__(self):
        _check_batch_size(self.batch_size)
        check_seed(self.seed)

    def __repr__(self) -> str:
        height, width = self.image_size
        size = f"{height} x {width} pixels ({self.preprocessing.resize})"
        noun = "identity" if self.task == "embed" else "class"
        lines = [f"VisionData of {self.origin}: {several(len(self.class_names), noun)}, {size}"]
        for split, counts in self.counts.items():
            if self.task == "embed":
                counts = {name: count for name, count in counts.items() if count}
            shown = [f"{name} {count:,}" for name, count in list(counts.items())[:CLASSES_SHOWN]]
            rest = len(counts) - len(shown)
            classes = ", ".join(shown) + (f" and {rest} more" if rest else "")
            what = several(len(self.splits[split]), "image")
            if self.task == "embed":
                what += f" of {several(len(counts), 'identity')}"
            if self.task == "detect":
                what += f", {several(sum(counts.values()), 'box')}"
            if self.task == "segment":
                what += _void_share(self.splits[split].masks)
            lines.append(f"  {split}: {what} ({classes})")
        lines += [f"  left out: {error}" for error in self.skipped[:CLASSES_SHOWN]]
        if len(self.skipped) > CLASSES_SHOWN:
            lines.append(f"  left out: {len(self.skipped) - CLASSES_SHOWN} more (`.skipped` lists them)")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.preprocessing.image_size

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of images (for detection: of boxes) by split and class: `{"train": {"rose": 80, …}, …}`.

        For segmentation, an image counts for each class that is on it. Identities of other splits have 0.
        """
        return {
            split: dict(zip(self.class_names, self._count(part).tolist(), strict=True))
            for split, part in self.splits.items()
        }

    @property
    def files(self) -> dict[str, Sequence[str]]:
        """Names of the images by split."""
        return {split: part.names for split, part in self.splits.items()}

    @property
    def train(self):
        """`tf.data` of training batches, in a new order each pass (a function of the seed and the pass)."""
        return self.dataset("train", shuffle=True) if "train" in self.splits else None

    @property
    def validation(self):
        """`tf.data` of validation batches, always in the same order, or `None`."""
        return self.dataset("validation") if "validation" in self.splits else None

    @property
    def test(self):
        """`tf.data` of test batches, always in the same order, or `None`."""
        return self.dataset("test") if "test" in self.splits else None

    def iterate(
        self,
        split: str,
        *,
        batch_size: int | None = None,
        order: Sequence[int] | np.ndarray | None = None,
        start: int = 0,
        drop_last: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield numpy batches in exactly the order asked for, decoded ahead by threads.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            batch_size: images in a batch; by default that of the data.
            order: indices into the split, which may repeat or leave out; by default 0, 1, 2, …
            start: number of batches to leave out at the front, without decoding them.
            drop_last: leave out a last batch that is not full.

        Yields:
            images (b, h, w, 3) uint8, labels (b,) int32. For detection, instead of labels:
            `{"boxes": (b, m, 4) float32 xyxy in pixels of the resized image, "classes": (b, m) int32,
            "crowd": (b, m) bool}`, with m the largest number of boxes on an image of the split, and class -1
            where there is no box. For segmentation, instead of labels: masks (b, h, w) uint8, 255 where they
            are void and where `resize="pad"` added something.

        Raises:
            BadImageError: an image or mask cannot be read; raised where its batch would have come.
            DataError: there is no such split, or `order` points outside of it.
        """
        samples, order, batch_size = self._part(split, order, batch_size)
        if start < 0:
            raise DataError(f"`start` must be a number of batches from 0. Received: {start!r}.")
        return iterate_batches(
            self._reader(samples),
            samples.labels if samples.boxes is None else BoxTargets(samples.boxes, self.preprocessing),
            self.image_size,
            order=order,
            batch_size=batch_size,
            start=start,
            drop_last=drop_last,
            read_mask_into=None if samples.masks is None else self._mask_reader(samples.masks),
        )

    def dataset(
        self,
        split: str,
        *,
        batch_size: int | None = None,
        order: Sequence[int] | np.ndarray | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
    ):
        """Return the same batches as `iterate` as a `tf.data.Dataset`.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            batch_size: images in a batch; by default that of the data.
            order: indices into the split; by default 0, 1, 2, …
            shuffle: mix the order anew each pass over this data set; pass k has `epoch_order(…, k)`.
            drop_last: leave out a last batch that is not full.

        Returns:
            A data set of (uint8 (b, h, w, 3), int32 (b,)) with known length; for detection, with the
            dictionary of `iterate` in the place of labels; for segmentation, with masks uint8 (b, h, w).

        Raises:
            DataError: as for `iterate`.
        """
        samples, order, batch_size = self._part(split, order, batch_size)
        passes = itertools.count()

        def batches():
            mixed = order[epoch_order(len(order), self.seed, next(passes))] if shuffle else order
            return self.iterate(split, batch_size=batch_size, order=mixed, drop_last=drop_last)

        count = batch_count(len(order), batch_size, drop_last)
        boxes = None if samples.boxes is None else BoxTargets(samples.boxes, self.preprocessing).most
        return as_tf_dataset(batches, self.image_size, count, boxes, masks=samples.masks is not None)

    def images(self, split: str, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read some images of a split.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            indices: (n,) which ones.

        Returns:
            (n, h, w, 3) uint8.

        Raises:
            BadImageError: one of them cannot be read.
            DataError: there is no such split or index.
        """
        samples, order, batch_size = self._part(split, indices, None)
        read = iterate_batches(
            self._reader(samples), samples.labels, self.image_size, order=order, batch_size=batch_size
        )
        batches = [images for images, _ in read]
        return np.concatenate(batches) if batches else np.zeros((0, *self.image_size, 3), np.uint8)

    def class_balanced(self, split: str, count: int, seed: int = 0) -> np.ndarray:
        """Return the indices of up to `count` images, as evenly spread over classes as the data allow.

        For detection and segmentation, the class of an image is the rarest one on it.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            count: how many; fewer are returned when the split has fewer.
            seed: the same seed gives the same images.

        Returns:
            (n,) int, sorted, without repeats.
        """
        labels = self._split(split).labels
        mixed = epoch_order(len(labels), seed, 0)
        by_class = np.argsort(labels[mixed], kind="stable")
        ordered = labels[mixed][by_class]
        place_in_class = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        taken = np.argsort(place_in_class, kind="stable")[:count]
        return np.sort(mixed[by_class][taken])

    def fingerprint(self) -> str:
        """Return hexadecimal digits that change when the images, labels, classes or preprocessing do.

        Files count with name, size and time of change; they are not read. Arrays and encoded images count
        with their contents.
        """
        facts = {
            "task": self.task,
            "classes": self.class_names,
            "preprocessing": self.preprocessing.to_dict(),
            "splits": {split: _facts(part) for split, part in sorted(self.splits.items())},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def _count(self, part: Samples) -> np.ndarray:
        size = len(self.class_names)
        if part.masks is not None:
            return (part.masks.pixels > 0).sum(0)
        return (
            np.bincount(part.labels, minlength=size) if part.boxes is None else box_counts(part.boxes, size)
        )

    def _split(self, split: str) -> Samples:
        if split not in self.splits:
            raise DataError(f"`split` must be one of {', '.join(self.splits)}. Received: {split!r}.")
        return self.splits[split]

    def _part(self, split, order, batch_size) -> tuple[Samples, np.ndarray, int]:
        samples = self._split(split)
        batch_size = self.batch_size if batch_size is None else batch_size
        _check_batch_size(batch_size)
        order = np.arange(len(samples)) if order is None else np.asarray(order)
        if len(order) and order.dtype.kind not in "iu":
            raise DataError(
                f"`order` must hold indices, which are whole numbers. Received: {order.dtype}. For a "
                f"mask pass `np.flatnonzero(mask)`."
            )
        order = order.astype(np.int64)
        if len(order) and not (0 <= order.min() and order.max() < len(samples)):
            raise DataError(
                f"`order` must hold indices from 0 to {len(samples) - 1}, as {split!r} has {len(samples)} "
                f"images. Received: {order.min()} to {order.max()}."
            )
        return samples, order, batch_size

    def _reader(self, samples: Samples):
        cache, slots = self.cache, samples.slots
        sources, names, read = samples.sources, samples.names, self.preprocessing.read

        def read_into(index: int, image: np.ndarray) -> None:
            if cache is None or slots is None:
                image[:] = read(sources[index], names[index])
            elif not cache.read_into(slots[index], image):
                image[:] = read(sources[index], names[index])
                cache.write(slots[index], image)

        return read_into

    def _mask_reader(self, masks: LabelMaps):
        preprocessing = self.preprocessing

        def read_into(index: int, mask: np.ndarray) -> None:
            mask[:] = masks.place(index, preprocessing)

        return read_into


def _void_share(masks: LabelMaps) -> str:
    void, pixels = masks.void.sum(), masks.pixels.sum()
    return f", {void / max(void + pixels, 1):.1%} void" if void else ""


def _check_batch_size(batch_size: int) -> None:
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise DataError(f"`batch_size` must be a whole number from 1. Received: {batch_size!r}. Try 32.")


def _facts(samples: Samples) -> str:
    digest = hashlib.sha256(samples.labels.tobytes())
    for one in samples.boxes or ():
        digest.update(f"{one.size} {len(one)}".encode())
        for values in (one.boxes, one.labels, one.crowd, one.difficult):
            digest.update(values.tobytes())
    if samples.masks is not None:
        digest.update(samples.masks.fingerprint().encode())
    own = getattr(samples.sources, "fingerprint", lambda: None)()
    if own is not None:  # packed images know theirs; to read them all may take minutes
        digest.update(own.encode())
        return digest.hexdigest()
    for source, name in zip(samples.sources, samples.names, strict=True):
        digest.update(f"{name}\0{source_facts(source)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
