"""Which layout of masks a folder or a file is in, and reading it whichever it is."""

import os
import re
from pathlib import Path

from kerasvision.data.coco_label_maps import coco_masks
from kerasvision.data.mask_folders import (
    camvid,
    camvid_legend,
    masks,
    pascal_voc_masks,
    voc_legend,
    voc_pairs,
    voc_roots,
)
from kerasvision.data.mask_pairs import MaskPairs, find_pairs, pair_roots, split_roots
from kerasvision.data.vision_data import VisionData
from kerasvision.errors import DataError


def _folders(path: str | os.PathLike, **settings) -> VisionData:
    return masks(path, **settings)


# Names of frames start with that of one of its videos.
_CAMVID_FRAME = re.compile("(0001TP|0006R0|0016E5|Seq05VD)_")


def _pairs_of_folders(path: Path) -> MaskPairs:
    return find_pairs(path, path)


LOADERS = {"voc": pascal_voc_masks, "coco": coco_masks, "camvid": camvid, "folders": _folders}
# Which mask belongs to which photo, and what is known of the values, as arguments of `masks`.
LAYOUTS = {
    "voc": (voc_pairs, voc_legend),
    "camvid": (_pairs_of_folders, camvid_legend),
    "folders": (_pairs_of_folders, lambda path: {}),
}


def read_masks(path: str | os.PathLike, *, annotations: str = "auto", **settings) -> VisionData:
    """Return the photos and masks of a folder or a file of any layout.

    Args:
        path: as for `pascal_voc_masks`, `coco_masks` or `camvid`, or a folder with `images/` and `masks/`.
        annotations: `"voc"`, `"coco"`, `"camvid"`, `"folders"` (as `masks(path)`), or `"auto"`: what
            the files look like.
        **settings: what all of these take: `image_size`, `validation_fraction`, `on_bad_file`, …

    Raises:
        DataError: it is in none of these layouts, or as for its loader.
    """
    if annotations not in ("auto", *LOADERS):
        raise DataError(
            f"`annotations` must be auto, {', '.join(LOADERS)}. Received: {annotations!r}. It says in which "
            "layout the masks are."
        )
    if not Path(path).expanduser().exists():
        raise DataError(f"{os.fspath(path)} is not there.")
    if Path(path).expanduser().is_file() and Path(path).suffix.lower() != ".json":
        raise DataError(
            f"{os.fspath(path)} must be a folder or a JSON file of COCO. Received: another file. If it is an "
            "archive, unpack it first."
        )
    kind = mask_format_of(Path(path).expanduser()) if annotations == "auto" else annotations
    if kind is None:
        raise DataError(
            f"{os.fspath(path)} has no masks in a layout that is known by its look: folders `images` and "
            "`masks`, `train` and `trainannot` (CamVid), JPEGImages and SegmentationClass (Pascal VOC) or a "
            "JSON file with outlines (COCO). Give the folder that holds both photos and masks, or use "
            "`kv.data.masks(images, masks)`. Tools with files of their own (LabelMe, Supervisely, …) export "
            "COCO or masks."
        )
    return LOADERS[kind](path, **settings)


def mask_format_of(path: Path) -> str | None:
    """Return `"voc"`, `"coco"`, `"camvid"` or `"folders"` after the look of a folder or file, or `None`."""
    if not path.is_dir():
        return "coco" if path.suffix.lower() == ".json" else None
    if voc_roots(path):
        return "voc"
    if splits := split_roots(path):
        photos = (file.name for file in splits["train"][0].iterdir())
        return "camvid" if any(_CAMVID_FRAME.match(name) for name in photos) else "folders"
    if any(path.glob("annotations/instances_*.json")) or any(path.glob("*/_annotations.coco.json")):
        return "coco"
    if pair_roots(path):
        return "folders"
    return "coco" if len([*path.glob("*.json")]) == 1 else None
