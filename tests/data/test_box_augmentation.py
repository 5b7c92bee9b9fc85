"""Augmentation of images with boxes: boxes follow their pixels, whatever is done to them."""

import numpy as np
import pytest

from kerasvision.data import box_augmentation
from kerasvision.data.box_augmentations import NAMES, PRESETS
from kerasvision.data.boxes import LEAST_VISIBLE
from kerasvision.errors import DataError

tf = pytest.importorskip("tensorflow")
HEIGHT, WIDTH = 80, 112
# Far apart, so that each is found again by its colour; the classes are their indices.
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]])
GREY = 90
GEOMETRY = ("flip", "vertical_flip", "scale_crop", "mosaic", "mosaic+flip+scale_crop", "scale_crop+mosaic")


def scene(rng, rectangles: int, room: int = 4):
    """Return an image of rectangles that do not touch, and its targets; the last one is a crowd."""
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    boxes, classes = np.zeros((room, 4), np.float32), np.full(room, -1, np.int32)
    crowd = np.zeros(room, bool)
    columns = rng.permutation(4)[:rectangles]
    for i, (column, colour) in enumerate(zip(columns, rng.permutation(6)[:rectangles], strict=True)):
        width, height = rng.integers(10, 25), rng.integers(10, 60)
        left, top = column * 28 + rng.integers(0, 28 - width), rng.integers(0, HEIGHT - height)
        image[top : top + height, left : left + width] = COLOURS[colour]
        boxes[i], classes[i] = (left, top, left + width, top + height), colour
    crowd[rectangles - 1 : rectangles] = rectangles > 1
    return image, {"boxes": boxes, "classes": classes, "crowd": crowd}


def batch_of(rectangles, seed=0):
    rng = np.random.default_rng(seed)
    scenes = [scene(rng, count) for count in rectangles]
    images = np.stack([image for image, _ in scenes])
    return images, {name: np.stack([one[name] for _, one in scenes]) for name in scenes[0][1]}


@pytest.fixture(scope="module")
def batch():
    return batch_of([3, 0, 1, 2, 4, 3, 2, 3])


def compiled(change, dtype=tf.uint8):
    """Return (images, targets, step) -> the same, as in a training step, for any batch size."""
    signature = {
        "boxes": tf.TensorSpec((None, 4, 4)),
        "classes": tf.TensorSpec((None, 4), tf.int32),
        "crowd": tf.TensorSpec((None, 4), tf.bool),
    }

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, HEIGHT, WIDTH, 3), dtype),
            signature,
            tf.TensorSpec((), tf.int64),
        ],
    )
    def step(images, targets, number):
        change.seed_step(number)
        return change(images, targets)

    def run(images, targets, number):
        images, targets = step(images, targets, tf.constant(number, tf.int64))
        return images.numpy(), {name: value.numpy() for name, value in targets.items()}

    return run


def patches(image, colour) -> list[tuple[int, int, int, int]]:
    """Return the bounding boxes of the connected parts of an image in a colour, to half a pixel."""
    ndimage = pytest.importorskip("scipy.ndimage")
    # Halfway between the colour and the grey around it is where the edge lies.
    near = np.abs(image - colour).max(-1) < np.abs(COLOURS[0] - GREY).max() / 2
    parts, _ = ndimage.label(near)
    found = ndimage.find_objects(parts)
    return [(x.start, y.start, x.stop, y.stop) for y, x in found]


def misplaced(images, targets, least: float = 3.0) -> tuple[list[str], int]:
    """Return the boxes that no patch of their colour has to a pixel, and how many lie inside a larger one.

    Parts of two images of a mosaic may touch in one colour, and then make one patch.
    """
    wrong, merged = [], 0
    for row, image in enumerate(images):
        for number, colour in enumerate(COLOURS):
            seen = np.array(patches(image, colour)).reshape(-1, 4)
            for box in targets["boxes"][row][targets["classes"][row] == number]:
                if (box[2:] - box[:2] < least).any() or (np.abs(seen - box).max(-1) <= 1.01).any():
                    continue  # blurred into its surroundings, or right
                inside = (seen[:, :2] <= box[:2] + 1.01).all(-1) & (seen[:, 2:] >= box[2:] - 1.01).all(-1)
                merged += inside.any()
                if not inside.any():
                    wrong.append(f"image {row}: box {box} of colour {number}, seen {seen.tolist()}")
    return wrong, merged


