"""Images of identities (people, products, animals, writers) as a `VisionData` for embeddings."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from kerasvision.data.alignment import Template
from kerasvision.data.assembling import assemble
from kerasvision.data.folders import load_folder
from kerasvision.data.in_memory import NumberedNames, check_images, check_labels
from kerasvision.data.labelled_loading import LabelSettings
from kerasvision.data.landmarks import Detector, Landmarks
from kerasvision.data.pairs import Pairs, read_pairs
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Preprocessing, Resize
from kerasvision.data.reading import Found
from kerasvision.data.tables import load_table
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.errors import DataError


def identity_folder(
    folder: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] = 112,
    by_identity_split: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
    landmarks: str | os.PathLike | Landmarks | Detector | None = None,
    template: Template = "arcface",
) -> VisionData:
    """Read a folder of photos: one folder an identity, or `train`, `val` and `test` with identities inside.

    No identity is in two splits. A validation or test folder is used as it is; where there is none, its share
    of the identities is taken from training, at least two of them, those with a single photo apart from the
    others. Photos in folders below that of an identity belong to it.

    Args:
        folder: the folder, `person/photo.jpg` or `train/person/photo.jpg`.
        image_size: (height, width) in pixels, or one number.
        by_identity_split: shares of the identities for training, validation and, if wanted, test, which sum
            to 1; `(1.0, 0.0)` is all for training, `(0.0, 0.0, 1.0)` all for a test.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: `"stretch"`, `"crop"` or `"pad"`, as for `Preprocessing`.
        on_bad_file: `"raise"` or `"skip"`, as for `image_folder`.
        cache: as for `image_folder`.
        cache_limit: as for `image_folder`.
        landmarks: of faces, which are then aligned (`align`): a CSV file (`read_landmarks`), a mapping from
            names as in `data.files`, or a detector of your own, (h, w, 3) uint8 -> (5, 2), (2, 2) or `None`
            where there is no face. A detector looks at every photo each time that data are loaded;
            `find_landmarks` and `write_landmarks` keep what it finds. A photo without a face is a bad file.
        template: as for `align`.

    Returns:
        A `VisionData` of task `"embed"`, whose labels are numbered by the sorted names of all identities;
        each split has images of some of them.

    Raises:
        DataError: an identity is in two splits, there are too few to split, or as for `image_folder`.
        BadImageError: (when read) an image cannot be used; the message names the file.
    """
    settings = identity_settings(
        by_identity_split,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
        landmarks=landmarks,
        template=template,
    )
    return load_folder(folder, settings)


def lfw_folder(
    folder: str | os.PathLike,
    pairs: str | os.PathLike | Pairs | None = None,
    *,
    image_size: int | tuple[int, int] = 112,
    by_identity_split: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
    landmarks: str | os.PathLike | Landmarks | Detector | None = None,
    template: Template = "arcface",
) -> VisionData:
    """Read a folder as Labeled Faces in the Wild is laid out: `person/person_0001.jpg`, and a file of pairs.

    Everyone on a pair is in the test split with all photos, and nobody else; `read_pairs(pairs)
    .indices(data.files["test"])` says where the photos of the pairs are. The others are split by
    `by_identity_split`. Without `pairs` it is an `identity_folder`.

    Args:
        folder: the folder of people.
        pairs: `pairs.txt`, `pairsDevTest.txt` or one of the same form (`read_pairs`).
        image_size: (height, width) in pixels, or one number.
        by_identity_split: as for `identity_folder`, of the people on no pair.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`; LFW's photos are 250 pixels wide with the face in the middle.
        on_bad_file: `"raise"` or `"skip"`, as for `image_folder`.
        cache: as for `image_folder`.
        cache_limit: as for `image_folder`.
        landmarks: as for `identity_folder`.
        template: as for `align`.

    Returns:
        A `VisionData` of task `"embed"`.

    Raises:
        DataError: a photo of a pair is not there, a line is wrong, or as for `identity_folder`.
        BadImageError: (when read) an image cannot be used; the message names the file.
    """
    settings = identity_settings(
        by_identity_split,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
        landmarks=landmarks,
        template=template,
    )
    if pairs is None:
        return load_folder(folder, settings)
    pairs = pairs if isinstance(pairs, Pairs) else read_pairs(pairs)
    return load_folder(folder, settings, partial(_people_on_pairs, pairs))


def _people_on_pairs(pairs: Pairs, found: Found, people: Sequence[str]) -> np.ndarray:
    """Return "test" for the photos of everyone on a pair, and "train" for the others."""
    if found.splits is not None:
        raise DataError(
            "`pairs` says who is in the test split, but so do the folders. Received: folders train, test, … "
            "Put the folders of all people into one folder, or leave `pairs` out."
        )
    pairs.indices(found.names)  # which says what is missing
    tested = np.isin(people, list(pairs.people))
    return np.where(tested[found.labels], "test", "train")


def identity_csv(
    file: str | os.PathLike,
    *,
    folder: str | os.PathLike | None = None,
    path_column: str = "path",
    identity_column: str = "identity",
    split_column: str = "split",
    image_size: int | tuple[int, int] = 112,
    by_identity_split: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
    landmarks: str | os.PathLike | Landmarks | Detector | None = None,
    template: Template = "arcface",
) -> VisionData:
    """Read photos that a CSV file lists, with a header: `path,identity` and, if wanted, `split`.

    Args:
        file: UTF-8, with commas, semicolons or tabs.
        folder: what relative paths start from; by default the folder of the file.
        path_column: name of the column with paths.
        identity_column: name of the column with identities.
        split_column: name of the column with train, validation (val) or test; it may be missing.
        image_size: (height, width) in pixels, or one number.
        by_identity_split: as for `identity_folder`, for splits that the file does not name.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        on_bad_file: `"raise"` or `"skip"`, as for `image_folder`.
        cache: as for `image_folder`.
        cache_limit: as for `image_folder`.
        landmarks: as for `identity_folder`.
        template: as for `align`.

    Returns:
        A `VisionData` of task `"embed"`.

    Raises:
        DataError: an identity is in two splits, or as for `image_csv`.
        BadImageError: (when read) an image cannot be used; the message names the file.
    """
    settings = identity_settings(
        by_identity_split,
        image_size=image_size,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
        landmarks=landmarks,
        template=template,
    )
    columns = {"path": path_column, "label": identity_column, "split": split_column}
    return load_table(file, folder, columns, settings)


def identity_arrays(
    images: np.ndarray,
    labels: Sequence | np.ndarray,
    names: Sequence[str] | None = None,
    *,
    splits: Sequence[str] | np.ndarray | None = None,
    image_size: int | tuple[int, int] | None = None,
    by_identity_split: Sequence[float] = (0.8, 0.2),
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    name: str = "arrays",
) -> VisionData:
    """Make a data set of images of identities in memory. The array is not copied.

    Args:
        images: (N, h, w), (N, h, w, 1) or (N, h, w, 3) uint8 in [0, 255]; grey becomes RGB when read.
        labels: (N,) whole numbers, indices into `names`; or, without `names`, numbers or text that name the
            identities themselves.
        names: name of each label.
        splits: (N,) of "train", "validation", "test"; by default they are cut by `by_identity_split`.
        image_size: (height, width) or one number; by default the size of the images.
        by_identity_split: as for `identity_folder`, for splits that are not given.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        name: what to call the data set; images are called "name #17".

    Returns:
        A `VisionData` of task `"embed"`.

    Raises:
        DataError: type, shape or range do not fit, or an identity is in two splits.

    Example:
        >>> data = identity_arrays(np.zeros((20, 8, 8), np.uint8), np.repeat(range(10), 2))
        >>> {split: len(part) for split, part in data.splits.items()}
        {'train': 16, 'validation': 4}
    """
    images = np.asarray(images)
    check_images(images)
    if names is None:
        labels, names = _named(labels)
    labels = check_labels(labels, images, names)
    if labels.ndim != 1:
        raise DataError(f"`labels` must be (N,), one identity for each image. Received: {labels.shape}.")
    fractions = split_fractions(by_identity_split)
    return assemble(
        task="embed",
        sources=images,
        labels=labels,
        names=NumberedNames(name, len(images)),
        class_names=names,
        preprocessing=Preprocessing(images.shape[1:3] if image_size is None else image_size, resize),
        validation_fraction=fractions["validation"],
        test_fraction=fractions["test"],
        given=None if splits is None else _checked_splits(splits, len(images)),
        seed=seed,
        batch_size=batch_size,
        origin=f"{name}: {len(images)} images in memory",
    )


def split_fractions(by_identity_split: Sequence[float]) -> dict[str, float]:
    """Return the shares of validation and test.

    Raises:
        DataError: they are not two or three numbers in [0, 1] that sum to 1.

    Example:
        >>> split_fractions((0.5, 0.25, 0.25))
        {'validation': 0.25, 'test': 0.25}
    """
    try:
        shares = [float(share) for share in by_identity_split]
    except (TypeError, ValueError):
        shares = []
    good = len(shares) in (2, 3) and abs(sum(shares) - 1) < 1e-6 and all(0 <= share <= 1 for share in shares)
    if not good or (shares[0] == 0 and 1 not in shares):
        raise DataError(
            "`by_identity_split` must be the shares of the identities for training, validation and, if "
            "wanted, test, which sum to 1, with some for training unless one split gets all. Received: "
            f"{by_identity_split!r}. Try (0.8, 0.2) or (0.7, 0.15, 0.15)."
        )
    return {"validation": shares[1], "test": shares[2] if len(shares) == 3 else 0.0}


def identity_settings(by_identity_split: Sequence[float], **settings) -> LabelSettings:
    """Return the settings of a loader of identities.

    Raises:
        DataError: as for `split_fractions` and `Preprocessing`.
    """
    fractions = split_fractions(by_identity_split)
    return LabelSettings(
        task="embed",
        validation_fraction=fractions["validation"],
        test_fraction=fractions["test"],
        **settings,
    )


def _named(labels) -> tuple[np.ndarray, list[str]]:
    """Return indices, and as names what the labels say."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise DataError(
            f"`labels` must be (N,) whole numbers or text. Received: {labels.dtype} {labels.shape}."
        )
    kinds, indices = np.unique(labels, return_inverse=True)
    return indices, [str(kind) for kind in kinds]


def _checked_splits(splits, count: int) -> np.ndarray:
    splits = np.asarray(splits)
    if splits.shape != (count,) or not set(splits.tolist()) <= set(SPLITS):
        raise DataError(
            f"`splits` must be ({count},) of {', '.join(SPLITS)}, one for each image. Received: "
            f"{splits.shape} of {', '.join(map(repr, np.unique(splits)[:5].tolist()))}."
        )
    return splits
