"""Drawn scenes of simple shapes: one value from which picture, boxes and masks come."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "arrow")
_RADII = (0.1, 0.26)  # of the shapes in a scene of several
_TRIES = 20  # places tried for a shape before it is left out
_FINER = 3  # drawn three times as large and reduced, for smooth edges


@dataclass(frozen=True)
class Shape:
    """One shape of a scene, in units of the picture's shorter side.

    Args:
        kind: one of `SHAPES`.
        centre: (x, y).
        radius: from the centre to the farthest point.
        angle: in radians.
        colour: (r, g, b) in [0, 255].
    """

    kind: str
    centre: tuple[float, float]
    radius: float
    angle: float
    colour: tuple[int, int, int]

    def outline(self) -> np.ndarray:
        """Return the polygon (n, 2) of x, y in units of the shorter side."""
        points = _polygon(self.kind)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return points @ np.array([[cosine, sine], [-sine, cosine]]) * self.radius + self.centre


@dataclass(frozen=True)
class Scene:
    """A picture of shapes on a cluttered ground, as numbers.

    Args:
        shapes: from back to front.
        ground: two colours (r, g, b) that run into each other.
        direction: of that run, in radians.
        clutter: thin lines, each (x0, y0, x1, y1, r, g, b), behind the shapes.
        noise: standard deviation of the grain, in grey levels.
        seed: of the grain.
    """

    shapes: tuple[Shape, ...]
    ground: tuple[tuple[int, int, int], tuple[int, int, int]]
    direction: float
    clutter: tuple[tuple[float, ...], ...]
    noise: float
    seed: int

    def draw(self, image_size: tuple[int, int]) -> np.ndarray:
        """Return the picture, (height, width, 3) uint8."""
        picture = Image.fromarray(self._ground(image_size))
        fine = picture.resize((image_size[1] * _FINER, image_size[0] * _FINER), Image.Resampling.NEAREST)
        unit = min(fine.size)
        pen = ImageDraw.Draw(fine)
        for x0, y0, x1, y1, *colour in self.clutter:
            ends = [(x0 * unit, y0 * unit), (x1 * unit, y1 * unit)]
            pen.line(ends, fill=tuple(map(int, colour)), width=max(1, unit // 60))
        for shape in self.shapes:
            _fill(fine, shape, unit)
        small = np.asarray(fine.resize((image_size[1], image_size[0]), Image.Resampling.BOX), np.float32)
        grain = np.random.default_rng(self.seed).normal(0, self.noise, small.shape)
        return np.clip(small + grain, 0, 255).round().astype(np.uint8)

    def boxes(self, image_size: tuple[int, int]) -> np.ndarray:
        """Return (n, 4) float32 xyxy in pixels, one for each shape, cut at the picture's edges."""
        height, width = image_size
        limits = np.array([width, height, width, height])
        corners = [np.r_[shape.outline().min(0), shape.outline().max(0)] for shape in self.shapes]
        boxes = np.array(corners).reshape(-1, 4) * min(image_size)
        return np.clip(boxes, 0, limits).astype(np.float32)

    def masks(self, image_size: tuple[int, int]) -> np.ndarray:
        """Return (n, height, width) bool: the visible pixels of each shape."""
        masks = [_mask(shape, image_size) for shape in self.shapes]
        covered = np.zeros(image_size, bool)
        for number in reversed(range(len(masks))):
            masks[number], covered = masks[number] & ~covered, covered | masks[number]
        return np.array(masks, bool).reshape(-1, *image_size)

    def _ground(self, image_size: tuple[int, int]) -> np.ndarray:
        height, width = image_size
        y, x = np.mgrid[0:height, 0:width] / max(height, width)
        along = x * np.cos(self.direction) + y * np.sin(self.direction)
        along = (along - along.min()) / max(np.ptp(along), 1e-9)
        first, second = np.array(self.ground, float)
        return (first + along[..., None] * (second - first)).astype(np.uint8)


def random_scene(kind: str, rng: np.random.Generator, extent: tuple[float, float] = (1.0, 1.0)) -> Scene:
    """Return a scene of one shape, whose place, size, angle and colours are drawn from `rng`.

    Args:
        kind: one of `SHAPES`.
        rng: the source of all that is random.
        extent: (width, height) of the picture in units of its shorter side.
    """
    radius = rng.uniform(0.22, 0.4)
    ground = rng.integers(30, 226, (2, 3))
    centre = rng.uniform(radius, np.array(extent) - radius)
    return _on_ground((_shape(kind, centre, radius, ground, rng),), ground, rng, extent)


def crowded_scene(
    kinds: Sequence[str], rng: np.random.Generator, extent: tuple[float, float] = (1.0, 1.0)
) -> Scene:
    """Return a scene of several shapes that hardly overlap; a shape for which there is no room is left out.

    Args:
        kinds: of `SHAPES`, one for each shape, which may repeat; none gives an empty scene.
        rng: the source of all that is random.
        extent: (width, height) of the picture in units of its shorter side.
    """
    ground = rng.integers(30, 226, (2, 3))
    shapes: list[Shape] = []
    for kind in kinds:
        for _ in range(_TRIES):
            radius = float(np.exp(rng.uniform(*np.log(_RADII))))
            centre = rng.uniform(radius, np.array(extent) - radius)
            if all(_clear(centre, radius, other) for other in shapes):
                shapes.append(_shape(kind, centre, radius, ground, rng))
                break
    return _on_ground(tuple(shapes), ground, rng, extent)


