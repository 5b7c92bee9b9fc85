"""Augmentation: the range of pixels and labels, one change an image, and the same again for the same step."""

import subprocess
import sys

import numpy as np
import pytest

from kerasvision.data import augmentation, shapes
from kerasvision.data.augmentations import NAMES, PRESETS
from kerasvision.errors import DataError

tf = pytest.importorskip("tensorflow")
LABEL_MIXING = {"mixup", "cutmix"}


@pytest.fixture(scope="module")
def batch():
    data = shapes(count=20, classes=8, image_size=(24, 32), validation_fraction=0)
    images = data.images("train", range(16)).astype(np.float32)
    return images, np.eye(16, dtype=np.float32)


def compiled(change):
    """Return (images, one_hot, step) -> the same, as in a training step, for any batch size."""
    signature = [tf.TensorSpec((None, 24, 32, 3)), tf.TensorSpec((None, None)), tf.TensorSpec((), tf.int64)]

    @tf.function(input_signature=signature)
    def step(images, one_hot, number):
        change.seed_step(number)
        return change(images, one_hot)

    return lambda images, one_hot, number: [
        value.numpy() for value in step(images, one_hot, tf.constant(number, tf.int64))
    ]


@pytest.mark.parametrize("spec", [*NAMES, "strong", "vertical_flip+rotation+color+erasing+cutmix"])
def test_each_step_can_be_repeated(spec, batch):
    change = augmentation(spec, strength=1.0, seed=3)
    step = compiled(change)
    first, other, again = step(*batch, 7), step(*batch, 8), step(*batch, 7)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(first[0] - other[0]).max() > 1
    resumed = compiled(augmentation(spec, strength=1.0, seed=3))(*batch, 7)
    for one, two in zip(first, resumed, strict=True):
        np.testing.assert_array_equal(one, two)
    change.seed_step(7)
    for one, two in zip(first, change(*batch), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3)  # eager arithmetic is not fused
    assert np.abs(compiled(augmentation(spec, strength=1.0, seed=4))(*batch, 7)[0] - first[0]).max() > 1


@pytest.mark.parametrize("strength", [0.05, 1.0])
@pytest.mark.parametrize("spec", NAMES)
def test_pixels_and_labels_stay_in_range(spec, strength, batch):
    step = compiled(augmentation(spec, strength=strength, seed=1))
    for number in range(4):
        images, labels = step(*batch, number)
        assert images.shape == batch[0].shape and images.dtype == labels.dtype == np.float32
        assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255
        np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-5)
        assert labels.min() >= 0
        if spec not in LABEL_MIXING:
            np.testing.assert_array_equal(labels, batch[1])


@pytest.mark.parametrize("spec", NAMES)
def test_images_of_a_batch_are_changed_differently(spec, batch):
    same = np.repeat(batch[0][:1], 16, 0)
    if spec in LABEL_MIXING:
        same[8:] = batch[0][1]
    step = compiled(augmentation(spec, strength=1.0, seed=2))
    distinct = {image.tobytes() for number in range(3) for image in step(same, batch[1], number)[0]}
    assert len(distinct) >= (2 if "flip" in spec else 6)


@pytest.mark.parametrize("spec", NAMES)
def test_small_batches(spec, batch):
    step = compiled(augmentation(spec, seed=0))
    for count in (1, 2, 3, 5):
        images, labels = step(batch[0][:count], batch[1][:count], 0)
        assert images.shape == (count, 24, 32, 3) and labels.shape == (count, 16)


def test_a_little_changes_little_and_more_changes_more(batch):
    for spec in set(NAMES) - {"flip", "vertical_flip", *LABEL_MIXING}:
        little, much = (
            np.mean([np.abs(step(*batch, k)[0] - batch[0]).mean() for k in range(12)])
            for step in (compiled(augmentation(spec, strength=strength)) for strength in (0.02, 1.0))
        )
        # `randaugment` has one operation without a strength, auto-contrast; `pad_crop` moves by whole pixels.
        assert little < {"randaugment": 12, "pad_crop": 15}.get(spec, 3) and much > 2 * little, (
            spec,
            little,
            much,
        )


