"""The clean list: which images to train on once the doctor has looked, as a CSV that `image_csv` reads."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.assembling import is_line
from kerasvision.data.doctor.findings import Seen
from kerasvision.errors import DataError
from kerasvision.files import make_folder, write_csv

# Of copies in several splits the held-out one is kept: held-out images are few, and taking them away changes
# what is measured, while a training split hardly misses one.
PRIORITY = {"test": 0, "validation": 1, "train": 2, "": 3}


@dataclass(frozen=True)
class CleanList:
    """The images to keep.

    Attributes:
        kept: indices, in the order they were listed.
        dropped: why others were left out -> how many.
    """

    kept: tuple[int, ...]
    dropped: dict[str, int]


def choose(seen: Seen) -> CleanList:
    """Leave out what cannot be used, conflicting labels, and all but one of each group of copies."""
    dropped: Counter = Counter()
    conflicting = {
        int(seen.twins.group[members[0]])
        for members in seen.twins.groups()
        if len({seen.intake.labels[i] for i in members}) > 1
    }
    neighbours = defaultdict(list)
    for a, b in np.asarray(seen.twins.pairs).tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    home = _homes(seen) if seen.intake.identities else {}
    kept: dict[int, int] = {}  # group of equal pixels -> the image of it that is kept
    order = sorted(range(len(seen.exams)), key=lambda i: (PRIORITY[seen.intake.splits[i]], i))
    for i in order:
        group = int(seen.twins.group[i])
        reason = _why_not(seen, i, group in conflicting)
        if reason is None and home.get(seen.intake.labels[i], seen.intake.splits[i]) != seen.intake.splits[i]:
            reason = "of an identity that is in another split"
        if reason is None and group in kept:
            reason = "copies"
        if reason is None and any(_repeats(seen, i, kept[n]) for n in neighbours[group] if n in kept):
            reason = "near copies"
        if reason is None:
            kept[group] = i
        else:
            dropped[reason] += 1
    return CleanList(tuple(sorted(kept.values())), dict(dropped))


def _homes(seen: Seen) -> dict[str, str]:
    """Return identity -> the one split in which it stays."""
    homes: dict[str, str] = {}
    for label, split in zip(seen.intake.labels, seen.intake.splits, strict=True):
        if label is not None:
            homes[label] = min(homes.get(label, split), split, key=PRIORITY.get)
    return homes


def _why_not(seen: Seen, i: int, conflicting: bool) -> str | None:
    if seen.exams[i].reason:
        return "unreadable"
    if seen.intake.labels[i] is None:
        return f"without a{'n identity' if seen.intake.identities else ' class'}"
    if conflicting:
        return f"in two {seen.intake.nouns}"
    listable = is_line(str(seen.intake.sources[i])) and is_line(seen.intake.labels[i])
    return None if listable else "with a name that no CSV can hold"


def _repeats(seen: Seen, i: int, kept: int) -> bool:
    """Tell whether a near copy is to go: the same class, or the other side of a split."""
    same_class = seen.intake.labels[i] == seen.intake.labels[kept]
    return same_class or seen.intake.splits[i] != seen.intake.splits[kept]


def write_clean_list(path: Path, seen: Seen) -> CleanList:
    """Write `path,label` (and `split` where there are splits) of the images to keep; paths are absolute.

    Of identities it is `path,identity`.

    Raises:
        DataError: the images are no files, or nothing would be left.
    """
    if any(isinstance(seen.intake.sources[i], bytes | np.ndarray) for i in range(len(seen.exams))):
        raise DataError("`clean_list` needs images in files. Received: images in memory. Leave it out.")
    clean = choose(seen)
    if not clean.kept:
        raise DataError(
            f"`clean_list` would be empty: no image of {seen.intake.origin} can be used as it is."
        )
    make_folder(path.parent)
    intake, with_splits = seen.intake, bool(seen.intake.split_names)
    header = ("path", "identity" if intake.identities else "label", "split")[: 3 if with_splits else 2]
    rows = [(intake.sources[i], intake.labels[i], intake.splits[i])[: len(header)] for i in clean.kept]
    write_csv(path, header, rows)
    return clean
