"""Tensors of torch find their layers by name, in the right order of axes, or the file is refused."""

import keras
import numpy as np
import pytest
from keras import layers
from torch_states import cifar_modules, randomized, save, state_of

from kerasvision.errors import WeightsError
from kerasvision.models import GoogLeNet, InceptionV3, ResNet20, ResNet32, get_model, load_weights
from kerasvision.models.preprocessing import Normalization, preprocess
from kerasvision.models.torch_names import RULES

FAMILIES = {family.name: family for family in RULES}

# family -> names of layers in the order of a model, and the modules of the published files
NAMES = {
    "resnet": (
        "conv1_conv conv1_bn conv2_block1_0_conv conv2_block1_0_bn conv2_block1_3_bn conv5_block3_2_conv "
        "predictions",
        "conv1 bn1 layer1.0.downsample.0 layer1.0.downsample.1 layer1.0.bn3 layer4.2.conv2 fc",
    ),
    "resnet for CIFAR": (
        "conv1_conv conv3_block1_0_conv conv3_block1_0_bn conv4_block9_2_conv predictions",
        "conv1 layer2.0.shortcut.0 layer2.0.shortcut.1 layer3.8.conv2 linear",
    ),
    "resnet of transformers": (
        "conv1_bn conv2_block1_0_conv conv2_block1_1_bn conv5_block2_2_conv predictions",
        "resnet.embedder.embedder.normalization resnet.encoder.stages.0.layers.0.shortcut.convolution "
        "resnet.encoder.stages.0.layers.0.layer.0.normalization "
        "resnet.encoder.stages.3.layers.1.layer.1.convolution classifier.1",
    ),
    "alexnet": (
        "conv1 conv2 conv3 conv4 conv5 fc6 fc7 predictions",
        "features.0 features.3 features.6 features.8 features.10 classifier.1 classifier.4 classifier.6",
    ),
    "inception_v3": (
        "conv2d batch_normalization conv2d_4 conv2d_5 conv2d_11 conv2d_93 predictions",
        "Conv2d_1a_3x3.conv Conv2d_1a_3x3.bn Conv2d_4a_3x3.conv Mixed_5b.branch1x1.conv "
        "Mixed_5b.branch_pool.conv Mixed_7c.branch_pool.conv fc",
    ),
    "googlenet": (
        "conv1_conv conv2_reduce_conv conv2_bn inception_3a_1x1_conv inception_3a_3x3_reduce_bn "
        "inception_5b_5x5_conv inception_4e_pool_proj_bn auxiliary1_reduce_conv auxiliary2_predictions "
        "predictions",
        "conv1.conv conv2.conv conv3.bn inception3a.branch1.conv inception3a.branch2.0.bn "
        "inception5b.branch3.1.conv inception4e.branch4.1.bn aux1.conv.conv aux2.fc2 fc",
    ),
}


@pytest.mark.parametrize("family", NAMES)
def test_names(family):
    ours, theirs = (text.split() for text in NAMES[family])
    assert FAMILIES[family].modules(ours) == dict(zip(ours, theirs, strict=True))
    assert FAMILIES[family].modules(["something"]) == {"something": None}


