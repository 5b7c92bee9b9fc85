"""Each mistake that is known from porting the CIFAR networks changes the logits: the check on them notices.

Accuracy would not: three of the seven cost less than half a point on lossless images, and two of these gain
on the others.
"""

import json

import cifar_networks as cifar
import keras
import numpy as np
import pytest

from kerasvision.models import load_weights

pytestmark = pytest.mark.realdata
EVERYWHERE, ON_AVERAGE = 1e-3, 1e-4


@pytest.fixture(scope="module")
def resnet20(real_data) -> keras.Model:
    model = cifar.raw_to_logits("resnet20")
    load_weights(model, real_data / "cifar_resnet20.safetensors")
    return model


@pytest.fixture(scope="module")
def sample(real_data):
    """Return 200 images, 20 of each class, and their logits."""
    indices = cifar.first_of_each_class(real_data, 20)
    return cifar.jpeg_images(real_data, indices)[0], cifar.reference_logits(real_data, "resnet20", indices)


@pytest.fixture(scope="module")
def figures(real_data) -> dict:
    """Return the accuracies that were measured with torch: mistake -> set of images -> accuracy."""
    return json.loads((real_data / "cifar_resnet20_pitfalls.json").read_text())


def check(model: keras.Model, sample) -> None:
    """Raise an AssertionError unless the logits are those of torch."""
    images, expected = sample
    difference = np.abs(cifar.logits_of(model, images) - expected)
    assert difference.max() <= EVERYWHERE and difference.mean() <= ON_AVERAGE


def test_without_a_mistake(resnet20, sample):
    check(resnet20, sample)
    check(cifar.with_mistake(resnet20, a_copy), sample)  # copying changes nothing, so the mistakes do


def a_copy(layer, x):
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize("name", cifar.MISTAKES)
def test_mistake_is_noticed(name, resnet20, sample):
    wrong = cifar.with_mistake(resnet20, cifar.MISTAKES[name])
    with pytest.raises(AssertionError):
        check(wrong, sample)
    check(resnet20, sample)  # which the mistake was not made in


def test_every_known_mistake_is_made(figures):
    assert set(figures) == {"correct", *cifar.MISTAKES}


@pytest.mark.parametrize("name", ["correct", *cifar.MISTAKES])
def test_the_mistake_is_the_one_that_was_measured(name, resnet20, real_data, figures):
    """The accuracies on 2,000 images are those of torch with the same mistake, to the last image or two."""
    model = resnet20 if name == "correct" else cifar.with_mistake(resnet20, cifar.MISTAKES[name])
    indices = cifar.first_of_each_class(real_data, 200)
    sets = {
        "jpeg_test2000": cifar.jpeg_images(real_data, indices),
        "lossless_train2000": cifar.lossless_images(real_data, 2000),
    }
    for key, (images, labels) in sets.items():
        accuracy = np.mean(cifar.logits_of(model, images).argmax(1) == labels)
        assert accuracy == pytest.approx(figures[name][key], abs=0.0006), key
