"""A folder of class folders, or of train, validation and test folders, as a `VisionData`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.assembling import check_class_names
from kerasvision.data.decoding import IMAGE_SUFFIXES
from kerasvision.data.labelled_loading import LabelSettings, load_labelled
from kerasvision.data.listing import Listing, list_images
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.reading import Found
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import by_suffix, listed, several
from kerasvision.errors import BadImageError, DataError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

FOREIGN = 0.5  # share of a split's classes that training lacks, above which the folders may be identities
OTHERS_ARE_RIGHT = (
    " If the folders are people or products to be recognised (by an embedder), this is right: read them by "
    "`identity_folder`, and check them as such (`kerasvision check --identities`, or `identities` set)."
)


@dataclass(frozen=True)
class FolderLayout:
    """How a folder says what class and split an image is of.

    Args:
        splits: folder name -> "train", "validation" or "test"; empty if the folders are classes.
        classes: names of class folders, sorted.
    """

    splits: dict[str, str]
    classes: tuple[str, ...]


def image_folder(
    folder: str | os.PathLike,
    *,
    image_size: int | tuple[int, int] = 224,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Read a folder of photos: one folder a class, or `train`, `validation` and `test` with classes inside.

    Images in folders below a class folder belong to that class. A validation or test folder is used as
    it is; where there is none, the fraction is cut from the training images, stratified and seeded.
    Nothing is written into the folder.

    Args:
        folder: the folder.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share of images for validation, in [0, 1).
        test_fraction: share of images for the test split, in [0, 1).
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: `"stretch"`, `"crop"` or `"pad"`, as for `Preprocessing`.
        on_bad_file: `"raise"`: the first image that cannot be read raises, when it is read. `"skip"`: all
            images are read now; those that cannot be, images beside the class folders and classes without
            an image are left out and listed in `.skipped` and `.notes`.
        cache: where decoded pixels are kept: `"auto"`, `True`, `False` or a folder (`pixel_cache`).
        cache_limit: bytes that the caches in that folder may take together.

    Returns:
        A `VisionData` whose labels are numbered by the sorted class names.

    Raises:
        DataError: the folder has no images, fewer than two classes, an empty class, …
        BadImageError: (when read) an image cannot be used; the message names the file.
    """
    settings = LabelSettings(
        image_size=image_size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
    )
    return load_folder(folder, settings)


def load_folder(
    folder: str | os.PathLike,
    settings: LabelSettings,
    choose_splits: Callable[[Found, Sequence[str]], np.ndarray] | None = None,
) -> VisionData:
    """Read a folder of class folders, or of the folders of identities, as `image_folder` describes it.

    Args:
        folder: the folder.
        settings: the arguments of the loader.
        choose_splits: images and class names -> the split of each; by default the folders say it, if at all.

    Raises:
        DataError: as for `image_folder`; for identities: one of them is in two splits.
    """
    root = Path(folder).expanduser()
    listing = list_images(root)
    layout = find_layout(root, listing, settings.task)
    check_class_names(layout.classes, task=settings.task)
    found, stray = label_by_folder(root.absolute(), listing, layout, skip=settings.on_bad_file == "skip")
    if choose_splits is not None:
        found = replace(found, splits=choose_splits(found, layout.classes))
    return load_labelled(
        found,
        layout.classes,
        settings,
        origin=str(root.absolute()),
        outside=root,
        skipped=stray,
        notes=_ignored(listing),
    )


def find_layout(root: Path, listing: Listing, task: str = "classify") -> FolderLayout:
    """Tell class folders from split folders.

    Folders are splits if there is one for training and all have names of splits. A class may be called
    "train", too: it then has images right in its folder. With `task="embed"` the folders are identities,
    of which validation and test have others than training.

    Raises:
        DataError: there are no images, no folders, a split twice, a split folder without classes, or folders
            that may be either.
    """
    if not listing.images:
        raise DataError(
            f"No images in {root}. Found: {listing.found()}. Images are files that end in "
            f"{' '.join(sorted(IMAGE_SUFFIXES))}."
        )
    top = sorted({name.split("/")[0] for name in listing.folders})
    if not top:
        one = len(listing.images) == 1
        raise DataError(
            f"{several(len(listing.images), 'image')} in {root} {'has' if one else 'have'} no class: "
            f"{'it lies' if one else 'they lie'} in one folder. Make a folder for each class and move them "
            f"there, or list path and label in a CSV file (`image_csv`)."
        )
    splits = split_folders(listing)
    if not splits:
        _check_no_splits(root, listing, top)
        return FolderLayout({}, tuple(top))
    if len(set(splits.values())) < len(splits):
        same = [name for name in splits if list(splits.values()).count(splits[name]) > 1]
        raise DataError(f"Folders in {root} are the same split: {', '.join(same)}. Keep one of them.")
    return FolderLayout(splits, _classes_in_splits(root, listing, splits, others=task == "embed"))


