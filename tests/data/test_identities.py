"""Images of identities: splits that no identity is twice in, from folders, tables, arrays and data sets."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import check, identity_arrays, identity_csv, identity_folder, identity_tfds, shapes
from kerasvision.data.identities import split_fractions
from kerasvision.data.splits import identity_split
from kerasvision.errors import BadImageError, DataError

PEOPLE = {f"person {number}": 3 for number in range(10)}


def identities(data) -> dict[str, set[str]]:
    return {
        split: {data.class_names[label] for label in part.labels.tolist()}
        for split, part in data.splits.items()
    }


def assert_apart(data) -> None:
    groups = list(identities(data).values())
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_a_folder_of_people(class_folder):
    root = class_folder(PEOPLE)
    data = identity_folder(root, image_size=16)
    assert data.task == "embed" and data.class_names == tuple(sorted(PEOPLE)) and data.notes == ()
    assert {split: len(who) for split, who in identities(data).items()} == {"train": 8, "validation": 2}
    assert_apart(data)
    for part in data.splits.values():
        for name, label in zip(part.names, part.labels, strict=True):
            assert name.split("/")[0] == data.class_names[label]
    images, labels = next(data.iterate("validation", order=[5, 0]))
    assert images.shape == (2, 16, 16, 3) and labels.dtype == np.int32
    np.testing.assert_array_equal(images[0], data.preprocessing.read(data.splits["validation"].sources[5]))
    assert data.images("train", [0, 1, 23]).shape == (3, 16, 16, 3)
    assert {name for name, count in data.counts["validation"].items() if count} == identities(data)[
        "validation"
    ]
    assert "validation: 6 images of 2 identities" in repr(data)
    assert "person 0 0" not in repr(data)  # those of other splits are not listed


def test_the_seed_decides_who_is_held_out(class_folder):
    root = class_folder(PEOPLE)
    same, again, other = (identity_folder(root, image_size=16, seed=seed) for seed in (1, 1, 2))
    assert identities(same) == identities(again) != identities(other)
    assert same.fingerprint() == again.fingerprint() != other.fingerprint()


def test_split_folders_hold_other_people(class_folder, tmp_path):
    for split, people in {
        "train": ["ann", "ben", "cem", "dea"],
        "val": ["eva", "fin"],
        "test": ["gil"],
    }.items():
        class_folder(dict.fromkeys(people, 2), tmp_path / "faces" / split)
    data = identity_folder(tmp_path / "faces", image_size=16, by_identity_split=(0.5, 0.5))
    assert identities(data) == {
        "train": {"ann", "ben", "cem", "dea"},
        "validation": {"eva", "fin"},
        "test": {"gil"},
    }
    assert data.notes == ("The test split has one identity only: there are no pairs of different ones.",)


def test_a_missing_validation_folder_is_cut_by_identity(class_folder, tmp_path):
    class_folder(PEOPLE, tmp_path / "faces" / "train")
    class_folder({"x": 2, "y": 2}, tmp_path / "faces" / "test")
    data = identity_folder(tmp_path / "faces", image_size=16, by_identity_split=(0.7, 0.3))
    assert {split: len(who) for split, who in identities(data).items()} == {
        "train": 7,
        "validation": 3,
        "test": 2,
    }
    assert_apart(data)
    assert identities(data)["test"] == {"x", "y"}


def test_an_identity_in_two_splits_is_refused_by_name(class_folder, tmp_path):
    class_folder({"ann": 2, "ben": 2, "cem": 2}, tmp_path / "faces" / "train")
    class_folder({"ben": 1, "dea": 2}, tmp_path / "faces" / "test")
    with pytest.raises(DataError, match=r"1 identity is in more than one split: 'ben' \(train and test\)"):
        identity_folder(tmp_path / "faces", image_size=16)


def test_bad_files(class_folder):
    root = class_folder(PEOPLE)
    (root / "person 3" / "000.png").write_bytes(b"no image")
    (root / "nobody").mkdir()
    with pytest.raises(DataError, match="without an image: nobody"):
        identity_folder(root, image_size=16)
    data = identity_folder(root, image_size=16, on_bad_file="skip")
    assert [error.path for error in data.skipped] == [str(root / "person 3" / "000.png")]
    assert "nobody" not in data.class_names and sum(map(len, data.splits.values())) == 29
    (root / "nobody").rmdir()
    with pytest.raises(BadImageError, match="000.png"):
        for split in ("train", "validation"):
            list(identity_folder(root, image_size=16).iterate(split))


def test_single_photos_are_noted(class_folder):
    data = identity_folder(class_folder(PEOPLE | {"one": 1, "single": 1}), by_identity_split=(1, 0))
    assert data.notes == ("2 identities have one image only in the train split, of 12: no pair of the same.",)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.8, 0.2), {"train": 8, "validation": 2}),
        ((0.6, 0.2, 0.2), {"train": 6, "validation": 2, "test": 2}),
        ((0.9, 0.1), {"train": 8, "validation": 2}),  # two at least: one makes no pair of different ones
        ((1, 0), {"train": 10}),
        ((0, 0, 1), {"test": 10}),
        ((0.7, 0, 0.3), {"train": 7, "test": 3}),
    ],
)
def test_shares(shares, expected):
    fractions = split_fractions(shares)
    for seed in range(5):
        parts = identity_split(np.repeat(np.arange(10), 4), fractions, seed)
        assert {name: len(part) for name, part in parts.items() if len(part)} == {
            name: 4 * count for name, count in expected.items()
        }


def test_those_with_one_image_are_shared_out_apart(rng):
    sizes = np.array([1] * 60 + [4] * 20)
    labels = rng.permutation(np.repeat(np.arange(80), sizes))
    parts = identity_split(labels, {"validation": 0.25, "test": 0.25})
    people = {name: np.unique(labels[part]) for name, part in parts.items()}
    assert {name: ((who < 60).sum(), (who >= 60).sum()) for name, who in people.items()} == {
        "train": (30, 10),
        "validation": (15, 5),
        "test": (15, 5),
    }
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(labels)))


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.2, -0.2), (1,), (0, 0.5, 0.5), "half", 0.8, None])
def test_impossible_shares(shares):
    with pytest.raises(DataError, match=r"`by_identity_split` must be .* Received"):
        split_fractions(shares)


def test_too_few_identities():
    with pytest.raises(
        DataError, match="needs 2 identities in each of train, validation, so 4 in all. Rec.*: 3"
    ):
        identity_split(np.array([0, 0, 1, 1, 2]), {"validation": 0.2})


def test_a_table(class_folder, tmp_path):
    root = class_folder(PEOPLE)
    lines = [f"{name}/{i:03d}.png,{name}" for name, count in PEOPLE.items() for i in range(count)]
    table = tmp_path / "faces.csv"
    table.write_text("\n".join(["path,identity", *lines]))
    data = identity_csv(table, folder=root, image_size=16)
    assert data.task == "embed" and identities(data) == identities(identity_folder(root, image_size=16))
    splits = ["train"] * 18 + ["val"] * 6 + ["test"] * 6
    rows = [f"{line},{split}" for line, split in zip(lines, splits, strict=True)]
    table.write_text("\n".join(["path,identity,split", *rows]))
    data = identity_csv(table, folder=root, image_size=16)
    assert {split: len(who) for split, who in identities(data).items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    rows[0] = rows[0].replace(",train", ",test")
    table.write_text("\n".join(["path,identity,split", *rows]))
    with pytest.raises(DataError, match=r"'person 0' \(train and test\)"):
        identity_csv(table, folder=root)
    table.write_text("path,label\na.png,b")
    with pytest.raises(DataError, match=r"no column 'identity'.*`path,identity`.*`identity_column`"):
        identity_csv(table)


def test_arrays(rng):
    images = rng.integers(0, 256, (30, 8, 10), np.uint8)
    data = identity_arrays(images, np.repeat(np.arange(10), 3))
    assert data.class_names == tuple("0123456789") and data.image_size == (8, 10)
    assert_apart(data)
    who = np.repeat(["ann", "ben", "cem", "dea", "eva"], 6)
    splits = np.where(np.isin(who, ["dea", "eva"]), "test", "train")
    data = identity_arrays(images, who, splits=splits, by_identity_split=(1, 0), name="faces")
    assert identities(data) == {"train": {"ann", "ben", "cem"}, "test": {"dea", "eva"}}
    np.testing.assert_array_equal(data.images("test", [0])[0, ..., 0], images[18])
    assert data.files["test"][0] == "faces #18"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": [0, 1]}, r"`labels` must have shape \(6,\)"),
        ({"labels": [0.5] * 6}, "`labels` must be .* whole numbers or text"),
        ({"labels": [0, 0, 1, 1, 2, 2], "names": ["a", "b"]}, "`labels` must be from 0 to 1"),
        ({"labels": np.zeros((6, 8, 8), int), "names": ["a", "b"]}, "one identity for each image"),
        ({"labels": [0] * 6}, "at least 2 identities"),
        ({"splits": ["train"] * 5}, r"`splits` must be \(6,\)"),
        ({"splits": ["train"] * 5 + ["val"]}, "of train, validation, test, one for each image.*'val'"),
        ({"splits": ["train"] * 5 + ["test"]}, r"'2' \(train and test\)"),
    ],
)
def test_bad_arrays(arguments, words):
    arguments = {"images": np.zeros((6, 8, 8), np.uint8), "labels": [0, 0, 1, 1, 2, 2]} | arguments
    with pytest.raises(DataError, match=words):
        identity_arrays(**arguments, by_identity_split=(1, 0))


def test_badges_are_drawn_by_identity():
    data = shapes("embed", count=60, classes=12, image_size=32, validation_fraction=0.25)
    assert data.task == "embed" and {split: len(who) for split, who in identities(data).items()} == {
        "train": 9,
        "validation": 3,
    }
    scenes = data.splits["train"].sources.items
    kinds = [
        tuple((s.kind, round(s.radius / scene.shapes[0].radius, 6)) for s in scene.shapes)
        for scene in map(scenes.scene, range(60))
    ]
    assert [kinds[i] == kinds[i % 12] for i in range(60)] == [True] * 60 and len(set(kinds)) == 12
    pictures = data.images("train", range(5))
    assert all((pictures[0] != other).any() for other in pictures[1:])
    with pytest.raises(DataError, match="`classes` must be the number of identities"):
        shapes("embed", classes=["circle", "star"])


def test_data_sets(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Faces(tfds.core.GeneratorBasedBuilder):
        """Named and numbered people."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "name": tfds.features.Text(),
                "number": np.int64,
                "score": np.float32,
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0), "test": self._generate_examples(1)}

        def _generate_examples(self, shift):
            for i in range(12):
                stream = io.BytesIO()
                Image.new("RGB", (8, 8), (20 * i, 100 * shift, 0)).save(stream, "PNG")
                stream.seek(0)
                number = i // 2 + 6 * shift
                yield i, {"image": stream, "name": f"Än {i // 2}", "number": 10 * number, "score": 0.5}

    builder = Faces(data_dir=tmp_path)
    builder.download_and_prepare()
    with pytest.raises(
        DataError, match=r"6 identities are in more than one split: 'Än \d' \(train and test\)"
    ):
        identity_tfds(builder)
    data = identity_tfds(builder, splits={"train": "train+test"}, image_size=8)
    assert (
        data.class_names == tuple(f"Än {i}" for i in range(6)) and sum(map(len, data.splits.values())) == 24
    )
    assert_apart(data)
    data = identity_tfds(builder, identity_key="number", image_size=8)
    assert data.class_names == tuple(str(10 * i) for i in range(12))
    assert {split: len(who) for split, who in identities(data).items()} == {
        "train": 4,
        "validation": 2,
        "test": 6,
    }
    part, pixels = data.splits["test"], data.images("test", range(12))[:, 0, 0]
    who = [int(data.class_names[label]) // 10 for label in part.labels]
    assert [red // 40 + 6 for red in pixels[:, 0].tolist()] == who and set(pixels[:, 1]) == {100}
    with pytest.raises(DataError, match="`identity_key` must name .* Received: 'score'"):
        identity_tfds(builder, identity_key="score")


@pytest.mark.realdata
def test_orl_faces(orl_faces):
    images, labels = orl_faces
    data = identity_arrays(images, labels, by_identity_split=(2 / 3, 0, 1 / 3), name="ORL")
    assert {split: (len(part), len(np.unique(part.labels))) for split, part in data.splits.items()} == {
        "train": (200, 20),
        "test": (100, 10),
    }
    assert_apart(data)
    np.testing.assert_array_equal(data.images("test", [5])[0, ..., 1], data.splits["test"].sources[5])
    assert check(data).ok