# network -> places of its convolutions in `features`, from the published files
VGG = {
    "vgg11": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg11_bn": (0, 4, 8, 11, 15, 18, 22, 25),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg16_bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}


@pytest.mark.parametrize("network", VGG)
def test_names_of_vgg(network):
    model = get_model(network, include_top=False)
    names = [layer.name for layer in model.layers if layer.weights] + ["fc1", "fc2", "predictions"]
    convolutions = [f"features.{place}" for place in VGG[network]]
    norms = [f"features.{place + 1}" for place in VGG[network]]
    for family, top in (
        ("vgg", ["classifier.0", "classifier.3", "classifier.6"]),
        ("vgg of timm", ["pre_logits.fc1", "pre_logits.fc2", "head.fc"]),
    ):
        modules = FAMILIES[family].modules(names)
        assert [modules[name] for name in names if "conv" in name and "bn" not in name] == convolutions
        assert [modules[name] for name in names if name.endswith("_bn")] == norms[
            : len(names) - 3 - len(norms)
        ]
        assert [modules[name] for name in names[-3:]] == top


# Numbers, against a slow reference


def convolve(x, kernel, bias=0, *, stride=1, pad=0, groups=1):
    """Convolve as torch: x (c, h, w), kernel (out, in / groups, h, w)."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    count, depth, height, width = kernel.shape
    rows = (x.shape[1] - height) // stride + 1
    columns = (x.shape[2] - width) // stride + 1
    out = np.zeros((count, rows, columns))
    for o in range(count):
        first = o // (count // groups) * depth
        for i in range(rows):
            for j in range(columns):
                patch = x[
                    first : first + depth, i * stride : i * stride + height, j * stride : j * stride + width
                ]
                out[o, i, j] = (patch * kernel[o]).sum()
    return out + np.reshape(bias, (-1, 1, 1))


def normalize(x, state, module, epsilon=1e-5):
    parts = (
        state[f"{module}.{name}"].reshape(-1, 1, 1)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    weight, bias, mean, variance = parts
    return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def flat_model():
    """AlexNet's names on a tiny network: a grouped, strided convolution, and Dense layers after a Flatten."""
    image = layers.Input((7, 9, 3))
    x = layers.ZeroPadding2D(1)(image)
    x = layers.Conv2D(4, 3, strides=2, name="conv1")(x)
    x = layers.Conv2D(6, (2, 3), groups=2, activation="relu", name="conv2")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dense(5, activation="relu", name="fc6")(x)
    return keras.Model(image, layers.Dense(2, name="predictions")(x), name="alexnet")


def alexnet_state(rng):
    shapes = {
        "features.0": (4, 3, 3, 3),
        "features.3": (6, 2, 2, 3),
        "classifier.1": (5, 6 * 3 * 3),
        "classifier.6": (2, 5),
    }
    state = {f"{name}.weight": rng.normal(size=shape) for name, shape in shapes.items()}
    state |= {f"{name}.bias": rng.normal(size=shape[0]) for name, shape in shapes.items()}
    return {name: values.astype("float32") for name, values in state.items()}


def alexnet_reference(image, state):
    parameters = {
        name: (state[f"{name}.weight"], state[f"{name}.bias"])
        for name in {k.rsplit(".", 1)[0] for k in state}
    }
    x = convolve(image.transpose(2, 0, 1), *parameters["features.0"], stride=2, pad=1)
    x = np.maximum(convolve(x, *parameters["features.3"], groups=2), 0).ravel()
    weight, bias = parameters["classifier.1"]
    x = np.maximum(weight.reshape(5, -1) @ x + bias, 0)
    return parameters["classifier.6"][0] @ x + parameters["classifier.6"][1]


@pytest.mark.parametrize("as_convolution", [False, True])
def test_flattened_maps_and_groups_against_a_slow_reference(as_convolution, rng, tmp_path):
    state, model = alexnet_state(rng), flat_model()
    if as_convolution:  # as timm stores the first Dense layer of VGG
        state["classifier.1.weight"] = state["classifier.1.weight"].reshape(5, 6, 3, 3)
    load_weights(model, save(state, tmp_path / "file"))
    images = rng.normal(size=(2, 7, 9, 3)).astype("float32")
    expected = [alexnet_reference(image, state) for image in images]
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)


