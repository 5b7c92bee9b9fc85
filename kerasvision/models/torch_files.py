"""Read the weights files of torch: what tensors they hold, of which shapes, before anything is loaded.

Three formats: `.safetensors`; `.pth` as torch 1.6 and later writes it (a zip); and the one before that
(several pickles, then the numbers). Torch is not needed, no code from a file is run (`torch_pickle`), and
every place and size that a file states is checked against the file before anything is read.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerasvision.errors import WeightsError
from kerasvision.models import torch_pickle
from kerasvision.models.torch_pickle import ForeignPickleError, PickledTensor, Storage, UnreadablePickleError
from kerasvision.models.weights_format import Format

# names in .safetensors -> numpy's
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"},
    **{"U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool"},
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LONGEST_PICKLE = 16_000_000
# Under these keys training scripts keep the state of the network beside that of the optimizer.
WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "params", "weights")
# What wrappers around a network put before all of its names.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")


@dataclass(frozen=True)
class TorchTensor:
    """Where a tensor lies in a file.

    Attributes:
        dtype: name of the numbers, for example `"bfloat16"`.
        start: byte in the file.
        shape, strides: in numbers.
        order: `"<"` or `">"`, the order of the bytes.
    """

    dtype: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    order: str = "<"

    @property
    def is_float(self) -> bool:
        """Whether it holds numbers that can be weights."""
        return "float" in self.dtype


@dataclass(frozen=True)
class TorchFile:
    """What a weights file of torch holds.

    Attributes:
        path: the file.
        tensors: name of a parameter or buffer -> where it lies.
        metadata: what the writer noted in a `.safetensors` file.
        left_out: what else a checkpoint holds beside the network, for example `"optimizer"`.
    """

    path: Path
    tensors: Mapping[str, TorchTensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


class _Damage(Exception):
    """What is wrong with a file, without its name."""


def open_torch(path: str | os.PathLike, kind: Format) -> TorchFile:
    """List the tensors of a file.

    A network that was saved in a dictionary with others (`{"state_dict": …, "epoch": …}`) is taken out of it;
    names lose what `DataParallel` and `torch.compile` put before them.

    Args:
        path: the file.
        kind: what `weights_format.format_of` says.

    Raises:
        WeightsError: the file is cut off or damaged, or holds more than weights.
    """
    path = Path(path)
    with _explained(path), open(path, "rb") as file:
        if kind == "safetensors":
            tensors, metadata = _safetensors(file)
            return TorchFile(path, _bare_names(tensors), metadata)
        tensors, left_out = (_torch_zip if kind == "torch zip" else _torch_legacy)(file)
        return TorchFile(path, _bare_names(tensors), left_out=left_out)


def read(file: TorchFile, name: str) -> np.ndarray:
    """Read one tensor as float32 (half precision is widened)."""
    tensor = file.tensors[name]
    stored = "uint16" if tensor.dtype == "bfloat16" else tensor.dtype
    dtype = np.dtype(stored).newbyteorder(tensor.order)
    with _explained(file.path), open(file.path, "rb") as opened:
        opened.seek(tensor.start)
        run = np.fromfile(opened, dtype, _extent(tensor.shape, tensor.strides))
        if len(run) < _extent(tensor.shape, tensor.strides):
            raise _Damage("it was changed while it was read")
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    values = np.lib.stride_tricks.as_strided(run, tensor.shape, strides, writeable=False)
    if tensor.dtype == "bfloat16":
        # The upper half of a float32.
        return (values.astype("uint32") << 16).view("float32")
    return values.astype("float32")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    advice = "Fetch or save it again."
    try:
        yield
    except UnreadablePickleError as error:
        if isinstance(error, ForeignPickleError):
            advice = (
                "Nothing of it was run. In torch, save the weights alone, best as safetensors: "
                "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
            )
        raise WeightsError(f"{path} cannot be read as a list of weights: {error}. {advice}") from error
    except (_Damage, zipfile.BadZipFile, EOFError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as a weights file: {error}. {advice}") from error


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


# .safetensors: the length of the header, the header as JSON, the numbers


def _safetensors(file: BinaryIO) -> tuple[dict[str, TorchTensor], dict[str, str]]:
    length, size = int.from_bytes(file.read(8), "little"), _size(file)
    if 8 + length > size:
        raise _Damage(f"it was cut off in its header ({size:,} bytes are there)")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise _Damage(f"its header is not the JSON of a .safetensors file ({error})") from error
    if not isinstance(header, dict):
        raise _Damage("its header is not a table of tensors")
    metadata = header.pop("__metadata__", {})
    spans = {name: _span(name, item, size - 8 - length) for name, item in header.items()}
    _check_no_overlap(spans)
    tensors = {
        name: TorchTensor(dtype, 8 + length + begin, shape, _packed(shape))
        for name, (begin, _, dtype, shape) in spans.items()
    }
    return tensors, {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}


def _without_doubles(pairs: list) -> dict:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is there twice")
    return table


def _span(name: str, item, available: int) -> tuple[int, int, str, tuple[int, ...]]:
    try:
        dtype, shape, (begin, end) = item["dtype"], tuple(item["shape"]), item["data_offsets"]
        sound = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        sound = False
    if not sound:
        raise _Damage(f"its header says nothing sound about {name}")
    if dtype not in DTYPES:
        raise _Damage(
            f"{name} is stored as {dtype}, which is not supported; accepted are {', '.join(DTYPES)}"
        )
    if end > available:
        raise _Damage(
            f"{name} lies at bytes {begin:,} to {end:,}, but only {available:,} are there: it was cut off"
        )
    if prod(shape) * _bytes(DTYPES[dtype]) != end - begin:
        raise _Damage(f"{name} has {end - begin:,} bytes, which is not what its shape {shape} takes")
    return begin, end, DTYPES[dtype], shape


def _check_no_overlap(spans: Mapping[str, tuple]) -> None:
    ordered = sorted(spans, key=lambda name: spans[name][:2])
    for name, following in zip(ordered, ordered[1:], strict=False):
        if spans[name][1] > spans[following][0]:
            raise _Damage(f"{name} and {following} overlap")


# .pth since torch 1.6: a zip, not compressed, with a pickle and one file a storage


def _torch_zip(file: BinaryIO) -> tuple[dict[str, TorchTensor], tuple[str, ...]]:
    with zipfile.ZipFile(file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        (main, *_) = [name for name in infos if name.endswith("/data.pkl")]
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
            raise _Damage("its records are compressed, which torch never does")
        if infos[main].file_size > LONGEST_PICKLE:
            raise _Damage("its pickle is far larger than any list of weights")
        damaged = archive.testzip()
        if damaged:
            raise _Damage(f"its record {damaged} is damaged")
        root = main.removesuffix("data.pkl")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in infos else b"little"
        loaded, _ = torch_pickle.load(io.BytesIO(archive.read(main)))
    state, left_out = _state(loaded)
    places = {
        name: (_data_start(file, info), info.file_size)
        for name, info in infos.items()
        if name.startswith(f"{root}data/")
    }
    tensors = {
        name: _place(name, tensor, places.get(f"{root}data/{tensor.storage.key}"), order == b"big")
        for name, tensor in state.items()
    }
    return tensors, left_out


def _data_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a record begin: after its local header, whose length only it knows."""
    file.seek(info.header_offset)
    header = file.read(30)
    return (
        info.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )


