"""Which mask belongs to which photo, by folders and names or by the order of lists."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kerasvision.data.folders import SPLIT_FOLDERS, split_folders
from kerasvision.data.listing import Listing, list_images
from kerasvision.data.vision_data import SPLITS
from kerasvision.data.wording import listed
from kerasvision.errors import BadAnnotationError, DataError

# What the folder of masks beside `train/` is called: "trainannot" (SegNet's CamVid), "train_labels", …
_ENDINGS = ("annot", "_annot", "_labels", "_masks", "labels", "masks", "_mask", "_label")
_PHOTOS = ("images", "image", "imgs", "img", "photos", "JPEGImages")
_MASKS = ("masks", "mask", "labels", "label", "annotations", "SegmentationClass", "labelIds", "gt")
_MASKS += ("masks_machine",)  # of Supervisely: numbers of classes
_SHOWN = 3


@dataclass(frozen=True)
class MaskPair:
    """A photo and its mask.

    Args:
        photo: absolute path of the photo.
        mask: absolute path of the mask.
        name: of the photo, for people.
        split: `"train"`, `"validation"`, `"test"` or `""`.
    """

    photo: str
    mask: str
    name: str
    split: str = ""


@dataclass(frozen=True)
class Lone:
    """A photo without a mask, or a mask without a photo.

    Args:
        path: absolute path of what is there; of the mask, where neither is.
        reason: what is wrong with it, as it follows the path in an error.
        photo: whether it is a photo.
        split: `"train"`, `"validation"`, `"test"` or `""`.
    """

    path: str
    reason: str
    photo: bool = False
    split: str = ""

    def error(self) -> BadAnnotationError:
        """Return this as the error that a loader raises."""
        return BadAnnotationError(self.path, self.reason)


@dataclass
class MaskPairs:
    """What pairing found.

    Attributes:
        pairs: photos with their masks, in the order of the photos.
        lone: photos without a mask, and masks without a photo.
        notes: how they were matched, where not by equal names.
        origin: where they are, for reports.
        root: a folder of the user in which no cache may lie.
    """

    pairs: list[MaskPair] = field(default_factory=list)
    lone: list[Lone] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origin: str = ""
    root: Path | None = None


def find_pairs(images, masks) -> MaskPairs:
    """Return the photos and masks of two folders, two lists, or one of these for each split.

    Args:
        images: a folder, a list of files, or "train", "validation", "test" -> folder or list.
        masks: of the same kind as `images`. A mask has the name of its photo; lists are in one order.

    Raises:
        DataError: the arguments do not fit each other, names are not clear, or nothing fits.
    """
    if isinstance(images, Mapping) or isinstance(masks, Mapping):
        return _by_split(images, masks)
    folders = [isinstance(value, str | os.PathLike) for value in (images, masks)]
    if folders == [True, True]:
        return _in_folders(_absolute(images), _absolute(masks))
    if any(folders) or not all(isinstance(value, Sequence) for value in (images, masks)):
        raise DataError(
            "`images` and `masks` must both be folders, or both lists of files, or both mappings from splits "
            f"to these. Received: {type(images).__name__} and {type(masks).__name__}."
        )
    return _in_lists(images, masks)


def _absolute(path: str | os.PathLike) -> Path:
    return Path(path).expanduser().absolute()


def _by_split(images, masks) -> MaskPairs:
    keys = [set(value) if isinstance(value, Mapping) else None for value in (images, masks)]
    if keys[0] != keys[1] or not keys[0] or not keys[0] <= set(SPLITS) or "train" not in keys[0]:
        raise DataError(
            "`images` and `masks` must both be mappings from train, validation or test, with train among "
            f"them. Received: {[sorted(map(str, one)) if one else one for one in keys]}."
        )
    whole = MaskPairs()
    for split in (split for split in SPLITS if split in images):
        part = find_pairs(images[split], masks[split])
        prefix = f"{split}/" if len({*map(str, images.values())}) > 1 else ""
        whole.pairs += [MaskPair(p.photo, p.mask, prefix + p.name, split) for p in part.pairs]
        whole.lone += [replace(one, split=split) for one in part.lone]
        whole.notes += [note for note in part.notes if note not in whole.notes]
    roots = [str(Path(pair.photo).parent) for pair in whole.pairs]
    whole.origin = os.path.commonpath(roots) if roots else ""
    whole.root = Path(whole.origin) if roots else None
    return whole


def _in_lists(images: Sequence, masks: Sequence) -> MaskPairs:
    if len(images) != len(masks) or not len(images):
        raise DataError(
            f"`images` and `masks` must be lists of one length, a mask for each image. Received: "
            f"{len(images)} and {len(masks)}."
        )
    wrong = [one for one in (*images, *masks) if not isinstance(one, str | os.PathLike)]
    if wrong:
        raise DataError(
            f"`images` and `masks` must be paths of files. Received: {type(wrong[0]).__name__}. For arrays "
            f"there is `from_arrays(images, masks, class_names)`."
        )
    photos, marks = ([str(_absolute(path)) for path in paths] for paths in (images, masks))
    base = Path(os.path.commonpath([os.path.dirname(photo) for photo in photos]))
    pairs = [MaskPair(p, m, Path(p).relative_to(base).as_posix()) for p, m in zip(photos, marks, strict=True)]
    return MaskPairs(pairs, origin=f"{len(pairs)} listed files in {base}", root=base)


def split_roots(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folders of photos and of masks of each split; none where the folder is not laid out so.

    Masks lie beside, as in `train/` and `trainannot/`, or inside, as in `train/images/` and `train/masks/`.
    """
    there = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}
    found = {}
    for name, path in there.items():
        split = SPLIT_FOLDERS.get(name.lower())
        beside = next((there[name + ending] for ending in _ENDINGS if name + ending in there), None)
        pair = (path, beside) if beside else pair_roots(path) if split else None
        if split and pair and split not in found:
            found[split] = pair
    return found if "train" in found else {}


