"""Decoded images with their identities that stay with a run, so that it can be exported without the data."""

import numpy as np

from kerasvision.recipes.samples import CALIBRATION, HELD_OUT, LIMIT_BYTES, RunSamples

EACH = 8  # held-out images of an identity: as many identities as fit, with pairs of each


def choose_embedding_samples(data, *, seed: int = 0, limit_bytes: int = LIMIT_BYTES) -> RunSamples:
    """Choose and read calibration images, and held-out images with several of each identity.

    Args:
        data: a `VisionData` of identities, with a training split and a test or validation split.
        seed: of the choice.
        limit_bytes: of all of them together; fewer are taken of larger images.
    """
    split = "test" if "test" in data.splits else "validation"
    height, width = data.image_size
    share = min(1.0, limit_bytes / (height * width * 3) / (CALIBRATION + HELD_OUT))
    calibration = data.class_balanced("train", max(1, int(CALIBRATION * share)), seed=seed)
    labels = np.asarray(data.splits[split].labels)
    held_out = several_of_each(labels, max(2, int(HELD_OUT * share)), EACH, seed)
    return RunSamples(
        calibration=data.images("train", calibration),
        images=data.images(split, held_out),
        targets=labels[held_out].astype(np.int32),
        split=split,
    )


def several_of_each(labels: np.ndarray, most: int, each: int, seed: int) -> np.ndarray:
    """Return up to `most` indices: up to `each` images of as many identities as fit, those with two first.

    >>> several_of_each(np.array([0, 0, 1, 2, 2, 2]), 4, 2, 0).size
    4
    """
    random = np.random.default_rng(seed)
    mixed = random.permutation(len(labels))
    groups = [mixed[labels[mixed] == label][:each] for label in random.permutation(np.unique(labels))]
    ordered = sorted(groups, key=lambda group: len(group) < 2)
    return np.sort(np.concatenate(ordered)[:most])
