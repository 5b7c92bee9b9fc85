"""Read the weights files of Keras: what layers they hold, of which shapes, before anything is loaded.

Three formats: `.keras` (a zip with a `.weights.h5` inside), `.weights.h5` (Keras 3) and `.h5` (legacy, as
keras.applications publishes them; weights only, or a whole model). The content decides, not the ending.
"""

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from kerasvision.errors import WeightsError
from kerasvision.models.preprocessing import LAYER, Normalization, mode_of_scaling
from kerasvision.models.weights_format import format_of

# What h5py and zipfile raise for files that are damaged, or made to look like files of weights.
DAMAGE = (
    *(OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)
# A zip of Keras is not compressed; one that was packed anew is hardly smaller, unless it is a trap.
MOST_PACKED = 100


@dataclass(frozen=True)
class StoredLayer:
    """The arrays of one layer in a file.

    Attributes:
        name: name of the layer; its place where the file has no names.
        place: where it is in a `.weights.h5` file (`conv2d_3`); empty for legacy files.
        arrays: datasets with `.shape`; `read` reads one.
    """

    name: str
    place: str
    arrays: tuple[h5py.Dataset, ...]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the arrays."""
        return [tuple(array.shape) for array in self.arrays]


@dataclass(frozen=True)
class StoredWeights:
    """What a weights file holds.

    Attributes:
        grouping: `"layer"` if nested layers are stored with the layer around them (legacy), else `"own"`.
        layers: those that have weights, in the order of the file.
        preprocessing: what the layer `preprocess` of the model in the file does to pixels; `None` where there
            is none, or the file holds weights only.
    """

    grouping: str
    layers: tuple[StoredLayer, ...]
    preprocessing: str | Normalization | None = None


@contextmanager
def open_weights(path: str | os.PathLike) -> Iterator[StoredWeights]:
    """Open a weights file and list its layers; the arrays can be read until the block ends.

    Raises:
        WeightsError: the file is missing, cut off, or not a weights file.
    """
    path = Path(path)
    if format_of(path) != "keras":
        raise WeightsError(f"{path} is not a file of Keras.")
    with _explained(path):
        file = _open(path)
    with file:
        with _explained(path):
            stored = replace(_read(file, path), preprocessing=_preprocessing(file, path))
            for layer in stored.layers:
                _check(layer, file, path)
        yield stored


def read(array: h5py.Dataset, path: str | os.PathLike) -> np.ndarray:
    """Read one array into memory.

    Args:
        array: of a layer of the file, while it is open.
        path: the file, for the message.

    Raises:
        WeightsError: it is damaged.
    """
    with _explained(Path(path)):
        values = np.asarray(array)
        if _is_bfloat16(array):
            # The upper half of a float32.
            return (values.view("uint16").astype("uint32") << 16).view("float32")
        return values


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except DAMAGE as error:
        raise WeightsError(
            f"{path} cannot be read as a weights file: {_reason(path, error)} "
            "Fetch or save it again; accepted are .keras, .weights.h5 and .h5 files of Keras."
        ) from error


def _open(path: Path) -> h5py.File:
    if not zipfile.is_zipfile(path):
        return h5py.File(path, "r")
    with zipfile.ZipFile(path) as archive:
        size, there = archive.getinfo("model.weights.h5").file_size, path.stat().st_size
        if size > MOST_PACKED * there:
            raise WeightsError(
                f"{path} would unpack to {size:,} bytes from {there:,}, which no weights do. It was not "
                "unpacked. Use another file."
            )
        return h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")


def _check(layer: StoredLayer, file: h5py.File, path: Path) -> None:
    """Refuse what is not numbers of this file: HDF5 can also point to any other file of the machine."""
    for array in layer.arrays:
        if not isinstance(array, h5py.Dataset) or not (array.dtype.kind in "fiu" or _is_bfloat16(array)):
            raise WeightsError(f"{path} holds something else than an array of numbers for {layer.name}.")
        if array.external or array.is_virtual or array.file != file:
            raise WeightsError(
                f"{path} takes the numbers of {layer.name} from another file, which weights files do not. "
                "They were not read. Use another file."
            )


def _is_bfloat16(array: h5py.Dataset) -> bool:
    """Tell whether Keras stored bfloat16, which HDF5 has no name for."""
    return array.dtype == np.dtype("V2") and array.attrs.get("dtype") == "bfloat16"


def _preprocessing(file: h5py.File, path: Path) -> str | Normalization | None:
    """Return what the layer `preprocess` of a stored model does, if the file holds a whole model with one."""
    text = file.attrs.get("model_config")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # Files of weights only, packed by hand, have none.
            text = archive.read("config.json") if "config.json" in archive.namelist() else None
    try:
        settings = json.loads(text or "{}").get("config", {}).get("layers", [])
        found = [layer["config"] for layer in settings if layer.get("config", {}).get("name") == LAYER]
        return mode_of_scaling(found[0]["scale"], found[0]["offset"]) if found else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path} has a description of its model that cannot be read: {error!r}."
        ) from error


def _read(file: h5py.File, path: Path) -> StoredWeights:
    group = file.get("model_weights", file)
    if any(key.startswith("layer_names") for key in group.attrs):
        return StoredWeights("layer", tuple(_legacy(group)))
    if "layers" in file or "_layer_checkpoint_dependencies" in file:
        return StoredWeights("own", tuple(_keras_3(file)))
    raise WeightsError(
        f"{path} is an HDF5 file without Keras weights: it holds {', '.join(list(file)[:5]) or 'nothing'}. "
        "Accepted are .keras, .weights.h5 and .h5 files of Keras."
    )


def _legacy(group: h5py.Group) -> Iterator[StoredLayer]:
    for name in _names(group, "layer_names"):
        arrays = tuple(group[name][weight] for weight in _names(group[name], "weight_names"))
        if arrays:
            yield StoredLayer(name, "", arrays)


def _names(group: h5py.Group, key: str) -> list[str]:
    """Return an attribute that lists names; long lists are cut into `key0`, `key1` and so on."""
    parts = (
        [key] if key in group.attrs else sorted((k for k in group.attrs if k.startswith(key)), key=_natural)
    )
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _keras_3(file: h5py.File) -> Iterator[StoredLayer]:
    found = []

    def visit(place: str, item) -> None:
        model_part = not place.startswith("optimizer")
        if isinstance(item, h5py.Group) and place.rsplit("/", 1)[-1] == "vars" and len(item) and model_part:
            found.append((place, item))

    file.visititems(visit)
    for path, item in sorted(found, key=lambda pair: _natural(pair[0])):
        place = path.removesuffix("/vars").removeprefix("layers/")
        arrays = tuple(item[key] for key in sorted(item, key=_natural))
        yield StoredLayer(str(item.attrs.get("name", place)), place, arrays)


def _natural(text: str) -> list:
    """Sort key with `conv2d_2` before `conv2d_10`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _reason(path: Path, error: Exception) -> str:
    if "truncated" in str(error):
        return f"it was cut off ({path.stat().st_size:,} bytes are there)."
    return f"{error}."
