"""How a photo is shown to a segmenter: whole or through windows, mirrored too, at several sizes."""

from dataclasses import dataclass

import numpy as np

from kerasvision.errors import KerasvisionError

MODES = ("whole", "sliding")
SMALLEST_SCALE, LARGEST_SCALE = 0.1, 10.0


@dataclass(frozen=True)
class Viewing:
    """How a photo is shown to the network.

    Attributes:
        mode: `"whole"`: resized to the network's size. `"sliding"`: in its own size, through windows of the
            network's size.
        overlap: of neighbouring windows, a share of their sides, from 0 to 0.9.
        flip: average with what is found on the mirrored photo.
        scales: average over photos enlarged by these factors; of the network's size for `"whole"`, of the
            photo's for `"sliding"`.

    Raises:
        KerasvisionError: a value that is not accepted.
    """

    mode: str = "whole"
    overlap: float = 0.5
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        if self.mode not in MODES:
            raise KerasvisionError(f'`mode` must be "whole" or "sliding". Received: {self.mode!r}.')
        if not _is_number(self.overlap) or not 0 <= self.overlap <= 0.9:
            raise KerasvisionError(f"`overlap` must be a number from 0 to 0.9. Received: {self.overlap!r}.")
        if not isinstance(self.flip, bool):
            raise KerasvisionError(f"`flip` must be True or False. Received: {self.flip!r}.")
        try:
            scales = tuple(self.scales)
        except TypeError:
            scales = ()
        within = (_is_number(s) and SMALLEST_SCALE <= s <= LARGEST_SCALE for s in scales)
        if not scales or not all(within):
            raise KerasvisionError(
                f"`scales` must be factors from {SMALLEST_SCALE} to {LARGEST_SCALE:g}, such as (0.75, 1.0, "
                f"1.25). Received: {self.scales!r}."
            )
        object.__setattr__(self, "scales", tuple(float(s) for s in scales))

    @property
    def plain(self) -> bool:
        """Whether one look at the resized photo is all."""
        return self.mode == "whole" and self.scales == (1.0,)


def _is_number(value) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)


WHOLE = Viewing()
