"""Masks of tensorflow-datasets, with builders that are made here and download nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import from_tfds
from kerasvision.errors import BadAnnotationError, DataError

tfds = pytest.importorskip("tensorflow_datasets")
SIZE = (20, 30)
COUNTS = {"train": 8, "test": 4}
NAMES = ("ground", "road", "void")


def picture(split: str, i: int) -> np.ndarray:
    return np.random.default_rng((len(split), i)).integers(0, 256, (*SIZE, 3), np.uint8)


def values(split: str, i: int) -> np.ndarray:
    """Return 1, 2 and 3, as the masks of oxford_iiit_pet hold them."""
    coarse = np.random.default_rng((9, len(split), i)).integers(1, 4, (4, 6)).astype(np.uint8)
    return np.kron(coarse, np.ones((5, 5), np.uint8))


def encode(array: np.ndarray) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return io.BytesIO(stream.getvalue())


class PetLike(tfds.core.GeneratorBasedBuilder):
    """Photos with a class and a mask, whose values are 1 to 3."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "segmentation_mask": tfds.features.Image(
                shape=(None, None, 1), use_colormap=True, encoding_format="png"
            ),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        splits = {split: self._generate_examples(split, count) for split, count in COUNTS.items()}
        return splits | {"cropped": self._generate_examples("cropped", 3, crop=12)}

    def _generate_examples(self, split, count, crop=None):
        for i in range(count):
            mask = values(split, i)[:crop] if i == 1 else values(split, i)
            image = encode(picture(split, i))
            yield i, {"image": image, "label": i % 2, "segmentation_mask": encode(mask)}


class NamedMasks(tfds.core.GeneratorBasedBuilder):
    """Photos with masks whose values have names, two kinds of them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "photo": tfds.features.Image(shape=(*SIZE, 3), encoding_format="png"),
            "fine": tfds.features.LabeledImage(labels=list(NAMES), shape=(*SIZE, 1)),
            "coarse": tfds.features.LabeledImage(labels=list(NAMES), shape=(*SIZE, 1)),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(6):
            fine = values("fine", i)[..., None] - 1
            yield i, {"photo": picture("fine", i), "fine": fine, "coarse": np.zeros_like(fine)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (PetLike, NamedMasks):
        builder(data_dir=folder).download_and_prepare()
    return folder


PET = {1: "pet", 2: "background", 3: "border"}


def test_masks_come_back_with_their_images(prepared):
    data = from_tfds("pet_like", data_dir=prepared, task="segment", class_names=PET, image_size=SIZE)
    assert data.task == "segment" and data.class_names == ("pet", "background", "border")
    number = {picture(split, i).tobytes(): values(split, i) for split in COUNTS for i in range(COUNTS[split])}
    seen = 0
    for split, part in data.splits.items():
        for images, masks in data.iterate(split):
            for image, found in zip(images, masks, strict=True):
                np.testing.assert_array_equal(found, number[image.tobytes()] - 1)
                seen += 1
        assert part.masks.pixels.sum() == len(part) * SIZE[0] * SIZE[1] and not part.masks.void.any()
    assert seen == 12 and len(data.splits["test"]) == 4
    assert data.files["test"][0] == "pet_like/1.0.0 #8"


def test_values_name_themselves_and_may_be_void(prepared):
    data = from_tfds(
        "pet_like", data_dir=prepared, mask_key="segmentation_mask", void=[3, 255], image_size=SIZE
    )
    assert data.task == "segment" and data.class_names == ("class 1", "class 2")
    assert data.splits["train"].masks.void.sum() > 0


def test_the_class_is_still_the_task_where_nothing_is_said(prepared):
    assert from_tfds("pet_like", data_dir=prepared, image_key="image", image_size=16).task == "classify"


def test_names_of_the_feature(prepared):
    data = from_tfds("named_masks", data_dir=prepared, mask_key="fine", image_size=SIZE)
    assert data.class_names == ("ground", "road")
    assert any("'void' is taken for void" in note for note in data.notes)
    images, masks = next(data.iterate("train", batch_size=1))
    number = {picture("fine", i).tobytes(): values("fine", i) for i in range(6)}
    np.testing.assert_array_equal(masks[0], np.array([255, 0, 1, 255])[number[images[0].tobytes()]])


def test_masks_are_packed_once(prepared, monkeypatch):
    settings = {"data_dir": prepared, "task": "segment", "class_names": PET, "image_size": 16, "cache": True}
    first = from_tfds("pet_like", **settings)
    monkeypatch.setattr(PetLike, "as_dataset", None)
    again = from_tfds("pet_like", **settings)
    assert first.fingerprint() == again.fingerprint() and first.cache is not None
    np.testing.assert_array_equal(next(first.iterate("test"))[1], next(again.iterate("test"))[1])


def test_masks_that_cannot_be_used(prepared):
    settings = {"data_dir": prepared, "task": "segment", "splits": {"train": "cropped"}, "image_size": SIZE}
    with pytest.raises(BadAnnotationError, match=r"pet_like/1.0.0 mask #\d: has 30 x 12 pixels"):
        from_tfds("pet_like", class_names=PET, **settings)
    data = from_tfds("pet_like", class_names=PET, on_bad_file="skip", validation_fraction=0, **settings)
    assert len(data.splits["train"]) == 2 and len(data.skipped) == 1
    settings["splits"] = {"train": "test"}
    with pytest.raises(BadAnnotationError, match="mask #0: holds the value 3 on"):
        from_tfds("pet_like", class_names=["a", "pet", "ground"], **settings)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("named_masks", {}, r"`mask_key` must name .* one channel. It has: fine, coarse .*Received: None"),
        ("named_masks", {"mask_key": "photo"}, r"`image_key` must name .*It has: fine, coarse"),
        ("named_masks", {"mask_key": "fine", "image_key": "x"}, r"`image_key` must .*It has: photo, coarse"),
        ("pet_like", {"task": "segment", "mask_key": "label"}, "`mask_key` must name .*Received: 'label'"),
        ("pet_like", {"image_key": "image", "class_names": ["a"]}, "are for masks"),
    ],
)
def test_requests_that_are_refused(name, arguments, message, prepared):
    with pytest.raises(DataError, match=message):
        from_tfds(name, data_dir=prepared, **arguments)