# .pth before torch 1.6: magic number, version, facts about the machine, the objects, the keys of the storages
# (five pickles); then each storage as its count and its numbers


def _torch_legacy(file: BinaryIO) -> tuple[dict[str, TorchTensor], tuple[str, ...]]:
    if torch_pickle.load(file)[0] != LEGACY_MAGIC:
        raise _Damage("it is a pickle, but not of torch")
    torch_pickle.load(file)
    machine, _ = torch_pickle.load(file)
    loaded, storages = torch_pickle.load(file)
    state, left_out = _state(loaded)
    keys, _ = torch_pickle.load(file)
    if not isinstance(keys, list):
        raise _Damage("it does not list its storages")
    big = isinstance(machine, dict) and machine.get("little_endian") is False
    places = _legacy_places(file, [str(key) for key in keys], storages)
    tensors = {
        name: _place(name, tensor, places.get(tensor.storage.key), big) for name, tensor in state.items()
    }
    return tensors, left_out


def _legacy_places(
    file: BinaryIO, keys: list[str], storages: Mapping[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Return key of a storage -> where its numbers begin, and how many bytes they take."""
    places, size = {}, _size(file)
    for key in keys:
        if key not in storages:
            raise _Damage(f"it lists the storage {key}, which no tensor lies in")
        count = int.from_bytes(file.read(8), "little", signed=True)
        length = count * _bytes(storages[key].dtype)
        if count < 0 or file.tell() + length > size:
            raise _Damage(f"it was cut off ({size:,} bytes are there)")
        places[key] = file.tell(), length
        file.seek(length, os.SEEK_CUR)
    return places


# What both kinds of .pth share


def _state(loaded) -> tuple[dict[str, PickledTensor], tuple[str, ...]]:
    """Return the network's tensors, out of the dictionary they may be wrapped in, and what else is there."""
    if not isinstance(loaded, dict):
        raise _Damage(f"it holds a {type(loaded).__name__}, not a dictionary of tensors")
    left_out = []
    if not any(isinstance(value, PickledTensor) for value in loaded.values()) or "state_dict" in loaded:
        found = [key for key in WRAPPERS if isinstance(loaded.get(key), dict)]
        if len(found) != 1:
            raise _Damage(
                f"it holds {', '.join(map(str, loaded)) or 'nothing'}; which of it is the network "
                f"is not clear (looked for one of {', '.join(WRAPPERS)})"
            )
        left_out = [str(key) for key in loaded if key != found[0]]
        loaded = loaded[found[0]]
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, PickledTensor)}
    return tensors, (*left_out, *(str(name) for name in loaded if str(name) not in tensors))


def _place(name: str, tensor: PickledTensor, place: tuple[int, int] | None, big: bool) -> TorchTensor:
    if place is None:
        raise _Damage(f"the numbers of {name} are not in it")
    start, available = place
    size = _bytes(tensor.storage.dtype)
    first = tensor.storage.start + tensor.offset
    if (first + _extent(tensor.shape, tensor.strides)) * size > available:
        raise _Damage(f"{name} reaches beyond its {available:,} bytes")
    return TorchTensor(
        tensor.storage.dtype, start + first * size, tensor.shape, tensor.strides, ">" if big else "<"
    )


def _bare_names(tensors: dict[str, TorchTensor]) -> dict[str, TorchTensor]:
    for prefix in PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return how many numbers of a storage a tensor spans."""
    if 0 in shape:
        return 0
    return 1 + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))


def _bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
