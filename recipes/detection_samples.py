"""Decoded images with boxes that stay with a run, so that it can be exported without the data."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.boxes import ImageBoxes
from kerasvision.errors import RunError
from kerasvision.files import write_atomically
from kerasvision.recipes.detection_training import seen_boxes
from kerasvision.recipes.samples import choose_indices


@dataclass(frozen=True, eq=False)
class DetectionSamples:
    """Images of a run, decoded and resized.

    Attributes:
        calibration: (n, h, w, 3) uint8 training images, as even over the classes as possible.
        images: (m, h, w, 3) uint8 held-out images.
        truth: m values, what is on them, in pixels of these resized images.
        split: where the held-out images come from.
    """

    calibration: np.ndarray
    images: np.ndarray
    truth: tuple[ImageBoxes, ...]
    split: str


def choose_detection_samples(data, *, seed: int = 0) -> DetectionSamples:
    """Choose and read calibration images and held-out images, both as even over the classes as possible.

    Args:
        data: a `VisionData` with boxes, a training split and a test or validation split.
        seed: of the choice.
    """
    split, calibration, held_out = choose_indices(data, seed=seed)
    truth = seen_boxes(data, split)
    return DetectionSamples(
        calibration=data.images("train", calibration),
        images=data.images(split, held_out),
        truth=tuple(truth[i] for i in held_out),
        split=split,
    )


def write_detection_samples(path: str | os.PathLike, samples: DetectionSamples) -> None:
    """Write `samples.npz`."""
    with write_atomically(path) as file:
        np.savez(
            file,
            calibration=samples.calibration,
            images=samples.images,
            split=np.array(samples.split),
            **pack_boxes(samples.truth),
        )


def read_detection_samples(path: str | os.PathLike) -> DetectionSamples:
    """Read `samples.npz`.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            images = archive["images"]
            return DetectionSamples(
                calibration=archive["calibration"],
                images=images,
                truth=unpack_boxes(archive, [images.shape[1:3]] * len(images)),
                split=str(archive["split"]),
            )
    except DAMAGED as error:
        raise RunError(
            f"{os.fspath(path)} is missing or damaged ({error}). Pass `data=` to export this run."
        ) from None


def pack_boxes(boxes: Sequence[ImageBoxes]) -> dict[str, np.ndarray]:
    """Return the boxes of several images as four arrays."""
    return {
        "counts": np.array([len(one) for one in boxes], np.int64),
        "boxes": np.concatenate([np.zeros((0, 4)), *(one.boxes for one in boxes)]),
        "labels": np.concatenate([np.zeros(0, np.int32), *(one.labels for one in boxes)]),
        "crowd": np.concatenate([np.zeros(0, bool), *(one.crowd for one in boxes)]),
    }


def unpack_boxes(arrays, sizes: Sequence[tuple[int, int]]) -> tuple[ImageBoxes, ...]:
    """Return what `pack_boxes` was called on, for images of these (height, width)."""
    if not len(sizes):
        return ()
    ends = np.cumsum(arrays["counts"])[:-1]
    parts = zip(sizes, *(np.split(arrays[name], ends) for name in ("boxes", "labels", "crowd")), strict=True)
    return tuple(ImageBoxes(size, boxes, labels, crowd) for size, boxes, labels, crowd in parts)
