"""Tell the kinds of weights files apart, by what is in them."""

import os
import re
import zipfile
from pathlib import Path
from typing import Literal

import h5py

from kerasvision.errors import WeightsError

Format = Literal["keras", "safetensors", "torch zip", "torch pickle"]

ACCEPTED = (
    "Accepted are .keras, .weights.h5 and .h5 files of Keras, .safetensors, and .pth, .pt or .bin of torch."
)
# The header of a .safetensors file is at most this long, by its own rules.
LONGEST_HEADER = 100_000_000


def format_of(path: str | os.PathLike) -> Format:
    """Return which kind of weights file a file is.

    Returns:
        `"keras"` (an HDF5 file, or a zip with one inside), `"safetensors"`, `"torch zip"` (torch 1.6 and
        later) or `"torch pickle"` (before that).

    Raises:
        WeightsError: there is no such file, or it is something else; the message says what it looks like.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(_not_a_file(path))
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be opened: {error.strerror}.") from error
    if start.startswith(b"PK\x03\x04"):
        return _zip_format(path)
    if h5py.is_hdf5(path) or start.startswith(b"\x89HDF"):
        return "keras"
    if start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch pickle"
    raise WeightsError(f"{path} cannot be read as a weights file: {_looks_like(start)} {ACCEPTED}")


def _not_a_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a folder, not a weights file. Name the file inside."
    text = path.as_posix()
    if re.match(r"https?:/", text):
        return f"{text.replace(':/', '://', 1)} is an address. Download it, and give the file."
    return (
        f"There is no weights file {path}. Check the path. Besides a file there are 'imagenet', "
        "'hf://owner/name', and in builders None."
    )


def _zip_format(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise WeightsError(
            f"{path} cannot be read as a weights file: it begins as a .keras or .pth file, but was cut off "
            f"({path.stat().st_size:,} bytes are there). Fetch or save it again."
        ) from error
    if "model.weights.h5" in names:
        return "keras"
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path} is a TorchScript program, not a list of weights. In torch, save the weights alone: "
            "torch.save(torch.jit.load(file).state_dict(), new_file)."
        )
    if any(name.endswith("/data.pkl") for name in names):
        return "torch zip"
    raise WeightsError(
        f"{path} is a zip file but neither a .keras file (no model.weights.h5 inside) nor one of torch "
        "(no data.pkl inside)."
    )


def _looks_like(start: bytes) -> str:
    head = start.lstrip().lower()
    if not start:
        return "it is empty. Fetch or save it again."
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of git-lfs, not the file itself. Run `git lfs pull`, or download it."
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, not the file itself. Use the link for downloading."
    if start[257:262] == b"ustar":
        return "it is a tar file, as torch wrote them before 2017. Load and save it again in torch."
    if start[4:8] == b"TFL3":
        return "it is a TFLite model, which is for predicting only."
    if all(byte >= 9 for byte in start):
        return "it is a text file."
    return "it is not an HDF5 file, nor one of torch."
