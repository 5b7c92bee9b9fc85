"""Embedders: shapes, lengths, specs, freezing, saving, files."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_files import cosines, lively, most_apart, onnx, pictures, tflite
from keras import layers

from kerasvision.embedding import (
    EmbedderSpec,
    backbone_layers,
    build,
    embedder,
    embedder_spec,
    list_embedders,
)
from kerasvision.embedding.families import NETWORKS
from kerasvision.errors import KerasvisionError
from kerasvision.models import graph


def small_backbone():
    x = image = layers.Input((None, None, 3))
    for index, filters in enumerate((16, 24, 32)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"c{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"b{index}")(x)
        x = layers.ReLU(name=f"r{index}")(x)
    return keras.Model(image, x, name="small")


def made(**options):
    return embedder(small_backbone(), **{"image_size": 32, "preprocessing": "zero_one", **options})


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("mobilenet_v2", {"backbone_options": {"alpha": 0.35}}),
        ("resnet18", {"pooling": "max"}),
        ("vgg11_bn", {}),
        ("googlenet", {"dropout": 0.4}),
    ],
)
def test_on_networks_of_the_gallery(backbone, options, rng):
    model = embedder(backbone, image_size=(64, 96), dimensions=16, **options)
    vectors = model(rng.uniform(0, 255, (2, 64, 96, 3)).astype(np.float32), training=False)
    assert vectors.shape == (2, 16) and vectors.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert graph.is_flat(model) and model.name == backbone
    assert model.input.name == "image" and model.layers[-1].name == "embedding"


def test_names_are_those_of_the_networks():
    assert {"mobilenet_v2", "resnet50", *NETWORKS} <= set(list_embedders())


def test_without_projection_these_are_the_pooled_features(rng):
    own, images = small_backbone(), pictures(rng)
    model = embedder(own, image_size=32, preprocessing="zero_one", dimensions=None, l2_normalize=False)
    wanted = own(images / 255, training=False).numpy().mean((1, 2))
    np.testing.assert_allclose(model(images, training=False), wanted, rtol=1e-4, atol=1e-6)


def test_normalising_only_changes_the_length(rng):
    own, images = small_backbone(), pictures(rng)
    keras.utils.set_random_seed(1)
    unit = embedder(own, image_size=32, preprocessing="tf")
    keras.utils.set_random_seed(1)
    plain = embedder(own, image_size=32, preprocessing="tf", l2_normalize=False)
    vectors = plain(images, training=False).numpy()
    wanted = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit(images, training=False), wanted, atol=1e-6)


def test_gradients_are_finite_where_the_vector_is_0():
    model = made()
    kernel, bias = model.get_layer("head_projection").weights
    kernel.assign(kernel * 0)
    with tf.GradientTape() as tape:
        vectors = model(tf.zeros((2, 32, 32, 3)), training=True)
        total = tf.reduce_sum(vectors * tf.range(128.0))
    assert not vectors.numpy().any()
    gradients = tape.gradient(total, model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_spec_builds_the_same_architecture_again(rng):
    options = {"image_size": (32, 48), "preprocessing": "torch", "dimensions": 24, "dropout": 0.1}
    own = small_backbone()
    model, spec = embedder(own, **options), embedder_spec(own, **options)
    again = build(EmbedderSpec.from_dict(json.loads(json.dumps(spec.to_dict()))))
    again.set_weights(model.get_weights())
    images = rng.uniform(0, 255, (2, 32, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(again(images, training=False), model(images, training=False), atol=1e-6)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    named = embedder_spec("MobileNetV2", image_size=64)
    assert named.backbone == "mobilenet_v2" and EmbedderSpec.from_dict(named.to_dict()) == named


def test_the_backbone_is_all_but_the_head():
    model = made(dropout=0.5)
    inside = backbone_layers(model)
    assert inside[0] == "preprocess" and inside[-1] == "r2" and len(inside) == 10
    rest = [layer.name for layer in model.layers if layer.name not in inside]
    assert rest == ["image", "head_pool", "head_dropout", "head_projection", "embedding"]


def test_float32_comes_out_under_mixed_precision(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("c0").compute_dtype == "bfloat16"
    vectors = model(pictures(rng), training=False)
    assert vectors.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_a_saved_file_loads_without_this_package(tmp_path, rng):
    model, images = made(), pictures(rng)
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "m.npz", images=images, vectors=model(images, training=False))
    code = (
        "import sys, keras, numpy as np; held = np.load('m.npz')\n"
        "model = keras.saving.load_model('m.keras')\n"
        "assert np.allclose(model(held['images'], training=False), held['vectors'], atol=1e-6)\n"
        "assert 'kerasvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=tmp_path)


def test_files_give_the_same_vectors(rng):
    model, images = made(), pictures(rng, 32)
    wanted = lively(model, images)(images, training=False).numpy()
    assert most_apart(wanted) < 0.97, "the vectors are too alike to tell anything"
    np.testing.assert_allclose(tflite(model, images), wanted, atol=1e-5)
    np.testing.assert_allclose(onnx(model, images), wanted, atol=1e-5)
    assert cosines(tflite(model, images, quantize="int8"), wanted).mean() > 0.999


@pytest.mark.parametrize(
    ("name", "options", "dimensions"),
    [
        ("deepface", {"features": 64}, None),
        ("facenet_nn1", {"hidden": 32}, 128),
        ("facenet_nn2", {"batch_norm": True}, 128),
    ],
)
def test_on_networks_of_papers(name, options, dimensions, tmp_path, rng):
    made = {"image_size": 72, "dimensions": dimensions, "backbone_options": options}
    model = embedder(name, **made)
    assert NETWORKS[name].dimensions == dimensions and model.output_shape == (None, dimensions or 64)
    assert graph.is_flat(model) and model.get_layer("preprocess")
    # The network of the paper, saved with its top, gives its weights.
    builder = NETWORKS[name].builder
    classes = {"classes": 3} if name == "deepface" else {}
    whole = builder(input_shape=(72, 72, 3), **options, **classes)
    whole.save_weights(file := tmp_path / "m.weights.h5")
    model = embedder(name, weights=file, **made)
    layer = next(name for name in backbone_layers(model) if model.get_layer(name).weights)
    for weight, wanted in zip(model.get_layer(layer).weights, whole.get_layer(layer).weights, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert build(EmbedderSpec.from_dict(embedder_spec(name, **made).to_dict())).count_params()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimensions": 1}, "`dimensions` must be a number from 2"),
        ({"dimensions": 2.5}, "`dimensions` must be"),
        ({"pooling": "sum"}, "`pooling` must be"),
        ({"dropout": 1}, "`dropout` must be"),
        ({"preprocessing": None}, "`preprocessing` must be stated"),
        ({"preprocessing": "half"}, "`preprocessing` must be one of"),
        ({"image_size": "32"}, "`image_size` must be"),
        ({"weights": "imagenet"}, "`weights='imagenet'` is for networks by name"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        made(**arguments)


def test_networks_of_papers_have_no_imagenet_weights_and_a_smallest_size():
    with pytest.raises(KerasvisionError, match="none of ImageNet for 'facenet_nn2'"):
        embedder("facenet_nn2", image_size=64, weights="imagenet")
    with pytest.raises(ValueError, match="`image_size` must be at least 71 x 71"):
        embedder("deepface", image_size=70)


def test_unknown_backbones_are_refused():
    with pytest.raises(ValueError, match="Did you mean `mobilenet_v2`"):
        embedder("mobilenetv22", image_size=32)
    with pytest.raises(KerasvisionError, match="`dimensions`"):
        embedder_spec("mobilenet_v2", image_size=32, dimensions=True)
