"""Files of pairs in the form of LFW, by hand; the folder that goes with them."""

import numpy as np
import pytest

from kerasvision.data import lfw_folder, read_pairs
from kerasvision.errors import DataError
from kerasvision.metrics import lfw_protocol

# Two folds of two pairs of each kind.
PAIRS = """2\t2
Ann_Bo\t1\t2
Cem\t1\t3
Ann_Bo\t1\tCem\t2
Dea\t1\tAnn_Bo\t3
Dea\t1\t2
Cem\t2\t3
Dea\t2\tCem\t1
Cem\t3\tAnn_Bo\t2
"""


@pytest.fixture
def pairs_file(tmp_path):
    def write(text: str = PAIRS):
        path = tmp_path / "pairs.txt"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def lfw(class_folder, tmp_path):
    root = class_folder({"Ann_Bo": 3, "Cem": 3, "Dea": 2, "Eva": 2, "Fin": 2, "Gil": 1, "Hu": 2})
    for person in root.iterdir():
        for number, photo in enumerate(sorted(person.iterdir()), 1):
            photo.rename(person / f"{person.name}_{number:04d}.png")
    return root


def test_both_kinds_of_lines(pairs_file):
    pairs = read_pairs(pairs_file())
    assert len(pairs) == 8
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4
    assert pairs.lines.tolist() == list(range(2, 10))
    assert (pairs.first[0], pairs.second[0]) == ("Ann_Bo/Ann_Bo_0001", "Ann_Bo/Ann_Bo_0002")
    assert (pairs.first[3], pairs.second[3]) == ("Dea/Dea_0001", "Ann_Bo/Ann_Bo_0003")
    assert pairs.people == {"Ann_Bo", "Cem", "Dea"}


def test_one_fold_of_development(pairs_file):
    pairs = read_pairs(pairs_file("2\n" + "\n".join(PAIRS.splitlines()[1:5]) + "\n\n"))
    assert pairs.fold.tolist() == [0] * 4 and pairs.same.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"line 1: the first line must be .* Received: nothing"),
        ("ten\t2\n", r"line 1: the first line must be"),
        (PAIRS.replace("2\t2\n", ""), r"line 1: the first line must be .* 'Ann_Bo 1 2'"),
        (PAIRS.replace("Cem\t1\t3", "Cem\t1"), r"line 3: a pair is written .* 'Cem 1'"),
        (PAIRS.replace("Cem\t1\t3", "Cem\tone\t3"), r"line 3: a pair is written"),
        (PAIRS.replace("Cem\t1\t3", "Cem\t0\t3"), r"line 3: .* with numbers from 1"),
        (PAIRS.replace("Cem\t1\t3", "Cem\t3\t3"), r"line 3: a photo is compared with itself"),
        (PAIRS.replace("Ann_Bo\t1\tCem\t2", "Cem\t1\tCem\t2"), r"line 4: both photos are of 'Cem'"),
        ("\n".join(PAIRS.splitlines()[:-1]), r"must have 8 pairs .* Received: 7"),
        (PAIRS + "Cem\t1\t2\n", r"must have 8 pairs .* Received: 9"),
        (
            PAIRS.replace("Cem\t2\t3", "Cem\t2\tDea\t1"),
            r"lines 6 to 9: fold 2 must have .* Received: 1 and 3",
        ),
    ],
)
def test_bad_lines_are_named(pairs_file, text, words):
    with pytest.raises(DataError, match=words) as caught:
        read_pairs(pairs_file(text))
    assert "pairs.txt" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="is not there"):
        read_pairs(tmp_path / "pairs.txt")


def test_people_on_pairs_are_the_test(lfw, pairs_file):
    data = lfw_folder(lfw, pairs_file(), image_size=16, by_identity_split=(0.5, 0.5))
    who = {split: {name.split("/")[0] for name in names} for split, names in data.files.items()}
    assert who["test"] == {"Ann_Bo", "Cem", "Dea"} and who["train"] | who["validation"] == {
        "Eva",
        "Fin",
        "Gil",
        "Hu",
    }
    assert {split: len(people) for split, people in who.items()} == {"train": 2, "validation": 2, "test": 3}
    pairs = read_pairs(pairs_file())
    places = pairs.indices(data.files["test"])
    assert places.shape == (8, 2)
    for (a, b), first, second, same in zip(places, pairs.first, pairs.second, pairs.same, strict=True):
        assert data.files["test"][a] == first + ".png" and data.files["test"][b] == second + ".png"
        labels = data.splits["test"].labels
        assert (labels[a] == labels[b]) == same


def test_without_pairs_it_is_a_folder_of_people(lfw):
    assert set(lfw_folder(lfw, image_size=16).splits) == {"train", "validation"}


def test_everyone_on_pairs(lfw, pairs_file):
    for name in ("Eva", "Fin", "Gil", "Hu"):
        for photo in (lfw / name).iterdir():
            photo.unlink()
        (lfw / name).rmdir()
    data = lfw_folder(lfw, read_pairs(pairs_file()), image_size=16)
    assert set(data.splits) == {"test"} and len(data.splits["test"]) == 8
    assert data.notes == ("There is no validation split: no identity is left for it.",)


def test_a_photo_of_a_pair_is_missing(lfw, pairs_file):
    (lfw / "Dea" / "Dea_0002.png").unlink()
    with pytest.raises(DataError, match=r"line 6: the photo Dea/Dea_0002 is not among the 14 images"):
        lfw_folder(lfw, pairs_file(), image_size=16)


def test_a_photo_is_there_twice(lfw, pairs_file):
    photo = lfw / "Dea" / "Dea_0002.png"
    (lfw / "Dea" / "Dea_0002.PNG.bmp").write_bytes(photo.read_bytes())
    pairs = read_pairs(pairs_file())
    names = [f"{name}.jpg" for name in {*pairs.first, *pairs.second}]
    assert pairs.indices(names).shape == (8, 2)
    with pytest.raises(DataError, match=r"Dea/Dea_0001.jpg and Dea/Dea_0001.png are both"):
        pairs.indices([*sorted(names), "Dea/Dea_0001.png"])


def test_pairs_and_split_folders(class_folder, tmp_path, pairs_file):
    for split, people in {"train": ["a", "b"], "test": ["c", "d"]}.items():
        class_folder(dict.fromkeys(people, 2), tmp_path / "faces" / split)
    with pytest.raises(DataError, match="`pairs` says who is in the test split, but so do the folders"):
        lfw_folder(tmp_path / "faces", pairs_file())


def test_accuracy_of_known_distances(pairs_file):
    """The best threshold of both folds is 0.5: all of the first are right, of the second 0.95 is not."""
    pairs = read_pairs(pairs_file())
    distances = np.array([0.1, 0.2, 0.8, 0.9, 0.3, 0.95, 0.7, 0.85])
    accuracy = lfw_protocol(distances, pairs.same, pairs.fold)
    np.testing.assert_allclose(accuracy.thresholds, [0.5, 0.5])
    np.testing.assert_allclose(accuracy.accuracies, [1.0, 0.75])
    np.testing.assert_allclose((accuracy.mean, accuracy.standard_error), (0.875, 0.125))
