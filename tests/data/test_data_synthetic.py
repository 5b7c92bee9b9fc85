"""Drawn scenes: repeatable, learnable, and boxes and masks that fit the picture."""

import numpy as np
import pytest

from kerasvision.data import Scene, random_scene, shapes
from kerasvision.data.scenes import SHAPES, Shape
from kerasvision.errors import DataError


def plain(*drawn: Shape) -> Scene:
    return Scene(shapes=drawn, ground=((0, 0, 0), (0, 0, 0)), direction=0.0, clutter=(), noise=0.0, seed=0)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("image_size", [(48, 48), (40, 80)])
def test_box_and_mask_fit_what_is_drawn(kind, image_size):
    rng = np.random.default_rng(SHAPES.index(kind))
    height, width = image_size
    for _ in range(5):
        shape = random_scene(kind, rng, (width / min(image_size), height / min(image_size))).shapes[0]
        scene = plain(Shape(shape.kind, shape.centre, shape.radius, shape.angle, (250, 250, 250)))
        seen = scene.draw(image_size)[..., 0] > 125
        mask, box = scene.masks(image_size)[0], scene.boxes(image_size)[0]
        assert (mask != seen).mean() < 0.002
        y, x = np.nonzero(mask)
        np.testing.assert_allclose(box, [x.min(), y.min(), x.max() + 1, y.max() + 1], atol=2.5)
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height


def test_masks_hold_visible_pixels_only():
    back = Shape("square", (0.5, 0.5), 0.4, 0.0, (255, 0, 0))
    front = Shape("circle", (0.5, 0.5), 0.2, 0.0, (0, 255, 0))
    masks = plain(back, front).masks((64, 64))
    assert not (masks[0] & masks[1]).any()
    assert masks[1][32, 32] and not masks[0][32, 32] and masks[0][20, 20]
    assert plain().masks((8, 8)).shape == (0, 8, 8) and plain().boxes((8, 8)).shape == (0, 4)


def test_ring_has_a_hole():
    assert not plain(Shape("ring", (0.5, 0.5), 0.4, 0.0, (9, 9, 9))).masks((64, 64))[0][32, 32]


def test_the_same_seed_draws_the_same():
    first, same, other = (shapes(count=12, image_size=24, seed=seed) for seed in (3, 3, 4))
    pictures = [data.images("train", range(6)) for data in (first, same, other)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()


def test_names_and_counts():
    data = shapes(count=50, classes=("star", "ring"), image_size=(24, 32), validation_fraction=0.2)
    assert data.class_names == ("star", "ring")
    assert data.counts == {"train": {"star": 20, "ring": 20}, "validation": {"star": 5, "ring": 5}}
    assert data.images("train", [0]).shape == (1, 24, 32, 3)
    assert data.files["validation"][0].startswith("shapes #")


def test_shapes_can_be_told_apart():
    from sklearn.neighbors import KNeighborsClassifier

    data = shapes(count=60, classes=3, image_size=32, seed=0)
    scenes = data.splits["train"].sources.items
    masks = np.stack([_centred(scenes.scene(i)) for i in range(60)])
    model = KNeighborsClassifier(1).fit(masks[:40], scenes.labels[:40])
    assert model.score(masks[40:], scenes.labels[40:]) > 0.9


def _centred(scene: Scene) -> np.ndarray:
    shape = scene.shapes[0]
    return plain(Shape(shape.kind, (0.5, 0.5), 0.4, shape.angle, (1, 1, 1))).masks((16, 16))[0].ravel()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"task": "caption"},
            '`task` must be "classify", "detect", "segment" or "embed". Received: .caption..',
        ),
        ({"count": 2}, "`count` must be a whole number from 5"),
        ({"count": 9.5}, "Received: 9.5"),
        ({"classes": 1}, "from 2 to 8"),
        ({"classes": ("star", "moon")}, "circle, square, .*Received"),
        ({"image_size": -3}, "`image_size`"),
        ({"batch_size": 0}, "`batch_size` must be a whole number from 1. Received: 0"),
        ({"seed": -1}, "`seed` must be a whole number from 0. Received: -1"),
        ({"validation_fraction": 2}, "`validation_fraction`"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        shapes(**arguments)


def test_data_show_what_they_are_in_a_few_lines():
    data = shapes("classify", count=40, image_size=16)
    lines = repr(data).splitlines()
    assert "classes, 16 x 16 pixels (stretch)" in lines[0]
    assert lines[1].startswith("  train: ") and f"{data.class_names[0]} " in lines[1]
    assert len(lines) < 10 and max(map(len, lines)) < 250
