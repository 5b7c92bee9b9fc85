"""Masks in files: every coding comes back as it was, everything that keeps no labels is refused."""

import numpy as np
import pytest
from PIL import Image

from kerasvision.data import masks
from kerasvision.data.mask_coding import open_mask
from kerasvision.errors import BadAnnotationError, BadImageError, DataError

SIZE = (24, 32)
NAMES = ("ground", "road", "tree")
COLOURS = {"ground": (0, 0, 0), "road": (128, 64, 128), "tree": (0, 128, 0)}
QUICK = {"image_size": SIZE, "validation_fraction": 0.25, "cache": False}


def label_map(number: int, classes: int = 3, void: bool = True) -> np.ndarray:
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, classes, (6, 8)).astype(np.uint8)
    coarse[0, :classes] = range(classes)
    found = np.kron(coarse, np.ones((4, 4), np.uint8))
    if void:
        found[-3:] = 255
    return found


def as_index(found, path):
    Image.fromarray(found).save(path)


def as_palette(found, path):
    image = Image.frombytes("P", found.shape[::-1], found.tobytes())
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200] + [7] * 759)
    image.save(path, optimize=False)


def as_four_bits(found, path):
    """Grey of 4 bits, as optimisers of PNG files write it: Pillow reads such values times 17."""
    small = found.astype(np.uint8) & 15
    packed = (small[:, ::2] << 4 | small[:, 1::2]).astype(np.uint8)
    path.write_bytes(png(found.shape, 4, 0, packed))


def png(size: tuple[int, int], bits: int, kind: int, rows: np.ndarray) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", size[1], size[0], bits, kind, 0, 0, 0)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def as_grey_rgb(found, path):
    Image.fromarray(np.repeat(found[..., None], 3, -1)).save(path)


def as_opaque(found, path):
    Image.fromarray(found).convert("LA").save(path)


def coloured(found: np.ndarray) -> np.ndarray:
    table = np.full((256, 3), 255, np.uint8)
    table[:3] = list(COLOURS.values())
    return table[found]


@pytest.fixture
def folders(tmp_path, photo):
    """Return a function that writes photos and masks, and returns both folders and the label maps by name."""

    def make(save=as_index, count=8, suffix=".png", maps=None, ending=""):
        images, marks = tmp_path / "images", tmp_path / "masks"
        images.mkdir(exist_ok=True)
        marks.mkdir(exist_ok=True)
        truth = {}
        for i in range(count):
            found = label_map(i) if maps is None else maps[i]
            Image.fromarray(photo(*found.shape, seed=i)).save(images / f"p{i}.jpg")
            save(found, marks / f"p{i}{ending}{suffix}")
            truth[f"p{i}.jpg"] = found
        return images, marks, truth

    return make


def compare(data, truth):
    """All maps are what they should be, in batches and one by one."""
    seen = set()
    for split, part in data.splits.items():
        batches = np.concatenate([m for _, m in data.iterate(split)])
        for i, name in enumerate(part.names):
            np.testing.assert_array_equal(part.masks[i], truth[name], err_msg=name)
            np.testing.assert_array_equal(batches[i], truth[name])
            assert part.masks.void[i] == (truth[name] == 255).sum()
            assert part.masks.pixels[i, 1] == (truth[name] == 1).sum()
            seen.add(name)
    assert seen == set(truth)


@pytest.mark.parametrize(
    ("save", "suffix"),
    [
        (as_index, ".png"),
        (as_index, ".bmp"),
        (as_index, ".tif"),
        (as_palette, ".png"),
        (as_palette, ".gif"),
        (as_grey_rgb, ".png"),
        (as_opaque, ".png"),
    ],
)
def test_indices_come_back(folders, save, suffix):
    images, marks, truth = folders(save, suffix=suffix)
    data = masks(images, marks, class_names=NAMES, **QUICK)
    assert data.task == "segment" and data.class_names == NAMES and not data.skipped
    compare(data, truth)
    assert any("three equal channels" in note for note in data.notes) == (save is as_grey_rgb)


