import keras
import numpy as np
import pytest
from training_helpers import TinyData, groups, plan, tiny_model

from kerasvision.errors import KerasvisionError
from kerasvision.models import classifier
from kerasvision.training import fit, set_trainable


@pytest.mark.parametrize("policy", ["frozen", "train"])
def test_batchnorm_policy(policy):
    """`frozen`: statistics, scale and offset stay, to the bit; `train`: all of them move."""
    model = tiny_model()
    set_trainable(model, "all", batchnorm=policy)
    norm = model.get_layer("bn")
    norm.set_weights([w + 0.1 for w in norm.get_weights()])
    before = norm.get_weights()
    conv = model.get_layer("conv").get_weights()[0]
    fit(model, TinyData(validation=0), plan(), groups(model))
    for name, a, b in zip(("gamma", "beta", "mean", "variance"), norm.get_weights(), before, strict=True):
        if policy == "frozen":
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            assert np.abs(a - b).max() > 1e-4, name
    assert np.abs(model.get_layer("conv").get_weights()[0] - conv).max() > 1e-3


def test_frozen_batchnorm_trains_as_it_predicts():
    model = tiny_model(dropout=0.0)
    set_trainable(model, "all", batchnorm="frozen")
    images = TinyData().arrays["train"][0][:4].astype("float32")
    np.testing.assert_array_equal(model(images, training=True), model(images, training=False))


def _small():
    return classifier("resnet_small", classes=3, image_size=32)


def test_head_only():
    model = _small()
    set_trainable(model, "head")
    assert {v.path for v in model.trainable_variables} == {"predictions/kernel", "predictions/bias"}


def test_stages_grow_from_the_end():
    model, sizes = _small(), []
    for part in (1, 2, "all"):
        set_trainable(model, part, batchnorm="train")
        sizes.append(len(model.trainable_variables))
    assert 2 < sizes[0] < sizes[1] < sizes[2]
    set_trainable(model, 1)
    assert not any(
        isinstance(layer, keras.layers.BatchNormalization) and layer.trainable for layer in model.layers
    )
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert not first.trainable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": 99}, 'has . stages. Give "all" or'),
        ({"part": 0}, "number of stages from 1 on. Received: 0"),
        ({"part": "some"}, "Received: 'some'"),
        ({"part": True}, "Received: True"),
        ({"part": "all", "batchnorm": "off"}, '`batchnorm` must be "frozen" or "train". Received: \'off\''),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(KerasvisionError, match=message):
        set_trainable(_small(), **arguments)
