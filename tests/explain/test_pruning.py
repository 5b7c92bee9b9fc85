"""Pruning against a slow greedy search, and the way on: fine-tune the smaller network and export it."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerasvision.data import from_arrays, shapes
from kerasvision.errors import DataError
from kerasvision.explain import prune_blocks, residual_modules, without
from kerasvision.models import ResNetSmall, classifier, feature_extractor, load_weights, multiply_adds
from kerasvision.recipes import train_classifier

CLASSES = 4


def pictures(count, seed):
    """Return pictures of 16 large squares of any colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def outputs_of(model, images):
    """Run a network as it is: compiling it takes longer than these few images."""
    return np.asarray(model(images.astype("float32"), training=False))


def network(blocks=(2, 2), seed=0, activation="softmax"):
    """Return a classifier with random weights that gives all answers; its modules matter differently."""
    options = {"classes": CLASSES, "image_size": 16, "width": 8, "blocks": blocks}
    model = classifier("resnet_small", activation=activation, **options)
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "conv/kernel" in variable.path:
            variable.assign(rng.normal(0, (2 / np.prod(variable.shape[:3])) ** 0.5, variable.shape))
        if "gamma" in variable.path:
            variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    features = outputs_of(feature_extractor(model), pictures(64, seed=99))
    kernel = rng.normal(0, 1, (features.shape[1], CLASSES)) / (features.std(0)[:, None] + 1e-3)
    model.get_layer("predictions").set_weights([kernel, -(features @ kernel).mean(0)])
    return model


def data_for(model, count=60, right=0.8, seed=1):
    """Return images, and labels that a share of the model's answers agrees with."""
    images = pictures(count, seed)
    labels = outputs_of(model, images).argmax(1)
    labels[int(count * right) :] = (labels[int(count * right) :] + 1) % CLASSES
    return images, labels.astype(np.int32)


def judged(model, images, labels):
    """Return right answers, and less the mean cross-entropy, as a slow reference."""
    outputs = outputs_of(model, images)
    if outputs.min() < 0 or outputs.sum(1).max() > 1.01:
        outputs = keras.ops.convert_to_numpy(keras.ops.softmax(outputs))
    return int((outputs.argmax(1) == labels).sum()), float(np.log(outputs[range(len(labels)), labels]).mean())


def slow_greedy(model, images, labels, max_drop):
    left, removed = [module.name for module in residual_modules(model)], []
    figures = [judged(model, images, labels)]
    while left:
        scores = {name: judged(without(model, [*removed, name]), images, labels) for name in left}
        best = max(scores, key=scores.get)
        if scores[best][0] < figures[0][0] - max_drop * len(labels) - 1e-6:
            break
        removed.append(best)
        left.remove(best)
        figures.append(scores[best])
    return removed, figures


@pytest.mark.parametrize("max_drop, activation", [(0.3, "softmax"), (0.0, "softmax"), (1.0, None)])
def test_same_as_a_slow_greedy_search(max_drop, activation):
    model = network(activation=activation, seed=2)
    images, labels = data_for(model)
    pruned = prune_blocks(model, (images, labels), max_drop=max_drop, batch_size=32)
    removed, figures = slow_greedy(model, images, labels, max_drop)
    assert list(pruned.removed) == removed and len(removed) in {0.3: (1, 2, 3), 1.0: (4,)}.get(
        max_drop, range(4)
    )
    assert [step.removed for step in pruned.steps] == [None, *removed]
    assert [round(step.accuracy * pruned.count) for step in pruned.steps] == [right for right, _ in figures]
    loss = [-loss for _, loss in figures]
    np.testing.assert_allclose([step.loss for step in pruned.steps], loss, rtol=1e-4)


def test_figures_and_model_belong_together():
    model = network(seed=2)
    images, labels = data_for(model)
    pruned = prune_blocks(model, (images, labels), max_drop=0.3)
    assert 0 < len(pruned.removed) < 4
    for gone, step in enumerate(pruned.steps):
        smaller = without(model, pruned.removed[:gone])
        assert step.parameters == smaller.count_params()
        assert step.multiply_adds == multiply_adds(smaller)
        assert step.accuracy == judged(smaller, images, labels)[0] / len(labels)
    last = pruned.steps[-1]
    assert last.parameters == pruned.model.count_params() < pruned.steps[0].parameters
    assert last.multiply_adds == multiply_adds(pruned.model) < pruned.steps[0].multiply_adds
    np.testing.assert_allclose(
        outputs_of(pruned.model, images), outputs_of(without(model, pruned.removed), images), atol=1e-6
    )
    assert f"{last.parameters:,}" in str(pruned) and pruned.removed[0] in str(pruned)
    assert pruned.to_dict()["steps"][-1]["removed"] == pruned.removed[-1]


