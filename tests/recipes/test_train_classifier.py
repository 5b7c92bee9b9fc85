import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from recipe_helpers import CLASSES, toy_data, train, weights

from kerasvision.data import shapes
from kerasvision.errors import DataError, KerasvisionError, RunError
from kerasvision.files import read_json
from kerasvision.recipes import Run, run_folder
from kerasvision.recipes.run_folder import read_history
from kerasvision.recipes.settings import choose_strategy, class_weights_of
from kerasvision.training import only_process

FILES = {
    "run.json",
    "model.keras",
    "labels.txt",
    "preprocessing.json",
    "metrics.json",
    "history.csv",
    "report.html",
    "samples.npz",
    "mistakes.npz",
}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    data = toy_data()
    return data, train(data, tmp_path_factory.mktemp("frozen") / "run")


def test_the_folder_holds_everything(frozen):
    data, run = frozen
    assert {p.name for p in run.folder.iterdir() if not p.name.startswith(".")} == FILES
    record = read_json(run.folder / "run.json")
    assert record["status"] == "finished"
    assert record["arguments"]["model"] == "resnet_small"
    assert record["decided"]["strategy"] == "freeze"
    assert record["data"]["fingerprint"] == data.fingerprint()
    assert {"build", "features", "head", "judge", "total"} <= set(record["seconds"])
    assert (run.folder / "labels.txt").read_text().split() == list(CLASSES)
    assert "<html" in (run.folder / "report.html").read_text()


def test_what_was_judged_is_what_the_kept_model_says(frozen):
    data, run = frozen
    images = data.images("validation", range(len(data.splits["validation"])))
    answers = run.model.predict(images.astype("float32"), verbose=0)
    accuracy = np.mean(answers.argmax(1) == data.splits["validation"].labels)
    assert run.metrics["split"] == "validation"
    assert run.metrics["accuracy"] == pytest.approx(accuracy)
    assert json.loads(json.dumps(run.judgement.to_dict())) == {
        k: v for k, v in run.metrics.items() if k != "split"
    }
    assert accuracy > 0.5


def test_samples_are_bounded_and_balanced(frozen):
    data, run = frozen
    samples = run.samples
    assert samples.images.dtype == samples.calibration.dtype == np.uint8
    assert samples.split == "validation"
    assert np.bincount(samples.targets, minlength=3).min() > 0
    held_out = data.images("validation", range(len(data.splits["validation"])))
    assert {image.tobytes() for image in samples.images} <= {image.tobytes() for image in held_out}
    training = {image.tobytes() for image in data.images("train", range(len(data.splits["train"])))}
    assert {image.tobytes() for image in samples.calibration} <= training


def test_called_again_it_returns_the_finished_run(frozen):
    data, run = frozen
    before = {p: p.stat().st_mtime_ns for p in run.folder.iterdir()}
    again = train(data, run.folder)
    assert again.metrics == run.metrics
    assert {p: p.stat().st_mtime_ns for p in run.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 7}, "`epochs` null -> 7"),
        ({"strategy": "scratch"}, '`strategy` "freeze" -> "scratch"'),
        ({"model": "mobilenet_v2", "seed": 3}, '`model` "resnet_small" -> "mobilenet_v2", `seed` 0 -> 3'),
        ({"class_weights": {"dark": 1, "grey": 2, "light": 1}}, "`class_weights` null -> {"),
    ],
)
def test_a_changed_argument_is_named(frozen, change, message):
    data, run = frozen
    with pytest.raises(RunError) as caught:
        train(data, run.folder, **change)
    assert message in str(caught.value)
    assert "new folder" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 75}, "numbers of images train"),
        ({"seed": 5}, "files, their contents, their labels"),
        ({"image_size": 40}, r"`image_size` \(32, 32\) -> \(40, 40\)"),
    ],
)
def test_changed_data_are_refused(frozen, change, message):
    with pytest.raises(RunError, match=message):
        train(toy_data(**change), frozen[1].folder)


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.docx").write_text("mine")
    with pytest.raises(RunError, match=r"holds files but no run: thesis.docx. Choose a new or empty folder"):
        train(toy_data(), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["thesis.docx"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON.*train in a new folder"),
        ('{"kind": "detector", "arguments": {}}', "not that of a classifier"),
        ('{"kind": "classifier", "arguments": {}, "format": 99}', "format 99.*Update kerasvision"),
    ],
)
def test_a_strange_record_is_refused(tmp_path, content, message):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        train(toy_data(), tmp_path)