def badge_scene(
    identity: np.random.Generator, rng: np.random.Generator, extent: tuple[float, float] = (1.0, 1.0)
) -> Scene:
    """Return a scene of one badge: three shapes whose kinds, sizes, colours and order are its identity.

    Place, size and turn of the whole, the light on it and the ground are drawn from `rng`.

    Args:
        identity: the source of what makes the badge; one in the same state gives the same badge.
        rng: the source of what differs from picture to picture.
        extent: (width, height) of the picture in units of its shorter side.
    """
    radius, turn = rng.uniform(0.28, 0.42), rng.uniform(-0.35, 0.35)
    centre = rng.uniform(radius, np.array(extent) - radius)
    light = rng.uniform(0.8, 1.08)  # keeps 235 below 256
    shapes = []
    for kind, angle in zip(identity.choice(SHAPES, 3), np.arange(3) * 2 * np.pi / 3, strict=True):
        size, colour = identity.uniform(0.3, 0.5), identity.integers(20, 236, 3)
        away = 0.5 * np.array([np.sin(angle + turn), -np.cos(angle + turn)])
        shapes.append(
            Shape(
                kind=str(kind),
                centre=tuple((centre + radius * away).tolist()),
                radius=float(radius * size),
                angle=float(turn),
                colour=tuple((colour * light).astype(int).tolist()),
            )
        )
    return _on_ground(tuple(shapes), rng.integers(30, 226, (2, 3)), rng, extent)


def _clear(centre: np.ndarray, radius: float, other: Shape) -> bool:
    return float(np.hypot(*(centre - other.centre))) >= 0.85 * (radius + other.radius)


def _shape(kind: str, centre: np.ndarray, radius: float, ground: np.ndarray, rng) -> Shape:
    return Shape(
        kind=kind,
        centre=tuple(np.asarray(centre).tolist()),
        radius=float(radius),
        angle=float(rng.uniform(-0.4, 0.4)),
        colour=tuple(_apart(ground.mean(0), rng)),
    )


def _on_ground(shapes: tuple[Shape, ...], ground: np.ndarray, rng, extent: tuple[float, float]) -> Scene:
    ends = rng.uniform(0, 1, (rng.integers(2, 6), 4)) * (*extent, *extent)
    lines = [(*line, *rng.integers(0, 256, 3).tolist()) for line in ends.tolist()]
    return Scene(
        shapes=shapes,
        ground=tuple(tuple(colour) for colour in ground.tolist()),
        direction=float(rng.uniform(0, 2 * np.pi)),
        clutter=tuple(lines),
        noise=float(rng.uniform(2, 12)),
        seed=int(rng.integers(2**31)),
    )


def _apart(ground: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Return a colour that can be told from the ground."""
    colours = rng.integers(0, 256, (8, 3))
    return colours[np.argmax(np.abs(colours - ground).sum(-1))].tolist()


def _fill(picture: Image.Image, shape: Shape, unit: int) -> None:
    mask = Image.new("1", picture.size)
    _draw_mask(mask, shape, unit)
    picture.paste(shape.colour, mask=mask)


def _mask(shape: Shape, image_size: tuple[int, int]) -> np.ndarray:
    fine = Image.new("1", (image_size[1] * _FINER, image_size[0] * _FINER))
    _draw_mask(fine, shape, min(fine.size))
    share = fine.convert("L").resize((image_size[1], image_size[0]), Image.Resampling.BOX)
    return np.asarray(share) >= 128


def _draw_mask(mask: Image.Image, shape: Shape, unit: int) -> None:
    pen = ImageDraw.Draw(mask)
    pen.polygon([tuple(point) for point in shape.outline() * unit], fill=1)
    if shape.kind == "ring":
        inner = (shape.outline() - shape.centre) * 0.55 + shape.centre
        pen.polygon([tuple(point) for point in inner * unit], fill=0)


def _polygon(kind: str) -> np.ndarray:
    """Return a polygon in the unit circle, y downwards."""
    if kind in ("circle", "ring"):
        return _spokes(np.ones(48))
    if kind == "square":
        return _spokes(np.ones(4), start=np.pi / 4)
    if kind == "triangle":
        return _spokes(np.ones(3))
    if kind == "star":
        return _spokes(np.tile([1.0, 0.42], 5))
    if kind == "heart":
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        x = 16 * np.sin(turn) ** 3
        y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
        return np.stack([x, y], -1) / 17.0
    a, b = 0.32, 0.94
    if kind == "cross":
        return np.array(_points((-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a))) * 1.0
    return np.array(
        [(0, -1), (0.75, -0.1), (0.3, -0.1), (0.3, 0.95), (-0.3, 0.95), (-0.3, -0.1), (-0.75, -0.1)]
    )


def _points(*half: tuple[float, float]) -> Sequence[tuple[float, float]]:
    """Return the points and, after them, the same turned by half a circle."""
    return [*half, *((-x, -y) for x, y in half)]


def _spokes(lengths: np.ndarray, start: float = 0.0) -> np.ndarray:
    angles = start - np.pi / 2 + np.arange(len(lengths)) * 2 * np.pi / len(lengths)
    return np.stack([np.cos(angles), np.sin(angles)], -1) * np.asarray(lengths)[:, None]
