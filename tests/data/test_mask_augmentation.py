"""Augmentation of images with label maps: every pixel keeps its label, whatever is done to it."""

import numpy as np
import pytest

from kerasvision.data import mask_augmentation
from kerasvision.data.mask_augmentations import NAMES, PRESETS
from kerasvision.errors import DataError
from kerasvision.metrics.segmentation import VOID

tf = pytest.importorskip("tensorflow")
from kerasvision.data.augmentation_layers import MEAN_COLOUR  # noqa: E402, it imports TensorFlow

HEIGHT, WIDTH = 72, 96
GEOMETRY = (
    "flip",
    "vertical_flip",
    "scale_crop",
    "rotation",
    "flip+vertical_flip",
    "rotation+flip+scale_crop",
    "scale_crop+rotation+vertical_flip",
)


def labels(number: int) -> np.ndarray:
    """Return a map (h, w) on which neighbours differ, another for each image."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return ((7 * x + 13 * y + 29 * number) % 251).astype(np.int32)


@pytest.fixture(scope="module")
def batch():
    """Return images whose colours say which column, row and image a pixel is of, and their labels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    images = [np.stack([x, y, np.full_like(x, 20 * number)], -1) for number in range(8)]
    return np.array(images, np.uint8), np.array([labels(number) for number in range(8)])


def compiled(change, dtype=tf.uint8):
    """Return (images, masks, step) -> the same, as in a training step, for any batch size."""

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, HEIGHT, WIDTH, 3), dtype),
            tf.TensorSpec((None, HEIGHT, WIDTH), tf.int32),
            tf.TensorSpec((), tf.int64),
        ],
    )
    def step(images, masks, number):
        change.seed_step(number)
        return change(images, masks)

    return lambda images, masks, number: tuple(
        value.numpy() for value in step(images, masks, tf.constant(number, tf.int64))
    )


def inside(image, number) -> np.ndarray:
    """Tell which pixels show nothing but the image: its blue is there only where no grey is mixed in."""
    return np.abs(image[..., 2] - 20 * number) < 1e-3


def misplaced(images, masks) -> tuple[int, int]:
    """Return how many pixels have another label than the pixel that they show, and how many were told."""
    wrong = told = 0
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        x, y = image[..., 0], image[..., 1]
        # Half way between two pixels either label is right.
        clear = (np.abs(x % 1 - 0.5) > 0.01) & (np.abs(y % 1 - 0.5) > 0.01) & inside(image, number)
        row, column = (np.clip(np.rint(v), 0, side - 1).astype(int) for v, side in ((y, HEIGHT), (x, WIDTH)))
        wrong += ((mask != labels(number)[row, column]) & clear).sum()
        told += clear.sum()
    return int(wrong), int(told)


@pytest.mark.parametrize("spec", GEOMETRY)
def test_labels_follow_their_pixels(spec, batch):
    step = compiled(mask_augmentation(spec, strength=1.0, seed=1))
    moved = 0
    for number in range(6):
        images, masks = step(*batch, number)
        wrong, told = misplaced(images, masks)
        assert wrong == 0 and told > 0.3 * masks.size, (number, wrong, told)
        assert masks.dtype == np.int32 and masks.shape == batch[1].shape
        moved += (np.abs(images - batch[0]) > 0.5).any((1, 2, 3)).mean() / 6
    assert moved > 0.3


def test_the_check_finds_a_shift_by_half_a_pixel(batch):
    """The test above can fail: so small an error is seen."""
    images = batch[0].astype(np.float32)
    assert misplaced(images, batch[1])[0] == 0
    shifted = images + np.array([0.6, 0, 0], np.float32)
    assert misplaced(shifted, batch[1])[0] > 0.9 * batch[1].size


@pytest.mark.parametrize("spec", ["scale_crop", "rotation", "rotation+scale_crop"])
def test_what_comes_in_from_beyond_the_edge_is_void_and_grey(spec, batch):
    step, share = compiled(mask_augmentation(spec, strength=1.0, seed=0)), []
    for number in range(4):
        images, masks = step(*batch, number)
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            void = mask == VOID
            np.testing.assert_allclose(image[void], np.tile(MEAN_COLOUR, (void.sum(), 1)), atol=1e-4)
            assert inside(image, i)[~void].all()
            share.append(void.mean())
    assert 0.02 < np.mean(share) < 0.6


