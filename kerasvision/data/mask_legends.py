"""What the values of masks mean: names of classes, colours and void, as they are given or as they occur."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasvision.data.assembling import check_class_names
from kerasvision.data.label_maps import MOST_CLASSES
from kerasvision.data.mask_coding import ColourTable
from kerasvision.data.safe_parsing import brief, parse_json, read_bytes
from kerasvision.data.wording import listed
from kerasvision.errors import BadAnnotationError, DataError
from kerasvision.metrics.segmentation import VOID

# Names that CamVid, Pascal VOC, Cityscapes and labelling tools give to what is not labelled.
VOID_NAMES = frozenset(("void", "unlabelled", "unlabeled", "ignore", "ignored"))
TOLD_TWICE = "`class_names` and `colours` say the same; pass the names with their colours alone."
MOST_UNNAMED = 64  # values without names; smoothed edges have more, and so have photos
_LARGEST_FILE = 1 << 20
_SEPARATORS = re.compile(r"[,:;\s]+")


class Legend(NamedTuple):
    """What the values of masks mean.

    Args:
        names: of the classes.
        labels: (256,) uint8, the label of each value; 255 where it is void or not known.
        known: (256,) bool, values that stand for a class or for void.
        notes: what was decided without being told.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    known: np.ndarray
    notes: tuple[str, ...] = ()


def choose_legend(
    occurring: np.ndarray,
    *,
    class_names: Sequence[str] | Mapping[int, str] | str | os.PathLike | None = None,
    table: ColourTable | None = None,
    void="auto",
) -> Legend:
    """Decide what values stand for.

    Args:
        occurring: (256,) pixels of each value in all masks.
        class_names: names of the values 0, 1, …; value -> name; a file as `masks` takes it; `None`: those of
            the colour table, or else after the values that occur.
        table: where masks are coloured: values are then its names.
        void: `"auto"`, `None`, or one or several of: a value, a name, a colour of the table.

    Raises:
        DataError: an argument cannot be used, or too many values occur to be classes.
    """
    occurring = np.asarray(occurring)
    values = np.flatnonzero(occurring)
    named = _named(class_names, table)
    binary = table is None and isinstance(void, str) and set(values) == {0, VOID}
    if binary and (named is None or len(named) == 2 and set(named) == {0, 1}):
        names = ("background", "foreground") if named is None else tuple(named.values())
        note = (
            f"The masks hold 0 and 255 alone: 255 is taken for the class {names[1]!r}, not for void. "
            f"Say so by class_names={{0: {names[0]!r}, 255: {names[1]!r}}}."
        )
        return _legend({0: names[0], VOID: names[1]}, (), (note,))
    notes = []
    voids, told = _void_values(void, named, table)
    notes += told
    if named is None:
        named = _unnamed([value for value in values.tolist() if value not in voids], VOID in values)
        shown = ", ".join(str(value) for value in named)
        notes.append(
            f"The classes are named after the values that occur in the masks: {shown}. Pass `class_names`."
        )
    elif binary and VOID in voids:
        notes.append(
            "The masks hold 0 and 255 alone: 255 is taken for void. If it is a class, pass "
            "class_names={0: …, 255: …}."
        )
    return _legend(named, voids, notes)


def _legend(classes: Mapping[int, str], void: Sequence[int], notes: Sequence[str]) -> Legend:
    kept = {value: name for value, name in classes.items() if value not in void}
    names = check_class_names(tuple(kept.values()), task="segment")
    labels, known = np.full(256, VOID, np.uint8), np.zeros(256, bool)
    for label, value in enumerate(kept):
        labels[value] = label
    known[[*kept, *void]] = True
    return Legend(names, labels, known, tuple(notes))


def _named(class_names, table: ColourTable | None) -> dict[int, str] | None:
    """Return value -> name in the order of the classes, `None` where nothing says so."""
    if table is not None:
        if class_names is not None:
            raise DataError(TOLD_TWICE)
        return dict(enumerate(table.names))
    if class_names is None:
        return None
    if isinstance(class_names, Mapping):
        wrong = [value for value in class_names if not _is_value(value)]
        if wrong:
            raise DataError(
                f"`class_names` must be names, or value -> name with values from 0 to 255. "
                f"Received: {wrong[0]!r}."
            )
        return {int(value): name for value, name in class_names.items()}
    names = read_class_names(class_names) if isinstance(class_names, str | os.PathLike) else list(class_names)
    if len(names) > MOST_CLASSES:
        raise DataError(f"Masks can have at most {MOST_CLASSES} classes. `class_names` has {len(names)}.")
    return dict(enumerate(names))


def _is_value(value) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= value <= 255


def _unnamed(values: Sequence[int], void: bool) -> dict[int, str]:
    if len(values) > MOST_UNNAMED:
        raise DataError(
            f"The masks hold {len(values)} different values ({listed(list(map(str, values)))}). If these are "
            f"classes, pass `class_names`. If not, the masks were smoothed or are photos: masks must be "
            f"saved as PNG and resized by nearest neighbour."
        )
    if len(values) < 2:
        held = [*(f"the value {value}" for value in values), *(["void (255)"] if void else [])]
        raise DataError(
            f"The masks hold nothing but {' and '.join(held) or 'void'}, so there is nothing to tell apart."
            + (" If 255 is a class and not void, pass class_names={0: …, 255: …}." if void else "")
        )
    return {value: f"class {value}" for value in values}


