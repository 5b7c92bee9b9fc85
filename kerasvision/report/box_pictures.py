"""Photos with boxes: as a drawing on the photo itself, and as a picture inside a page."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kerasvision.report.html import Markup, tag
from kerasvision.report.pictures import data_uri

# One a class, then again from the front: told apart also by colour-blind people, light enough for dark photos
# (after Okabe and Ito, 2008).
COLOURS = ("#56b4e9", "#e69f00", "#2fbf8f", "#f0e442", "#cc79a7", "#ff6f3c", "#7a8cff", "#d0d4d9")
DARK = "#10141a"
LONGEST = 480  # pixels of a picture in a page


def colour_of(label: int) -> str:
    """Return the colour of a class."""
    return COLOURS[label % len(COLOURS)]


def draw_boxes(
    image: Image.Image, boxes: np.ndarray, labels: Sequence[int], texts: Sequence[str]
) -> Image.Image:
    """Return a copy of an image with boxes drawn on it, each with its text.

    Args:
        image: RGB.
        boxes: (n, 4) xyxy in pixels of the image.
        labels: n classes, which choose the colours.
        texts: n texts; an empty one is not written.
    """
    drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    width = max(2, round(max(drawn.size) / 350))
    font = ImageFont.load_default(size=max(11, round(max(drawn.size) / 55)))
    # The surest come first; they are drawn last, on top.
    order = range(len(boxes) - 1, -1, -1)
    for index in order:
        pen.rectangle(_corners(boxes[index], drawn.size), outline=colour_of(labels[index]), width=width)
    for index in order:
        if texts[index]:
            _write(pen, drawn.size, boxes[index], texts[index], font, colour_of(labels[index]))
    return drawn


def _corners(box, size: tuple[int, int]) -> list[float]:
    """Return left, top, right and bottom so that the line lies inside the picture."""
    left, top, right, bottom = (float(v) for v in box)
    right, bottom = min(right, size[0]) - 1, min(bottom, size[1]) - 1
    return [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]


def _write(pen, size: tuple[int, int], box, text: str, font, colour: str) -> None:
    """Write above the box, or inside it where there is no room above."""
    _, _, width, height = pen.textbbox((0, 0), text, font=font)
    x = max(0.0, min(float(box[0]), size[0] - width - 6))
    y = float(box[1]) - height - 4
    y = y if y >= 0 else min(float(box[1]), size[1] - height - 4)
    pen.rectangle([x, y, x + width + 6, y + height + 4], fill=colour)
    pen.text((x + 3, y + 1), text, fill=DARK, font=font)


def boxed_picture(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[int],
    marked: Sequence[bool],
    hints: Sequence[str],
    *,
    alt: str,
) -> Markup:
    """Return a picture with boxes over it, for a page; what is `marked` is dashed and thick.

    Args:
        image: (h, w, 3) uint8, at most `LONGEST` pixels.
        boxes: (n, 4) xyxy in pixels of the image.
        labels: n classes, which choose the colours.
        marked: n flags.
        hints: n texts that a pointer resting on a box shows.
        alt: what is to be seen, for those who cannot.
    """
    height, width = image.shape[:2]
    unit = max(height, width) / 240
    drawn = [
        tag(
            "rect",
            tag("title", hint),
            x=round(float(box[0]), 1),
            y=round(float(box[1]), 1),
            width=round(max(0.1, float(box[2] - box[0])), 1),
            height=round(max(0.1, float(box[3] - box[1])), 1),
            stroke=colour_of(label),
            stroke_width=round(unit * (2.6 if bold else 1.3), 2),
            stroke_dasharray=f"{4 * unit:.1f} {2.2 * unit:.1f}" if bold else None,
        )
        for box, label, bold, hint in zip(boxes, labels, marked, hints, strict=True)
    ]
    photo = tag("image", href=data_uri(image, LONGEST), width=width, height=height)
    return tag(
        "svg",
        tag("title", alt),
        photo,
        tag("g", drawn, fill="transparent"),
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="boxed",
    )


def class_legend(names: Sequence[str]) -> Markup:
    """Return which colour stands for which class."""
    entries = [
        tag("span", tag("i", style=f"background:{colour_of(i)}"), name) for i, name in enumerate(names)
    ]
    return tag("div", entries, class_="legend solid")