def test_two_at_a_time_are_refused(tmp_path):
    with only_process(tmp_path), pytest.raises(RunError, match="Another process is training"):
        train(toy_data(), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "magic"}, "`strategy` must be one of 'auto', .*Received: 'magic'"),
        ({"epochs": 0}, "`epochs` must be a whole number from 1. Received: 0"),
        ({"epochs": 2.5}, "`epochs` must be a whole number"),
        ({"epochs": True}, "Received: True"),
        ({"learning_rate": 0}, "`learning_rate` must be a number"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a number"),
        ({"label_smoothing": 1.0}, "from 0 to below 1. Received: 1.0"),
        ({"batchnorm": "off"}, '`batchnorm` must be "frozen" or "train"'),
        ({"class_weights": "balanced"}, '`class_weights` must be None, "auto"'),
        ({"class_weights": {"dark": 1}}, "Wrong or missing: 'grey', 'light'"),
        ({"class_weights": dict.fromkeys(CLASSES, -1)}, "must be 0 or more"),
        ({"mixed_precision": "half"}, "`mixed_precision` must be"),
        ({"engine": "warp"}, "`engine` must be"),
        ({"augment": "wobble"}, "wobble"),
        ({"model": "resnet_smal"}, "resnet_small"),
        ({"strategy": "finetune", "finetune_stages": 77}, "`finetune_stages` is 77, but"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        train(toy_data(), tmp_path / "run", **arguments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("photos/", "`data` must be a `VisionData`.*Received: str"),
        (lambda: toy_data(validation_fraction=0.0), "no validation images.*validation_fraction=0.2"),
        (lambda: shapes("detect", count=20, image_size=32), "task 'detect'.*train_detector"),
        (lambda: shapes("segment", count=20, image_size=32), "task 'segment'.*train_segmenter"),
    ],
)
def test_bad_data(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        train(data() if callable(data) else data, tmp_path / "run")


@pytest.mark.parametrize(
    ("strategy", "images", "pretrained", "wanted", "why"),
    [
        ("auto", 5000, False, "scratch", "random"),
        ("auto", 499, True, "freeze", "fewer than 500 training images (499)"),
        ("auto", 1500, True, "finetune", "1,500 training images, 500 or more"),
        ("freeze", 5000, True, "freeze", "asked for"),
    ],
)
def test_auto_rule(strategy, images, pretrained, wanted, why):
    chosen = choose_strategy(strategy, images=images, pretrained=pretrained)
    assert chosen.name == wanted
    assert why in chosen.why


def test_class_weights():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    from kerasvision.data import from_arrays

    data = from_arrays(np.zeros((112, 8, 8), np.uint8), labels, CLASSES, validation_fraction=0.0)
    auto = class_weights_of("auto", data)
    np.testing.assert_allclose(auto / auto[0], [1, 10, 10], rtol=1e-5)  # 50 is cut to 10
    assert (auto[labels]).mean() == pytest.approx(1)
    named = class_weights_of({"light": 4, "dark": 1, "grey": 2}, data)
    np.testing.assert_allclose(named / named[0], [1, 2, 4], rtol=1e-5)
    assert class_weights_of(None, data) is None


def test_finetune_is_no_worse_than_freeze_and_history_tells_both(tmp_path, frozen):
    data, run = frozen
    tuned = train(data, tmp_path / "run", strategy="finetune", epochs=3, ema=0.9)
    assert tuned.metrics["accuracy"] >= run.metrics["accuracy"]
    rows = read_history(tuned.folder)
    assert [row["phase"] for row in rows[-3:]] == ["finetune"] * 3
    assert rows[0]["phase"] == "freeze"
    assert all(row["strength"] is None for row in rows[-3:])


def test_mixed_precision_trains_a_copy_and_keeps_float32(tmp_path):
    run = train(toy_data(), tmp_path / "run", strategy="finetune", epochs=2, mixed_precision="mixed_bfloat16")
    assert {layer.dtype_policy.name for layer in run.model.layers} == {"float32"}
    assert "mixed_bfloat16 (asked for)" in run.record["decided"]["finetune"]
    judged = run.evaluate(toy_data())
    assert judged.accuracy == pytest.approx(run.metrics["accuracy"])
    assert run.history[-1]["loss"] < 2


@pytest.mark.slow
def test_on_two_devices(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from recipe_helpers import toy_data, train
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
arguments = dict(strategy="finetune", epochs=2, batch_size=16, distribute=strategy, ema=0.9)
print(train(toy_data(), {str(tmp_path / "run")!r}, **arguments))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run = Run.load(tmp_path / "run")
    assert run.evaluate(toy_data()).confusion.tolist() == run.metrics["confusion"]
    assert [row["phase"] for row in run.history[-2:]] == ["finetune"] * 2


@pytest.mark.parametrize("strategy", ["freeze", "scratch"])
def test_the_same_seed_gives_the_same_model(tmp_path, strategy):
    data, found = toy_data(), []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = train(data, tmp_path / name, strategy=strategy, epochs=1, seed=seed)
        found.append(weights(run))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 1e-2


def test_own_backbone_with_its_weights(tmp_path):
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(12, 3, strides=2, activation="relu")(image)
    backbone = keras.Model(image, keras.layers.Conv2D(24, 3, strides=2, activation="relu")(x), name="own")
    data = toy_data()
    run = train(data, tmp_path / "run", model=backbone, preprocessing="zero_one")
    kept = run.model.get_layer(backbone.layers[1].name).get_weights()[0]
    np.testing.assert_array_equal(kept, backbone.layers[1].get_weights()[0])
    backbone.layers[1].set_weights([w + 1 for w in backbone.layers[1].get_weights()])
    with pytest.raises(RunError, match="`model` {"):
        train(data, run.folder, model=backbone, preprocessing="zero_one")


def test_a_test_split_is_what_is_judged(tmp_path):
    data = toy_data(count=120, test_fraction=0.2)
    run = train(data, tmp_path / "run")
    assert run.metrics["split"] == "test"
    assert run.metrics["count"] == len(data.splits["test"])
    assert run.metrics["validation"]["count"] == len(data.splits["validation"])
    assert run.samples.split == "test"


def test_augmented_views_are_used_when_asked_for(tmp_path):
    run = train(toy_data(), tmp_path / "run", augment="flip+mixup")
    assert "4 views" in run.record["decided"]["features"]
    assert run.metrics["accuracy"] > 0.5


class Interrupted:
    """A `VisionData` that breaks off at a batch."""

    def __init__(self, data, at):
        self._data, self._at, self._seen = data, at, 0

    def __getattr__(self, name):
        return getattr(self._data, name)

    def iterate(self, *args, **options):
        for batch in self._data.iterate(*args, **options):
            self._seen += 1
            if self._seen == self._at:
                raise KeyboardInterrupt
            yield batch


@pytest.mark.parametrize(("strategy", "at"), [("freeze", 2), ("finetune", 8), ("scratch", 6)])
def test_interrupted_it_goes_on_and_ends_the_same(tmp_path, strategy, at, monkeypatch):
    monkeypatch.setattr("kerasvision.training.loop.Plan.checkpoint_seconds", 0.0)
    monkeypatch.setattr("kerasvision.training.feature_cache.MARK_SECONDS", 0.0)
    data, arguments = toy_data(), {"strategy": strategy, "epochs": 3, "batch_size": 16}
    whole = train(data, tmp_path / "whole", **arguments)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(data, at), tmp_path / "run", **arguments)
    with pytest.raises(RunError, match="not finished. Call `train_classifier` with the same"):
        Run.load(tmp_path / "run")
    run = train(data, tmp_path / "run", **arguments)
    np.testing.assert_allclose(weights(run), weights(whole), atol=1e-3)
    assert run.metrics["confusion"] == whole.metrics["confusion"]
    a, b = read_history(run.folder), read_history(whole.folder)
    assert [(row["phase"], row["epoch"]) for row in a] == [(row["phase"], row["epoch"]) for row in b]


def test_record_is_plain_json(frozen):
    assert json.loads((frozen[1].folder / "run.json").read_text()) == frozen[1].record


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KerasvisionError, match="not a folder"):
        train(toy_data(), tmp_path / "file" / "run")


def test_histories_with_gaps_come_back(tmp_path):
    rows = [{"phase": "freeze", "epoch": 3, "loss": 0.25, "strength": 0.1}]
    run_folder.write_history(tmp_path, rows)
    (row,) = run_folder.read_history(tmp_path)
    assert {k: v for k, v in row.items() if v is not None} == rows[0]


def test_a_run_that_failed_before_training_takes_other_data_and_arguments(tmp_path, monkeypatch):
    """As after a broken photo: the folder must not insist on it."""
    import kerasvision.data.vision_data as vision_data
    from kerasvision.errors import BadImageError

    def broken(*arguments, **options):
        raise BadImageError("rose.png", "is cut off")

    with monkeypatch.context() as patch:
        patch.setattr(vision_data, "iterate_batches", broken)
        with pytest.raises(BadImageError):
            train(toy_data(seed=1), tmp_path / "run")
    assert (tmp_path / "run" / "run.json").is_file()
    assert train(toy_data(seed=2), tmp_path / "run", seed=3).record["seed"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"augment": "flip+crpo"}, "`augment` must be names.*did you mean 'crop'"),
        ({"augment": ["flip"]}, "`augment` must be text"),
        ({"model": "mobilnet_v2"}, "mobilenet_v2"),
    ],
)
def test_typing_errors_are_seen_before_anything_is_written(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(toy_data(), tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
