"""Which images are frames of one video: told by their names and by how alike neighbours look."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.doctor.exam import SIDE, Exam
from kerasvision.data.folders import SPLIT_FOLDERS

FEWEST = 8  # frames, below which nothing can be said
# Mean difference of neighbours over that of any two images of one numbering, 16 x 16 grey: 0.35 to 0.54 in
# the four videos of CamVid, a frame a second; about 1 where numbers are just numbers.
MOST_LIKE_ANY = 0.75
PAIRS = 500  # that stand for any two
_FRAME = re.compile(r"(?P<name>.*?)[\W_]*(?:f|fr|frame)?(?P<number>\d{1,15})")


@dataclass(frozen=True)
class Video:
    """Images that look like frames of one video.

    Attributes:
        name: what their names begin with, with the folder.
        members: indices of the images in the order of their frames.
    """

    name: str
    members: tuple[int, ...]


def frame_of(name: str) -> tuple[str, int] | None:
    """Return sequence and number of a frame by its file name, or `None` where there is no number.

    Folders belong to the sequence, unless they are named as splits are.

    Example:
        >>> frame_of("train/0001TP_006690.png"), frame_of("tour/test/f01290.jpg"), frame_of("cat.png")
        (('0001TP', 6690), ('tour/', 1290), None)
    """
    folder, _, file = name.replace(os.sep, "/").rpartition("/")
    found = _FRAME.fullmatch(os.path.splitext(file)[0])
    if not found:
        return None
    folders = [part for part in folder.split("/") if part and part.lower() not in SPLIT_FOLDERS]
    return "".join(f"{part}/" for part in folders) + found["name"], int(found["number"])


def find_videos(names: Sequence[str], exams: Sequence[Exam]) -> list[Video]:
    """Return the sequences among images whose neighbours are more alike than any two of them.

    Args:
        names: N file names.
        exams: N, what the images look like; those that cannot be read are left out.
    """
    groups: dict[str, list[tuple[int, int]]] = {}
    for i, (name, exam) in enumerate(zip(names, exams, strict=True)):
        if not exam.reason and (frame := frame_of(name)):
            groups.setdefault(frame[0], []).append((frame[1], i))
    ordered = ((name, tuple(i for _, i in sorted(found))) for name, found in sorted(groups.items()))
    return [
        Video(name, members)
        for name, members in ordered
        if len(members) >= FEWEST and _flows([exams[i].grey for i in members])
    ]


def _flows(pictures: Sequence[bytes]) -> bool:
    """Tell whether pictures in a row are like their neighbours, more than like any other."""
    looks = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, SIDE * SIDE).astype(np.float32)
    looks = looks - looks.mean(1, keepdims=True)
    first, second = np.random.default_rng(0).integers(0, len(looks), (2, PAIRS))
    apart = first != second
    near, far = (
        float(np.median(np.abs(looks[a] - looks[b]).mean(1)))
        for a, b in ((slice(1, None), slice(None, -1)), (first[apart], second[apart]))
    )
    return near < MOST_LIKE_ANY * far
