"""From a file, encoded bytes or an array to an upright RGB picture, or an error that says what is wrong.

Files are decoded with Pillow. A JPEG is decoded at the smallest DCT scale that is still large enough,
which saves most of the work after the Huffman decoding and nearly all of the memory.
"""

import os
import stat
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image

from kerasvision.errors import BadImageError

Source = str | os.PathLike | bytes | np.ndarray
T = TypeVar("T")

_SUFFIXES = "avif bmp dib gif heic heif jfif jpe jpeg jpg mpo pbm pgm png pnm ppm tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# Only these are tried: other plugins of Pillow run outside programs (EPS) or hold no photos. MPO is opened
# as JPEG.
_PLUGINS = ("Jpeg", "Png", "WebP", "Gif", "Bmp", "Tiff", "Ppm", "Avif")
for _plugin in _PLUGINS:
    if find_spec(f"PIL.{_plugin}ImagePlugin"):  # AVIF came with Pillow 11.3
        import_module(f"PIL.{_plugin}ImagePlugin")
FORMATS = tuple(kind for kind in "JPEG PNG WEBP GIF BMP DIB TIFF PPM AVIF".split() if kind in Image.OPEN)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def open_image(
    source: Source, at_least: tuple[int, int] | None = None, *, name: str | None = None
) -> Image.Image:
    """Decode one image into upright RGB.

    The EXIF orientation is applied. Grey, palette and 1-bit images become RGB; 16-bit grey is scaled to
    8 bits (divided by 257, not clipped); CMYK is converted without a colour profile; transparent pixels
    are laid over white. Of a multi-picture JPEG (MPO) the main picture is taken, as its standard says.

    Args:
        source: a path, the bytes of an encoded file, or a uint8 array (h, w), (h, w, 1) or (h, w, 3).
        at_least: (height, width) in pixels that the picture will be resized to. A JPEG is decoded at a
            smaller scale, but never below this size. `None`: full size.
        name: what to call the image in an error, for sources that are not paths.

    Returns:
        A loaded `PIL.Image` in mode `RGB`.

    Raises:
        BadImageError: the file cannot be read, is no image, is damaged, animated, too large, or of a kind
            that has no single sensible conversion to 8-bit RGB.

    Example:
        >>> open_image(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    if isinstance(source, np.ndarray):
        return Image.fromarray(_as_rgb_array(source, name or "array"))
    return decode(source, name, partial(_photo, at_least=at_least))


def decode(source: str | os.PathLike | bytes, name: str | None, use: Callable[[Image.Image, str], T]) -> T:
    """Open an encoded image, and return what `use(image, name)` makes of it while it is open.

    Args:
        source: a path or the bytes of an encoded file.
        name: what to call the image in an error, for sources that are not paths.
        use: is given the image, not yet loaded, and its name.

    Raises:
        BadImageError: what `use` raises, or the file cannot be read, is no image, damaged, animated or too
            large.
    """
    if isinstance(source, bytes):
        return _decode(BytesIO(source), name or "encoded bytes", use)
    path = os.fspath(source)
    try:
        with open_photo(path) as file:
            return _decode(file, path, use)
    except OSError as error:
        raise BadImageError(path, _file_problem(path, error)) from error


def open_photo(path: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        BadImageError: it cannot be opened, or is a pipe or a device, reading from which may never end.
    """
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
            return open(path, "rb")  # which says so of a folder
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise BadImageError(path, _file_problem(path, error)) from error
    raise BadImageError(path, "is a pipe or a device, not a file")


def from_pil(image: Image.Image, name: str) -> Image.Image:
    """Return an image that the caller opened with Pillow as `open_image` would have: upright RGB, loaded.

    Raises:
        BadImageError: it is damaged, or has no single sensible conversion to 8-bit RGB.
    """
    try:
        return _upright_rgb(image, name)
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # as in `_decode`
        raise BadImageError(name, f"is damaged: {error or type(error).__name__}") from error


def _photo(image: Image.Image, name: str, *, at_least: tuple[int, int] | None) -> Image.Image:
    if at_least is not None and image.format in ("JPEG", "MPO"):
        height, width = at_least[::-1] if orientation(image) >= 5 else at_least
        image.draft(None, (width, height))
    return _upright_rgb(image, name)


