"""Training of detectors: what is learnt, what is refused, interruptions, and what lies in the folder."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from detector_training import backbone, by_heart, scenes, train, weights

from kerasvision.data import ImageBoxes, shapes
from kerasvision.detection import detector
from kerasvision.errors import DataError, DivergedError, KerasvisionError, RunError
from kerasvision.files import read_json
from kerasvision.recipes import DetectorRun, detection_settings, train_detector
from kerasvision.training import Training


@pytest.fixture(scope="module")
def data():
    return scenes()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("run") / "shapes")


def test_it_learns_eight_images_by_heart(tmp_path):
    run = train(
        by_heart(times=10),
        tmp_path / "run",
        backbone=backbone(normalised=False),
        strategy="scratch",
        epochs=16,
        freeze_epochs=None,
        learning_rate=3e-3,
        augment=None,
        ema=0.9,
    )
    assert run.judgement.ap50 == 1.0
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
    assert record["decided"]["spec"]["name"] == "ssd300"
    assert record["data"]["images"] == {split: len(part) for split, part in data.splits.items()}
    assert [(row["phase"], row["epoch"]) for row in run.history] == [
        ("freeze", 1),
        ("finetune", 1),
        ("finetune", 2),
    ]
    assert all(0 <= row["val_ap50"] <= 1 and row["val_loss"] > 0 for row in run.history)
    assert run.metrics["split"] == "test"
    assert run.metrics["count"] == len(data.splits["test"])
    page = (run.folder / "report.html").read_text()
    assert "<script" not in page
    assert page.count('class="boxed"') % 2 == 0


def test_samples_stay_with_the_run_in_pixels_of_the_resized_images(run, data):
    samples = run.samples
    assert samples.split == "test"
    assert samples.images.shape[1:] == (64, 64, 3) == samples.calibration.shape[1:]
    by_pixels = {image.tobytes(): truth for image, truth in zip(samples.images, samples.truth, strict=True)}
    part = data.splits["test"]
    for index, boxes in enumerate(part.boxes):
        np.testing.assert_allclose(by_pixels[part.sources[index].tobytes()].boxes, boxes.boxes, atol=1e-3)


def test_anchors_are_fitted_and_stay_with_the_run(run):
    decided = run.record["decided"]
    assert decided["anchors"].startswith("scales=(") and "before" in decided["anchors"]
    assert run.detector.head.scales == tuple(decided["spec"]["options"]["scales"])
    assert decided["anchors"] in (run.folder / "report.html").read_text()


def test_anchors_of_the_user_stay(data, tmp_path):
    scales = (0.1, 0.2, 0.4, 0.8, 1.0)
    images = scenes(count=12)
    given = train(images, tmp_path / "given", epochs=1, freeze_epochs=0, options={"scales": scales})
    assert given.detector.head.scales == scales
    default = train(images, tmp_path / "default", epochs=1, freeze_epochs=0, anchors="default")
    assert default.detector.spec.options == {}
    with pytest.raises(KerasvisionError, match="`anchors` must be"):
        train(images, tmp_path / "other", anchors="none")


def test_the_frozen_backbone_stays_and_heads_with_batchnorm_learn(data, tmp_path):
    network = backbone()
    before = {w.path: np.array(w) for w in network.weights}
    run = train(data, tmp_path / "run", backbone=network, strategy="freeze", epochs=1, freeze_epochs=None)
    after = {w.path: np.array(w) for w in run.model.weights}
    assert all(np.array_equal(after[path], value) for path, value in before.items())
    assert len(after) > len(before)


def test_called_again_it_returns_the_finished_run(run, data, monkeypatch):
    monkeypatch.setattr(Training, "run", None)
    again = train(data, run.folder)
    np.testing.assert_array_equal(weights(again), weights(run))


def test_other_arguments_or_data_are_refused(run, data):
    with pytest.raises(RunError, match="`epochs` 3 -> 4"):
        train(data, run.folder, epochs=4)
    with pytest.raises(RunError, match="not those that the run in .* began with"):
        train(scenes(count=44), run.folder)


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
            train(data, tmp_path / "run")
    again = train(data, tmp_path / "run")
    np.testing.assert_allclose(weights(again), weights(run), atol=2e-3)
    for row, other in zip(again.history, run.history, strict=True):
        assert (row["phase"], row["epoch"]) == (other["phase"], other["epoch"])
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_images_without_boxes_train(tmp_path):
    drawn = scenes(count=24, test_fraction=0.0)
    part = drawn.splits["train"]
    boxes = [ImageBoxes.empty(one.size) if i % 2 else one for i, one in enumerate(part.boxes)]
    labels = [-1 if i % 2 else label for i, label in enumerate(part.labels)]
    mixed = replace(drawn, splits={**drawn.splits, "train": replace(part, boxes=boxes, labels=labels)})
    run = train(mixed, tmp_path / "run", epochs=1, strategy="scratch", freeze_epochs=None)
    assert np.isfinite([row["loss"] for row in run.history]).all()
    assert run.metrics["split"] == "validation"
    assert "flattering" in (run.folder / "report.html").read_text()


def test_mixed_precision_trains_a_copy_and_leaves_a_float32_detector(data, tmp_path):
    arguments = {"strategy": "scratch", "freeze_epochs": None, "epochs": 1, "class_balance": True}
    run = train(data, tmp_path / "run", mixed_precision="mixed_bfloat16", **arguments)
    assert {weight.dtype for weight in run.model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    assert run.record["decided"]["settings"].endswith("mixed_bfloat16 (asked for)")
    plain = train(data, tmp_path / "plain", mixed_precision=False, **arguments)
    difference = np.abs(weights(run) - weights(plain))
    assert 0 < difference.mean() < 1e-2


def test_a_loss_that_is_not_finite_stops(data, tmp_path):
    with pytest.raises(DivergedError, match="lower `learning_rate`"):
        train(
            data, tmp_path / "run", learning_rate=1e30, strategy="scratch", clip_norm=None, freeze_epochs=None
        )


def test_a_detector_of_ones_own_goes_on_and_is_not_changed(data, tmp_path):
    own = detector(
        "ssd300", classes=2, image_size=64, backbone=backbone(), preprocessing="zero_one", weights=None
    )
    before = [np.array(w) for w in own.model.get_weights()]
    run = train(
        data, tmp_path / "run", model=own, backbone=None, preprocessing=None, epochs=1, freeze_epochs=0
    )
    for now, value in zip(own.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, value)
    moved = [not np.array_equal(a, b) for a, b in zip(run.model.get_weights(), before, strict=True)]
    assert any(moved)


WRONG = {
    "no boxes": (lambda: shapes(count=20, classes=2, image_size=64), {}, "task 'classify'"),
    "no data": (lambda: "folder", {}, "`data` must be a `VisionData` with boxes"),
    "no validation": (lambda: scenes(validation_fraction=0.0), {}, "no validation images"),
    "model": (scenes, {"model": "yolo_v8"}, "no detector 'yolo_v8'.*Did you mean"),
    "model type": (scenes, {"model": 3}, "`model` must be a name of"),
    "size": (lambda: scenes(image_size=72), {"model": "retinanet"}, r"multiples of 32.*Use \(96, 96\)"),
    "backbone": (scenes, {"backbone": "resnet5"}, "resnet5.*Did you mean"),
    "own backbone": (scenes, {"preprocessing": None}, "`preprocessing` must be stated"),
    "strategy": (scenes, {"strategy": "all"}, "`strategy` must be one of"),
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


def test_it_refuses_options_and_detectors_that_do_not_fit(data, tmp_path):
    with pytest.raises(KerasvisionError, match="`ssd300` has no such option"):
        train(data, tmp_path / "options", options={"anchors": 3})
    own = detector(
        "ssd300", classes=5, image_size=64, backbone=backbone(), preprocessing="zero_one", weights=None
    )
    with pytest.raises(KerasvisionError, match="built for 5 classes, `data` has 2"):
        train_detector(data, tmp_path / "classes", model=own)


def test_validation_without_any_box_is_refused(tmp_path):
    drawn = scenes()
    part = drawn.splits["validation"]
    empty = replace(part, boxes=[ImageBoxes.empty(one.size) for one in part.boxes])
    with pytest.raises(DataError, match="no box in its validation split"):
        train(replace(drawn, splits={**drawn.splits, "validation": empty}), tmp_path / "run")


def test_rare_classes_are_shown_more_often():
    part = scenes(count=40, classes=3).splits["train"]
    boxes = [replace(one, labels=np.zeros(len(one), np.int32)) for one in part.boxes]
    boxes[5] = ImageBoxes((64, 64), [[0, 0, 9, 9], [20, 20, 40, 40]], [0, 1])
    found = detection_settings.image_weights(replace(part, boxes=boxes), 3)
    with_boxes = sum(len(one) > 0 for one in boxes)
    wanted = np.ones(len(part))
    wanted[5] = min(4.0, np.sqrt(with_boxes / 1))
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize(
    ("given", "strategy", "images", "wanted"),
    [
        ({"epochs": None, "freeze_epochs": None}, "finetune", 200, {"freeze": 5, "finetune": 55}),
        ({"epochs": 40, "freeze_epochs": None}, "finetune", 200, {"freeze": 5, "finetune": 35}),
        ({"epochs": 8, "freeze_epochs": None}, "finetune", 200, {"freeze": 1, "finetune": 7}),
        ({"epochs": 8, "freeze_epochs": 3}, "finetune", 200, {"freeze": 3, "finetune": 5}),
        ({"epochs": 8, "freeze_epochs": 0}, "finetune", 200, {"finetune": 8}),
        ({"epochs": None, "freeze_epochs": None}, "freeze", 1000, {"freeze": 40}),
        ({"epochs": None, "freeze_epochs": None}, "scratch", 10_000, {"scratch": 36}),
    ],
)
def test_epochs_are_shared_out(given, strategy, images, wanted):
    assert detection_settings.choose_epochs(given, strategy, images) == wanted


def test_a_copied_folder_opens(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "copy")
    copy = DetectorRun.load(tmp_path / "copy")
    np.testing.assert_array_equal(weights(copy), weights(run))
