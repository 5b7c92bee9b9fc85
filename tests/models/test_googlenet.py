"""GoogLeNet: table 1 of the paper, its two kinds of module, its two more classifiers, torchvision's form."""

import keras
import numpy as np
import pytest
from builder_helpers import randomize, trainable, weightless
from keras import layers

from kerasvision.models import GoogLeNet, graph

# Table 1 of the paper: side and channels after each row.
TABLE_1 = {
    "conv1": (112, 64),
    "pool1": (56, 64),
    "conv2": (56, 192),
    "pool2": (28, 192),
    "inception_3a_output": (28, 256),
    "inception_3b_output": (28, 480),
    "pool3": (14, 480),
    "inception_4a_output": (14, 512),
    "inception_4b_output": (14, 512),
    "inception_4c_output": (14, 512),
    "inception_4d_output": (14, 528),
    "inception_4e_output": (14, 832),
    "pool4": (7, 832),
    "inception_5a_output": (7, 832),
    "inception_5b_output": (7, 1024),
}
# (batch_norm, auxiliary) -> parameters as torch counts them
PARAMETERS = {
    (True, False): 6_624_904,  # https://pytorch.org/vision/stable/models.html
    (True, True): 13_004_888,  # torchvision's googlenet(aux_logits=True)
    (False, False): 6_998_552,  # Caffe's bvlc_googlenet without the two heads of the training
    (False, True): 13_378_280,  # and with them
}


@pytest.mark.parametrize("batch_norm, auxiliary", PARAMETERS)
def test_parameters(batch_norm, auxiliary):
    with weightless():
        model = GoogLeNet(batch_norm=batch_norm, auxiliary=auxiliary)
    assert trainable(model) == PARAMETERS[batch_norm, auxiliary]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_maps_of_table_1(batch_norm):
    with weightless():
        model = GoogLeNet(batch_norm=batch_norm)
    for name, (side, channels) in TABLE_1.items():
        name = f"{name}_relu" if batch_norm and name.startswith("conv") else name
        assert graph.output_of(model, name).shape == (None, side, side, channels), name


def test_batch_norm_form_has_3x3_where_the_paper_has_5x5():
    paper, torch = GoogLeNet(False), GoogLeNet(False, batch_norm=True)
    assert paper.get_layer("inception_3a_5x5").kernel.shape == (5, 5, 16, 32)
    assert torch.get_layer("inception_3a_5x5_conv").kernel.shape == (3, 3, 16, 32)
    norms = [layer for layer in torch.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 57 and {layer.epsilon for layer in norms} == {1e-3}
    assert not [layer for layer in paper.layers if isinstance(layer, layers.BatchNormalization)]
    powers = [[type(n.operation).__name__ for n in graph.nodes(m)].count("Power") for m in (paper, torch)]
    assert powers == [2, 0]


def test_naive_modules_have_no_reduction_and_grow():
    with weightless():
        model = GoogLeNet(False, module="naive", input_shape=(32, 32, 3))
    modules = [layer.name for layer in model.layers if layer.name.startswith("inception_")]
    assert modules and not [name for name in modules if name.endswith(("_reduce", "_proj"))]
    channels, expected = [], 192
    for name, added in (("3a", 64 + 128 + 32), ("3b", 128 + 192 + 96)):
        expected += added  # the pooling hands on all that came in
        channels.append(graph.output_of(model, f"inception_{name}_output").shape[-1])
        assert channels[-1] == expected


@pytest.mark.parametrize("batch_norm", [False, True])
def test_auxiliary_classifiers(batch_norm):
    with weightless():
        model = GoogLeNet(batch_norm=batch_norm, auxiliary=True, classes=7)
    assert [tensor.shape for tensor in model.outputs] == [(None, 7)] * 3
    for number, module in ((1, "4a"), (2, "4d")):
        flat = model.get_layer(f"auxiliary{number}_flatten")
        assert flat.input.shape == (None, 4, 4, 128)
        assert model.get_layer(f"auxiliary{number}_dropout").rate == 0.7
        reduce = model.get_layer(f"auxiliary{number}_reduce{'_conv' if batch_norm else ''}")
        assert reduce.kernel.shape[2] == graph.output_of(model, f"inception_{module}_output").shape[-1]


def test_auxiliary_classifiers_train_and_are_left_out_again(rng):
    model = GoogLeNet(batch_norm=True, auxiliary=True, classes=3, input_shape=(32, 32, 3))
    model.compile("sgd", ["categorical_crossentropy"] * 3, loss_weights=[1, 0.3, 0.3], run_eagerly=True)
    images, targets = rng.normal(size=(2, 32, 32, 3)).astype("float32"), np.eye(3)[:2]
    history = model.fit(images, [targets] * 3, verbose=0).history
    assert np.isfinite(history["loss"][0])
    alone = keras.Model(model.input, model.outputs[0])
    np.testing.assert_allclose(alone(images), model(images)[0], rtol=1e-6)


def test_odd_sides_keep_the_last_partial_window(rng):
    """An image of odd side: maps as Caffe and torch round them, up."""
    model = GoogLeNet(False, batch_norm=True, input_shape=(97, 111, 3))
    sides = {name: graph.output_of(model, name).shape[1:3] for name in ("pool1", "pool2", "pool3", "pool4")}
    assert sides == {"pool1": (24, 28), "pool2": (12, 14), "pool3": (6, 7), "pool4": (3, 4)}
    randomize(model)
    assert np.isfinite(model(rng.normal(size=(1, 97, 111, 3)).astype("float32"))).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"module": "wide"}, "`module` must be 'reduced' or 'naive'. Received: 'wide'"),
        ({"auxiliary": True, "include_top": False}, "`include_top` must be True"),
        ({"auxiliary": True, "input_shape": (79, 79, 3)}, "at least 80 x 80"),
        ({"input_shape": (31, 31, 3)}, "at least 32 x 32"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        GoogLeNet(**arguments)


def test_the_smallest_images_with_the_papers_auxiliary_classifiers():
    with weightless():
        assert GoogLeNet(auxiliary=True, input_shape=(80, 80, 3)).count_params() == 13_378_280
