"""Images inside the page: small JPEGs and PNGs as data, and Grad-CAM laid over a photo."""

import base64
import io

import numpy as np
from PIL import Image

from kerasvision.report.html import Markup, tag

LONGEST = 240  # pixels; a picture is shown at about this width
PIXELATED = 64  # at most this many pixels wide: enlarged with hard edges, and kept lossless
# Dark blue, magenta, orange, pale yellow: rises in brightness all the way, so it also reads in grey.
HEAT = np.array([[20, 10, 80], [140, 20, 130], [235, 95, 60], [255, 235, 130]], float)


def picture(image: np.ndarray, alt: str) -> Markup:
    """Return an `<img>` with the picture inside it.

    Args:
        image: (h, w, 3) uint8 RGB.
        alt: what is to be seen, for those who cannot.
    """
    small = max(image.shape[:2]) <= PIXELATED
    height, width = shrunk(image.shape[:2])
    return tag(
        "img",
        src=data_uri(image),
        alt=alt,
        width=width,
        height=height,
        class_="small" if small else None,
        loading="lazy",
    )


def data_uri(image: np.ndarray, longest: int = LONGEST) -> str:
    """Return an image as a `data:` address: JPEG, or PNG when small or with an alpha channel."""
    shown = Image.fromarray(np.ascontiguousarray(image))
    height, width = shrunk(image.shape[:2], longest)
    if (width, height) != shown.size:
        shown = shown.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    lossless = shown.mode != "RGB" or max(shown.size) <= PIXELATED
    buffer = io.BytesIO()
    shown.save(buffer, **({"format": "PNG"} if lossless else {"format": "JPEG", "quality": 82}))
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def shrunk(size: tuple[int, int], longest: int = LONGEST) -> tuple[int, int]:
    """Return (height, width) made to fit the page, proportions kept."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def overlay(image: np.ndarray, heat: np.ndarray, *, strength: float = 0.65) -> np.ndarray:
    """Lay a heat map over an image; where the heat is 0 the image stays as it is.

    Args:
        image: (h, w, 3) uint8.
        heat: (h', w') float in [0, 1], enlarged to the image's size.
        strength: opacity of the hottest point.

    Returns:
        (h, w, 3) uint8.
    """
    height, width = image.shape[:2]
    heat = np.nan_to_num(np.asarray(heat, np.float32))
    smooth = Image.fromarray(heat).resize((width, height), Image.Resampling.BICUBIC)
    warmth = np.clip(np.asarray(smooth), 0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    colour = np.stack([np.interp(warmth, stops, HEAT[:, c]) for c in range(3)], axis=-1)
    opacity = strength * np.sqrt(warmth)[..., None]
    return np.round(image * (1 - opacity) + colour * opacity).astype(np.uint8)
