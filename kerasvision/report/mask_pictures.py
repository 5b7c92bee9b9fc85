"""Photos with label maps over them: as a drawing on the photo itself, and as pictures inside a page."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from kerasvision.metrics.segmentation import VOID
from kerasvision.report.box_pictures import COLOURS, DARK
from kerasvision.report.html import Markup, fragment, percent, tag
from kerasvision.report.pictures import data_uri

LONGEST = 480  # pixels of a picture in a page
SMALL = 240  # pictures below it are enlarged, so that lines and text are finer than their pixels
GROUND = ("background", "__background__", "_background_")  # classes that are left as they are on photos
STRENGTH = 0.55
LEAST_NAMED = 0.004  # share of the picture from which on a region is large enough for its name
LOOKED_AT = 400  # longest side of the label map that places for names are looked for on
WRONG, PALE = (255, 111, 60), (235, 238, 242)
LIGHT = "#f4f6f8"
# Beyond the eight hues the same come darker, then paler: brightness is seen by everybody.
SHADES = ((0.0, (0, 0, 0)), (0.5, (0, 0, 0)), (0.55, (255, 255, 255)), (0.72, (0, 0, 0)))


def class_colours(class_names: Sequence[str]) -> np.ndarray:
    """Return the colour of each class, (classes, 3) uint8; a background is black.

    The first eight are told apart also by colour-blind people (after Okabe and Ito, 2008); after them the
    same hues come darker, then paler.
    """
    colours, place = [], 0
    for name in class_names:
        if is_ground(name):
            colours.append((0, 0, 0))
            continue
        hue = np.array(ImageColor.getrgb(COLOURS[place % len(COLOURS)]), float)
        share, towards = SHADES[place // len(COLOURS) % len(SHADES)]
        colours.append(tuple(np.round(hue * (1 - share) + share * np.array(towards)).astype(int)))
        place += 1
    return np.array(colours, np.uint8).reshape(-1, 3)


def is_ground(name: str) -> bool:
    """Tell whether a class is what is behind everything, and is not coloured on photos."""
    return name.strip().lower() in GROUND


def palette(class_names: Sequence[str]) -> np.ndarray:
    """Return the colours of all labels, (256, 3) uint8; void is grey, what is no class black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(class_names)] = class_colours(class_names)
    colours[VOID] = 128
    return colours


def draw_labels(
    image: Image.Image,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    strength: float = STRENGTH,
    names: bool = True,
) -> Image.Image:
    """Return a copy of an image with each region in the colour of its class, outlined, with its name on it.

    Void is hatched; a class that is called background is left as it is.

    Args:
        image: RGB, (h, w).
        labels: (h, w) uint8, indices into `class_names`, or 255 where it is void.
        class_names: in the order of the labels.
        strength: opacity of the colours, from 0 to 1; outlines are opaque.
        names: write the names of the classes on their largest regions.
    """
    labels = np.asarray(labels)
    colours = palette(class_names)
    painted = np.ones(256, bool)
    painted[[i for i, name in enumerate(class_names) if is_ground(name)] + [VOID]] = False
    photo = image.convert("RGB")
    coloured = Image.fromarray(colours[labels])
    drawn = Image.composite(Image.blend(photo, coloured, strength), photo, _mask(painted[labels]))
    outline = outlines(labels, max(1, round(max(photo.size) / 500))) & painted[labels]
    drawn.paste(coloured, mask=_mask(outline))
    _hatch(drawn, labels == VOID)
    if names:
        _write_names(drawn, labels, class_names, colours)
    return drawn


def error_map(image: Image.Image, truth: np.ndarray, found: np.ndarray) -> Image.Image:
    """Return a pale grey copy of an image on which what is wrong is bright; void is hatched.

    Args:
        image: RGB, (h, w).
        truth: (h, w) uint8, 255 where it is void.
        found: (h, w) uint8.
    """
    drawn = _pale(image, 0.45)
    void = truth == VOID
    drawn.paste(WRONG, mask=_mask((truth != found) & ~void))
    _hatch(drawn, void)
    return drawn


def outlines(labels: np.ndarray, width: int = 1) -> np.ndarray:
    """Return the pixels that are no more than `width` from another label, (h, w) bool."""
    edge = np.zeros(labels.shape, bool)
    for step in range(1, width + 1):
        for axis in (0, 1):
            if labels.shape[axis] <= step:
                continue
            first, second = (
                (slice(None),) * axis + (cut,) for cut in (slice(None, -step), slice(step, None))
            )
            differs = labels[first] != labels[second]
            edge[first] |= differs
            edge[second] |= differs
    return edge


def smaller_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a label map made as large as a picture, (h, w), by nearest neighbour."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, labels.shape, strict=True)
    )
    return labels.take(rows, axis=0).take(columns, axis=1)


