"""Open a source of weights: a file of any kind, on disk or on the Hugging Face hub."""

import os
from dataclasses import dataclass
from pathlib import Path

from kerasvision.errors import WeightsError
from kerasvision.models import hub
from kerasvision.models.preprocessing import Normalization
from kerasvision.models.stored import open_weights
from kerasvision.models.torch_files import TorchFile, open_torch
from kerasvision.models.torch_matching import preprocessing_of
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
    if not isinstance(source, str | os.PathLike):
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
    return Source(path, file, noted or preprocessing_of(file))
