"""Open a source of weights: a file of any kind, on disk or on the Hugging Face hub."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasvision.errors import WeightsError
from kerasvision.models import hub
from kerasvision.models.model_entry import ModelEntry
from kerasvision.models.preprocessing import MODES, Normalization
from kerasvision.models.stored import open_weights
from kerasvision.models.torch_files import TorchFile, open_torch
from kerasvision.models.torch_matching import classes_in, stated_preprocessing, usual_preprocessing
from kerasvision.models.weights_format import format_of


@dataclass(frozen=True)
class Source:
    """Weights that were found.

    Attributes:
        path: the file.
        torch: what it holds, if it is a file of torch; `None` for one of Keras.
        preprocessing: what the weights expect of pixels; `None` if neither the file nor what lies beside it
            says so.
    """

    path: Path
    torch: TorchFile | None
    preprocessing: str | Normalization | None


def open_source(source: str | os.PathLike) -> Source:
    """Find a file, and list what it holds if it is of torch.

    Args:
        source: path, or `hf://owner/name[/file]`.

    Raises:
        WeightsError: it is not there, or cannot be read.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise WeightsError(f"`source` must be a path, 'hf://owner/name' or 'imagenet'. Received: {source!r}.")
    noted = None
    if os.fspath(source).startswith(hub.SCHEME):
        path, noted = hub.fetch(os.fspath(source))
    else:
        path = Path(source)
        noted = hub.noted_beside(path)
    kind = format_of(path)
    if kind == "keras":
        with open_weights(path) as stored:
            return Source(path, None, stored.preprocessing or noted)
    file = open_torch(path, kind)
    return Source(path, file, stated_preprocessing(file) or noted or usual_preprocessing(file))


def classes_of(source: Source, top_layers: Sequence[str]) -> int | None:
    """Return for how many classes the top in a file was trained; `None` if it has no top that can be named.

    Args:
        source: what `open_source` returned.
        top_layers: names of our layers of the top, the last one at the end.
    """
    if source.torch is not None:
        return classes_in(source.torch, top_layers[-1])
    with open_weights(source.path) as stored:
        shapes = {layer.name: layer.shapes for layer in stored.layers}
    return next((shapes[name][-1][-1] for name in reversed(top_layers) if name in shapes), None)


def mode_for(known: ModelEntry, source: Source | None, preprocessing: str | None) -> str | Normalization:
    """Return how pixels are prepared for weights in a network: as the weights expect.

    Args:
        known: the network.
        source: a file, or `None` for random weights and those of keras.applications.
        preprocessing: what the caller stated, or `None`.

    Raises:
        ValueError: the caller's is not that of the weights, or nobody knows it.
    """
    if source is not None and source.torch is None and source.preprocessing is None:
        # Weights of Keras alone: of this network as it usually is, if the caller does not say otherwise.
        return preprocessing or known.preprocessing
    expected = known.preprocessing if source is None else source.preprocessing
    if expected is None and preprocessing is None:
        raise ValueError(
            f"`preprocessing` must be stated: {source.path} does not say how its pixels were prepared. "
            f"It is one of {', '.join(map(repr, MODES))}."
        )
    if preprocessing is not None and expected not in (None, preprocessing):
        whose = known.name if source is None else f"the weights in {source.path}"
        raise ValueError(
            f"`preprocessing` of {whose} is {expected!r}. Received: {preprocessing!r}. Leave it out."
        )
    return expected or preprocessing
