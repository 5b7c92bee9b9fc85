"""Siamese and triplet networks: distances, shared weights, training, saving, files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_files import lively, onnx, pictures, tflite
from keras import layers

from kerasvision.embedding import (
    SiameseNetwork,
    TripletNetwork,
    contrastive_loss,
    embedder,
    embedder_of,
    paired_distances,
)
from kerasvision.errors import KerasvisionError
from kerasvision.metrics.embedding_distances import DISTANCES
from kerasvision.models import graph

NETWORKS = [SiameseNetwork, TripletNetwork]


def small_embedder(preprocessing="zero_one", **options):
    x = image = layers.Input((None, None, 3))
    for index, filters in enumerate((16, 24)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"c{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"b{index}")(x)
        x = layers.ReLU(name=f"r{index}")(x)
    own = keras.Model(image, x, name="small")
    return embedder(own, image_size=32, dimensions=16, preprocessing=preprocessing, **options)


def photos(rng, network, count=12):
    return [pictures(rng, count) for _ in network.inputs]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("l2_normalize", [True, False])
def test_distances_of_the_vectors(distance, l2_normalize, rng):
    # "caffe" has an operation without a layer in its preprocessing.
    single = small_embedder("caffe", l2_normalize=l2_normalize)
    twins, triplet = (network(single, distance=distance) for network in NETWORKS)
    images = photos(rng, triplet)
    anchor, positive, negative = (single(image, training=False) for image in images)
    near = paired_distances(anchor, positive, distance=distance)
    far = paired_distances(anchor, negative, distance=distance)
    np.testing.assert_allclose(twins(images[:2], training=False), near, rtol=1e-4, atol=1e-6)
    found = triplet(images, training=False)
    np.testing.assert_allclose(found, np.stack([near, far], 1), rtol=1e-4, atol=1e-6)
    assert not twins([images[0], images[0]], training=False).numpy().any()


@pytest.mark.parametrize("network", NETWORKS)
def test_one_set_of_weights_on_a_flat_graph(network):
    single = small_embedder()
    model = network(single)
    assert graph.is_flat(model) and model.count_params() == single.count_params()
    assert model.get_layer("c0") is single.get_layer("c0")


def test_input_names_and_output_shapes():
    twins, triplet = SiameseNetwork(small_embedder()), TripletNetwork(small_embedder())
    assert [t.name for t in twins.inputs] == ["first", "second"] and twins.output_shape == (None,)
    assert [t.name for t in triplet.inputs] == ["anchor", "positive", "negative"]
    assert triplet.output_shape == (None, 2) and triplet.output.dtype == "float32"


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_are_finite_between_an_image_and_itself(distance, rng):
    twins = SiameseNetwork(small_embedder(), distance=distance)
    image = pictures(rng, 2)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(twins([image, image], training=False))
    gradients = tape.gradient(total, twins.trainable_variables)
    assert all(np.isfinite(gradient).all() and not np.any(gradient) for gradient in gradients)


def test_contrastive_training_trains_the_embedder(rng):
    keras.utils.set_random_seed(0)
    single = small_embedder()
    twins, kinds = SiameseNetwork(single), pictures(rng, 2)
    first, second = (rng.integers(0, 2, 64) for _ in range(2))
    images = [np.clip(kinds[who] + rng.normal(0, 20, (64, 32, 32, 3)), 0, 255) for who in (first, second)]
    twins.compile(keras.optimizers.Adam(1e-2), contrastive_loss)
    twins.fit(images, first == second, batch_size=16, epochs=8, verbose=0)
    apart = twins.predict(images, verbose=0)
    assert apart[first == second].max() < apart[first != second].min()
    vectors = single(kinds, training=False).numpy()
    assert np.linalg.norm(vectors[0] - vectors[1]) > 0.5


@pytest.mark.parametrize("network", NETWORKS)
def test_saved_networks_load_and_give_their_embedder_back(network, rng, tmp_path):
    single = small_embedder("caffe")
    model = network(single)
    images, path = photos(rng, model), tmp_path / "m.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    np.testing.assert_allclose(again(images), model(images), atol=1e-6)
    inside = embedder_of(again)
    assert inside.input.name == "image" and inside.get_layer("c1") is again.get_layer("c1")
    np.testing.assert_allclose(inside(images[0]), single(images[0]), atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_files_of_several_inputs_give_the_same_distances(network, distance, rng):
    model = network(lively(small_embedder(), pictures(rng, 32)), distance=distance)
    images = photos(rng, model)
    wanted = model(images, training=False).numpy()
    np.testing.assert_allclose(tflite(model, *images), wanted, atol=1e-5)
    np.testing.assert_allclose(onnx(model, *images), wanted, atol=1e-5)
    int8 = tflite(model, *images, quantize="int8")
    assert np.corrcoef(int8.ravel(), wanted.ravel())[0, 1] > 0.99
    assert np.abs(int8 - wanted).max() < 0.1 * wanted.max()


def test_what_is_refused():
    x = image = layers.Input((8, 8, 3))
    maps = keras.Model(image, layers.Conv2D(2, 3)(x), name="maps")
    with pytest.raises(KerasvisionError, match=r"one output \(b, d\)"):
        SiameseNetwork(maps)
    nested = keras.Model(image, layers.GlobalAveragePooling2D()(maps(image)))
    with pytest.raises(KerasvisionError, match="nested"):
        TripletNetwork(nested)
    with pytest.raises(KerasvisionError, match="`distance` must be one of"):
        SiameseNetwork(small_embedder(), distance="manhattan")
