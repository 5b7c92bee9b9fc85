"""Which mask belongs to which photo: folders, lists, splits, CamVid's and Pascal VOC's layouts."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import camvid, masks, pascal_voc_masks, read_masks
from kerasvision.data.mask_pairs import find_pairs
from kerasvision.errors import BadAnnotationError, DataError

QUICK = {"image_size": 16, "cache": False}


def put(root, *names, size=(8, 12)):
    """Write files of which each has a grey value of its own; return them by name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".txt", ".md"):
            path.write_text("nothing")
            continue
        found = np.zeros(size, np.uint8)
        found[: 1 + sum(map(ord, path.stem)) % 7] = 1
        Image.fromarray(found).save(path)


def matched(found) -> dict[str, str]:
    return {pair.name: pair.mask.rpartition("/masks/")[2] or pair.mask for pair in found.pairs}


def named(*names):
    return [f"images/{name}" for name in names]


CASES = {
    "same names": (["a.jpg", "b.png"], ["a.png", "b.png"], {"a.jpg": "a.png", "b.png": "b.png"}),
    "folders inside": (
        ["x/a.jpg", "y/a.jpg"], ["x/a.png", "y/a.png"], {"x/a.jpg": "x/a.png", "y/a.jpg": "y/a.png"}
    ),
    "flat masks": (["x/a.jpg", "y/b.jpg"], ["a.png", "b.png"], {"x/a.jpg": "a.png", "y/b.jpg": "b.png"}),
    "a beginning": (
        ["a.jpg", "ba.jpg"], ["m_a.png", "m_ba.png"], {"a.jpg": "m_a.png", "ba.jpg": "m_ba.png"}
    ),
    "folders and a beginning": (["x/a.jpg"], ["x/gt-a.png"], {"x/a.jpg": "x/gt-a.png"}),
    "an ending": (["a.jpg"], ["a_mask.png"], {"a.jpg": "a_mask.png"}),
    "an ending that is part of a name": (
        ["a.jpg", "a_1.jpg"], ["a_L.png", "a_1_L.png"], {"a.jpg": "a_L.png", "a_1.jpg": "a_1_L.png"}
    ),
    "folders and an ending": (["x/a.jpg"], ["x/a-gt.png"], {"x/a.jpg": "x/a-gt.png"}),
    "spaces and dots": (["a b.1.jpg"], ["a b.1.png"], {"a b.1.jpg": "a b.1.png"}),
    "upper case suffix": (["a.JPG"], ["a.PNG"], {"a.JPG": "a.PNG"}),
    "text beside": (["a.jpg", "notes.txt"], ["a.png", "README.md"], {"a.jpg": "a.png"}),
}  # fmt: skip


@pytest.mark.parametrize(("photos", "marks", "wanted"), CASES.values(), ids=CASES)
def test_masks_find_their_photos(tmp_path, photos, marks, wanted):
    put(tmp_path / "images", *photos)
    put(tmp_path / "masks", *marks)
    found = find_pairs(tmp_path / "images", tmp_path / "masks")
    assert matched(found) == wanted and not found.lone
    endings = any(part in mask for mask in marks for part in ("_mask", "_L", "-gt", "m_", "gt-"))
    assert bool(found.notes) == endings
    both = find_pairs(tmp_path, tmp_path)
    assert matched(both) == wanted


def test_masks_below_the_photos(tmp_path):
    put(tmp_path, "a.jpg", "b.jpg", "masks/a.png", "masks/b.png")
    assert matched(find_pairs(tmp_path, tmp_path / "masks")) == {"a.jpg": "a.png", "b.jpg": "b.png"}


def test_missing_counterparts(tmp_path):
    put(tmp_path / "images", *[f"{n}.jpg" for n in "abcdef"])
    put(tmp_path / "masks", *[f"{n}.png" for n in "bcdefgh"])
    found = find_pairs(tmp_path / "images", tmp_path / "masks")
    assert len(found.pairs) == 5
    with pytest.raises(BadAnnotationError, match=r"a.jpg: has no mask of its name in .*masks, and 2 more"):
        masks(tmp_path / "images", tmp_path / "masks", **QUICK)
    data = masks(tmp_path / "images", tmp_path / "masks", on_bad_file="skip", **QUICK)
    assert sorted(error.path[-5:] for error in data.skipped) == ["a.jpg", "g.png", "h.png"]
    assert sorted(name for part in data.splits.values() for name in part.names) == [
        f"{n}.jpg" for n in "bcdef"
    ]


