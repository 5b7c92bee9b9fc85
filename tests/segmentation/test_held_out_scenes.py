"""What segmenters make of drawn scenes that they have never seen.

Small networks from random weights learn 800 scenes of circles and triangles and are judged by 160 others.
Left out, as a row may cost a minute and a half of processor time, and all of them five minutes:

- `segformer_b0`: 0.45 after 150 steps at 64 pixels; each takes twice as long as one of `unet`, and attention
  from random weights needs many more. That it can learn eight pictures by heart is tested elsewhere.
- `fcn_16s` and `fcn_32s`: need pictures of 256 and 448 pixels, four and twelve times the pixels of `fcn_8s`,
  whose row takes half a minute; they are it with fewer skips.
- `frrn_b`: `frrn_a` with other numbers.
"""

from functools import cache

import keras
import numpy as np
import pytest
from small_segmenters import labeller, made, small_backbone, training_step

from kerasvision.data import shapes
from kerasvision.metrics import mean_iou

KINDS = ("circle", "triangle")
TRAINING, HELD_OUT = 800, 160  # scenes
BATCH = 8
# name -> side of the pictures, steps, convolutions at each stride of the backbone, options.
HELD_OUT_ROWS = {
    "unet": (64, 600, 1, {"filters": (64, 48, 32, 16, 16)}),
    "stacked_hourglass": (64, 550, 1, {"features": 32, "depth": 3}),
    "frrn_a": (48, 500, 1, {"filters": 8, "residual_filters": 8}),
    "deeplab_v3_plus": (96, 600, 1, {"filters": 64, "dropout": 0.0}),
    "fcn_8s": (128, 800, 2, {}),
    "pspnet": (128, 700, 2, {"filters": 64, "auxiliary_filters": 32, "dropout": 0.0}),
}


@cache
def scenes(size):
    """Return images (n, h, w, 3) and label maps (n, h, w) for training, and the same held out."""
    data = shapes(
        "segment",
        count=TRAINING + HELD_OUT,
        classes=KINDS,
        image_size=size,
        validation_fraction=HELD_OUT / (TRAINING + HELD_OUT),
        seed=3,
        objects=(4, 8),
    )
    return gathered(data.train), gathered(data.validation)


def gathered(batches):
    """Return all images and all label maps of a split."""
    images, maps = zip(*((images.numpy(), maps.numpy()) for images, maps in batches), strict=True)
    return np.concatenate(images), np.concatenate(maps)


def rising_and_falling(peak, steps):
    """Return a rate that rises to its peak in a twentieth of the steps and falls to 0 like a cosine."""
    rise = steps // 20
    return keras.optimizers.schedules.CosineDecay(
        peak / 20, steps - rise, warmup_target=peak, warmup_steps=rise
    )


def train(model, images, maps, steps, seed=1):
    """Train on batches in random order, half of them mirrored."""
    step = training_step(model, keras.optimizers.Adam(rising_and_falling(1e-2, steps)))
    rng = np.random.default_rng(seed)
    each = len(images) // BATCH
    for number in range(steps):
        if number % each == 0:
            batches = rng.permutation(len(images))[: each * BATCH].reshape(each, BATCH)
        chosen, way = batches[number % each], rng.choice((1, -1))
        step(images[chosen][:, :, ::way], maps[chosen][:, :, ::way])


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD_OUT_ROWS)
def test_segments_scenes_never_seen(name):
    size, steps, convolutions, options = HELD_OUT_ROWS[name]
    keras.utils.set_random_seed(1)
    (images, maps), (others, truth) = scenes(size)
    assert (len(images), len(others)) == (TRAINING, HELD_OUT)
    assert not {image.tobytes() for image in images} & {image.tobytes() for image in others}
    backbone = small_backbone(convolutions=convolutions)
    model = made(name, classes=1 + len(KINDS), size=size, backbone=backbone, auxiliary=True, **options)
    train(model, images, maps, steps)
    reached = mean_iou(truth, labeller(model)(others), 1 + len(KINDS))
    print(name, round(reached, 3))
    assert reached > 0.9
