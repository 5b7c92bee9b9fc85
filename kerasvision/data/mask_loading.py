"""Read, check and count all masks once, and put photos and masks together to a `VisionData`."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from kerasvision.data.assembling import assemble
from kerasvision.data.box_loading import BoxSettings, file_cache, packed_cache
from kerasvision.data.decoding import Source
from kerasvision.data.headers import size_and_turn
from kerasvision.data.label_maps import LabelMaps
from kerasvision.data.loading import usable_cores
from kerasvision.data.mask_coding import ColourTable, MaskCoding, open_mask, stored_values
from kerasvision.data.mask_legends import TOLD_TWICE, Legend, choose_legend, colour_table
from kerasvision.data.picking import Picked
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.data.reading import Found, first_of, readable, report_skipped
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.metrics.segmentation import VOID
from kerasvision.progress import bar, say

_BLOCK = 1024  # handed to the threads at a time
_SHOWN = 4
T = TypeVar("T")
SKIPPED = "such masks and photos"


@dataclass(frozen=True)
class MaskSettings(BoxSettings):
    """The arguments that loaders of masks share; `masks` describes them."""

    class_names: Sequence[str] | Mapping[int, str] | str | None = None
    image_size: int | tuple[int, int] = 256
    batch_size: int = 8
    colours: Mapping | str | None = None
    void: object = "auto"
    mask_orientation: Literal["upright", "stored"] = "upright"

    def __post_init__(self):
        super().__post_init__()
        if self.class_names is not None and self.colours is not None:
            raise DataError(TOLD_TWICE)
        if self.mask_orientation not in ("upright", "stored"):
            raise DataError(
                f'`mask_orientation` must be "upright" or "stored". Received: {self.mask_orientation!r}. It '
                f"says whether masks lie on photos as viewers show them, or on their pixels before EXIF "
                f"turns them."
            )


@dataclass(frozen=True)
class MaskedPhotos:
    """Photos and masks in one order, before any is read.

    Args:
        photos: N sources of photos.
        masks: N sources of masks.
        names: N names of photos, for people.
        splits: N of "train", "validation", "test", "".
        packed: the photos are packed in one file.
        mask_names: N names to call masks by in errors, where they are not files.
    """

    photos: Sequence[Source]
    masks: Sequence[Source]
    names: Sequence[str]
    splits: Sequence[str]
    packed: bool = False
    mask_names: Sequence[str] | None = None


class SeenMask(NamedTuple):
    """What reading a mask once found.

    Args:
        counts: (256,) int32, pixels of each value.
        turn: EXIF orientation of its photo.
        grey: three equal channels were taken for one.
    """

    counts: np.ndarray
    turn: int
    grey: bool


def load_masks(
    found: MaskedPhotos,
    settings: MaskSettings,
    *,
    origin: str,
    outside: Path | None = None,
    notes: Sequence[str] = (),
    lone: Sequence[BadAnnotationError] = (),
) -> VisionData:
    """Read all masks, decide what their values mean, leave out or refuse the bad ones, and assemble.

    Args:
        found: photos and masks.
        settings: the arguments of the loader.
        origin: what the data were made from.
        outside: a folder of the user in which no cache may lie.
        notes: what the reader noticed so far.
        lone: photos without mask and masks without photo.

    Raises:
        BadAnnotationError: (`on_bad_file="raise"`) a mask cannot be used, or one of a pair is missing.
        BadImageError: (`on_bad_file="raise"`) a photo is not there or no image.
        DataError: nothing is left, the masks do not fit the names, or as for `assemble`.
    """
    strict = settings.on_bad_file == "raise"
    if strict and lone:
        raise first_of(lone, SKIPPED)
    table = None if settings.colours is None else colour_table(settings.colours)
    seen = each_in_threads(
        lambda index: _see(found, index, table, settings.mask_orientation), len(found.masks), "Reading masks"
    )
    good = [index for index, one in enumerate(seen) if isinstance(one, SeenMask)]
    bad = [one for one in seen if not isinstance(one, SeenMask)]
    if bad and (strict or not good):
        raise first_of(bad, SKIPPED, settings.on_bad_file)
    counts = np.array([seen[index].counts for index in good])
    legend = choose_legend(
        counts.sum(0, dtype=np.int64), class_names=settings.class_names, table=table, void=settings.void
    )
    strange = {i: _strange(counts[i], legend) for i in np.flatnonzero(counts[:, ~legend.known].any(1))}
    wrong = [BadAnnotationError(_called(found, good[i]), reason) for i, reason in strange.items()]
    if wrong and (strict or len(wrong) == len(good)):
        raise first_of(wrong, SKIPPED, settings.on_bad_file)
    kept = [i for i in range(len(good)) if i not in strange]
    turns = np.array([seen[good[i]].turn for i in kept])
    maps = _label_maps(found, np.array(good)[kept], counts[kept], legend, table)
    if settings.mask_orientation == "stored":
        maps = _turned(maps, turns)
    grey = sum(seen[good[i]].grey for i in kept)
    return assemble_masks(
        _pick(found, np.array(good)[kept]),
        maps,
        legend.names,
        settings,
        origin=origin,
        outside=outside,
        skipped=(*lone, *bad, *wrong),
        notes=(*notes, *_grey_note(grey), *legend.notes, *_turn_note(turns, settings.mask_orientation)),
    )


def each_in_threads(work: Callable[[int], T], count: int, title: str) -> list[T | BadImageError]:
    """Return what `work` makes of 0 to `count` - 1, or the `BadImageError` that it raised, in this order."""

    def one(index: int) -> T | BadImageError:
        try:
            return work(index)
        except BadImageError as error:
            return type(error)(error.path, error.reason)  # without the traceback and what it holds on to

    results: list[T | BadImageError] = []
    pool = ThreadPoolExecutor(usable_cores(), thread_name_prefix="kerasvision-masks")
    try:
        with bar(title, count) as advance:
            for start in range(0, count, _BLOCK):
                for result in pool.map(one, range(start, min(start + _BLOCK, count))):
                    results.append(result)
                    advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def _called(found: MaskedPhotos, index: int) -> str:
    return str(found.masks[index]) if found.mask_names is None else found.mask_names[index]


def _see(found: MaskedPhotos, index: int, table: ColourTable | None, orientation: str) -> SeenMask:
    called, photo = _called(found, index), found.names[index]
    stored = open_mask(found.masks[index], called)
    values = stored_values(stored, table, called)
    size, turn = size_and_turn(found.photos[index], photo)
    if fault := _size_fault(values.shape, size, turn, orientation, photo):
        raise BadAnnotationError(called, fault)
    return SeenMask(np.bincount(values.reshape(-1), minlength=256).astype(np.int32), turn, stored.grey)


def _size_fault(
    mask: tuple[int, int], upright: tuple[int, int], turn: int, orientation: str, photo: str
) -> str | None:
    """Say why a mask of this size cannot belong to its photo."""
    stored = upright[::-1] if turn >= 5 else upright
    wanted, other = (upright, stored) if orientation == "upright" else (stored, upright)
    if mask == wanted:
        return None
    sizes = f"has {_size(mask)} pixels (width x height), and its photo {photo} {_size(wanted)}"
    if mask == other:
        value = "stored" if orientation == "upright" else "upright"
        photo_is, mask_is = ("shown", "stored")[:: 1 if value == "stored" else -1]
        return (
            f"{sizes} as it is {photo_is}: EXIF turns the photo, and the mask lies on it as it is {mask_is}. "
            f'Pass mask_orientation="{value}" if all masks do'
        )
    return (
        f"{sizes}. Find the photo that it was drawn on, or resize it without smoothing: "
        f"`mask.resize(photo.size, Image.Resampling.NEAREST)`"
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"


def _strange(counts: np.ndarray, legend: Legend) -> str:
    values = np.flatnonzero(counts * ~legend.known)
    shown = listed([str(value) for value in values], _SHOWN)
    known = listed([str(value) for value in np.flatnonzero(legend.known)], 20)
    soft = (
        ". So many are a sign of smoothing: masks must be saved as PNG and resized by nearest neighbour"
        if len(values) > 20
        else ". Name it in `class_names`, or list it in `void`"
    )
    pixels = several(int(counts[values].sum()), "pixel")
    return (
        f"holds {'the value' if len(values) == 1 else 'the values'} {shown} on {pixels}, which "
        f"{'is' if len(values) == 1 else 'are'} no class ({len(legend.names)} classes; known values: "
        f"{known}){soft}"
    )


def _label_maps(
    found: MaskedPhotos, kept: np.ndarray, counts: np.ndarray, legend: Legend, table: ColourTable | None
) -> LabelMaps:
    belongs = (legend.labels[:, None] == np.arange(len(legend.names))).astype(np.int64)
    return LabelMaps(
        sources=Picked(found.masks, kept),
        pixels=counts @ belongs,
        void=counts[:, legend.labels == VOID].sum(1, dtype=np.int64),
        coding=MaskCoding(legend.labels, legend.known, table),
        names=None if found.mask_names is None else Picked(found.mask_names, kept),
    )


def _turned(maps: LabelMaps, turns: np.ndarray) -> LabelMaps:
    return LabelMaps(maps.sources, maps.pixels, maps.void, maps.coding, maps.names, turns)


def _pick(found: MaskedPhotos, kept: np.ndarray) -> MaskedPhotos:
    return MaskedPhotos(
        photos=Picked(found.photos, kept),
        masks=(),
        names=[found.names[i] for i in kept],
        splits=[found.splits[i] for i in kept],
        packed=found.packed,
    )


def _grey_note(count: int) -> list[str]:
    masks = several(count, "mask", ("has", "have"))
    return [f"{masks} three equal channels: they were read as the values of one."] if count else []


def _turn_note(turns: np.ndarray, orientation: str) -> list[str]:
    count = int((turns != 1).sum())
    if not count:
        return []
    photos = several(count, "photo", ("is", "are"))
    lies = "as it is shown" if orientation == "upright" else "as it is stored, and are turned too"
    other = "stored" if orientation == "upright" else "upright"
    return [f'{photos} turned by EXIF; masks lie on the photo {lies} (otherwise mask_orientation="{other}").']


def assemble_masks(
    found: MaskedPhotos,
    maps: LabelMaps,
    class_names: Sequence[str],
    settings: BoxSettings,
    *,
    origin: str,
    outside: Path | None = None,
    skipped: Sequence[BadImageError] = (),
    notes: Sequence[str] = (),
) -> VisionData:
    """Put photos and label maps together; with `on_bad_file="skip"` photos are read now.

    Args:
        found: the photos.
        maps: their label maps.
        class_names: name of each label.
        settings: the arguments of the loader.
        origin: what the data were made from.
        outside: a folder of the user in which no cache may lie.
        skipped: what was left out so far.
        notes: what was noticed so far.

    Raises:
        DataError: no photo is left, or as for `assemble`.
    """
    if not len(found.photos):
        raise DataError(f"No photo with a mask in {origin}. Is that the right folder?")
    preprocessing = Preprocessing(settings.image_size, settings.resize)
    count = len(found.photos)
    given = np.array(found.splits) if any(found.splits) else None
    files = Found(found.photos, found.names, np.zeros(count, np.int32), given)
    store = (packed_cache if found.packed else file_cache)(settings, files, preprocessing, outside)
    slots, bad = np.arange(count), []
    if settings.on_bad_file == "skip":
        slots, bad = readable(files, preprocessing, store)
        if not len(slots):
            raise DataError(f"None of the {count} photos can be read, for example {bad[0]}.")
        maps = maps.take(slots)
    for note in notes:
        say(note)
    report_skipped((*skipped, *bad))
    return assemble(
        sources=Picked(found.photos, slots),
        labels=maps.rarest(),
        names=[found.names[i] for i in slots],
        class_names=class_names,
        preprocessing=preprocessing,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
        given=given[slots] if given is not None else None,
        seed=settings.seed,
        batch_size=settings.batch_size,
        origin=origin,
        skipped=(*skipped, *bad),
        notes=notes,
        cache=store,
        slots=slots,
        masks=maps,
    )