def split_folders(listing: Listing) -> dict[str, str]:
    """Return folder -> "train", "validation" or "test", or nothing where the folders are classes."""
    top = sorted({name.split("/")[0] for name in listing.folders})
    splits = {name: SPLIT_FOLDERS[name.lower()] for name in top if name.lower() in SPLIT_FOLDERS}
    return splits if "train" in splits.values() and len(splits) == len(top) else {}


def _check_no_splits(root: Path, listing: Listing, top: list[str]) -> None:
    """Refuse folders of which some are splits by their names and by the class folders in them."""
    direct = {name.split("/")[0] for name in listing.images if name.count("/") == 1}
    nested = {name.split("/")[0] for name in listing.images if name.count("/") > 1}
    splits = [name for name in top if name.lower() in SPLIT_FOLDERS and name in nested - direct]
    others = [name for name in top if name not in splits]
    if len(splits) > 1 or (splits and not others):
        beside = f"beside {listed(others)}" if others else "without a folder `train`"
        raise DataError(
            f"{root} has the split folders {', '.join(splits)} {beside}, so it is not clear whether folders "
            f"are splits or classes. Leave only train, val and test, with a folder for each class in them."
        )


def _classes_in_splits(root: Path, listing: Listing, splits: dict[str, str], others: bool) -> tuple[str, ...]:
    """Return the classes below split folders, in training (`others`: in any of them)."""
    classes = {folder: set() for folder in splits}
    for name in listing.folders:
        folder, *rest = name.split("/")
        if len(rest) == 1:
            classes[folder].add(rest[0])
    train = next(folder for folder, split in splits.items() if split == "train")
    if not classes[train]:
        raise DataError(
            f"{root / train} has no class folders. Below each of {', '.join(splits)} there must be one "
            f"folder for each class."
        )
    if others:
        return tuple(sorted(set.union(*classes.values())))
    for folder in splits:
        if extra := sorted(classes[folder] - classes[train]):
            raise DataError(
                f"{root / folder} has classes that {train} lacks: {listed(extra)}. A model cannot learn "
                f"them. Add training images, or remove them (names must be written the same in all splits)."
                + (OTHERS_ARE_RIGHT if len(extra) > FOREIGN * len(classes[folder]) else "")
            )
    return tuple(sorted(classes[train]))


def label_by_folder(
    root: Path, listing: Listing, layout: FolderLayout, skip: bool
) -> tuple[Found, list[BadImageError]]:
    """Give each image the class and split of its folder; return those that have none apart."""
    number = {name: i for i, name in enumerate(layout.classes)}
    depth = 1 if layout.splits else 0
    names, labels, splits, stray = [], [], [], []
    for name in listing.images:
        parts = name.split("/")
        if len(parts) < depth + 2:
            stray.append(name)
            continue
        names.append(name)
        labels.append(number[parts[depth]])
        splits.append(layout.splits.get(parts[0], ""))
    if stray and not skip:
        raise DataError(
            f"{several(len(stray), 'image')} in {root} {'lies' if len(stray) == 1 else 'lie'} beside the "
            f"class folders and so without a class: {listed(stray)}. Move into a class folder, or leave out "
            f'with on_bad_file="skip".'
        )
    reason = "lies beside the class folders, so it has no class"
    found = Found(
        paths=[str(root / name) for name in names],
        names=names,
        labels=np.array(labels, np.int32),
        splits=np.array(splits) if layout.splits else None,
    )
    return found, [BadImageError(root / name, reason) for name in stray]


def _ignored(listing: Listing) -> list[str]:
    """Say what lies in the folder and is not used."""
    lines = [f"{name} links to a folder that is read already; it was left out." for name in listing.repeated]
    if listing.others:
        files = several(listing.others.total(), "file", ("is no image and was", "are no images and were"))
        lines.append(f"{files} ignored: {by_suffix(listing.others)}.")
    return lines
