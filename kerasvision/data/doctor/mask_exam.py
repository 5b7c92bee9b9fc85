"""Look at each mask once: its size, its values, and whether its edges are as hard as those of labels."""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from kerasvision.data.mask_coding import Stored

MOST_KEPT = 300  # values of a mask that are kept by number: label maps hold at most 256
LINES = 256  # rows, and columns, on which edges are looked at
# Share of the steps between two values that go over a third one between them. Of CamVid's masks: 0.002 to
# 0.033, at half their size by nearest neighbour at most 0.064. Of the same, resized by bilinear or bicubic
# interpolation: 0.29 to 0.82; saved as JPEG at quality 90: 0.17 to 0.66.
SOFT = 0.12
FEWEST_STEPS = 40


@dataclass(frozen=True, slots=True)
class MaskExam:
    """What is known of one mask afterwards.

    Attributes:
        reason: why it cannot be used, None when it can.
        lossy: the format, where that does not keep values as they are, such as "JPEG"; else "".
        size: (height, width) in pixels.
        values: value -> pixels, or (red, green, blue) -> pixels; the most frequent ones.
        softness: share of the steps from one value to another that go over a third one; None for too few.
        digest: of size and values.
        palette: value -> colour, of the values that occur on an image with a palette.
    """

    reason: str | None
    lossy: str = ""
    size: tuple[int, int] = (0, 0)
    values: dict = field(default_factory=dict)
    softness: float | None = None
    digest: bytes = b""
    palette: dict = field(default_factory=dict)

    @property
    def soft(self) -> bool:
        """Whether edges look like those of a picture that was resized or saved with loss."""
        return self.softness is not None and self.softness > SOFT

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.size[0] * self.size[1]


def examine_mask(stored: Stored, *, by_colour: bool = False) -> MaskExam:
    """Describe a mask.

    Args:
        stored: what its file holds.
        by_colour: colours tell the classes: numbers are told as the colours that they stand for.
    """
    codes = packed(stored.pixels)
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_KEPT]
    coloured = stored.pixels.ndim == 3
    values = {value_of(int(found[i]), coloured): int(counts[i]) for i in order}
    palette = {} if stored.palette is None else {v: tuple(stored.palette[v].tolist()) for v in values}
    digest = blake2b(f"{codes.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(codes).tobytes())
    return MaskExam(
        reason=None,
        size=codes.shape,
        values=_as_colours(values, palette) if by_colour and not coloured else values,
        softness=softness(stored.pixels),
        digest=digest.digest(),
        palette=palette,
    )


def _as_colours(values: dict[int, int], palette: dict) -> dict:
    colours: Counter = Counter()
    for value, count in values.items():
        colours[palette.get(value, (value,) * 3)] += count
    return dict(colours)


def packed(pixels: np.ndarray) -> np.ndarray:
    """Return one number a pixel, (h, w)."""
    if pixels.ndim == 2:
        return pixels
    red, green, blue = (pixels[..., i].astype(np.int32) for i in range(3))
    return (red << 16) | (green << 8) | blue


def value_of(code: int, coloured: bool) -> int | tuple[int, int, int]:
    """Return the value or colour of a number of `packed`."""
    return (code >> 16, code >> 8 & 255, code & 255) if coloured else code


def softness(pixels: np.ndarray) -> float | None:
    """Return how often a step from one value to another goes over a third one that lies between them.

    Labels change at once; a picture that was resized by interpolation or compressed with loss has values
    between those on both sides of an edge.

    Args:
        pixels: (h, w) whole numbers, or (h, w, 3) colours.

    Returns:
        The share, in [0, 1], of all places with different values two pixels apart; None where they are too
        few to tell.

    Example:
        >>> hard, soft = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
        >>> hard[:, 32:], soft[:, 32:], soft[:, 31] = 200, 200, 97
        >>> softness(hard), round(softness(soft), 2)
        (0.0, 0.33)
    """
    values = pixels.astype(np.int32).reshape(*pixels.shape[:2], -1)
    steps = over = 0
    for lines in (values, values.swapaxes(0, 1)):
        lines = lines[:: max(1, len(lines) // LINES)]
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        far = (np.abs(after - before) >= 2).any(-1)
        between = (np.minimum(before, after) <= here).all(-1) & (here <= np.maximum(before, after)).all(-1)
        third = (here != before).any(-1) & (here != after).any(-1)
        steps, over = steps + int(far.sum()), over + int((far & between & third).sum())
    return over / steps if steps >= FEWEST_STEPS else None
