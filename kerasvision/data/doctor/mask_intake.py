"""What the doctor looks at where images have masks: every mask as it is stored."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import ImageColor

from kerasvision.data.doctor.mask_exam import MaskExam, examine_mask, packed, value_of
from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.mask_coding import ColourTable, Stored, open_mask
from kerasvision.data.mask_legends import choose_legend
from kerasvision.data.mask_pairs import MaskPairs, find_pairs, pair_roots, split_roots
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.metrics.segmentation import VOID
from kerasvision.report.box_pictures import colour_of

Value = int | tuple[int, int, int]
LONGEST = 160  # pixels of a picture
VOID_COLOUR, UNKNOWN_COLOUR = (255, 255, 255), (0, 0, 0)
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
        alone: masks that belong to no image.
        meaning: value or colour -> index of its class, or `VOID`; known once all masks are read.
        problem: why it cannot be told which values are classes, or None.
    """

    names: Sequence[str | None]
    open: Callable[[int], Stored]
    class_names: Sequence[str] | Mapping[int, str] | None = None
    table: ColourTable | None = None
    void: object = "auto"
    alone: tuple[str, ...] = ()
    meaning: Mapping[Value, int] = field(default_factory=dict)
    problem: str | None = None

    @property
    def coloured(self) -> bool:
        """Whether colours, not numbers, tell the classes."""
        return self.table is not None

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
        """Return a small picture of a mask, (h, w, 3) uint8: void is white, what means nothing black."""
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
    """Read a folder with masks; `None` where it has none.

    Raises:
        DataError: the folder says that it has masks, but they cannot be paired at all.
    """
    if not path.is_dir() or not (split_roots(path) or pair_roots(path)):
        return None
    return paired(find_pairs(path, path), path.absolute())


def paired(found: MaskPairs, root: Path, **legend) -> Masked:
    """Put together photos and masks in files.

    Args:
        found: which belong together, and which are left over.
        root: the folder that is checked.
        **legend: `class_names`, `table` and `void` of `MaskIntake`.
    """

    def within(path: str) -> str:
        return os.path.relpath(path, root).replace(os.sep, "/")

    bare = [one.path for one in found.lone if not _is_mask(one)]
    masks, split_names = [pair.mask for pair in found.pairs], {pair.split for pair in found.pairs} - {""}
    splits = [SPLIT_FOLDERS.get(within(path).split("/")[0].lower(), "") for path in bare]
    return Masked(
        root=root,
        sources=[*(pair.photo for pair in found.pairs), *bare],
        names=[within(path) for path in (*(pair.photo for pair in found.pairs), *bare)],
        splits=[*(pair.split for pair in found.pairs), *(s if s in split_names else "" for s in splits)],
        masks=MaskIntake(
            names=[*map(within, masks), *([None] * len(bare))],
            open=lambda i: open_mask(masks[i]),
            alone=tuple(within(one.path) for one in found.lone if _is_mask(one)),
            **legend,
        ),
    )


def _is_mask(one: BadAnnotationError) -> bool:
    return one.reason.startswith("is a mask")


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
        shown = listed([str(colour) for colour, _ in colours.most_common()])
        raise DataError(
            f"Masks are coloured ({several(len(colours), 'colour')}: {shown}), and which colour is which "
            "class is not known."
        )
