"""Weights files of torch: read without torch, in each of their forms; nothing is run, nothing is believed."""

import importlib.util
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import PosixPath

import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_writer import WRITERS, Tensor, bfloat16, save_legacy, save_zip, tensor

from kerasvision.errors import WeightsError
from kerasvision.models.torch_files import open_torch, read
from kerasvision.models.weights_format import format_of


def open_any(path):
    return open_torch(path, format_of(path))


def numbers(*shape, dtype="float32"):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


# case -> tensor, what it holds
SHARED = np.arange(24, dtype="float32")
TENSORS = {
    "float32": (tensor(numbers(2, 3, 1, 2)), numbers(2, 3, 1, 2)),
    "float64": (tensor(numbers(3, dtype="float64")), numbers(3)),
    "float16": (tensor(numbers(3, dtype="float16")), numbers(3, dtype="float16").astype("float32")),
    "bfloat16": (bfloat16([1.0, -2.5, 3e38, 0.15625]), np.float32([1.0, -2.5, 2.990e38, 0.15625])),
    "scalar": (tensor(np.float32(7)), np.float32(7)),
    "no numbers": (tensor(numbers(0, 3)), numbers(0, 3)),
    "parameter": (tensor(numbers(2, 2), parameter=True), numbers(2, 2)),
    "transposed": (Tensor(SHARED, (4, 6), (1, 4)), SHARED.reshape(6, 4).T),
    "part of a storage": (Tensor(SHARED, (2, 3), (3, 1), offset=10), SHARED[10:16].reshape(2, 3)),
    "channels last": (
        Tensor(SHARED, (2, 3, 2, 2), (12, 1, 6, 3)),
        SHARED.reshape(2, 2, 2, 3).transpose(0, 3, 1, 2),
    ),
    "expanded": (Tensor(SHARED, (5,), (0,), offset=3), np.full(5, 3, "float32")),
    "counter": (tensor(np.int64(41)), np.float32(41)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_kind_of_tensor(write, tmp_path):
    state = OrderedDict((name, item) for name, (item, _) in TENSORS.items())
    state._metadata = OrderedDict({"": {"version": 1}})
    file = open_any(write(tmp_path / "file", state))
    assert list(file.tensors) == list(TENSORS) and file.left_out == ()
    for name, (_, expected) in TENSORS.items():
        values = read(file, name)
        assert values.dtype == "float32"
        np.testing.assert_allclose(values, expected, rtol=0.004 if name == "bfloat16" else 0)


def test_safetensors(tmp_path):
    arrays = {f"{kind}": numbers(3, 2, dtype=kind) for kind in ("float16", "float32", "float64")}
    save_file({**arrays, "count": np.array(3)}, tmp_path / "file", metadata={"made_by": "us"})
    file = open_any(tmp_path / "file")
    assert file.metadata == {"made_by": "us"} and set(file.tensors) == {*arrays, "count"}
    for name, expected in arrays.items():
        np.testing.assert_array_equal(read(file, name), expected.astype("float32"))
    assert not file.tensors["count"].is_float and file.tensors["float16"].is_float


def test_safetensors_of_bfloat16(tmp_path):
    bits = np.uint16([0x3F80, 0xC020])
    path = safetensors(tmp_path / "file", {"a": entry("BF16", [2], 0, 4)}, bits.tobytes())
    np.testing.assert_array_equal(read(open_any(path), "a"), np.float32([1, -2.5]))


def test_big_endian(tmp_path):
    file = open_any(save_legacy(tmp_path / "file", {"a": tensor(numbers(3))}, little_endian=False))
    np.testing.assert_array_equal(read(file, "a"), numbers(3))


STATE = {"conv.weight": tensor(numbers(2, 3)), "conv.bias": tensor(numbers(2))}
# case -> what is saved, names of what is left out
WRAPPED = {
    "plain": (STATE, ()),
    "state_dict": ({"state_dict": STATE, "epoch": 3, "best": 91.5}, ("epoch", "best")),
    "model": (
        {
            "model": STATE,
            "optimizer": {"state": {0: {"momentum": tensor(numbers(99))}}, "param_groups": [{"lr": 0.1}]},
        },
        ("optimizer",),
    ),
    "model, and its average": ({"model": STATE, "model_ema": STATE, "epoch": None}, ("model_ema", "epoch")),
    "DataParallel": ({f"module.{name}": item for name, item in STATE.items()}, ()),
    "compiled": ({"model": {f"_orig_mod.module.{name}": item for name, item in STATE.items()}}, ()),
    "extra state": ({**STATE, "_extra_state": None}, ("_extra_state",)),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("value, left_out", WRAPPED.values(), ids=WRAPPED)
def test_wrappers(value, left_out, write, tmp_path):
    file = open_any(write(tmp_path / "file", value))
    assert list(file.tensors) == list(STATE) and file.left_out == left_out
    np.testing.assert_array_equal(read(file, "conv.weight"), numbers(2, 3))
    np.testing.assert_array_equal(read(file, "conv.bias"), numbers(2))


def test_a_prefix_that_only_some_names_have_stays(tmp_path):
    state = {"module.a": tensor(numbers(1)), "b": tensor(numbers(1))}
    assert list(open_any(save_zip(tmp_path / "file", state)).tensors) == ["module.a", "b"]


TORCH = """
import sys, torch
from collections import OrderedDict
base = torch.arange(24, dtype=torch.float32)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
net = net.to(memory_format=torch.channels_last)
for parameter in net.parameters():
    torch.nn.init.constant_(parameter, 0.375)
parts = {"t": base.view(4, 6).t(), "part": base[5:9], "half": base.half(), "brain": base.bfloat16()}
state = OrderedDict({**net.state_dict(), **parts, "parameter": torch.nn.Parameter(base)})
optimizer = torch.optim.Adam(net.parameters()).state_dict()
whole = {"state_dict": state, "optimizer": optimizer, "size": base.size(), "device": base.device}
for number, zip_form in ((1, True), (2, False)):
    torch.save(whole, f"{sys.argv[1]}/{number}", _use_new_zipfile_serialization=zip_form)
torch.save(net, f"{sys.argv[1]}/whole")
torch.jit.save(torch.jit.script(net), f"{sys.argv[1]}/script")
"""


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: it writes the files"
)
def test_files_of_torch_itself(tmp_path):
    subprocess.run([sys.executable, "-c", TORCH, tmp_path], check=True, timeout=300, capture_output=True)
    base = np.arange(24, dtype="float32")
    expected = {
        "t": base.reshape(4, 6).T,
        "part": base[5:9],
        "half": base,
        "brain": base,
        "parameter": base,
        "0.weight": np.full((4, 3, 3, 3), 0.375),
        "1.running_var": np.ones(4),
    }
    for number in ("1", "2"):
        file = open_any(tmp_path / number)
        assert file.left_out == ("optimizer", "size", "device")
        for name, values in expected.items():
            np.testing.assert_array_equal(read(file, name), values)
    with pytest.raises(WeightsError, match="asks for torch.nn.modules.container.Sequential.*save_file"):
        open_any(tmp_path / "whole")
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        open_any(tmp_path / "script")


# Pickles that would run code


class Call:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def raw_pickle(name: bytes, argument: bytes) -> dict[str, bytes]:
    """Return the ways in which pickle can name a function and call it."""
    module, function = name.split(b".")
    text = b"X" + struct.pack("<I", len(argument)) + argument
    short = [b"\x8c" + bytes([len(part)]) + part for part in (module, function)]
    return {
        "GLOBAL": b"\x80\x02c" + module + b"\n" + function + b"\n" + text + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + short[0] + short[1] + b"\x93" + text + b"\x85R.",
        "INST": b"\x80\x02(" + text + b"i" + module + b"\n" + function + b"\n.",
        "OBJ": b"\x80\x02(c" + module + b"\n" + function + b"\n" + text + b"o.",
        "NEWOBJ": b"\x80\x02c" + module + b"\n" + function + b"\n" + text + b"\x85\x81.",
        "EXT": b"\x80\x02\x82\x01.",
        "memo": b"\x80\x02c" + module + b"\n" + function + b"\nq\x000h\x00" + text + b"\x85R.",
    }


ATTACKS = tuple(raw_pickle(b"posix.system", b"true"))


def packed(kind: str, content: bytes, path):
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        head = b"".join(pickle.dumps(item, 2) for item in (0x1950A86A20F9469CFC6C, 1001, {}))
        path.write_bytes(head + content + pickle.dumps([], 2))
    return path


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_code_is_not_run(attack, kind, tmp_path):
    marker = tmp_path / "ran"
    text = f"touch {marker}".encode()
    path = packed(kind, raw_pickle(b"posix.system", text)[attack], tmp_path / "file.pth")
    with pytest.raises(WeightsError, match="posix.system|instruction (INST|EXT1)") as caught:
        open_any(path)
    assert str(path) in str(caught.value) and "Nothing of it was run" in str(caught.value)
    assert not marker.exists()


def test_the_attack_works_on_pickle_itself(tmp_path):
    """Else the test above would show nothing."""
    marker = tmp_path / "ran"
    text = f"touch {marker}".encode()
    pickle.loads(raw_pickle(b"posix.system", text)["GLOBAL"])
    assert marker.exists()


# name in the file -> what is pickled
FOREIGN = {
    "posix.system": Call(os.system, "true"),
    "eval": Call(eval, "1"),
    "getattr": Call(getattr, 1, "real"),
    "Popen": Call(subprocess.Popen, "true"),
    "pathlib.PosixPath": PosixPath("x"),
    "numpy[^,]*scalar": np.float64(91.78),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_no_tensor_is_named(name, write, tmp_path):
    path = write(tmp_path / "file.pth", {**STATE, "extra": FOREIGN[name]})
    with pytest.raises(
        WeightsError, match=f"asks for [^,]*{name}.*neither a tensor nor a container"
    ) as caught:
        open_any(path)
    assert "safetensors.torch.save_file" in str(caught.value)


# Damaged files and lies


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def safe(header, data=b"", **options):
    return lambda path: safetensors(path, header, data, **options)


def content(data: bytes):
    return lambda path: path.write_bytes(data) and path


def cut(write, fraction):
    def make(path):
        write(path, STATE | {"more": tensor(numbers(500))})
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * fraction)])
        return path

    return make


