"""tensorflow-datasets, with builders that are made here and download nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import from_tfds
from kerasvision.data.datasets import PackedImages
from kerasvision.data.loading import usable_cores
from kerasvision.errors import BadAnnotationError, DataError

tfds = pytest.importorskip("tensorflow_datasets")
COUNTS = {"train": 12, "validation": 6, "test": 3}


def pixels(split: str, i: int) -> np.ndarray:
    rng = np.random.default_rng((len(split), i))
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return np.asarray(coarse.resize((40, 30), Image.Resampling.BICUBIC))


def encode(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


class TinyPhotos(tfds.core.GeneratorBasedBuilder):
    """Small pictures of three classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
            "id": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split, count) for split, count in COUNTS.items()}

    def _generate_examples(self, split, count):
        for i in range(count):
            yield i, {"image": io.BytesIO(encode(pixels(split, i))), "label": i % 3, "id": f"{split} {i}"}


class TwoPhotos(tfds.core.GeneratorBasedBuilder):
    """Two images an example, and a split without labels."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(30, 40, 3))
        features = {"left": image, "right": image, "label": tfds.features.ClassLabel(names=["ant", "bee"])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(True), "test": self._generate_examples(False)}

    def _generate_examples(self, labelled):
        for i in range(6):
            yield i, {"left": pixels("l", i), "right": pixels("ri", i), "label": i % 2 if labelled else -1}


BOXED = {"train": 8, "val": 4, "test": 3}
ANIMALS = ("ant", "bee", "cat")


def objects_of(split: str, i: int) -> list[tuple[tuple[int, int, int, int], int]]:
    """Return xyxy pixels and class of each object on a photo of 40 x 30; every fourth photo has none."""
    rng = np.random.default_rng((7, len(split), i))
    corners = [np.sort(rng.choice(30, (2, 2), replace=False), axis=0) for _ in range(i % 4)]
    return [
        ((*map(int, c.ravel()),), int(rng.integers(3))) for c in corners if (np.diff(c, axis=0) > 0).all()
    ]


def in_shares(box) -> tfds.features.BBox:
    return tfds.features.BBox(xmin=box[0] / 40, ymin=box[1] / 30, xmax=box[2] / 40, ymax=box[3] / 30)


class TinyBoxes(tfds.core.GeneratorBasedBuilder):
    """Objects as Pascal VOC has them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "objects": tfds.features.Sequence(
                {
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(names=ANIMALS),
                    "is_difficult": np.bool_,
                    "is_crowd": np.bool_,
                }
            ),
            "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=ANIMALS)),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        splits = {split: self._generate_examples(split, count) for split, count in BOXED.items()}
        return splits | {"broken": self._broken(), "unlabelled": self._without_objects()}

    def _generate_examples(self, split, count):
        for i in range(count):
            objects = [
                {"bbox": in_shares(box), "label": label, "is_difficult": n == 1, "is_crowd": n == 2}
                for n, (box, label) in enumerate(objects_of(split, i))
            ]
            image = io.BytesIO(encode(pixels(split, i)))
            yield i, {"image": image, "objects": objects, "labels": [one["label"] for one in objects]}

    def _broken(self):
        """One good box and one without size, an object without class, and a good one."""
        for i, objects in enumerate(([(4, 5, 9, 10), (3, 3, 3, 9)], [(1, 2, 8, 9)], [(1, 2, 8, 9)])):
            objects = [
                {"bbox": in_shares(box), "label": -1 if i == 1 else i, "is_difficult": 0, "is_crowd": 0}
                for box in objects
            ]
            yield i, {"image": io.BytesIO(encode(pixels("broken", i))), "objects": objects, "labels": []}

    def _without_objects(self):
        for i in range(2):
            yield i, {"image": io.BytesIO(encode(pixels("unlabelled", i))), "objects": [], "labels": []}