@pytest.mark.parametrize(
    ("photos", "marks", "message"),
    [
        (["a.jpg", "a.png"], ["a.png"], "`images` has several files of one name: a.jpg, a.png"),
        (["a.jpg"], ["a.png", "a.bmp"], "`masks` has several files of one name"),
        (["a.jpg"], ["b.png"], "No mask in .* has the name of a photo.*Photos: a.jpg. Masks: b.png.*lists"),
        (["a.jpg"], ["notes.txt"], "No photos with masks"),
        (["notes.txt"], ["a.png"], "No photos with masks"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, photos, marks, message):
    put(tmp_path / "images", *photos)
    put(tmp_path / "masks", *marks)
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path / "images", tmp_path / "masks")


def test_folders_that_are_not_there(tmp_path):
    put(tmp_path / "images", "a.jpg")
    with pytest.raises(DataError, match="masks is not there"):
        find_pairs(tmp_path / "images", tmp_path / "masks")
    with pytest.raises(DataError, match="No photos with masks"):
        find_pairs(tmp_path / "images", tmp_path / "images")


def test_lists_in_one_order(tmp_path):
    put(tmp_path, "x/1.jpg", "x/2.jpg", "y/eins.png", "y/zwei.png")
    photos, marks = (
        [tmp_path / "x/1.jpg", tmp_path / "x/2.jpg"],
        [f"{tmp_path}/y/eins.png", f"{tmp_path}/y/zwei.png"],
    )
    found = find_pairs(photos, marks)
    assert [(pair.name, pair.mask) for pair in found.pairs] == [("1.jpg", marks[0]), ("2.jpg", marks[1])]
    data = masks(photos, marks, **QUICK, validation_fraction=0)
    assert len(data.splits["train"]) == 2


@pytest.mark.parametrize(
    ("images", "marks", "message"),
    [
        (["a.jpg"], ["a.png", "b.png"], "one length.*1 and 2"),
        ([], [], "one length"),
        ([np.zeros((4, 4, 3))], ["a.png"], "from_arrays"),
        (["a.jpg"], "masks", "both be folders, or both lists"),
        ({"train": "x"}, "masks", "both be mappings"),
        ({"train": "x"}, {"train": "x", "test": "y"}, "both be mappings"),
        ({"test": "x"}, {"test": "y"}, "with train among them"),
        ({"train": "x", "trial": "y"}, {"train": "x", "trial": "y"}, "both be mappings"),
        (5, 6, "both be folders"),
    ],
)
def test_arguments_that_do_not_fit(images, marks, message):
    with pytest.raises(DataError, match=message):
        find_pairs(images, marks)


LAYOUTS = {
    "images/train": ["images/train/a.jpg", "images/val/b.jpg", "masks/train/a.png", "masks/val/b.png"],
    "train/images": ["train/images/a.jpg", "valid/images/b.jpg", "train/masks/a.png", "valid/masks/b.png"],
    "trainannot": ["train/a.jpg", "val/b.jpg", "trainannot/a.png", "valannot/b.png"],
    "train_labels": ["train/a.jpg", "val/b.jpg", "train_labels/a_L.png", "val_labels/b_L.png"],
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_folders_of_splits(tmp_path, files):
    put(tmp_path, *files)
    data = read_masks(tmp_path, **QUICK)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 1, "validation": 1}
    assert data.files["train"][0].endswith("a.jpg") and data.files["validation"][0].endswith("b.jpg")
    assert data.class_names == ("class 0", "class 1")
    assert masks(tmp_path, **QUICK).fingerprint() == data.fingerprint()


def test_one_folder_of_photos_and_masks_needs_no_second_argument(tmp_path):
    put(tmp_path, "images/a.jpg", "images/b.jpg", "masks/a.png", "masks/b.png")
    one, two = masks(tmp_path, **QUICK), masks(tmp_path / "images", tmp_path / "masks", **QUICK)
    assert list(one.files["train"]) == list(two.files["train"]) and one.fingerprint() == two.fingerprint()
    for photos in ([tmp_path / "images/a.jpg"], {"train": tmp_path / "images"}):
        with pytest.raises(DataError, match="`masks` is needed .* Received as `images`: (list|dict)"):
            masks(photos, **QUICK)
    with pytest.raises(DataError, match="No photos with masks"):
        masks(tmp_path / "images", **QUICK)


def test_mappings_of_splits(tmp_path):
    put(tmp_path, "x/a.jpg", "y/a.jpg", "mx/a.png", "my/a.png")
    data = masks(
        {"train": tmp_path / "x", "test": [tmp_path / "y/a.jpg"]},
        {"train": tmp_path / "mx", "test": [tmp_path / "my/a.png"]},
        **QUICK,
        validation_fraction=0,
    )
    assert list(data.splits) == ["train", "test"] and data.files["test"][0] == "test/a.jpg"


def test_caches_stay_out_of_the_users_folder(tmp_path):
    put(tmp_path / "images", "a.jpg", "b.jpg")
    put(tmp_path / "masks", "a.png", "b.png")
    before = sorted(tmp_path.rglob("*"))
    data = masks(tmp_path / "images", tmp_path / "masks", image_size=16, cache=True)
    assert next(data.iterate("train"))[0].shape[1:] == (16, 16, 3) and data.cache is not None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def voc(tmp_path):
    put(tmp_path / "JPEGImages", *[f"{n}.jpg" for n in "abcdx"])
    put(tmp_path / "SegmentationClass", *[f"{n}.png" for n in "abcd"])
    return tmp_path


def lists(root, **names):
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    for name, entries in names.items():
        (folder / f"{name}.txt").write_text("\n".join(entries))


def test_voc_by_its_lists(voc):
    lists(voc, train="ab", val="c", trainval="abc")
    data = read_masks(voc, **QUICK)
    assert data.class_names[:2] == ("background", "aeroplane") and len(data.class_names) == 21
    assert {split: list(names) for split, names in data.files.items()} == {
        "train": ["a.jpg", "b.jpg"],
        "validation": ["c.jpg"],
    }
    assert any("1 mask is in no list of ImageSets/Segmentation and was left out: d" in n for n in data.notes)
    other = pascal_voc_masks(voc, splits={"train": "trainval"}, class_names=["no", "yes"], **QUICK)
    assert len(other.splits["train"]) + len(other.splits["validation"]) == 3
    assert other.class_names == ("no", "yes")


def test_voc_without_lists(voc):
    data = pascal_voc_masks(voc, validation_fraction=0, **QUICK)
    assert list(data.files["train"]) == [f"{n}.jpg" for n in "abcd"]


def test_voc_as_labelme_writes_it(voc):
    (voc / "SegmentationClass").rename(voc / "SegmentationClassPNG")
    (voc / "SegmentationClass").mkdir()
    (voc / "SegmentationClass/a.npy").write_bytes(b"an array")
    (voc / "class_names.txt").write_text("_background_\ncat\n")
    assert read_masks(voc, **QUICK).class_names == ("_background_", "cat")


def test_files_that_are_no_folder(tmp_path):
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="a folder or a JSON file of COCO.*unpack it first"):
        read_masks(tmp_path / "set.zip")


