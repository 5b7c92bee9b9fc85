"""tensorflow-datasets, with a builder that is made here and downloads nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import from_tfds
from kerasvision.data.datasets import PackedImages
from kerasvision.errors import DataError

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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (TinyPhotos, TwoPhotos):
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
        ("two_photos", {"image_key": "left"}, "images without a class"),
    ],
)
def test_requests_that_are_refused(name, arguments, message, prepared):
    with pytest.raises(DataError, match=message):
        from_tfds(name, data_dir=prepared, **arguments)


def test_not_prepared(tmp_path):
    with pytest.raises(DataError, match="is not prepared in .*download=True"):
        from_tfds("tiny_photos", data_dir=tmp_path, download=False)
