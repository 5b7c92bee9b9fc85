"""The doctor finds every kind of problem in the right files, and none where nothing is wrong."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import kerasvision as kv
from kerasvision.data.doctor.findings import Case
from kerasvision.errors import DataError, KerasvisionError


def scene(rng, width=96, height=72):
    """Return a picture with structure of its own."""
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def healthy(tmp_path, rng):
    """Return a folder with two classes in three splits and nothing wrong."""
    root = tmp_path / "photos"
    for split, count in (("train", 20), ("val", 10), ("test", 10)):
        for name in ("lily", "rose"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                scene(rng).save(folder / f"{name}{i}.jpg", quality=92)
    return root


def contents(folder):
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def test_a_healthy_folder_has_no_problems(healthy):
    before = contents(healthy)
    checkup = kv.data.check(healthy)
    assert checkup.problems == () and checkup.ok
    assert checkup.counts["train"] == {"lily": 20, "rose": 20} and checkup.images == 80
    assert "80 images, 2 classes: ready to train, nothing to complain about." == checkup.summary()
    assert contents(healthy) == before


def copy(a, b):
    return lambda root, rng: shutil.copy(root / a, root / b)


def cut(root, rng):
    data = (root / "train/rose/rose0.jpg").read_bytes()
    (root / "train/rose/new.jpg").write_bytes(data[: len(data) // 2])


def write(path, data):
    return lambda root, rng: (root / path).write_bytes(data)


def save(path, **options):
    def do(root, rng):
        (root / path).parent.mkdir(exist_ok=True)
        scene(rng).save(root / path, **options)

    return do


def convert(path, mode):
    return lambda root, rng: scene(rng).convert(mode).save(root / path)


def sized(path, width, height):
    return lambda root, rng: scene(rng, width, height).save(root / path)


def smaller(a, b):
    return lambda root, rng: Image.open(root / a).resize((64, 48)).save(root / b, quality=60)


def same_pixels(root, rng):
    Image.open(root / "train/rose/rose0.jpg").save(root / "val/rose/new.png")
    Image.open(root / "train/rose/rose0.jpg").save(root / "train/rose/new.png", compress_level=1)


def turned(root, rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(rng).save(root / "train/rose/new.jpg", exif=exif)


def sixteen_bits(root, rng):
    Image.fromarray((rng.random((48, 48)) * 65535).astype(np.uint16)).save(root / "train/rose/new.png")


def blank(root, rng):
    Image.new("RGB", (64, 64), "white").save(root / PNG)


def fewer(root, rng):
    for i in range(3, 20):
        (root / f"train/rose/rose{i}.jpg").unlink()


NEW = "train/rose/new.jpg"
PNG = "train/rose/new.png"
R0 = "train/rose/rose0.jpg"
CASES = {
    "leak into validation": (copy(R0, "val/rose/new.jpg"), "leak", "error", {R0, "val/rose/new.jpg"}),
    "leak into test": (copy(R0, "test/rose/new.jpg"), "leak", "error", {R0, "test/rose/new.jpg"}),
    "leak under another class": (copy(R0, "val/lily/new.jpg"), "leak", "error", {R0, "val/lily/new.jpg"}),
    "leak of the same pixels": (same_pixels, "leak", "error", {R0, "val/rose/new.png", PNG}),
    "resized leak": (smaller(R0, "val/rose/new.jpg"), "near leak", "error", {R0, "val/rose/new.jpg"}),
    "two classes": (copy(R0, "train/lily/new.jpg"), "label conflict", "error", {R0, "train/lily/new.jpg"}),
    "nearly two classes": (
        smaller(R0, "train/lily/new.jpg"),
        "near label conflict",
        "warning",
        {R0, "train/lily/new.jpg"},
    ),
    "copy": (copy(R0, NEW), "duplicates", "warning", {R0, NEW}),
    "resized copy": (smaller(R0, NEW), "near duplicates", "warning", {R0, NEW}),
    "truncated": (cut, "unreadable", "error", {NEW}),
    "text": (write(NEW, b"hello"), "unreadable", "error", {NEW}),
    "empty file": (write(NEW, b""), "unreadable", "error", {NEW}),
    "zero bytes": (write(NEW, bytes(900)), "unreadable", "error", {NEW}),
    "broken link": (lambda root, rng: os.symlink("nowhere", root / NEW), "unreadable", "error", {NEW}),
    "png named jpg": (save(NEW, format="PNG"), "wrong suffix", "warning", {NEW}),
    "no suffix": (save("train/rose/new", format="JPEG"), "hidden image", "warning", {"train/rose/new"}),
    "empty class": (lambda root, rng: (root / "train/daisy").mkdir(), "empty class", "error", set()),
    "stray": (save("train/new.jpg"), "no class", "error", {"train/new.jpg"}),
    "class only in validation": (save("val/daisy/new.jpg"), "layout", "error", set()),
    "splits beside something else": (
        lambda root, rng: (root / "extra").mkdir() or scene(rng).save(root / "extra/0.jpg"),
        "layout",
        "error",
        set(),
    ),
    "class name with a line break": (
        lambda root, rng: (root / "train/ro\nse").mkdir(),
        "layout",
        "error",
        set(),
    ),
    "class names alike": (
        lambda root, rng: [(root / name / "Ro-se").mkdir() for name in ("train", "val", "test")],
        "alike names",
        "warning",
        set(),
    ),
    "few": (fewer, "few images", "warning", set()),
    "uneven": (fewer, "imbalance", "warning", set()),
    "tiny": (sized(PNG, 20, 16), "tiny", "warning", {PNG}),
    "panorama": (sized(PNG, 300, 60), "long", "warning", {PNG}),
    "blank": (
        lambda root, rng: Image.new("RGB", (64, 64), "white").save(root / PNG),
        "blank",
        "warning",
        {PNG},
    ),
    "grey": (convert(NEW, "L"), "colour mode", "note", {NEW}),
    "cmyk": (convert(NEW, "CMYK"), "colour mode", "note", {NEW}),
    "alpha": (convert(PNG, "RGBA"), "colour mode", "note", {PNG}),
    "palette": (convert(PNG, "P"), "colour mode", "note", {PNG}),
    "sixteen bits": (sixteen_bits, "colour mode", "note", {PNG}),
    "turned": (turned, "turned", "note", {NEW}),
    "loop": (
        lambda root, rng: os.symlink(root, root / "train/rose/loop"),
        "repeated link",
        "note",
        {"train/rose/loop"},
    ),
    "other file": (write("train/rose/notes.txt", b"x"), "other files", "note", set()),
}


@pytest.mark.parametrize("name", CASES)
def test_finds(healthy, rng, name):
    spoil, kind, severity, files = CASES[name]
    spoil(healthy, rng)
    before = contents(healthy)
    checkup = kv.data.check(healthy)
    found = {problem.kind: problem for problem in checkup.problems}
    assert kind in found, [problem.message for problem in checkup.problems]
    assert found[kind].severity == severity and files == set(found[kind].files)
    assert checkup.ok == all(problem.severity != "error" for problem in checkup.problems)
    for text in (str(checkup), checkup._repr_html_(), json.dumps(checkup.to_dict())):
        assert kind in text or found[kind].message.split(":")[0][:20] in text
    assert contents(healthy) == before


def test_only_what_is_wrong_is_reported(healthy, rng):
    for name in ("leak into validation", "truncated"):
        CASES[name][0](healthy, rng)
    assert [problem.kind for problem in kv.data.check(healthy).problems] == ["leak", "unreadable"]


def test_a_file_too_large_for_a_photo_is_not_read(healthy, rng):
    with open(healthy / NEW, "wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no room
    (problem,) = [p for p in kv.data.check(healthy).problems if p.kind == "unreadable"]
    assert problem.cases == (Case((NEW,), "has 1099.5 GB, more than a photo can have"),)


def test_near_duplicates_can_be_switched_off(healthy, rng):
    smaller(R0, "val/rose/new.jpg")(healthy, rng)
    assert kv.data.check(healthy, near_duplicates=False).ok


def test_class_folders_without_splits(tmp_path, rng):
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(20):
            scene(rng).save(tmp_path / "p" / name / f"{i}.jpg")
    shutil.copy(tmp_path / "p/a/0.jpg", tmp_path / "p/a/copy.jpg")
    checkup = kv.data.check(tmp_path / "p")
    assert [problem.kind for problem in checkup.problems] == ["duplicates"]
    assert "both sides" in checkup.problems[0].advice
    assert checkup.counts == {"all": {"a": 21, "b": 20}}


def test_a_flat_folder_says_that_classes_are_missing(tmp_path, rng):
    scene(rng).save(tmp_path / "a.jpg")
    checkup = kv.data.check(tmp_path)
    assert "no class" in [problem.kind for problem in checkup.problems] and not checkup.ok
    assert str(checkup) and checkup._repr_html_()


def test_one_class(tmp_path, rng):
    (tmp_path / "a").mkdir()
    scene(rng).save(tmp_path / "a/a.jpg")
    assert "one class" in [problem.kind for problem in kv.data.check(tmp_path).problems]


def test_data_that_was_cut_by_us_is_checked_across_its_splits(tmp_path, rng):
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(10):
            scene(rng).save(tmp_path / "p" / name / f"{i}.jpg")
            shutil.copy(tmp_path / "p" / name / f"{i}.jpg", tmp_path / "p" / name / f"{i}_copy.jpg")
    data = kv.data.image_folder(tmp_path / "p", image_size=32, validation_fraction=0.5, cache=False)
    leak = kv.data.check(data).problems[0]
    across = [c.files for c in leak.cases]
    assert leak.kind == "leak" and len(across) > 3
    files = {split: set(names) for split, names in data.files.items()}
    for case in across:
        assert any(f in files["train"] for f in case) and any(f in files["validation"] for f in case)


def test_arrays_can_be_checked_but_not_listed(tmp_path, rng):
    images = np.stack([np.asarray(scene(rng)) for _ in range(24)])
    images[1] = images[0]
    data = kv.data.from_arrays(images, np.arange(24) % 2, ["a", "b"], image_size=32, validation_fraction=0.0)
    assert "label conflict" in [problem.kind for problem in kv.data.check(data).problems]
    with pytest.raises(DataError, match="`clean_list` needs images in files"):
        kv.data.check(data, clean_list=tmp_path / "clean.csv")


@pytest.mark.parametrize("argument", ["page", "clean_list"])
def test_nothing_is_written_into_the_folder(healthy, tmp_path, argument):
    os.symlink(healthy / "train", tmp_path / "sideways")
    for path in (healthy / "out.csv", healthy / "new/deep/out.csv", tmp_path / "sideways/out.csv"):
        with pytest.raises(DataError, match=f"`{argument}` must lie outside the checked folder"):
            kv.data.check(healthy, **{argument: path})
    with pytest.raises(DataError, match="must be a file"):
        kv.data.check(healthy, **{argument: tmp_path})
    assert not (healthy / "new").exists()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda root: root / "nowhere", "is not there"),
        (lambda root: (root / "empty").mkdir() or root / "empty", "No images"),
        (lambda root: (root / "a.zip").write_bytes(b"") or root / "a.zip", "must be a folder"),
    ],
)
def test_errors(tmp_path, make, message):
    with pytest.raises(KerasvisionError, match=message):
        kv.data.check(make(tmp_path))


def test_the_clean_list_trains(healthy, tmp_path, rng):
    for name in ("leak into validation", "resized leak", "truncated", "two classes", "empty class"):
        CASES[name][0](healthy, rng)
    shutil.copy(healthy / "train/lily/lily1.jpg", healthy / "train/lily/same.jpg")
    shutil.copy(healthy / "val/lily/lily1.jpg", healthy / "test/lily/same.jpg")
    file = tmp_path / "out/clean.csv"
    assert not kv.data.check(healthy, clean_list=file).ok
    data = kv.data.image_csv(file, image_size=32, cache=False)
    assert {split: len(names) for split, names in data.files.items()} == {
        "train": 40 - 1,  # rose0 is in two classes; of the copies of lily1 one is kept
        "validation": 20 + 1 - 1,  # the smaller copy of rose0 is the only one left; lily1 is kept in test
        "test": 20 + 1,
    }
    again = kv.data.check(data)
    assert [problem.kind for problem in again.problems] == ["few images"] * 2  # 19 and 9 are left
    assert sum(len(labels) for _, labels in data.iterate("train")) == 39


def test_a_table_is_checked_like_its_images(healthy, tmp_path, rng):
    smaller(R0, "val/rose/new.jpg")(healthy, rng)
    table = tmp_path / "list.csv"
    kv.data.check(healthy, clean_list=table, near_duplicates=False)
    checkup = kv.data.check(table)
    assert checkup.origin == str(table) and list(checkup.counts) == ["train", "validation", "test"]
    assert [p.kind for p in checkup.problems] == ["near leak"]
    before = table.read_bytes()
    with pytest.raises(DataError, match="`clean_list` .*list.csv is the file that is checked"):
        kv.data.check(table, clean_list=tmp_path / "." / "list.csv")
    assert table.read_bytes() == before
    rows = [line.rpartition(",")[0] for line in before.decode().splitlines()]
    table.write_text("\n".join(rows))
    assert list(kv.data.check(table).counts) == ["all"]


def test_of_a_leak_the_held_out_image_is_kept(healthy, tmp_path, rng):
    copy(R0, "val/rose/new.jpg")(healthy, rng)
    smaller("train/lily/lily0.jpg", "test/lily/new.jpg")(healthy, rng)
    kv.data.check(healthy, clean_list=tmp_path / "clean.csv")
    kept = (tmp_path / "clean.csv").read_text().splitlines()
    assert kept[0] == "path,label,split" and len(kept) == 81
    assert f"{healthy}/val/rose/new.jpg,rose,validation" in kept
    assert not any(line.startswith((f"{healthy / R0},", f"{healthy}/train/lily/lily0.jpg,")) for line in kept)


def test_the_page_is_safe_and_shows_what_was_found(healthy, tmp_path, rng):
    evil = "train/rose/<script>alert(1)<b>&.jpg"
    copy(R0, evil)(healthy, rng)
    write("train/rose/<img src=x onerror=alert(1)>.jpg", b"text")(healthy, rng)
    scene(rng).save(healthy / "train/rose/\x1b[31mred\udcff.jpg", format="PNG")
    checkup = kv.data.check(healthy, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x" not in page and "&lt;script&gt;" in page
    assert len(re.findall(r'<img [^>]*src="data:image/', page)) >= 3
    assert "http" not in page.replace("http-equiv", "")
    assert "\x1b" not in str(checkup) and "red\\udcff" in str(checkup)


def test_values_are_plain(healthy, rng):
    cut(healthy, rng)
    checkup = kv.data.check(healthy)
    values = json.loads(json.dumps(checkup.to_dict()))
    assert values["ok"] is False and values["problems"][0]["cases"][0]["files"] == [NEW]
    with pytest.raises(AttributeError):
        checkup.images = 3
