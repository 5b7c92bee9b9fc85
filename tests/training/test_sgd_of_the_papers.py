"""Training as the papers of residual networks do: SGD with momentum and an L2 penalty, a rate in steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_helpers import TinyData, groups, plan, tiny_model, weights

from kerasvision.errors import DivergedError
from kerasvision.training import Checkpoints, Group, Training, fit, stepwise


@pytest.mark.parametrize(
    ("step", "wanted"),
    [(0, 0.01), (399, 0.01), (400, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001)],
)
def test_stepwise_is_the_schedule_of_the_paper(step, wanted):
    assert stepwise(step, peak=0.1, drops=(32_000, 48_000), warmup=400) == pytest.approx(wanted)


def test_no_warmup_and_other_factors():
    assert stepwise(0, peak=0.1, drops=(2,)) == 0.1
    assert stepwise(2, peak=0.1, drops=(2,), factor=0.2) == pytest.approx(0.02)
    assert stepwise(0, peak=0.1, drops=(), warmup=1, warmup_factor=0.5) == pytest.approx(0.05)


def torch_sgd(model, data, *, steps, batch, rate, momentum, decay, seed):
    """A loop written out: `d = gradient + decay * p; buffer = momentum * buffer + d; p -= rate * buffer`.

    That is torch.optim.SGD; the decay is on kernels only.
    """
    images, labels = data.arrays["train"]
    order = np.concatenate([np.random.default_rng((seed, epoch)).permutation(48) for epoch in range(steps)])
    values = [np.array(v) for v in model.trainable_variables]
    buffers = [np.zeros_like(v) for v in values]
    for step in range(steps):
        chosen = order[step * batch : (step + 1) * batch]
        with tf.GradientTape() as tape:
            answers = model(images[chosen].astype("float32"), training=True)
            loss = tf.reduce_mean(-tf.math.log(tf.gather(answers, labels[chosen], batch_dims=1)))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        for i, (variable, gradient) in enumerate(zip(model.trainable_variables, gradients, strict=True)):
            penalty = decay * values[i] if variable.name == "kernel" else 0.0
            buffers[i] = momentum * buffers[i] + gradient.numpy() + penalty
            values[i] = values[i] - rate * buffers[i]
            variable.assign(values[i])
    return weights(model)


def test_the_l2_penalty_takes_part_in_the_momentum_as_in_torch():
    settings = {"rate": 0.05, "momentum": 0.9, "decay": 0.1}
    data = TinyData(train=48, validation=0)
    wanted = torch_sgd(tiny_model(dropout=0.0), data, steps=9, batch=16, seed=1, **settings)
    model = tiny_model(dropout=0.0)
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    others = [v for v in model.trainable_variables if v.name != "kernel"]
    parts = [
        Group(keras.optimizers.SGD(momentum=0.9), kernels, l2=0.1),
        Group(keras.optimizers.SGD(momentum=0.9), others),
    ]
    fit(model, data, plan(epochs=3, clip_norm=None, schedule=lambda step, steps: 0.05), parts)
    for found, expected in zip(weights(model), wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)
    decoupled = tiny_model(dropout=0.0)
    optimizer = keras.optimizers.SGD(momentum=0.9, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    part = [Group(optimizer, decoupled.trainable_variables)]
    fit(decoupled, data, plan(epochs=3, clip_norm=None, schedule=lambda step, steps: 0.05), part)
    apart = max(np.abs(a - b).max() for a, b in zip(weights(decoupled), wanted, strict=True))
    assert apart > 1e-3, "Keras' own weight decay has become the same: `l2` may go"


def test_a_schedule_of_its_own_sees_each_step_and_the_total():
    calls, model = [], tiny_model()

    def schedule(step, steps):
        calls.append((step, steps))
        return 0.01 * (step + 1)

    fitted = fit(model, TinyData(), plan(epochs=2, schedule=schedule), groups(model))
    assert sorted(set(calls)) == [(step, 8) for step in range(8)]
    assert [row["learning_rate"] for row in fitted.history] == pytest.approx([0.04, 0.08])


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_last_epoch_counts_where_nothing_may_be_chosen(keep_best):
    model, data = tiny_model(dropout=0.0), TinyData(train=64, validation=60)
    ruin = plan(epochs=4, keep_best=keep_best, schedule=lambda step, steps: 0.05 if step < 12 else 30.0)
    fitted = fit(model, data, ruin, [Group(keras.optimizers.SGD(), model.trainable_variables)])
    scores = [row["val_accuracy"] for row in fitted.history]
    assert scores[-1] < max(scores), "the last epoch must be a bad one for this test"
    images, labels = data.arrays["validation"]
    found = np.mean(model.predict(images, verbose=0).argmax(1) == labels)
    assert found == pytest.approx(max(scores) if keep_best else scores[-1], abs=1e-6)
    assert keep_best is (fitted.best_epoch < 4)


def test_trainings_take_turns_and_end_as_one_in_a_row(tmp_path):
    whole = tiny_model()
    wanted = fit(whole, TinyData(), plan(epochs=3), groups(whole))
    model = tiny_model()
    training = Training(
        model, TinyData(), plan(epochs=3), groups(model), checkpoints=Checkpoints(tmp_path, "test")
    )
    for until in (1, 1, 2):
        paused = training.run(until=until)
        assert len(paused.history) == until and not paused.stopped_early
    found = training.run()
    assert [row["loss"] for row in found.history] == pytest.approx([row["loss"] for row in wanted.history])
    for a, b in zip(weights(model), weights(whole), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_evaluate_is_the_plain_loss_and_score_of_a_split():
    model, data = tiny_model(), TinyData()
    training = Training(model, data, plan(label_smoothing=0.2), groups(model))
    images, labels = data.arrays["train"]
    answers = model.predict(images, verbose=0)
    loss, score = training.evaluate("train")
    assert loss == pytest.approx(-np.log(answers[np.arange(50), labels]).mean(), rel=1e-5)
    assert score == pytest.approx(np.mean(answers.argmax(1) == labels))


def test_a_loss_that_is_not_finite_says_when():
    model = tiny_model(dropout=0.0)
    part = [Group(keras.optimizers.SGD(), model.trainable_variables)]
    endless = plan(epochs=3, clip_norm=None, schedule=lambda step, steps: float("nan") if step == 5 else 0.01)
    with pytest.raises(DivergedError) as caught:
        fit(model, TinyData(), endless, part)
    assert (caught.value.epoch, caught.value.step) == (2, 3)  # 4 steps an epoch; step 6 shows what 5 did
