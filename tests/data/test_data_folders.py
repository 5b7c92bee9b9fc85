"""Folders as people have them: layouts, names, stray files, bad files, and what is said about each."""

import inspect
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import check, image_folder
from kerasvision.data.listing import list_images
from kerasvision.data.reading import report_skipped
from kerasvision.errors import BadAnnotationError, BadImageError, DataError, KerasvisionError


def tree(root) -> list:
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def test_class_folders(class_folder):
    root = class_folder({"rose": 10, "daisy": 5, "über 花": 5})
    before = tree(root)
    data = image_folder(root, image_size=16, validation_fraction=0.2)
    assert data.task == "classify"
    assert data.class_names == ("daisy", "rose", "über 花")
    assert data.counts == {
        "train": {"daisy": 4, "rose": 8, "über 花": 4},
        "validation": {"daisy": 1, "rose": 2, "über 花": 1},
    }
    assert data.origin == str(root) and data.skipped == () and data.notes == ()
    for split, part in data.splits.items():
        for source, name, label in zip(part.sources, part.names, part.labels, strict=True):
            assert source == str(root / name) and name.split("/")[0] == data.class_names[label], split
    list(data.iterate("train"))
    assert tree(root) == before


def test_relative_folders_are_remembered_whole(class_folder, monkeypatch, tmp_path):
    class_folder({"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    data = image_folder("photos", image_size=16)
    monkeypatch.chdir("/")
    assert len(list(data.iterate("train"))) == 1


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid")]
)
def test_split_folders_are_used_as_they_are(names, class_folder, tmp_path):
    for name, count in zip(names, (6, 3, 2), strict=False):
        class_folder({"a": count, "b": count}, tmp_path / "photos" / name)
    data = image_folder(tmp_path / "photos", image_size=16, validation_fraction=0.5)
    expected = {"train": 6, "validation": 3} | ({"test": 2} if len(names) == 3 else {})
    assert {split: counts["a"] for split, counts in data.counts.items()} == expected


def test_a_missing_validation_folder_is_cut_from_training(class_folder, tmp_path):
    class_folder({"a": 10, "b": 10}, tmp_path / "photos" / "train")
    class_folder({"a": 3, "b": 3}, tmp_path / "photos" / "test")
    data = image_folder(tmp_path / "photos", image_size=16, validation_fraction=0.3)
    assert {split: counts["a"] for split, counts in data.counts.items()} == {
        "train": 7,
        "validation": 3,
        "test": 3,
    }
    assert all(name.startswith("train/") for name in data.files["validation"])


def test_classes_may_be_called_like_splits(class_folder):
    data = image_folder(class_folder({"train": 3, "bus": 3, "test": 3}), image_size=16)
    assert data.class_names == ("bus", "test", "train")


def test_deeper_folders_belong_to_their_class(class_folder, tmp_path):
    root = class_folder({"a": 2, "b": 2})
    class_folder({"2023": 2, "2024/may": 3}, root / "a")
    assert image_folder(root, image_size=16, validation_fraction=0).counts["train"] == {"a": 7, "b": 2}


def test_what_systems_leave_behind_does_not_count(class_folder, capsys, monkeypatch):
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    root = class_folder({"a": 3, "b": 3})
    for name in (".DS_Store", "Thumbs.db", "a/._000.png", "a/desktop.ini"):
        (root / name).write_bytes(b"x")
    for name in (".git", "__MACOSX", ".ipynb_checkpoints"):
        class_folder({"a": 1}, root / name)
    for name in ("a/notes.txt", "b/clip.mp4", "b/more.TXT", "README"):
        (root / name).write_text("x")
    data = image_folder(root, image_size=16, validation_fraction=0)
    assert data.counts["train"] == {"a": 3, "b": 3}
    assert data.notes == ("4 files are no images and were ignored: 2 .txt, 1 without a suffix, 1 .mp4.",)
    assert "4 files are no images" in capsys.readouterr().err


def test_suffixes_in_any_case(class_folder):
    root = class_folder({"a": 2, "b": 2})
    (root / "a" / "000.png").rename(root / "a" / "000.PNG")
    assert image_folder(root, image_size=16, validation_fraction=0).counts["train"] == {"a": 2, "b": 2}


def test_links_and_loops(class_folder, tmp_path):
    root = class_folder({"a": 2, "b": 2})
    elsewhere = class_folder({"c": 3}, tmp_path / "other")
    (root / "c").symlink_to(elsewhere / "c")
    (root / "a" / "loop").symlink_to(root)
    (root / "b" / "again").symlink_to(root / "a")
    (root / "b" / "one.png").symlink_to(root / "a" / "000.png")
    data = image_folder(root, image_size=16, validation_fraction=0)
    assert data.counts["train"] == {"a": 2, "b": 3, "c": 3}
    assert data.notes == (
        "a/loop links to a folder that is read already; it was left out.",
        "b/again links to a folder that is read already; it was left out.",
    )


def test_very_long_and_odd_names(class_folder):
    root = class_folder({"k" * 250: 2, "b [x]*?": 2})
    (root / "b [x]*?" / "000.png").rename(root / "b [x]*?" / ("写" * 80 + ".png"))
    data = image_folder(root, image_size=16, validation_fraction=0)
    assert len(next(data.iterate("train"))[1]) == 4
    json.dumps(data.class_names)


def test_a_name_that_is_not_utf8(class_folder):
    root = class_folder({"a": 2, "b": 2})
    os.rename(root / "a" / "000.png", os.fsencode(root / "a") + b"/\xff\xfe.png")
    data = image_folder(root, image_size=16, validation_fraction=0)
    assert len(data.fingerprint()) == 32 and len(next(data.iterate("train"))[1]) == 4


def test_a_class_of_one_image_stays_in_training_and_is_reported(class_folder):
    data = image_folder(class_folder({"a": 1, "b": 10}), image_size=16)
    assert data.counts["train"]["a"] == 1 and data.counts["validation"]["a"] == 0
    assert data.notes == ("No image of 'a' in the validation split: too few to share, or none given.",)


def test_classes_of_one_image_leave_no_validation_split_which_is_reported(class_folder):
    data = image_folder(class_folder({"a": 1, "b": 1}), image_size=16)
    assert list(data.splits) == ["train"]
    assert data.notes == ("There is no validation split: no class has an image to spare for it.",)
    assert image_folder(class_folder({}), image_size=16, validation_fraction=0).notes == ()


def test_names_are_normalised(class_folder):
    data = image_folder(class_folder({"Cafe\u0301": 2, "b": 2}), image_size=16)
    assert data.class_names == ("Caf\u00e9", "b")


def spoil(root) -> dict[str, str]:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(root / "a" / "cut.jpg")
    (root / "a" / "cut.jpg").write_bytes((root / "a" / "cut.jpg").read_bytes()[:900])
    (root / "a" / "text.jpg").write_text("hello")
    (root / "b" / "empty.png").write_bytes(b"")
    (root / "c").mkdir()
    (root / "c" / "gone.png").symlink_to(root / "nowhere.png")
    return {"a/cut.jpg": "cut off", "a/text.jpg": "text", "b/empty.png": "empty", "c/gone.png": "broken link"}


@pytest.mark.parametrize(
    ("images", "annotations", "said"),
    [(1, 0, "1 image was"), (0, 3, "3 annotations were"), (2, 1, "2 images and 1 annotation were")],
)
def test_one_line_says_how_many_of_each_kind_were_skipped(images, annotations, said, capsys, monkeypatch):
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    errors = [BadImageError("a", "cut")] * images + [BadAnnotationError("b", "lost")] * annotations
    report_skipped(errors)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{said} skipped:" and len(lines) == 1 + len(errors)
    report_skipped(())
    assert not capsys.readouterr().err


@pytest.mark.parametrize("cache", [False, True])
def test_skip_lists_what_it_left_out_and_the_rest_is_right(cache, class_folder, capsys, monkeypatch):
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    root = class_folder({"a": 6, "b": 5, "d": 4})
    bad = spoil(root)
    Image.new("RGB", (9, 9)).save(root / "stray.png")
    data = image_folder(root, image_size=16, on_bad_file="skip", cache=cache, validation_fraction=0.25)
    assert data.class_names == ("a", "b", "d")
    assert {k: sum(data.counts[s][k] for s in data.splits) for k in "abd"} == {"a": 6, "b": 5, "d": 4}
    skipped = {os.path.relpath(error.path, root): error.reason for error in data.skipped}
    assert set(skipped) == {*bad, "stray.png"}
    assert all(reason in skipped[name] for name, reason in bad.items())
    assert data.notes == ("Classes left out, as they have no image: c.",)
    said = capsys.readouterr().err
    assert "5 images were skipped" in said and "a/cut.jpg" in said and "Classes left out" in said
    for split, part in data.splits.items():
        expected = np.stack([data.preprocessing.read(source) for source in part.sources])
        np.testing.assert_array_equal(data.images(split, range(len(part))), expected)
        np.testing.assert_array_equal(
            [data.class_names[label] for label in part.labels], [n[0] for n in part.names]
        )
    if cache:
        assert data.cache.filled() == 15


def test_raise_finds_bad_files_when_they_are_read(class_folder):
    root = class_folder({"a": 3, "b": 3})
    (root / "a" / "001.png").write_bytes(b"x")
    data = image_folder(root, image_size=16, validation_fraction=0)
    with pytest.raises(BadImageError, match="a/001.png"):
        list(data.iterate("train"))


def empty(root):
    root.mkdir()


def flat(root):
    root.mkdir()
    Image.new("RGB", (9, 9)).save(root / "x.png")


def only_text(root):
    (root / "a").mkdir(parents=True)
    (root / "a" / "x.txt").write_text("x")


def unreadable(make):
    def build(root, make_classes):
        make_classes({"a": 2, "b": 2})
        make(root)

    return build


def fresh(make):
    return lambda root, make_classes: make(root)


def classes(layout: dict):
    def build(root, make_classes):
        for folder, names in layout.items():
            make_classes(names, root / folder if folder else root)

    return build


def with_file(layout: dict, name: str):
    def build(root, make_classes):
        classes(layout)(root, make_classes)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(root / name)

    return build


REFUSED = {
    "not there": (fresh(lambda root: None), "is not there. The working folder is"),
    "a file": (fresh(lambda root: root.write_text("x")), "must be a folder. Received: a file"),
    "empty": (
        fresh(empty),
        "No images in .*Found: 0 images, 0 folders, 0 other files.*Images are files that end in",
    ),
    "no images": (fresh(only_text), r"Found: 0 images, 1 folder, 1 other file \(1 .txt\)"),
    "flat": (
        fresh(flat),
        "1 image in .* has no class: it lies in one folder. Make a folder for each class",
    ),
    "one class": (classes({"": {"rose": 3}}), r"at least 2 classes. Received: 1 \(rose\)"),
    "empty class": (
        unreadable(lambda root: (root / "c").mkdir()),
        'Classes without an image: c. .*on_bad_file="skip"',
    ),
    "stray image": (
        with_file({"": {"a": 2, "b": 2}}, "stray.png"),
        "1 image in .* lies beside the class folders.*stray.png",
    ),
    "stray in a split": (with_file({"train": {"a": 2, "b": 2}}, "train/stray.png"), "train/stray.png"),
    "split without classes": (with_file({"val": {"a": 2}}, "train/x.png"), "train has no class folders"),
    "two validation folders": (
        classes({"train": {"a": 2, "b": 2}, "val": {"a": 2, "b": 1}, "valid": {"a": 1, "b": 1}}),
        "are the same split: val, valid. Keep one",
    ),
    "class only in validation": (
        classes({"train": {"a": 2, "b": 2}, "val": {"a": 2, "Rose": 1}}),
        "val has classes that train lacks: Rose. A model cannot learn them",
    ),
    "one name twice": (
        classes({"": {"Caf\u00e9": 2, "Cafe\u0301": 2}}),
        "Two classes have the same name.*Merge or rename",
    ),
    "line break in a name": (classes({"": {"a\nb": 2, "c": 2}}), r"no line break.*Received: 'a\\nb'"),
    "Unicode line break": (classes({"": {"a\u2028b": 2, "c": 2}}), r"no line break.*Received: 'a\\u2028b'"),
    "class that is not UTF-8": (
        classes({"": {"caf\udce9": 2, "c": 2}}),
        r"only valid Unicode.*Received: 'caf\\udce9'. Rename it",
    ),
    "splits beside something else": (
        classes({"train": {"a": 2, "b": 2}, "test": {"a": 2, "b": 2}, "extra": {"a": 2}}),
        "has the split folders test, train beside extra.*Leave only train, val and test",
    ),
    "splits without training": (
        classes({"val": {"a": 2, "b": 2}, "test": {"a": 2, "b": 2}}),
        "has the split folders test, val without a folder `train`",
    ),
}


@pytest.mark.timeout(60)
def test_pipes_devices_and_links_to_themselves_end(class_folder):
    root = class_folder({"a": 2, "b": 2})
    os.mkfifo(root / "a" / "pipe.jpg")
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "zero.png").symlink_to("/dev/zero")
    (root / "b" / "loop.jpg").symlink_to("loop.jpg")
    data = image_folder(root, image_size=16, on_bad_file="skip")
    assert {os.path.basename(e.path): e.reason for e in data.skipped} == {
        "pipe.jpg": "is a pipe or a device, not a file",
        "zero.png": "is a pipe or a device, not a file",
        "loop.jpg": "cannot be read: Too many levels of symbolic links",
    }
    checkup = check(root)
    assert [(p.severity, len(p.cases)) for p in checkup.problems if p.kind == "unreadable"] == [("error", 3)]
    left_out = [(p.severity, len(p.cases)) for p in check(data).problems if p.kind == "unreadable"]
    assert left_out == [("note", 3)]


