"""`kerasvision train degradation` does what `kerasvision.recipes.degradation` does."""

import csv
import inspect
import io
import json

from kerasvision.cli import training
from kerasvision.data import image_folder
from kerasvision.recipes import DegradationStudy, degradation

QUICK = ("--image-size", "8", "--network", "plainnet20", "--epochs", "1", "--batch-size", "8")


def test_it_trains_shows_and_goes_on(command, photos, tmp_path):
    out = tmp_path / "study"
    code, shown, err = command("train", "degradation", photos, out, *QUICK)
    assert code == 0 and not err
    assert "training_error" in shown and "plainnet20" in shown and f"report  {out / 'report.html'}" in shown
    study = DegradationStudy.load(out)
    code, shown, _ = command("train", "degradation", photos, out, *QUICK, "--format", "json")
    (row,) = json.loads(shown)
    assert code == 0 and row == study.table()[0] and row["epochs"] == 1
    code, shown, _ = command("train", "degradation", photos, out, *QUICK, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(shown))
    assert code == 0 and row["outcome"] == study.curves[0].outcome
    assert sum(study.record["data"]["counts"]["test"].values()) == 5  # a fifth of 24


def test_arguments_arrive(command, photos, tmp_path, monkeypatch):
    seen = {}

    def record(data, out, **given):
        seen.update(given, data=data)
        raise ValueError("seen")

    monkeypatch.setattr("kerasvision.recipes.degradation", record)
    options = (
        "--network resnet20 --network resnet56 --initializer glorot_uniform --batch-norm off --batch-norm on "
        "--augment none --warmup-epochs 0.5 --mixed-precision auto --test-fraction 0.25"
    )
    assert command("train", "degradation", photos, tmp_path / "study", *options.split())[0] == 1
    wanted = {
        "networks": ("resnet20", "resnet56"),
        "initializers": ("glorot_uniform",),
        "batch_norms": (False, True),
        "augment": None,
        "warmup_epochs": 0.5,
        "mixed_precision": "auto",
    }
    assert {name: seen[name] for name in wanted} == wanted
    assert set(seen["data"].splits) == {"train", "test"} and len(seen["data"].splits["test"]) == 6


def test_a_data_set_by_name_is_fetched(command, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("kerasvision.data.from_tfds", lambda *a, **k: seen.append((a, k)) or "data")
    monkeypatch.setattr("kerasvision.recipes.degradation", lambda data, out, **_: seen.append(data) or 1 / 0)
    command("train", "degradation", "tfds:cifar10", tmp_path / "study")
    (name, settings), data = seen
    assert name == ("cifar10",) and data == "data"
    assert settings["image_size"] == 32 and settings["validation_fraction"] == 0.0


def test_a_switch_is_on_or_off(command, photos, tmp_path):
    code, _, err = command("train", "degradation", photos, tmp_path / "study", "--batch-norm", "maybe")
    assert code == 2 and "on or off" in err and "maybe" in err and not (tmp_path / "study").exists()


def test_options_and_defaults_are_those_of_the_functions():
    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    given, python = defaults(training.degradation), defaults(degradation)
    same = set(python) - {"data", "out", "batch_norms", "mixed_precision"}
    assert {n: given[n] for n in same} == {n: python[n] for n in same}
    assert (given["batch_norms"], python["batch_norms"]) == (("on",), (True,))
    assert (given["mixed_precision"], python["mixed_precision"]) == ("off", False)
    of_data = {"image_size", "test_fraction", "resize", "on_bad_file"}
    assert set(given) == set(python) | of_data | {"form"} and of_data < set(defaults(image_folder))
