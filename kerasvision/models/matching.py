"""What matching a weights file with a model gives, and what is said when they do not match."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from kerasvision.errors import WeightsError
from kerasvision.models.preprocessing import Normalization
from kerasvision.models.table import ENTRIES

SHOWN = 4
# Layers that only networks with their top have.
TOPS = frozenset(name for item in ENTRIES for name in item.top_layers)
CLASSIFIER = "kerasvision.models.classifier(..., weights=<the file>) for classes of your own."


@dataclass(frozen=True)
class Match:
    """A file that fits: what goes where. Nothing is assigned yet.

    Attributes:
        layers: names of the model's layers that get weights.
        variables, values: of these layers, one for one.
        ignored: what of the file is left out.
        preprocessing: what the weights expect of pixels, or `None` if the file does not say.
    """

    layers: tuple[str, ...]
    variables: Sequence[keras.Variable]
    values: Sequence[np.ndarray]
    ignored: tuple[str, ...]
    preprocessing: str | Normalization | None


def misfit(
    model: keras.Model, path: str | os.PathLike, kinds: Sequence[Sequence[str]], advice: str
) -> WeightsError:
    """Return the error for a file that does not fit.

    Args:
        model: the model.
        path: the file.
        kinds: what is wrong, by kind: the first of each are shown, and how many more there are.
        advice: what to do.
    """
    lines = []
    for problems in kinds:
        more = len(problems) - SHOWN
        lines += [*problems[:SHOWN], *([f"… and {more} more like these"] if more > 0 else [])]
    return WeightsError(
        f"{os.fspath(path)} does not fit model {model.name!r}, which was left unchanged:\n  "
        + "\n  ".join(lines)
        + f"\n{advice}"
    )


def advice_on_top(different: Collection[str], missing: Collection[str], extra: Collection[str]) -> str | None:
    """Return what to do where a file and a model differ in nothing but their tops, else `None`.

    Args:
        different: names of layers that have other shapes in the file.
        missing: names of layers that are not in the file.
        extra: names of layers of the file that are not in the model.
    """
    if not TOPS.issuperset((*different, *missing, *extra)):
        return None
    if missing:
        return "Only the top is not in the file: build the model with include_top=False, or use " + CLASSIFIER
    if extra:
        names = ", ".join(map(repr, sorted(extra)))
        return f"Only the file has a top: leave it out with ignore=[{names}], or use {CLASSIFIER}"
    return f"Only the top differs: build the model with the classes of the file, or use {CLASSIFIER}"


def show(shape: Sequence[int]) -> str:
    """Return a shape as text, `3x3x64x64`."""
    return "x".join(map(str, shape)) or "scalar"