def test_module_that_does_nothing_goes_first_and_costs_nothing():
    model = network()
    norm = model.get_layer("stage1_block2_2_bn")
    norm.gamma.assign(keras.ops.zeros_like(norm.gamma))
    norm.beta.assign(keras.ops.zeros_like(norm.beta))
    pruned = prune_blocks(model, data_for(model, right=1.0), max_drop=0.0)
    assert pruned.removed[0] == "stage1_block2"
    assert pruned.steps[1].accuracy == 1 and pruned.steps[1].loss == pytest.approx(pruned.steps[0].loss)


def test_the_users_model_stays_and_shares_nothing():
    model = network()
    images, labels = data_for(model)
    before, modules = model.get_weights(), residual_modules(model)
    pruned = prune_blocks(model, (images, labels), max_drop=1.0)
    for variable in pruned.model.variables:
        variable.assign(variable + 1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert residual_modules(model) == modules
    assert not {id(layer) for layer in model.layers} & {id(layer) for layer in pruned.model.layers}


def test_nothing_can_go():
    model = network()
    images, labels = data_for(model, right=1.0)
    pruned = prune_blocks(model, (images, labels), max_drop=0.0)
    assert pruned.removed == () and len(pruned.steps) == 1
    np.testing.assert_allclose(outputs_of(pruned.model, images), outputs_of(model, images))


def test_fewer_candidates_try_the_best_of_the_step_before(monkeypatch):
    from kerasvision.explain import pruning

    tried, scores = [], pruning._Judge.scores

    def spy(self, choices, batches=None):
        choices = list(choices)
        tried.append(len(choices))
        return scores(self, choices, batches)

    monkeypatch.setattr(pruning._Judge, "scores", spy)
    model = network()
    sample = data_for(model)
    few = prune_blocks(model, sample, max_drop=1.0, candidates=2)
    assert tried == [1, 4, 2, 2, 1] and len(few.removed) == 4
    every = prune_blocks(model, sample, max_drop=1.0, candidates=4)
    assert every.removed == prune_blocks(model, sample, max_drop=1.0).removed


def test_test_split_is_judged_but_has_no_part_in_the_choice():
    model = network()
    images, labels = data_for(model, count=90)
    names = [f"class {i}" for i in range(CLASSES)]
    options = {"validation_fraction": 0.4, "test_fraction": 0.3, "image_size": 16}
    data = from_arrays(images, labels, names, **options)
    pruned = prune_blocks(model, data, max_drop=0.3)
    chosen = data.images("validation", range(len(data.splits["validation"].labels)))
    again = prune_blocks(model, (chosen, data.splits["validation"].labels), max_drop=0.3)
    assert pruned.removed == again.removed and pruned.split == "validation"
    assert again.test_accuracy is None and again.split == "given images"
    held_out = data.images("test", range(len(data.splits["test"].labels))), data.splits["test"].labels
    for figure, judge in zip(pruned.test_accuracy, (model, pruned.model), strict=True):
        assert figure == judged(judge, *held_out)[0] / len(held_out[1])
    assert prune_blocks(model, data, split="test").test_accuracy is None


def wrong_classes():
    return from_arrays(np.zeros((20, 16, 16, 3), np.uint8), np.arange(20) % 2, ["a", "b"], image_size=16)


PICTURES = np.zeros((4, 16, 16, 3), np.uint8)
BAD = {
    "other task": (lambda: replace(wrong_classes(), task="detect"), {}, "task 'detect'"),
    "no such split": (lambda: wrong_classes(), {"split": "test"}, "`data` has no test images"),
    "classes": (lambda: wrong_classes(), {}, "`data` has 2 classes.*output of.*4"),
    "label too high": (lambda: (PICTURES, np.array([0, 1, 2, 4])), {}, "labels from 0 to 4"),
    "label below 0": (lambda: (PICTURES, np.array([0, 1, 2, -1])), {}, "labels from -1"),
    "no labels": (lambda: (PICTURES, np.zeros(3, int)), {}, "one class number for each of the 4"),
    "real labels": (lambda: (PICTURES, np.zeros(4)), {}, "one class number.*float64"),
    "size": (lambda: (PICTURES[:, :8], np.zeros(4, int)), {}, "images of .8, 16, 3., but.*16, 16, 3"),
    "no data": (lambda: PICTURES, {}, "must be a VisionData or a pair"),
    "empty": (lambda: (PICTURES[:0], np.zeros(0, int)), {}, "not empty"),
    "drop": (lambda: (PICTURES, np.zeros(4, int)), {"max_drop": 1.5}, "`max_drop` must be from 0 to 1"),
    "drop in words": (lambda: (PICTURES, np.zeros(4, int)), {"max_drop": "1%"}, "Received: '1%'"),
    "None": (lambda: None, {}, "must be a VisionData or a pair.*Received: NoneType"),
    "a pair of None": (lambda: (None, None), {}, "must be a VisionData or a pair"),
    "no numbers": (lambda: (PICTURES * np.nan, np.zeros(4, int)), {}, "that are infinite or not a number"),
    "candidates": (
        lambda: (PICTURES, np.zeros(4, int)),
        {"candidates": 0},
        "`candidates` must be a whole",
    ),
    "batch": (lambda: (PICTURES, np.zeros(4, int)), {"batch_size": 0}, "`batch_size` must be a whole number"),
}


@pytest.mark.parametrize("data, arguments, message", BAD.values(), ids=BAD)
def test_errors(data, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        prune_blocks(network(blocks=(1, 1)), data(), **arguments)
    assert isinstance(caught.value, DataError) == ("`data`" in str(caught.value))


def test_a_network_that_answers_nothing_is_not_pruned():
    model = network(blocks=(1, 1))
    model.get_layer("predictions").bias.assign([np.nan] * CLASSES)
    with pytest.raises(ValueError, match="answers that are infinite or not a number"):
        prune_blocks(model, (PICTURES, np.zeros(4, int)))


def test_plain_network_has_nothing_to_prune():
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    with pytest.raises(ValueError, match="has no residual module"):
        prune_blocks(keras.Model(image, keras.layers.Dense(4)(x)), (PICTURES, np.zeros(4, int)))


@pytest.mark.slow
def test_pruned_network_is_finetuned_and_exported(tmp_path):
    from kerasvision.export import to_tflite

    data = shapes(count=400, classes=3, image_size=24, test_fraction=0.2, seed=3)
    backbone = ResNetSmall(include_top=False, input_shape=(24, 24, 3), blocks=(3, 2))
    common = {"weights": None, "rehearse_export": False, "augment": None}
    run = train_classifier(
        data,
        tmp_path / "whole",
        model=backbone,
        preprocessing="zero_one",
        strategy="scratch",
        epochs=8,
        **common,
    )
    pruned = prune_blocks(run.model, data, max_drop=0.15)
    assert pruned.removed and pruned.steps[-1].accuracy >= pruned.steps[0].accuracy - 0.15
    tuned = train_classifier(
        data, tmp_path / "tuned", model=pruned.model, strategy="finetune", epochs=3, **common
    )
    validation = tuned.metrics.get("validation", tuned.metrics)
    assert validation["accuracy"] >= pruned.steps[-1].accuracy
    assert tuned.model.count_params() == pruned.model.count_params() < run.model.count_params()
    assert len(residual_modules(tuned.model)) == 5 - len(pruned.removed)
    for model, name in ((pruned.model, "pruned"), (tuned.model, "tuned")):
        exported = to_tflite(model, tmp_path / f"{name}.tflite", data=data)
        assert exported.certificate.passed and exported.certificate.agreement == 1


@pytest.mark.realdata
def test_resnet56_loses_modules_before_points(real_data, capsys):
    """Printed: how many of the 27 modules go at one and at two points, chosen by 1,000 test images."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "models"))
    import cifar_networks as cifar

    model = cifar.raw_to_logits("resnet56")
    load_weights(model, real_data / "cifar_resnet56.safetensors")
    first = cifar.first_of_each_class(real_data, 200)
    images, labels = cifar.jpeg_images(real_data, first)
    chosen, held_out = slice(0, None, 2), slice(1, None, 2)
    pruned = prune_blocks(model, (images[chosen], labels[chosen].astype(int)), max_drop=0.02, candidates=6)
    drops = [pruned.steps[0].accuracy - step.accuracy for step in pruned.steps]
    fair = np.mean(cifar.logits_of(pruned.model, images[held_out]).argmax(1) == labels[held_out])
    with capsys.disabled():
        print(f"\n{pruned}\non 1,000 other images: {fair:.2%}")
    assert 2 <= len(pruned.removed) < 27 and max(drops) <= 0.02 + 1e-9
    kept = {module.name for module in residual_modules(pruned.model)}
    assert {"conv3_block1", "conv4_block1"} <= kept  # those that change the size
    assert fair > 0.75