def test_batchnorm_and_depthwise_against_a_slow_reference(rng, tmp_path):
    image = layers.Input((6, 5, 3))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="conv1_conv")(image)
    x = layers.BatchNormalization(epsilon=1e-5, name="conv1_bn")(x)
    model = keras.Model(image, layers.Dense(4, name="predictions")(layers.GlobalAveragePooling2D()(x)))
    state = {
        "conv1.weight": rng.normal(size=(6, 1, 3, 3)),
        "fc.weight": rng.normal(size=(4, 6)),
        "fc.bias": rng.normal(size=4),
    }
    for name in ("weight", "bias", "running_mean"):
        state[f"bn1.{name}"] = rng.normal(size=6)
    state |= {"bn1.running_var": rng.uniform(1e-5, 1, 6)}
    state = {name: values.astype("float32") for name, values in state.items()}
    loaded = load_weights(model, save(state | {"bn1.num_batches_tracked": np.array(3)}, tmp_path / "file"))
    assert loaded.layers == ("conv1_conv", "conv1_bn", "predictions") and loaded.ignored == ()
    pixels = rng.normal(size=(6, 5, 3)).astype("float32")
    x = normalize(convolve(pixels.transpose(2, 0, 1), state["conv1.weight"], groups=3), state, "bn1")
    expected = state["fc.weight"] @ x.mean(axis=(1, 2)) + state["fc.bias"]
    np.testing.assert_allclose(model(pixels[None])[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize(
    "names", [{}, {"shortcut": "downsample", "top": "fc"}], ids=["akamaster", "torchvision"]
)
def test_every_weight_of_a_network(kind, names, tmp_path):
    source, target = randomized(ResNet20(shortcut="B")), ResNet20(shortcut="B")
    file = save(state_of(source, cifar_modules(source, **names)), tmp_path / "file", kind=kind)
    loaded = load_weights(target, file)
    assert set(loaded.layers) == {layer.name for layer in source.layers if layer.weights}
    assert loaded.ignored == () and loaded.preprocessing is None
    for a, b in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Wrong files


def resnet20(**options):
    return randomized(ResNet20(input_shape=(32, 32, 3), **options))


def resnet20_state():
    model = resnet20()
    return state_of(model, cifar_modules(model))


def without(name):
    return lambda state: {key: values for key, values in state.items() if key != name}


def changed(name, value):
    return lambda state: {**state, name: value(state.get(name))}


def deeper(state):
    model = randomized(ResNet32())
    return state_of(model, cifar_modules(model))


def vgg(state):
    return {
        "features.0.weight": np.ones((4, 3, 3, 3), "float32"),
        "classifier.3.weight": np.ones((2, 2), "float32"),
    }


def poison(value):
    def make(old):
        new = old.copy()
        new.flat[3] = value
        return new

    return make


F = "float32"
# case -> how the file differs, what the message says
WRONG = {
    "missing tensor": (
        without("layer2.1.bn2.running_var"),
        "conv3_block2_2_bn: layer2.1.bn2.running_var is not in",
    ),
    "extra tensor": (
        changed("attention.weight", lambda _: np.ones(3, F)),
        "attention.weight: in the file, not in",
    ),
    "both": (
        lambda state: {("linear.kernel" if k == "linear.weight" else k): v for k, v in state.items()},
        "predictions: linear.weight is not in the file\n  linear.kernel: in the file",
    ),
    "wrong shape": (
        changed("conv1.weight", lambda old: np.ones((16, 3, 5, 5), F)),
        "conv1_conv: conv1.weight is 16x3x5x5 in the file, 16x3x3x3 in the model",
    ),
    "transposed shape": (
        changed("linear.weight", lambda old: old.T.copy()),
        "64x10 in the file, 10x64 in the model",
    ),
    "other depth": (deeper, "layer1.3.bn1.bias: in the file.*depth: 5, 5, 5 mod.* 3, 3, 3 in the model"),
    "other classes": (
        lambda state: state | {"linear.weight": np.ones((100, 64), F), "linear.bias": np.ones(100, F)},
        "100x64 in the file, 10x64 in the model.*Only the top differs",
    ),
    "other family": (vgg, "classifier.3.weight: in the file.*The file is of the family vgg"),
    "integers": (changed("conv1.weight", lambda old: old.astype("int8")), "conv1.weight: int8.*quantized"),
    "not a number": (changed("bn1.weight", poison(np.nan)), "not finite for conv1_bn"),
    "infinite": (changed("linear.weight", poison(np.inf)), "not finite for predictions"),
    "no tensors": (lambda state: {}, "conv1.weight is not in the file"),
}


def assert_refused(model, file, message):
    """The message, and the model as it was."""
    before = model.get_weights()
    with pytest.raises(WeightsError, match=f"(?s){message}") as caught:
        load_weights(model, file)
    assert str(file) in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("change, message", WRONG.values(), ids=WRONG)
def test_wrong_file_changes_nothing(change, message, tmp_path):
    assert_refused(resnet20(), save(change(resnet20_state()), tmp_path / "file.safetensors"), message)


def test_the_file_is_right_unless_changed(tmp_path):
    load_weights(resnet20(), save(resnet20_state(), tmp_path / "file.safetensors"))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_huge_shape_is_refused_before_it_is_read(kind, tmp_path):
    from torch_writer import Tensor, save_legacy, save_zip, tensor

    state = {name: tensor(values) for name, values in resnet20_state().items()}
    state["conv1.weight"] = Tensor(np.ones(1, F), (2**30, 2**20), (0, 0))  # one number, expanded
    if kind == "safetensors":
        file = save({**resnet20_state(), "conv1.weight": np.ones((2**20, 1), F)}, tmp_path / "file")
    else:
        file = {"zip": save_zip, "legacy": save_legacy}[kind](tmp_path / "file", state)
    assert_refused(resnet20(), file, "conv1.weight is .* in the file, 16x3x3x3 in the model")


def bottleneck(*, epsilon=1e-5, stride_on=2, padding="valid", bias=False):
    """A network of one block, with names as ResNet50 has them."""
    image = layers.Input((8, 8, 3))
    options = {"use_bias": bias}
    x = layers.Conv2D(4, 3, padding="same", name="conv1_conv", **options)(image)
    x = layers.BatchNormalization(epsilon=epsilon, name="conv1_bn")(x)
    x = layers.Conv2D(4, 1, strides=2 if stride_on == 1 else 1, name="conv2_block1_1_conv", **options)(x)
    if stride_on == 2 and padding == "valid":
        x = layers.ZeroPadding2D(1)(x)
    stride = {"strides": 2, "padding": padding} if stride_on == 2 else {"padding": "same"}
    x = layers.Conv2D(4, 3, name="conv2_block1_2_conv", **stride, **options)(x)
    x = layers.Conv2D(8, 1, name="conv2_block1_3_conv", **options)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return randomized(keras.Model(image, layers.Dense(2, name="predictions")(x), name="resnet50"))


# case -> how the model is made, what the message says
FORMS = {
    "epsilon of Keras": ({"epsilon": 1e-3}, "conv1_bn: epsilon 0.001, the weights expect 1e-05"),
    "epsilon of keras.applications": ({"epsilon": 1.001e-5}, "conv1_bn: epsilon 1.001e-05"),
    "stride in the 1x1": (
        {"stride_on": 1},
        "conv2_block1_1_conv: has the stride, which torch has on .*_2_conv",
    ),
    "padding": ({"padding": "same"}, "conv2_block1_2_conv: has a stride and padding 'same'"),
    "biases": ({"bias": True}, "conv1_conv: has biases, the file has none"),
}


@pytest.mark.parametrize("options, message", FORMS.values(), ids=FORMS)
def test_model_of_another_form_is_refused(options, message, tmp_path):
    source = bottleneck()
    modules = {
        name: FAMILIES["resnet"].modules([name])[name] for name in (layer.name for layer in source.layers)
    }
    file = save(state_of(source, modules), tmp_path / "file")
    load_weights(bottleneck(), file)
    assert_refused(bottleneck(**options), file, f"{message}.*form='torchvision'")


@pytest.mark.parametrize("ending", ["weights.h5", "keras"])
def test_keras_file_of_the_other_form(ending, tmp_path):
    with_bias, without_bias = bottleneck(bias=True), bottleneck()
    for model, other, form in ((with_bias, without_bias, "keras"), (without_bias, with_bias, "torchvision")):
        file = tmp_path / f"{form}.{ending}"
        (model.save if ending == "keras" else model.save_weights)(file)
        assert_refused(other, file, f"Build it with form='{form}'")


@pytest.mark.slow
def test_inception_without_factors(tmp_path):
    """keras.applications' form has no gamma: its leftovers are explained, in both directions."""
    shape = {"input_shape": (75, 75, 3), "include_top": False}
    ours, torch = InceptionV3(**shape), InceptionV3(form="torchvision", **shape)
    modules = FAMILIES["inception_v3"].modules([layer.name for layer in torch.layers])
    file = save(state_of(randomized(torch), modules), tmp_path / "file")
    assert load_weights(torch, file).preprocessing == "tf"
    assert_refused(
        ours, file, "batch_normalization: has no factors .gamma., the file has.*form='torchvision'"
    )
    ours.save_weights(tmp_path / "file.weights.h5")
    assert_refused(torch, tmp_path / "file.weights.h5", "Build it with form='keras'")


def test_network_without_rule(tmp_path):
    file = save(resnet20_state(), tmp_path / "file")
    assert_refused(
        get_model("resnet_small"), file, "no rule is known from the layers.*is of the family resnet for CIFAR"
    )


def test_nested_model(tmp_path):
    image = layers.Input((32, 32, 3))
    model = keras.Model(image, resnet20()(image))
    assert_refused(model, save(resnet20_state(), tmp_path / "file"), "flat models.*nested inside")


# What is left out, and what comes along


def test_auxiliary_heads_are_left_out_and_named(tmp_path):
    options = {"batch_norm": True, "input_shape": (64, 64, 3), "classes": 3}
    source = GoogLeNet(auxiliary=True, **options)
    modules = FAMILIES["googlenet"].modules([layer.name for layer in source.layers])
    maps = {f"auxiliary{n}_fc": (4, 4, 128) for n in (1, 2)}
    file = save(state_of(randomized(source), modules, maps), tmp_path / "file")
    model = GoogLeNet(**options)
    loaded = load_weights(model, file)
    assert len(loaded.ignored) == 18 and all(name.startswith(("aux1.", "aux2.")) for name in loaded.ignored)
    assert loaded.preprocessing == "tf"
    whole = GoogLeNet(auxiliary=True, **options)
    assert load_weights(whole, file).ignored == ()
    for a, b in zip(source.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        model.get_layer("predictions").kernel, source.get_layer("predictions").kernel
    )


@pytest.mark.parametrize("ignore", ["predictions", "linear"])
def test_top_left_out_as_asked(ignore, tmp_path):
    file, backbone = save(resnet20_state(), tmp_path / "file"), ResNet20(include_top=False)
    with pytest.raises(WeightsError, match="linear.bias: in the file, not in the model"):
        load_weights(backbone, file)
    assert set(load_weights(backbone, file, ignore=[ignore]).ignored) == {"linear.weight", "linear.bias"}
    np.testing.assert_array_equal(
        backbone.get_layer("conv1_conv").kernel, resnet20().get_layer("conv1_conv").kernel
    )


def test_prefix_is_no_partial_name(tmp_path):
    """`linear2` is not inside `linear`."""
    state = resnet20_state() | {"linear2.bias": np.ones(2, F)}
    with pytest.raises(WeightsError, match="linear2.bias: in the file"):
        load_weights(ResNet20(include_top=False), save(state, tmp_path / "file"), ignore=["predictions"])


# metadata -> preprocessing
NOTED = {
    "ImageNet": ("0.485,0.456,0.406", "0.229,0.224,0.225", "torch"),
    "a list": ("[0.5, 0.5, 0.5]", "[0.5, 0.5, 0.5]", "tf"),
    "none": ("0,0,0", "1,1,1", "zero_one"),
    "CIFAR": (
        "0.4914,0.4822,0.4465",
        "0.2470,0.2435,0.2616",
        Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ),
}


@pytest.mark.parametrize("mean, deviation, expected", NOTED.values(), ids=NOTED)
def test_preprocessing_in_the_metadata(mean, deviation, expected, tmp_path):
    metadata = {"normalize_mean": mean, "normalize_std": deviation}
    file = save(resnet20_state(), tmp_path / "file", metadata=metadata)
    assert load_weights(resnet20(), file).preprocessing == expected
    image = layers.Input((32, 32, 3))
    fitting = ResNet20(input_tensor=preprocess(image, expected))
    assert load_weights(fitting, file).preprocessing == expected
    contrary = randomized(ResNet20(input_tensor=preprocess(layers.Input((32, 32, 3)), "caffe")))
    assert_refused(
        contrary, file, "expect pixels prepared as.*prepares them as 'caffe' in its layer `preprocess`"
    )


@pytest.mark.parametrize("mean", ["0.4,0.4", "nan,0,0", "a,b,c"])
def test_impossible_metadata(mean, tmp_path):
    metadata = {"normalize_mean": mean, "normalize_std": "1,1,1"}
    assert_refused(
        resnet20(), save(resnet20_state(), tmp_path / "file", metadata=metadata), "Correct its metadata"
    )


def test_usual_preprocessing_of_files_that_do_not_say():
    shapes = {"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 3, 3)}
    assert FAMILIES["resnet"].preprocessing(shapes) == "torch"
    assert FAMILIES["resnet"].preprocessing({**shapes, "conv1.weight": (64, 3, 3, 3)}) is None
    assert FAMILIES["resnet for CIFAR"].preprocessing({}) is None
    assert [FAMILIES[name].preprocessing({}) for name in ("vgg", "alexnet", "googlenet", "inception_v3")] == [
        "torch", "torch", "tf", "tf",
    ]  # fmt: skip
