"""What the doctor says of identities: two splits, two names, too few images, very many."""

import shutil

import numpy as np
import pytest
from PIL import Image

import kerasvision as kv
from kerasvision.data import align, identity_csv, identity_folder
from kerasvision.data.alignment import TEMPLATES
from kerasvision.errors import DataError


@pytest.fixture
def portraits(tmp_path):
    """Return a function that makes a folder of pictures that are unlike each other."""
    drawn = np.random.default_rng(5)

    def make(people: dict[str, int], part: str = "") -> "kv.data":
        root = tmp_path / "faces"
        for name, count in people.items():
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for shot in range(count):
                coarse = Image.fromarray(drawn.integers(0, 256, (6, 8, 3)).astype(np.uint8))
                picture = coarse.resize((96, 72), Image.Resampling.BICUBIC)
                picture.save(root / part / name / f"{shot}.png")
        return root

    return make


HEALTHY = {"ann": 3, "ben": 3, "cem": 3, "dea": 3, "eva": 3}


def kinds(checkup) -> dict[str, str]:
    return {problem.kind: problem.severity for problem in checkup.problems}


def problem(checkup, kind: str):
    return next(one for one in checkup.problems if one.kind == kind)


def test_nothing_is_wrong(portraits):
    root = portraits(HEALTHY)
    for data in (root, identity_folder(root, image_size=32)):
        checkup = kv.data.check(data, identities=True)
        assert checkup.problems == () and checkup.summary().startswith(
            "15 images, 5 identities: ready to train"
        )
    assert "Identity" in str(checkup) and checkup.facts["Identities"] == "5"


def test_other_people_in_test_are_as_it_must_be(portraits):
    portraits({"ann": 3, "ben": 3}, "train")
    root = portraits({"cem": 3, "dea": 3}, "test")
    assert kv.data.check(root, identities=True).problems == ()
    assert "layout" in kinds(kv.data.check(root))  # as classes they make no sense


def test_an_identity_in_two_splits_is_an_error(portraits, tmp_path):
    portraits({"ann": 3, "ben": 3, "cem": 3}, "train")
    root = portraits({"ben": 2, "dea": 2, "eva": 2}, "test")
    checkup = kv.data.check(root, identities=True, clean_list=tmp_path / "clean.csv")
    assert kinds(checkup) == {"identity leak": "error"} and not checkup.ok
    found = problem(checkup, "identity leak")
    assert found.message.startswith("1 identity is in more than one split: ben.")
    assert found.cases[0].files == ("train/ben/0.png", "test/ben/0.png")
    assert found.cases[0].note == "ben: train and test"
    with pytest.raises(DataError, match="'ben'"):
        identity_folder(root, image_size=32)
    clean = identity_csv(tmp_path / "clean.csv", image_size=32, by_identity_split=(1, 0))
    assert {split: len(part) for split, part in clean.splits.items()} == {"train": 6, "test": 6}
    table = tmp_path / "faces.csv"
    table.write_text(
        f"path,identity,split\n{root}/train/ann/0.png,ann,train\n{root}/train/ann/1.png,ann,test\n"
    )
    assert kinds(kv.data.check(table, identities=True))["identity leak"] == "error"


def test_one_photo_under_two_names(portraits):
    root = portraits(HEALTHY)
    shutil.copy(root / "ann/0.png", root / "ben/copy.png")
    Image.open(root / "cem/1.png").save(root / "dea/copy.jpg", quality=60)
    checkup = kv.data.check(root, identities=True)
    assert kinds(checkup) == {"two names": "error", "near two names": "warning"}
    found = problem(checkup, "two names")
    assert "1 pair of identities has the same photo: ann and ben." in found.message
    assert set(found.files) == {"ann/0.png", "ben/copy.png"} and found.cases[0].note == "ann / ben: 2 images"
    assert set(problem(checkup, "near two names").files) == {"cem/1.png", "dea/copy.jpg"}


