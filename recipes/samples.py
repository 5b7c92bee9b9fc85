"""A bounded choice of decoded images that stays with a run, so that it can be exported without the data."""

import os
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import RunError
from kerasvision.files import write_atomically

CALIBRATION, HELD_OUT = 200, 500
LIMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class RunSamples:
    """Images of a run, decoded and resized.

    Attributes:
        calibration: (n, h, w, 3) uint8 training images, as even over the classes as possible.
        images: (m, h, w, 3) uint8 held-out images.
        targets: (m,) int32, their classes.
        split: where the held-out images come from.
    """

    calibration: np.ndarray
    images: np.ndarray
    targets: np.ndarray
    split: str


def choose_samples(data, *, seed: int = 0, limit_bytes: int = LIMIT_BYTES) -> RunSamples:
    """Choose and read calibration images and held-out images, both as even over the classes as possible.

    Args:
        data: a `VisionData` with a training split and a test or validation split.
        seed: of the choice.
        limit_bytes: of all of them together; fewer are taken of larger images.
    """
    split, calibration, held_out = choose_indices(data, seed=seed, limit_bytes=limit_bytes)
    return RunSamples(
        calibration=data.images("train", calibration),
        images=data.images(split, held_out),
        targets=np.asarray(data.splits[split].labels)[held_out].astype(np.int32),
        split=split,
    )


def choose_indices(
    data, *, seed: int = 0, limit_bytes: int = LIMIT_BYTES
) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the held-out split, and which training and which of its images stay with a run."""
    split = "test" if "test" in data.splits else "validation"
    height, width = data.image_size
    share = min(1.0, limit_bytes / (height * width * 3) / (CALIBRATION + HELD_OUT))
    calibration = data.class_balanced("train", max(1, int(CALIBRATION * share)), seed=seed)
    held_out = data.class_balanced(split, max(1, int(HELD_OUT * share)), seed=seed)
    return split, calibration, held_out


def write_samples(path: str | os.PathLike, samples: RunSamples) -> None:
    """Write `samples.npz`. Photos hardly compress this way, so it is not tried."""
    with write_atomically(path) as file:
        np.savez(
            file,
            calibration=samples.calibration,
            images=samples.images,
            targets=samples.targets,
            split=np.array(samples.split),
        )


def read_samples(path: str | os.PathLike) -> RunSamples:
    """Read `samples.npz`.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in ("calibration", "images", "targets")}
            return RunSamples(split=str(archive["split"]), **parts)
    except DAMAGED as error:
        raise RunError(
            f"{os.fspath(path)} is missing or damaged ({error}). Pass `data=` to export or judge this run."
        ) from None
