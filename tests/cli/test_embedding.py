"""The commands for embedders, on a small run that Python trained."""

import csv
import inspect
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasvision.cli import embedding

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))


@pytest.fixture(scope="module")
def drawn():
    from embedder_training import badges

    return badges()


@pytest.fixture(scope="module")
def run(drawn, tmp_path_factory):
    from embedder_training import train

    folder = tmp_path_factory.mktemp("run") / "badges"
    return train(drawn, folder, epochs=1, freeze_epochs=None, strategy="scratch")


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    """All badges, a folder of photos for each."""
    root = tmp_path_factory.mktemp("faces")
    for part in drawn.splits.values():
        for index, label in enumerate(part.labels):
            (root / drawn.class_names[label]).mkdir(exist_ok=True)
            name = part.names[index].replace("#", "").replace(" ", "")
            Image.fromarray(part.sources[index]).save(root / drawn.class_names[label] / f"{name}.png")
    return root


def test_train_embedder_hands_everything_over(command, run, folder, tmp_path, monkeypatch):
    seen = {}

    def train_face_embedder(data, out, **arguments):
        seen.update(arguments, data=data, out=out)
        return run

    monkeypatch.setattr("kerasvision.recipes.train_face_embedder", train_face_embedder)
    options = "--image-size 32 --backbone resnet_small --weights none --augment none --margin soft"
    options += " --mining batch_hard --mixed-precision off --cache off --test-fraction 0.25 --identities 4"
    code, out, err = command("train", "embedder", folder, tmp_path / "run", *options.split())
    assert code == 0 and not err
    assert str(run.folder) in out and "true accepts at 10.00% false" in out and "equal error rate" in out
    data = seen["data"]
    assert data.task == "embed" and data.image_size == (32, 32)
    assert [len(np.unique(data.splits[s].labels)) for s in ("train", "validation", "test")] == [11, 4, 5]
    wanted = {"weights": None, "augment": None, "mixed_precision": False, "margin": "soft"}
    wanted |= {"mining": "batch_hard", "identities": 4, "backbone": "resnet_small"}
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["out"] == tmp_path / "run"


def test_train_embedder_has_the_options_and_defaults_of_the_functions():
    from kerasvision.data import identity_folder
    from kerasvision.recipes import train_face_embedder

    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    python = defaults(identity_folder) | defaults(train_face_embedder)
    # Own backbones and their options, landmarks and machines are for Python; batches have their own make.
    left_out = {*("folder", "by_identity_split", "cache_limit", "preprocessing", "options", "distribute")}
    left_out |= {"loss_options", "landmarks", "template", "batch_size"}
    own = {"validation_fraction": 0.2, "test_fraction": 0.0}
    shown = defaults(embedding.embedder)
    shown.pop("form")
    for name in ("data", "out"):
        shown.pop(name), python.pop(name)
    wanted = {name: value for name, value in python.items() if name not in left_out} | own
    assert shown == wanted


def test_margins_are_numbers_or_soft(command, folder, tmp_path):
    code, _, err = command("train", "embedder", folder, tmp_path / "run", "--margin", "wide")
    assert code == 2 and "must be a number, or soft" in err


def test_predict_compares_every_two(command, run, folder):
    files = sorted(folder.rglob("*.png"))[:3]
    code, out, _ = command("predict", run.folder, *files, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0 and len(rows) == 3
    for row, found in zip(rows, run.verify_all(files), strict=True):
        assert (row["first"], row["second"]) == found.names
        assert float(row["distance"]) == pytest.approx(found.distance, abs=1e-5)
        assert row["same"] == ("yes" if found.same else "no")
    code, out, _ = command("predict", run.folder, *files, "--threshold", "1.9", "--format", "json")
    assert code == 0 and {row["threshold"] for row in json.loads(out)} == {1.9}
    code, _, err = command("predict", run.folder, files[0])
    assert code == 2 and "IMAGES: must be two or more, to be compared. Received: 1" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--top", "3"), "`--top` does not go with this run"),
        (("--draw", "x"), "`--draw` does not go with this run"),
        (("--save", "x"), "`--save` does not go with this run"),
        (("--flip",), "`--flip` does not go with this run"),
    ],
)
def test_options_of_others_are_refused(command, run, folder, options, message):
    file = next(folder.rglob("*.png"))
    code, _, err = command("predict", run.folder, file, file, *options)
    assert code == 1 and message in err and err.count("\n") == 1


def test_evaluate_reads_a_folder_of_identities(command, run, folder):
    code, out, _ = command("evaluate", run.folder, folder, "--format", "json")
    found = json.loads(out)
    assert code == 0 and found["split"] == "test" and found["identities"] == 20 and found["count"] == 120
    code, out, _ = command("evaluate", run.folder, folder)
    assert code == 0 and "area under the ROC" in out and "at the threshold" in out
    code, out, _ = command("evaluate", run.folder, folder, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["false accepts"]) for row in rows] == [0.1, 0.01, 0.001, 0.0001]
