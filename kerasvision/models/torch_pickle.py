"""Read the pickles of torch without running them.

A pickle is a program. This is an interpreter of its instructions that knows containers, numbers, text and
tensors, and nothing else: no function of Python is looked up by a name from the file, so no such name can be
called. Whatever else a file asks for is refused by its name. Lengths in the file are never trusted either:
nothing is allocated that the file does not hold.
"""

import os
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

# A list of weights needs about 30 instructions a tensor; ten thousand tensors stay far below this.
MOST_INSTRUCTIONS = 2_000_000

# name of torch -> numpy's name of the numbers in it; bfloat16 is read as uint16 and widened
STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}


class UnreadablePickleError(Exception):
    """The pickle cannot be read; the text says why."""


class ForeignPickleError(UnreadablePickleError):
    """The pickle is sound, but holds more than tensors and containers."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers that tensors lie in.

    Attributes:
        key: its name in the file.
        dtype: name of the numbers, for example `"float32"`.
        count: how many numbers there are, as the pickle says.
        start: first of them that belongs to it, where it is a part of the one with this key.
    """

    key: str
    dtype: str
    count: int
    start: int = 0


@dataclass(frozen=True)
class PickledTensor:
    """A tensor as the pickle describes it: where its numbers lie, not the numbers.

    Attributes:
        storage: what it lies in.
        offset: first number, counted from the start of the storage.
        shape, strides: in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A name of a function or class that the pickle refers to; never looked up."""

    text: str


def load(file: BinaryIO) -> tuple[object, dict[str, Storage]]:
    """Read one pickle from where a file stands, and leave the file standing after it.

    Returns:
        Containers (`dict`, `list`, `tuple`), numbers, text, `PickledTensor`s; and by their keys all storages
        that were mentioned.

    Raises:
        UnreadablePickleError: it is damaged, or holds something else.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file))):
            if opcode.name == "STOP":
                return machine.stack.pop(), machine.storages
            if count > MOST_INSTRUCTIONS:
                raise UnreadablePickleError("it has more instructions than any list of weights needs")
            machine.run(opcode.name, argument)
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError, RecursionError) as error:
        raise UnreadablePickleError(f"its pickle is damaged or cut off ({error})") from error
    raise UnreadablePickleError("its pickle has no end")


class _Bounded:
    """A file that allocates no more for a piece than it has left, whatever length the pickle states."""

    def __init__(self, file: BinaryIO):
        self.file, self.readline = file, file.readline
        here = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(here)

    def read(self, count: int) -> bytes:
        return self.file.read(min(count, self.end - self.file.tell()))

    def tell(self) -> int:
        return self.file.tell()


class _Machine:
    """The stack machine that a pickle is written for, with the few instructions that weights need."""

    def __init__(self):
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}

    def run(self, name: str, argument) -> None:
        if name in _LITERALS:
            self.stack.append(_LITERALS[name](argument))
        elif name in _INSTRUCTIONS:
            _INSTRUCTIONS[name](self, argument)
        else:
            raise ForeignPickleError(
                f"it holds the instruction {name} ({argument}), which no list of weights needs"
            )

    def since_mark(self) -> list:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def take(self, count: int) -> tuple:
        if count > len(self.stack):
            raise IndexError("an instruction finds nothing to work on")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def remember(self, place) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def mention(self, name: str) -> None:
        if name not in _CALLS and name not in STORAGES:
            raise ForeignPickleError(
                f"it asks for {name}, which is neither a tensor nor a container, and would run code"
            )
        self.stack.append(_Name(name))

    def call(self) -> None:
        name, arguments = self.take(2)
        if not isinstance(name, _Name) or name.text not in _CALLS or not isinstance(arguments, tuple):
            raise UnreadablePickleError(
                f"it calls {getattr(name, 'text', 'something')}, which is no function"
            )
        self.stack.append(_CALLS[name.text](*arguments))

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("entries without a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_key(key)] = value

    def make_dictionary(self, items: list) -> None:
        self.stack.append({})
        self.set_items(items)

    def extend(self, items: list) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items without a list")
        self.stack[-1].extend(items)

    def set_state(self) -> None:
        """Leave out attributes of a container: torch writes versions of modules (`_metadata`) there."""
        target, _ = self.take(2)
        if not isinstance(target, dict):
            raise UnreadablePickleError("it sets attributes of something that is not a container")
        self.stack.append(target)

    def refer(self) -> None:
        (identity,) = self.take(1)
        storage = _storage(identity)
        self.storages[storage.key] = storage
        self.stack.append(storage)


def _key(key):
    # Other keys are of no use here, and the hash of a nested tuple can take forever.
    if not isinstance(key, str | bytes | int | float | None):
        raise ValueError(f"a dictionary with keys of kind {type(key).__name__}")
    return key


def _storage(identity) -> Storage:
    kind, name, key, _, count, *view = identity
    if kind != "storage" or not isinstance(name, _Name) or name.text not in STORAGES:
        raise ValueError("a tensor without a storage")
    start = 0
    if view and view[0] is not None:
        _, start, count = view[0]
    return Storage(str(key), STORAGES[name.text], _natural(count), _natural(start))


def _tensor(storage, offset, shape, strides, *_) -> PickledTensor:
    shape, strides = tuple(map(_natural, shape)), tuple(map(_natural, strides))
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError("a tensor without a storage, or with shape and strides that do not belong together")
    return PickledTensor(storage, _natural(offset), shape, strides)


def _natural(number) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"a size of {number!r}")
    return number


def _dictionary(items=()) -> dict:
    return {_key(key): value for key, value in items}


def _parameter(tensor, *_) -> PickledTensor:
    return tensor


_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch.device": lambda *place: ":".join(map(str, place)),
}

_LITERALS: dict[str, Callable] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), lambda value: value),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"), lambda value: value),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), lambda value: value),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), lambda value: value),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
}

_INSTRUCTIONS: dict[str, Callable] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.take(1),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.take(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.take(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.take(3)),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.make_dictionary(machine.since_mark()),
    "APPEND": lambda machine, _: machine.extend(list(machine.take(1))),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.take(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, place: machine.remember(place)),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.stack.append(machine.memo[place])
    ),
    "GLOBAL": lambda machine, name: machine.mention(name.replace(" ", ".")),
    "STACK_GLOBAL": lambda machine, _: machine.mention(".".join(map(str, machine.take(2)))),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.set_state(),
    "BINPERSID": lambda machine, _: machine.refer(),
}