def test_flips_are_flips(batch):
    for spec, axis in (("flip", 2), ("vertical_flip", 1)):
        images, _ = compiled(augmentation(spec, seed=5))(*batch, 0)
        flipped = np.flip(batch[0], axis)
        kinds = [
            "kept" if (new == old).all() else "flipped" if (new == other).all() else "wrong"
            for new, old, other in zip(images, batch[0], flipped, strict=True)
        ]
        assert set(kinds) == {"kept", "flipped"}


def test_crop_shows_a_part_enlarged():
    # Pixel values are their own coordinates, so that the crop can be read off the result.
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    images = np.repeat(np.stack([x, y, np.zeros_like(x)], -1)[None], 64, 0)
    labels = np.zeros((64, 2), np.float32)
    cropped, _ = compiled(augmentation("crop", strength=1.0, seed=0))(images, labels, 0)
    inner = cropped[:, 2:-2, 2:-2]
    wide, high = np.diff(inner[..., 0], axis=2), np.diff(inner[..., 1], axis=1)
    areas = wide.mean((1, 2)) * high.mean((1, 2))
    middle = np.abs(wide - wide.mean((1, 2), keepdims=True)).max((1, 2)) < 1e-3
    assert middle.all(), "the same enlargement everywhere"
    assert 0.05 < areas.min() < 0.3 and 0.7 < areas.max() <= 1.001
    left = inner[:, 0, 0, 0] - wide.mean((1, 2)) * 2.5 + 0.5
    assert left.min() > -0.5 and (left + wide.mean((1, 2)) * 32).max() < 32.5
    np.testing.assert_array_equal(np.diff(inner[..., 0], axis=1).round(3), 0)


def test_color_leaves_shapes_and_hue_order_of_grey(batch):
    grey = np.repeat(batch[0].mean(-1, keepdims=True), 3, -1)
    images, _ = compiled(augmentation("color", strength=1.0, seed=0))(grey, batch[1], 0)
    np.testing.assert_allclose(images.std(-1), 0, atol=0.51)
    brightness = (images - grey).mean((1, 2, 3))
    assert brightness.min() < -10 and brightness.max() > 10, "darker as well as brighter"


def test_contrast_and_saturation_go_both_ways(batch):
    step = compiled(augmentation("color", strength=1.0, seed=0))
    middle = batch[0] * 0.2 + 100
    spreads, colours = [], []
    for number in range(4):
        images, _ = step(middle, batch[1], number)
        spreads += list(images.mean(-1).std((1, 2)) / middle.mean(-1).std((1, 2)))
        colours += list(images.std(-1).mean((1, 2)) / middle.std(-1).mean((1, 2)))
    assert min(spreads) < 0.85 and max(spreads) > 1.15
    assert min(colours) < 0.8 and max(colours) > 1.2


def test_pad_crop_moves_whole_pixels_and_pads_with_the_mean_colour(batch):
    """Each result is found among all 9 x 7 shifts of its image, which all occur."""
    images, mean = batch[0].round(), np.float32([123.675, 116.28, 103.53])
    step, seen = compiled(augmentation("pad_crop", seed=0)), set()
    padded = np.tile(mean, (16, 24 + 2 * 3, 32 + 2 * 4, 1))  # an eighth of each side
    padded[:, 3:27, 4:36] = images
    shifts = [(y, x) for y in range(7) for x in range(9)]
    for number in range(40):
        for source, image in zip(padded, step(images, batch[1], number)[0], strict=True):
            distances = [np.abs(source[y : y + 24, x : x + 32] - image).max() for y, x in shifts]
            assert min(distances) < 1e-3
            seen.add(shifts[int(np.argmin(distances))])
    assert seen == set(shifts)


def test_mixed_labels_say_what_is_in_the_image():
    # Image i is a flat grey of 10 * i, so that its brightness tells the share of each source.
    greys = np.arange(16, dtype=np.float32) * 16
    images = np.broadcast_to(greys[:, None, None, None], (16, 24, 32, 3))
    for spec, tolerance in (("mixup", 0.01), ("cutmix", 8.0)):  # a cut may be off by part of a pixel row
        mixed, labels = compiled(augmentation(spec, strength=1.0, seed=1))(images, np.eye(16), 3)
        assert (labels.max(-1) < 0.99).any()
        np.testing.assert_allclose(mixed.mean((1, 2, 3)), labels @ greys, atol=tolerance)