def _decode(file, name: str, use: Callable[[Image.Image, str], T]) -> T:
    try:
        with Image.open(file, formats=FORMATS) as image:
            _refuse(image, name)
            return use(image, name)
    except (BadImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImageError(name, _too_large()) from None
    # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, … for damaged files.
    except Exception as error:
        raise BadImageError(name, _problem(file, error)) from error


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    image.load()
    turn = orientation(image)  # after loading, as Pillow turns TIFF upright by itself then
    return turned(_to_rgb(image, name), turn)


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Return a picture turned upright, after the EXIF orientation (1 to 8) that goes with it."""
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _refuse(image: Image.Image, name: str) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit and image.width * image.height > limit:
        raise BadImageError(name, _too_large(image.width * image.height))
    if image.format != "MPO" and getattr(image, "is_animated", False):
        pages = "pages" if image.format == "TIFF" else "frames"
        raise BadImageError(
            name,
            f"has {image.n_frames} {pages}, and which of them is the photo would be a guess. "
            f"Save the one you mean as a file of its own",
        )


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where there is none that makes sense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF that cannot be parsed means no EXIF, as in every viewer: the pixels are fine.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    mode = image.mode
    if mode == "RGB":
        return _over_white(image.convert("RGBA")) if "transparency" in image.info else image
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)).convert(
            "RGB"
        )
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _over_white(image.convert("RGBA"))
    if mode in ("L", "P", "1", "CMYK", "YCbCr"):
        return image.convert("RGB")
    kinds = {"F": "floating-point", "I": "32-bit integer", "LAB": "CIELAB"}
    raise BadImageError(
        name,
        f"holds {kinds.get(mode, mode)} pixels, whose range has no fixed meaning as a photo. "
        f"Save it as 8-bit RGB (PNG or JPEG)",
    )


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _as_rgb_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype != np.uint8:
        raise BadImageError(
            name,
            f"is an array of {array.dtype}. Pass uint8 in [0, 255]: for floats in [0, 1], (255 * x).round()",
        )
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise BadImageError(name, f"has shape {array.shape}. Pass (h, w), (h, w, 1) or (h, w, 3)")
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _too_large(pixels: int | None = None) -> str:
    size = f"has {pixels / 1e6:.0f} megapixels" if pixels else "has too many pixels"
    return (
        f"{size}, above the limit of {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million that guards against "
        f"decompression bombs. Make it smaller, or raise `PIL.Image.MAX_IMAGE_PIXELS` if you trust it"
    )


def _problem(file, error: Exception) -> str:
    """Say what is wrong with a file that Pillow did not decode, from its first bytes."""
    file.seek(0)
    start = file.read(512)
    if not start:
        return "is empty (0 bytes)"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        return (
            "is a HEIC photo (the iPhone's format), which cannot be decoded here. Convert it to JPEG, or set "
            "the phone to “Most compatible”"
        )
    if start[4:12] == b"ftypavif" and isinstance(error, Image.UnidentifiedImageError):
        return "is AVIF, which this Pillow cannot read. Update it: pip install -U 'pillow>=11.3'"
    if not start.strip(b"\0"):
        return "holds only zero bytes: it was not copied or downloaded completely"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"is not an image that can be read: it looks like {_looks_like(start)}"
    if "truncated" in str(error) or isinstance(error, EOFError):
        return f"is cut off: {error}. Copy or download it again"
    return f"is damaged: {error or type(error).__name__}"


def _looks_like(start: bytes) -> str:
    head = start.lstrip()[:64].lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page (a failed download?)"
    if head.startswith((b"<svg", b"<?xml")):
        return "SVG or XML"
    known = {b"%pdf": "a PDF", b"pk\3\4": "a ZIP archive", b"\0asm": "a program", b"8bps": "a Photoshop file"}
    for magic, what in known.items():
        if head.startswith(magic):
            return what
    try:
        start.decode("utf-8")
        return "text"
    except UnicodeDecodeError as error:
        return "text" if error.start >= len(start) - 4 else "an unknown or damaged format"


def _file_problem(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is a broken link" if os.path.islink(path) else "is not there"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not an image"
    if isinstance(error, PermissionError):
        return "may not be read (permission denied)"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
