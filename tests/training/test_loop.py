import keras
import numpy as np
import pytest
import tensorflow as tf
from training_helpers import TinyData, groups, plan, tiny_model, weights

from kerasvision.errors import RunError, TrainingError
from kerasvision.training import Average, Checkpoints, Group, Training, fit


def test_learns_and_keeps_the_best_epoch():
    model, data = tiny_model(dropout=0.0), TinyData(train=150, validation=60)
    fitted = fit(model, data, plan(epochs=12, learning_rate=0.05), groups(model))
    assert [row["epoch"] for row in fitted.history] == list(range(1, 13))
    assert fitted.history[-1]["accuracy"] > 0.8
    best = max(fitted.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert fitted.best_epoch == best["epoch"]
    images, labels = data.arrays["validation"]
    found = np.mean(model.predict(images, verbose=0).argmax(1) == labels)
    assert found == pytest.approx(best["val_accuracy"], abs=1e-6)


def test_one_epoch_equals_a_loop_written_out():
    """SGD, no dropout: the loss and the weights of a slow loop over the same batches, last one not full."""
    data, model, other = TinyData(), tiny_model(dropout=0.0), tiny_model(dropout=0.0)
    settings = plan(epochs=1, warmup_epochs=0, clip_norm=None, label_smoothing=0.1)
    fitted = fit(model, data, settings, [Group(keras.optimizers.SGD(), model.trainable_variables)])
    images, labels = data.arrays["train"]
    order, total = np.random.default_rng((1, 0)).permutation(50), 0.0
    for step, rate in enumerate(np.float32([0.01, 0.01, 0.01, 0.01])):
        chosen = order[step * 16 : step * 16 + 16]
        filled = np.resize(chosen, 16)
        cosine = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * step / 4))
        target = np.eye(3)[labels[filled]] * 0.9 + 0.1 / 3
        with tf.GradientTape() as tape:
            answers = other(images[filled].astype("float32"), training=True)
            losses = -tf.reduce_sum(target * tf.math.log(answers), 1)[: len(chosen)]
            loss = tf.reduce_sum(losses) / 16
        variables = [v.value for v in other.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(rate * cosine * gradient)
        total += float(tf.reduce_sum(losses))
    assert fitted.history[0]["loss"] == pytest.approx(total / 50, rel=1e-5)
    for found, wanted in zip(weights(model), weights(other), strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_the_last_batch_traces_no_second_graph():
    model = tiny_model()
    training = Training(model, TinyData(), plan(epochs=2), groups(model))
    training.run()
    assert training.train_step.experimental_get_tracing_count() == 1
    assert training.validation_step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("interrupt_at", "ema"), [(3, None), (9, 0.9), (13, None)])
def test_interrupted_anywhere_it_ends_the_same(tmp_path, interrupt_at, ema):
    settings = plan(checkpoint_seconds=0.0, ema=ema)  # a checkpoint after each step
    whole = tiny_model()
    wanted = fit(whole, TinyData(), settings, groups(whole), checkpoints=Checkpoints(tmp_path / "a", "test"))
    data, model = TinyData(), tiny_model()
    data.interrupt_at = interrupt_at
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, settings, groups(model), checkpoints=Checkpoints(tmp_path / "b", "test"))
    again, data.interrupt_at = tiny_model(seed=99), None
    found = fit(again, data, settings, groups(again), checkpoints=Checkpoints(tmp_path / "b", "test"))
    for a, b in zip(weights(again), weights(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert found.best_epoch == wanted.best_epoch
    for row, other in zip(found.history, wanted.history, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert row["val_accuracy"] == other["val_accuracy"]


def test_resuming_does_not_repeat_steps(tmp_path):
    data, model = TinyData(), tiny_model()
    data.interrupt_at = 10  # 4 training and 2 validation batches an epoch: the fourth batch of epoch 2
    with pytest.raises(KeyboardInterrupt):
        settings = plan(checkpoint_seconds=0.0)
        fit(model, data, settings, groups(model), checkpoints=Checkpoints(tmp_path, "test"))
    data.interrupt_at, data.batches = None, 0
    fit(model, data, settings, groups(model), checkpoints=Checkpoints(tmp_path, "test"))
    assert data.batches == 1 + 2 + 4 + 2


def test_the_same_seed_repeats_and_another_does_not():
    results = []
    for seed in (1, 1, 2):
        model = tiny_model()
        fit(model, TinyData(validation=0), plan(seed=seed, epochs=1), groups(model))
        results.append(np.concatenate([w.ravel() for w in weights(model)]))
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    assert np.abs(results[0] - results[2]).max() > 1e-3


def test_a_finished_training_is_not_trained_again(tmp_path):
    data, model = TinyData(), tiny_model()
    first = fit(model, data, plan(), groups(model), checkpoints=Checkpoints(tmp_path, "test"))
    kept, data.batches = weights(model), 0
    other = tiny_model(seed=5)
    second = fit(other, data, plan(), groups(other), checkpoints=Checkpoints(tmp_path, "test"))
    assert data.batches == 0
    assert second.history == first.history
    for a, b in zip(weights(other), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_not_finite_stops_and_keeps_checkpoints(tmp_path):
    model = tiny_model()
    calls = []

    def loss(targets, outputs):
        calls.append(1)
        return keras.losses.categorical_crossentropy(targets, outputs) * bad

    bad = tf.Variable(1.0)
    checkpoints = Checkpoints(tmp_path, "test")
    fit(model, TinyData(), plan(epochs=1), groups(model), checkpoints=checkpoints, loss=loss)
    bad.assign(np.nan)
    before = checkpoints.newest()[1]
    with pytest.raises(
        TrainingError, match=r"nan in epoch 2, step \d of 4 .*learning rate.*lower `learning_rate`"
    ):
        fit(model, TinyData(), plan(epochs=3), groups(model), checkpoints=checkpoints, loss=loss)
    assert checkpoints.newest()[1] == before
    assert calls


def test_class_weights_move_the_decision():
    data = TinyData(train=90, validation=0)
    images, labels = data.arrays["train"]
    data.arrays["train"] = (images // 8, labels)  # hardly to be told apart
    shares = []
    for by_class in ([1, 1, 1], [0.2, 0.2, 5]):
        model = tiny_model(dropout=0.0)
        fit(model, data, plan(epochs=4, class_weights=np.float32(by_class)), groups(model))
        shares.append(np.mean(model.predict(images // 8, verbose=0).argmax(1) == 2))
    assert shares[1] > shares[0] + 0.2


def test_groups_move_at_their_own_rates():
    model = tiny_model(dropout=0.0)
    layers = [model.get_layer("predictions"), model.get_layer("conv")]
    before = [layer.kernel.numpy() for layer in layers]
    parts = [
        Group(keras.optimizers.Adam(), [layers[0].kernel]),
        Group(keras.optimizers.Adam(), [layers[1].kernel], rate=0.1),
    ]
    fit(model, TinyData(train=16, validation=0), plan(epochs=1, warmup_epochs=0), parts)
    moved = [np.abs(layer.kernel.numpy() - b) for layer, b in zip(layers, before, strict=True)]
    # The first step of Adam is the learning rate itself, whatever the gradient.
    np.testing.assert_allclose(moved[0], 0.01, rtol=0.02)
    np.testing.assert_allclose(moved[1], 0.001, rtol=0.02)


def test_patience_ends_it_and_the_initial_weights_can_be_the_best():
    model, data = tiny_model(dropout=0.0), TinyData(train=150, validation=60)
    fit(model, data, plan(epochs=10, learning_rate=0.05), groups(model))
    good = weights(model)
    fitted = fit(
        model, data, plan(epochs=20, learning_rate=5.0, patience=2, keep_initial=True), groups(model, 5.0)
    )
    assert fitted.stopped_early
    assert len(fitted.history) == fitted.best_epoch + 2
    if fitted.best_epoch == 0:
        for a, b in zip(weights(model), good, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("losses", "best"), [((3.0, 1.0, 2.0), 2), (None, 1)])
def test_a_loss_breaks_ties_where_there_is_one(losses, best):
    """Three epochs of the same score: the lowest loss wins, without losses the first epoch."""
    model, seen, calls = tiny_model(), [], iter(range(3))

    def validate():
        number = next(calls)
        return {"accuracy": 0.5} | ({} if losses is None else {"loss": losses[number]})

    fitted = fit(
        model,
        TinyData(),
        plan(),
        groups(model),
        validate=validate,
        after_epoch=lambda rows: seen.append([row["epoch"] for row in rows]),
    )
    assert fitted.best_epoch == best
    assert seen == [[1], [1, 2], [1, 2, 3]]
    assert ("val_loss" in fitted.history[0]) == (losses is not None)


def test_rehearsing_leaves_no_trace():
    model = tiny_model()
    training = Training(model, TinyData(), plan(ema=0.5), groups(model))
    before = weights(model)
    training.rehearse()
    for a, b in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    training.run()
    plain = tiny_model()
    fit(plain, TinyData(), plan(ema=0.5), groups(plain))
    for a, b in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_average_follows_at_its_rate():
    model = tiny_model()
    average, kernel = Average(model, 0.5), model.get_layer("predictions").kernel
    wanted = kernel.numpy()
    for number in range(1, 8):
        kernel.assign(kernel.numpy() + number)
        average.update()
        wanted += (1 - min(0.5, (1 + number) / (10 + number))) * (kernel.numpy() - wanted)
    trained = kernel.numpy()
    average.swap()
    np.testing.assert_allclose(kernel.numpy(), wanted, rtol=1e-5)
    average.swap()
    np.testing.assert_array_equal(kernel.numpy(), trained)
    average.restart()
    average.swap()
    np.testing.assert_array_equal(kernel.numpy(), trained)


def test_checkpoints_of_another_model_are_refused(tmp_path):
    model = tiny_model()
    fit(model, TinyData(), plan(), groups(model), checkpoints=Checkpoints(tmp_path, "test"))
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(image)
    other = keras.Model(image, keras.layers.Dense(3, activation="softmax")(flat))
    with pytest.raises(RunError, match="that of another training.*new folder"):
        fit(other, TinyData(), plan(), groups(other), checkpoints=Checkpoints(tmp_path, "test"))


def test_float16_scales_the_loss_and_survives_an_overflow():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = tiny_model()
    finally:
        keras.config.set_dtype_policy("float32")
    training = Training(model, TinyData(), plan(epochs=6, loss_scaling=True), groups(model))
    training.scale.value.assign(2.0**40)  # far beyond float16
    fitted = training.run()
    assert float(training.scale.value) < 2.0**40
    assert all(np.isfinite(row["loss"]) for row in fitted.history)
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
