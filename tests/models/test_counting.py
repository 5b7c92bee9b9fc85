"""Multiply-adds: against counts by loops, and against published figures."""

import itertools

import keras
import pytest
from builder_helpers import weightless
from keras import layers, ops

from kerasvision.models import GoogLeNet, entry, get_model, list_models, multiply_adds, summary_table

TORCHVISION = "https://pytorch.org/vision/stable/models.html"  # column GFLOPS, which are multiply-adds
# name -> billions, as precisely as published, and where
PUBLISHED = {
    "alexnet": ("0.71", TORCHVISION),
    "vgg11": ("7.61", TORCHVISION),
    "vgg13": ("11.31", TORCHVISION),
    "vgg16": ("15.47", TORCHVISION),
    "vgg19": ("19.63", TORCHVISION),
    "vgg16_bn": ("15.47", TORCHVISION),
    "googlenet_bn": ("1.50", TORCHVISION),
    "inception_v3": ("5.71", TORCHVISION),
    "inception_resnet_v2": ("13.2", "https://arxiv.org/abs/1707.07012, table 2"),
    "resnet18": ("1.81", TORCHVISION),
    "resnet34": ("3.66", TORCHVISION),
    "resnet50": ("3.86", "https://arxiv.org/abs/1512.03385, table 1: 3.8 (cut off)"),
    "resnet50_v1_5": ("4.09", TORCHVISION),
    "resnet101_v1_5": ("7.80", TORCHVISION),
    "resnet152_v1_5": ("11.51", TORCHVISION),
    "resnext50": ("4.23", TORCHVISION),
    "wide_resnet50": ("11.40", TORCHVISION),
    "mobilenet_v2": ("0.30", TORCHVISION),
    "mobilenet_v3_small": ("0.06", TORCHVISION),
    "mobilenet_v3_large": ("0.22", TORCHVISION),
    "resnet20": ("0.041", "https://github.com/chenyaofo/pytorch-cifar-models: 40.81 M with its additions"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_table_states_the_published_figure(name):
    """`test_every_builder` counts what the table states."""
    figure, _ = PUBLISHED[name]
    digits = len(figure.split(".")[1])
    assert f"{entry(name).multiply_adds / 1e9:.{digits}f}" == figure


def test_the_grouped_alexnet_has_the_connections_of_its_layers():
    """Convolutions and Dense layers one by one, from the figure of the paper."""
    convolutions = (
        55 * 55 * 96 * 11 * 11 * 3,
        27 * 27 * 256 * 5 * 5 * 48,
        13 * 13 * 384 * 3 * 3 * 256,
        13 * 13 * 384 * 3 * 3 * 192,
        13 * 13 * 256 * 3 * 3 * 192,
    )
    dense = (6 * 6 * 256 * 4096, 4096 * 4096, 4096 * 1000)
    assert entry("alexnet_grouped").multiply_adds == sum(convolutions) + sum(dense)


def by_loops(layer, shape, out_shape) -> int:
    """Count each product of one image: every place, every offset of the kernel, every channel in and out."""
    height, width, channels = shape
    count = 0
    if isinstance(layer, layers.Dense):
        for _ in itertools.product(range(height), range(width), range(channels), range(layer.units)):
            count += 1
        return count
    transposed = isinstance(layer, layers.Conv2DTranspose)
    places = shape[:2] if transposed else out_shape[:2]
    rows, columns = layer.kernel_size
    for _ in itertools.product(range(places[0]), range(places[1]), range(rows), range(columns)):
        if isinstance(layer, layers.DepthwiseConv2D | layers.SeparableConv2D):
            count += channels * layer.depth_multiplier
        else:
            for _ in range(layer.filters):
                count += channels // getattr(layer, "groups", 1)
    if isinstance(layer, layers.SeparableConv2D):
        for _ in itertools.product(range(places[0]), range(places[1]), range(layer.filters)):
            count += channels * layer.depth_multiplier
    return count


LAYERS = {
    "valid": layers.Conv2D(5, 3),
    "strided, not square": layers.Conv2D(5, (3, 2), strides=2, padding="same"),
    "dilated": layers.Conv2D(4, 3, dilation_rate=2, padding="same"),
    "grouped": layers.Conv2D(6, 3, groups=3, padding="same"),
    "depthwise": layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    "separable": layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=2),
    "transposed": layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
    "dense on a map": layers.Dense(7),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_against_loops(case):
    image = layers.Input((7, 9, 6))
    layer = LAYERS[case]
    model = keras.Model(image, layer(image))
    expected = by_loops(layer, (7, 9, 6), model.output_shape[1:])
    assert expected > 0 and multiply_adds(model) == expected


def test_a_layer_counts_each_time_it_is_called_and_inside_nested_models():
    conv, image = layers.Conv2D(3, 3, padding="same"), layers.Input((8, 8, 3))
    inner = keras.Model(image, conv(conv(image)))
    outer_image = layers.Input((8, 8, 3))
    outer = keras.Model(outer_image, layers.Add()([inner(outer_image), conv(outer_image)]))
    assert multiply_adds(inner) == 2 * 8 * 8 * 81
    assert multiply_adds(outer) == 3 * 8 * 8 * 81


def test_image_size_of_a_network_for_any_size():
    model = get_model("resnet_small", include_top=False)
    small, wide = multiply_adds(model, 32), multiply_adds(model, (32, 64))
    assert wide == 2 * small == 2 * (entry("resnet_small").multiply_adds - model.output_shape[-1] * 10)


def test_counting_leaves_the_graph_as_it_is():
    model = get_model("resnet_small")
    before = model.layers[1].output
    multiply_adds(model)
    assert model.layers[1].output is before


def test_reduction_is_what_makes_googlenet_affordable():
    with weightless():
        naive = multiply_adds(GoogLeNet(module="naive"))
    assert naive > 7 * entry("googlenet").multiply_adds


@keras.saving.register_keras_serializable("tests")
class Odd(layers.Layer):
    """Multiplies by a matrix of its own."""

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return x @ self.matrix


def attention(x):
    return layers.Attention()([x, x])


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda x: Odd(name="odd")(x), r"not known: 'odd' \(Odd\)"),
        (lambda x: ops.matmul(x, ops.transpose(x, (0, 1, 3, 2))), "not known: .*Matmul"),
        (lambda x: attention(layers.Reshape((64, 3))(x)), "not known: .*Attention"),
    ],
)
def test_what_is_not_known_is_no_silent_zero(build, message):
    image = layers.Input((8, 8, 3))
    with pytest.raises(ValueError, match=message):
        multiply_adds(keras.Model(image, build(image)))