def is_padded(targets) -> bool:
    """Tell whether boxes come first, and what follows is 0, -1 and False."""
    absent = targets["classes"] < 0
    return bool(
        (np.diff(absent.astype(int), axis=1) >= 0).all()
        and (targets["boxes"][absent] == 0).all()
        and (targets["classes"][absent] == -1).all()
        and not targets["crowd"][absent].any()
    )


@pytest.mark.parametrize(("spec", "strength"), [*((spec, 1.0) for spec in GEOMETRY), (GEOMETRY[-1], 0.3)])
def test_boxes_follow_their_pixels(spec, strength, batch):
    step = compiled(box_augmentation(spec, strength=strength, seed=1))
    boxes = merged = moved = 0
    for number in range(8):
        images, targets = step(*batch, number)
        wrong, touching = misplaced(images, targets)
        assert not wrong, f"step {number}: {wrong[:3]}"
        assert is_padded(targets)
        assert targets["boxes"].min() >= 0 and (targets["boxes"] <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        boxes, merged = boxes + (targets["classes"] >= 0).sum(), merged + touching
        moved += (np.abs(images - batch[0]) > 1).any((1, 2, 3)).mean() / 8
    assert boxes > 60 and moved > 0.3
    # All would be inside a larger patch if boxes were cut too far.
    assert merged <= (0.1 * boxes if "mosaic" in spec else 0)


def test_nothing_is_left_without_its_box_when_images_get_smaller():
    """Of an image that is all seen, no object is lost: as many boxes as patches."""
    images, targets = batch_of([3] * 16, seed=2)
    step, whole = compiled(box_augmentation("scale_crop", strength=1.0, seed=0)), 0
    for number in range(3):
        changed, found = step(images, targets, number)
        for image, classes, given in zip(changed, found["classes"], targets["classes"], strict=True):
            seen = {n for n in given if n >= 0 and len(patches(image, COLOURS[n]))}
            # A patch without a box is at most what the rule drops, less than a quarter of an object.
            assert set(classes[classes >= 0]) <= seen
            whole += set(classes[classes >= 0]) == set(given[given >= 0])
    assert whole > 16


def test_moving_is_that_of_a_slow_reference(rng):
    from kerasvision.data.box_augmentation_layers import _move, open_targets

    boxes = np.sort(rng.uniform(0, 80, (16, 20, 2, 2)), axis=2).reshape(16, 20, 4).astype(np.float32)
    classes, crowd = rng.integers(-1, 3, (16, 20)).astype(np.int32), rng.random((16, 20)) < 0.3
    left, top = rng.uniform(-40, 40, (2, 16)).astype(np.float32)
    wide, high = rng.uniform(0.3, 2, (2, 16)).astype(np.float32)
    region = rng.uniform(0, 20, 16), 5.0, rng.uniform(40, 80, 16), 70.0
    state = open_targets({"boxes": boxes, "classes": classes, "crowd": crowd})
    state = _move(state, left, top, wide, high, region)
    state = _move(state, *(np.full(16, value, np.float32) for value in (10, -5, 0.8, 1.5)), (0, 0, 60, 60))
    kept = {"plain": 0, "crowd": 0, "dropped": 0}
    for i in range(16):
        low, most = (region[0][i], 5.0), (region[2][i], 70.0)
        for j in range(20):
            box, ends = boxes[i, j].astype(float), []
            whole = (box[2] - box[0]) * (box[3] - box[1]) / (wide[i] * high[i])
            for k, (start, scale) in enumerate(((left[i], wide[i]), (top[i], high[i])) * 2):
                ends.append(min(max((box[k] - start) / scale, low[k % 2]), most[k % 2]))
            sides, area = (ends[2] - ends[0], ends[3] - ends[1]), None
            alive = classes[i, j] >= 0 and min(sides) >= 1
            alive &= bool(crowd[i, j]) or sides[0] * sides[1] >= LEAST_VISIBLE * whole
            ends = [
                min(max((end - start) / scale, 0), 60)
                for end, (start, scale) in zip(ends, ((10, 0.8), (-5, 1.5)) * 2, strict=True)
            ]
            sides = ends[2] - ends[0], ends[3] - ends[1]
            area = sides[0] * sides[1]
            alive &= min(sides) >= 1 and (bool(crowd[i, j]) or area >= LEAST_VISIBLE * whole / (0.8 * 1.5))
            assert state["classes"][i, j] == (classes[i, j] if alive else -1)
            assert state["crowd"][i, j] == (alive and crowd[i, j])
            np.testing.assert_allclose(state["boxes"][i, j], ends if alive else 0, atol=1e-4)
            kept["dropped" if not alive else "crowd" if crowd[i, j] else "plain"] += 1
    assert min(kept.values()) > 10


@pytest.mark.parametrize("spec", ["vertical_flip", "scale_crop", "strong"])
def test_each_step_can_be_repeated(spec, batch):
    change = box_augmentation(spec, strength=1.0, seed=3)
    step = compiled(change)
    first, other, again = (step(*batch, number) for number in (7, 8, 7))
    resumed = compiled(box_augmentation(spec, strength=1.0, seed=3))(*batch, 7)
    for repeated in (again, resumed):
        np.testing.assert_array_equal(first[0], repeated[0])
        for name, value in first[1].items():
            np.testing.assert_array_equal(value, repeated[1][name])
    change.seed_step(7)
    images, targets = change(*batch)
    # Eager arithmetic is not fused: an edge between two colours may fall to the other side of a pixel.
    assert np.mean(np.abs(images - first[0]) > 2e-2) < 1e-3
    np.testing.assert_allclose(targets["boxes"], first[1]["boxes"], atol=1e-3)
    assert np.abs(first[0] - other[0]).max() > 1
    seeded = compiled(box_augmentation(spec, strength=1.0, seed=4))(*batch, 7)
    assert np.abs(first[0] - seeded[0]).max() > 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("spec", "strength"), [("none", 0.5), ("strong", 0.0), ("strong", 0)])
