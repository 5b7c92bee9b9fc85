"""Data sets of tensorflow-datasets as a `VisionData`, with classes, with boxes or with masks."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data.box_datasets import BoxFeature, box_feature, has_boxes, load_packed_boxes
from kerasvision.data.box_loading import BoxSettings
from kerasvision.data.labelled_loading import LabelSettings, load_packed
from kerasvision.data.mask_datasets import load_packed_masks, mask_feature
from kerasvision.data.mask_loading import MaskSettings
from kerasvision.data.pixel_cache import DEFAULT_LIMIT, cache_home
from kerasvision.data.positional import open_for_reading, read_at
from kerasvision.data.preprocessing import Preprocessing, Resize
from kerasvision.data.reading import check_mode
from kerasvision.data.vision_data import SPLITS, VisionData
from kerasvision.errors import DataError
from kerasvision.files import explain_os_error, make_folder, read_json, write_json
from kerasvision.progress import bar

_USUAL = {"train": ("train",), "validation": ("validation", "val", "dev"), "test": ("test",)}


def from_tfds(
    name,
    *,
    splits: Mapping[str, str] | None = None,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
    image_key: str | None = None,
    label_key: str | None = None,
    boxes_key: str | None = None,
    mask_key: str | None = None,
    task: Literal["classify", "detect", "segment"] | None = None,
    class_names: Sequence[str] | Mapping[int, str] | None = None,
    void: int | str | Sequence[int] | None = "auto",
    image_size: int | tuple[int, int] = 224,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 0,
    batch_size: int = 32,
    resize: Resize = "stretch",
    cache: bool | str | os.PathLike = "auto",
    cache_limit: int = DEFAULT_LIMIT,
    on_bad_file: Literal["raise", "skip"] = "raise",
) -> VisionData:
    """Use a data set of tensorflow-datasets with classes, boxes or masks, as its encoded images.

    The images are copied once, still encoded, into one file in the cache folder, from which any of them
    can be read by number; memory stays flat however many there are.

    Args:
        name: as for `tfds.builder`, for example `"tf_flowers"` or `"imagenette/160px:1.*.*"`; or a builder.
        splits: "train", "validation", "test" -> split of the data set, such as `"train[:80%]"`. By default
            those of the same names; a validation split that is not there is cut from training.
        data_dir: where tensorflow-datasets keeps its data.
        download: whether to download and prepare what is not there.
        image_key: feature that holds the image; by default the only `Image`, for masks the only other one.
        label_key: feature that holds the class; by default the only `ClassLabel`.
        boxes_key: feature that holds a sequence of boxes and their classes, such as `"objects"`; by default
            the only one.
        mask_key: feature that holds the mask; by default the only image of one channel.
        task: `"detect"` takes the boxes, `"segment"` the masks. By default `"classify"` where each image has
            one class, and `"detect"` where there are only boxes (`"voc/2007"`, `"coco/2017"`), `"segment"`
            where there are only masks.
        class_names: for masks: names of the values 0, 1, …, or value -> name, as for `masks`, such as
            `{1: "pet", 2: "background", 3: "border"}` for `"oxford_iiit_pet"`; by default those of the
            feature, or else "class 1", … after the values that occur.
        void: for masks, as for `masks`.
        image_size: (height, width) in pixels, or one number.
        validation_fraction: share for validation, in [0, 1), if there is no such split.
        test_fraction: share for the test split, in [0, 1), if there is no such split.
        seed: of the splits and of the order of training images.
        batch_size: images in a batch.
        resize: as for `Preprocessing`.
        cache: of decoded pixels, as for `image_folder`.
        cache_limit: as for `image_folder`.
        on_bad_file: for boxes and masks: `"raise"` or `"skip"`, as for `pascal_voc`.

    Returns:
        A `VisionData` whose class names are those of the data set.

    Raises:
        DataError: no such data set or split, not prepared and `download=False`, or no single image and
            class feature; for boxes also a split that has none.
        BadAnnotationError: a box has no size, lies outside of its image or has no class; a mask has another
            size than its image or values that are no class.
    """
    Preprocessing(image_size, resize)  # says what is wrong before anything is downloaded
    check_mode(on_bad_file)
    builder = open_builder(name, data_dir, download)
    task = _task(builder, task, label_key, boxes_key, mask_key)
    if task != "segment" and not (class_names is None and void == "auto"):
        raise DataError(f"`class_names` and `void` are for masks. Received them for the task {task!r}.")
    mask = mask_feature(builder, mask_key, image_key) if task == "segment" else None
    image_key = mask.image_key if mask else feature_named(builder, image_key, "Image", "image_key")
    chosen = choose_splits(builder, splits)
    pack = partial(packed_splits, builder, chosen, pack_home(cache))
    settings = dict(
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
    if mask:
        names = mask.names if class_names is None else class_names
        settings = MaskSettings(class_names=names, void=void, **settings)
        return _with_masks(builder, pack, mask.image_key, mask.key, settings)
    if task == "detect":
        feature = box_feature(builder, boxes_key)
        return _with_boxes(builder, partial(pack, image_key), feature, BoxSettings(**settings))
    if on_bad_file != "raise":
        raise DataError(
            "`on_bad_file` is for boxes and masks. Images with classes are read as the data set has them."
        )
    label_key = feature_named(builder, label_key, "ClassLabel", "label_key")
    return _with_classes(builder, partial(pack, image_key), label_key, LabelSettings(**settings))


def _with_boxes(builder, pack: Callable, feature: BoxFeature, settings: BoxSettings) -> VisionData:
    sources, tables = pack(feature.key, feature.columns)
    origin = f"tensorflow-datasets {builder.info.full_name}"
    return load_packed_boxes(sources, tables, feature.names, settings, origin, builder.info.full_name)


def _with_masks(builder, pack: Callable, image_key: str, mask_key: str, settings: MaskSettings) -> VisionData:
    photos, tables = pack(image_key, "", _nothing)
    masks, _ = pack(mask_key, "", _nothing)
    splits = np.repeat(list(tables), [len(one["there"]) for one in tables.values()]).tolist()
    return load_packed_masks(photos, masks, splits, settings, builder.info.full_name)


def _nothing(example: dict) -> dict[str, np.ndarray]:
    return {"there": np.ones(1, bool)}


def _with_classes(builder, pack: Callable, label_key: str, settings: LabelSettings) -> VisionData:
    sources, tables = pack(label_key, lambda example: {"labels": np.array([example[label_key]], np.int32)})
    labels = {part: table["labels"] for part, table in tables.items()}
    check_labelled(builder, labels)
    return load_packed(
        sources,
        np.concatenate(list(labels.values())),
        settings,
        class_names=builder.info.features[label_key].names,
        given=np.repeat(list(labels), [len(one) for one in labels.values()]),
        title=builder.info.full_name,
    )


class PackedImages(Sequence):
    """Encoded images in one file, read by number.

    Args:
        file: the images, one behind the other.
        offsets: (N + 1,) int64, where each begins.
        digest: of what is in the file.
    """

    def __init__(self, file: str | os.PathLike, offsets: np.ndarray, digest: str):
        """Point at the file; it is opened on first use."""
        self.file, self.offsets, self.digest = Path(file), offsets, digest
        self.size = int(offsets[-1])
        self._lock, self._handle = threading.Lock(), None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return read_at(self._open(), end - start, start)

    def fingerprint(self) -> str:
        """Return what tells these images from others."""
        return self.digest

    def _open(self) -> int:
        with self._lock:
            if self._handle is None:
                self._handle = open_for_reading(self.file)
            return self._handle

    def __getstate__(self):
        return {"file": self.file, "offsets": self.offsets, "digest": self.digest}

    def __setstate__(self, state):
        self.__init__(**state)

    def __del__(self):
        if getattr(self, "_handle", None) is not None:
            os.close(self._handle)


class _Joined(Sequence):
    """Several sequences of packed images in a row."""

    def __init__(self, parts: Sequence[PackedImages]):
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.size = sum(part.size for part in parts)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> bytes:
        part = int(np.searchsorted(self.ends, index, side="right"))
        if index < 0 or part == len(self.parts):
            raise IndexError(index)
        return self.parts[part][index - int(self.ends[part]) + len(self.parts[part])]

    def fingerprint(self) -> str:
        return " ".join(part.fingerprint() for part in self.parts)


def open_builder(name, data_dir: str | os.PathLike | None, download: bool):
    """Return the builder of a data set, prepared.

    Raises:
        DataError: there is no such data set, or it is not prepared and `download` is False.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir) if isinstance(name, str) else name
    except tfds.core.registered.DatasetNotFoundError as error:
        raise DataError(f"`name` {name!r} is no data set of tensorflow-datasets: {error}") from None
    if not builder.info.splits:
        if not download:
            raise DataError(
                f"{builder.info.full_name} is not prepared in {builder.data_dir}. Pass "
                f"download=True, or the right `data_dir`."
            )
        builder.download_and_prepare()
    return builder


