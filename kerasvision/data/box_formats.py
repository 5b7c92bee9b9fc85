"""Which format of boxes a folder or a file is in, and reading it whichever it is."""

import os
from pathlib import Path

from kerasvision.data.box_tables import box_csv, is_box_csv
from kerasvision.data.coco_files import coco
from kerasvision.data.listing import Listing, list_images
from kerasvision.data.tables import TABLE_SUFFIXES
from kerasvision.data.vision_data import VisionData
from kerasvision.data.voc import pascal_voc
from kerasvision.data.yolo_files import yolo
from kerasvision.errors import DataError

LOADERS = {"voc": pascal_voc, "coco": coco, "yolo": yolo, "csv": box_csv}
_YAML = (".yaml", ".yml")


def read_boxes(path: str | os.PathLike, *, annotations: str = "auto", **settings) -> VisionData:
    """Return the images and boxes of a folder or a file of any format.

    Args:
        path: as for `pascal_voc`, `coco`, `yolo` or `box_csv`.
        annotations: `"voc"`, `"coco"`, `"yolo"`, `"csv"`, or `"auto"`: what the files look like.
        **settings: what all of these take: `image_size`, `validation_fraction`, `on_bad_file`, …

    Raises:
        DataError: it is in none of these formats, or as for its loader.
    """
    if annotations not in ("auto", *LOADERS):
        raise DataError(
            f"`annotations` must be auto, {', '.join(LOADERS)}. Received: {annotations!r}. It says in which "
            "format the boxes are."
        )
    if not Path(path).exists():
        raise DataError(f"{os.fspath(path)} is not there.")
    kind = format_of(Path(path)) if annotations == "auto" else annotations
    if kind is None:
        raise DataError(
            f"{os.fspath(path)} has no boxes in a format that is known by its look: Pascal VOC (XML files), "
            "COCO (a JSON file), YOLO (text files and a YAML file) or a CSV file with xmin, ymin, xmax, "
            "ymax. Give the folder that holds both images and annotations, or say which it is with "
            "`annotations`."
        )
    return LOADERS[kind](path, **settings)


def format_of(path: Path) -> str | None:
    """Return `"voc"`, `"coco"`, `"yolo"` or `"csv"` after the look of a folder or file; `None`: no boxes."""
    return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)


def _kind_of_file(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in (".json", *_YAML):
        return "coco" if suffix == ".json" else "yolo"
    return "csv" if suffix in TABLE_SUFFIXES and path.is_file() and is_box_csv(path) else None


def _kind_of_folder(folder: Path) -> str | None:
    if any(folder.glob("annotations/instances_*.json")) or any(folder.glob("*/_annotations.coco.json")):
        return "coco"
    listing = list_images(folder)
    suffixes = {**listing.others}
    if suffixes.get(".xml", 0) and 2 * suffixes[".xml"] >= len(listing.images):
        return "voc"
    if any(suffixes.get(suffix) for suffix in _YAML) and _has_labels(folder, listing):
        return "yolo"
    has_names = any((folder / name).is_file() for name in ("classes.txt", "obj.names", "labels/classes.txt"))
    return "yolo" if has_names and _has_labels(folder, listing) else None


def _has_labels(folder: Path, listing: Listing) -> bool:
    stems = {os.path.splitext(name)[0].rpartition("/")[2] for name in listing.images}
    texts = (name for name in listing.other_files if name.lower().endswith(".txt"))
    return any(os.path.splitext(name)[0].rpartition("/")[2] in stems for name in texts)
