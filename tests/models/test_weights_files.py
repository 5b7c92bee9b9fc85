"""Weights files: those that fit are loaded, the others are named and change nothing."""

import os
import re
import subprocess
import sys
import zipfile
from functools import partial

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from kerasvision.errors import WeightsError
from kerasvision.models import MobileNetV2, ResNetSmall, classifier, load_weights

STEM = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0"
FORMATS = ("keras", "weights.h5", "legacy.h5", "whole.h5")


def small(**options):
    return ResNetSmall(**{"input_shape": (16, 16, 3), "classes": 4, "width": 8, **options})


def randomized(model, seed=0):
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        variable.assign(generator.normal(1, 0.1, variable.shape))
    return model


def save(model, path):
    ending = path.name.split(".", 1)[1]
    if ending == "weights.h5":
        model.save_weights(path)
    elif ending == "legacy.h5":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    elif ending == "whole.h5":
        from keras.src.legacy.saving.legacy_h5_format import save_model_to_hdf5

        save_model_to_hdf5(model, path)
    else:
        model.save(path)
    return path


def assert_equal_weights(first, second):
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format(ending, tmp_path):
    source = randomized(small())
    source.compile("adam", "mse")  # the optimizer's variables in the file are not taken for layers
    source.optimizer.build(source.trainable_variables)
    target = small()
    loaded = load_weights(target, save(source, tmp_path / f"file.{ending}"))
    assert_equal_weights(source, target)
    assert len(loaded.layers) == sum(bool(layer.weights) for layer in source.layers) and loaded.ignored == ()


@pytest.mark.parametrize("ending", FORMATS)
def test_ending_does_not_matter(ending, tmp_path):
    source, target = randomized(small()), small()
    file = save(source, tmp_path / f"file.{ending}").rename(tmp_path / "weights")
    load_weights(target, file)
    assert_equal_weights(source, target)


@pytest.mark.parametrize("ending", FORMATS)
def test_whole_file_into_a_backbone(ending, tmp_path):
    source = randomized(small())
    file = save(source, tmp_path / f"file.{ending}")
    model = classifier("resnet_small", classes=9, image_size=32, width=8, weights=file)
    for layer in source.layers[:-1]:
        for a, b in zip(
            layer.get_weights(),
            model.get_layer(layer.name).get_weights() if layer.weights else [],
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
    backbone = small(include_top=False)
    assert load_weights(backbone, file, ignore=("predictions",)).ignored == ("predictions",)
    advice = r"predictions: in the file, not in the model\n.*ignore=\['predictions'\]"
    with pytest.raises(WeightsError, match=advice):
        load_weights(backbone, file)


@pytest.mark.parametrize("ending", FORMATS)
def test_layers_that_keras_numbered(ending, tmp_path):
    def unnamed():
        convolutions = [keras.layers.Conv2D(3, 2) for _ in range(12)]
        return keras.Sequential([keras.Input((16, 16, 3)), *convolutions, keras.layers.Dense(2)])

    source, target = randomized(unnamed()), unnamed()
    assert source.layers[0].name != target.layers[0].name
    load_weights(target, save(source, tmp_path / f"file.{ending}"))
    assert_equal_weights(source, target)


@pytest.mark.parametrize("ending", ["keras", "weights.h5"])
def test_files_of_older_keras_have_no_names(ending, tmp_path):
    source, target = randomized(small()), small()
    file = save(source, tmp_path / "file.weights.h5")
    with h5py.File(file, "r+") as opened:
        opened.visititems(lambda place, item: item.attrs.pop("name", None) and None)
    if ending == "keras":
        with zipfile.ZipFile(tmp_path / "file.keras", "w") as archive:
            archive.write(file, "model.weights.h5")
        file = tmp_path / "file.keras"
    load_weights(target, file)
    assert_equal_weights(source, target)


def test_nested_model(tmp_path):
    def nest():
        image = keras.Input((16, 16, 3))
        return keras.Model(image, keras.layers.Dense(2, name="out")(small()(image)))

    source = randomized(nest())
    for ending in FORMATS:
        target = nest()
        load_weights(target, save(source, tmp_path / f"file.{ending}"))
        assert_equal_weights(source, target)


def test_frozen_layers_load(tmp_path):
    source = randomized(small())
    source.trainable = False
    for ending in FORMATS:
        target = small()
        load_weights(target, save(source, tmp_path / f"file.{ending}"))
        assert_equal_weights(source, target)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("ending", ["keras", "weights.h5"])
def test_half_precision(dtype, ending, tmp_path):
    """HDF5 has no bfloat16; Keras stores its bytes."""
    keras.config.set_dtype_policy(dtype)
    try:
        source = randomized(small())
    finally:
        keras.config.set_dtype_policy("float32")
    target = small()
    load_weights(target, save(source, tmp_path / f"file.{ending}"))
    for a, b in zip(source.variables, target.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.cast(a, "float32"), b)


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


def text(path):
    path.write_text("<html>404</html>" * 100)
    return path


def empty(path):
    path.write_bytes(b"")
    return path


def other_hdf5(path):
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)
    return path


