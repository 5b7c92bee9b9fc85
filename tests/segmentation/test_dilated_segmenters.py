"""DeepLabV3+ and PSPNet: their parts against slow references, and where they enlarge and join maps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_segmenters import made

from kerasvision.errors import KerasvisionError
from kerasvision.models import get_model, graph
from kerasvision.segmentation import auxiliary_weights, inference_model, segmenter
from kerasvision.segmentation.decoding import enlarge, whole_maps
from kerasvision.segmentation.deeplab import RATES
from kerasvision.segmentation.pspnet import regions

SMALL = {"filters": 16, "dropout": 0.0}


def dilations(model):
    """Return how far apart the pixels are that the 3x3 convolutions of the pyramid see."""
    return [
        layer.dilation_rate[0]
        for layer in model.layers
        if layer.name.startswith("head_aspp_") and getattr(layer, "kernel_size", None) == (3, 3)
    ]


@pytest.mark.parametrize("output_stride", RATES)
def test_the_deepest_map_has_the_stride_asked_for_and_rates_follow(output_stride):
    for name in ("deeplab_v3_plus", "pspnet"):
        model = made(name, size=96, output_stride=output_stride, **SMALL)
        assert model.output_shape == (None, 96, 96, 4)
        deepest = graph.output_of(model, "relu_4_0")  # the last layer of the small backbone
        assert deepest.shape[1:3] == (96 // output_stride,) * 2
        if name == "deeplab_v3_plus":
            assert tuple(dilations(model)) == RATES[output_stride]
            assert [rate * output_stride for rate in dilations(model)] == [96, 192, 288]


@pytest.mark.parametrize(("shape", "size"), [((6, 5), (12, 10)), ((3, 4), (7, 9)), ((1, 1), (5, 6))])
def test_enlarging_interpolates(shape, size, rng):
    values = rng.normal(size=(2, *shape, 3)).astype(np.float32)
    x = layers.Input((*shape, 3))
    found = keras.Model(x, enlarge(x, size, name="up"))(values)
    np.testing.assert_allclose(found, tf.image.resize(values, size, "bilinear"), atol=1e-6)
    assert enlarge(x, shape, name="same") is x


def test_scores_are_enlarged_in_place_of_maps(rng):
    model = made("deeplab_v3_plus", **SMALL)
    image = rng.uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    score = model.get_layer("head_score")
    maps = keras.Model(model.input, score.input)(image)
    wanted = score(tf.image.resize(maps, (64, 64), "bilinear"))
    assert np.std(wanted) > 1e-3
    np.testing.assert_allclose(model(image), wanted, atol=1e-5)


def slow_means(values, count):
    """Average a map (h, w, c) over count x count regions, one at a time, as torch's adaptive pooling does."""
    height, width = values.shape[:2]

    def limits(i, side):
        return slice(int(np.floor(i * side / count)), int(np.ceil((i + 1) * side / count)))

    return np.array(
        [
            [values[limits(i, height), limits(j, width)].mean((0, 1)) for j in range(count)]
            for i in range(count)
        ]
    )


@pytest.mark.parametrize("shape", [(12, 6), (8, 10), (4, 7)])
def test_regions_are_means_of_parts_of_the_map(shape, rng):
    bins, channels = (1, 2, 3, 6), 8
    x = layers.Input((*shape, channels))
    model = keras.Model(x, regions(x, bins))
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):  # pass on the first two channels, which are positive
            layer.set_weights([np.eye(channels, 2, dtype=np.float32)[None, None]])
        if isinstance(layer, layers.BatchNormalization):
            layer.epsilon = 0.0
    values = rng.uniform(0, 1, (1, *shape, channels)).astype(np.float32)
    found = np.split(model(values, training=False), [8, 10, 12, 14], axis=-1)
    np.testing.assert_array_equal(found[0], values)
    for count, scale in zip(bins, found[1:], strict=True):
        wanted = tf.image.resize(slow_means(values[0, ..., :2], count)[None], shape, "bilinear")
        np.testing.assert_allclose(scale, wanted, atol=1e-5)


def test_maps_of_networks_without_padding_lie_over_each_other():
    backbone = get_model("inception_v3", include_top=False, input_shape=(96, 128, 3))
    maps = whole_maps(backbone, (2, 3, 4, 5))
    assert [x.shape[1:3] for x in maps.values()] == [(24, 32), (12, 16), (6, 8), (3, 4)]


def test_phones_get_separable_convolutions_and_others_do_not():
    def separable(model):
        return any(
            isinstance(layer, layers.DepthwiseConv2D) and layer.name.startswith("head_")
            for layer in model.layers
        )

    assert separable(segmenter("deeplab_v3_plus", classes=3, image_size=64, backbone="mobilenet_v2", **SMALL))
    assert not separable(made("deeplab_v3_plus", **SMALL))
    assert separable(made("deeplab_v3_plus", separable=True, **SMALL))


def test_only_training_has_the_auxiliary_output(rng):
    model = made("pspnet", size=96, auxiliary=True, auxiliary_filters=16, **SMALL)
    assert auxiliary_weights(model) == {"logits": 1.0, "auxiliary_1": 0.4}
    assert {name: x.shape for name, x in model.output.items()} == {
        "logits": (None, 96, 96, 4),
        "auxiliary_1": (None, 96, 96, 4),
    }
    final = inference_model(model)
    image = rng.uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(final(image), model(image)["logits"])
    assert not any("auxiliary" in layer.name for layer in final.layers)
    assert any("auxiliary" in layer.name for layer in model.layers)
    # It sees the map before the last stage: what comes later does not reach it.
    with tf.GradientTape() as tape:
        scores = tf.reduce_sum(model(image)["auxiliary_1"] ** 2)
    last, before = (model.get_layer(f"conv_{level}_0").kernel for level in (4, 3))
    gradients = tape.gradient(scores, [last.value, before.value])
    assert gradients[0] is None and np.abs(gradients[1]).max() > 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("deeplab_v3_plus", {"decoder": "unet"}, "`decoder` must be one of"),
        ("deeplab_v3_plus", {"output_stride": 12}, "`output_stride` must be one of"),
        ("deeplab_v3_plus", {"output_stride": 64}, "`output_stride` must be one of"),
        ("pspnet", {"output_stride": 5}, "`output_stride` must be one of"),
        ("pspnet", {"bins": (1, 2, 0)}, "`bins` must be numbers of regions.*1, 2, 0"),
        ("pspnet", {"bins": ()}, "`bins` must be"),
    ],
)
def test_what_is_refused(name, options, message):
    with pytest.raises(KerasvisionError, match=message):
        made(name, **options)
