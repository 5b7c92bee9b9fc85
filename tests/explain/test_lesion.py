"""Modules are found in every family, and leaving them out equals a network built without them."""

import keras
import numpy as np
import pytest
from keras import layers
from lesion_helpers import close, network, pictures, randomized, silenced

from kerasvision.explain import plain_modules, residual_modules, without
from kerasvision.models import classifier, graph

# name -> (options, side, number of modules, shortcuts that are not the identity, downsampling modules)
FAMILIES = {
    "resnet20 A": ("resnet20", {}, 32, 9, {"conv3_block1": "padded", "conv4_block1": "padded"}, 2),
    "resnet20 B": (
        "resnet20",
        {"shortcut": "B"},
        32,
        9,
        {"conv3_block1": "projection", "conv4_block1": "projection"},
        2,
    ),
    "resnet20 C": (
        "resnet20",
        {"shortcut": "C"},
        32,
        9,
        {f"conv{s}_block{b}": "projection" for s in (2, 3, 4) for b in (1, 2, 3)},
        2,
    ),
    "resnet18": ("resnet18", {}, 32, 8, {f"conv{s}_block1": "projection" for s in (3, 4, 5)}, 3),
    "resnet50": ("resnet50", {}, 32, 16, {f"conv{s}_block1": "projection" for s in (2, 3, 4, 5)}, 3),
    "resnext50": ("resnext50", {}, 32, 16, {f"conv{s}_block1": "projection" for s in (2, 3, 4, 5)}, 3),
    "preact_resnet18": (
        "preact_resnet18",
        {},
        32,
        8,
        {f"conv{s}_block1": "projection" for s in (3, 4, 5)},
        3,
    ),
    "resnet50_v2": (
        "resnet50_v2",
        {},
        32,
        16,
        {f"conv{s}_block1": "projection" for s in (2, 3, 4, 5)}
        | {"conv2_block3": "padded", "conv3_block4": "padded", "conv4_block6": "padded"},
        3,
    ),
    "mobilenet_v2": ("mobilenet_v2", {"alpha": 0.35}, 32, 10, {}, 0),
    "resnet_small": ("resnet_small", {"width": 16}, 32, 3, {"stage2_block1": "projection"}, 2),
}
FAMILIES["resnet_small"][4]["stage3_block1"] = "projection"


@pytest.fixture(scope="module")
def built():
    """Networks by name of the case, built once."""
    made = {}

    def build(case):
        if case not in made:
            name, options, side, *_ = FAMILIES[case]
            made[case] = network(name, side, **options)
        return made[case]

    return build


@pytest.mark.parametrize("case", FAMILIES)
def test_modules_of_every_family(built, case):
    *_, count, special, downsampling = FAMILIES[case]
    modules = residual_modules(built(case))
    assert len(modules) == len({module.name for module in modules}) == count
    assert {m.name: m.shortcut for m in modules if m.shortcut != "identity"} == special
    assert sum(module.downsampling for module in modules) == downsampling
    known = {layer.name for layer in built(case).layers}
    for module in modules:
        assert module.parameters > 0 and {*module.layers, *module.shortcut_layers} <= known
        assert not set(module.layers) & set(module.shortcut_layers)


LARGE = ("resnet18", "resnet50", "resnext50", "preact_resnet18", "resnet50_v2")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in LARGE else case for case in FAMILIES]
)
def test_without_equals_a_branch_that_adds_nothing(built, case):
    """A branch whose last weights are 0 adds 0: an independent way to leave a module out."""
    model = built(case)
    images, modules = pictures(FAMILIES[case][2]), residual_modules(model)
    whole = model(images, training=False)
    special = [module for module in modules if module.shortcut != "identity" or module.downsampling][:2]
    for module in dict.fromkeys([modules[-1], *special]):
        answer = without(model, module.name)(images, training=False)
        close(answer, silenced(model, module)(images, training=False))
        assert np.abs(answer - whole).max() > 1e-3  # the module mattered


