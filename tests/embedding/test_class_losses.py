"""Classifiers by angle as loops over samples and classes have them, and the directions that they learn."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from embedding_references import unit

from kerasvision import embedding as kv
from kerasvision.errors import KerasvisionError

LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
COSINES = np.random.default_rng(3).uniform(-1, 1, (6, 3)).astype(np.float32)
COSINES[0, 0], COSINES[1, 1], COSINES[2, 2], COSINES[3, 2] = 1, -1, -0.999, 0.9999


def arc(cosine: float, margin: float) -> float:
    angle = math.acos(cosine)
    return math.cos(angle + margin) if angle <= math.pi - margin else cosine - margin * math.sin(margin)


def slow(labels, cosines, scale, change) -> list[float]:
    losses = []
    for label, row in zip(labels, cosines.astype(np.float64), strict=True):
        logits = [scale * (change(c) if k == label else c) for k, c in enumerate(row)]
        losses.append(np.logaddexp.reduce(logits) - logits[label])
    return losses


@pytest.mark.parametrize(("margin", "scale"), [(0.5, 64.0), (0.0, 16.0), (1.2, 30.0)])
def test_arcface_equals_the_slow_loop_on_the_whole_circle(margin, scale):
    found = kv.arcface_loss(LABELS, COSINES, margin=margin, scale=scale)
    np.testing.assert_allclose(
        found, slow(LABELS, COSINES, scale, lambda c: arc(c, margin)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("margin", "scale"), [(0.35, 64.0), (0.0, 16.0), (1.2, 30.0)])
def test_cosface_equals_the_slow_loop(margin, scale):
    found = kv.cosface_loss(LABELS, COSINES, margin=margin, scale=scale)
    np.testing.assert_allclose(
        found, slow(LABELS, COSINES, scale, lambda c: c - margin), rtol=1e-5, atol=1e-5
    )


def test_without_a_margin_both_are_the_cross_entropy():
    wanted = keras.losses.sparse_categorical_crossentropy(LABELS, 64.0 * COSINES, from_logits=True)
    for loss in (kv.arcface_loss, kv.cosface_loss):
        np.testing.assert_allclose(loss(LABELS, COSINES, margin=0), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("loss", [kv.arcface_loss, kv.cosface_loss])
def test_gradients_are_finite_at_every_angle_and_fall_with_the_own_cosine(loss):
    own = np.concatenate([[-1.0], np.linspace(-1, 1, 41), [1.0]]).astype(np.float32)
    cosines = tf.constant(np.stack([own, np.full_like(own, 0.2)], 1))
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        losses = loss(np.zeros(len(own), np.int32), cosines, scale=4.0)
    gradient = tape.gradient(losses, cosines).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[:, 0] < 0).all() and (gradient[:, 1] > 0).all()
    assert (np.diff(losses) <= 0).all()


def test_class_cosines_are_those_of_learned_directions():
    layer = kv.ClassCosines(4)
    embeddings = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    found = layer(embeddings)
    assert len(layer.trainable_variables) == 1 and found.shape == (5, 4)
    np.testing.assert_allclose(found, unit(embeddings) @ unit(np.array(layer.directions)).T, atol=1e-6)
    assert layer.compute_output_shape((None, 6)) == (None, 4)


def test_class_cosines_keep_small_angles_in_half_precision():
    embeddings = np.array([[1.0, 0.0], [1.0, 0.01]], np.float32)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layer = kv.ClassCosines(2)
        layer.build((None, 2))
        layer.directions.assign([[1.0, 0.0], [0.0, 1.0]])
        found = layer(embeddings).numpy()
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.dtype == np.float32
    assert found[1, 0] == pytest.approx(math.cos(math.atan(0.01)), abs=1e-7)
    assert found[1, 0] < 1 - 4e-5


def small_embedder():
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 3), name="image")
    x = keras.layers.Dense(5)(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.UnitNormalization(name="embedding")(x), name="small")


def test_with_class_cosines_trains_the_embedder_itself_and_is_saved(tmp_path):
    model = small_embedder()
    trained = kv.with_class_cosines(model, 3)
    assert trained.layers[: len(model.layers)] == model.layers
    assert [w.shape for w in trained.weights] == [*(w.shape for w in model.weights), (3, 5)]
    images = np.random.default_rng(0).normal(size=(6, 4, 4, 3)).astype(np.float32)
    before = model(images).numpy()
    with tf.GradientTape() as tape:
        outputs = trained(images, training=True)
        loss = tf.reduce_mean(kv.arcface_loss(LABELS, outputs["cosines"]))
    variables = trained.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    keras.optimizers.SGD(0.01).apply(gradients, variables)
    assert np.abs(model(images) - before).max() > 1e-3
    np.testing.assert_array_equal(trained(images)["embedding"], model(images))
    trained.save(tmp_path / "trained.keras")
    loaded = keras.models.load_model(tmp_path / "trained.keras")
    np.testing.assert_allclose(loaded(images)["cosines"], trained(images)["cosines"], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kv.ClassCosines(1), "`classes` must be at least 2. Received: 1"),
        (lambda: kv.with_class_cosines(small_embedder(), 1), "`classes` must be at least 2"),
        (lambda: kv.arcface_loss(LABELS, COSINES, margin=3.2), r"`margin` must lie in \[0, 3.14\)"),
        (lambda: kv.cosface_loss(LABELS, COSINES, margin=-0.1), r"`margin` must lie in \[0, 2\)"),
        (lambda: kv.arcface_loss(LABELS, COSINES, scale=0), "`scale` must be a number above 0"),
        (lambda: kv.arcface_loss(LABELS, COSINES[0]), r"`cosines` must be \(b, classes\) float"),
        (lambda: kv.arcface_loss(LABELS[:4], COSINES), "one entry an image. Received: 4 for 6"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(KerasvisionError, match=message):
        call()