def test_a_palette_is_never_taken_for_colours(folders):
    """Both files show the same: one by its colours, one by its indices, which say something else."""
    images, marks, truth = folders(as_palette)
    data = masks(images, marks, class_names=NAMES, **QUICK)
    part = data.splits["train"]
    assert np.asarray(Image.open(part.masks.sources[0])).max() == 255
    compare(data, truth)


def test_grey_of_few_bits_is_not_spread(folders):
    truth = [label_map(i, void=False) for i in range(8)]
    images, marks, by_name = folders(as_four_bits, maps=truth)
    with Image.open(marks / "p0.png") as image:
        assert np.asarray(image).max() == 2 * 17  # what Pillow makes of it
    compare(masks(images, marks, class_names=NAMES, **QUICK), by_name)


def test_one_bit_is_nought_and_one(folders):
    truth = [label_map(i, 2, void=False) for i in range(8)]

    def save(found, path):
        Image.fromarray(found.astype(bool)).save(path)

    images, marks, by_name = folders(save, maps=truth)
    compare(masks(images, marks, class_names=["a", "b"], **QUICK), by_name)


@pytest.mark.parametrize("kind", ["mapping", "csv", "camvid", "cvat", "palette"])
def test_colours_come_back(folders, tmp_path, kind):
    def save(found, path):
        image = Image.fromarray(coloured(found))
        (image.quantize(8, dither=0) if kind == "palette" else image).save(path)

    images, marks, truth = folders(save)
    lines = {
        "csv": "name,r,g,b\n"
        + "".join(f"{n},{r},{g},{b}\n" for n, (r, g, b) in COLOURS.items())
        + "Void,255,255,255\n",
        "camvid": "".join(f"{r} {g} {b}\t\t{n}\n" for n, (r, g, b) in COLOURS.items()) + "255 255 255 Void\n",
        "cvat": "# label:color_rgb:parts:actions\n"
        + "".join(f"{n}:{r},{g},{b}::\n" for n, (r, g, b) in COLOURS.items())
        + "Void:255,255,255::\n",
    }
    table = {**COLOURS, "Void": (255, 255, 255)}
    if kind in lines:
        table = tmp_path / "table.txt"
        table.write_text(lines[kind])
    data = masks(images, marks, colours=table, **QUICK)
    assert data.class_names == NAMES
    assert any("'Void' is taken for void" in note for note in data.notes)
    compare(data, truth)


@pytest.mark.parametrize("void", ["none", (255, 255, 255), ["none"], [(255, 255, 255)]])
def test_void_by_name_or_colour(folders, void):
    images, marks, truth = folders(lambda found, path: Image.fromarray(coloured(found)).save(path))
    data = masks(images, marks, colours={**COLOURS, "none": (255, 255, 255)}, void=void, **QUICK)
    compare(data, truth)


def test_several_colours_of_one_class(folders):
    images, marks, truth = folders(lambda found, path: Image.fromarray(coloured(found)).save(path))
    table = {"ground": COLOURS["ground"], "thing": [COLOURS["road"], COLOURS["tree"]], "void": (255,) * 3}
    data = masks(images, marks, colours=table, **QUICK)
    assert data.class_names == ("ground", "thing")
    compare(data, {name: np.where(found == 2, 1, found) for name, found in truth.items()})


@pytest.mark.parametrize("void", [0, "nothing", [0]])
def test_values_that_do_not_start_at_nought(folders, void):
    shifted = [np.where((m := label_map(i)) == 255, 0, m * 10 + 1) for i in range(8)]
    images, marks, _ = folders(maps=[one.astype(np.uint8) for one in shifted])
    names = {21: "tree", 1: "ground", 11: "road", 0: "nothing"}
    data = masks(images, marks, class_names=names, void=void, **QUICK)
    assert data.class_names == ("tree", "ground", "road")
    to = {0: 255, 21: 0, 1: 1, 11: 2}
    compare(data, {f"p{i}.jpg": np.vectorize(to.get)(one).astype(np.uint8) for i, one in enumerate(shifted)})