def test_nothing_changes_nothing(spec, strength, dtype, batch):
    step = compiled(box_augmentation(spec, strength=strength), tf.as_dtype(dtype))
    images, targets = step(batch[0].astype(dtype), batch[1], 5)
    np.testing.assert_array_equal(images, batch[0])
    assert images.dtype == np.float32
    for name, value in batch[1].items():
        np.testing.assert_array_equal(targets[name], value)
        assert targets[name].dtype == value.dtype


def test_next_to_nothing_changes_next_to_nothing(batch):
    images, targets = compiled(box_augmentation("scale_crop+color", strength=0.002))(*batch, 1)
    assert np.abs(images - batch[0]).mean() < 1
    np.testing.assert_allclose(targets["boxes"], batch[1]["boxes"], atol=1)
    np.testing.assert_array_equal(targets["classes"], batch[1]["classes"])


@pytest.mark.parametrize("spec", ["strong", "mosaic"])
def test_any_batch_also_without_boxes(spec, batch):
    step = compiled(box_augmentation(spec, strength=1.0, seed=0))
    for count in (0, 1, 2, 3, 5):
        images, targets = step(*[batch[0][:count], {n: v[:count] for n, v in batch[1].items()}], 0)
        assert images.shape == (count, HEIGHT, WIDTH, 3) and targets["boxes"].shape == (count, 16, 4)
        assert images.min(initial=0) >= 0 and images.max(initial=0) <= 255
    images, targets = batch_of([0, 0, 0])
    for number in range(3):
        _, changed = step(images, targets, number)
        assert (changed["classes"] == -1).all() and is_padded(changed)


def test_mosaic_shows_four_images_in_the_share_asked_for():
    # Flat greys, so that the brightness of each pixel names its image; a border would show as another.
    greys = np.arange(1, 17, dtype=np.uint8) * 15
    images = np.ones((16, HEIGHT, WIDTH, 3), np.uint8) * greys[:, None, None, None]
    targets = {
        "boxes": np.zeros((16, 4, 4), np.float32),
        "classes": np.full((16, 4), -1, np.int32),
        "crowd": np.zeros((16, 4), bool),
    }
    step = compiled(box_augmentation("mosaic", strength=0.4, seed=0))
    counts, places = [], set()
    for number in range(20):
        for index, image in enumerate(step(images, targets, number)[0]):
            shown = np.unique(image)
            assert set(shown) <= set(greys.astype(float)) and greys[index] in shown
            counts.append(len(shown))
            if len(shown) == 4:
                corners = image[[0, 0, -1, -1], [0, -1, 0, -1], 0]
                assert set(corners) == set(shown)
                places.add(int(np.argmax(corners == greys[index])))
    assert 0.33 < np.mean(np.array(counts) > 1) < 0.47 and max(counts) == 4 and places == {0, 1, 2, 3}


