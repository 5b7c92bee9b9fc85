"""One test for every network of the table: what its entry says is so, and it can be used as all others can.

Two builds of each: with its top at the native size, with weights of zero (only counted and looked at), and as
a classifier at the smallest size, which is run, saved and loaded.
"""

import inspect

import keras
import numpy as np
import pytest
from builder_helpers import randomize, weightless

from kerasvision.models import (
    classifier,
    entry,
    feature_pyramid,
    get_model,
    graph,
    list_models,
    multiply_adds,
)

# Of these there is a shallower one of the same kind, or they take more than a second to build.
SLOW_TO_BUILD = set(
    "mobilenet_v3_small mobilenet_v3_large efficientnet_v2_b0 vgg13 vgg19 vgg13_bn vgg16_bn vgg19_bn "
    "plainnet34 resnet34 resnet101 resnet152 resnet101_v1_5 resnet152_v1_5 preact_resnet34 resnet101_v2 "
    "resnet152_v2 plainnet56 resnet32 resnet44 resnet56 resnet110 resnet1202 preact_resnet110 "
    "preact_resnet164 preact_resnet1001 inception_v3_torchvision inception_resnet_v2".split()
)
# One of each kind is run by default; the others differ from these in numbers only.
RUN = set(
    "mobilenet_v2 resnet_small resnet18 plainnet20 resnet20 alexnet alexnet_grouped vgg11 "
    "googlenet_bn".split()
)
SIGNATURE = (
    "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation",
    "name",
)  # fmt: skip


def names(slow):
    return [pytest.param(name, marks=[pytest.mark.slow] if slow(name) else []) for name in list_models()]


every = pytest.mark.parametrize("name", names(lambda name: name in SLOW_TO_BUILD), scope="module")
every_run = pytest.mark.parametrize("name", names(lambda name: name not in RUN), scope="module")


@pytest.fixture(scope="module")
def built(name):
    """The network with its top at its native size."""
    known = entry(name)
    with weightless():
        return get_model(name, input_shape=(known.native_size, known.native_size, 3))


@every
def test_parameters_are_those_of_the_entry(name, built):
    assert built.count_params() == entry(name).parameters


@every
def test_multiply_adds_are_those_of_the_entry(name, built):
    assert multiply_adds(built) == entry(name).multiply_adds


@every
def test_output_is_a_probability_for_each_class(name, built):
    known = entry(name)
    assert built.output_shape == (None, known.classes)
    assert entry(built.name) is known
    last = next(layer for layer in reversed(built.layers) if layer.weights or layer.name == "predictions")
    assert known.top_layers[-1] == last.name
    assert set(known.top_layers) <= {layer.name for layer in built.layers}


@every
def test_graph_is_flat_and_of_keras_own_layers(name, built):
    assert graph.is_flat(built)
    assert len({layer.name for layer in built.layers}) == len(built.layers)
    kinds = {type(layer).__module__ for layer in built.layers} | {
        type(node.operation).__module__ for node in graph.nodes(built)
    }
    assert all(kind.startswith("keras.") for kind in kinds), kinds


@every
def test_feature_pyramid(name, built):
    known = entry(name)
    levels = (3, 4, 5) if known.native_size > 32 else (1, 2)
    pyramid = feature_pyramid(built, levels)
    for level in levels:
        _, *sides, channels = pyramid.output[f"P{level}"].shape
        # Convolutions without padding (AlexNet, Inception) lose pixels at the border.
        assert all(abs(side - known.native_size / 2**level) <= 3 for side in sides) and channels >= 16


@pytest.mark.parametrize("name", list_models())
def test_one_pixel_less_than_the_smallest_size_is_refused(name):
    least = entry(name).minimum_size
    with pytest.raises(ValueError, match=f"at least {least}"):
        classifier(name, classes=2, image_size=(least, least - 1))


@pytest.mark.parametrize("name", list_models())
def test_signature_is_that_of_keras_applications(name):
    builder = entry(name).builder
    parameters = inspect.signature(builder).parameters
    assert tuple(parameters)[: len(SIGNATURE)] == SIGNATURE
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[len(SIGNATURE) :])
    assert entry(parameters["name"].default) is entry(name)  # `resnet50v2` is how Keras spells it
    assert parameters["weights"].default is None
    assert set(entry(name).options) <= set(parameters)


@every_run
def test_classifier_of_the_smallest_images_runs_saves_and_loads(name, tmp_path):
    known = entry(name)
    size = known.minimum_size
    model = randomize(classifier(name, classes=3, image_size=size, activation=None))
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    answers = np.asarray(model(images, training=False))
    scale = np.abs(answers).max()
    assert answers.shape == (2, 3) and np.isfinite(answers).all()
    assert "kerasvision" not in model.to_json()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images, training=False), answers, rtol=1e-5, atol=1e-5 * scale)
    # Deep plain networks of random weights hardly tell images apart; but the answers tell weights apart.
    others = np.asarray(randomize(model, seed=1)(images, training=False))
    assert np.abs(others - answers).max() > 0.01 * scale
