"""The commands for detectors, on a small run that Python trained."""

import csv
import inspect
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from kerasvision.cli import detecting

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))


@pytest.fixture(scope="module")
def shapes():
    from detector_training import scenes

    return scenes(count=24)


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    from detector_training import train

    folder = tmp_path_factory.mktemp("run") / "shapes"
    return train(shapes, folder, epochs=1, freeze_epochs=None, strategy="scratch")


@pytest.fixture(scope="module")
def boxes(shapes, tmp_path_factory):
    from kerasvision.data import write_pascal_voc

    folder = tmp_path_factory.mktemp("voc") / "shapes"
    write_pascal_voc(shapes, folder)
    return folder


@pytest.fixture(scope="module")
def photo(shapes, tmp_path_factory):
    file = tmp_path_factory.mktemp("photos") / "scene.png"
    Image.fromarray(shapes.splits["test"].sources[0]).resize((128, 96)).save(file)
    return file


def test_train_detector_hands_everything_over(command, run, boxes, tmp_path, monkeypatch):
    seen = {}

    def train_detector(data, out, **arguments):
        seen.update(arguments, data=data, out=out)
        return run

    monkeypatch.setattr("kerasvision.recipes.train_detector", train_detector)
    options = (
        "--image-size 64 --model ssd300 --backbone none --weights none --augment none --mixed-precision off"
    )
    code, out, err = command(
        "train", "detector", boxes, tmp_path / "run", *options.split(), "--ema", "0", "--cache", "off"
    )
    assert code == 0 and not err
    assert f"run     {run.folder}" in out and "AP50" in out
    assert seen["data"].task == "detect" and seen["data"].image_size == (64, 64)
    wanted = {"backbone": None, "weights": None, "augment": None, "mixed_precision": False, "ema": None}
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["model"] == "ssd300" and seen["out"] == tmp_path / "run"


def test_train_detector_has_the_options_and_defaults_of_the_functions():
    from kerasvision.data import pascal_voc
    from kerasvision.recipes import train_detector

    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    python = defaults(pascal_voc) | defaults(train_detector) | {"batch_size": 16}
    # Names of classes, own backbones and their options, and machines are for Python.
    left_out = {
        *("folder", "splits", "class_names", "cache_limit", "preprocessing", "options", "distribute")
    } | {"data", "out"}
    given = defaults(detecting.detector)
    assert set(python) - left_out == set(given) - {"form", "annotations", "data", "out"}
    for name in set(python) - left_out:
        assert given[name] == python[name], name


def test_what_is_no_boxes_is_refused_in_one_line(command, photo, tmp_path):
    code, out, err = command("train", "detector", photo.parent, tmp_path / "run")
    assert code == 1 and not out
    assert "has no boxes in a format that is known by its look" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_predict_prints_a_row_a_box_and_draws(command, run, photo, tmp_path):
    arguments = ("predict", run.folder, photo, "--threshold", "0", "--format", "csv")
    code, out, err = command(*arguments, "--draw", tmp_path / "drawn")
    assert code == 0 and not err
    rows = list(csv.DictReader(io.StringIO(out)))
    (found,) = run.predict(photo, threshold=0.0)
    assert len(rows) == len(found) > 0
    assert tuple(rows[0]) == detecting.COLUMNS
    for row, label, score, box in zip(rows, found.labels, found.scores, found.boxes, strict=True):
        assert row["label"] == label and float(row["score"]) == pytest.approx(score, abs=1e-4)
        for side, value in zip(("left", "top", "right", "bottom"), box, strict=True):
            assert float(row[side]) == pytest.approx(value, abs=0.06)
    assert Image.open(tmp_path / "drawn" / "scene.jpg").size == (128, 96)


def test_a_csv_of_nothing_found_has_its_header(command, run, photo):
    code, out, _ = command("predict", run.folder, photo, "--threshold", "1", "--format", "csv")
    assert (code, out) == (0, ",".join(detecting.COLUMNS) + "\n")


def test_evaluate_reads_boxes(command, run, boxes, shapes):
    code, out, err = command("evaluate", run.folder, boxes, "--format", "json")
    assert code == 0 and not err
    judged = json.loads(out)
    assert judged["split"] == "test"
    assert judged["coco"]["ap50"] == pytest.approx(run.evaluate(shapes).ap50, abs=5e-3)
    code, out, _ = command("evaluate", run.folder, boxes, "--split", "validation")
    assert code == 0 and "split   validation" in out and "threshold" in out


def test_options_that_do_not_go_with_a_run_are_refused(command, run, photo, trained, photos):
    for opened, options, message in (
        (run.folder, ("--top", "2"), "`--top` does not go with this run"),
        (trained, ("--draw", "x"), "`--draw` does not go with this run"),
        (trained, ("--threshold", "0.5"), "`--threshold` does not go with this run"),
    ):
        code, out, err = command("predict", opened, photo, *options)
        assert code == 1 and not out and message in err and err.count("\n") == 1


def test_a_run_of_another_kind_is_refused_where_only_classifiers_go(command, run, photos):
    code, _, err = command("train", "classifier", photos, run.folder)
    assert code == 1 and "is not that of a classifier's run" in err


def test_export_of_a_detector(command, run, tmp_path):
    code, out, err = command("export", run.folder, tmp_path / "phone", "--format", "tflite")
    assert code == 0 and not err and "passed" in out