def other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def missing_array(path):
    with h5py.File(path, "r+") as file:
        del file["stem_conv"]["stem_conv"]
    return path


def another_file(path, **options):
    """Put what points to another file in the place of an array of the same shape."""
    other = path.with_name("other.h5")
    with h5py.File(path, "r+") as file, h5py.File(other, "w") as target:
        group = file["stem_conv/stem_conv"]
        (name,) = (name for name in group if name.startswith("kernel"))
        target["numbers"] = np.zeros(group[name].shape, "float32")
        shape = group[name].shape
        del group[name]
        if options.get("kind") == "link":
            group[name] = h5py.ExternalLink(other.name, "numbers")
        elif options.get("kind") == "virtual":
            layout = h5py.VirtualLayout(shape, "float32")
            layout[:] = h5py.VirtualSource(target["numbers"])
            group.create_virtual_dataset(name, layout)
        elif options.get("kind") == "storage":
            group.create_dataset(name, shape, "float32", external=[(str(other), 0, h5py.h5f.UNLIMITED)])
        else:
            group.create_dataset(name, data=np.full(shape, b"numbers"))
    return path


def packed(path):
    """Zeros of a thousand times the size of the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10_000_000))
    return path


# case -> (ending of the file, what is saved, what is done to the file, what the message says)
BAD = {
    "another network": (
        "weights.h5",
        lambda: MobileNetV2(include_top=False, alpha=0.35),
        None,
        "stem_conv: not in the",
    ),
    "another network, legacy": ("legacy.h5", lambda: MobileNetV2(alpha=0.35), None, "and [0-9]+ more"),
    "other classes": (
        "keras",
        lambda: small(classes=5),
        None,
        "predictions: 32x5 5 in the file, 32x4 4 in the model\nOnly the top differs",
    ),
    "other width": (
        "legacy.h5",
        lambda: small(width=4),
        None,
        "stem_conv: 3x3x3x4 in the file, 3x3x3x8 in the model",
    ),
    "more blocks": (
        "weights.h5",
        lambda: small(blocks=(2, 1, 1)),
        None,
        "stage1_block2_1_conv: in the file, not in",
    ),
    "fewer blocks": ("keras", lambda: small(blocks=(1, 1)), None, "stage3_block1_0_conv: not in the file"),
    "no top": ("weights.h5", lambda: small(include_top=False), None, "not in the file\n.*include_top=False"),
    "cut off": ("weights.h5", small, cut, "cut off"),
    "cut off, legacy": ("legacy.h5", small, cut, "cut off"),
    "cut off, keras": ("keras", small, cut, "cut off"),
    "text": ("weights.h5", small, text, "a web page"),
    "empty": ("legacy.h5", small, empty, "it is empty"),
    "other HDF5": ("weights.h5", small, other_hdf5, "without Keras weights: it holds numbers"),
    "other zip": ("keras", small, other_zip, "no model.weights.h5 inside.*no data.pkl inside"),
    "a trap": ("keras", small, packed, "would unpack to 10,000,000 bytes from"),
    "a link": ("legacy.h5", small, partial(another_file, kind="link"), "of stem_conv from another file"),
    "virtual": ("legacy.h5", small, partial(another_file, kind="virtual"), "of stem_conv from another file"),
    "outside": ("legacy.h5", small, partial(another_file, kind="storage"), "of stem_conv from another file"),
    "words": ("legacy.h5", small, another_file, "else than an array of numbers for stem_conv"),
    "array missing": ("legacy.h5", small, missing_array, "cannot be read"),
}


@pytest.mark.parametrize("ending, make, damage, message", BAD.values(), ids=BAD)
def test_bad_file_changes_nothing(ending, make, damage, message, tmp_path):
    file = save(randomized(make()), tmp_path / f"file.{ending}")
    if damage:
        damage(file)
    model = small()
    before = model.get_weights()
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(model, file)
    assert str(file) in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(WeightsError):
        small(weights=file)


def test_same_shapes_under_other_names_are_matched_in_order_only_if_all_fit(tmp_path):
    def pair(first, second):
        return keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Conv2D(3, 1, name=first),
                keras.layers.Conv2D(3, 1, name=second),
            ]
        )

    source = randomized(pair("a", "b"))
    swapped = pair("b", "a")
    load_weights(swapped, save(source, tmp_path / "file.weights.h5"))
    np.testing.assert_array_equal(swapped.get_layer("a").kernel, source.get_layer("a").kernel)  # names win


@pytest.mark.parametrize("ending", FORMATS)
def test_damaged_anywhere(ending, tmp_path):
    """Whatever HDF5 and zip stumble over, it is this error; or only a number was hit."""
    data = save(randomized(small()), tmp_path / f"file.{ending}").read_bytes()
    model, generator, refused = small(), np.random.default_rng(0), 0
    for _ in range(60):
        damaged = np.frombuffer(data, "uint8").copy()
        # Tables stand at the beginning of HDF5 files, and at the end of zip files.
        start = generator.choice([0, max(0, len(damaged) - 4000)])
        damaged[start + generator.integers(0, 4000, 8)] = generator.integers(0, 256, 8)
        for heap in re.finditer(b"GCOL", data):  # of texts: from some damaged ones HDF5 itself never returns
            span = slice(heap.start(), heap.start() + 4096)
            damaged[span] = np.frombuffer(data[span], "uint8")
        (tmp_path / "damaged").write_bytes(damaged)
        before = model.get_weights()
        try:
            load_weights(model, tmp_path / "damaged")
        except WeightsError as error:
            assert "damaged" in str(error)
            assert all(map(np.array_equal, before, model.get_weights()))
            refused += 1
    assert refused > 5


# source -> message
NO_FILES = {
    "nowhere.h5": "There is no weights file nowhere.h5",
    "": "must be a path",
    ".": "is a folder",
    "ImageNet": "Besides a file there are 'imagenet'",
    "https://host/a.pth": "https://host/a.pth is an address. Download it",
}


@pytest.mark.parametrize("source, message", NO_FILES.items(), ids=NO_FILES)
def test_what_is_no_file(source, message):
    with pytest.raises(WeightsError, match=message):
        load_weights(small(), source)


def test_arguments():
    for model in ("resnet20", None, keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match="`model` must be a built keras.Model"):
            load_weights(model, "file.h5")
    with pytest.raises(ValueError, match=r"`ignore` must be a list of names, as \['predictions'\]"):
        load_weights(small(), "file.h5", ignore="predictions")


def run(code, home, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        env={**os.environ, "KERAS_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_failed_download_says_what_to_do(tmp_path):
    """The proxy is a closed port: Keras cannot reach its server."""
    code = """
