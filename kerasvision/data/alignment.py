"""Turn, scale and move a face so that its eyes, nose and mouth are where a template has them."""

from typing import Literal, get_args

import numpy as np
from PIL import Image

from kerasvision.data.decoding import Source, open_image
from kerasvision.errors import BadImageError, DataError

Template = Literal["arcface", "eyes"]
POINTS = ("left eye", "right eye", "nose", "left corner of the mouth", "right corner of the mouth")
# x, y in an image of 112 x 112 pixels, left and right as seen in the image. "arcface": the reference points
# of https://github.com/deepinsight/insightface, python-package/insightface/utils/face_align.py, which goes
# with Deng et al., ArcFace, 2019. "eyes": its eyes, at the same height.
TEMPLATES = {
    "arcface": np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    ),
    "eyes": np.array([[38.2946, 51.59885], [73.5318, 51.59885]]),
}
SIDE = 112  # pixels of the templates
NO_FACE = "no face was found on it"
_LEAST = 2.0  # pixels between the eyes


def align(
    image: Source,
    landmarks: np.ndarray,
    *,
    image_size: int = SIDE,
    template: Template = "arcface",
    name: str | None = None,
) -> np.ndarray:
    """Cut out a face so that its landmarks are where the template has them, as well as a similarity can.

    The photo is turned, scaled and moved, never sheared or mirrored; what lies outside of it is black.

    Args:
        image: a path, encoded bytes, or a uint8 array (h, w), (h, w, 1) or (h, w, 3).
        landmarks: (5, 2) x and y in pixels of the upright photo, 0 at the centre of the first pixel: left
            eye, right eye, nose, left and right corner of the mouth, where left is left in the photo. For
            `template="eyes"` (2, 2) will do.
        image_size: side of the square in pixels.
        template: `"arcface"`, the five reference points of ArcFace, scaled to `image_size`; `"eyes"`, its
            eyes at the same height.
        name: what to call the image in an error, for sources that are not paths.

    Returns:
        (image_size, image_size, 3) uint8.

    Raises:
        BadImageError: the image cannot be used, or the landmarks make no face on it.
        DataError: `landmarks`, `template` or `image_size` has the wrong form.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991.

    Example:
        >>> face = np.zeros((200, 200, 3), np.uint8)
        >>> align(face, [(70, 90), (130, 90)], template="eyes").shape
        (112, 112, 3)
    """
    target = template_points(template, image_size)
    points = check_points(landmarks, template)
    picture = open_image(image, name=name)
    shown = name or (image if isinstance(image, str) else "image")
    _check_face(points, target, picture, str(shown))
    return _cut_out(picture, similarity(points, target), image_size)


def similarity(points: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """Return the similarity that takes points closest to others, by least squares.

    In the plane Umeyama's solution is one division: with points as complex numbers x + iy about their means,
    the factor that turns and scales is the sum of conj(p) q over the sum of |p|^2.

    Args:
        points: (N, 2) x and y, not all the same.
        target: (N, 2) where they are to go.

    Returns:
        (factor, shift): a point z = x + iy goes to factor * z + shift.

    Example:
        >>> similarity(np.array([[0, 0], [1, 0]]), np.array([[5, 5], [5, 7]]))
        (2j, (5+5j))
    """
    p, q = (np.asarray(values, float) @ np.array([1, 1j]) for values in (points, target))
    centred = p - p.mean()
    factor = np.vdot(centred, q - q.mean()) / np.vdot(centred, centred).real
    return complex(factor), complex(q.mean() - factor * p.mean())


def template_points(template: str, image_size: int) -> np.ndarray:
    """Return where the landmarks go, (5, 2) or (2, 2) x and y in pixels.

    Raises:
        DataError: there is no such template, or the size is not one whole number.
    """
    if template not in get_args(Template):
        raise DataError(f'`template` must be "arcface" or "eyes". Received: {template!r}.')
    if not isinstance(image_size, int | np.integer) or not 8 <= image_size <= 4096:
        raise DataError(
            f"Faces are aligned to a square: `image_size` must be one number from 8 to 4096. Received: "
            f"{image_size!r}. A usual size is 112."
        )
    return TEMPLATES[template] * (image_size / SIDE)


def check_points(landmarks: np.ndarray, template: str) -> np.ndarray:
    """Return the landmarks that a template needs, (5, 2) or (2, 2) float.

    Raises:
        DataError: they have another shape.
    """
    try:
        points = np.asarray(landmarks, float)
    except (TypeError, ValueError):
        raise DataError(f"`landmarks` must be numbers x, y. Received: {landmarks!r}.") from None
    if template == "eyes" and points.shape == (5, 2):
        points = points[:2]
    if points.shape != TEMPLATES[template].shape:
        hint = ' For two eyes pass template="eyes".' if points.shape == (2, 2) else ""
        raise DataError(
            f"`landmarks` must be {TEMPLATES[template].shape} for the template {template!r}: x and y of "
            f"{', '.join(POINTS[: len(TEMPLATES[template])])}. Received: {points.shape}.{hint}"
        )
    return points


def _check_face(points: np.ndarray, target: np.ndarray, picture: Image.Image, name: str) -> None:
    """Refuse landmarks of no face: not finite, in shares, mirrored, or off the photo."""
    shown = ", ".join(f"({x:g}, {y:g})" for x, y in points.tolist())
    if not np.isfinite(points).all() or np.hypot(*(points[1] - points[0])) < _LEAST:
        raise BadImageError(
            name,
            f"has landmarks that are no face in pixels: {shown}. If they are shares of width and height, "
            f"multiply them by these",
        )
    if not (0 <= points.mean(0)).all() or not (points.mean(0) <= np.array(picture.size) - 1).all():
        raise BadImageError(
            name,
            f"has {picture.width} x {picture.height} pixels, and its landmarks lie beside it: {shown}. They "
            f"are pixels of the upright photo at full size",
        )
    if _mirrored(points, target):
        raise BadImageError(
            name,
            f"has landmarks with left and right exchanged: {shown}. Left is left in the photo, not of the "
            f"person",
        )


def _mirrored(points: np.ndarray, target: np.ndarray) -> bool:
    """Tell whether mirrored points fit better; two eyes must be in order, as they always fit."""
    if len(points) == 2:
        return points[0, 0] > points[1, 0]
    return _misfit(points * (-1, 1), target) < _misfit(points, target)


def _misfit(points: np.ndarray, target: np.ndarray) -> float:
    factor, shift = similarity(points, target)
    away = factor * (points @ np.array([1, 1j])) + shift - target @ np.array([1, 1j])
    return float(np.abs(away).max())


def _cut_out(picture: Image.Image, move: tuple[complex, complex], side: int) -> np.ndarray:
    """Sample the photo bilinearly; where it will be smaller it is reduced first, against aliasing."""
    factor, shift = move
    # From centres of pixels to their corners, where Pillow begins to count.
    shift += (0.5 + 0.5j) * (1 - factor)
    scale = min(1.0, abs(factor))
    reduced = tuple(max(1, round(length * scale)) for length in picture.size)
    across, down = reduced[0] / picture.width, reduced[1] / picture.height
    if reduced != picture.size:
        picture = picture.resize(reduced, Image.Resampling.BILINEAR, reducing_gap=3.0)
    back, start = 1 / factor, -shift / factor
    rows = (
        (back.real * across, -back.imag * across, start.real * across),
        (back.imag * down, back.real * down, start.imag * down),
    )
    return np.asarray(
        picture.transform((side, side), Image.Transform.AFFINE, rows[0] + rows[1], Image.Resampling.BILINEAR)
    )