def test_twins_across_splits(portraits):
    portraits({"ann": 3, "ben": 3}, "train")
    root = portraits({"cem": 3, "dea": 3}, "test")
    shutil.copy(root / "train/ann/0.png", root / "test/dea/copy.png")
    checkup = kv.data.check(root, identities=True)
    assert kinds(checkup) == {"leak": "error", "two names": "error"}
    assert set(problem(checkup, "leak").files) == {"train/ann/0.png", "test/dea/copy.png"}


def test_single_photos_and_copies(portraits):
    root = portraits(HEALTHY | {"solo": 1, "one": 1})
    shutil.copy(root / "ann/0.png", root / "ann/copy.png")
    checkup = kv.data.check(root, identities=True)
    assert kinds(checkup) == {"duplicates": "warning", "single image": "warning"}
    assert "2 of 7 identities have one image only: one, solo." in problem(checkup, "single image").message
    found = problem(checkup, "duplicates")
    assert "1 image is a copy of another one in the same identity." in found.message
    assert "validation" not in found.advice  # which is cut by identity: no copies on both sides


def test_near_copies_of_an_identity_are_easy_pairs(portraits, tmp_path):
    root, clean = portraits(HEALTHY), tmp_path / "clean.csv"
    Image.open(root / "cem/1.png").save(root / "cem/copy.jpg", quality=60)
    checkup = kv.data.check(root, identities=True, clean_list=clean)
    assert kinds(checkup) == {"near duplicates": "warning"}
    assert "Near copies are easy pairs" in checkup.problems[0].advice
    assert len(clean.read_text().splitlines()) == 1 + 15
    assert kv.data.check(root, identities=True, near_duplicates=False, clean_list=clean).ok
    assert len(clean.read_text().splitlines()) == 1 + 16


def test_very_unbalanced(portraits):
    checkup = kv.data.check(portraits(HEALTHY | {"star": 30}), identities=True)
    assert kinds(checkup) == {"imbalance": "warning"}
    assert "star (30)" in checkup.problems[0].message


def test_empty_stray_unreadable_and_alone(portraits):
    root = portraits({"ann": 3, "Ann": 2, "ben": 1})
    (root / "nobody").mkdir()
    shutil.copy(root / "ann/0.png", root / "stray.png")
    (root / "ben/0.png").write_bytes(b"none")
    found = kinds(kv.data.check(root, identities=True, near_duplicates=False))
    assert found["empty identity"] == found["no identity"] == found["unreadable"] == "error"
    assert found["alike names"] == "warning"
    shutil.rmtree(root)
    assert kinds(kv.data.check(portraits({"ann": 3}), identities=True)) == {"few identities": "error"}


def test_aligned_faces_are_looked_at(portraits, tmp_path):
    root = portraits(HEALTHY)
    names = [f"{name}/{shot}.png" for name in HEALTHY for shot in range(3)]
    landmarks = {name: TEMPLATES["arcface"] * 0.6 for name in names}
    data = identity_folder(root, image_size=48, landmarks=landmarks)
    assert kv.data.check(data).problems == ()
    landmarks["eva/2.png"] = (
        landmarks["eva/2.png"] + 500
    )  # beside the photo, which is seen when it is cut out
    data = identity_folder(root, image_size=48, landmarks=landmarks)
    checkup = kv.data.check(data, page=tmp_path / "page.html")
    assert problem(checkup, "unreadable").files == ("eva/2.png",)
    assert "lie beside it" in problem(checkup, "unreadable").cases[0].note
    assert "per identity" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="lie beside it"):
        align(str(root / "eva/2.png"), landmarks["eva/2.png"])


def test_identities_that_are_checked_as_classes(portraits, tmp_path):
    portraits({"ann": 2, "ben": 2}, "train")
    root = portraits({"cem": 2, "dea": 2}, "val")
    clean = tmp_path / "clean.csv"
    assert kv.data.check(root, identities=True, clean_list=clean).ok
    assert "check --identities" in problem(kv.data.check(root), "layout").message
    with pytest.raises(DataError, match=r"identity is for embedders: .*check --identities"):
        kv.data.check(clean)
    portraits({"cem": 2}, "train")  # a class that is in one split only: no identities
    assert "--identities" not in problem(kv.data.check(root), "layout").message
