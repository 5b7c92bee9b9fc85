"""Small trained segmenters, drawn scenes for them, and their source."""

import keras
import numpy as np
from detector_helpers import backbone

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export import SegmentationSource
from kerasvision.metrics.segmentation import VOID
from kerasvision.segmentation import make_loss, segmenter

LABELS = ("background", "red thing", "chose bleutée")
SIZE = 64
# What makes a network of each name small, beside the backbone.
OPTIONS = {
    "unet": {"filters": (32, 24, 16, 16, 8)},
    "pspnet": {"filters": 64},
    "deeplab_v3_plus": {"filters": 64, "low_level_filters": 24},
    "segformer_b0": {"filters": 64},
    "stacked_hourglass": {"features": 32, "depth": 3},
    "frrn_a": {"filters": 8, "residual_filters": 8},
    "frrn_b": {"filters": 8, "residual_filters": 8},
}


def scenes(count: int, seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pictures of red rectangles and bluish discs on noise, and their label maps.

    The border of two pixels is void.
    """
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 130, (count, size, size, 3))
    masks = np.zeros((count, size, size), np.uint8)
    rows, columns = np.indices((size, size))
    for image, mask in zip(images, masks, strict=True):
        y, x, h, w = *rng.integers(2, size // 2, 2), *rng.integers(size // 4, size // 2, 2)
        box = (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)
        (y, x), radius = rng.integers(size // 4, size - 4, 2), rng.integers(size // 8, size // 4)
        disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        for label, shape in ((1, box), (2, disc)):
            mask[shape] = label
            image[shape] += np.array([(90, -40, -40), (-40, -20, 90)][label - 1])
    masks[:, :2], masks[:, -2:], masks[:, :, :2], masks[:, :, -2:] = VOID, VOID, VOID, VOID
    return np.clip(images, 0, 255).astype(np.uint8), masks


def small_segmenter(name: str, *, steps: int = 60, seed: int = 0, **options) -> keras.Model:
    """Return a segmenter that was trained for a moment, so that its logits are far from equal."""
    keras.utils.set_random_seed(seed)
    if takes_backbone(name):
        options = {"backbone": backbone(), "preprocessing": "zero_one", **options}
    model = segmenter(name, classes=len(LABELS), image_size=SIZE, **{**OPTIONS.get(name, {}), **options})
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8
    images, masks = scenes(steps * 4, seed=100)
    model.compile(keras.optimizers.Adam(3e-3), make_loss("cross_entropy"))
    model.fit(images.astype(np.float32), masks, batch_size=4, epochs=1, verbose=0)
    return model


def takes_backbone(name: str) -> bool:
    """Tell whether a segmenter is laid out on a backbone if nothing else is asked for."""
    from kerasvision.segmentation.families import FAMILIES

    return FAMILIES[name].backbone is not None


def small_source(name: str = "unet", *, count: int = 12, **options) -> SegmentationSource:
    """Return such a segmenter with scenes and their truth."""
    images, truth = scenes(count, seed=1)
    model = small_segmenter(name)
    return SegmentationSource(
        model, LABELS, Preprocessing(SIZE), scenes(24, seed=2)[0], images, truth, **options
    )
