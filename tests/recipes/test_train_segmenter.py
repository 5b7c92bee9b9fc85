"""Training of segmenters: what is learnt, what is refused, interruptions, and what lies in the folder."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from segmenter_training import DECODER, backbone, by_heart, scenes, train, weights

from kerasvision.data import LabelMaps, Samples, from_arrays, shapes
from kerasvision.errors import DivergedError, KerasvisionError, RunError
from kerasvision.files import read_json
from kerasvision.recipes import SegmenterRun, phases, segmentation_settings, train_segmenter
from kerasvision.recipes.segmentation_judging import warnings_about
from kerasvision.recipes.segmentation_training import Validation
from kerasvision.segmentation import segmenter
from kerasvision.training import Fitted, Plan, Training, labels_of_pixels


@pytest.fixture(scope="module")
def data():
    return scenes()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("run") / "shapes", class_weights="auto")


def test_it_learns_eight_images_by_heart(tmp_path):
    run = train(
        by_heart(times=10),
        tmp_path / "run",
        backbone=backbone(normalised=False),
        strategy="scratch",
        epochs=24,
        freeze_epochs=None,
        learning_rate=5e-3,
        augment=None,
        ema=0.9,
    )
    assert run.judgement.mean_iou > 0.95
    assert run.history[-1]["val_mean_iou"] == pytest.approx(run.judgement.mean_iou, abs=1e-3)
    losses = [row["loss"] for row in run.history]
    assert losses[-1] < losses[0] / 5


def test_the_folder_holds_everything(run, data):
    names = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("run.json", "model.keras", "labels.txt", "preprocessing.json", "metrics.json", "history.csv"),
        *("report.html", "samples.npz", "examples.npz"),
    }
    assert (run.folder / "labels.txt").read_text().split() == list(data.class_names)
    record = read_json(run.folder / "run.json")
    assert record["status"] == "finished"
    assert record["decided"]["spec"]["name"] == "unet"
    assert record["decided"]["pixels"]["test"] == data.splits["test"].masks.pixels.sum(0).tolist()
    assert record["data"]["images"] == {split: len(part) for split, part in data.splits.items()}
    assert [(row["phase"], row["epoch"]) for row in run.history] == [
        ("freeze", 1),
        ("finetune", 1),
        ("finetune", 2),
    ]
    assert all(0 <= row["val_mean_iou"] <= 1 and row["val_loss"] > 0 for row in run.history)
    assert run.metrics["split"] == "test"
    assert run.metrics["count"] == len(data.splits["test"])
    confusion = np.array(run.metrics["confusion"])
    np.testing.assert_array_equal(confusion.sum(1), data.splits["test"].masks.pixels.sum(0))
    page = (run.folder / "report.html").read_text()
    assert "<script" not in page
    assert page.count('class="four"') >= len(data.splits["test"])


@pytest.mark.parametrize(("best", "advised"), [(2, True), (1, False)])
def test_the_last_epoch_as_the_best_one_is_told_of_all_epochs(best, advised):
    """Of two phases, the epochs that were asked for count, not those of the last phase."""
    said = []
    job = SimpleNamespace(
        timed=lambda _: nullcontext(),
        decide=lambda **_: None,
        advise=said.append,
        precision=SimpleNamespace(policy="float32", why="asked for"),
    )
    made = []
    for phase, epochs in (("freeze", 1), ("finetune", 2)):
        fitted = Fitted(history=[{}] * epochs, best_epoch=min(best, epochs), stopped_early=False)
        plan = Plan(phase=phase, epochs=epochs, batch_size=8, learning_rate=0.1, seed=0)
        made.append(phases.Phase(SimpleNamespace(plan=plan, run=lambda fitted=fitted: fitted), lambda: None))
    assert len(phases.run_phases(job, made, "mean IoU")) == 3
    assert [text for text in said if "more epochs than 3 may" in text] == said
    assert bool(said) == advised


def test_samples_stay_with_the_run_at_the_size_of_the_network(run, data):
    samples = run.samples
    assert samples.split == "test"
    assert samples.images.shape[1:] == (64, 64, 3) == samples.calibration.shape[1:]
    assert samples.truth.dtype == np.uint8 and samples.truth.shape == samples.images.shape[:3]
    part = data.splits["test"]
    by_pixels = {image.tobytes(): truth for image, truth in zip(samples.images, samples.truth, strict=True)}
    for index, label_map in enumerate(part.masks):
        np.testing.assert_array_equal(by_pixels[part.sources[index].tobytes()], label_map)


def test_the_frozen_backbone_stays_and_heads_with_batchnorm_learn(data, tmp_path):
    network = backbone()
    before = {w.path: np.array(w) for w in network.weights}
    run = train(data, tmp_path / "run", backbone=network, strategy="freeze", epochs=1, freeze_epochs=None)
    after = {w.path: np.array(w) for w in run.model.weights}
    assert all(np.array_equal(after[path], value) for path, value in before.items())
    assert len(after) > len(before)


def test_a_backbone_whose_batchnorm_is_trained_keeps_it_while_it_is_frozen(data, tmp_path, monkeypatch):
    """The flags of the last phase must not reach the graph of the first."""
    network, seen = backbone(), {}
    before = [np.array(w) for w in network.weights if "moving" in w.path]
    paths = [w.path for w in network.weights if "moving" in w.path]
    original = Training.run

    def run(self):
        fitted = original(self)
        by_path = {w.path: np.array(w) for w in self.model.weights}
        seen[self.plan.phase] = [by_path[path] for path in paths]
        return fitted

    monkeypatch.setattr(Training, "run", run)
    train(data, tmp_path / "run", backbone=network, batchnorm="train", ema=None, epochs=2)
    assert all(np.array_equal(one, other) for one, other in zip(seen["freeze"], before, strict=True))


def test_called_again_it_returns_the_finished_run(run, data, monkeypatch):
    monkeypatch.setattr(Training, "run", None)
    again = train(data, run.folder, class_weights="auto")
    np.testing.assert_array_equal(weights(again), weights(run))


def test_other_arguments_or_data_are_refused(run, data):
    with pytest.raises(RunError, match="`epochs` 3 -> 4"):
        train(data, run.folder, class_weights="auto", epochs=4)
    with pytest.raises(RunError, match="not those that the run in .* began with"):
        train(scenes(count=44), run.folder, class_weights="auto")


@pytest.mark.parametrize(
    "moment", [pytest.param(2, marks=pytest.mark.slow), 5, pytest.param(8, marks=pytest.mark.slow)]
)
def test_interrupted_anywhere_it_ends_the_same(data, run, tmp_path, monkeypatch, moment):
    """Interrupted at the n-th step over all phases, with a checkpoint after each step."""
    from kerasvision.training import Plan

    monkeypatch.setattr(Plan, "checkpoint_seconds", 0.0)
    original, steps = Training._one_step, []

    def interrupted(self, batch):
        steps.append(1)
        if len(steps) == moment + 2:  # after the two of the rehearsals
            raise KeyboardInterrupt
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", class_weights="auto")
    again = train(data, tmp_path / "run", class_weights="auto")
    np.testing.assert_allclose(weights(again), weights(run), atol=2e-3)
    for row, other in zip(again.history, run.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_void_teaches_nothing_and_counts_nowhere(tmp_path):
    """What void hides on the training masks may be anything; all of it may be void on some."""
    drawn = scenes(count=24, test_fraction=0.0)
    part = drawn.splits["train"]
    maps = [one.copy() for one in part.masks]
    for index, one in enumerate(maps):
        one[: 32 if index else 64] = 255
    hidden = replace(part, masks=_maps(maps, 3))
    void = replace(drawn, splits={**drawn.splits, "train": hidden})
    arguments = {"epochs": 1, "strategy": "scratch", "freeze_epochs": None, "augment": None}
    run = train(void, tmp_path / "run", **arguments)
    assert np.isfinite([row["loss"] for row in run.history]).all()
    assert run.record["decided"]["void"]["train"] == sum(int((one == 255).sum()) for one in maps)
    assert run.metrics["split"] == "validation"
    page = (run.folder / "report.html").read_text()
    assert "flattering" in page and "of the pixels void" in page


def _maps(maps, classes):
    pixels = np.array([np.bincount(one.reshape(-1), minlength=256)[:classes] for one in maps])
    return LabelMaps(maps, pixels, np.array([int((one == 255).sum()) for one in maps]))


def test_validation_counts_as_a_slow_reference_does(data):
    """All images, of which the last batch has few; void in the middle; loss and confusion in one pass."""
    model = segmenter(
        "unet", classes=3, image_size=64, backbone=backbone(), preprocessing="zero_one", **DECODER
    )
    part = data.splits["test"]
    maps = [one.copy() for one in part.masks]
    for one in maps:
        one[20:30] = 255
    images = np.stack([part.sources[i] for i in range(5)])
    few = from_arrays(images, np.stack(maps[:5]), data.class_names, validation_fraction=0.0)
    loss = segmentation_settings.make_loss("cross_entropy+dice", None)
    validation = Validation(model, few, "train", labels_of_pixels(loss))
    found = validation()
    order = [few.splits["train"].names.index(name) for name in few.splits["train"].names]
    truth = np.stack([few.splits["train"].masks.read(i) for i in order])
    logits = np.asarray(model(few.images("train", order).astype(np.float32), training=False))
    answers = logits.argmax(-1)
    counted = truth != 255
    ious = [
        ((truth == c) & (answers == c) & counted).sum() / (((truth == c) | (answers == c)) & counted).sum()
        for c in range(3)
        if (((truth == c) | (answers == c)) & counted).any()
    ]
    assert found["mean_iou"] == pytest.approx(np.mean(ious), abs=1e-9)
    assert found["pixel_accuracy"] == pytest.approx((truth == answers)[counted].mean())
    assert found["loss"] == pytest.approx(float(np.mean(loss(truth.astype(np.int32), logits))), rel=1e-5)


def test_auxiliary_outputs_count_by_their_weight():
    calls = []

    def loss(targets, outputs):
        calls.append(1)
        return np.full(2, outputs, np.float32)

    objective = labels_of_pixels(loss, auxiliary=0.4)
    outputs = {"logits": 1.0, "auxiliary_1": 10.0, "auxiliary_2": 100.0}
    np.testing.assert_allclose(objective.train_loss(None, outputs), 1 + 0.4 * 110)
    np.testing.assert_allclose(objective.loss(None, outputs), 1.0)
    np.testing.assert_allclose(objective.train_loss(None, 3.0), 3.0)


def test_mixed_precision_trains_a_copy_and_leaves_a_float32_segmenter(data, tmp_path):
    arguments = {"strategy": "scratch", "freeze_epochs": None, "epochs": 1, "class_balance": True}
    run = train(data, tmp_path / "run", mixed_precision="mixed_bfloat16", schedule="cosine", **arguments)
    assert {weight.dtype for weight in run.model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    assert "mixed_bfloat16 (asked for)" in run.record["decided"]["settings"]
    plain = train(data, tmp_path / "plain", mixed_precision=False, schedule="cosine", **arguments)
    difference = np.abs(weights(run) - weights(plain))
    assert 0 < difference.mean() < 1e-2


def test_a_loss_that_is_not_finite_stops(data, tmp_path):
    with pytest.raises(DivergedError, match="lower `learning_rate`"):
        train(
            data, tmp_path / "run", learning_rate=1e30, strategy="scratch", clip_norm=None, freeze_epochs=None
        )


def test_a_segmenter_of_ones_own_goes_on_and_is_not_changed(run, data, tmp_path):
    before = weights(run)
    again = train_segmenter(
        data, tmp_path / "run", model=run.model, epochs=1, rehearse_export=False, loss="dice"
    )
    np.testing.assert_array_equal(weights(run), before)
    assert weights(again).shape == before.shape
    assert again.record["decided"]["spec"] is None and again.record["arguments"]["backbone"] is None
    assert [row["phase"] for row in again.history] == ["finetune"]
    (found,) = again.predict(data.splits["test"].sources[0], flip=True)
    assert found.labels.shape == (64, 64)
    with pytest.raises(KerasvisionError, match=r"`scales` must be \(1.0,\) for this segmenter"):
        again.predict(data.splits["test"].sources[0], scales=(1.0, 2.0))


WRONG = {
    "no masks": (lambda: shapes(count=20, classes=2, image_size=64), {}, "task 'classify'"),
    "no data": (lambda: "folder", {}, "`data` must be a `VisionData` with masks"),
    "no validation": (lambda: scenes(validation_fraction=0.0), {}, "no validation images"),
    "model": (scenes, {"model": "unit"}, "no segmenter 'unit'.*Did you mean"),
    "model type": (scenes, {"model": 3}, "`model` must be a name of"),
    "size": (lambda: scenes(image_size=(72, 64)), {}, r"multiples of 32.*\(96, 64\).*resize=\"pad\""),
    "backbone": (scenes, {"backbone": "resnet5"}, "resnet5.*Did you mean"),
    "no backbone": (scenes, {"backbone": None, "preprocessing": None}, "`unet` needs a backbone"),
    "own backbone": (scenes, {"preprocessing": None}, "`preprocessing` must be stated"),
    "strategy": (scenes, {"strategy": "all"}, "`strategy` must be one of"),
    "schedule": (scenes, {"schedule": "step"}, '`schedule` must be "poly" or "cosine"'),
    "loss": (scenes, {"loss": "jaccard"}, "`loss` is not known.*jaccard"),
    "loss type": (scenes, {"loss": 3}, "`loss` must be a text"),
    "weights of classes": (scenes, {"class_weights": [1, 2]}, "`class_weights` must be 3 numbers"),
    "name of weights": (scenes, {"class_weights": "rare"}, '`class_weights` must be None, "auto"'),
    "negative weight": (scenes, {"class_weights": [1, -2, 3]}, "`class_weights` must be 3 numbers from 0"),
    "weights by name": (scenes, {"class_weights": {"sky": 1}}, "Wrong or missing: 'background'"),
    "augment": (scenes, {"augment": "flop"}, "`augment`.*flop|flop"),
    "strength": (scenes, {"augment_strength": 2}, "`augment_strength`"),
    "epochs": (scenes, {"epochs": 0}, "`epochs` must be a whole number from 1"),
    "freeze epochs": (scenes, {"epochs": 3, "freeze_epochs": 3}, "fewer than `epochs`"),
    "clip": (scenes, {"clip_norm": 0}, "`clip_norm` must be a number above 0"),
    "batchnorm": (scenes, {"batchnorm": "off"}, "`batchnorm` must be"),
    "balance": (scenes, {"class_balance": "auto"}, "`class_balance` must be True or False"),
    "options": (scenes, {"options": ["a"]}, "`options` must be a mapping"),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_refuses(case, tmp_path):
    make, arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        train(make(), tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_it_refuses_options_and_models_that_do_not_fit(data, tmp_path):
    with pytest.raises(KerasvisionError, match="`unet` has no such option"):
        train(data, tmp_path / "options", options={"depth": 3})
    settings = {"backbone": backbone(), "preprocessing": "zero_one", **DECODER}
    own = segmenter("unet", classes=5, image_size=64, **settings)
    with pytest.raises(KerasvisionError, match="`model` has 5 classes, `data` has 3"):
        train_segmenter(data, tmp_path / "classes", model=own)
    with pytest.raises(KerasvisionError, match='`mixed_precision` must be "auto" or False with'):
        train_segmenter(
            data,
            tmp_path / "precision",
            model=segmenter("unet", classes=3, image_size=64, **settings),
            mixed_precision="mixed_float16",
        )
    own = segmenter("unet", classes=3, image_size=96, **settings)
    with pytest.raises(KerasvisionError, match=r"takes images of \(96, 96\).*`data` has \(64, 64\)"):
        train_segmenter(data, tmp_path / "size", model=own)


def test_nothing_but_void_to_validate_with_is_refused(tmp_path):
    drawn = scenes()
    part = drawn.splits["validation"]
    empty = replace(part, masks=_maps([np.full((64, 64), 255, np.uint8)] * len(part), 3))
    with pytest.raises(KerasvisionError, match="Every pixel of the validation split is void"):
        train(replace(drawn, splits={**drawn.splits, "validation": empty}), tmp_path / "run")


def test_weights_of_classes_by_median_frequency(data):
    """By hand: pixels of a class over the pixels of the images that it is on."""
    found = segmentation_settings.weights_of_classes("auto", data)
    maps = list(data.splits["train"].masks)
    frequency = np.array(
        [
            sum((one == c).sum() for one in maps) / sum(one.size for one in maps if (one == c).any())
            for c in range(3)
        ]
    )
    np.testing.assert_allclose(found, np.median(frequency) / frequency, rtol=1e-6)
    rare = [one * 0 for one in maps]
    rare[0][0, 0], rare[1][:] = 2, 1
    part = replace(data.splits["train"], masks=_maps(rare, 3))
    few = replace(data, splits={**data.splits, "train": part})
    assert segmentation_settings.weights_of_classes("auto", few).max() == 20.0
    given = segmentation_settings.weights_of_classes({"background": 1, "circle": 2, "square": 0.5}, data)
    assert given.tolist() == [1.0, 2.0, 0.5]


def test_rare_classes_are_shown_more_often(data):
    part = data.splits["train"]
    maps = [np.zeros((64, 64), np.uint8) for _ in range(len(part))]
    maps[5][:8] = 1
    found = segmentation_settings.image_weights(replace(part, masks=_maps(maps, 3)))
    wanted = np.ones(len(part))
    wanted[5] = 4.0
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("name", ["poly", "cosine"])
def test_rates_rise_and_fall(name):
    rate = phases.make_schedule(name, peak=0.1, epochs=20)
    rates = [rate(step, 200) for step in range(200)]
    assert rates[0] == pytest.approx(0.1 / 20) and max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) in (19, 20)
    assert rates[20:] == sorted(rates[20:], reverse=True) and 0 < rates[-1] < 2e-3


def test_warnings_about_splits():
    """Sequences on both sides, classes that cannot be learned or judged."""
    images = np.zeros((40, 8, 8, 3), np.uint8)
    maps = np.zeros((40, 8, 8), np.uint8)
    maps[:25, :2] = 1
    drawn = from_arrays(images, maps, ("ground", "car", "tram"), validation_fraction=0.0)
    part = drawn.splits["train"]

    def picked(indices, names):
        sources = [part.sources[i] for i in indices]
        return Samples(sources, part.labels[indices], names, masks=part.masks.take(indices))

    first, second = np.arange(30), np.arange(30, 40)
    train_names = [f"{'a' if i < 15 else 'b'}_{i:04d}.png" for i in first]
    for prefix, shared in (("b", "b"), ("c", None)):
        held_out = picked(second, [f"{prefix}_{i:04d}.png" for i in second])
        splits = {"train": picked(first, train_names), "validation": held_out}
        said = " ".join(warnings_about(replace(drawn, splits=splits)))
        assert "No training image has tram" in said and "No validation image has car" in said
        assert ("images of b are in the training split" in said) == (shared is not None)


def test_a_copied_folder_opens(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "copy")
    copy = SegmenterRun.load(tmp_path / "copy")
    np.testing.assert_array_equal(weights(copy), weights(run))
