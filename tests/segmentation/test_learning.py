"""What every segmenter can learn: eight drawn pictures by heart."""

import keras
import pytest
from small_segmenters import labeller, made, training_step

from kerasvision.data import shapes
from kerasvision.metrics import mean_iou
from kerasvision.segmentation import list_segmenters
from kerasvision.segmentation.families import FAMILIES

KINDS = ("circle", "square", "triangle")
# name -> side of the pictures, rate, options. Scores at n x n places, enlarged by bilinear interpolation,
# cannot draw these pictures better than to a mean IoU of 0.94 (n = 8), 0.97 (12), 0.985 (16) or 0.996 (32):
# measured by fitting scores alone, without a network. An FCN needs pictures of about 14 times its stride.
BY_HEART = {
    "fcn_32s": (448, 1e-2, {}),
    "fcn_16s": (256, 1e-2, {}),
    "fcn_8s": (128, 3e-3, {}),
    "unet": (64, 3e-3, {"filters": (64, 48, 32, 16, 16)}),
    "pspnet": (96, 3e-3, {"filters": 64, "auxiliary_filters": 32, "dropout": 0.0}),
    "deeplab_v3_plus": (64, 3e-3, {"filters": 64, "dropout": 0.0}),
    "segformer_b0": (64, 2e-3, {"filters": 64, "dropout": 0.0}),
    "stacked_hourglass": (64, 3e-3, {"features": 32, "depth": 3}),
    "frrn_a": (32, 5e-3, {"filters": 8, "residual_filters": 8}),
    "frrn_b": (32, 5e-3, {"filters": 8, "residual_filters": 8}),
}
LONG = ("fcn_32s", "segformer_b0", "frrn_b")  # the last is frrn_a with other numbers


def pictures(size):
    """Return eight drawn scenes, (8, h, w, 3) uint8, and their label maps: 0 is the ground."""
    data = shapes("segment", count=8, classes=KINDS, image_size=size, validation_fraction=0, seed=5)
    images, maps = next(iter(data.train))
    return images.numpy(), maps.numpy()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in BY_HEART]
)
def test_learns_eight_pictures_by_heart(name):
    size, rate, options = BY_HEART[name]
    keras.utils.set_random_seed(1)
    images, maps = pictures(size)
    model = made(name, size=size, auxiliary=True, **options)
    step, answer = training_step(model, keras.optimizers.Adam(rate)), labeller(model)
    reached = []
    for _ in range(24):
        for _ in range(25):
            step(images, maps)
        reached.append(mean_iou(maps, answer(images), 4))
        if reached[-1] > 0.95:
            break
    print(name, [round(value, 3) for value in reached])
    assert reached[-1] > 0.95, reached


def test_every_way_to_lay_out_layers_is_tried():
    # Sizes of one network, such as those of SegFormer, differ by numbers alone.
    tried = {(FAMILIES[name].layout, FAMILIES[name].own) for name in BY_HEART}
    assert tried == {(FAMILIES[name].layout, FAMILIES[name].own) for name in list_segmenters()}
