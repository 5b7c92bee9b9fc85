"""Write `.pth` files as torch does, without torch: by the real pickler, with stand-ins for torch's names."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
}


@dataclass
class Tensor:
    """A view of numbers, as torch keeps it.

    `numbers` is one-dimensional; bfloat16 is uint16 with `dtype="bfloat16"`.
    """

    numbers: np.ndarray
    shape: tuple
    strides: tuple
    offset: int = 0
    dtype: str = ""
    parameter: bool = False
    view: tuple | None = None

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        arguments = (Storage(self), self.offset, self.shape, self.strides, False, OrderedDict())
        if self.parameter:
            plain = Tensor(self.numbers, self.shape, self.strides, self.offset, self.dtype)
            return utils._rebuild_parameter, (plain, True, OrderedDict())
        return utils._rebuild_tensor_v2, arguments


@dataclass
class Storage:
    tensor: Tensor


def tensor(array, **options) -> Tensor:
    array = np.asarray(array)
    strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).strides[: array.ndim])
    return Tensor(array.ravel(), array.shape, strides, **options)


def bfloat16(array) -> Tensor:
    """Cut the lower half off."""
    bits = (np.asarray(array, "float32").view("uint32") >> 16).astype("uint16")
    return tensor(bits, dtype="bfloat16")


@contextmanager
def stand_ins():
    """Let the pickler find `torch.FloatStorage` and the like under their names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *arguments: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield torch
    finally:
        for name, module in kept.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


class Pickler(pickle.Pickler):
    def __init__(self, file, torch, legacy):
        super().__init__(file, protocol=2)
        self.torch, self.legacy, self.storages, self.kept = torch, legacy, {}, []

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        numbers = item.tensor.numbers
        self.kept.append(numbers)
        key = self.storages.setdefault(id(numbers), (str(len(self.storages)), numbers))[0]
        kind = getattr(self.torch, STORAGES[item.tensor.dtype or numbers.dtype.name])
        legacy = (item.tensor.view,) if self.legacy else ()
        return ("storage", kind, key, "cpu", numbers.size, *legacy)


def save_zip(path, value, *, compression=zipfile.ZIP_STORED, extra=()):
    """As torch since 1.6."""
    with stand_ins() as torch:
        stream = io.BytesIO()
        pickler = Pickler(stream, torch, legacy=False)
        pickler.dump(value)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, numbers in pickler.storages.values():
            archive.writestr(f"archive/data/{key}", numbers.tobytes())
        archive.writestr("archive/version", "3\n")
        for name in extra:
            archive.writestr(name, "")
    return path


def save_legacy(path, value, *, little_endian=True):
    """As torch before 1.6: five pickles, then the numbers."""
    with stand_ins() as torch, open(path, "wb") as file:
        for item in (MAGIC, VERSION, {"protocol_version": VERSION, "little_endian": little_endian}):
            pickle.dump(item, file, 2)
        pickler = Pickler(file, torch, legacy=True)
        pickler.dump(value)
        storages = sorted(pickler.storages.values(), key=lambda pair: pair[0])
        pickle.dump([key for key, _ in storages], file, 2)
        for _, numbers in storages:
            file.write(np.int64(numbers.size).tobytes())
            file.write(
                numbers.tobytes()
                if little_endian
                else numbers.astype(numbers.dtype.newbyteorder(">")).tobytes()
            )
    return path


WRITERS = {"zip": save_zip, "legacy": save_legacy}