class TinyFaces(tfds.core.GeneratorBasedBuilder):
    """Objects without a class, as WIDER FACE has them, in two kinds, on images with a class."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        box = tfds.features.BBoxFeature()
        features = {
            "image": tfds.features.Image(shape=(30, 40, 3)),
            "label": tfds.features.ClassLabel(names=["indoors", "outdoors"]),
            "faces": tfds.features.Sequence({"bbox": box, "blur": np.uint8}),
            "hands": tfds.features.Sequence({"left": box, "right": box}),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(6):
            box = in_shares((i, 2, i + 9, 20))
            faces, hands = [{"bbox": box, "blur": 0}], [{"left": box, "right": box}]
            yield i, {"image": pixels("f", i), "label": i % 2, "faces": faces, "hands": hands}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyPhotos, TwoPhotos, TinyBoxes, TinyFaces):
        builder(data_dir=folder).download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return folder


def as_multiset(images, labels) -> set:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def test_all_images_come_back_exactly(prepared):
    data = from_tfds("tiny_photos", data_dir=prepared, download=False, image_size=(30, 40))
    assert data.class_names == ("ant", "bee", "cat")
    assert {split: sum(counts.values()) for split, counts in data.counts.items()} == COUNTS
    for split, count in COUNTS.items():
        got = as_multiset(data.images(split, range(count)), data.splits[split].labels)
        assert got == as_multiset([pixels(split, i) for i in range(count)], np.arange(count) % 3)
    assert data.origin == "tensorflow-datasets tiny_photos/1.0.0"


def test_the_fingerprint_tells_splits_apart_and_reads_no_image(prepared, monkeypatch):
    settings = {
        "data_dir": prepared,
        "image_size": 16,
        "validation_fraction": 0.5,
        "splits": {"train": "train"},
    }
    others = ({}, {"seed": 1}, {"splits": {"train": "test"}}, {"splits": {"train": "train", "test": "test"}})
    data = [from_tfds("tiny_photos", **settings | other) for other in (*others, {})]
    monkeypatch.setattr(PackedImages, "__getitem__", None)
    prints = [one.fingerprint() for one in data]
    assert prints[0] == prints[-1] and len(set(prints)) == len(others)


def test_packed_once_then_read_without_tensorflow_datasets(prepared, own_cache, monkeypatch):
    first = from_tfds("tiny_photos", data_dir=prepared, image_size=16)
    monkeypatch.setattr(TinyPhotos, "as_dataset", None)
    again = from_tfds("tiny_photos", data_dir=prepared, image_size=16)
    assert first.fingerprint() == again.fingerprint()
    assert len(list((own_cache / "packed").iterdir())) == 3
    source = again.splits["train"].sources[0]
    assert isinstance(source, bytes) and source.startswith(b"\x89PNG")


def test_splits_by_expression_and_cut_validation(prepared):
    data = from_tfds(
        "tiny_photos", data_dir=prepared, splits={"train": "train+test"}, validation_fraction=0.2
    )
    assert {split: sum(counts.values()) for split, counts in data.counts.items()} == {
        "train": 12,
        "validation": 3,
    }
    data = from_tfds("tiny_photos", data_dir=prepared, splits={"train": "train[:75%]", "test": "train[75%:]"})
    assert sum(data.counts["test"].values()) == 3


def test_features_by_name(prepared):
    data = from_tfds(
        "two_photos", data_dir=prepared, splits={"train": "train"}, image_key="right", image_size=(30, 40)
    )
    got = as_multiset(data.images("train", range(len(data.splits["train"]))), data.splits["train"].labels)
    assert got < as_multiset([pixels("ri", i) for i in range(6)], np.arange(6) % 2)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("no_such_photos", {}, "`name` 'no_such_photos' is no data set of tensorflow-datasets"),
        ("two_photos", {}, "`image_key` must name a feature of type Image.*It has: left, right"),
        (
            "tiny_photos",
            {"label_key": "id"},
            "`label_key` must name a feature of type ClassLabel.*Received: 'id'",
        ),
        (
            "tiny_photos",
            {"splits": {"test": "test"}},
            "with train among them.*tiny_photos.1.0.0 has: ",
        ),
        (
            "tiny_photos",
            {"splits": {"train": "trian"}},
            "`splits` asks for 'trian' as train, which is no split",
        ),
        ("tiny_photos", {"splits": {"train": "train[:0]"}}, r"The split 'train\[:0\]' .* is empty"),
        ("two_photos", {"image_key": "left"}, "The test split of .* has images without a class"),
        ("tiny_photos", {"task": "detect"}, r"`boxes_key` must name .* It has: none \(all features: image"),
        ("tiny_photos", {"task": "boxes"}, '`task` must be "classify", "detect" or "segment". Rec.*boxes'),
        ("tiny_photos", {"task": "segment"}, "`mask_key` must name .* image of one channel. It has: none"),
        ("tiny_photos", {"void": 0}, "`class_names` and `void` are for masks"),
        ("tiny_photos", {"on_bad_file": "skip"}, "`on_bad_file` is for boxes"),
        ("tiny_photos", {"on_bad_file": "warn"}, "`on_bad_file` must be"),
        ("tiny_boxes", {"task": "classify"}, "`label_key` must name a feature of type ClassLabel"),
        ("tiny_boxes", {"boxes_key": "labels"}, "It has: objects .*Received: 'labels'"),
        (
            "tiny_boxes",
            {"splits": {"train": "train", "test": "unlabelled"}},
            "The test split .* has no boxes",
        ),
        ("tiny_faces", {"task": "detect"}, "It has: faces, hands"),
        ("tiny_faces", {"boxes_key": "hands"}, r"several boxes or classes each \(left, right\)"),
    ],
)
def test_requests_that_are_refused(name, arguments, message, prepared):
    with pytest.raises(DataError, match=message):
        from_tfds(name, data_dir=prepared, **arguments)


def test_boxes_come_back_with_their_images(prepared):
    data = from_tfds("tiny_boxes", data_dir=prepared, download=False, image_size=(30, 40))
    assert data.task == "detect" and data.class_names == ANIMALS
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 8,
        "validation": 4,
        "test": 3,
    }
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        number = {pixels(name, i).tobytes(): i for i in range(BOXED[name])}
        images = data.images(split, range(BOXED[name]))
        for image, one in zip(images, data.splits[split].boxes, strict=True):
            wanted = objects_of(name, number.pop(image.tobytes()))
            assert one.size == (30, 40)
            np.testing.assert_allclose(one.boxes, np.reshape([box for box, _ in wanted], (-1, 4)), atol=1e-5)
            assert one.labels.tolist() == [label for _, label in wanted]
            assert one.difficult.tolist() == [n == 1 for n in range(len(wanted))]
            assert one.crowd.tolist() == [n == 2 for n in range(len(wanted))]
        assert not number
    assert sum(len(one) for one in data.splits["train"].boxes) > 5


def test_boxes_are_packed_once_and_found_in_batches_at_any_size(prepared, own_cache, monkeypatch):
    first = from_tfds("tiny_boxes", data_dir=prepared, image_size=(60, 20), cache=True)
    monkeypatch.setattr(TinyBoxes, "as_dataset", None)
    again = from_tfds("tiny_boxes", data_dir=prepared, image_size=(60, 20))
    assert first.fingerprint() == again.fingerprint() and first.cache is not None
    for data in (first, again):
        for split in data.splits:
            ((images, targets),) = data.iterate(split, batch_size=8)
            assert images.shape[1:] == (60, 20, 3) and targets["boxes"].shape[2] == 4
            for one, boxes, classes in zip(
                data.splits[split].boxes, targets["boxes"], targets["classes"], strict=True
            ):
                np.testing.assert_allclose(boxes[: len(one)], one.boxes * [0.5, 2, 0.5, 2], atol=1e-4)
                assert classes.tolist() == [*one.labels, *[-1] * (len(classes) - len(one))]


def test_boxes_that_cannot_be_used_raise_or_are_skipped(prepared):
    settings = {"data_dir": prepared, "splits": {"train": "broken"}, "validation_fraction": 0}
    with pytest.raises(BadAnnotationError, match=r"tiny_boxes/1.0.0 #\d.*has no.*, and 1 more problem"):
        from_tfds("tiny_boxes", **settings)
    data = from_tfds("tiny_boxes", **settings, on_bad_file="skip")
    assert sorted(len(one) for one in data.splits["train"].boxes) == [1, 1]
    reasons = sorted(error.reason for error in data.skipped)
    assert len(reasons) == 3 and "has no box that can be used" in reasons[0]
    assert reasons[1] == "object 1 (no class) has no class (label -1)"
    assert reasons[2] == "object 2 (ant) has no size (0 x 6 pixels)"
    np.testing.assert_allclose(
        sorted(one.boxes[0].tolist() for one in data.splits["train"].boxes),
        [[1, 2, 8, 9], [4, 5, 9, 10]],
        atol=1e-5,
    )


def test_objects_without_a_class_are_of_one(prepared):
    data = from_tfds("tiny_faces", data_dir=prepared, boxes_key="faces", image_size=(30, 40))
    assert data.class_names == ("faces",) and sum(len(part) for part in data.splits.values()) == 6
    boxes = np.concatenate([one.boxes for part in data.splits.values() for one in part.boxes])
    np.testing.assert_allclose(
        boxes[np.argsort(boxes[:, 0])], [[i, 2, i + 9, 20] for i in range(6)], atol=1e-5
    )
    assert from_tfds("tiny_faces", data_dir=prepared).task == "classify"


def test_images_with_boxes_are_read_one_at_a_time(prepared, monkeypatch):
    """Opening a data set holds no image: each is let go before the next is asked for."""
    read, alive, most = PackedImages.__getitem__, [], []

    class Counted(bytes):
        def __del__(self):
            alive.pop()

    def counted(self, index):
        alive.append(0)
        most.append(len(alive))
        return Counted(read(self, index))

    monkeypatch.setattr(PackedImages, "__getitem__", counted)
    data = from_tfds("tiny_boxes", data_dir=prepared, on_bad_file="skip", cache=False)
    assert len(most) >= 2 * sum(BOXED.values()) and max(most) <= usable_cores()
    assert not alive and not data.skipped


def test_not_prepared(tmp_path):
    with pytest.raises(DataError, match="is not prepared in .*download=True"):
        from_tfds("tiny_photos", data_dir=tmp_path, download=False)