def test_folders_inside_each_other_do_not_exhaust_the_stack(class_folder):
    root = class_folder({"a": 2, "b": 2})
    class_folder({"/".join("d" * 400): 1}, root / "a")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        listing = list_images(root)
    finally:
        sys.setrecursionlimit(limit)
    assert len(listing.images) == 5 and len(listing.folders) == 402


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_are_refused(case, class_folder, tmp_path):
    make, message = REFUSED[case]
    root = tmp_path / "photos"
    make(root, class_folder)
    with pytest.raises(DataError, match=f"(?s){message}"):
        image_folder(root, image_size=16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_bad_file": "ignore"}, '`on_bad_file` must be "raise" or "skip". Received: \'ignore\''),
        ({"image_size": None}, "`image_size` must be one number"),
        ({"resize": "squash"}, "`resize` must be"),
        ({"validation_fraction": 1.5}, "`validation_fraction` must be at least 0 and below 1"),
        ({"batch_size": 2.5}, "`batch_size` must be a whole number"),
        ({"cache": 3}, '`cache` must be "auto", True, False or a folder. Received: 3'),
        ({"cache": True, "cache_limit": 10}, r"take .* GB, more than `cache_limit`.*cache=False"),
    ],
)
def test_bad_arguments(arguments, message, class_folder):
    with pytest.raises(KerasvisionError, match=message):
        image_folder(class_folder({"a": 2, "b": 2}), **arguments)


def test_nothing_can_be_read(class_folder):
    root = class_folder({"a": 2, "b": 2})
    for file in root.rglob("*.png"):
        file.write_bytes(b"x")
    with pytest.raises(DataError, match="None of the 4 images can be read, for example .*a/000.png"):
        image_folder(root, on_bad_file="skip")


def test_skipping_down_to_one_class(class_folder):
    root = class_folder({"a": 2, "b": 1})
    (root / "b" / "000.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"at least 2 classes. Received: 1 \(a\)"):
        image_folder(root, on_bad_file="skip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed(class_folder):
    root = class_folder({"a": 2, "b": 2})
    (root / "a").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be listed: Permission denied"):
            image_folder(root)
    finally:
        (root / "a").chmod(0o755)
