"""`kerasvision explain`: the studies on the command line."""

import csv
import io
import json

import numpy as np
import pytest

FEW = "--images 9 --counts 1-2 --repeats 2 --swaps 1 --permutations 1 --gradient-samples 4".split()


def test_lesions_of_a_run(command, photos, trained, tmp_path):
    code, out, err = command("explain", "lesions", trained, photos, tmp_path / "study", *FEW)
    assert code == 0 and not err
    assert "stage3_block1" in out and "report.html" in out and "Whole, the network has an error of" in out
    assert (tmp_path / "study" / "lesions_each.png").is_file()
    again = command("explain", "lesions", trained, photos, tmp_path / "study", *FEW, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(again[1])))
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    modules = results["parts"]["each"]["modules"]
    assert [(row["module"], float(row["error"])) for row in rows] == [
        (m["name"], m["error"]) for m in modules
    ]
    assert list(results["parts"])[:3] == ["each", "random 1", "random 2"]


def test_lesions_of_a_file(command, photos, trained, tmp_path):
    arguments = ["explain", "lesions", trained / "model.keras", photos, tmp_path / "study", *FEW]
    code, out, _ = command(*arguments, "--format", "json")
    assert code == 0
    assert [row["downsampling"] for row in json.loads(out)] == ["no", "yes", "yes"]


def test_prune(command, photos, trained, tmp_path):
    import keras

    arguments = ["explain", "prune", trained, photos, tmp_path / "small", "--max-drop", "1"]
    code, out, err = command(*arguments, "--format", "json")
    assert code == 0 and not err
    steps = json.loads(out)
    smaller = keras.saving.load_model(tmp_path / "small" / "model.keras")
    assert len(steps) == 4 and steps[0]["removed"] is None
    assert smaller.count_params() == steps[-1]["parameters"] < steps[0]["parameters"]
    assert json.loads((tmp_path / "small" / "pruning.json").read_text())["steps"] == steps


def test_going_on_from_a_pruned_network(command, photos, trained, tmp_path):
    small = tmp_path / "small"
    assert command("explain", "prune", trained, photos, small, "--max-drop", "1")[0] == 0
    assert (small / "labels.txt").read_text() == (trained / "labels.txt").read_text()
    code, out, err = command("evaluate", small / "model.keras", photos, "--format", "json")
    assert code == 0 and not err
    assert [scores["name"] for scores in json.loads(out)["per_class"]] == ["blue", "green", "red"]
    arguments = ["train", "classifier", photos, tmp_path / "run", "--model", small / "model.keras"]
    options = ["--strategy", "finetune", "--image-size", "24", "--epochs", "1", "--cache", "off"]
    code, out, _ = command(*arguments, *options, "--format", "json")
    assert code == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["arguments"]["weights"] is None and facts["status"] == "finished"
    assert (
        facts["decided"]["parameters"]
        < json.loads((trained / "run.json").read_text())["decided"]["parameters"]
    )


def test_prune_spoils_no_folder_of_another(command, photos, trained):
    before = (trained / "model.keras").read_bytes()
    code, out, err = command("explain", "prune", trained, photos, trained)
    assert (code, out) == (1, "") and "holds files" in err
    assert (trained / "model.keras").read_bytes() == before and not (trained / "pruning.json").exists()


def test_classes_by_name(command, photos, trained, tmp_path):
    """A file with the classes in another order than that of the folders is another order of outputs."""
    names, given = [folder.name for folder in sorted(photos.iterdir())], tmp_path / "classes.txt"
    results = []
    for order in (names, names[::-1]):
        given.write_text("\n".join(order) + "\n")
        arguments = ["explain", "prune", trained / "model.keras", photos, tmp_path / order[0]]
        code, out, _ = command(*arguments, "--max-drop", "0", "--class-names", given, "--format", "json")
        assert code == 0
        results.append(json.loads(out)[0]["loss"])
    assert results[0] != results[1]
    given.write_text("cat\n")
    code, _, err = command(*arguments[:-1], tmp_path / "one", "--class-names", given)
    assert code == 1 and f"The model has {len(names)} classes, `--class-names` 1: cat" in err
    code, _, err = command(*arguments[:-1], tmp_path / "none", "--class-names", tmp_path / "gone.txt")
    assert code == 2 and "cannot be read as text" in err


WRONG = {
    "network": (["explain", "lesions", "resnet5", "{photos}", "{out}"], 1, "Did you mean"),
    "folder": (["explain", "lesions", "runs/nothing", "{photos}", "{out}"], 1, "no run folder and no file"),
    "counts": (
        ["explain", "lesions", "{run}", "{photos}", "{out}", "--counts", "1-x"],
        2,
        "'1-x' is no list",
    ),
    "downwards": (
        ["explain", "lesions", "{run}", "{photos}", "{out}", "--counts", "9-1"],
        2,
        "must go upwards",
    ),
    "range": (["explain", "lesions", "{run}", "{photos}", "{out}", "--images", "0"], 2, "--images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_line(command, photos, trained, tmp_path, case):
    arguments, expected, message = WRONG[case]
    places = {"photos": photos, "run": trained, "out": tmp_path / "out"}
    code, out, err = command(*(argument.format(**places) for argument in arguments))
    assert (code, out) == (expected, "")
    assert message in err and err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.realdata
def test_lesions_of_a_network_by_name(command, real_data, tmp_path):
    packed = np.load(real_data / "cifar10_test_jpeg.npz")
    for i in range(0, 10_000, 250):
        folder = tmp_path / "photos" / str(packed["class_names"][packed["labels"][i]])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(packed["jpeg"][slice(*packed["offsets"][i : i + 2])].tobytes())
    weights = ["--weights", real_data / "cifar_resnet56.safetensors"]
    few = "--counts 1 --repeats 1 --swaps 1 --permutations 1 --gradient-samples 0 --format json".split()
    code, out, err = command(
        "explain", "lesions", "resnet56", tmp_path / "photos", tmp_path / "out", *weights, *few
    )
    assert code == 0 and not err
    rows = json.loads(out)
    assert len(rows) == 27 and [row["module"] for row in rows if row["downsampling"] == "yes"] == [
        "conv3_block1",
        "conv4_block1",
    ]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["parts"]["each"]["baseline"] < 0.4