def test_binary_masks_are_told(folders):
    truth = [label_map(i, 2, void=False) for i in range(8)]
    images, marks, by_name = folders(maps=[one * 255 for one in truth])
    data = masks(images, marks, **QUICK)
    assert data.class_names == ("background", "foreground")
    assert any("255 is taken for the class 'foreground', not for void" in note for note in data.notes)
    compare(data, {f"p{i}.jpg": one for i, one in enumerate(truth)})
    explicit = masks(images, marks, class_names={0: "skin", 255: "mole"}, **QUICK)
    assert explicit.class_names == ("skin", "mole") and not explicit.notes
    named = masks(images, marks, class_names=["skin", "mole"], **QUICK)
    assert named.class_names == ("skin", "mole") and named.notes
    with pytest.raises(
        DataError, match=r"nothing but the value 0 and void \(255\).*class_names=\{0: …, 255: …\}"
    ):
        masks(images, marks, void=255, **QUICK)


def test_binary_masks_of_many_classes_are_told(folders):
    images, marks, _ = folders(maps=[label_map(i, 2, void=False) * 255 for i in range(8)])
    data = masks(images, marks, class_names=NAMES, **QUICK)
    assert any("255 is taken for void" in note for note in data.notes)
    assert any("No pixel of 'road', 'tree' in the train split" in note for note in data.notes)


def test_classes_named_after_values(folders):
    images, marks, truth = folders()
    data = masks(images, marks, **QUICK)
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert any("Pass `class_names`" in note for note in data.notes)
    compare(data, truth)


