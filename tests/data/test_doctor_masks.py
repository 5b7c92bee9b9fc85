"""The doctor finds every kind of problem with masks, and none where nothing is wrong."""

import io
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import (
    camvid,
    check,
    coco_masks,
    from_arrays,
    masks,
    pascal_voc_masks,
    read_masks,
    shapes,
)
from kerasvision.data.doctor.mask_exam import examine_mask, softness
from kerasvision.data.mask_coding import Stored
from kerasvision.errors import BadAnnotationError, CleanListError, DataError

SIZE = (64, 80)
NAMES = ("ground", "disc", "bar")
PALETTE = [0, 0, 0, 200, 30, 30, 30, 30, 200]
COUNT = {"train": 24, "val": 6}


def label_map(number: int) -> np.ndarray:
    """Return ground (0), a disc (1) and a bar (2) at places of their own, (64, 80) uint8."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    y, x = rng.uniform(18, 34, 2)
    found = np.where((rows - y) ** 2 + (columns - x) ** 2 < 14**2, 1, 0).astype(np.uint8)
    found[50:60, int(rng.integers(5, 30)) : 70] = 2
    return found


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    def draw(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(20, 236, (5, 6, 3), np.uint8))
        smooth = np.asarray(coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float32)
        return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)

    return [draw(number) for number in range(sum(COUNT.values()))]


@pytest.fixture(scope="module")
def healthy(photos, tmp_path_factory):
    """Photos and masks in folders of splits."""
    root, number = tmp_path_factory.mktemp("healthy") / "set", 0
    for split, count in COUNT.items():
        for part in ("images", "masks"):
            (root / part / split).mkdir(parents=True)
        for i in range(count):
            name = f"{'abcdefghijklmnopqrstuvwxyz'[i]}{split}"
            Image.fromarray(photos[number]).save(root / "images" / split / f"{name}.png")
            Image.fromarray(label_map(number)).save(root / "masks" / split / f"{name}.png")
            number += 1
    return root


@pytest.fixture
def spoilt(healthy, tmp_path):
    """A copy of the healthy folder."""
    return shutil.copytree(healthy, tmp_path / "set")


def every(root):
    return sorted((root / "masks").rglob("*.png"))


def first(root, part="masks"):
    return sorted((root / part / "train").glob("*.png"))[0]


def resave(change, which=slice(None)):
    """Return a function that changes the labels of some masks."""

    def do(root):
        for file in every(root)[which]:
            found = change(np.array(Image.open(file)))
            (found if isinstance(found, Image.Image) else Image.fromarray(found)).save(file)

    return do


def as_jpeg(root):
    file = first(root)
    Image.open(file).point(lambda value: value * 80).save(file.with_suffix(".jpg"))
    file.unlink()


def through_jpeg(found):
    packed = io.BytesIO()
    Image.fromarray(found * 80).save(packed, "JPEG", quality=90)
    return np.asarray(Image.open(packed))


def interpolated(found):
    small = Image.fromarray(found * 80).resize((40, 32), Image.Resampling.NEAREST)
    return np.asarray(small.resize(SIZE[::-1], Image.Resampling.BILINEAR))


def stray(found):
    return np.where(np.arange(found.size).reshape(found.shape) < 5, 9, found).astype(np.uint8)


def palette(colours):
    def do(found):
        image = Image.frombytes("P", found.shape[::-1], found.tobytes())
        image.putpalette(colours)
        return image

    return do


def palettes(root):
    resave(palette(PALETTE))(root)
    resave(palette([0, 0, 0, 30, 30, 200, 200, 30, 30]), slice(1))(root)


def exif(root):
    """Turn the first photo by a mark in its file; its mask stays as it is."""
    file = first(root, "images")
    mark = Image.Exif()
    mark[0x0112] = 6
    Image.open(file).save(file, exif=mark)


def copied(root):
    """The first photo once more, with the mask of the second."""
    photo, mask = first(root, "images"), every(root)[1]
    shutil.copy(photo, photo.with_name("zz.png"))
    shutil.copy(mask, first(root).with_name("zz.png"))


def blue(found):
    return np.array([[9, 9, 9], [200, 30, 30], [30, 30, 200]], np.uint8)[found]


def turned_off(found):
    return np.where(found == 2, 0, found).astype(np.uint8)


# What is done to the folder, the kind of problem, its severity, a part of its words, and others found.
CASES = {
    "no mask": (lambda root: first(root).unlink(), "no mask", "error", "1 image has no mask", set()),
    "no image": (
        lambda root: first(root, "images").unlink(), "no image", "warning", "1 mask belongs to no", set()
    ),
    "empty file": (
        lambda root: first(root).write_bytes(b""), "unreadable mask", "error", "1 mask cannot be used", set()
    ),
    "16 bits": (
        resave(lambda found: found.astype(np.uint16), slice(1)), "unreadable mask", "error", "1 mask", set()
    ),
    "transparent": (
        resave(lambda found: Image.merge("LA", 2 * [Image.fromarray(found)]), slice(1)),
        "unreadable mask", "error", "1 mask", set(),
    ),
    "JPEG": (as_jpeg, "lossy mask", "error", r"1 mask is saved with loss \(JPEG\)", set()),
    "once JPEG": (resave(through_jpeg, slice(2)), "soft mask", "error", "2 masks have soft edges", set()),
    "interpolated": (resave(interpolated, slice(2)), "soft mask", "error", "2 masks have soft", set()),
    "larger": (
        resave(lambda found: found.repeat(2, 0).repeat(2, 1), slice(1)),
        "mask size", "error", "1 mask has another size", set(),
    ),
    "turned by EXIF": (exif, "mask size", "error", "1 mask has another size", {"turned"}),
    "0 and 255": (
        resave(lambda found: np.where(found > 0, 255, 0).astype(np.uint8)),
        "binary mask", "note", "nothing but 0 and 255", set(),
    ),
    "coloured": (resave(blue), "classes", "error", "3 colours: .*which colour is which", set()),
    "photos": (
        lambda root: [shutil.copy(photo, root / "masks" / photo.relative_to(root / "images"))
                      for photo in (root / "images").rglob("*.png")],
        "classes", "error", "So many are no classes", {"soft mask"},
    ),
    "all ground": (
        resave(lambda found: found * 0), "classes", "error", "nothing but the value 0", set()
    ),
    "one of one class": (
        resave(lambda found: found * 0, slice(1)), "single class", "note", "1 mask shows one class", set()
    ),
    "void all over": (
        resave(lambda found: found * 0 + 255, slice(1)), "void mask", "warning", "1 mask is void", set()
    ),
    "much void": (
        resave(lambda found: np.where(np.arange(SIZE[1]) < 40, 255, found).astype(np.uint8)),
        "much void", "warning", "50% of all pixels", set(),
    ),
    "palettes": (palettes, "palette", "warning", "1 mask shows numbers in other colours", set()),
    "rare": (
        resave(stray, slice(1)), "rare class", "warning", r"class 9 \(5 pixels, on 1 image\)",
        {"empty class"},
    ),
    "not in validation": (
        resave(turned_off, slice(24, None)), "empty class", "warning", "no pixel in validation: class", set()
    ),
    "not in training": (
        resave(turned_off, slice(24)), "empty class", "warning", "no pixel in train: class 2", set()
    ),
    "two masks": (
        copied, "mask conflict", "warning", "1 image is there more than once", {"duplicates"}
    ),
    "leak": (
        lambda root: (
            shutil.copy(first(root, "images"), root / "images/val/copy.png"),
            shutil.copy(first(root), root / "masks/val/copy.png"),
        ),
        "leak", "error", "1 image is in more than one split", set(),
    ),
    "few": (
        lambda root: [one.unlink() for part in ("images", "masks")
                      for one in sorted((root / part / "train").iterdir())[4:]],
        "few images", "warning", "only 4 images with a mask in train", set(),
    ),
    "cut off photo": (
        lambda root: first(root, "images").write_bytes(b"\x89PNG\r\n\x1a\n"),
        "unreadable", "error", "1 file cannot be used", set(),
    ),
}  # fmt: skip


def kinds(checkup) -> set[str]:
    return {problem.kind for problem in checkup.problems}


def test_healthy_masks(healthy):
    before = {file: file.read_bytes() for file in healthy.rglob("*.png")}
    checkup = check(healthy)
    assert kinds(checkup) == set() and checkup.ok and checkup.images == 30
    assert checkup.counts == {
        "train": dict.fromkeys(("class 0", "class 1", "class 2"), 24),
        "validation": dict.fromkeys(("class 0", "class 1", "class 2"), 6),
    }
    assert checkup.facts["Masks"] == "30, 0.0% of their pixels void"
    assert checkup.summary() == "30 images, 3 classes: ready to train, nothing to complain about."
    assert before == {file: file.read_bytes() for file in healthy.rglob("*.png")}


@pytest.mark.parametrize("name", CASES)
def test_finds(spoilt, name, tmp_path):
    spoil, kind, severity, words, others = CASES[name]
    spoil(spoilt)
    checkup = check(spoilt, page=tmp_path / "page.html")
    found = {problem.kind: problem for problem in checkup.problems}
    assert kind in found, [problem.message for problem in checkup.problems]
    assert found[kind].severity == severity and set(found) - {kind} <= others
    assert re.search(words, found[kind].message), found[kind].message
    assert checkup.ok == all(problem.severity != "error" for problem in checkup.problems)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in (str(checkup), checkup._repr_html_(), json.dumps(checkup.to_dict()), page):
        assert found[kind].message[:20] in text


def test_which_files_and_why(spoilt):
    first(spoilt).unlink()
    (spoilt / "images/val/aval.png").unlink()
    file = every(spoilt)[0]
    Image.open(file).resize((40, 32)).save(file)
    exif(spoilt)
    found = {problem.kind: problem for problem in check(spoilt).problems}
    assert found["no mask"].files == ("images/train/atrain.png",)
    assert found["no image"].files == ("masks/val/aval.png",)
    assert found["mask size"].files == ("images/train/btrain.png", "masks/train/btrain.png")
    assert found["mask size"].cases[0].note == "mask 40 × 32, image 80 × 64"
    assert check(spoilt).counts["train"]["class 0"] == 23


def test_turned_photos_name_the_argument(spoilt):
    exif(spoilt)
    (problem,) = [one for one in check(spoilt).problems if one.kind == "mask size"]
    assert "EXIF turns the photo, but not its mask" in problem.cases[0].note
    assert 'mask_orientation="stored"' in problem.advice
    data = masks(spoilt / "images", spoilt / "masks", mask_orientation="stored", cache=False)
    assert kinds(check(data)) == {"turned"}


def test_the_page_shows_photo_and_mask(spoilt, tmp_path):
    resave(lambda found: found * 0, slice(1))(spoilt)
    checkup = check(spoilt, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "False" not in page and "None" not in page and "Masks: " not in page  # which do not add up
    assert page.count("<img") == 2 and "masks/train/atrain.png" in page and "Masks per class" in page
    (mask,) = [name for name in checkup.sources if name.startswith("masks")]
    assert checkup.sources[mask]().shape == (*SIZE, 3)


def test_pictures_of_masks_tell_classes_void_and_the_unknown(tmp_path, photos):
    found = label_map(0)
    found[:8], found[8:16] = 255, 40
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / folder).mkdir()
    for i in range(12):
        Image.fromarray(photos[i]).save(tmp_path / f"JPEGImages/{i}x.png")
        Image.fromarray(found if i == 0 else label_map(i)).save(tmp_path / f"SegmentationClass/{i}x.png")
    checkup = check(tmp_path)
    (problem,) = [one for one in checkup.problems if one.kind == "out of range"]
    assert problem.message.startswith("1 mask has values that stand for no class: 40")
    assert "Classes are from 0 to 20, void is 255." in problem.advice
    picture = checkup.sources[problem.files[0]]()
    assert (picture[:8] == 225).all() and (picture[8:16] == 0).all()
    assert len({tuple(pixel) for pixel in picture[16:].reshape(-1, 3).tolist()}) == 3


def test_colours_of_a_table_and_one_that_is_not_in_it(tmp_path, photos):
    for folder in ("train", "train_labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nground,9,9,9\ndisc,200,30,30\nVoid,30,30,200\n")
    for i in range(12):
        Image.fromarray(photos[i]).save(tmp_path / f"train/0001TP_{i}.png")
        Image.fromarray(blue(label_map(i))).save(tmp_path / f"train_labels/0001TP_{i}_L.png")
    checkup = check(tmp_path)
    assert kinds(checkup) == set() and checkup.counts == {"train": {"ground": 12, "disc": 12}}
    assert "A mask is called as its photo with '_L' behind it." in checkup.facts["Masks"]
    resave_one = np.array(Image.open(tmp_path / "train_labels/0001TP_3_L.png"))
    resave_one[:2] = 1, 2, 3
    Image.fromarray(resave_one).save(tmp_path / "train_labels/0001TP_3_L.png")
    (problem,) = check(tmp_path).problems
    assert problem.kind == "unknown colour" and "(1, 2, 3)" in problem.message
    assert problem.files == ("train_labels/0001TP_3_L.png",)


def test_voc_with_its_lists(tmp_path, photos):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for i in range(30):
        Image.fromarray(photos[i]).save(tmp_path / f"JPEGImages/{i}.png")
        Image.fromarray(label_map(i)).save(tmp_path / f"SegmentationClass/{i}.png")
    (tmp_path / "SegmentationClass/21.png").unlink()
    (tmp_path / "JPEGImages/22.png").unlink()
    (tmp_path / "class_names.txt").write_text("\n".join(NAMES))
    lists = {"train": range(20), "val": range(20, 28)}
    for name, entries in lists.items():
        (tmp_path / f"ImageSets/Segmentation/{name}.txt").write_text("\n".join(map(str, entries)))
    checkup = check(tmp_path)
    found = {problem.kind: problem for problem in checkup.problems}
    assert set(found) == {"no mask", "no image"}
    assert found["no mask"].files == ("JPEGImages/21.png",)
    assert found["no image"].files == ("SegmentationClass/22.png",)
    assert checkup.counts == {"train": dict.fromkeys(NAMES, 20), "validation": dict.fromkeys(NAMES, 6)}
    assert "2 masks are in no list" in checkup.facts["Masks"]
    data = pascal_voc_masks(tmp_path, on_bad_file="skip", cache=False)
    assert data.class_names == NAMES and len(data.splits["validation"]) == 6


def test_data_as_a_value(healthy):
    data = masks(healthy / "images", healthy / "masks", class_names=NAMES, cache=False)
    checkup = check(data)
    assert kinds(checkup) == set()
    assert checkup.counts == {"train": dict.fromkeys(NAMES, 24), "validation": dict.fromkeys(NAMES, 6)}


def test_what_was_left_out_is_told(spoilt):
    resave(stray, slice(1))(spoilt)
    with pytest.raises(BadAnnotationError, match="holds the value 9 on 5 pixels"):
        masks(spoilt / "images", spoilt / "masks", class_names=NAMES, cache=False)
    data = masks(spoilt / "images", spoilt / "masks", class_names=NAMES, on_bad_file="skip", cache=False)
    checkup = check(data)
    (problem,) = checkup.problems
    assert checkup.ok and problem.severity == "note" and problem.message.startswith("1 file was left out")
    assert "on_bad_file" not in problem.advice
    assert problem.kind == "unreadable" and "holds the value 9 on 5 pixels" in problem.cases[0].note


def test_drawn_scenes_and_arrays(photos):
    assert check(shapes("segment", count=60, image_size=(64, 64), seed=1)).ok
    found = [label_map(i) for i in range(20)]
    data = from_arrays(np.stack(photos[:20]), np.stack(found), NAMES, validation_fraction=0.2)
    assert kinds(check(data)) == set()
    void = np.stack([np.where(one == 1, 255, 0).astype(np.uint8) for one in found])
    data = from_arrays(np.stack(photos[:20]), void, NAMES, validation_fraction=0.2)
    problem = next(one for one in check(data).problems if one.kind == "binary mask")
    assert problem.severity == "error" and "255 is void here" in problem.message


def test_outlines_of_coco(tmp_path, photos):
    (tmp_path / "images").mkdir()
    outline = [[10, 10, 40, 10, 40, 40, 10, 40]]
    there = range(12)
    for i in there:
        Image.fromarray(photos[i]).save(tmp_path / f"images/{i}z.png")
    (tmp_path / "all.json").write_text(
        json.dumps(
            {
                "images": [{"id": i, "file_name": f"{i}z.png", "height": 64, "width": 80} for i in there],
                "categories": [{"id": 3, "name": "cat"}],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": 3, "segmentation": outline if i else []}
                    for i in there
                ],
            }
        )
    )
    data = coco_masks(tmp_path / "all.json", on_bad_file="skip", cache=False)
    checkup = check(data)
    assert kinds(checkup) == {"unreadable", "few images"}
    assert "annotation 0 (cat) has no outline" in checkup.problems[-1].cases[0].note
    assert sum(counts["cat"] for counts in checkup.counts.values()) == 11


def test_a_clean_list_is_refused(healthy, tmp_path):
    message = "`clean_list` lists images with classes. For masks load with"
    with pytest.raises(CleanListError, match=message) as refused:
        check(healthy, clean_list=tmp_path / "clean.csv")
    assert refused.value.checkup.ok and refused.value.checkup.images == 30
    assert not (tmp_path / "clean.csv").exists()
    with pytest.raises(DataError, match="must lie outside the checked folder"):
        check(healthy, page=healthy / "page.html")


@pytest.mark.parametrize("names", [("a", "zz"), ()])
def test_folders_that_cannot_be_paired(tmp_path, photos, names):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(photos[0]).save(tmp_path / "images/a.png")
    for name in names[1:]:
        Image.fromarray(label_map(0)).save(tmp_path / f"masks/{name}.png")
    with pytest.raises(DataError, match="No mask in .* has the name of a photo|No photos with masks in"):
        check(tmp_path)


def test_class_folders_are_still_classes(tmp_path, photos):
    for i, name in enumerate(("masks", "hats")):
        (tmp_path / name).mkdir()
        for j in range(15):
            Image.fromarray(photos[15 * i + j]).save(tmp_path / name / f"{j}.png")
    assert check(tmp_path).counts == {"all": {"hats": 15, "masks": 15}}


HARD = {
    "labels": label_map(3) * 80,
    "nearest": label_map(3)[::2, ::2] * 80,
    "neighbours": np.kron(np.arange(64).reshape(8, 8), np.ones((8, 8))).astype(np.uint8),
    "colours": blue(label_map(3)),
}
SOFT = {
    "bilinear": interpolated(label_map(3)),
    "JPEG": through_jpeg(label_map(3)),
    "colours": np.asarray(Image.fromarray(blue(label_map(3))).resize((120, 96), Image.Resampling.BILINEAR)),
}


@pytest.mark.parametrize("pixels", HARD.values(), ids=HARD)
def test_hard_edges(pixels):
    exam = examine_mask(Stored(pixels))
    assert not exam.soft and exam.size == pixels.shape[:2] and sum(exam.values.values()) == exam.pixels


@pytest.mark.parametrize("pixels", SOFT.values(), ids=SOFT)
def test_soft_edges(pixels):
    assert examine_mask(Stored(pixels)).soft


def test_too_few_edges_to_tell():
    assert (
        softness(np.zeros(SIZE, np.uint8)) is None and not examine_mask(Stored(np.zeros(SIZE, np.uint8))).soft
    )


@pytest.mark.realdata
def test_camvid(real_data, tmp_path):
    """The published split: one video in train and test, and a validation split of one video."""
    with zipfile.ZipFile(real_data / "camvid_180x240_q90.zip") as archive:
        archive.extractall(tmp_path / "camvid")
    checkup = check(tmp_path / "camvid", page=tmp_path / "page.html")
    found = {problem.kind: problem for problem in checkup.problems}
    assert set(found) == {"sequence leak", "narrow split", "near duplicates"} and checkup.ok
    assert checkup.problems[0].kind == "sequence leak"
    assert "0001TP: 62 in train, 62 in test" in found["sequence leak"].message
    assert "0016E5: 204 in train, 101 in validation" in found["sequence leak"].message
    cuts = found["sequence leak"].cases[0].files
    assert cuts == ("train/0001TP_008520.jpg", "test/0001TP_008550.jpg")
    assert "All 101 images of the validation split are frames of one sequence (0016E5)" in (
        found["narrow split"].message
    )
    names = read_masks(tmp_path / "camvid", cache=False).class_names
    assert tuple(checkup.counts["train"]) == names and len(names) == 11
    assert 0.02 < float(checkup.facts["Masks"].split()[1].rstrip("%")) / 100 < 0.1
    again = check(camvid(tmp_path / "camvid", cache=False))
    assert again.counts == checkup.counts and set(found) == kinds(again)