def _void_values(
    void, named: Mapping[int, str] | None, table: ColourTable | None
) -> tuple[tuple[int, ...], list[str]]:
    """Return the values that are void, and what was decided about them."""
    if void is None:
        return (), []
    if isinstance(void, str) and void == "auto":
        by_name = [v for v, name in (named or {}).items() if str(name).strip().lower() in VOID_NAMES]
        notes = [f"The class {named[v]!r} is taken for void; pass `void` if it is not." for v in by_name]
        usual = () if table is not None or VOID in (named or {}) else (VOID,)
        return (*by_name, *usual), notes
    single = np.isscalar(void) or (table is not None and _is_colour(void))  # text is a scalar, too
    return tuple(_void_value(one, named, table) for one in ([void] if single else void)), []


def _void_value(one, named: Mapping[int, str] | None, table: ColourTable | None) -> int:
    if isinstance(one, str):
        found = [value for value, name in (named or {}).items() if name == one]
    elif table is not None:
        found = []
        if _is_colour(one):
            found = table.rows[(table.colours == np.array(one)).all(1)].tolist()
    else:
        found = [int(one)] if _is_value(one) else []
    if not found:
        known = f" Names: {listed(list((named or {}).values()), 12)}." if named else ""
        what = "a name or a colour of the table" if table is not None else "a value from 0 to 255, or a name"
        raise DataError(f'`void` must be {what}, several of them, None or "auto". Received: {one!r}.{known}')
    return found[0]


def _is_colour(value) -> bool:
    """Tell whether this is (r, g, b)."""
    return isinstance(value, tuple) and len(value) == 3 and all(_is_value(part) for part in value)


def read_class_names(file: str | os.PathLike) -> list[str]:
    """Return the names of a text file with one a line, or of a JSON file (a list, or `names` of an object).

    Raises:
        DataError: it is not there or no such text.
    """
    lines = _lines(file, "class_names")
    if Path(file).suffix.lower() == ".json":
        return _names_of_json("\n".join(lines), file)
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"`class_names` {os.fspath(file)} is empty. It must have a name a line.")
    return names


def _names_of_json(text: str, file: str | os.PathLike) -> list[str]:
    try:
        found = parse_json(text.encode(), file)
    except BadAnnotationError as error:
        raise DataError(f"`class_names` {error}") from None
    names = found.get("names") if isinstance(found, dict) else found
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(
            f'`class_names` {os.fspath(file)} must be a list of names, or {{"names": […]}}; or a text file '
            f"with a name a line. Received: {brief(found)}."
        )
    return names


def colour_table(colours: Mapping | str | os.PathLike) -> ColourTable:
    """Return the table of the colours of masks.

    Args:
        colours: name -> (r, g, b), or several of these; or a file with a name and three numbers a line, in
            either order, such as CamVid's `label_colors.txt`, CVAT's `labelmap.txt`, or a CSV file.

    Raises:
        DataError: it is none of these, or a colour stands for two names.
    """
    if isinstance(colours, str | os.PathLike):
        pairs = _read_colours(colours)
    elif isinstance(colours, Mapping):
        pairs = [(name, colour) for name, value in colours.items() for colour in _several_colours(value)]
    else:
        raise DataError(
            f'`colours` must be a mapping such as {{"road": (128, 64, 128)}}, or a file. '
            f"Received: {brief(colours)}."
        )
    names: dict[str, int] = {}
    seen: dict[tuple, str] = {}
    for name, colour in pairs:
        colour = tuple(colour) if isinstance(colour, Sequence | np.ndarray) else colour
        if not _is_colour(colour):
            raise DataError(
                f"`colours` must be (r, g, b) from 0 to 255. Received for {name!r}: {brief(colour)}."
            )
        if seen.setdefault(colour, name) != name:
            raise DataError(f"`colours` has {colour} for {seen[colour]!r} and for {name!r}.")
        names.setdefault(name, len(names))
    if not names or len(names) > MOST_CLASSES:
        raise DataError(f"`colours` must have 1 to {MOST_CLASSES} names. Received: {len(names)}.")
    return ColourTable(
        names=tuple(names),
        colours=np.array([colour for colour in seen], np.uint8),
        rows=np.array([names[name] for name in seen.values()], np.uint8),
    )


def _several_colours(value) -> Sequence:
    several_ = isinstance(value, Sequence) and len(value) and isinstance(value[0], Sequence | np.ndarray)
    return value if several_ and not isinstance(value, str) else [value]


def _read_colours(file: str | os.PathLike) -> list[tuple[str, tuple[int, ...]]]:
    found = []
    for number, line in enumerate(_lines(file, "colours"), 1):
        words = [word for word in _SEPARATORS.split(line.strip()) if word]
        if not words or line.lstrip().startswith("#"):
            continue
        first, last = _numbers(words[:3]), _numbers(words[-3:])
        if len(words) > 3 and (first or last):
            name = " ".join(words[3:] if first else words[:-3])
            found.append((name, first or last))
        elif found or number > 1:  # a first line without numbers is the heading
            raise DataError(
                f"`colours` {os.fspath(file)}, line {number}, must hold a name and three numbers from 0 to "
                f"255. Received: {brief(line)}."
            )
    if not found:
        raise DataError(f"`colours` {os.fspath(file)} has no line with a name and three numbers.")
    return found


def _numbers(words: Sequence[str]) -> tuple[int, ...] | None:
    good = len(words) == 3 and all(word.isascii() and word.isdigit() and len(word) <= 3 for word in words)
    numbers = tuple(map(int, words)) if good else ()
    return numbers if good and max(numbers) <= 255 else None


def _lines(file: str | os.PathLike, argument: str) -> list[str]:
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"`{argument}` {path} is not there. It must be a text file, or the names themselves.")
    try:
        return read_bytes(path, _LARGEST_FILE).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"`{argument}` {path} is not UTF-8 text ({error}).") from None
