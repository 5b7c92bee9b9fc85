"""Where eyes, nose and mouth are on photos: from a CSV file or from a detector of the user's own."""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision.data.alignment import NO_FACE, align, check_points
from kerasvision.data.decoding import Source, open_image
from kerasvision.data.listing import list_images
from kerasvision.data.picking import source_facts
from kerasvision.data.safe_parsing import brief
from kerasvision.data.table_text import choose_delimiter, read_table_text
from kerasvision.errors import BadImageError, DataError
from kerasvision.files import make_folder, write_csv
from kerasvision.progress import bar

Detector = Callable[[np.ndarray], np.ndarray | None]
Landmarks = Mapping[str, np.ndarray | None]
COLUMNS = tuple(
    f"{point}_{axis}"
    for point in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
    for axis in ("x", "y")
)
_EYES = 4  # columns


class AlignedPhotos(Sequence):
    """Photos as aligned faces, cut out when they are read.

    Args:
        photos: N sources.
        names: N names for people.
        points: N landmarks; text that says why there are none.
        image_size: side of the square in pixels.
        template: as for `align`.
    """

    def __init__(
        self,
        photos: Sequence[Source],
        names: Sequence[str],
        points: Sequence[np.ndarray | str],
        image_size: int,
        template: str,
    ):
        """Remember what to cut out; nothing is read yet."""
        self.photos, self.names, self.points = photos, names, points
        self.image_size, self.template = image_size, template

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> np.ndarray:
        photo, points = self.photos[index], self.points[index]
        shown = str(photo) if isinstance(photo, str | os.PathLike) else self.names[index]
        if isinstance(points, str):
            raise BadImageError(shown, points)
        return align(photo, points, image_size=self.image_size, template=self.template, name=shown)

    def marks(self) -> list[str]:
        """Return what the pixels of each face depend on besides the photo."""
        return [p if isinstance(p, str) else f"{self.template} {p.tolist()}" for p in self.points]

    def fingerprint(self) -> str:
        """Return what tells these faces from others, without cutting them out."""
        digest = hashlib.sha256()
        for name, photo, mark in zip(self.names, self.photos, self.marks(), strict=True):
            digest.update(f"{name}\0{source_facts(photo)}\0{mark}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()


def find_landmarks(folder: str | os.PathLike, detector: Detector) -> dict[str, np.ndarray | None]:
    """Run a detector of your own on all photos of a folder.

    Args:
        folder: the folder.
        detector: (h, w, 3) uint8 RGB, upright -> landmarks (5, 2) or (2, 2) as for `align`, or `None` where
            there is no face. Of several faces it chooses.

    Returns:
        Name of each photo, relative to the folder -> its landmarks, for `write_landmarks` or the argument
        `landmarks` of a loader. `None` where there is no face; photos that cannot be read are left out.

    Raises:
        DataError: there is no such folder, or the detector returns something else.
    """
    root = Path(folder).expanduser()
    names = list_images(root).images
    found = detect([str(root / name) for name in names], names, detector)
    return {
        name: None if isinstance(points, str) else points
        for name, points in zip(names, found, strict=True)
        if not isinstance(points, str) or points == NO_FACE
    }


def detect(photos: Sequence[Source], names: Sequence[str], detector: Detector) -> list[np.ndarray | str]:
    """Return the landmarks of each photo, or why there are none; one photo after the other, with a bar."""
    found: list[np.ndarray | str] = []
    with bar("Looking for faces", len(photos)) as advance:
        for photo, name in zip(photos, names, strict=True):
            found.append(_detected(photo, name, detector))
            advance()
    return found


def _detected(photo: Source, name: str, detector: Detector) -> np.ndarray | str:
    try:
        pixels = np.array(open_image(photo, name=name))
    except BadImageError as error:
        return error.reason
    points = detector(pixels)
    return NO_FACE if points is None else _as_points(points, f"`landmarks` returned for {name}")


def _as_points(points, what: str) -> np.ndarray:
    array = np.asarray(points, float)
    if array.shape not in ((5, 2), (2, 2)):
        raise DataError(
            f"{what} {array.shape}. It must be (5, 2), eyes, nose and corners of the mouth, (2, 2), the "
            f"eyes, or None where there is no face."
        )
    return array


def read_landmarks(file: str | os.PathLike, *, path_column: str = "path") -> dict[str, np.ndarray | None]:
    """Read landmarks from a CSV file, a photo a line, with a header.

    The columns are `path`, `left_eye_x`, `left_eye_y`, `right_eye_x`, `right_eye_y` and, if there are five
    points, `nose_x`, `nose_y`, `left_mouth_x`, `left_mouth_y`, `right_mouth_x`, `right_mouth_y`; left is left
    in the photo, and `lefteye_x` will do (CelebA). Other columns are ignored. A line without numbers is a
    photo without a face.

    Args:
        file: UTF-8, with commas, semicolons or tabs.
        path_column: name of the column with paths.

    Returns:
        Path as it is written -> (5, 2) or (2, 2) pixels, or `None`.

    Raises:
        DataError: the file or a column is missing, a line has some numbers only, or a path is there twice.
    """
    table = Path(file).expanduser()
    text = read_table_text(table)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=choose_delimiter(text, {path_column}))
    header = [name.strip() for name in next(reader, [])]
    places = _places(table, header, path_column)
    found: dict[str, np.ndarray | None] = {}
    for values in reader:
        if not any(values):
            continue
        values = [*values, *[""] * (len(header) - len(values))]
        path, *numbers = (values[place].strip() for place in places)
        if path in found or not path:
            raise DataError(
                f"{table}, line {reader.line_num}: {f'{path} is there twice' if path else 'no path'}. Give "
                f"each photo one line."
            )
        found[path] = _numbers(table, reader.line_num, numbers)
    return found