def test_erasing_happens_as_often_as_its_strength(batch):
    step = compiled(augmentation("erasing", strength=0.5, seed=0))
    erased = [(step(*batch, k)[0] != batch[0]).any((1, 2, 3)) for k in range(30)]
    assert 0.42 < np.mean(erased) < 0.58


def test_float32_also_under_mixed_precision(batch):
    import keras

    plain = compiled(augmentation("strong", seed=0))(*batch, 1)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = compiled(augmentation("strong", seed=0))(*batch, 1)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for one, two in zip(plain, mixed, strict=True):
        np.testing.assert_array_equal(one, two)


REPLICAS = """
import numpy as np, tensorflow as tf
device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
from kerasvision.data import augmentation
images, labels = np.random.default_rng(0).uniform(0, 255, (8, 24, 32, 3)).astype("float32"), np.eye(8)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def check(change):
    @tf.function
    def run(number):
        def step():
            change.seed_step(number)
            return change(images, labels)[0]
        return strategy.experimental_local_results(strategy.run(step))

    first, second = run(tf.constant(3, tf.int64))
    assert np.abs(first - second).max() > 1
    other, _ = run(tf.constant(4, tf.int64))
    assert np.abs(first - other).max() > 1
    np.testing.assert_array_equal(run(tf.constant(3, tf.int64))[1], second)

check(augmentation("flip+crop+randaugment", seed=0))
with strategy.scope():
    check(augmentation("flip+crop+randaugment", seed=0))
"""


@pytest.mark.slow
def test_replicas_draw_differently_and_can_be_repeated():
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_presets_and_none(batch):
    assert {name: augmentation(name).names for name in PRESETS} == {
        "none": (),
        "light": ("flip", "crop"),
        "standard": ("flip", "crop", "rotation", "color"),
        "strong": ("flip", "crop", "randaugment", "mixup"),
    }
    images, labels = compiled(augmentation("none"))(*batch, 0)
    np.testing.assert_array_equal(images, batch[0])
    np.testing.assert_array_equal(labels, batch[1])
    assert augmentation("strong").mixes_labels and not augmentation("standard").mixes_labels


def test_uint8_images_are_taken(batch):
    images, _ = augmentation("flip+crop")(batch[0].astype(np.uint8), batch[1])
    assert images.dtype == tf.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "flip+crpo"}, "'crpo' is not one of them, did you mean 'crop'"),
        ({"spec": "flip+"}, "'' is not one of them"),
        ({"spec": "flip+crop+flip"}, "'flip' comes twice"),
        ({"spec": "strng"}, "did you mean 'strong'"),
        ({"spec": ["flip"]}, r"`spec` must be text.*Received: \['flip'\]"),
        ({"strength": 0}, '`strength` must be above 0 and at most 1. Received: 0. For none pass spec="none"'),
        ({"strength": 30}, "Received: 30"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        augmentation(**arguments)


def test_what_keras_does_that_we_go_around(batch):
    """The reasons in `augmentation_layers`: when one of these fails, Keras has changed and ours may go."""
    from keras import layers

    images = tf.constant(batch[0])
    lifted = layers.RandomContrast(0.9, value_range=(-1e6, 1e6), seed=0)(images, training=True)
    ratios = np.std(lifted, (1, 2)) / np.std(images, (1, 2))
    assert ratios.min() > 0.99, "a number only raises contrast"
    vivid = layers.RandomSaturation((0.95, 0.96), value_range=(0, 255), seed=0)(images, training=True)
    assert np.min(vivid) < -1, "saturation beyond 1 leaves the range"
    right = layers.RandomSaturation((0.95, 0.96), value_range=(0, 1), seed=0)(images, training=True)
    assert np.min(right) > -1e-3
    both = layers.Equalization(value_range=(0, 255))(images[:2])
    alone = layers.Equalization(value_range=(0, 255))(images[:1])
    assert np.abs(both[0] - alone[0]).max() > 5, "one histogram for the whole batch"
    rand = layers.RandAugment(factor=0.5, num_ops=1, seed=0)
    assert rand.random_rotation.factor == (0, 0.5) and rand.random_posterization.factor == (1, 4)