def feature_named(builder, key: str | None, kind: str, argument: str) -> str:
    """Return `key`, or the only feature of this kind.

    Raises:
        DataError: `key` is no such feature, or there is not exactly one.
    """
    features = builder.info.features
    fitting = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if key in fitting or (key is None and len(fitting) == 1):
        return key or fitting[0]
    raise DataError(
        f"`{argument}` must name a feature of type {kind} in {builder.info.full_name}. It has: "
        f"{', '.join(fitting) or 'none'} (all features: {', '.join(features)}). Received: {key!r}."
    )


def choose_splits(builder, splits: Mapping[str, str] | None) -> dict[str, str]:
    """Return the splits of the data set to use, in order of `SPLITS`.

    Raises:
        DataError: there is none for training, or one is not there or empty.
    """
    there = builder.info.splits
    if splits is None:
        splits = {part: name for part, names in _USUAL.items() for name in names if name in there}
    wrong = [part for part in splits if part not in SPLITS]
    if wrong or "train" not in splits:
        raise DataError(
            f"`splits` must be a mapping from train, validation or test to splits of the data set, with "
            f"train among them. Received: {dict(splits)}. {builder.info.full_name} has: {', '.join(there)}."
        )
    for part, split in splits.items():
        try:
            count = there[split].num_examples
        except (KeyError, ValueError, AssertionError) as error:
            raise DataError(
                f"`splits` asks for {split!r} as {part}, which is no split of {builder.info.full_name}. It "
                f"has: {', '.join(there)}; a part is written as in 'train[:80%]'. ({error})"
            ) from None
        if not count:
            raise DataError(f"The split {split!r} of {builder.info.full_name} is empty. Choose another.")
    return {part: splits[part] for part in SPLITS if part in splits}


