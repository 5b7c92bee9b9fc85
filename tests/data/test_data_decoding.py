"""Every kind of file: decoded to the right pixels, or refused with the reason."""

import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from kerasvision.data import Preprocessing, decoding, open_image
from kerasvision.data.doctor.exam import examine
from kerasvision.errors import BadImageError


def encoded(image: Image.Image, kind: str, **arguments) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **arguments)
    return stream.getvalue()


def mean_difference(a, b) -> float:
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF"])
def test_lossless_formats_come_back_as_they_are(kind, photo):
    pixels = photo(noise=0)
    image = Image.fromarray(pixels)
    if kind == "GIF":
        image = image.quantize(64)
        pixels = np.asarray(image.convert("RGB"))
    data = encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(np.asarray(open_image(data)), pixels)


@pytest.mark.parametrize(("kind", "tolerance"), [("JPEG", 2.0), ("AVIF", 4.0), ("WEBP", 4.0)])
def test_lossy_formats(kind, tolerance, photo):
    pixels = photo(noise=0)
    assert mean_difference(open_image(encoded(Image.fromarray(pixels), kind, quality=90)), pixels) < tolerance


def test_path_bytes_and_array_agree(tmp_path, photo):
    file = tmp_path / "café 写真.png"
    Image.fromarray(photo()).save(file)
    for source in (file, str(file), file.read_bytes(), photo()):
        np.testing.assert_array_equal(np.asarray(open_image(source)), photo())


def test_grey_modes():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = np.repeat(grey[..., None], 3, -1)
    for source in (encoded(Image.fromarray(grey), "PNG"), grey, grey[..., None]):
        np.testing.assert_array_equal(np.asarray(open_image(source)), rgb)


def test_one_bit():
    bits = np.eye(16, dtype=bool)
    read = np.asarray(open_image(encoded(Image.fromarray(bits), "PNG")))
    np.testing.assert_array_equal(read[..., 0], bits * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind):
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    read = np.asarray(open_image(encoded(Image.fromarray(deep), kind)))
    np.testing.assert_array_equal(read[..., 0], np.round(deep / 257.0))