@pytest.mark.slow
def test_inception_resnet():
    model = network("inception_resnet_v2", 75)
    modules = residual_modules(model)
    assert len(modules) == 40 and {module.shortcut for module in modules} == {"identity"}
    names = [f"block35_{i}" for i in range(1, 11)] + [f"block17_{i}" for i in range(1, 21)]
    assert [module.name for module in modules][:30] == names
    images = pictures(75, 2)
    for module in (modules[3], modules[25], modules[-1]):
        close(without(model, module.name)(images), silenced(model, module)(images), 1e-4)


def by_hand(kind, missing):
    """Build a tiny network with a module of some kind twice; those of `missing` are not built at all."""
    x = image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", name="stem")(x)
    for name, down in (("a", False), ("b", kind in ("padded", "projection", "preact"))):
        x = BLOCKS[kind](x, name, 2 if down else 1, name in missing)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="last")(x))
    return keras.Model(image, layers.Dense(4, name="predictions")(x))


def convolutions(x, name, stride, filters=None):
    x = layers.Conv2D(filters or 16 * stride, 3, strides=stride, padding="same", name=f"{name}_1_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_1_bn")(x)
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    return layers.Conv2D(filters or 16 * stride, 3, padding="same", name=f"{name}_2_conv")(x)


def v1(x, name, stride, missing, shortcut=lambda x, name, stride: x):
    kept = shortcut(x, name, stride)
    if not missing:
        branch = layers.BatchNormalization(name=f"{name}_2_bn")(convolutions(x, name, stride))
        kept = layers.Add(name=f"{name}_add")([kept, branch])
    return layers.ReLU(name=f"{name}_out")(kept)


def padded(x, name, stride):
    if stride == 1:
        return x
    x = layers.AveragePooling2D(stride, name=f"{name}_0_pool")(x)
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [8, 8]])


def projected(x, name, stride):
    x = layers.Conv2D(16 * stride, 1, strides=stride, name=f"{name}_0_conv")(x)
    return layers.BatchNormalization(name=f"{name}_0_bn")(x)


def preact(x, name, stride, missing):
    before = layers.BatchNormalization(name=f"{name}_preact_bn")(x) if stride > 1 or not missing else x
    kept = projected(before, name, stride) if stride > 1 else x
    return kept if missing else convolutions(before, name, stride) + kept


def scaled(x, name, stride, missing):
    if missing:
        return x
    left = layers.Conv2D(8, 1, name=f"{name}_left")(x)
    right = layers.Conv2D(8, 3, padding="same", name=f"{name}_right")(x)
    branch = layers.Conv2D(16, 1, name=f"{name}_up")(layers.Concatenate(name=f"{name}_mixed")([left, right]))
    return layers.Add(name=f"{name}_add")([x, layers.Rescaling(0.2, name=f"{name}_scale")(branch)])


def inverted(x, name, stride, missing):
    if missing:
        return x
    branch = layers.Conv2D(32, 1, name=f"{name}_expand")(x)
    branch = layers.ReLU(6.0, name=f"{name}_relu")(branch)
    branch = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depthwise")(branch)
    gate = layers.Conv2D(32, 1, name=f"{name}_excite")(layers.GlobalAveragePooling2D(keepdims=True)(branch))
    branch = layers.Conv2D(16, 1, name=f"{name}_project")(layers.Multiply()([branch, gate]))
    return layers.Add(name=f"{name}_add")([branch, x])


BLOCKS = {
    "identity": v1,
    "padded": lambda *a: v1(*a, shortcut=padded),
    "projection": lambda *a: v1(*a, shortcut=projected),
    "preact": preact,
    "scaled": scaled,
    "inverted": inverted,
}