def pickled(data: bytes, kind="zip"):
    return lambda path: packed(kind, data, path)


def flipped(path):
    save_zip(path, STATE)
    data = path.read_bytes()
    place = data.index(numbers(2, 3).tobytes())
    path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
    return path


F32 = np.zeros(4, "float32").tobytes()
HUGE = 2**62
BAD = {
    "empty": (lambda path: path.touch() or path, "it is empty"),
    "text": (content(b"these are not weights\n" * 40), "it is a text file"),
    "page": (content(b"\n<!DOCTYPE html><html>404</html>"), "it is a web page"),
    "git-lfs": (content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "pointer of git-lfs"),
    "TFLite": (content(b"\x1c\0\0\0TFL3" + b"\0" * 99), "TFLite"),
    "tar": (content(b"\0" * 257 + b"ustar" + b"\0" * 400), "tar file"),
    "random": (content(bytes(range(1, 256)) * 4), "not an HDF5 file, nor one of torch"),
    "another zip": (lambda path: zipped(path), "is a zip file but neither"),
    "another pickle": (content(pickle.dumps({"a": 1}, 2)), "a pickle, but not of torch"),
    "zip cut off": (cut(save_zip, 0.6), "cut off"),
    "legacy cut off in the pickle": (cut(save_legacy, 0.1), "damaged or cut off"),
    "legacy cut off in the numbers": (cut(save_legacy, 0.7), "cut off"),
    "legacy cut off at the end": (cut(save_legacy, 0.99), "cut off"),
    "a byte changed": (flipped, "record archive/data/0 is damaged"),
    "compressed": (lambda path: save_zip(path, STATE, compression=zipfile.ZIP_DEFLATED), "compressed"),
    "no state": (lambda path: save_zip(path, {"epoch": 3, "loss": 0.5}), "holds epoch, loss; which of it"),
    "two networks": (lambda path: save_zip(path, {"model": STATE, "net": STATE}), "is not clear"),
    "a list": (lambda path: save_zip(path, [STATE]), "holds a list, not a dictionary"),
    "beyond its storage": (
        lambda path: save_zip(path, {"a": Tensor(SHARED, (5, 5), (5, 1))}),
        "a reaches beyond",
    ),
    "huge in a pickle": (
        lambda path: save_legacy(path, {"a": Tensor(SHARED, (HUGE,), (1,))}),
        "a reaches beyond",
    ),
    "negative": (lambda path: save_zip(path, {"a": Tensor(SHARED, (2,), (-1,), offset=3)}), "a size of -1"),
    "no end": (pickled(b"\x80\x02}"), "damaged or cut off"),
    "long text": (pickled(b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc"), "damaged or cut off"),
    "long text, legacy": (pickled(b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc", "legacy"), "damaged"),
    "far memo": (pickled(b"\x80\x02}r\xff\xff\xff\x7f."), "nothing; which of it is the network"),
    "nothing to take": (pickled(b"\x80\x02R."), "damaged or cut off"),
    "nested keys": (pickled(b"\x80\x02}" + b")" + b"\x85" * 3 + b"K\x01s."), "keys of kind tuple"),
    "without storage": (pickled(pickle.dumps({"a": 1}, 2)), "holds a; which of it"),
    "header cut off": (safe(b'{"a": {', length=5000), "cut off in its header"),
    "header of 99 MB": (safe(b'{"a"', length=99_000_000), "cut off in its header"),
    "header no JSON": (safe(b'{"a": }'), "not the JSON"),
    "deep header": (safe(b'{"a":' * 40_000), "not the JSON"),
    "twice": (safe(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1}'), "a name is there twice"),
    "offset outside": (safe({"a": entry("F32", [4], 0, 16)}, F32[:8]), "only 8 are there: it was cut off"),
    "overlap": (safe({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, F32), "a and b overlap"),
    "shape": (safe({"a": entry("F32", [3], 0, 16)}, F32), "not what its shape"),
    "huge shape": (safe({"a": entry("F32", [HUGE, HUGE], 0, 16)}, F32), "not what its shape"),
    "negative offset": (safe({"a": entry("F32", [4], -4, 12)}, F32), "nothing sound about a"),
    "shape of text": (safe({"a": entry("F32", ["4"], 0, 16)}, F32), "nothing sound about a"),
    "no offsets": (safe({"a": {"dtype": "F32", "shape": [4]}}, F32), "nothing sound about a"),
    "entry of another kind": (safe({"a": [1, 2]}, F32), "nothing sound about a"),
    "unknown type": (safe({"a": entry("F8_E4M3", [16], 0, 16)}, F32), "stored as F8_E4M3.*accepted are F64"),
}


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_file_is_explained_and_costs_no_memory(make, message, tmp_path):
    path = make(tmp_path / "file.pth")
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=message) as caught:
            open_any(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < 30e6


def test_numbers_that_vanish_between_listing_and_reading(tmp_path):
    path = save_legacy(tmp_path / "file", {"a": tensor(numbers(50))})
    file = open_any(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WeightsError, match="changed while it was read"):
        read(file, "a")