def test_sixteen_bit_grey_with_a_transparent_level_is_scaled_too():
    deep = Image.fromarray(np.full((8, 8), 300 * 257 // 2, np.uint16))
    assert (np.asarray(open_image(encoded(deep, "PNG", transparency=5))) == 150).all()


def test_palette(photo):
    image = Image.fromarray(photo()).quantize(32)
    np.testing.assert_array_equal(
        np.asarray(open_image(encoded(image, "PNG"))), np.asarray(image.convert("RGB"))
    )


def test_transparency_is_laid_over_white():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 0] = 200  # red
    pixels[:, :4, 3], pixels[:, 4, 3], pixels[:, 5:, 3] = 255, 128, 0
    read = np.asarray(open_image(encoded(Image.fromarray(pixels), "PNG")))
    np.testing.assert_array_equal(read[0, 0], (200, 0, 0))
    np.testing.assert_allclose(read[0, 4], np.array([200, 0, 0]) * 128 / 255 + 127, atol=1)
    np.testing.assert_array_equal(read[0, 7], (255, 255, 255))


def test_transparency_of_other_modes():
    grey_alpha = Image.fromarray(np.dstack([np.full((8, 8), 40, np.uint8), np.zeros((8, 8), np.uint8)]), "LA")
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    key = Image.new("RGB", (8, 8), (10, 20, 30))
    for data in (
        encoded(grey_alpha, "PNG"),
        encoded(palette, "PNG", transparency=1),
        encoded(palette, "GIF", transparency=1),
        encoded(key, "PNG", transparency=(10, 20, 30)),
    ):
        assert (np.asarray(open_image(data)) == 255).all()


def test_cmyk_jpeg_as_adobe_writes_it(photo):
    pixels = photo(noise=0)
    data = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data[:200]
    assert mean_difference(open_image(data), pixels) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, photo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind, arguments in (
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
    ):
        data = encoded(Image.fromarray(photo(48, 64)), kind, exif=exif, **arguments)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        np.testing.assert_array_equal(np.asarray(open_image(data)), expected)


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [(2, 2, b"6\0"), (7, 2, b"\6\0"), (11, 1, struct.pack("<f", 6.0)), (3, 1, b"\x63\0"), (3, 1, b"\0\0")],
    ids=["text", "bytes", "float", "99", "0"],
)
def test_an_orientation_that_makes_no_sense_is_none(kind, count, value, photo):
    """EXIF is written by hand, as Pillow refuses to."""
    entry = struct.pack("<HHI", 0x0112, kind, count) + value.ljust(4, b"\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    plain = encoded(Image.fromarray(photo()), "JPEG")
    marked = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    np.testing.assert_array_equal(np.asarray(open_image(marked)), np.asarray(open_image(plain)))
    assert examine(marked, "x").orientation == 1


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_never_goes_below_the_size(orientation, photo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(photo(480, 640)), "JPEG", exif=exif)
    for at_least in ((60, 80), (59, 81), (61, 79), (240, 100), (479, 639), (480, 640), (700, 700)):
        picture = open_image(data, at_least)
        full = open_image(data)
        assert picture.height >= min(at_least[0], full.height)
        assert picture.width >= min(at_least[1], full.width)
        assert abs(picture.width / picture.height - full.width / full.height) < 0.02


@pytest.mark.parametrize("size", [64, 100, 128, 150, 224])
def test_scaled_decoding_looks_like_full_decoding(size, photo):
    # Measured: 0.3 to 0.8 grey levels on this picture; quality 90 alone costs about 3.
    data = encoded(Image.fromarray(photo(900, 1200)), "JPEG", quality=90)
    full = open_image(data).resize((size, size), Image.Resampling.BILINEAR)
    assert mean_difference(Preprocessing(size).read(data), full) < 1.0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_no_exif(photo):
    data = encoded(Image.fromarray(photo()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 30)
    assert open_image(data).size == (64, 48)


def test_multi_picture_jpeg_gives_the_main_picture(photo):
    first, second = Image.fromarray(photo(seed=1)), Image.fromarray(photo(20, 20, seed=2))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert open_image(data).size == (64, 48)


def test_still_gif_and_webp_are_fine(photo):
    image = Image.fromarray(photo())
    assert open_image(encoded(image, "GIF")).size == (64, 48)
    assert open_image(encoded(image, "WEBP")).size == (64, 48)


def _animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def _jpeg(size=(64, 64)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    return encoded(Image.fromarray(noise), "JPEG")


def _png() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return encoded(Image.fromarray(noise), "PNG")


def _lab() -> bytes:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    return encoded(ImageCms.applyTransform(Image.new("RGB", (16, 16), "red"), to_lab), "TIFF")


def _bomb() -> bytes:
    # A PNG header that claims 20,000 × 20,000 pixels, in a file of a few bytes.
    data = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    return (
        bytes(data[:29]) + __import__("zlib").crc32(bytes(data[12:29])).to_bytes(4, "big") + bytes(data[33:])
    )


BAD = {
    "nothing": (b"", r"is empty \(0 bytes\)"),
    "zeros": (bytes(5000), "holds only zero bytes"),
    "text": (b"Hello, this is no image.\n" * 9, "looks like text"),
    "text, not ASCII": ("Grüße an alle. 写真".encode() * 40, "looks like text"),
    "web page": (b"<!DOCTYPE html><html>404</html>", r"web page \(a failed download\?\)"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG or XML"),
    "PDF": (b"%PDF-1.7\n" + bytes(range(256)), "a PDF"),
    "ZIP": (b"PK\3\4" + bytes(range(200)), "a ZIP archive"),
    "noise": (bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8)), "unknown or damaged format"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC photo.*Convert it to JPEG"),
    "JPEG cut off": (_jpeg()[:1500], "is cut off.*Copy or download it again"),
    "JPEG cut in its header": (_jpeg()[:100], "is cut off|is damaged|cannot be read|not an image"),
    "PNG cut off": (_png()[:4000], "is cut off"),
    "PNG damaged": (_png().replace(b"IDAT\x78", b"IDAT\xff"), "is damaged|is cut off"),
    "GIF cut off": (_animated("GIF")[:60], "is cut off|is damaged|not an image"),
    "animated GIF": (_animated("GIF"), "has 3 frames.*would be a guess"),
    "animated WebP": (_animated("WEBP"), "has 3 frames"),
    "animated PNG": (_animated("PNG"), "has 3 frames"),
    "TIFF of pages": (_animated("TIFF"), "has 3 pages"),
    "float TIFF": (encoded(Image.new("F", (8, 8), 0.5), "TIFF"), "floating-point pixels.*8-bit RGB"),
    "32-bit TIFF": (encoded(Image.new("I", (8, 8), 70000), "TIFF"), "32-bit integer pixels"),
    "CIELAB TIFF": (_lab(), "CIELAB pixels"),
    "bomb": (_bomb(), "guards against decompression bombs.*PIL.Image.MAX_IMAGE_PIXELS"),
    "Postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image that can be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_the_reason(case, tmp_path):
    data, reason = BAD[case]
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    for source, name in ((str(file), None), (data, "photo.jpg")):
        with pytest.raises(BadImageError, match=f"photo.jpg: .*{reason}") as raised:
            open_image(source, (32, 32), name=name)
        assert raised.value.path.endswith("photo.jpg")


def test_avif_without_the_plugin_says_what_to_do(monkeypatch, photo):
    data = encoded(Image.fromarray(photo()), "AVIF")
    monkeypatch.setattr(decoding, "FORMATS", tuple(kind for kind in decoding.FORMATS if kind != "AVIF"))
    with pytest.raises(BadImageError, match="is AVIF, which this Pillow cannot read. Update it"):
        open_image(data)


@pytest.mark.parametrize("strictness", ["error", "ignore"])
def test_large_images_are_refused_whatever_the_warning_filter(monkeypatch, strictness):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with warnings.catch_warnings():
        warnings.simplefilter(strictness, Image.DecompressionBombWarning)
        with pytest.raises(BadImageError, match="decompression bombs"):
            open_image(_jpeg((50, 50)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2500)
    assert open_image(_jpeg((50, 50))).size == (50, 50)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda file: None, "is not there"),
        (lambda file: file.symlink_to(file.parent / "gone.jpg"), "is a broken link"),
        (lambda file: file.mkdir(), "is a folder, not an image"),
    ],
)
def test_files_that_cannot_be_opened(make, reason, tmp_path):
    make(tmp_path / "x.jpg")
    with pytest.raises(BadImageError, match=f"x.jpg: {reason}"):
        open_image(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((8, 8, 3), np.float32), "array of float32.*uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"shape \(8, 8, 4\)"),
        (np.zeros((8,), np.uint8), r"shape \(8,\)"),
        (np.zeros((0, 8, 3), np.uint8), r"shape \(0, 8, 3\)"),
    ],
)
def test_bad_arrays(array, reason):
    with pytest.raises(BadImageError, match=f"mine #3: .*{reason}"):
        open_image(array, name="mine #3")


def test_many_threads_read_the_same(tmp_path, photo):
    files = []
    for i in range(12):
        files.append(tmp_path / f"{i}.jpg")
        Image.fromarray(photo(300, 400, seed=i)).save(files[-1])
    read = Preprocessing(64).read
    expected = [read(file) for file in files]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for one, other in zip(pool.map(read, files), expected, strict=True):
                np.testing.assert_array_equal(one, other)
