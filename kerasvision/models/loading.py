"""Get weights into a model: from a file, checked in full before anything is changed, or from Keras' cache."""

import os
import re
from collections import Counter
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
    place: str
    variables: tuple

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(variable.shape) for variable in self.variables]


def load_weights(model: keras.Model, path: str | os.PathLike, *, ignore: Sequence[str] = ()) -> LoadedWeights:
    """Load a weights file, after checking that all of it fits.

    Layers are matched by name; where Keras numbered the layers, so that names differ, by kind and number, or
    in order. Every layer of the model must be in the file, with its shapes, and every layer of the file in
    the model.

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
    """Turn what goes wrong with Keras' download into a `WeightsError` that says what to do.

    Args:
        network: name for messages.
        file: name of the weights file; default the one that Keras' error names.
    """
    folder = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
    try:
        yield
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(
            f"The ImageNet weights of {network} in {folder} cannot be used: {error}\n"
            f"Delete {file or 'the file'} there and call again, or use weights=None or weights=<a file>."
        ) from error
    except Exception as error:
        # Keras raises a bare Exception for a failed download and a ValueError for a wrong checksum; any other
        # error is about the arguments.
        if type(error) is not Exception and "corrupted" not in str(error):
            raise
        named = re.search(r"https?://\S*/([^/\s:]+)", str(error))
        raise WeightsError(
            f"The ImageNet weights of {network} cannot be downloaded: {error}\n"
            f"Put the file {file or (named and named[1]) or ''} into {folder} by hand (KERAS_HOME sets the "
            "folder above), or use weights=None or weights=<a file>."
        ) from error


def _slots(model: keras.Model, grouping: str) -> list[_Slot]:
    """Return the layers of a model that have weights, in the grouping and order of a file format."""
    places = _places(model)
    if grouping == "layer":
        groups = [(layer, layer.trainable_weights + layer.non_trainable_weights) for layer in model.layers]
    else:
        inner = model._flatten_layers(include_self=False)
        groups = [(layer, layer._trainable_variables + layer._non_trainable_variables) for layer in inner]
    return [
        _Slot(layer.name, places.get(id(layer), ""), tuple(variables))
        for layer, variables in groups
        if variables
    ]


def _places(model: keras.Model) -> dict[int, str]:
    """Return `id` of a layer -> its place in a `.weights.h5` file: its class in snake case, numbered."""
    counts, places = Counter(), {}
    for layer in model.layers:
        kind = re.sub(
            r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        )
        kind = kind.lower()
        places[id(layer)] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
    return places


def _match(slots: list[_Slot], stored: Sequence[StoredLayer], ignore: set[str]):
    """Return pairs of slot and stored layer, and the stored layers that have no slot.

    By name; or by place, or by order, where Keras numbered the layers (`conv2d_7`) and only these fit.
    """
    by_name = _pair(slots, stored, ignore, "name")
    if _fits(slots, *by_name):
        return by_name
    by_place = _pair(slots, stored, ignore, "place")
    by_order = (list(zip(slots, stored, strict=False)), list(stored[len(slots) :]))
    return next((match for match in (by_place, by_order) if _fits(slots, *match)), by_name)


def _pair(slots: list[_Slot], stored: Sequence[StoredLayer], ignore: set[str], key: str):
    known = {getattr(layer, key): layer for layer in stored}
    pairs = [(slot, known[getattr(slot, key)]) for slot in slots if getattr(slot, key) in known]
    used = {id(layer) for _, layer in pairs}
    return pairs, [layer for layer in stored if id(layer) not in used and layer.name not in ignore]


def _fits(slots: list[_Slot], pairs, extra: Sequence[StoredLayer]) -> bool:
    return not _problems(slots, pairs, extra)


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