@pytest.mark.parametrize("missing", ["a", "b", "ab"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_without_equals_a_network_built_without(kind, missing):
    keras.utils.set_random_seed(1)
    model = randomized(by_hand(kind, ""))
    expected = by_hand(kind, missing)
    for layer in expected.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    modules = residual_modules(model)
    assert len(modules) == 2
    assert modules[1].shortcut == {"preact": "projection"}.get(kind, kind if kind in KINDS else "identity")
    lesioned = without(model, [modules["ab".index(name)].name for name in missing])
    images = pictures(8)
    close(lesioned(images, training=False), expected(images, training=False), 1e-6)
    assert lesioned.count_params() == expected.count_params()
    assert {w.name for w in lesioned.layers if w.weights} == {w.name for w in expected.layers if w.weights}


KINDS = ("identity", "padded", "projection")


def test_the_users_model_is_unchanged_and_shares_its_weights():
    model = network("resnet20")
    config, values = model.get_config(), [w.copy() for w in model.get_weights()]
    outputs, images = [layer.output for layer in model.layers], pictures()
    before = np.asarray(model(images))
    nodes = {layer.name: len(layer._inbound_nodes) for layer in model.layers}
    names = ["conv2_block2", "conv3_block1"]
    lesioned = without(model, names)
    assert model.get_config() == config
    assert all(now is then.output for now, then in zip(outputs, model.layers, strict=True))
    for now, then in zip(model.get_weights(), values, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(model(images), before)
    for layer in lesioned.layers:
        if layer.weights:
            assert layer is model.get_layer(layer.name)
    gone = {name for m in residual_modules(model) if m.name in names for name in m.layers}
    assert not gone & {layer.name for layer in lesioned.layers}
    assert all(len(model.get_layer(name)._inbound_nodes) == nodes[name] for name in gone)
    again = without(lesioned, "conv4_block2")  # lesions add up
    close(again(images), without(model, [*names, "conv4_block2"])(images), 1e-6)


def test_bare_classifier_loaded_and_nested_models(tmp_path):
    bare = network("resnet20", include_top=False)
    names = [module.name for module in residual_modules(bare)]
    model = classifier("resnet20", classes=3, image_size=32)
    assert [module.name for module in residual_modules(model)] == names
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert residual_modules(loaded) == residual_modules(model)
    lesioned = without(loaded, names[3])
    images = 100 * pictures()
    lesioned.save(tmp_path / "lesioned.keras")
    close(keras.saving.load_model(tmp_path / "lesioned.keras")(images), without(model, names[3])(images))
    nested = keras.Sequential([keras.Input((32, 32, 3)), bare, layers.GlobalAveragePooling2D()])
    assert [module.name for module in residual_modules(nested)] == names
    expected = without(bare, names[3])(images).numpy().mean(axis=(1, 2))
    close(without(nested, names[3])(images), expected)


def test_outer_skips_and_other_additions_are_no_modules():
    x = image = keras.Input((8, 8, 4))
    for i in range(3):
        x = layers.Add(name=f"block{i}_add")([x, layers.Conv2D(4, 3, padding="same")(x)])
    x = layers.Add(name="outer_add")([x, image])
    two = [layers.Conv2D(4, 3, padding="same", name=f"equal{i}")(x) for i in range(2)]
    x = layers.Add(name="equals_add")(two)  # neither of two equal branches is a shortcut
    x = layers.Add(name="bias_add")([x, layers.GlobalAveragePooling2D(keepdims=True)(x)])  # broadcasts
    x = layers.Add(name="twice_add")([x, x])
    model = keras.Model(image, x)
    assert [module.name for module in residual_modules(model)] == ["block0", "block1", "block2"]


def test_names_of_unnamed_additions():
    x = image = keras.Input((8, 8, 4))
    x = x + layers.Conv2D(4, 1, name="first_b_conv")(layers.ReLU(name="first_a_relu")(x))
    x = x + layers.Conv2D(4, 1, name="second")(x)
    unnamed = [residual.name for residual in residual_modules(keras.Model(image, x))]
    assert unnamed[0] == "first" and unnamed[1].startswith("add")


def test_keras_applications_without_names_of_additions():
    model = keras.applications.ResNet50V2(weights=None, input_shape=(32, 32, 3), include_top=False)
    assert [m.name for m in residual_modules(model)] == [
        f"conv{s}_block{b}"
        for s, count in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True)
        for b in range(1, count + 1)
    ]


def test_plain_networks_lose_layers_that_keep_the_shape():
    model = network("vgg11", 32, include_top=False)
    modules = plain_modules(model)
    assert [m.name for m in modules] == [x.name for x in model.layers if isinstance(x, layers.Conv2D)]
    for module in modules:
        layer = model.get_layer(module.name)
        same = tuple(layer.input.shape) == tuple(layer.output.shape)
        assert module.removable == same
    assert 0 < sum(module.removable for module in modules) < len(modules)
    name = next(module.name for module in modules if module.removable)
    # A kernel with a single 1 in its middle hands its input on, and ReLU keeps what a ReLU made.
    identity = graph.copy(model)
    kernel, bias = identity.get_layer(name).get_weights()
    middle = [side // 2 for side in kernel.shape[:2]]
    kernel[:], kernel[*middle] = 0, np.eye(kernel.shape[2])
    identity.get_layer(name).set_weights([kernel, 0 * bias])
    close(without(model, name)(pictures()), identity(pictures()), 1e-5)


def test_dense_layers_and_padding_before_a_convolution():
    x = image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(layers.ZeroPadding2D(1, name="pad")(x))
    x = layers.Flatten()(x)
    for i, units in enumerate((16, 16, 3)):
        x = layers.Dropout(0.5, name=f"drop{i}")(layers.Dense(units, name=f"fc{i}")(x))
    model = keras.Model(image, layers.Dense(3, name="predictions")(x))
    found = {module.name: (module.removable, module.layers) for module in plain_modules(model)}
    assert found == {
        "conv": (True, ("pad", "conv")),
        "fc0": (False, ("fc0", "drop0")),
        "fc1": (True, ("fc1", "drop1")),
        "fc2": (False, ("fc2", "drop2")),
    }
    lesioned = without(model, ["conv", "fc1"])
    assert [layer.name for layer in lesioned.layers if layer.weights] == ["fc0", "fc2", "predictions"]


WRONG = {
    "close": ("resnet20", "conv3_blok2", r"did you mean 'conv3_block2'"),
    "far": ("resnet20", "nothing like it", r"is no module of 'resnet20'; it has: conv2_block1"),
    "fixed": ("vgg11", "{fixed}", r"cannot be left out: it makes .* Those that can: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_unknown_names(case):
    name, wrong, message = WRONG[case]
    model = network(name, 32, include_top=False)
    if case == "fixed":
        wrong = next(module.name for module in plain_modules(model) if not module.removable)
    with pytest.raises(ValueError, match=message):
        without(model, [wrong])


@pytest.mark.parametrize("names", [None, 3])
def test_what_are_no_names(names):
    with pytest.raises(ValueError, match=f"`names` must be names of modules. Received: {names}"):
        without(network("resnet_small", include_top=False), names)


def test_networks_without_modules():
    model = network("plainnet20")
    with pytest.raises(ValueError, match=r"has no residual module.*plain_modules\(model\)"):
        residual_modules(model)
    with pytest.raises(ValueError, match=r"is not plain.*residual_modules\(model\)"):
        plain_modules(network("resnet_small"))
    image = keras.Input((8,))
    tiny = keras.Model(image, layers.Dense(3)(image))
    with pytest.raises(ValueError, match="no convolution or Dense layer before its output"):
        plain_modules(tiny)
    with pytest.raises(ValueError, match="nothing that can be left out"):
        without(tiny, "dense")
    with pytest.raises(ValueError, match=r"must be a keras\.Model"):
        residual_modules("resnet20")
