"""Strides replaced by dilation: where the original has a place, the dilated network says the same."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.errors import KerasvisionError
from kerasvision.models import feature_pyramid, get_model
from kerasvision.models.dilation import dilate

# Name, options, side. The middle of the maps must not see the border, so sides are large.
NETWORKS = [
    ("mobilenet_v2", {"alpha": 0.35}, 320),  # explicit padding of one side before depthwise convolutions
    ("resnet18", {}, 320),  # explicit padding of both sides
    ("resnet50_v2", {}, 256),  # a pooling of one pixel as the shortcut
    ("vgg11_bn", {}, 192),  # poolings instead of strides
    ("googlenet", {}, 192),  # poolings of stride 1 inside modules
]
MORE_NETWORKS = [
    ("mobilenet_v3_large", {"alpha": 0.75, "minimalistic": True}, 320),  # without squeeze-and-excite
    ("plainnet18", {}, 320),
    ("preact_resnet18", {}, 320),
    ("resnet50_v1_5", {}, 256),  # the stride in the 3x3 convolution of a block
    ("resnext50", {}, 256),  # convolutions of groups
    ("googlenet_bn", {}, 192),
]
# The rest of the gallery: one of each kind, the stride of its last map, and the finest that it can be spread
# to. Squeeze-and-excite looks at the whole map, so that only layers before the first can be compared exactly.
OTHERS = {
    "mobilenet_v3_small": (32, 4),
    "efficientnet_v2_b0": (32, 4),
    "resnet50": (32, 4),
    "wide_resnet50": (32, 4),
    "resnet_small": (4, 4),
    "resnet20": (4, 4),
    "wide_resnet28": (4, 4),
    "alexnet": (32, 4),
    "alexnet_grouped": (32, 4),
    "vgg16": (32, 4),
    "inception_v3": (32, 32),
    "inception_v3_torchvision": (32, 32),
    "inception_resnet_v2": (32, 8),
}


def lively(model, rng):
    """Give BatchNorm the statistics of noise, so that activations do not fade through random layers."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32), training=True)
    return model


@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize(
    ("name", "options", "side"),
    [*NETWORKS, *(pytest.param(*row, marks=pytest.mark.slow) for row in MORE_NETWORKS)],
    ids=[row[0] for row in NETWORKS + MORE_NETWORKS],
)
def test_the_places_of_the_original_are_unchanged(name, options, side, output_stride, rng):
    keras.utils.set_random_seed(4)
    model = lively(get_model(name, include_top=False, input_shape=(side, side, 3), **options), rng)
    fine = dilate(model, output_stride)
    assert [layer.name for layer in fine.layers if layer.weights] == [
        layer.name for layer in model.layers if layer.weights
    ]
    image = rng.uniform(-1, 1, (1, side, side, 3)).astype(np.float32)
    wanted, found = (each(image, training=False).numpy() for each in (model, fine))
    factor = 32 // output_stride
    assert found.shape[1:3] == tuple(factor * n for n in wanted.shape[1:3])
    middle = slice(wanted.shape[1] // 2 - 1, wanted.shape[1] // 2 + 1)
    # Where padding was on one side only, the original's place i is at factor * i + factor - 1 of the new map.
    differences = [
        np.abs(found[:, shift::factor, shift::factor][:, middle, middle] - wanted[:, middle, middle]).max()
        for shift in range(factor)
    ]
    assert min(differences) < 1e-4 * np.abs(wanted).max() and np.abs(wanted).max() > 0.01
    # The places between are answers of their own.
    assert max(differences) > 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "name",
    [name if name == "mobilenet_v3_small" else pytest.param(name, marks=pytest.mark.slow) for name in OTHERS],
)
def test_how_fine_networks_of_the_gallery_become(name):
    stride, finest = OTHERS[name]
    model = get_model(name, include_top=False, input_shape=(128, 128, 3))
    rows = model.output_shape[1]
    for output_stride in (32, 16, 8, 4):
        if output_stride < finest:
            with pytest.raises(KerasvisionError, match="cannot be spread by .*larger `output_stride`"):
                dilate(model, output_stride)
            continue
        fine = dilate(model, output_stride)
        wanted = 128 // min(stride, output_stride)
        # Convolutions without padding lose rows, fewer of them on finer maps.
        assert rows <= fine.output_shape[1] <= wanted
        assert fine.output_shape[1] == wanted or rows < 128 // stride
        assert [w.shape for w in fine.weights] == [w.shape for w in model.weights]


def test_outputs_keep_their_structure(rng):
    pyramid = feature_pyramid(get_model("resnet18", include_top=False, input_shape=(64, 96, 3)), (2, 4, 5))
    fine = dilate(pyramid, 16)
    assert {name: x.shape[1:3] for name, x in fine.output.items()} == {
        "P2": (16, 24),
        "P4": (4, 6),
        "P5": (4, 6),
    }
    image = rng.uniform(0, 1, (1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(fine(image)["P4"], pyramid(image)["P4"], atol=1e-5)


def test_the_model_is_not_changed_nor_are_weights_shared(rng):
    model = get_model("resnet18", include_top=False, input_shape=(64, 64, 3))
    before = [w.copy() for w in model.get_weights()]
    fine = dilate(model, 8)
    fine.set_weights([w + 1 for w in fine.get_weights()])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_spread():
    with pytest.raises(KerasvisionError, match="`output_stride` must be one of"):
        dilate(get_model("resnet_small", include_top=False), 6)
    model = get_model("inception_v3", include_top=False, input_shape=(128, 128, 3))
    with pytest.raises(KerasvisionError, match="cannot be spread by 2.*larger `output_stride`"):
        dilate(model, 8)
