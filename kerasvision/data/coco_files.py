"""COCO: one JSON file a split, with boxes, outlines (polygons and RLE) and crowds."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.annotations import Annotated, Fault, unusable
from kerasvision.data.box_loading import BoxSettings, load_boxes
from kerasvision.data.box_writing import SHORT, fresh_folder, outgoing, write_image
from kerasvision.data.folders import SPLIT_FOLDERS
from kerasvision.data.pixel_cache import DEFAULT_LIMIT
from kerasvision.data.preprocessing import Resize
from kerasvision.data.safe_parsing import LARGEST_NUMBER, brief, inside, number, read_hostile_json
from kerasvision.data.segments import segment_fault
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.errors import BadAnnotationError, BadImageError, DataError
from kerasvision.files import write_json

_OWN = frozenset("id image_id category_id bbox iscrowd segmentation difficult".split())


def coco(
    annotations: str | os.PathLike | Mapping[str, str | os.PathLike],
    images: str | os.PathLike | Mapping[str, str | os.PathLike] | None = None,
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
    """Read photos with boxes that JSON files in the format of COCO describe.

    Classes are numbered in the order of their category ids, also those without a box. Crowds (`iscrowd`),
    outlines and areas are kept in `ImageBoxes`.

    Args:
        annotations: a JSON file; or "train", "validation", "test" -> JSON file; or a folder with
            `annotations/instances_train….json` (and val, test), or with `train/_annotations.coco.json`.
        images: the folder that `file_name` starts from; or one for each split. By default that of the same
            name as the split beside `annotations/`, or else the folder of the JSON file.
        class_names: the classes and their order; by default those of the file. A box of another is an error.
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
        BadAnnotationError: a box has no size or lies outside of its photo, a path leads out of the folder, …
        BadImageError: a photo is not there or cannot be read.
        DataError: nothing is annotated, or the layout is not one of those above.

    Source: Lin et al., 2014, "Microsoft COCO: Common Objects in Context".

    Example:
        ```python
        data = kv.data.coco("instances_train.json", "photos/", image_size=320)
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
    files = find_coco(annotations, images)
    read, names = read_coco(files)
    origin = str(annotations) if not isinstance(annotations, Mapping) else str(files[0][1].parent)
    outside = files[0][2]
    return load_boxes(read, settings, origin=origin, outside=outside, known=names)


def find_coco(annotations, images=None) -> list[tuple[str, Path, Path]]:
    """Return (split, JSON file, folder of images); the split is `""` for a single file.

    Raises:
        DataError: no JSON file is found, or a split is unknown.
    """
    if isinstance(annotations, Mapping):
        wrong = [split for split in annotations if split not in SPLITS]
        if wrong or "train" not in annotations:
            raise DataError(
                f"`annotations` must be a mapping from train, validation or test to JSON files, with train "
                f"among them. Received: {sorted(map(str, annotations))}."
            )
        found = {split: Path(file).expanduser().absolute() for split, file in annotations.items()}
    else:
        path = Path(annotations).expanduser().absolute()
        found = _find_in_folder(path) if path.is_dir() else {"": path}
    missing = [str(file) for file in found.values() if not file.is_file()]
    if missing:
        raise DataError(f"`annotations` {missing[0]} is not there. The working folder is {Path.cwd()}.")
    return [(split, file, _images_of(split, file, images)) for split, file in found.items()]


def _find_in_folder(folder: Path) -> dict[str, Path]:
    files = [*folder.glob("annotations/instances_*.json"), *folder.glob("*/_annotations.coco.json")]
    found: dict[str, Path] = {}
    for file in sorted(files):
        word = file.parent.name if file.name.startswith("_") else file.stem.removeprefix("instances_")
        split = SPLIT_FOLDERS.get(word.lower().rstrip("0123456789"))
        if split in found:
            raise DataError(
                f"{found[split]} and {file} are both for {split}. Pass which to use: "
                f"`coco({{'train': …}}, …)`."
            )
        if split:
            found[split] = file
    if "train" in found:
        return found
    alone = sorted(folder.glob("*.json"))
    alone = files if len(files) == 1 else alone  # such as instances_default.json, which CVAT writes
    if len(alone) == 1 and not found:
        return {"": alone[0]}
    raise DataError(
        f"No COCO files in {folder}. Looked for annotations/instances_train….json, "
        f"train/_annotations.coco.json, and a single .json. Pass the files: "
        f"`coco({{'train': …, 'validation': …}}, images)`."
    )


def _images_of(split: str, file: Path, images) -> Path:
    if isinstance(images, Mapping):
        if split not in images:
            raise DataError(f"`images` has no folder for {split or 'train'}. Received: {sorted(images)}.")
        images = images[split]
    if images is None:
        word = file.stem.removeprefix("instances_")
        beside = file.parent.parent / word if file.parent.name == "annotations" else file.parent
        images = beside if beside.is_dir() else file.parent
    folder = Path(images).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(f"`images` {folder} must be the folder that `file_name` starts from.")
    return folder


def read_coco(files: Sequence[tuple[str, Path, Path]]) -> tuple[list[Annotated], list[str]]:
    """Read all annotations of JSON files, good or bad.

    Returns:
        What is annotated, and the class names in the order of their ids.

    Raises:
        BadAnnotationError: a file as a whole is no such JSON.
    """
    images, names = [], {}
    for split, file, folder in files:
        document = read_hostile_json(file)
        for key in ("images", "annotations", "categories"):
            if not isinstance(document, dict) or not isinstance(document.get(key), list):
                raise BadAnnotationError(file, f"must be an object with a list {key!r}, as COCO's files are")
        categories = _categories(document["categories"], file)
        names |= dict.fromkeys(categories.values())
        folder = _folder_of(document["images"], folder)
        images += _read_file(document, categories, split, str(file), folder)
    return images, list(names)


def _folder_of(listed_there: list, folder: Path) -> Path:
    """Return where the photos are: in the folder, or in `images` in it or beside `annotations`."""
    first = next((one.get("file_name") for one in listed_there if isinstance(one, dict)), None)
    try:
        first = inside(first, "`file_name`", folder)
    except BadAnnotationError:  # which is told with the image
        return folder
    if (folder / first).is_file():
        return folder
    root = folder.parent if folder.name == "annotations" else folder
    tried = (root / "images", root / "images" / "default", root)
    return next((one for one in tried if (one / first).is_file()), folder)


def _categories(listed_there: list, file: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for category in listed_there:
        try:
            number_, name = category["id"], category["name"]
        except (TypeError, KeyError):
            raise BadAnnotationError(file, f"has a category without id or name: {brief(category)}") from None
        if not _is_id(number_) or not isinstance(name, str) or number_ in found or name in found.values():
            raise BadAnnotationError(
                file, f"has a category that is no whole number with a name, or one twice: {brief(category)}"
            )
        found[number_] = name
    return {number_: found[number_] for number_ in sorted(found)}


def _is_id(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_file(
    document: dict, categories: Mapping[int, str], split: str, file: str, folder: Path
) -> list[Annotated]:
    by_image: dict[int, list[dict]] = {}
    for image in document["images"]:
        key = image.get("id") if isinstance(image, dict) else None
        if not isinstance(key, int | str) or key in by_image:
            raise BadAnnotationError(
                file, f"has an image without an id, or with that of another: {brief(image)}"
            )
        by_image[key] = []
    lost = []
    for annotation in document["annotations"]:
        key = annotation.get("image_id") if isinstance(annotation, dict) else None
        if isinstance(key, int | str) and key in by_image:
            by_image[key].append(annotation)
        else:
            lost.append(annotation)
    images = [
        _annotated(image, by_image[image["id"]], categories, split, file, folder)
        for image in document["images"]
    ]
    return images + [_lost(annotation, split, file) for annotation in lost]


def _lost(annotation, split: str, file: str) -> Annotated:
    what = annotation.get("image_id") if isinstance(annotation, dict) else annotation
    reason = f"{_called(annotation)} is of the image {brief(what)}, which the file does not list"
    return unusable(file, file, file, reason, split)


def _annotated(
    image: dict,
    annotations: list[dict],
    categories: Mapping[int, str],
    split: str,
    file: str,
    folder: Path,
) -> Annotated:
    try:
        name = inside(image.get("file_name"), f"`file_name` of image {brief(image['id'])}", file)
        size = _size(image, file)
    except BadImageError as error:
        return unusable(file, f"image {brief(image['id'])}", file, error.reason, split)
    boxes, labels, faults = np.zeros((len(annotations), 4)), [], {}
    for index, annotation in enumerate(annotations):
        category = annotation.get("category_id")
        labels.append(categories.get(category) if _is_id(category) else None)
        try:
            boxes[index] = _box(annotation.get("bbox"), file)
            if "area" in annotation:
                number(annotation["area"], "`area`", file, most=LARGEST_NUMBER**2)
        except BadAnnotationError as error:
            faults[index] = Fault(error.reason)
        if labels[-1] is None:
            labels[-1] = ""
            reason = f"has the category {brief(category)}, which the file does not list"
            faults.setdefault(index, Fault(reason, "class"))
        if reason := segment_fault(annotation.get("segmentation"), size):
            faults.setdefault(index, Fault(reason))
    segments = tuple(annotation.get("segmentation") or None for annotation in annotations)
    return Annotated(
        source=os.path.join(folder, name),
        name=name if not split else f"{folder.name}/{name}",
        file=file,
        boxes=boxes,
        labels=labels,
        objects=[f"{_called(one)} ({label or '?'})" for one, label in zip(annotations, labels, strict=True)],
        size=size,
        crowd=np.array([bool(one.get("iscrowd")) for one in annotations], bool),
        difficult=np.array([bool(one.get("difficult")) for one in annotations], bool),
        segments=segments if any(segments) else None,
        extras=tuple({k: v for k, v in one.items() if k not in _OWN} for one in annotations),
        split=split,
        faults=faults,
    )


def _called(annotation) -> str:
    return (
        f"annotation {brief(annotation.get('id', '?'))}" if isinstance(annotation, dict) else "an annotation"
    )


def _size(image: dict, file: str) -> tuple[int, int] | None:
    if not image.get("width") and not image.get("height"):
        return None
    what = f"of image {brief(image['id'])}"
    return int(number(image.get("height"), f"`height` {what}", file)), int(
        number(image.get("width"), f"`width` {what}", file)
    )


def _box(box, file: str) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4:
        raise BadAnnotationError(file, f"has no `bbox` of four numbers. Received: {brief(box)}")
    x, y, width, height = (number(value, "`bbox`", file) for value in box)
    return x, y, x + width, y + height


def write_coco(data: VisionData, folder: str | os.PathLike) -> Path:
    """Write photos and boxes as COCO: `annotations/instances_train.json`, `train/…`, and so on.

    Files of photos are copied as they are. Crowds, outlines and areas are written; so are VOC's mark
    `difficult` and what else the annotations say, as further keys.

    Args:
        data: with boxes.
        folder: empty, or not there yet.

    Returns:
        The folder; `coco(folder)` reads it.

    Raises:
        DataError: the data have no boxes, or there is something in the folder.
    """
    images = outgoing(data)
    root = fresh_folder(folder)
    (root / "annotations").mkdir()
    documents = {split: _empty_document(data.class_names) for split in data.splits}
    for image in images:
        write_image(image, root / SHORT[image.split])
        document = documents[image.split]
        number_ = len(document["images"]) + 1
        height, width = image.boxes.size
        document["images"].append({"id": number_, "file_name": image.file, "width": width, "height": height})
        for index in range(len(image.boxes)):
            annotation = {"id": len(document["annotations"]) + 1, "image_id": number_}
            document["annotations"].append(annotation | _annotation(image.boxes, index))
    for split, document in documents.items():
        write_json(root / "annotations" / f"instances_{SHORT[split]}.json", document)
    return root


def _empty_document(class_names: Sequence[str]) -> dict:
    categories = [{"id": i + 1, "name": name, "supercategory": ""} for i, name in enumerate(class_names)]
    return {"images": [], "annotations": [], "categories": categories}


def _annotation(boxes, index: int) -> dict:
    left, top, right, bottom = boxes.boxes[index].tolist()
    segment = boxes.segments[index] if boxes.segments is not None else None
    extras = dict(boxes.extras[index]) if boxes.extras is not None else {}
    return {
        "area": (right - left) * (bottom - top),
        **extras,
        "category_id": int(boxes.labels[index]) + 1,
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": int(boxes.crowd[index]),
        "segmentation": segment or [],
        **({"difficult": 1} if boxes.difficult[index] else {}),
    }