def refused(path, **options):
    with pytest.raises(BadAnnotationError) as caught:
        open_mask(str(path), **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_kinds_that_keep_no_labels(tmp_path):
    found = label_map(0)
    image = Image.fromarray(found)
    for suffix, options in ((".jpg", {}), (".webp", {}), (".webp", {"lossless": True})):
        image.convert("RGB").save(tmp_path / f"a{suffix}", **options)
        assert "Export the masks again as PNG" in refused(tmp_path / f"a{suffix}")
    (tmp_path / "jpeg.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    assert "JPEG" in refused(tmp_path / "jpeg.png")
    Image.fromarray(found.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    assert "astype('uint8')" in refused(tmp_path / "deep.png")
    rows = np.zeros((8, 8, 3), ">u2")
    (tmp_path / "deep_rgb.png").write_bytes(png((8, 8), 16, 2, rows.reshape(8, -1)))
    assert "16 bits" in refused(tmp_path / "deep_rgb.png")
    Image.fromarray(found.astype(np.float32)).save(tmp_path / "float.tif")
    assert "bits" in refused(tmp_path / "float.tif")
    clear = image.convert("RGBA")
    clear.putpixel((3, 3), (0, 0, 0, 10))
    clear.save(tmp_path / "clear.png")
    assert "transparent" in refused(tmp_path / "clear.png")


def test_hostile_files(tmp_path, folders):
    images, marks, _ = folders()
    bad = marks / "p0.png"
    good = bad.read_bytes()
    huge = png((60000, 60000), 8, 0, np.zeros((1, 1), np.uint8))
    for content, message in (
        (b"", "empty"),
        (b"<html>", "web page"),
        (good[: len(good) // 2], "cut off|damaged"),
        (huge, "too many pixels"),
        (b"\0" * 300, "zero bytes"),
    ):
        bad.write_bytes(content)
        with pytest.raises(BadAnnotationError, match=f"p0.png.*({message})"):
            masks(images, marks, class_names=NAMES, **QUICK)
    data = masks(images, marks, class_names=NAMES, on_bad_file="skip", **QUICK)
    assert [error.path for error in data.skipped] == [str(bad)]
    assert sum(len(part) for part in data.splits.values()) == 7


def test_values_out_of_range(folders):
    maps = [label_map(i) for i in range(8)]
    maps[2][0, :5] = 7
    maps[5][1, 1] = 9
    images, marks, truth = folders(maps=maps)
    with pytest.raises(
        BadAnnotationError,
        match=r"p2.png: holds the value 7 on 5 pixels, which is no class \(3 classes; known values: 0, 1, 2, "
        r"255\).*`class_names`.*`void`.*1 more problem.*skip",
    ):
        masks(images, marks, class_names=NAMES, **QUICK)
    data = masks(images, marks, class_names=NAMES, on_bad_file="skip", **QUICK)
    assert sorted(error.path[-6:] for error in data.skipped) == ["p2.png", "p5.png"]
    compare(data, {name: one for name, one in truth.items() if name not in ("p2.jpg", "p5.jpg")})
    assert len(masks(images, marks, class_names=NAMES, void=[7, 9, 255], **QUICK).class_names) == 3


def test_smoothed_masks_are_refused(folders):
    def soft(found, path):
        image = Image.fromarray((found[::4, ::4] == 1).astype(np.uint8) * 255)
        image.resize((32, 24), Image.Resampling.BICUBIC).save(path)

    images, marks, _ = folders(soft, count=12)
    with pytest.raises(DataError, match="different values .*smoothed"):
        masks(images, marks, **QUICK)
    with pytest.raises(BadAnnotationError, match="no class"):
        masks(images, marks, class_names={0: "a", 255: "b"}, **QUICK)


def test_colours_that_are_not_in_the_table(folders):
    images, marks, _ = folders(lambda found, path: Image.fromarray(coloured(found)).save(path))
    with pytest.raises(BadAnnotationError, match=r"1 colour on 96 pixels.*\(255, 255, 255\). Add them"):
        masks(images, marks, colours=COLOURS, **QUICK)
    with pytest.raises(BadAnnotationError, match=r"is coloured \(4 colours: .*Pass `colours`: "):
        masks(images, marks, class_names=NAMES, **QUICK)

    def soft(found, path):
        image = Image.fromarray(coloured(found)).resize((320, 240), Image.Resampling.BICUBIC)
        image.resize((32, 24), Image.Resampling.BICUBIC).save(path)

    images, marks, _ = folders(soft)
    with pytest.raises(BadAnnotationError, match="without it"):
        masks(images, marks, colours={**COLOURS, "void": (255, 255, 255)}, **QUICK)


def test_a_mask_of_another_size(folders):
    images, marks, _ = folders()
    Image.fromarray(label_map(0)[:12]).save(marks / "p3.png")
    with pytest.raises(BadAnnotationError, match=r"p3.png: has 32 x 12 pixels .*p3.jpg 32 x 24.*NEAREST"):
        masks(images, marks, class_names=NAMES, **QUICK)


@pytest.mark.parametrize("turn", [3, 5, 6, 7, 8])
def test_photos_turned_by_exif(folders, turn):
    """The photo is the mask's own picture, so that the turned ones must fit each other."""
    maps = [np.where(label_map(i, 2, void=False)[:, :28] > 0, 1, 0).astype(np.uint8) for i in range(4)]
    images, marks, _ = folders(maps=maps, count=4)
    for i, found in enumerate(maps):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.fromarray(np.repeat(found[..., None] * 255, 3, -1)).save(
            images / f"p{i}.jpg", quality=100, subsampling=0, exif=exif
        )
    quick = {**QUICK, "class_names": ["dark", "light"]}
    quick["image_size"] = (28, 24) if turn >= 5 else (24, 28)
    if turn >= 5:
        with pytest.raises(BadAnnotationError, match='mask lies on it as it is stored.*"stored"'):
            masks(images, marks, **quick)
    else:
        assert any("4 photos are turned by EXIF" in note for note in masks(images, marks, **quick).notes)
    data = masks(images, marks, mask_orientation="stored", **quick)
    assert any("as it is stored" in note for note in data.notes)
    for split in data.splits:
        for pictures, found in data.iterate(split):
            assert ((pictures[..., 0] > 127) == found).mean() > 0.98
    for i, found in enumerate(maps):  # masks that were drawn on what viewers show
        turned = {3: found[::-1, ::-1], 5: found.T, 6: np.rot90(found, -1), 7: found[::-1, ::-1].T}
        Image.fromarray(np.ascontiguousarray(turned.get(turn, np.rot90(found)))).save(marks / f"p{i}.png")
    if turn >= 5:
        with pytest.raises(BadAnnotationError, match='as it is shown. Pass mask_orientation="upright"'):
            masks(images, marks, mask_orientation="stored", **quick)
    again = masks(images, marks, **quick)
    for split in data.splits:
        for (_, first), (_, second) in zip(data.iterate(split), again.iterate(split), strict=True):
            np.testing.assert_array_equal(first, second)


def test_photos_that_cannot_be_read(folders):
    images, marks, _ = folders()
    (images / "p1.jpg").write_bytes(b"no photo")
    with pytest.raises(BadImageError, match="p1.jpg"):
        masks(images, marks, class_names=NAMES, **QUICK)
    whole = (images / "p2.jpg").read_bytes()
    (images / "p2.jpg").write_bytes(whole[:-200])  # its header is whole
    data = masks(images, marks, class_names=NAMES, on_bad_file="skip", **QUICK)
    assert sorted(error.path[-6:] for error in data.skipped) == ["p1.jpg", "p2.jpg"]
    names = {name for part in data.splits.values() for name in part.names}
    assert names == {f"p{i}.jpg" for i in (0, 3, 4, 5, 6, 7)}


def test_a_mask_that_changes_later_is_noticed(folders):
    images, marks, _ = folders()
    data = masks(images, marks, class_names=NAMES, **QUICK)
    for path in marks.iterdir():
        Image.fromarray(np.full(SIZE, 9, np.uint8)).save(path)
    with pytest.raises(BadAnnotationError, match="holds .9., which are no class: it was changed"):
        next(data.iterate("train"))
    other = masks(images, marks, class_names={9: "a", 1: "b"}, **QUICK)
    assert data.fingerprint() != other.fingerprint()


def test_the_same_folder_gives_the_same_data(folders):
    images, marks, _ = folders()
    first, second = (masks(images, marks, class_names=NAMES, seed=3, **QUICK) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    assert list(first.files["train"]) == list(second.files["train"])
    other = masks(images, marks, class_names=NAMES, seed=4, **QUICK)
    assert list(first.files["train"]) != list(other.files["train"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": NAMES, "colours": COLOURS}, "say the same"),
        ({"class_names": ["a", "a", "b"]}, "same name"),
        ({"class_names": {300: "a"}}, "values from 0 to 255"),
        ({"class_names": "no such file.txt"}, "is not there"),
        ({"class_names": [str(i) for i in range(256)]}, "at most 255"),
        ({"colours": [1, 2]}, "`colours` must be a mapping"),
        ({"colours": {"a": (1, 2)}}, r"must be \(r, g, b\)"),
        ({"colours": {"a": (1, 2, 3), "b": (1, 2, 3)}}, "for 'a' and for 'b'"),
        ({"colours": {}}, "1 to 255 names"),
        ({"void": "sky", "class_names": NAMES}, "`void` must be .*Names: ground, road, tree"),
        ({"void": 256, "class_names": NAMES}, "`void` must be"),
        ({"mask_orientation": "sideways"}, '"upright" or "stored"'),
        ({"on_bad_file": "ignore"}, '"raise" or "skip"'),
        ({"image_size": 2}, "`image_size`"),
    ],
)
def test_arguments_that_cannot_be_used(folders, arguments, message):
    images, marks, _ = folders()
    with pytest.raises(DataError, match=message):
        masks(images, marks, **{**QUICK, **arguments})


def test_geometry_follows_the_photos(folders, tmp_path):
    """A photo of its own mask: after any resizing the picture says which pixels are of the class."""
    maps = [label_map(i, 2, void=False) for i in range(4)]
    images, marks, _ = folders(maps=maps, count=4)
    for i, found in enumerate(maps):
        Image.fromarray(found * 255).save(images / f"p{i}.png")
        (images / f"p{i}.jpg").unlink()
    for resize in ("stretch", "crop", "pad"):
        data = masks(images, marks, class_names=["a", "b"], image_size=(40, 36), resize=resize, cache=True)
        for pictures, found in data.iterate("train"):
            seen, inside = pictures[..., 0].astype(int), found != 255
            assert inside.all() == (resize != "pad")
            assert not seen[~inside].any()
            sure = inside & ((seen < 60) | (seen > 195))
            assert sure.sum() > 0.6 * inside.sum() and ((seen[sure] > 127) == found[sure]).mean() > 0.99
