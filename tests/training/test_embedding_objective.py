"""Embeddings go through the training loop: batches by identity, class directions, what is watched."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvision.embedding import identity_order, make_loss, with_class_cosines
from kerasvision.training import Checkpoints, Group, Plan, Training, fit, identities_of_images

IDENTITIES = [1, 3, 4, 6, 7]  # of eight: the others are in the validation split


class Faces:
    """Noisy pictures of five identities, twelve of each."""

    class_names = tuple("abcdefgh")

    def __init__(self):
        random = np.random.default_rng(0)
        self.labels = np.repeat(IDENTITIES, 12).astype(np.int32)
        faces = random.integers(0, 255, (8, 6, 6, 3))[self.labels] + random.normal(0, 60, (60, 6, 6, 3))
        self.images = np.clip(faces, 0, 255).astype(np.uint8)
        self.splits = {"train": SimpleNamespace(labels=self.labels)}
        self.batches, self.interrupt_at = [], None

    def iterate(self, split, *, batch_size=None, order=None, start=0, drop_last=False):
        for at in range(0, len(order), batch_size):
            if len(self.batches) == self.interrupt_at:
                raise KeyboardInterrupt
            chosen = order[at : at + batch_size]
            self.batches.append(chosen)
            yield self.images[chosen], self.labels[chosen]


def embedder():
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(8)(x)
    return keras.Model(image, keras.layers.UnitNormalization(name="embedding")(x))


def plan(data, **changes):
    def order(epoch):
        return identity_order(data.labels, identities=4, per_identity=3, epoch=epoch)

    return Plan(
        **({"phase": "test", "epochs": 4, "batch_size": 12, "learning_rate": 0.02, "order": order} | changes)
    )


def groups(model):
    return [Group(keras.optimizers.Adam(), model.trainable_variables)]


CASES = [
    ("triplet", {"mining": "semi_hard"}),
    ("contrastive", {}),
    ("arcface", {"scale": 8.0}),
    ("circle", {}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_an_epoch_equals_a_loop_written_out(name, options):
    """SGD: weights, class directions, loss and watched figures after the same batches."""
    data, loss = Faces(), make_loss(name, **options)
    models = [embedder(), embedder()]
    if loss.takes == "cosines":
        # Initial directions are random.
        trained, other = (with_class_cosines(model, len(IDENTITIES)) for model in models)
        other.set_weights(trained.get_weights())
    else:
        trained, other = models
    settings = plan(data, epochs=1, warmup_epochs=0, clip_norm=None, schedule=lambda step, steps: 0.1)
    fitted = fit(
        trained,
        data,
        settings,
        [Group(keras.optimizers.SGD(), trained.trainable_variables)],
        objective=identities_of_images(loss, IDENTITIES),
    )
    values, figures = [], []
    for batch in settings.order(0).reshape(-1, 12):
        images = tf.constant(data.images[batch], tf.float32)
        targets = np.array([IDENTITIES.index(label) for label in data.labels[batch]])
        with tf.GradientTape() as tape:
            outputs = other(images, training=True)
            total = tf.reduce_mean(loss(targets, outputs["cosines"] if loss.takes == "cosines" else outputs))
        embedding = outputs["embedding"] if loss.takes == "cosines" else outputs
        values.append(float(total))
        figures.append(loss.watch(targets, embedding))
        variables = [v.value for v in other.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
            variable.assign_sub(0.1 * gradient)
    for found, wanted in zip(trained.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert np.abs(models[0].get_weights()[0] - embedder().get_weights()[0]).max() > 1e-3
    (row,) = fitted.history
    assert row["loss"] == pytest.approx(np.mean(values), rel=1e-4)
    for key in loss.watched:
        assert row[key] == pytest.approx(np.mean([float(f[key]) for f in figures]), rel=1e-3, abs=1e-5), key


def test_batches_follow_the_order_of_the_plan():
    data, model = Faces(), embedder()
    settings = plan(data, epochs=2)
    fit(
        model,
        data,
        settings,
        groups(model),
        objective=identities_of_images(make_loss(), IDENTITIES),
    )
    wanted = np.concatenate([settings.order(epoch).reshape(-1, 12) for epoch in range(2)])
    np.testing.assert_array_equal(data.batches, wanted)
    kinds = data.labels[wanted]
    assert all((np.unique(batch, return_counts=True)[1] == 3).all() for batch in kinds)


@pytest.mark.parametrize("mining", ["random", "distance_weighted"])
def test_an_interrupted_training_draws_the_same_triplets(mining, tmp_path):
    weights, histories = [], []
    for interrupt_at in (None, 4):
        data, model = Faces(), embedder()
        folder = tmp_path / str(interrupt_at)
        parts = {
            "objective": identities_of_images(make_loss("triplet", mining=mining, margin=1.0), IDENTITIES),
            "checkpoints": Checkpoints(folder, "test"),
        }
        settings = plan(data, epochs=2, checkpoint_seconds=0.0)
        data.interrupt_at = interrupt_at
        if interrupt_at:
            with pytest.raises(KeyboardInterrupt):
                fit(model, data, settings, groups(model), **parts)
            # Another program: nothing is left but the checkpoint.
            model, data.interrupt_at = embedder(), None
            loss = make_loss("triplet", mining=mining, margin=1.0, seed=99)
            parts["objective"] = identities_of_images(loss, IDENTITIES)
        histories.append(fit(model, data, settings, groups(model), **parts).history)
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
    for first, second in zip(*histories, strict=True):
        assert {k: v for k, v in first.items() if k != "seconds"} == {
            k: v for k, v in second.items() if k != "seconds"
        }


def test_a_rehearsal_leaves_no_trace():
    data, model = Faces(), with_class_cosines(embedder(), 5)
    objective = identities_of_images(make_loss("arcface"), IDENTITIES)
    training = Training(model, data, plan(data, epochs=1), groups(model), objective=objective)
    before = model.get_weights()
    training.rehearse()
    for found, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(training.run().history[0]["spread"])


def test_the_best_epoch_is_that_of_the_judge():
    data, model, scores = Faces(), embedder(), iter([0.5, 0.9, 0.7, 0.6])
    data.splits["validation"] = data.splits["train"]
    fitted = fit(
        model,
        data,
        plan(data),
        groups(model),
        objective=identities_of_images(make_loss(), IDENTITIES, name="tar"),
        validate=lambda: {"loss": 1.0, "tar": next(scores)},
    )
    assert fitted.best_epoch == 2
    assert [row["val_tar"] for row in fitted.history] == [0.5, 0.9, 0.7, 0.6]