def _task(
    builder, task: str | None, label_key: str | None, boxes_key: str | None, mask_key: str | None
) -> str:
    if task not in (None, "classify", "detect", "segment"):
        raise DataError(f'`task` must be "classify", "detect" or "segment". Received: {task!r}.')
    if task is not None:
        return task
    if mask_key is not None:
        return "segment"
    if boxes_key is not None:
        return "detect"
    kinds = [type(feature).__name__ for feature in builder.info.features.values()]
    if label_key is None and "ClassLabel" not in kinds and "LabeledImage" in kinds:
        return "segment"
    return "detect" if label_key is None and "ClassLabel" not in kinds and has_boxes(builder) else "classify"


def pack_home(cache: bool | str | os.PathLike) -> Path:
    """Return the folder where encoded images are packed."""
    return (cache_home() if cache in (True, False, "auto") else Path(cache).expanduser()) / "packed"


def check_labelled(builder, labels: Mapping[str, np.ndarray]) -> None:
    """Refuse splits that have images without a class.

    Raises:
        DataError: a label is negative.
    """
    for part, numbers in labels.items():
        if numbers.min() < 0:
            raise DataError(
                f"The {part} split of {builder.info.full_name} has images without a class (label -1). Pass "
                f"`splits` without it."
            )


def packed_splits(
    builder, chosen: Mapping[str, str], home: Path, image_key: str, target_key: str, columns: Callable
) -> tuple["_Joined", dict[str, dict[str, np.ndarray]]]:
    """Return the images of all splits in a row, and for each split what is said of them.

    Args:
        builder: of tensorflow-datasets.
        chosen: "train", "validation", "test" -> split of the data set.
        home: the folder where they are packed on first use.
        image_key: the feature of the image.
        target_key: what `columns` reads, for the name of the pack.
        columns: example -> arrays of what is said of it.
    """
    packed = {
        part: _packed(builder, split, image_key, target_key, home, columns) for part, split in chosen.items()
    }
    joined = _Joined([images for images, _ in packed.values()])
    return joined, {part: table for part, (_, table) in packed.items()}


def _packed(
    builder, split: str, image_key: str, target_key: str, home: Path, columns: Callable[[dict], dict]
) -> tuple[PackedImages, dict[str, np.ndarray]]:
    """Return the images of a split and what is said of them, packed on first use."""
    facts = f"{builder.info.full_name} {builder.data_dir} {split} {image_key} {target_key}"
    count = builder.info.splits[split].num_examples
    folder = home / hashlib.sha256(f"{facts} {count} {builder.info.dataset_size}".encode()).hexdigest()[:32]
    if not (folder / "index.json").exists():
        _pack(builder, split, image_key, columns, make_folder(folder), count)
    index = read_json(folder / "index.json")
    with np.load(folder / index["table"]) as table:
        arrays = dict(table)
    return PackedImages(folder / index["images"], arrays.pop("offsets"), index["digest"]), arrays


def _pack(builder, split: str, image_key: str, columns: Callable, folder: Path, count: int) -> None:
    """Copy the encoded images into one file; `index.json` is written last and says that all is there.

    What `columns` returns of each example is kept as arrays, one behind the other; with more than one row an
    example, `rows` says how many.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features.items()
    images = [key for key, feature in features if isinstance(feature, tfds.features.Image)]
    dataset = builder.as_dataset(
        split=split,
        decoders=dict.fromkeys(images, tfds.decode.SkipDecoding()),
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        shuffle_files=False,
    )
    digest, lengths, kept = hashlib.sha256(), [], []
    file = folder / f"images.{os.getpid()}"
    try:
        with open(file, "wb") as stream, bar(f"Packing {builder.info.full_name} {split}", count) as advance:
            for example in tfds.as_numpy(dataset):
                encoded = example[image_key]
                stream.write(encoded)
                digest.update(encoded)
                lengths.append(len(encoded))
                kept.append(columns(example))
                advance()
        table = file.with_suffix(f"{file.suffix}.npz")
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        arrays = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}
        np.savez(table, offsets=offsets, **arrays)
    except BaseException as error:  # also Ctrl-C: it may be gigabytes
        file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explain_os_error(error, file) from error
        raise
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    index = {"images": file.name, "table": table.name, "count": len(kept), "digest": digest.hexdigest()}
    write_json(folder / "index.json", index)
