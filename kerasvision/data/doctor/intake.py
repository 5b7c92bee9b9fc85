"""What the doctor looks at: the images of a folder or of a `VisionData`, with their classes and splits."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kerasvision.data.assembling import check_class_names
from kerasvision.data.decoding import Source, open_photo
from kerasvision.data.doctor.box_intake import Boxed, BoxIntake, boxed_path, boxes_of_data
from kerasvision.data.doctor.mask_intake import Masked, MaskIntake, masked_path, masks_of_data
from kerasvision.data.folders import find_layout, split_folders
from kerasvision.data.listing import Listing, list_images
from kerasvision.data.tables import TABLE_SUFFIXES, image_csv, list_table
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.errors import BadImageError, DataError

SNIFFED = 5000  # files without an image's suffix whose first bytes are looked at
MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}


@dataclass(frozen=True)
class Intake:
    """All images before any is read.

    Attributes:
        origin: what was checked, for people.
        root: the folder, None for a `VisionData` that was not made from one.
        sources: N paths, encoded images or arrays.
        names: N names for people.
        labels: N class names, None where an image has none.
        splits: N of "train", "validation", "test", or "" where there are no splits.
        class_names: all classes, also those without an image.
        split_names: the splits there are, () when there are none.
        layout_problem: why `image_folder` would refuse the folder, or None.
        hidden: images that are ignored for their suffix: (name, format).
        others: number of other files, by suffix.
        repeated: links to folders that had been visited already.
        skipped: images that a `VisionData` had left out: (name, reason).
        boxes: what is annotated, `None` for images without boxes.
        masks: the masks, `None` for images without any.
        identities: whether labels are identities.
    """

    origin: str
    root: Path | None
    sources: Sequence[Source]
    names: Sequence[str]
    labels: Sequence[str | None]
    splits: Sequence[str]
    class_names: tuple[str, ...]
    split_names: tuple[str, ...] = ()
    layout_problem: str | None = None
    hidden: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    repeated: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    boxes: BoxIntake | None = None
    masks: MaskIntake | None = None
    identities: bool = False

    @property
    def noun(self) -> str:
        """What a label is called."""
        return "identity" if self.identities else "class"

    @property
    def nouns(self) -> str:
        """What labels are called."""
        return "identities" if self.identities else "classes"

    @property
    def classified(self) -> bool:
        """Whether each image is of one class or identity: there are neither boxes nor masks."""
        return self.boxes is None and self.masks is None


def take_in(data: str | os.PathLike | VisionData, identities: bool = False) -> Intake:
    """List what is to be checked.

    Args:
        data: as for `check`.
        identities: the labels of a folder or file are identities.

    Raises:
        DataError: the folder is not there, or holds no images at all; or what `image_csv` refuses.
    """
    if isinstance(data, VisionData):
        return _from_data(data)
    path = Path(data).expanduser()
    if identities:
        is_table = path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir()
        return _from_identity_table(path) if is_table else _from_folder(path, task="embed")
    if (boxed := boxed_path(path)) is not None:
        return _from_boxed(path, boxed)
    if (masked := masked_path(path)) is not None:
        return _from_masked(path, masked)
    is_table = path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir()
    return _from_table(path) if is_table else _from_folder(path)


def _from_boxed(path: Path, boxed: Boxed) -> Intake:
    present = set(boxed.splits) - {""}
    return Intake(
        origin=str(path),
        root=boxed.root if path.is_dir() else None,
        sources=boxed.sources,
        names=boxed.names,
        labels=[""] * len(boxed.names),
        splits=boxed.splits,
        class_names=boxed.class_names,
        split_names=tuple(split for split in SPLITS if split in present),
        boxes=boxed.boxes,
    )


def _from_masked(path: Path, masked: Masked) -> Intake:
    present = set(masked.splits) - {""}
    return Intake(
        origin=str(path),
        root=masked.root,
        sources=masked.sources,
        names=masked.names,
        labels=[""] * len(masked.names),
        splits=masked.splits,
        class_names=(),
        split_names=tuple(split for split in SPLITS if split in present),
        masks=masked.masks,
    )


def _from_table(path: Path) -> Intake:
    data = image_csv(path, validation_fraction=0, cache=False)
    intake = _from_data(data)
    if tuple(data.splits) == ("train",):  # which is what `image_csv` says where the file says nothing
        intake = replace(intake, splits=[""] * len(intake.splits), split_names=())
    return intake


def _from_identity_table(path: Path) -> Intake:
    columns = {"path": "path", "label": "identity", "split": "split"}
    found, names, _ = list_table(path, None, columns, "embed")
    splits = [""] * len(found.names) if found.splits is None else found.splits.tolist()
    return Intake(
        origin=str(path.absolute()),
        root=None,
        sources=found.paths,
        names=found.names,
        labels=[names[label] for label in found.labels],
        splits=splits,
        class_names=tuple(names),
        split_names=tuple(split for split in SPLITS if split in splits),
        identities=True,
    )


def _from_folder(root: Path, task: str = "classify") -> Intake:
    listing = list_images(root)
    hidden = _hidden_images(root, listing)
    try:
        layout, problem = find_layout(root, listing, task), None
        if len(layout.classes) > 1:  # a single class is a problem with a name of its own
            check_class_names(layout.classes, task=task)
    except DataError as error:
        if not listing.images and not hidden:
            raise
        problem = str(error)
    splits = split_folders(listing)
    placed = [_place(name, splits) for name in listing.images]
    classes = {label for _, label in placed if label is not None}
    classes |= {label for name in listing.folders if (label := _place(f"{name}/x", splits)[1]) is not None}
    present = {split for split, _ in placed} | set(splits.values())
    return Intake(
        origin=str(root),
        root=root.absolute(),
        sources=[str(root.absolute() / name) for name in listing.images],
        names=listing.images,
        labels=[label for _, label in placed],
        splits=[split for split, _ in placed],
        class_names=tuple(sorted(classes)),
        split_names=tuple(split for split in SPLITS if split in present),
        layout_problem=problem,
        hidden=hidden,
        others=tuple(listing.others.most_common()),
        repeated=tuple(listing.repeated),
        identities=task == "embed",
    )


def _place(name: str, splits: dict[str, str]) -> tuple[str, str | None]:
    """Return the split and the class of an image by its folders."""
    folders = name.split("/")[:-1]
    if not splits:
        return "", folders[0] if folders else None
    return splits.get(folders[0], "") if folders else "", folders[1] if len(folders) > 1 else None


def _hidden_images(root: Path, listing: Listing) -> tuple[tuple[str, str], ...]:
    found = ((name, _sniff(root / name)) for name in listing.other_files[:SNIFFED])
    return tuple((name, kind) for name, kind in found if kind)


def _sniff(path: Path) -> str | None:
    try:
        with open_photo(str(path)) as file:
            start = file.read(16)
    except (BadImageError, OSError):  # a broken link, a pipe, a locked file: no image by its name
        return None
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)


def _from_data(data: VisionData) -> Intake:
    parts = [(split, data.splits[split]) for split in SPLITS if split in data.splits]
    origin = data.origin or "data in memory"
    folder = Path(origin)
    names = [_unique(name, split, parts) for split, samples in parts for name in samples.names]
    labels = [label for _, samples in parts for label in samples.labels]
    classified = data.task in ("classify", "embed")
    return Intake(
        origin=origin,
        root=folder.absolute() if data.origin and folder.is_dir() else None,
        sources=Chained([samples.sources for _, samples in parts]),
        names=names,
        labels=[data.class_names[label] for label in labels] if classified else [""] * len(names),
        splits=[split for split, samples in parts for _ in range(len(samples))],
        class_names=data.class_names,
        split_names=tuple(split for split, _ in parts),
        skipped=tuple((error.path, error.reason) for error in data.skipped),
        boxes=boxes_of_data(data, names) if data.task == "detect" else None,
        masks=masks_of_data(data, names) if data.task == "segment" else None,
        identities=data.task == "embed",
    )


def _unique(name: str, split: str, parts: list) -> str:
    """Arrays are named by number, which repeats in each split."""
    return f"{split}: {name}" if len(parts) > 1 and "#" in name else name


class Chained(Sequence):
    """Several sequences one after the other, read only where asked: drawn images are not all held."""

    def __init__(self, parts: Sequence[Sequence]):
        """Join `parts`."""
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int):
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)
