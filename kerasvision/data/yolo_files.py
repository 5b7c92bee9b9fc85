"""YOLO: one text file a photo with `class x y width height` in shares of its size, and names in YAML."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.annotations import Annotated, Fault, unusable
from kerasvision.data.box_loading import BoxSettings, load_boxes
from kerasvision.data.box_writing import SHORT, fresh_folder, outgoing, say_lost, write_image
from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.listing import list_images
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.safe_parsing import brief, inside, number, read_bytes
from kerasvision.data.vision_data import VisionData
from kerasvision.data.wording import listed, several
from kerasvision.errors import BadAnnotationError, DataError
from kerasvision.files import write_atomically

LARGEST_YAML = 1 << 19  # bytes; the 80 names of COCO take 2,000
DEEPEST_YAML = 16
LARGEST_TEXT = 16 << 20
LARGEST_SHARE = 1.5  # beyond it a coordinate is meant in pixels, not as a box that overhangs a little
_SPLIT_KEYS = ("train", "val", "valid", "validation", "test")
_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")


def yolo(
    folder_or_yaml: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    image_size: int | tuple[int, int] = 320,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
    resize: Resize = "stretch",
    on_bad_file: Literal["raise", "skip"] = "raise",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
) -> VisionData:
    """Read photos with boxes in the layout of YOLO.

    The YAML file has `names` and, for `train`, `val` and `test`, a folder, several, or a text file that lists
    photos. Boxes of `images/…/photo.jpg` are in `labels/…/photo.txt`, or beside the photo. As in other tools,
    a photo without such a file is one without objects. Lines with a polygon give the box around it; the
    polygon is kept.

    Paths never lead out of the folder of the YAML file: `path` of another machine is ignored, and of
    `../train/images`, which some tools write, the `../` is.

    Args:
        folder_or_yaml: a YAML file; or the folder with one, or with `classes.txt`.
        class_names: the names, by number, where no file has them.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), where no such split is given.
        test_fraction: share for the test split, in [0, 1), where no such split is given.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`; boxes follow it.
        on_bad_file: `"raise"` or `"skip"`, as for `pascal_voc`.
        cache: of decoded pixels, as for `image_folder`.
        cache_limit: as for `image_folder`.

    Returns:
        A `VisionData` of the task `"detect"`.

    Raises:
        BadAnnotationError: a line is no box, a class has no name, a file tries to do harm, …
        BadImageError: a photo is not there or cannot be read.
        DataError: there are no photos, or the names of the classes are not known.

    Example:
        ```python
        data = kv.data.yolo("dataset/data.yaml", image_size=320)
        ```
    """
    settings = BoxSettings(
        class_names=class_names,
        image_size=image_size,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        batch_size=batch_size,
        resize=resize,
        on_bad_file=on_bad_file,
        cache=cache,
        cache_limit=cache_limit,
    )
    root, yaml_file = find_yolo(folder_or_yaml)
    images, names, without, alone = read_yolo(root, yaml_file, class_names)
    notes = _notes(without, alone)
    return load_boxes(images, settings, origin=str(root), outside=root, notes=notes, known=names)


def find_yolo(folder_or_yaml: str | os.PathLike) -> tuple[Path, Path | None]:
    """Return the folder and its YAML file, `None` where there is none.

    Raises:
        DataError: it is not there, or has several YAML files.
    """
    path = Path(folder_or_yaml).expanduser().absolute()
    if path.is_file():
        return path.parent, path
    if not path.is_dir():
        raise DataError(f"`folder_or_yaml` {path} is not there. The working folder is {Path.cwd()}.")
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if len(files) > 1:
        names = listed([file.name for file in files])
        raise DataError(f"{path} has several YAML files: {names}. Pass the one to use.")
    return path, files[0] if files else None


def read_yolo(
    root: Path, yaml_file: Path | None, class_names: Sequence[str] | None = None
) -> tuple[list[Annotated], list[str], list[str], list[str]]:
    """Read all annotations of a folder, good or bad.

    Returns:
        What is annotated, the class names, photos without a file of boxes, and such files without a photo.

    Raises:
        DataError: there are no photos, or the names of the classes are not known.
        BadAnnotationError: the YAML file cannot be used.
    """
    listing = list_images(root)
    if not listing.images:
        raise DataError(f"No images in {root}. Found: {listing.found()}.")
    names, places = _read_yaml(yaml_file) if yaml_file else (_names_beside(root), {})
    names = list(class_names) if class_names is not None else names
    if not names:
        raise DataError(
            f"The names of the classes of {root} are not known: there is no YAML file with `names` and no "
            f"classes.txt. Pass `class_names`, in the order of their numbers."
        )
    chosen = _choose(root, yaml_file, listing.images, places)
    texts = {name for name in listing.other_files if name.lower().endswith(".txt")}
    images, without, used = [], [], set()
    for name, split in chosen:
        text = next((t for t in label_files(name) if t in texts), None)
        used.add(text)
        if text is None:
            without.append(name)
        images.append(_read_file(root, name, text, names, split))
    folders = {text.rpartition("/")[0] for text in used if text}
    alone = [t for t in sorted(texts - used) if t.rpartition("/")[0] in folders and t not in _NAME_FILES]
    return images, names, without, alone


def label_files(image: str) -> list[str]:
    """Return where a photo's boxes may be: in `labels` in the place of the last `images`, or beside it."""
    stem = os.path.splitext(image)[0]
    parts = stem.split("/")
    places = []
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[:-1][::-1].index("images")
        places.append("/".join([*parts[:at], "labels", *parts[at + 1 :]]) + ".txt")
    return [*places, f"{stem}.txt"]


def _names_beside(root: Path) -> list[str]:
    for file in _NAME_FILES:
        if (root / file).is_file():
            text = read_bytes(root / file, LARGEST_YAML).decode("utf-8-sig", "replace")
            return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def _read_yaml(file: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return the class names, and the places of each split as they are written."""
    import yaml

    content = read_bytes(file, LARGEST_YAML)
    try:
        _refuse_bombs(yaml, content, file)
        document = yaml.safe_load(content)
    except BadAnnotationError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadAnnotationError(file, f"is not valid YAML: {str(error)[:300]}") from None
    if not isinstance(document, dict):
        raise BadAnnotationError(file, "must have the keys `names`, `train` and, if there is one, `val`")
    places = {}
    for key in _SPLIT_KEYS:
        value = document.get(key)
        value = [value] if isinstance(value, str) else value
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            shown = brief(value)
            raise BadAnnotationError(file, f"`{key}` must be a path or a list of paths. Received: {shown}")
        places[SPLIT_FOLDERS[key]] = value
    return _names(document.get("names"), file), places


def _refuse_bombs(yaml, content: bytes, file: Path) -> None:
    """Refuse aliases and deep nesting, by which a small file takes all memory or time."""
    depth = 0
    for token in yaml.scan(content):
        kind = type(token).__name__
        depth += kind.endswith("StartToken") - kind.endswith("EndToken")
        if isinstance(token, yaml.AliasToken):
            raise BadAnnotationError(
                file, "uses aliases (*name), by which YAML attacks its reader; they are refused. Write it out"
            )
        if depth > DEEPEST_YAML:
            raise BadAnnotationError(file, "is nested too deeply for a list of names and paths")


def _names(names, file: Path) -> list[str]:
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise BadAnnotationError(file, "`names` must be numbered 0, 1, 2, … without gaps")
        names = [names[i] for i in range(len(names))]
    names = [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise BadAnnotationError(file, f"`names` must be a list of names. Received: {brief(names)}")
    return [name if isinstance(name, str) else brief(name) for name in names]


def _choose(
    root: Path, yaml_file: Path | None, images: Sequence[str], places: Mapping[str, Sequence[str]]
) -> list[tuple[str, str]]:
    """Return (photo, split) of the photos that are in use."""
    if not places:
        return [(name, _split_by_folder(name)) for name in images]
    there, chosen = set(images), []
    for split, written in places.items():
        found: list[str] = []
        for place in written:
            place = _within(place, f"`{split}`", yaml_file)
            if place.lower().endswith(".txt"):
                found += _listed_photos(root, place, there)
            else:
                found += [name for name in images if place == "." or name.startswith(f"{place}/")]
        if not found:
            raise DataError(
                f"{yaml_file} says that {split} is in {listed(written)}, where there is no photo "
                f"(paths start from {root})."
            )
        chosen += [(name, split) for name in dict.fromkeys(found)]
    seen: dict[str, str] = {}
    for name, split in chosen:
        if seen.setdefault(name, split) != split:
            raise DataError(f"{name} is both in {seen[name]} and in {split} of {yaml_file}. Keep it in one.")
    return chosen


def _within(place: str, what: str, file: Path) -> str:
    """Return a path below the YAML file's folder; see `yolo` for the `../` that is taken off."""
    while place.startswith(("../", "./")):
        place = place.partition("/")[2]
    return "." if place in ("", ".") else inside(place, what, file)


def _listed_photos(root: Path, file: str, there: set[str]) -> list[str]:
    text = read_bytes(root / file, LARGEST_TEXT).decode("utf-8-sig", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_within(line, f"line {i + 1}", root / file) for i, line in enumerate(lines)]
    missing = [name for name in found if name not in there]
    if missing:
        raise DataError(f"{root / file} lists {several(len(missing), 'photo')} not there: {listed(missing)}.")
    return found


def _split_by_folder(name: str) -> str:
    found = [SPLIT_FOLDERS[part.lower()] for part in name.split("/")[:-1] if part.lower() in SPLIT_FOLDERS]
    return found[0] if found else ""


def _read_file(root: Path, image: str, text: str | None, names: Sequence[str], split: str) -> Annotated:
    source = str(root / image)
    if text is None:
        return Annotated(source, image, source, np.zeros((0, 4)), (), (), split=split)
    path = str(root / text)
    try:
        lines = read_bytes(path, LARGEST_TEXT).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return unusable(source, image, path, "is not text", split)
    except BadAnnotationError as error:
        return unusable(source, image, path, error.reason, split)
    rows = [(i + 1, line.split()) for i, line in enumerate(lines) if line.strip()]
    boxes, segments, labels, faults = np.zeros((len(rows), 4)), [None] * len(rows), [""] * len(rows), {}
    for index, (_, words) in enumerate(rows):
        try:
            labels[index], unknown = _label(words[0], names, path)
            if unknown:
                faults[index] = Fault(unknown, "class")
            boxes[index], segments[index] = _shape(words[1:], path)
        except BadAnnotationError as error:
            faults[index] = Fault(error.reason)
    return Annotated(
        source=source,
        name=image,
        file=path,
        boxes=boxes,
        labels=labels,
        objects=[f"line {line} ({label or '?'})" for (line, _), label in zip(rows, labels, strict=True)],
        relative=True,
        segments=tuple(segments) if any(segments) else None,
        split=split,
        faults=faults,
    )


def _label(word: str, names: Sequence[str], path: str) -> tuple[str, str | None]:
    """Return the name of a class, and what is wrong if it has none."""
    if not word.isascii() or not word.isdigit() or len(word) > 9:
        raise BadAnnotationError(path, f"must begin with the number of a class. Received: {word[:40]!r}")
    if int(word) >= len(names):
        last = len(names) - 1
        return "", f"has the class {int(word)}, but the names go from 0 to {last}"
    return names[int(word)], None


def _shape(words: Sequence[str], path: str) -> tuple[tuple[float, ...], list | None]:
    """Return the box (xyxy, in shares) of a line without its class, and the polygon if it holds one."""
    values = [number(word, "a coordinate", path) for word in words]
    if len(values) == 5:
        reason = "has six values: is that a prediction with its score? Annotations have five"
        raise BadAnnotationError(path, reason)
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise BadAnnotationError(
            path,
            f"must have `class x y width height`, or a class and a polygon, not {len(values) + 1} values",
        )
    largest = max(values, key=abs)
    if abs(largest) > LARGEST_SHARE:
        raise BadAnnotationError(
            path, f"must have shares of width and height, from 0 to 1. Received: {largest:g} (pixels?)"
        )
    if len(values) == 4:
        x, y, width, height = values
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), None
    return (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])), [values]


def _notes(without: Sequence[str], alone: Sequence[str]) -> list[str]:
    notes = []
    if without:
        photos = several(len(without), "photo", ("has", "have"))
        count = "counts" if len(without) == 1 else "count"
        notes.append(f"{photos} no label file and {count} as without objects: {listed(without)}.")
    if alone:
        files = several(len(alone), "label file", ("has", "have"))
        were = "was" if len(alone) == 1 else "were"
        notes.append(f"{files} no photo and {were} left out: {listed(alone)}.")
    return notes


def write_yolo(data: VisionData, folder: str | os.PathLike) -> Path:
    """Write photos and boxes as YOLO: `images/train/`, `labels/train/`, and so on, and `data.yaml`.

    Files of photos are copied as they are. YOLO has no crowds: they are left out. Marks of difficult boxes
    and outlines are lost. What is lost is said.

    Args:
        data: with boxes.
        folder: empty, or not there yet.

    Returns:
        The folder; `yolo(folder)` reads it.

    Raises:
        DataError: the data have no boxes, or there is something in the folder.
    """
    import yaml

    images = outgoing(data)
    root = fresh_folder(folder)
    say_lost(data, "YOLO", crowd="left out", difficult=True, segments=True)
    for image in images:
        write_image(image, root / "images" / SHORT[image.split])
        labels = root / "labels" / SHORT[image.split]
        labels.mkdir(parents=True, exist_ok=True)
        with write_atomically(labels / f"{image.stem}.txt", "w") as file:
            file.writelines(_lines(image.boxes))
    document: dict = {SHORT[split]: f"images/{SHORT[split]}" for split in data.splits}
    document["names"] = dict(enumerate(data.class_names))
    with write_atomically(root / "data.yaml", "w") as file:
        yaml.safe_dump(document, file, sort_keys=False, allow_unicode=True)
    return root


def _lines(boxes: ImageBoxes) -> list[str]:
    height, width = boxes.size
    shares = boxes.boxes / np.array([width, height] * 2)
    lines = []
    for (left, top, right, bottom), label, crowd in zip(shares, boxes.labels, boxes.crowd, strict=True):
        values = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        if not crowd:
            lines.append(f"{label} " + " ".join(f"{value:.8f}" for value in values) + "\n")
    return lines