def test_images_of_a_batch_are_changed_differently(batch):
    same = (
        np.repeat(batch[0][:1], 8, 0),
        {name: np.repeat(value[:1], 8, 0) for name, value in batch[1].items()},
    )
    for spec in NAMES:
        images, _ = compiled(box_augmentation(spec, strength=1.0))(*same, 0)
        assert len({image.tobytes() for image in images}) >= (2 if "flip" in spec else 8)


@pytest.mark.parametrize("most", [6, 40])
def test_the_largest_boxes_stay_where_there_is_room_for_fewer(most, batch):
    _, everything = compiled(box_augmentation("mosaic", strength=1.0, seed=0))(*batch, 2)
    _, cut = compiled(box_augmentation("mosaic", strength=1.0, seed=0, most_boxes=most))(*batch, 2)
    assert cut["boxes"].shape == (8, most, 4) and cut["classes"].shape == (8, most) and is_padded(cut)
    for row in range(8):
        boxes = everything["boxes"][row][everything["classes"][row] >= 0]
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], -1)
        largest = np.sort(np.argsort(-areas, kind="stable")[:most])
        np.testing.assert_array_equal(cut["boxes"][row, : len(largest)], boxes[largest])
        assert (cut["classes"][row] >= 0).sum() == len(largest)
    assert compiled(box_augmentation("flip", most_boxes=7))(*batch, 0)[1]["crowd"].shape == (8, 7)


def test_float32_also_under_mixed_precision(batch):
    import keras

    plain = compiled(box_augmentation("mosaic+scale_crop", seed=0))(*batch, 1)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = compiled(box_augmentation("mosaic+scale_crop", seed=0))(*batch, 1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(plain[0], mixed[0])
    np.testing.assert_array_equal(plain[1]["boxes"], mixed[1]["boxes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "flip+scale_corp"}, "'scale_corp' is not one of them, did you mean 'scale_crop'"),
        ({"spec": "flip+flip"}, "'flip' comes twice"),
        ({"spec": "cutmix"}, "'cutmix' is not one of them"),
        ({"spec": ["flip"]}, r"`spec` must be text.*Received: \['flip'\]"),
        ({"strength": 1.5}, "`strength` must be from 0 to 1. Received: 1.5"),
        ({"strength": float("nan")}, "Received: nan"),
        ({"most_boxes": 0}, "`most_boxes` must be a whole number from 1, or None. Received: 0"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        box_augmentation(**arguments)


def test_targets_that_would_stay_behind_are_refused(batch):
    with pytest.raises(DataError, match="would not move.*Received: boxes, classes, crowd, masks"):
        box_augmentation()(batch[0], batch[1] | {"masks": 0})
    assert {name: box_augmentation(name).names for name in PRESETS}["strong"][0] == "mosaic"


def test_what_keras_does_that_we_go_around(batch):
    """The reasons in `box_augmentation_layers`: when one of these fails, Keras has changed."""
    from keras import layers

    images, targets = batch_of([1] * 8, seed=5)
    given = {"boxes": tf.constant(targets["boxes"]), "labels": tf.constant(targets["classes"])}
    wrong = {"flip": 0, "crop": 0}
    for seed in range(4):
        for name, layer in {
            "flip": layers.RandomFlip("horizontal", seed=seed, bounding_box_format="xyxy"),
            "crop": layers.RandomCrop(HEIGHT - 16, WIDTH - 20, seed=seed, bounding_box_format="xyxy"),
        }.items():
            # A dictionary of its own: the layers write into what they are given.
            taken = {"images": tf.cast(images, tf.float32), "bounding_boxes": dict(given)}
            changed = layer(taken, training=True)
            boxes = np.array(changed["bounding_boxes"]["boxes"])
            moved = {"boxes": boxes, "classes": targets["classes"]}
            wrong[name] += len(misplaced(np.array(changed["images"]), moved)[0])
            if name == "flip":
                assert (boxes[:, 1:] != 0).any(), "padding moves"
    assert wrong["flip"] == 0 and wrong["crop"] > 0
