"""Targets of any kind go through one loop: dictionaries of boxes, scores that only a whole split has."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_helpers import plan

from kerasvision.training import Group, Objective, Training, fit, set_backbone_trainable
from kerasvision.training.batches import epoch_order


class Points:
    """Images whose one bright pixel is to be found; targets are a dictionary."""

    class_names = ("point",)

    def __init__(self, train=20, validation=6):
        rng = np.random.default_rng(0)
        self.arrays = {"train": self._draw(rng, train), "validation": self._draw(rng, validation)}
        self.splits = {name: SimpleNamespace(labels=np.zeros(len(x))) for name, (x, _) in self.arrays.items()}
        self.seen = []

    @staticmethod
    def _draw(rng, count):
        place = rng.integers(0, 4, (count, 2))
        images = np.zeros((count, 4, 4, 3), np.uint8)
        images[np.arange(count), place[:, 0], place[:, 1]] = 255
        return images, {"place": place.astype(np.float32), "known": np.ones(count, bool)}

    def iterate(self, split, *, batch_size=None, order=None, start=0, drop_last=False):
        images, targets = self.arrays[split]
        for at in range(0, len(order), batch_size):
            chosen = order[at : at + batch_size]
            self.seen.extend(chosen if split == "train" else ())
            yield images[chosen], {key: value[chosen] for key, value in targets.items()}


def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((4, 4, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, {"place": keras.layers.Dense(2)(x)})


def distance(targets, outputs):
    square = tf.reduce_sum((targets["place"] - outputs["place"]) ** 2, -1)
    return tf.where(targets["known"], square, 0.0)


def test_dictionaries_train_and_the_split_as_a_whole_chooses_the_best_epoch():
    model, data, scores = network(), Points(), iter([0.1, 0.9, 0.9, 0.5])
    kept = []

    def validate():
        kept.append([np.array(w) for w in model.get_weights()])
        return {"loss": 1.0 + len(kept), "ap50": next(scores), "ap": 0.0}

    fitted = fit(
        model,
        data,
        plan(epochs=4, learning_rate=0.05, batch_size=8),
        [Group(keras.optimizers.Adam(), model.trainable_variables)],
        objective=Objective(distance, name="ap50"),
        validate=validate,
    )
    assert fitted.best_epoch == 2, "at the same score the lower loss"
    for found, wanted in zip(model.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(found, wanted)
    rows = fitted.history
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert [row["val_ap50"] for row in rows] == [0.1, 0.9, 0.9, 0.5]
    assert set(rows[0]) == {
        *("phase", "epoch", "learning_rate", "loss", "val_loss", "val_ap50", "val_ap", "seconds")
    }


def test_the_loss_counts_each_image_once_although_the_last_batch_is_filled_up():
    model, data = network(), Points()
    training = Training(
        model,
        data,
        plan(batch_size=8),
        [Group(keras.optimizers.SGD(), model.trainable_variables)],
        objective=Objective(distance, name="ap50"),
    )
    images, targets = data.arrays["validation"]
    wanted = np.mean(distance(targets, model(images.astype("float32"))))
    loss, score = training.evaluate("validation")
    assert loss == pytest.approx(wanted, rel=1e-6)
    assert score == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_weighted_orders_show_each_image_as_often_as_its_weight_says(seed):
    weights = np.array([4.0, 1, 1, 0.5, 0.5, 1])
    orders = [epoch_order(6, seed=seed, epoch=epoch, weights=weights) for epoch in range(400)]
    counts = np.array([np.bincount(order, minlength=6) for order in orders])
    wanted = weights / weights.sum() * 6
    assert (counts >= np.floor(wanted)).all()
    assert (counts <= np.ceil(wanted)).all()
    np.testing.assert_allclose(counts.mean(0), wanted, atol=0.1)
    assert len({tuple(order) for order in orders}) > 100
    np.testing.assert_array_equal(orders[3], epoch_order(6, seed=seed, epoch=3, weights=weights))


def test_weighted_images_come_more_often():
    model, data = network(), Points()
    weights = np.ones(20)
    weights[7] = 20
    fit(
        model,
        data,
        plan(epochs=2, batch_size=10, image_weights=weights),
        [Group(keras.optimizers.SGD(), model.trainable_variables)],
        objective=Objective(distance, name="ap50"),
        validate=lambda: {"loss": 0.0, "ap50": 0.0},
    )
    assert 18 <= data.seen.count(7) <= 22
    assert len(data.seen) == 40


def backbone_and_heads():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.Conv2D(4, 3, name="head_conv")(x)
    return keras.Model(image, keras.layers.BatchNormalization(name="head_bn")(x))


@pytest.mark.parametrize(
    ("trainable", "batchnorm", "wanted"),
    [
        (False, "frozen", set()),
        (False, "train", set()),
        (True, "frozen", {"conv"}),
        (True, "train", {"conv", "bn"}),
    ],
)
def test_heads_are_always_trained_and_the_backbone_as_asked(trainable, batchnorm, wanted):
    model = backbone_and_heads()
    set_backbone_trainable(model, ("conv", "bn"), trainable, batchnorm=batchnorm)
    flags = {layer.name for layer in model.layers if layer.weights and layer.trainable}
    assert flags == wanted | {"head_conv", "head_bn"}
    before = {w.path: np.array(w) for w in model.non_trainable_variables}
    model(np.random.default_rng(0).normal(5, 2, (4, 8, 8, 3)), training=True)
    moved = {w.path for w in model.non_trainable_variables if not np.array_equal(before[w.path], w)}
    assert any("head_bn" in path for path in moved)
    assert any(path.startswith("bn/") for path in moved) == ("bn" in wanted)
