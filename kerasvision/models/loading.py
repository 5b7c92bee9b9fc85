"""Get weights into a model: from a file, checked in full before anything is changed, or from Keras' cache."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from kerasvision.errors import WeightsError
from kerasvision.models.stored import StoredLayer, open_weights, read

SHOWN = 6


@dataclass(frozen=True)
class LoadedWeights:
    """What `load_weights` did.

    Attributes:
        layers: names of the model's layers that were loaded.
        ignored: names of layers of the file that were left out, as asked.
    """

    layers: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class _Slot:
    """A layer of the model that weights go into."""

    name: str
    variables: tuple

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(variable.shape) for variable in self.variables]


def load_weights(model: keras.Model, path: str | os.PathLike, *, ignore: Sequence[str] = ()) -> LoadedWeights:
    """Load a weights file, after checking that all of it fits.

    Layers are matched by name; where the names differ throughout (Keras numbers them), in order.

    Args:
        model: built model; it stays unchanged if there is an error.
        path: `.keras`, `.weights.h5` or legacy `.h5` file.
        ignore: names of layers that the file may have and the model need not, for example `("predictions",)`.

    Returns:
        What was loaded and what was ignored.

    Raises:
        WeightsError: the file cannot be read, or is not of this network; lists what does not fit.
    """
    with open_weights(path) as stored:
        slots = _slots(model, stored.grouping)
        pairs, extra = _match(slots, stored.layers, set(ignore))
        problems = _problems(slots, pairs, extra)
        if problems:
            raise WeightsError(_message(model, path, problems))
        values = [read(array) for _, layer in pairs for array in layer.arrays]
    variables = [variable for slot, _ in pairs for variable in slot.variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    used = {id(layer) for _, layer in pairs}
    ignored = tuple(layer.name for layer in stored.layers if id(layer) not in used)
    return LoadedWeights(tuple(slot.name for slot, _ in pairs), ignored)


def fetch(network: str, download: tuple[str, str, str] | None) -> Path:
    """Return the file with the ImageNet weights from Keras' cache, downloading it the first time.

    Args:
        network: name for messages.
        download: file name, URL and MD5; `None` where there are no such weights.

    Raises:
        WeightsError: there are none, or they cannot be fetched.
    """
    if download is None:
        raise WeightsError(
            f"There are no ImageNet weights for {network}. Use weights=None, or a weights file."
        )
    file, url, digest = download
    with explain_download(network, file):
        return Path(keras.utils.get_file(file, url, cache_subdir="models", file_hash=digest))


@contextmanager
def explain_download(network: str, file: str | None = None) -> Iterator[None]:
    """Turn what goes wrong with Keras' download into a `WeightsError` that says what to do."""
    folder = Path(keras.config.keras_home()) / "models"
    try:
        yield
    except WeightsError:
        raise
    except Exception as error:
        # Keras raises a bare Exception with the URL for a failed download, an OSError for a damaged file.
        download_failed = type(error) is Exception or isinstance(error, OSError) or "corrupted" in str(error)
        if not download_failed:
            raise
        raise WeightsError(
            f"The ImageNet weights of {network} cannot be fetched: {error}\n"
            f"Put the file {file or 'that is named there'} into {folder} by hand (KERAS_HOME sets the folder "
            "above it), or use weights=None, or weights=<a local file>."
        ) from error


def _slots(model: keras.Model, grouping: str) -> list[_Slot]:
    if grouping == "layer":
        groups = [(layer, layer.trainable_weights + layer.non_trainable_weights) for layer in model.layers]
    else:
        inner = model._flatten_layers(include_self=False)
        groups = [(layer, layer._trainable_variables + layer._non_trainable_variables) for layer in inner]
    return [_Slot(layer.name, tuple(variables)) for layer, variables in groups if variables]


def _match(slots: list[_Slot], stored: Sequence[StoredLayer], ignore: set[str]):
    """Return pairs of slot and stored layer, and the stored layers that have no slot."""
    by_name = {layer.name: layer for layer in stored}
    pairs = [(slot, by_name[slot.name]) for slot in slots if slot.name in by_name]
    if not pairs and len(slots) == len(stored):
        return list(zip(slots, stored, strict=True)), []
    used = {slot.name for slot, _ in pairs} | ignore
    return pairs, [layer for layer in stored if layer.name not in used]


def _problems(slots: list[_Slot], pairs, extra: Sequence[StoredLayer]) -> list[str]:
    matched = {slot.name for slot, _ in pairs}
    missing = [f"{slot.name}: not in the file" for slot in slots if slot.name not in matched]
    different = [
        f"{slot.name}: {_show(layer.shapes)} in the file, {_show(slot.shapes)} in the model"
        for slot, layer in pairs
        if layer.shapes != slot.shapes
    ]
    return different + missing + [f"{layer.name}: in the file, not in the model" for layer in extra]


def _message(model: keras.Model, path, problems: list[str]) -> str:
    shown = problems[:SHOWN] + ([f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])
    return (
        f"{os.fspath(path)} does not fit model {model.name!r}, which was left unchanged:\n  "
        + "\n  ".join(shown)
        + "\nUse the file of this network (same options, same number of classes)."
    )


def _show(shapes: list[tuple[int, ...]]) -> str:
    return " ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)