def _places(table: Path, header: Sequence[str], path_column: str) -> list[int]:
    """Return where the path and the coordinates are on a line."""
    plain = {name.replace("_", "").lower(): place for place, name in enumerate(header)}
    there = [column for column in COLUMNS if column.replace("_", "") in plain]
    if path_column not in header or tuple(there) not in (COLUMNS, COLUMNS[:_EYES]):
        raise DataError(
            f"`file` {table} must have the columns {path_column}, {', '.join(COLUMNS[:_EYES])} and, if "
            f"wanted, all of {', '.join(COLUMNS[_EYES:])}. Received: {', '.join(header) or 'nothing'}."
        )
    return [header.index(path_column), *(plain[column.replace("_", "")] for column in there)]


def _numbers(table: Path, line: int, texts: Sequence[str]) -> np.ndarray | None:
    if not any(texts):
        return None
    kept = texts if any(texts[_EYES:]) else texts[:_EYES]
    try:
        numbers = np.array([float(text) for text in kept])
    except ValueError:
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise DataError(
            f"{table}, line {line}: landmarks must be numbers, all of them or none. Received: "
            f"{brief(', '.join(texts))}."
        )
    return numbers.reshape(-1, 2)


def write_landmarks(file: str | os.PathLike, landmarks: Landmarks) -> None:
    """Write landmarks as a CSV file that `read_landmarks` reads.

    Args:
        file: CSV file to write.
        landmarks: name of a photo -> (5, 2) or (2, 2) pixels, or `None` where there is no face.

    Raises:
        DataError: landmarks have another shape.
    """
    rows = []
    for name, points in landmarks.items():
        points = () if points is None else _as_points(points, f"`landmarks` has for {name}").ravel().tolist()
        rows.append((name, *points, *[""] * (len(COLUMNS) - len(points))))
    make_folder(Path(file).expanduser().parent)
    write_csv(Path(file).expanduser(), ("path", *COLUMNS), rows)


def photos_aligned(
    photos: Sequence[Source],
    names: Sequence[str],
    landmarks: str | os.PathLike | Landmarks | Detector,
    image_size: int,
    template: str,
) -> AlignedPhotos:
    """Find the landmarks of all photos.

    Args:
        photos: N sources.
        names: N names for people, by which a file or mapping knows them.
        landmarks: a CSV file, name -> landmarks, or a detector.
        image_size: side of the square in pixels.
        template: as for `align`.

    Raises:
        DataError: a photo is not in the file or mapping, or landmarks have the wrong shape for the template.
    """
    if callable(landmarks):
        points = detect(photos, names, landmarks)
    else:
        known = landmarks if isinstance(landmarks, Mapping) else read_landmarks(landmarks)
        where = "`landmarks`" if isinstance(landmarks, Mapping) else f"`landmarks` {landmarks}"
        points = [_known(known, name, where) for name in names]
    points = [one if isinstance(one, str) else check_points(one, template) for one in points]
    return AlignedPhotos(photos, names, points, image_size, template)


def _known(known: Landmarks, name: str, where: str) -> np.ndarray | str:
    if name not in known:
        raise DataError(
            f"{where} has no line for {name}. Photos are called as in `data.files`, and one without a face "
            f"has a line without numbers (in a mapping: None). It has, for example, "
            f"{', '.join(list(known)[:2]) or 'none'}."
        )
    return NO_FACE if known[name] is None else _as_points(known[name], f"{where} has for {name}")
