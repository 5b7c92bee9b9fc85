"""What the doctor looks at where images have masks: every mask as it is stored."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ImageColor

from kerasvision.data.doctor.mask_exam import MaskExam, examine_mask, packed, value_of
from kerasvision.data.mask_coding import (
    MOST_COLOURS,
    TOO_MANY_COLOURS,
    ColourTable,
    Stored,
    open_mask,
)
from kerasvision.data.mask_formats import LAYOUTS, mask_format_of
from kerasvision.data.mask_legends import choose_legend, colour_table
from kerasvision.data.mask_pairs import MaskPairs
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadImageError, DataError
from kerasvision.metrics.segmentation import VOID
from kerasvision.report.box_pictures import colour_of

Value = int | tuple[int, int, int]
LONGEST = 160  # pixels of a picture
VOID_COLOUR, UNKNOWN_COLOUR = (225, 225, 225), (0, 0, 0)  # white is the page's
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")


@dataclass(frozen=True)
class Masked:
    """What is needed to make an `Intake`: photos and their masks."""

    root: Path
    sources: Sequence[str]
    names: Sequence[str]
    splits: Sequence[str]
    masks: "MaskIntake"


@dataclass(frozen=True)
class MaskIntake:
    """The masks of images, before any is read.

    Attributes:
        names: N, of the mask of each image, for people; None for an image without mask.
        open: index of an image -> its mask as it is stored.
        class_names: what is told of the classes, as `choose_legend` takes it.
        table: which colours stand for which classes; `None` where values do.
        void: what is told of void, as `choose_legend` takes it.
        alone: masks that belong to no image: (name, reason).
        notes: how masks were matched with images.
        meaning: value or colour -> index of its class, or `VOID`; known once all masks are read.
        problem: why it cannot be told which values are classes, or None.
    """

    names: Sequence[str | None]
    open: Callable[[int], Stored]
    class_names: Sequence[str] | Mapping[int, str] | None = None
    table: ColourTable | None = None
    void: object = "auto"
    alone: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    meaning: Mapping[Value, int] = field(default_factory=dict)
    problem: str | None = None

    @property
    def coloured(self) -> bool:
        """Whether colours, not numbers, tell the classes."""
        return self.table is not None

    @property
    def named(self) -> bool:
        """Whether names of classes were given, and not made up after the values that occur."""
        return self.class_names is not None or self.table is not None

    def settled(self, exams: Sequence[MaskExam | None]) -> tuple[tuple[str, ...], "MaskIntake"]:
        """Return the names of the classes, and this with the meaning of the values that occur."""
        if self.meaning:
            return tuple(self.class_names), self
        try:
            _refuse_colours(exams, self.table)
            legend = choose_legend(
                _occurring(exams), class_names=self.class_names, table=self.table, void=self.void
            )
        except DataError as error:
            return (), replace(self, problem=str(error))
        labels = legend.labels.tolist()
        if self.table is None:
            meaning = {int(value): labels[value] for value in np.flatnonzero(legend.known)}
        else:
            rows = zip(self.table.colours.tolist(), self.table.rows.tolist(), strict=True)
            meaning = {tuple(colour): labels[row] for colour, row in rows}
        return legend.names, replace(self, meaning=meaning)

    def look_at(self, index: int) -> MaskExam | None:
        """Return what the mask of an image holds, None where it has none."""
        if self.names[index] is None:
            return None
        try:
            return examine_mask(self.open(index), by_colour=self.coloured)
        except BadImageError as error:
            return MaskExam(error.reason, lossy=next((kind for kind in LOSSY if kind in error.reason), ""))

    def picture(self, index: int) -> np.ndarray | None:
        """Return a small picture of a mask, (h, w, 3) uint8: void is light grey, what means nothing black."""
        try:
            stored = self.open(index)
        except BadImageError:
            return None
        step = max(1, max(stored.pixels.shape[:2]) // LONGEST)
        codes, palette = packed(stored.pixels[::step, ::step]), stored.palette
        found, places = np.unique(codes, return_inverse=True)
        values = [value_of(int(code), stored.pixels.ndim == 3) for code in found]
        if self.coloured and stored.pixels.ndim == 2:
            values = [(v,) * 3 if palette is None else tuple(palette[v].tolist()) for v in values]
        colours = np.array([self._shown(value) for value in values], np.uint8)
        return colours[places.reshape(codes.shape)]

    def _shown(self, value: Value) -> tuple[int, int, int]:
        label = self.meaning.get(value)
        return UNKNOWN_COLOUR if label is None else VOID_COLOUR if label == VOID else class_colour(label)


def masks_of_data(data: VisionData, names: Sequence[str]) -> MaskIntake:
    """Return the masks of a `VisionData`, in the order of its splits."""
    parts = [data.splits[split].masks for split in SPLITS if split in data.splits]
    places = [(part, index) for part in parts for index in range(len(part))]
    own = [None if part.names is None else part.names[index] for part, index in places]

    def opened(i: int) -> Stored:
        part, index = places[i]
        return Stored(part.read(index))

    return MaskIntake(
        names=[name or image for name, image in zip(own, names, strict=True)],
        open=opened,
        class_names=data.class_names,
        meaning={**{i: i for i in range(len(data.class_names))}, VOID: VOID},
    )


def class_colour(label: int) -> tuple[int, int, int]:
    """Return the colour that a class is shown in."""
    return ImageColor.getrgb(colour_of(label))


def masked_path(path: Path) -> Masked | None:
    """Read a folder with masks, in a layout that is known by its look; `None` where it has none.

    Raises:
        DataError: the folder says that it has masks, but they cannot be paired at all.
    """
    kind = mask_format_of(path) if path.is_dir() else None
    if kind not in LAYOUTS:
        return None
    pairs_of, legend_of = LAYOUTS[kind]
    root = path.absolute()
    return _paired(pairs_of(root), root, legend_of(root))


def _paired(found: MaskPairs, root: Path, legend: Mapping) -> Masked:
    """Put together photos and masks in files."""

    def within(path: str) -> str:
        return os.path.relpath(path, root).replace(os.sep, "/")

    masks = [pair.mask for pair in found.pairs]
    bare = [one for one in found.lone if one.photo]
    photos = [*(pair.photo for pair in found.pairs), *(one.path for one in bare)]
    return Masked(
        root=root,
        sources=photos,
        names=[within(photo) for photo in photos],
        splits=[one.split for one in (*found.pairs, *bare)],
        masks=MaskIntake(
            names=[*map(within, masks), *([None] * len(bare))],
            open=lambda i: open_mask(masks[i]),
            class_names=legend.get("class_names"),
            table=colour_table(legend["colours"]) if "colours" in legend else None,
            void=legend.get("void", "auto"),
            alone=tuple((within(one.path), one.reason) for one in found.lone if not one.photo),
            notes=tuple(found.notes),
        ),
    )


def _occurring(exams: Sequence[MaskExam | None]) -> np.ndarray:
    """Return the pixels of each value (256,), where edges are hard: in between lies what is no class."""
    pixels = np.zeros(256, np.int64)
    for exam in exams:
        if exam is not None and not exam.soft:
            for value, count in exam.values.items():
                if not isinstance(value, tuple):
                    pixels[value] += count
    return pixels


def _refuse_colours(exams: Sequence[MaskExam | None], table: ColourTable | None) -> None:
    """Raise where masks are coloured and no table says what the colours mean."""
    colours = Counter(value for exam in exams if exam for value in exam.values if isinstance(value, tuple))
    if colours and table is None:
        if any(len(exam.values) > MOST_COLOURS for exam in exams if exam):
            raise DataError(f"Masks have {several(len(colours), 'colour')} or more. {TOO_MANY_COLOURS}.")
        shown = listed([str(colour) for colour, _ in colours.most_common()])
        raise DataError(
            f"Masks are coloured ({several(len(colours), 'colour')}: {shown}), and which colour is which "
            "class is not known."
        )
