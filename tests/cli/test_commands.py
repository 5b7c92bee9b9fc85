"""Each command does what its function does, on a tiny folder of images."""

import csv
import inspect
import io
import json
import re
import subprocess
import sys

import pytest
import typer

from kerasvision.cli import checking, running, shipping, training
from kerasvision.cli.main import app, run


def test_check(command, photos):
    code, out, err = command("check", photos)
    assert code == 0 and not err
    assert "24 images, 3 classes: ready to train" in out


def test_check_takes_a_table(command, photos, tmp_path):
    command("check", photos, "--clean-list", tmp_path / "clean.csv")
    code, out, err = command("check", tmp_path / "clean.csv", "--format", "json")
    assert code == 0 and not err
    assert json.loads(out)["counts"] == {"all": {"blue": 8, "green": 8, "red": 8}}


def test_check_writes_what_it_is_asked_for(command, photos, tmp_path):
    page, clean = tmp_path / "page.html", tmp_path / "clean.csv"
    code, out, _ = command("check", photos, "--page", page, "--clean-list", clean, "--format", "json")
    assert code == 0 and json.loads(out)["images"] == 24
    assert page.read_text().lower().startswith("<!doctype html>")
    assert len(list(csv.DictReader(clean.open()))) == 24


def test_check_strict_fails_on_errors_only(command, photos, tmp_path):
    assert command("check", photos, "--strict")[0] == 0
    bad = tmp_path / "photos"
    for name in ("a", "b"):
        (bad / name).mkdir(parents=True)
        for number in range(3):
            source = sorted((photos / {"a": "red", "b": "blue"}[name]).iterdir())[number]
            (bad / name / source.name).write_bytes(source.read_bytes())
    (bad / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert command("check", bad)[0] == 0
    code, out, _ = command("check", bad, "--strict", "--format", "csv")
    assert code == 1
    assert ("error", "a/broken.jpg") in {(r["severity"], r["file"]) for r in csv.DictReader(io.StringIO(out))}


def test_train_prints_the_result_and_goes_on(command, photos, training, trained):
    code, out, err = command("train", "classifier", photos, trained, *training, "--format", "json")
    result = json.loads(out)
    assert code == 0 and not err
    assert result["run"] == str(trained) and 0 <= result["accuracy_low"] <= result["accuracy"] <= 1
    assert (trained / "report.html").is_file() and result["report"] == str(trained / "report.html")


def test_train_takes_the_clean_list(command, photos, training, tmp_path):
    clean = tmp_path / "clean.csv"
    command("check", photos, "--clean-list", clean)
    code, _, err = command("train", "classifier", clean, tmp_path / "run", *training, "--strategy", "wrong")
    assert code == 1 and "`--strategy`" in err  # the data were read


def test_evaluate(command, photos, trained):
    code, out, err = command("evaluate", trained, photos)
    assert code == 0 and not err
    assert re.match(r"images +24\naccuracy +[\d.]+% \(", out) and "\nclass  precision" in out
    code, out, _ = command("evaluate", trained, photos, "--format", "json")
    judged = json.loads(out)
    assert judged["count"] == 24 and judged["class_names"] == ["blue", "green", "red"]
    code, out, _ = command("evaluate", trained, photos, "--format", "csv")
    assert [row["images"] for row in csv.DictReader(io.StringIO(out))] == ["8", "8", "8"]


def test_evaluate_takes_the_split_that_is_asked_for(command, trained, tmp_path, write_photos):
    write_photos(tmp_path / "photos" / "train", count=2)
    write_photos(tmp_path / "photos" / "test", count=3)
    for options, images in (((), 9), (("--split", "train"), 6)):
        code, out, _ = command("evaluate", trained, tmp_path / "photos", "--format", "json", *options)
        assert code == 0 and json.loads(out)["count"] == images
    assert "split              test" in command("evaluate", trained, tmp_path / "photos")[1]


def test_evaluate_takes_an_exported_file(command, photos, trained, tflite):
    by_run, by_file = (
        json.loads(command("evaluate", source, photos, "--format", "json")[1]) for source in (trained, tflite)
    )
    assert by_file["confusion"] == by_run["confusion"]


def test_predict_by_run_and_by_file_agree(command, photos, trained, tflite):
    answers = []
    for source in (trained, tflite):
        code, out, err = command("predict", source, photos / "red", "--top", "2", "--format", "csv")
        assert code == 0 and not err
        answers.append(list(csv.DictReader(io.StringIO(out))))
    by_run, by_file = answers
    assert len(by_run) == 16 and [r["rank"] for r in by_run[:2]] == ["1", "2"]
    for a, b in zip(by_run, by_file, strict=True):
        assert (a["image"], a["label"]) == (b["image"], b["label"])
        assert float(a["probability"]) == pytest.approx(float(b["probability"]), abs=1e-4)


def test_predict_by_file_needs_no_tensorflow(photos, tflite):
    code = (
        "import sys; from kerasvision.cli.main import run;"
        f"assert run(['predict', {str(tflite)!r}, {str(photos / 'red' / '0.png')!r}]) == 0;"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("image")


def test_a_csv_of_no_predictions_has_its_header(command, tflite, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"x")
    for options, header in (
        ((), "image,label,probability\n"),
        (("--top", "2"), "image,rank,label,probability\n"),
    ):
        arguments = ("--on-bad-file", "skip", "--format", "csv", *options)
        assert command("predict", tflite, tmp_path / "bad.png", *arguments)[:2] == (0, header)


def test_predict_skips_when_asked(command, photos, tflite, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    arguments = ("predict", tflite, photos / "red" / "0.png", tmp_path / "bad.png", "--format", "json")
    code, out, _ = command(*arguments, "--on-bad-file", "skip")
    assert code == 0 and len(json.loads(out)) == 1


def test_export_writes_each_kind(command, trained, tmp_path):
    arguments = ("--format", "tflite", "--quantize", "none", "--quantize", "float16")
    code, out, err = command("export", trained, tmp_path / "phone", *arguments)
    assert code == 0 and not err
    assert out.count("passed") == 2 and len(list((tmp_path / "phone").glob("*.tflite"))) == 2


def test_benchmark(command, tflite):
    code, out, _ = command("benchmark", tflite, "--runs", "3", "--threads", "1", "--format", "json")
    (timing,) = json.loads(out)
    assert code == 0 and timing["threads"] == 1 and timing["runs"] == 3
    assert 0 < timing["fastest"] <= timing["p50"] <= timing["p90"]


def test_models(command):
    from kerasvision.models import entry, list_models

    code, out, _ = command("models", "--format", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and list(rows) == list_models()
    assert rows["resnet50"]["parameters"] == entry("resnet50").parameters
    assert all(row["source"] for row in rows.values() if row["top_1"] is not None)


# -- the same names and defaults as in Python


def defaults(function) -> dict:
    """Return argument -> default, in the form of the command line."""
    values = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    return {n: "none" if v is None and n in ("weights", "class_weights") else v for n, v in values.items()}


def test_train_has_the_options_and_defaults_of_the_functions():
    from kerasvision.data import image_folder
    from kerasvision.recipes import train_classifier

    given = defaults(training.classifier)
    python = defaults(image_folder) | defaults(train_classifier) | {"batch_size": 32}
    left_out = {"folder", "cache_limit", "preprocessing", "distribute"}  # of own backbones and machines
    assert set(python) - left_out == set(given) - {"form"}
    assert {n: v for n, v in given.items() if n not in ("form", "data", "out")} == {
        n: v for n, v in python.items() if n not in left_out | {"data", "out"}
    }


@pytest.mark.parametrize(
    "command_function, path",
    [(checking.check, "data.check"), (shipping.benchmark, "export.benchmark")],
    ids=["check", "benchmark"],
)
def test_other_commands_have_the_arguments_of_the_functions(command_function, path):
    import kerasvision

    package, name = path.split(".")
    function = getattr(getattr(kerasvision, package), name)
    own = {"form", "strict"}
    assert set(inspect.signature(command_function).parameters) - own == set(
        inspect.signature(function).parameters
    )


def test_options_are_spelled_as_arguments():
    for function in (training.classifier, checking.check, running.predict, running.evaluate):
        for name in inspect.signature(function).parameters:
            assert re.fullmatch(r"[a-z_0-9]+", name)


def commands(group=None, path=()):
    """Yield (words, command) of every command."""
    group = group or typer.main.get_command(app)
    for name, item in group.commands.items():
        if hasattr(item, "commands"):
            yield from commands(item, (*path, name))
        else:
            yield (*path, name), item


@pytest.mark.parametrize("words", [w for w, _ in commands()], ids=" ".join)
def test_every_command_has_help(words, capsys):
    assert run([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: kerasvision " + " ".join(words) in out
    item = dict(commands())[words]
    assert all(parameter.help for parameter in item.params), "an argument without a help text"
    if words not in (("demo",), ("models",)):
        assert f"kerasvision {' '.join(words)} " in (item.help or ""), "no example"