@pytest.mark.parametrize(
    "shape, size, message",
    [
        ((None, None, 3), None, "`image_size` must be a side"),
        ((None, None, 3), "224", "`image_size` must be a side.*'224'"),
        ((32, 32, 3), 64, r"`image_size` must be \(32, 32\).*Received: 64"),
    ],
)
def test_sizes_that_cannot_be(shape, size, message):
    with pytest.raises(ValueError, match=message):
        multiply_adds(get_model("resnet_small", include_top=False, input_shape=shape), size)


def test_two_inputs_are_refused():
    first, second = layers.Input((8, 8, 3)), layers.Input((8, 8, 3))
    with pytest.raises(ValueError, match="one image input"):
        multiply_adds(keras.Model([first, second], layers.Add()([first, second])))


def test_summary_table_has_every_network():
    rows = summary_table()
    assert [row["name"] for row in rows] == list_models()
    keys = "name year parameters multiply_adds native_size weights top_1 top_5 source".split()
    assert all(list(row) == keys for row in rows)
    row = next(row for row in rows if row["name"] == "vgg16")
    assert (row["parameters"], row["year"], row["native_size"]) == (138_357_544, 2014, 224)
    assert "imagenet" in row["weights"] and row["source"].startswith("https://")
    with pytest.raises(ValueError, match="`task` must be"):
        summary_table("fly")
