"""Photos and masks as files: two folders or lists, CamVid's folders, and Pascal VOC's."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from kerasvision.data.listing import list_images
from kerasvision.data.mask_loading import MaskedPhotos, MaskSettings, load_masks
from kerasvision.data.mask_pairs import Lone, MaskPair, MaskPairs, find_pairs, split_roots
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.vision_data import VisionData
from kerasvision.data.voc import read_image_sets
from kerasvision.data.wording import listed, several
from kerasvision.errors import DataError

Colours = Mapping[str, tuple[int, int, int]] | str | os.PathLike
ClassNames = Sequence[str] | Mapping[int, str] | str | os.PathLike

# The 11 classes that SegNet's authors made of CamVid's 32, in the order of their files; 11 is void there.
# Badrinarayanan et al., SegNet, 2015, and its tutorial.
CAMVID_CLASSES = (
    "sky building pole road pavement tree sign_symbol fence car pedestrian bicyclist unlabelled"
).split()
CAMVID_VOID = 11
VOC_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()


def masks(
    images: str | os.PathLike | Sequence | Mapping,
    masks: str | os.PathLike | Sequence | Mapping | None = None,
    *,
    class_names: ClassNames | None = None,
    colours: Colours | None = None,
    void: int | str | tuple | Sequence | None = "auto",
    mask_orientation: Literal["upright", "stored"] = "upright",
    image_size: int | tuple[int, int] = 256,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 8,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Read photos and masks, image files that say which class each pixel is of.

    Masks are PNG, BMP, GIF or TIFF files of 8 bits: grey values or the indices of a palette (never its
    colours) count as classes 0, 1, …, and 255 as void; with `colours`, the colour of a pixel says its class.
    All masks are read and counted now, photos when they are needed. A mask has the size of its photo.

    In two folders, a mask has the name of its photo, but for the suffix, and lies in a folder of the same
    name; the same ending behind all names ("_mask") is found out. Folders named train, val and test are
    splits. `masks(folder)` reads a folder that has both: `images/` and `masks/`, or `train/` and
    `trainannot/`, …

    Masks of 0 and 255 alone are taken for background and foreground, which a note says.

    Args:
        images: a folder, a list of files, or "train", "validation", "test" -> folder or list.
        masks: of the same kind; a list in the order of `images`; by default they are found in the folder
            `images`.
        class_names: names of the values 0, 1, 2, …; or value -> name, such as `{1: "pet", 2: "ground"}`, in
            the order of the classes; or a text file with a name a line, or a JSON file with a list of them
            (or an object that has it as `names`). By default "class 0", "class 1", … after the values that
            occur.
        colours: name -> (r, g, b), or several, for masks in colour; or a file with a name and three numbers a
            line, such as CamVid's `label_colors.txt`. The names are then the classes.
        void: what does not count: a value, a name, or a colour (r, g, b) of `colours`, or several of them;
            `None`: nothing. By default 255, unless it is named, and names such as "void" and "unlabelled".
        mask_orientation: `"upright"`: masks lie on photos as viewers show them; `"stored"`: on their pixels
            before EXIF turns them, and masks are turned likewise.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), where no such split is given.
        test_fraction: share for the test split, in [0, 1), where no such split is given.
        seed: of the splits, which spread rare classes, and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`; masks follow it by nearest neighbour, and `"pad"` adds void.
        on_bad_file: `"raise"`: the first mask that cannot be used raises. `"skip"`: such masks, photos and
            those without counterpart are left out and listed in `.skipped`; all photos are read now.
        cache: of decoded photos, as for `image_folder`. Resized masks are kept in memory, compressed.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` of the task `"segment"`.

    Raises:
        BadAnnotationError: a mask has another size than its photo, values or colours that are no class, is
            saved with loss (JPEG), in 16 bits, with transparency, …, or one of a pair is missing.
        BadImageError: a photo cannot be read.
        DataError: the folders and arguments do not fit each other.

    Example:
        ```python
        data = kv.data.masks("photos/", "masks/", class_names=["ground", "road"], image_size=256)
        ```
    """
    settings = MaskSettings(
        class_names=class_names,
        colours=colours,
        void=void,
        mask_orientation=mask_orientation,
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
    if masks is None and not isinstance(images, str | os.PathLike):
        raise DataError(
            "`masks` is needed with lists and mappings of photos; in one folder alone it can be left out. "
            f"Received as `images`: {type(images).__name__}."
        )
    return _load(find_pairs(images, images if masks is None else masks), settings)


def _load(found: MaskPairs, settings: MaskSettings) -> VisionData:
    pairs = MaskedPhotos(
        photos=[pair.photo for pair in found.pairs],
        masks=[pair.mask for pair in found.pairs],
        names=[pair.name for pair in found.pairs],
        splits=[pair.split for pair in found.pairs],
    )
    return load_masks(
        pairs,
        settings,
        origin=found.origin,
        outside=found.root,
        notes=found.notes,
        lone=[one.error() for one in found.lone],
    )


def camvid(folder: str | os.PathLike, **settings) -> VisionData:
    """Read CamVid: photos in `train/`, `val/` and `test/`, masks in `trainannot/`, `valannot/`, `testannot/`.

    That is the form of SegNet's authors: indices of 11 classes, and 11 for what is not labelled, which is
    void here. Masks in colour are read by a table in the folder, `class_dict.csv` or `label_colors.txt`.

    Args:
        folder: holds these folders, unpacked.
        **settings: as for `masks`: `image_size`, `batch_size`, `seed`, …

    Returns:
        A `VisionData` of the task `"segment"` with the splits of the folder. Frames of one video, and so
        of one place, are in several splits of the published one.

    Raises:
        DataError: the layout is another, or as for `masks`.

    Source: Brostow, Fauqueur and Cipolla, 2009, "Semantic object classes in video"; Badrinarayanan, Kendall
    and Cipolla, 2015, "SegNet".

    Example:
        ```python
        data = kv.data.camvid("camvid/", image_size=(180, 240))
        ```
    """
    root = Path(folder).expanduser().absolute()
    if root.is_file():
        raise DataError(f"`folder` {root} must be a folder. Received: a file. Unpack it first.")
    if not split_roots(root):
        raise DataError(
            f"{root} does not look like CamVid: there must be `train` and `trainannot` (or `train_labels`), "
            f"and so for val and test. For other layouts there is `masks(images, masks)`."
        )
    return masks(root, **_with_legend(settings, camvid_legend(root)))


def camvid_legend(root: Path) -> dict:
    """Return what says of the masks of CamVid which classes there are, as arguments of `masks`."""
    table = _table_in(root, "class_dict.csv", "label_colors.txt")
    return {"colours": table} if table else {"class_names": CAMVID_CLASSES, "void": CAMVID_VOID}


def _with_legend(settings: Mapping, usual: Mapping) -> dict:
    """Return settings with the usual names or colours, unless they have their own."""
    told = settings.get("class_names") is not None or settings.get("colours") is not None
    return {**settings} if told else {**settings, **usual, **_given(settings, "void")}


def _given(settings: Mapping, name: str) -> dict:
    return {name: settings[name]} if name in settings else {}


def _table_in(root: Path, *names: str) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def pascal_voc_masks(
    folder: str | os.PathLike, *, splits: Mapping[str, str] | None = None, **settings
) -> VisionData:
    """Read photos and masks in the layout of Pascal VOC's segmentation task.

    `SegmentationClass/*.png` are the masks of the photos in `JPEGImages/` that have their names;
    `ImageSets/Segmentation/train.txt`, `val.txt` and `test.txt` list the splits, where they are there. The
    index in the palette is the class, 255 (the outlines) is void. Other photos are left out. Where
    `labelmap.txt` lies in the folder, as CVAT writes it, masks are read by its colours; where
    `class_names.txt` does, as LabelMe writes it, the classes are called as there, and masks may lie in
    `SegmentationClassPNG/`.

    Args:
        folder: holds the above. Nothing is written into it.
        splits: "train", "validation", "test" -> name of a file in `ImageSets/Segmentation` (without .txt), as
            for `pascal_voc`.
        **settings: as for `masks`: `class_names` (by default the 21 of VOC, background first) and others.

    Returns:
        A `VisionData` of the task `"segment"`.

    Raises:
        BadAnnotationError: a photo or mask that a list names is not there, or as for `masks`.
        DataError: there are no masks, or as for `masks`.

    Source: Everingham et al., 2010, "The Pascal Visual Object Classes (VOC) Challenge".

    Example:
        ```python
        data = kv.data.pascal_voc_masks("VOC2012/", image_size=256)
        ```
    """
    root = Path(folder).expanduser().absolute()
    return _load(voc_pairs(root, splits), MaskSettings(**_with_legend(settings, voc_legend(root))))


def voc_roots(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of photos and of masks of Pascal VOC's layout; `None` where they are not there."""
    # LabelMe puts arrays into `SegmentationClass`, and the images of them beside.
    marks = (root / name for name in ("SegmentationClassPNG", "SegmentationClass"))
    found = next((folder for folder in marks if folder.is_dir()), None)
    return (root / "JPEGImages", found) if found and (root / "JPEGImages").is_dir() else None


def voc_legend(root: Path) -> dict:
    """Return what says of the masks of Pascal VOC which classes there are, as arguments of `masks`."""
    if table := _table_in(root, "labelmap.txt"):
        return {"colours": table}
    return {"class_names": _table_in(root, "class_names.txt") or VOC_CLASSES}


def voc_pairs(root: Path, splits: Mapping[str, str] | None = None) -> MaskPairs:
    """Return which mask of `SegmentationClass` belongs to which photo of `JPEGImages`, and to which split.

    Raises:
        DataError: there are no such folders, or a list is not there.
    """
    photos, marks = voc_roots(root) or (None, None)
    if photos is None:
        raise DataError(
            f"{root} must have the folders JPEGImages and SegmentationClass. For other layouts there is "
            f"`masks(images, masks)`."
        )
    lists = read_image_sets(root, splits, "Segmentation")
    by_stem = [{Path(name).stem: name for name in list_images(at).images} for at in (photos, marks)]
    if lists is None:
        lists = {"": set(by_stem[1])}
    found = MaskPairs(origin=str(root), root=root)
    for split, names in lists.items():
        for name in sorted(names):
            photo, mask = (there.get(name) for there in by_stem)
            if photo and mask:
                found.pairs.append(MaskPair(str(photos / photo), str(marks / mask), photo, split))
                continue
            what = f"there is no such mask in {marks}" if photo else f"there is no such photo in {photos}"
            listed_in = f"is listed for {split}, but " if split else "is a mask, but "
            path = photos / photo if photo else marks / (mask or f"{name}.png")
            found.lone.append(Lone(str(path), listed_in + what, photo=photo is not None, split=split))
    unlisted = sorted(set(by_stem[1]).difference(*lists.values()))
    if unlisted:
        were = "was" if len(unlisted) == 1 else "were"
        found.notes.append(
            f"{several(len(unlisted), 'mask', ('is', 'are'))} in no list of ImageSets/Segmentation and "
            f"{were} left out: {listed(unlisted)}."
        )
    return found
