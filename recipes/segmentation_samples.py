"""Decoded images with label maps that stay with a run, so that it can be exported without the data."""

import os
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import RunError
from kerasvision.files import write_atomically
from kerasvision.recipes.samples import choose_indices


@dataclass(frozen=True, eq=False)
class SegmentationSamples:
    """Images of a run, decoded and resized.

    Attributes:
        calibration: (n, h, w, 3) uint8 training images, as even over the rarest classes on them as possible.
        images: (m, h, w, 3) uint8 held-out images.
        truth: (m, h, w) uint8, their label maps, 255 is void.
        split: where the held-out images come from.
    """

    calibration: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    split: str


def choose_segmentation_samples(data, *, seed: int = 0) -> SegmentationSamples:
    """Choose and read calibration images and held-out images, both as even over the classes as possible.

    Args:
        data: a `VisionData` with masks, a training split and a test or validation split.
        seed: of the choice.
    """
    split, calibration, held_out = choose_indices(data, seed=seed)
    masks = data.splits[split].masks
    return SegmentationSamples(
        calibration=data.images("train", calibration),
        images=data.images(split, held_out),
        truth=np.stack([masks.place(int(i), data.preprocessing) for i in held_out]),
        split=split,
    )


def write_segmentation_samples(path: str | os.PathLike, samples: SegmentationSamples) -> None:
    """Write `samples.npz`."""
    with write_atomically(path) as file:
        np.savez(
            file,
            calibration=samples.calibration,
            images=samples.images,
            truth=samples.truth,
            split=np.array(samples.split),
        )


def read_segmentation_samples(path: str | os.PathLike) -> SegmentationSamples:
    """Read `samples.npz`.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in ("calibration", "images", "truth")}
            return SegmentationSamples(split=str(archive["split"]), **parts)
    except DAMAGED as error:
        raise RunError(
            f"{os.fspath(path)} is missing or damaged ({error}). Pass `data=` to export this run."
        ) from None