import kerasvision as kv
for name in ("resnet50", "mobilenet_v2"):
    try:
        kv.models.classifier(name, classes=2, image_size=96, weights="imagenet")
    except kv.errors.WeightsError as error:
        print(error)
"""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = run(code, tmp_path, **nowhere, no_proxy="", NO_PROXY="")
    assert done.returncode == 0, done.stderr
    for file in (
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{STEM}_96_no_top.h5",
    ):
        assert f"Put the file {file} into {tmp_path / 'models'} by hand" in done.stdout
    assert done.stdout.count("weights=None or weights=<a file>") == 2


@pytest.mark.realdata
def test_imagenet_weights_from_the_cache(keras_home, tmp_path):
    """By Keras' own route, also at a size that Keras has no file for; without a warning."""
    code = f"""
import keras, numpy as np, kerasvision as kv
pixels = np.random.default_rng(0).integers(0, 256, (2, 150, 128, 3)).astype("float32")
model = kv.models.classifier("mobilenet_v2", classes=3, image_size=(150, 128), weights="imagenet")
np.save(r"{tmp_path / "ours.npy"}", kv.models.feature_extractor(model)(pixels))
theirs = keras.applications.MobileNetV2(
    weights=None, include_top=False, pooling="avg", input_shape=(150, 128, 3)
)
theirs.load_weights(r"{keras_home / "models" / STEM}_224_no_top.h5")
np.save(r"{tmp_path / "theirs.npy"}", theirs(keras.applications.mobilenet_v2.preprocess_input(pixels)))
"""
    done = run(code, keras_home)
    assert done.returncode == 0, done.stderr
    ours, theirs = np.load(tmp_path / "ours.npy"), np.load(tmp_path / "theirs.npy")
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert theirs.std() > 0.1


@pytest.mark.realdata
def test_published_file_as_a_path(keras_home):
    """Also the one with the top, which a backbone leaves out."""
    folder = keras_home / "models"
    first, second = (
        classifier("mobilenet_v2", classes=2, image_size=64, weights=folder / f"{STEM}_224{ending}.h5")
        for ending in ("", "_no_top")
    )
    for a, b in zip(first.get_weights()[:-2], second.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert MobileNetV2(weights=folder / f"{STEM}_224.h5").count_params() == 3_538_984


@pytest.mark.realdata
def test_damaged_file_in_the_cache(keras_home, tmp_path):
    (tmp_path / "models").mkdir()
    name = f"{STEM}_96_no_top.h5"
    data = (keras_home / "models" / name).read_bytes()
    (tmp_path / "models" / name).write_bytes(data[: len(data) // 2])
    code = """
import kerasvision as kv
kv.models.classifier("mobilenet_v2", classes=2, image_size=96, weights="imagenet")
"""
    done = run(code, tmp_path)
    assert "WeightsError" in done.stderr and "Delete the file there and call again" in done.stderr