def test_voc_with_the_colours_of_cvat(voc):
    (voc / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nblob:1,1,1::\n")
    assert pascal_voc_masks(voc, **QUICK).class_names == ("background", "blob")


def test_voc_that_lists_what_is_not_there(voc):
    lists(voc, train=["a", "gone"], val=["x", "b"])
    with pytest.raises(BadAnnotationError, match="gone.png: is listed for train, but there is no such photo"):
        pascal_voc_masks(voc, **QUICK)
    data = pascal_voc_masks(voc, on_bad_file="skip", **QUICK)
    assert sorted(error.path[-8:] for error in data.skipped) == ["es/x.jpg", "gone.png"]
    with pytest.raises(DataError, match="JPEGImages and SegmentationClass"):
        pascal_voc_masks(voc / "JPEGImages")


@pytest.mark.parametrize("annotations", ["auto", "nothing"])
def test_nothing_to_read(tmp_path, annotations):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="known by its look|`annotations` must be auto, voc"):
        read_masks(tmp_path / "empty", annotations=annotations)
    with pytest.raises(DataError, match="is not there|`annotations`"):
        read_masks(tmp_path / "none", annotations=annotations)


def test_camvid_wants_its_folders(tmp_path):
    put(tmp_path, "images/a.jpg", "masks/a.png")
    with pytest.raises(DataError, match="does not look like CamVid"):
        camvid(tmp_path)
    (tmp_path / "camvid.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="Unpack it first"):
        camvid(tmp_path / "camvid.zip")


def test_camvid_in_colour(tmp_path):
    put(
        tmp_path,
        "train/0001TP_1.png",
        "val/0001TP_2.png",
        "train_labels/0001TP_1_L.png",
        "val_labels/0001TP_2_L.png",
    )
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nSky,0,0,0\nCar,1,1,1\nVoid,9,9,9\n")
    data = read_masks(tmp_path, **QUICK)
    assert data.class_names == ("Sky", "Car") and len(data.splits["validation"]) == 1


@pytest.mark.realdata
def test_camvid_as_it_is(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "camvid_180x240_q90.zip") as archive:
        archive.extractall(tmp_path)
    data = read_masks(tmp_path, image_size=(180, 240), cache=False)
    assert {split: len(part) for split, part in data.splits.items()} == {
        "train": 367,
        "validation": 101,
        "test": 233,
    }
    assert len(data.class_names) == 11 and data.class_names[0] == "sky" and not data.skipped
    for split, part in data.splits.items():
        assert part.masks.pixels.sum() + part.masks.void.sum() == len(part) * 180 * 240
        for i in (0, len(part) - 1):
            stored = np.asarray(Image.open(part.masks.sources[i]))
            np.testing.assert_array_equal(part.masks[i], np.where(stored == 11, 255, stored))
            assert (part.masks.void[i], part.masks.pixels[i, 3]) == (
                (stored == 11).sum(),
                (stored == 3).sum(),
            )
        assert len(set(part.names)) == len(part)
        images, found = next(data.iterate(split, batch_size=3))
        assert images.shape == (3, 180, 240, 3) and set(np.unique(found)) <= {*range(11), 255}
    road = data.splits["train"].masks.pixels.sum(0)[3] / data.splits["train"].masks.pixels.sum()
    assert 0.2 < road < 0.4
    assert read_masks(tmp_path, image_size=(180, 240), cache=False).fingerprint() == data.fingerprint()
    padded = camvid(tmp_path, image_size=(256, 256), resize="pad", cache=False)
    _, found = next(padded.iterate("test", batch_size=1))
    assert (
        (found[0, :32] == 255).all()
        and (found[0, -32:] == 255).all()
        and (found[0, 32:-32] != 255).mean() > 0.8
    )
