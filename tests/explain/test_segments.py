"""Forms of a network that run as one tree answer as networks of their own, and nothing runs twice."""

import keras
import numpy as np
import pytest
from keras import layers
from lesion_helpers import close, network, pictures

from kerasvision.explain import Segments, without
from kerasvision.explain.segments import Piece, pieces_to_run
from kerasvision.models import graph

NETWORKS = {
    "padded": ("resnet20", {}),
    "projection": ("resnet_small", {"width": 16, "blocks": (2, 2)}),
    "pre-activation": ("preact_resnet18", {}),
    "inverted": ("mobilenet_v2", {"alpha": 0.35}),
    "plain": ("plainnet20", {}),
}


def answers(segments, images, forms, **options):
    found = np.full((len(forms), len(images), segments.model.output_shape[-1]), np.nan, "float32")
    for form, start, outputs in segments.outputs(images, forms, **options):
        found[form, start : start + len(outputs)] = outputs
    return found


LARGE = ("pre-activation", "inverted")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in LARGE else case for case in NETWORKS]
)
def test_forms_equal_networks_of_their_own(case):
    model = network(NETWORKS[case][0], **NETWORKS[case][1])
    segments, images = Segments(model), pictures(count=5)
    several = segments.names[1::2]
    chosen = [segments.names[0], segments.names[2], segments.names[-1], several]
    forms = [segments.whole, *map(segments.deletion, chosen)]
    expected = [net(images, training=False) for net in (model, *(without(model, names) for names in chosen))]
    close(answers(segments, images, forms, batch_size=2), np.stack(expected))  # the last batch is filled up


def test_every_node_is_in_one_piece():
    segments = Segments(network("resnet20"))
    nodes = [id(node) for piece in segments.pieces for node in piece.nodes]
    assert nodes == [id(node) for node in graph.nodes(segments.model)]
    assert [name for piece in segments.pieces for name in piece.modules] == list(segments.names)
    assert segments.is_chain
    for piece, after in zip(segments.pieces, segments.pieces[1:], strict=False):
        assert [id(t) for t in piece.outputs] == [id(t) for t in after.inputs]


def test_what_forms_have_in_common_runs_once(monkeypatch):
    segments = Segments(network("resnet20"))
    forms = [segments.deletion(name) for name in segments.names]
    calls, run = [], Piece.run
    monkeypatch.setattr(Piece, "run", lambda piece, *a: calls.append(piece) or run(piece, *a))
    steps = []
    answers(segments, pictures(count=4), forms, batch_size=2, advance=steps.append)
    pieces = len(segments.pieces)
    modules = [i for i, piece in enumerate(segments.pieces) if piece.modules]
    # One way through the whole but its last module, and for each module the rest of the network once more.
    expected = modules[-1] + sum(pieces - i for i in modules)
    assert pieces_to_run(forms) == expected == sum(steps) / 2 == len(calls) / 2
    assert expected < len(forms) * pieces * 0.64
    assert pieces_to_run([segments.whole, segments.whole]) == pieces


def test_order_equals_swapped_weights():
    model = network("resnet20")
    segments, images = Segments(model), pictures()
    assert segments.movable() == (
        ("conv2_block1", "conv2_block2", "conv2_block3"),
        ("conv3_block2", "conv3_block3"),
        ("conv4_block2", "conv4_block3"),
    )
    order = list(segments.names)
    for a, b in ((0, 2), (4, 5)):
        order[a], order[b] = order[b], order[a]
    swapped = graph.copy(model)
    for place, name in zip(segments.names, order, strict=True):
        for layer in (part for part in model.layers if part.weights and part.name.startswith(f"{name}_")):
            other = swapped.get_layer(place + layer.name.removeprefix(name))
            other.set_weights(layer.get_weights())
    (answer,) = answers(segments, images, [segments.ordered(order)], batch_size=3)
    close(answer, swapped(images))
    assert np.abs(answer - np.asarray(model(images))).max() > 1e-2


def test_modules_side_by_side_share_a_piece():
    image = x = keras.Input((8, 8, 4))
    sides = []
    for side in "ab":
        y = x
        for i in range(2):
            branch = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"{side}{i}_conv")(y)
            y = layers.Add(name=f"{side}{i}_add")([y, branch])
        sides.append(y)
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()(sides))
    model = keras.Model(image, layers.Dense(3)(x))
    segments = Segments(model)
    assert set(segments.names) == {"a0", "b0", "a1", "b1"} and not segments.is_chain
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    chosen = ["a0", "b1", ("a0", "a1", "b0")]
    expected = np.stack([without(model, names)(images) for names in chosen])
    close(answers(segments, images, [segments.deletion(names) for names in chosen]), expected)


def test_a_snapshot_that_leaves_the_model_alone():
    model = network("resnet_small")
    segments, images = Segments(model), pictures()
    before = answers(segments, images, [segments.whole])
    assert not {id(w) for w in segments.model.weights} & {id(w) for w in model.weights}
    model.set_weights([0 * w for w in model.get_weights()])
    np.testing.assert_array_equal(answers(segments, images, [segments.whole]), before)


def test_errors():
    model = network("resnet20")
    segments = Segments(model)
    with pytest.raises(ValueError, match="did you mean 'conv2_block1'"):
        segments.deletion("conv2_blok1")
    with pytest.raises(ValueError, match="each of the 9 modules once"):
        segments.ordered(segments.names[:-1])
    order = [segments.names[3], *segments.names[1:3], segments.names[0], *segments.names[4:]]
    with pytest.raises(ValueError, match="'conv3_block1' in the place of 'conv2_block1'"):
        segments.ordered(order)
    two = keras.Model(model.inputs, [model.outputs[0], model.outputs[0] * 2])
    with pytest.raises(ValueError, match="has 1 and 2"):
        Segments(two)
