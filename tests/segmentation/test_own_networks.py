"""Networks without a backbone: parameters of the papers, streams and hourglasses, sides, files."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision._litert import LiteRTModel, convert
from kerasvision.errors import KerasvisionError
from kerasvision.models import graph
from kerasvision.segmentation import auxiliary_weights, inference_model, segmenter, segmenter_spec
from kerasvision.segmentation.frrn import full_resolution_unit
from kerasvision.segmentation.hourglass import hourglass

SMALL = {
    "stacked_hourglass": {"stacks": 3, "features": 16, "depth": 2},
    "frrn_a": {"filters": 6, "residual_filters": 4},
    "frrn_b": {"filters": 6, "residual_filters": 4},
}


def trainable(model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("name", "classes", "options", "count", "printed"),
    [
        # The paper's table 1, for the 19 classes of Cityscapes.
        ("frrn_a", 19, {}, 17_746_803, 17.7),
        ("frrn_b", 19, {}, 24_755_699, 24.8),
        # The paper prints none. The layers of HourglassNet with one block at each place and 16 joints
        # (bearpaw/pytorch-pose, pose/models/hourglass.py) have 25,434,112 and 6,570,400; 31,296 and 8,256 of
        # them are biases of convolutions before BatchNorm, which have no effect and are not here.
        ("stacked_hourglass", 16, {"stacks": 8}, 25_434_112 - 31_296, 25.4),
        ("stacked_hourglass", 16, {"stacks": 2}, 6_570_400 - 8_256, 6.6),
    ],
)
def test_parameters_are_those_of_the_paper(name, classes, options, count, printed):
    model = segmenter(name, classes=classes, image_size=64, **options)
    assert trainable(model) == count
    assert round(count / 1e6, 1) == printed
    assert model.output_shape == (None, 64, 64, classes)


@pytest.mark.parametrize("name", SMALL)
def test_it_is_flat_and_converts(name, rng):
    keras.utils.set_random_seed(0)
    model = segmenter(name, classes=3, image_size=(64, 96), **SMALL[name])
    assert graph.is_flat(model)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    images = rng.uniform(0, 255, (2, 64, 96, 3)).astype(np.float32)
    model(images, training=True)
    wanted = np.asarray(model(images, training=False))
    (found,) = LiteRTModel(convert(model, input_shape=(64, 96, 3)))(images).values()
    assert wanted.std() > 0.05, "the logits hardly differ, so this would prove nothing"
    # Up to fifty convolutions in a row, with random weights and BatchNorm, make much of the last digit.
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
    assert np.abs(found - wanted).mean() < 1e-4 * wanted.std()


def test_every_hourglass_is_supervised(rng):
    model = segmenter(
        "stacked_hourglass", classes=3, image_size=32, auxiliary=True, **SMALL["stacked_hourglass"]
    )
    assert set(model.output) == {"logits", "auxiliary_1", "auxiliary_2"}
    assert auxiliary_weights(model) == {"logits": 1.0, "auxiliary_1": 1.0, "auxiliary_2": 1.0}
    image = rng.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    found = {key: np.asarray(value) for key, value in model(image, training=False).items()}
    assert {value.shape for value in found.values()} == {(1, 32, 32, 3)}
    np.testing.assert_array_equal(inference_model(model)(image, training=False), found["logits"])
    # What the first hourglass says is part of what the last one hears.
    first = model.get_layer("head_stack_1_score")
    first.set_weights([weight * 0 for weight in first.get_weights()])
    changed = model(image, training=False)
    assert not np.asarray(changed["auxiliary_1"]).any()
    assert np.abs(np.asarray(changed["logits"]) - found["logits"]).max() > 1e-6


def slow_hourglass(values, depth):
    """Return what an hourglass makes of a map (h, w, c) where no residual module adds anything."""
    if depth == 0:
        return values
    height, width = values.shape[:2]
    pooled = np.stack(
        [
            np.stack([values[y : y + 2, x : x + 2].max((0, 1)) for x in range(0, width, 2)])
            for y in range(0, height, 2)
        ]
    )
    coarse = slow_hourglass(pooled, depth - 1)
    return values + coarse.repeat(2, 0).repeat(2, 1)[:height, :width]


@pytest.mark.parametrize("size", [(8, 16), (5, 7), (1, 3)])
def test_an_hourglass_sums_what_is_seen_at_each_size(rng, size):
    x = layers.Input((*size, 4))
    model = keras.Model(x, hourglass(x, 3, 1, name="glass"))
    for layer in model.layers:
        if layer.name.endswith("_3_conv"):
            layer.set_weights([weight * 0 for weight in layer.get_weights()])
    values = rng.normal(size=(1, *size, 4)).astype(np.float32)
    np.testing.assert_allclose(model(values)[0], slow_hourglass(values[0], 3), atol=1e-6)


def test_a_unit_adds_to_the_stream_at_full_size(rng):
    x, stream = layers.Input((3, 4, 5)), layers.Input((12, 16, 2))
    model = keras.Model([x, stream], full_resolution_unit(x, stream, 6, 4, name="unit"))
    values = [rng.normal(size=(1, *tensor.shape[1:])).astype(np.float32) for tensor in (x, stream)]
    pooled = values[1].reshape(1, 3, 4, 4, 4, 2).max((2, 4))
    joined = keras.Model(model.inputs, model.get_layer("head_unit_join").output)(values)
    np.testing.assert_array_equal(joined, np.concatenate([values[0], pooled], -1))
    deep, after = (np.asarray(value) for value in model(values, training=False))
    kernel, bias = model.get_layer("head_unit_more").get_weights()
    added = (deep @ kernel[0, 0] + bias).repeat(4, 1).repeat(4, 2)
    np.testing.assert_allclose(after, values[1] + added, atol=1e-5)
    assert deep.shape == (1, 3, 4, 6) and np.abs(added).max() > 0.01


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("frrn_a", (40, 64), {}, r"multiples of 16 for 'frrn_a'.*Use \(48, 64\)"),
        ("frrn_b", 48, {}, r"multiples of 32 for 'frrn_b'.*Use \(64, 64\)"),
        ("stacked_hourglass", 50, {}, r"multiples of 4 for 'stacked_hourglass'.*Use \(52, 52\)"),
        ("stacked_hourglass", 32, {"features": 15}, "`features` must be even.*Use 16"),
        ("stacked_hourglass", 32, {"stacks": 0}, "`stacks` must be a whole number from 1"),
        ("frrn_a", 32, {"filters": 1.5}, "`filters` must be a whole number from 1"),
        ("frrn_a", 32, {"depth": 3}, "no such option.*depth"),
    ],
)
def test_what_is_refused(name, size, options, message):
    with pytest.raises(KerasvisionError, match=message):
        segmenter(name, classes=3, image_size=size, **options)


@pytest.mark.parametrize("name", SMALL)
def test_it_has_no_backbone_and_no_weights(name):
    assert segmenter_spec(name, classes=3, image_size=64).backbone is None
    with pytest.raises(KerasvisionError, match="is a whole network: `backbone` must be None"):
        segmenter(name, classes=3, image_size=64, backbone="mobilenet_v2")
    with pytest.raises(KerasvisionError, match="`weights` must be None"):
        segmenter(name, classes=3, image_size=64, weights="imagenet", **SMALL[name])


def test_sources_of_a_tensor_with_many_ways_to_it():
    x = first = layers.Input((4,))
    second = layers.Input((4,))
    for _ in range(200):  # 2**200 ways
        x = layers.Add()([x, layers.ReLU()(x)])
    found = graph.sources(layers.Add()([x, second]))
    assert {id(tensor) for tensor in found} == {id(first), id(second)} and len(found) == 2
