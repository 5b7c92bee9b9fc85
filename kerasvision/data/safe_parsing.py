"""Read annotation files that may have been made to do harm.

A data set from the internet is input of strangers. What is refused here is refused before anything is made of
it.
"""

import json
import math
import ntpath
import os
import posixpath
import re
from pathlib import Path
from reprlib import Repr
from xml.etree import ElementTree
from xml.parsers import expat

from kerasvision.errors import BadAnnotationError

LARGEST_XML = 16 << 20  # bytes; an XML file describes one photo
LARGEST_JSON = 4 << 30  # bytes; that of COCO 2017 has 470 MB
MOST_ELEMENTS = 200_000  # about 15 a box
DEEPEST = 32  # VOC needs 5
LARGEST_NUMBER = 1e6  # pixels; the largest photos that are decoded have sides far below
_MAY_OVERFLOW = re.compile(rb"\d{300}|[\d.][eE]\+?\d{3}")
_BRIEF = Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxstring, _BRIEF.maxother = 2, 4, 3, 60, 60


def brief(value) -> str:
    """Return a value of a file as text for a message, however large or deeply nested it is."""
    try:
        return _BRIEF.repr(value)
    except ValueError:  # Python's limit for numbers
        return "a number of thousands of digits"


def read_bytes(path: str | os.PathLike, most: int) -> bytes:
    """Read a whole file.

    Raises:
        BadAnnotationError: it is not there, cannot be read, no regular file, or larger than `most` bytes.
    """
    path = os.fspath(path)
    try:
        if not os.path.isfile(path):
            reason = "is a folder" if os.path.isdir(path) else "is not there"
            raise BadAnnotationError(path, f"{reason}, or is no regular file")
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise BadAnnotationError(path, f"cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise BadAnnotationError(
            path, f"has more than {most / 1e6:,.0f} MB, too much for what it should hold"
        )
    return content


def parse_xml(content: bytes, path: str | os.PathLike) -> ElementTree.Element:
    """Parse an XML file that has no document type, and so no entities of its own.

    Entities can grow without bounds when they are replaced ("a billion laughs") or read other files; both
    need a document type, which no annotation tool writes.

    Raises:
        BadAnnotationError: it has a document type, is not well-formed, nested too deeply, or too large.
    """
    path = os.fspath(path)
    parser, builder = expat.ParserCreate(), ElementTree.TreeBuilder()
    depth = count = 0

    def refuse(*_):
        raise BadAnnotationError(
            path, "has a DOCTYPE, by which XML attacks its reader (entities); it is refused. Remove that line"
        )

    def start(tag, attributes):
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEEPEST or count > MOST_ELEMENTS:
            what = (
                f"is nested more than {DEEPEST} deep"
                if depth > DEEPEST
                else f"has over {MOST_ELEMENTS:,} elements"
            )
            raise BadAnnotationError(path, f"{what}, as no annotation is")
        builder.start(tag, attributes)

    def end(tag):
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:
        if isinstance(error, BadAnnotationError):
            raise
        raise BadAnnotationError(path, f"is not well-formed XML: {error}") from None


def parse_json(content: bytes, path: str | os.PathLike):
    """Parse JSON without NaN and Infinity, which it does not have, and without hostile nesting and numbers.

    Raises:
        BadAnnotationError: it is not such JSON.
    """
    path = os.fspath(path)

    def refuse(word: str):
        raise BadAnnotationError(path, f"holds {word}, which is no number that can be used")

    def finite(text: str) -> float:
        return refuse(text[:30]) if math.isinf(value := float(text)) else value

    # Asked for every number, this check would double the time.
    check = {"parse_float": finite} if _MAY_OVERFLOW.search(content) else {}
    try:
        return json.loads(content, parse_constant=refuse, **check)
    except BadAnnotationError:
        raise
    except RecursionError:
        raise BadAnnotationError(path, "is nested too deeply, as no annotation is") from None
    except ValueError as error:
        raise BadAnnotationError(path, f"is not valid JSON: {error}") from None


def number(value, what: str, path: str | os.PathLike, most: float = LARGEST_NUMBER) -> float:
    """Return a finite number of a sensible size from text or a number.

    Raises:
        BadAnnotationError: it is missing, no number, NaN, infinite or beyond `most`.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        found = float(value)
    except OverflowError:
        found = math.inf
    except ValueError:
        shown = "nothing" if value is None else brief(value)
        raise BadAnnotationError(path, f"{what} must be a number. Received: {shown}") from None
    if not abs(found) <= most:  # NaN, too
        raise BadAnnotationError(path, f"{what} must be a number up to {most:g}. Received: {brief(value)}")
    return found


def inside(name, what: str, path: str | os.PathLike) -> str:
    """Return a relative path with `/` that cannot lead out of the folder it is used in.

    Raises:
        BadAnnotationError: it is absolute (of any system), leads upwards, or is no name of a file.
    """
    if not isinstance(name, str) or not name.strip():
        raise BadAnnotationError(path, f"{what} must name an image file. Received: {brief(name)}")
    name = name.strip()
    parts = name.replace("\\", "/").split("/")
    if posixpath.isabs(name) or ntpath.isabs(name) or ntpath.splitdrive(name)[0] or ".." in parts:
        raise BadAnnotationError(
            path,
            f"{what} is {name[:200]!r}, which leads out of the folder with the images; it is refused. "
            f"Write a path that starts from there",
        )
    if any(ord(letter) < 32 for letter in name) or len(name) > 4096:
        raise BadAnnotationError(path, f"{what} is {name[:60]!r}, which can be no file name")
    clean = "/".join(part for part in parts if part not in ("", "."))
    if not clean:
        raise BadAnnotationError(path, f"{what} is {name[:60]!r}, which names no file")
    return clean


def read_xml(path: str | os.PathLike) -> ElementTree.Element:
    """Read and parse an XML file of one image, as `parse_xml` does."""
    return parse_xml(read_bytes(path, LARGEST_XML), path)


def read_hostile_json(path: str | os.PathLike):
    """Read and parse a JSON file, as `parse_json` does."""
    return parse_json(read_bytes(path, LARGEST_JSON), Path(path))