def scene_pictures(image: np.ndarray, truth: np.ndarray, found: np.ndarray, class_names) -> list[np.ndarray]:
    """Return four pictures for a page: the photo, the truth and the answer over it, and what is wrong.

    Over a photo in colours its own would mix with those of the classes, so these are over a grey one.

    Args:
        image: (h, w, 3) uint8.
        truth: (h, w) uint8, 255 where it is void.
        found: (h, w) uint8.
        class_names: in the order of the labels.
    """
    times = max(1, -(-SMALL // max(image.shape[:2])))
    image, truth, found = (value.repeat(times, 0).repeat(times, 1) for value in (image, truth, found))
    photo = Image.fromarray(image)
    grey = _pale(photo, 0.2)
    drawn = [draw_labels(grey, labels, class_names, names=False) for labels in (truth, found)]
    return [np.asarray(one) for one in (photo, *drawn, error_map(photo, truth, found))]


def label_legend(class_names: Sequence[str], among: Sequence[int] | None = None) -> Markup:
    """Return which colour stands for which class.

    Args:
        class_names: in the order of the labels.
        among: only these labels.
    """
    colours = class_colours(class_names)
    chosen = range(len(class_names)) if among is None else among
    entries = [tag("span", tag("i", style=f"background:{_css(colours[i])}"), class_names[i]) for i in chosen]
    return tag("div", entries, class_="legend solid")


def swatch(class_names: Sequence[str], label: int) -> Markup:
    """Return a class' name with its colour before it."""
    colour = _css(class_colours(class_names)[label])
    return tag("span", tag("i", style=f"background:{colour}"), class_names[label], class_="swatch")


def labels_summary(
    name: str, labels: np.ndarray, class_names: Sequence[str], shares: Mapping[str, float]
) -> str:
    """Return a label map and the share of each class as a fragment for a notebook."""
    height, width = labels.shape
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    coloured = palette(class_names)[smaller_labels(labels, size)]
    image = tag("img", src=data_uri(coloured, LONGEST), alt=f"Label map of {name}", style="max-width:480px")
    rows = [
        tag("div", swatch(class_names, class_names.index(label)), f" {percent(share)}")
        for label, share in shares.items()
    ]
    return fragment(tag("figure", image, tag("figcaption", tag("span", name, class_="file"))), rows)


def _pale(image: Image.Image, share: float) -> Image.Image:
    """Return a copy in grey, from black to white whatever the light was, and mixed with a pale colour."""
    grey = ImageOps.autocontrast(image.convert("L"), cutoff=1).convert("RGB")
    return Image.blend(grey, Image.new("RGB", image.size, PALE), share)


def _css(colour: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(v) for v in colour))


def _mask(where: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(where, np.uint8(255), np.uint8(0)))


def _hatch(drawn: Image.Image, where: np.ndarray) -> None:
    if not where.any():
        return
    rows, columns = np.indices(where.shape, np.int32, sparse=True)
    step = max(3, round(max(drawn.size) / 120))
    drawn.paste((60, 66, 74), mask=_mask(where & ((rows + columns) // step % 3 == 0)))


def _write_names(drawn: Image.Image, labels: np.ndarray, class_names: Sequence[str], colours) -> None:
    pen, longest = ImageDraw.Draw(drawn), max(drawn.size)
    font = ImageFont.load_default(size=max(11, round(longest / 45)))
    scale = min(1.0, LOOKED_AT / longest)
    small = smaller_labels(labels, tuple(max(1, round(side * scale)) for side in labels.shape))
    for label, name in enumerate(class_names):
        place = None if is_ground(name) else _middle(small == label)
        if place is None:
            continue
        y, x = ((at + 0.5) * old / new for at, old, new in zip(place, labels.shape, small.shape, strict=True))
        left, top, right, bottom = pen.textbbox((0, 0), name, font=font)
        wide, high, margin = right - left, bottom - top, max(2, longest // 250)
        x = min(max(x - wide / 2, margin), max(margin, drawn.width - wide - margin))
        y = min(max(y - high / 2, margin), max(margin, drawn.height - high - margin))
        pen.rectangle(
            [x - margin, y - margin, x + wide + margin, y + high + margin],
            fill=tuple(map(int, colours[label])),
        )
        bright = colours[label].astype(float) @ (0.299, 0.587, 0.114) > 110
        pen.text((x - left, y - top), name, fill=DARK if bright else LIGHT, font=font)


def _middle(region: np.ndarray) -> tuple[int, int] | None:
    """Return the place inside the largest part of a region that is farthest from its edges."""
    from scipy.ndimage import distance_transform_edt, label

    if region.mean() < LEAST_NAMED:
        return None
    parts, count = label(region)
    sizes = np.bincount(parts.reshape(-1), minlength=count + 1)
    sizes[0] = 0
    largest = int(sizes.argmax())
    if sizes[largest] < LEAST_NAMED * region.size:
        return None
    depth = distance_transform_edt(np.pad(parts == largest, 1))[1:-1, 1:-1]
    return tuple(int(v) for v in np.unravel_index(depth.argmax(), depth.shape))