def pair_roots(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of photos and of masks within one: `images` and `masks`, by their usual names."""
    there = {path.name.lower(): path for path in root.iterdir() if path.is_dir()} if root.is_dir() else {}
    photos, masks = (
        next((there[name.lower()] for name in names if name.lower() in there), None)
        for names in (_PHOTOS, _MASKS)
    )
    return (photos, masks) if photos and masks else None


def _in_folders(images: Path, masks: Path) -> MaskPairs:
    if images == masks:
        if splits := split_roots(images):
            photos, marks = ({split: pair[i] for split, pair in splits.items()} for i in (0, 1))
            return _by_split(photos, marks)
        if pair := pair_roots(images):
            return _in_folders(*pair)
    listing, mask_listing = list_images(images), list_images(masks)
    photos = _without(listing.images, images, masks)
    marks = _without(mask_listing.images, masks, images)
    if images == masks or not photos or not marks:
        raise DataError(
            f"No photos with masks in {images} and {masks}. Found: {listing.found()}; "
            f"{mask_listing.found()}. Give the folder of the photos and the folder of the masks, image files "
            f"of the same names; where both lie in one folder, two lists of files in the same order."
        )
    pairs, alone, lost, notes = _match(photos, marks)
    if not pairs:
        raise DataError(
            f"No mask in {masks} has the name of a photo in {images}. Photos: {listed(photos, _SHOWN)}. "
            f"Masks: {listed(marks, _SHOWN)}. Pass two lists of files in the same order instead."
        )
    splits = split_folders(_under(listing, images, masks))
    split_of = {name: splits.get(name.split("/")[0], "") for name in photos}
    found = [MaskPair(str(images / p), str(masks / m), p, split_of[p]) for p, m in pairs]
    without = f"has no mask of its name in {masks}"
    lone = [Lone(str(images / name), without, photo=True, split=split_of[name]) for name in alone]
    lone += [Lone(str(masks / name), f"is a mask without a photo in {images}") for name in lost]
    return MaskPairs(found, lone, notes, origin=str(images), root=images)


def _without(names: Sequence[str], root: Path, other: Path) -> list[str]:
    """Return the files that do not lie in the other folder, where that is inside of this one."""
    if root == other or not other.is_relative_to(root):
        return list(names)
    inner = f"{other.relative_to(root).as_posix()}/"
    return [name for name in names if not name.startswith(inner)]


def _under(listing: Listing, root: Path, other: Path) -> Listing:
    inner = other.relative_to(root).as_posix() if root != other and other.is_relative_to(root) else None
    folders = [name for name in listing.folders if name != inner and not name.startswith(f"{inner}/")]
    return Listing(images=listing.images, folders=folders)


def _match(photos: Sequence[str], masks: Sequence[str]):
    """Return pairs, photos and masks that are left, and notes; the way that matches most is taken."""
    affixes = [("", ""), ("", _common_ending(photos, masks)), (_common_beginning(photos, masks), "")]
    best = None
    for affix in dict.fromkeys(affixes):
        for key in (_path_key, _stem_key):
            keyed = [_keyed(photos, key, ("", "")), _keyed(masks, key, affix)]
            both = [name for name in keyed[0] if name in keyed[1]]
            if best is None or len(both) > len(best[0]):
                best = both, keyed, affix
    both, (by_photo, by_mask), (beginning, ending) = best
    for found, argument in ((by_photo, "images"), (by_mask, "masks")):
        twice = next((names for name, names in found.items() if len(names) > 1 and name in both), None)
        if twice:
            raise DataError(f"`{argument}` has several files of one name: {listed(twice)}. Keep one.")
    pairs = [(by_photo[name][0], by_mask[name][0]) for name in both]
    used = {name for pair in pairs for name in pair}
    alone, lost = ([n for n in names if n not in used] for names in (photos, masks))
    notes = [f"A mask is called as its photo with {ending!r} behind it."] if ending else []
    notes += [f"A mask is called as its photo with {beginning!r} before it."] if beginning else []
    return pairs, alone, lost, notes


def _keyed(names: Sequence[str], key: Callable, affix: tuple[str, str]) -> dict[str, list[str]]:
    beginning, ending = affix
    found: dict[str, list[str]] = {}
    for name in names:
        folder, slash, stem = os.path.splitext(name)[0].rpartition("/")
        if stem.startswith(beginning) and stem.endswith(ending) and len(stem) > len(beginning + ending):
            bare = stem[len(beginning) : len(stem) - len(ending)]
            found.setdefault(key(folder + slash + bare), []).append(name)
    return found


def _path_key(stem: str) -> str:
    return stem


def _stem_key(stem: str) -> str:
    return stem.rpartition("/")[2]


def _common_ending(photos: Sequence[str], masks: Sequence[str]) -> str:
    """Return what most masks have behind the name of a photo, such as "_mask"; "" if nothing."""
    return _usual_rest(_stems(photos), _stems(masks))


def _common_beginning(photos: Sequence[str], masks: Sequence[str]) -> str:
    """Return what most masks have before the name of a photo, such as "mask_"; "" if nothing."""
    photos, masks = ([stem[::-1] for stem in _stems(names)] for names in (photos, masks))
    return _usual_rest(photos, masks)[::-1]


def _stems(names: Sequence[str]) -> list[str]:
    return [_stem_key(os.path.splitext(name)[0]) for name in names]


def _usual_rest(photos: Sequence[str], masks: Sequence[str]) -> str:
    known, rests = set(photos), Counter()
    for stem in masks:
        longest = next((n for n in range(len(stem), 0, -1) if stem[:n] in known), None)
        if longest:
            rests[stem[longest:]] += 1
    return rests.most_common(1)[0][0] if rests else ""