def grown(mask: np.ndarray) -> np.ndarray:
    """Return a mask (h, w) grown by two pixels."""
    ndimage = pytest.importorskip("scipy.ndimage")
    return ndimage.binary_dilation(mask, np.ones((5, 5)))


def test_flips_mirror_exactly_half_of_the_images(batch):
    images, masks = batch
    for spec, axis in (("flip", 1), ("vertical_flip", 0)):
        step, mirrored = compiled(mask_augmentation(spec, seed=2)), 0
        for number in range(4):
            for i, (image, mask) in enumerate(zip(*step(*batch, number), strict=True)):
                turned = not np.array_equal(mask, masks[i])
                mirrored += turned
                np.testing.assert_array_equal(mask, np.flip(masks[i], axis) if turned else masks[i])
                wanted = np.flip(images[i], axis) if turned else images[i]
                np.testing.assert_allclose(image, wanted, atol=1e-3)
        assert 8 <= mirrored <= 24


def test_sizes_and_angles_are_those_that_are_documented(batch):
    sizes, angles = [], []
    scale = compiled(mask_augmentation("scale_crop", strength=0.5, seed=0))
    turn = compiled(mask_augmentation("rotation", strength=0.5, seed=0))
    for number in range(12):
        for i, image in enumerate(scale(*batch, number)[0]):
            good = inside(image, i)
            pairs = good[:, 1:] & good[:, :-1]
            sizes.append(np.median(np.diff(image[..., 0], axis=1)[pairs]))
        for i, image in enumerate(turn(*batch, number)[0]):
            good = inside(image, i)
            pairs = good[:, 1:] & good[:, :-1]
            down, along = (np.median(np.diff(image[..., axis], axis=1)[pairs]) for axis in (1, 0))
            angles.append(np.degrees(np.arctan2(down, along)))
            middle = image[HEIGHT // 2 - 1 : HEIGHT // 2 + 1, WIDTH // 2 - 1 : WIDTH // 2 + 1].mean((0, 1))
            np.testing.assert_allclose(middle[:2], [(WIDTH - 1) / 2, (HEIGHT - 1) / 2], atol=0.01)
    limit = np.exp(0.5 * np.log(3) + 0.25 * np.log(4 / 3))
    assert 1 / limit <= min(sizes) < 0.65 and 1.5 < max(sizes) <= limit + 1e-3
    assert -15.01 <= min(angles) < -12 and 12 < max(angles) <= 15.01


def test_neighbours_are_one_movement(batch):
    """What a part enlarged has lost comes back when it is turned: void is only what no photo shows."""
    first = compiled(mask_augmentation("scale_crop+rotation", strength=1.0, seed=0))
    for number in range(4):
        for image, mask in zip(*first(*batch, number), strict=True):
            x, y = image[..., 0], image[..., 1]
            within = (x > 10) & (x < WIDTH - 11) & (y > 10) & (y < HEIGHT - 11) & (mask != VOID)
            assert not (grown(within) & (mask == VOID)).any()


def test_cutmix_takes_a_rectangle_with_its_labels(batch):
    step, mixed, areas = compiled(mask_augmentation("cutmix", strength=0.7, seed=0)), 0, []
    for number in range(20):
        images, masks = step(*batch, number)
        assert misplaced_between(images, masks) == 0
        for i, image in enumerate(images):
            other = image[..., 2] != 20 * i
            assert set(np.unique(image[other][:, 2])) <= {20.0 * ((i - 1) % 8)}
            rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
            if len(rows):
                assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            mixed, areas = mixed + bool(len(rows)), [*areas, other.mean()] if len(rows) else areas
    assert 0.58 < mixed / 160 < 0.82 and 0.4 < np.mean(areas) < 0.6


def misplaced_between(images, masks) -> int:
    """Return how many pixels have another label than the pixel and image that they show."""
    column, row, number = (np.rint(images[..., axis]).astype(int) for axis in range(3))
    truth = np.array([labels(n) for n in range(8)])
    return int((masks != truth[number // 20, row, column]).sum())


def test_colours_change_and_labels_stay(batch):
    images, masks = compiled(mask_augmentation("color", strength=1.0, seed=0))(*batch, 3)
    np.testing.assert_array_equal(masks, batch[1])
    assert np.abs(images - batch[0]).mean() > 2 and images.min() >= 0 and images.max() <= 255


@pytest.mark.parametrize("spec", [*NAMES, "strong"])
def test_no_label_comes_out_that_did_not_go_in(spec, batch):
    sparse = np.where(batch[1] % 2, 3, 250).astype(np.int32)
    step = compiled(mask_augmentation(spec, strength=1.0, seed=5))
    for number in range(3):
        assert set(np.unique(step(batch[0], sparse, number)[1])) <= {3, 250, VOID}


@pytest.mark.parametrize("spec", ["vertical_flip", "rotation", "strong"])
def test_each_step_can_be_repeated(spec, batch):
    change = mask_augmentation(spec, strength=1.0, seed=3)
    step = compiled(change)
    first, other, again = (step(*batch, number) for number in (7, 8, 7))
    resumed = compiled(mask_augmentation(spec, strength=1.0, seed=3))(*batch, 7)
    for repeated in (again, resumed):
        np.testing.assert_array_equal(first[0], repeated[0])
        np.testing.assert_array_equal(first[1], repeated[1])
    change.seed_step(7)
    images, masks = change(*batch)
    # Eager arithmetic is not fused: what lies on an edge may fall to the other side of it.
    assert np.mean(np.abs(images - first[0]) > 5e-2) < 1e-3 and np.mean(masks != first[1]) < 1e-3
    assert np.abs(first[0] - other[0]).max() > 1
    seeded = compiled(mask_augmentation(spec, strength=1.0, seed=4))(*batch, 7)
    assert np.abs(first[0] - seeded[0]).max() > 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("spec", "strength"), [("none", 0.5), ("strong", 0.0), ("strong", 0)])
def test_nothing_changes_nothing(spec, strength, dtype, batch):
    step = compiled(mask_augmentation(spec, strength=strength), tf.as_dtype(dtype))
    images, masks = step(batch[0].astype(dtype), batch[1], 5)
    np.testing.assert_array_equal(images, batch[0])
    np.testing.assert_array_equal(masks, batch[1])
    assert images.dtype == np.float32 and masks.dtype == np.int32


def test_next_to_nothing_changes_next_to_nothing(batch):
    images, masks = compiled(mask_augmentation("scale_crop+rotation+color", strength=0.002))(*batch, 1)
    assert np.abs(images - batch[0]).mean() < 1 and (masks == batch[1]).mean() > 0.9


def test_float32_also_under_mixed_precision(batch):
    import keras

    plain = compiled(mask_augmentation("strong", seed=0))(*batch, 1)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = compiled(mask_augmentation("strong", seed=0))(*batch, 1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_array_equal(plain[0], mixed[0])
    np.testing.assert_array_equal(plain[1], mixed[1])


def test_masks_as_loaders_give_them(batch):
    images, masks = mask_augmentation("scale_crop", seed=0)(batch[0], batch[1].astype(np.uint8))
    wanted = mask_augmentation("scale_crop", seed=0)(*batch)
    np.testing.assert_array_equal(masks, wanted[1])
    assert masks.dtype == tf.int32 and images.dtype == tf.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "flip+scale_corp"}, "'scale_corp' is not one of them, did you mean 'scale_crop'"),
        ({"spec": "flip+flip"}, "'flip' comes twice"),
        ({"spec": "mosaic"}, "'mosaic' is not one of them"),
        ({"spec": ["flip"]}, r"`spec` must be text.*Received: \['flip'\]"),
        ({"strength": 1.5}, "`strength` must be from 0 to 1. Received: 1.5"),
        ({"strength": float("nan")}, "Received: nan"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        mask_augmentation(**arguments)


@pytest.mark.parametrize(
    ("image_shape", "mask_shape"),
    [((2, 8, 8, 3), (2, 8, 9)), ((8, 8, 3), (8, 8)), ((2, 8, 8, 3), (2, 8, 8, 1))],
)
def test_shapes_that_do_not_fit_are_refused(image_shape, mask_shape):
    with pytest.raises(DataError, match=r"`images` must be \(b, h, w, 3\) and `masks` \(b, h, w\)"):
        mask_augmentation()(np.zeros(image_shape, np.uint8), np.zeros(mask_shape, np.int32))


def test_presets():
    names = {name: mask_augmentation(name).names for name in PRESETS}
    assert names["standard"] == ("flip", "scale_crop", "color") and names["none"] == ()
    assert set(names["light"]) < set(names["standard"]) < set(names["strong"]) <= set(NAMES)
