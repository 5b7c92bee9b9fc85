"""The commands for segmenters, on a small run that Python trained."""

import csv
import inspect
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasvision.cli import segmenting

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes"))


@pytest.fixture(scope="module")
def shapes():
    from segmenter_training import scenes

    return scenes(count=24)


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    from segmenter_training import train

    folder = tmp_path_factory.mktemp("run") / "shapes"
    return train(shapes, folder, epochs=1, freeze_epochs=None, strategy="scratch")


@pytest.fixture(scope="module")
def folder(shapes, tmp_path_factory):
    """The scenes as folders of photos and masks, with their splits."""
    root = tmp_path_factory.mktemp("masks")
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        part = shapes.splits[split]
        for kind in ("images", "masks"):
            (root / kind / name).mkdir(parents=True)
        for index in range(len(part)):
            Image.fromarray(part.sources[index]).save(root / "images" / name / f"{index}.png")
            Image.fromarray(part.masks.read(index)).save(root / "masks" / name / f"{index}.png")
    (root / "names.txt").write_text("\n".join(shapes.class_names))
    return root


@pytest.fixture(scope="module")
def photo(shapes, tmp_path_factory):
    file = tmp_path_factory.mktemp("photos") / "scene.png"
    Image.fromarray(shapes.splits["test"].sources[0]).resize((128, 96)).save(file)
    return file


def test_train_segmenter_hands_everything_over(command, run, folder, tmp_path, monkeypatch):
    seen = {}

    def train_segmenter(data, out, **arguments):
        seen.update(arguments, data=data, out=out)
        return run

    monkeypatch.setattr("kerasvision.recipes.train_segmenter", train_segmenter)
    options = "--image-size 64x96 --model unet --backbone none --weights none --augment none --ema 0"
    options += " --mixed-precision off --cache off --class-weights 1,2,0.5 --loss cross_entropy+dice"
    images = folder / "images"
    given = ("--masks", folder / "masks", "--class-names", folder / "names.txt", "--void", "2,255")
    code, out, err = command("train", "segmenter", images, tmp_path / "run", *options.split(), *given)
    assert code == 0 and not err
    assert f"run             {run.folder}" in out and "mean IoU" in out
    data = seen["data"]
    assert data.task == "segment" and data.image_size == (64, 96) and len(data.class_names) == 2
    wanted = {"backbone": None, "weights": None, "augment": None, "mixed_precision": False, "ema": None}
    wanted |= {"class_weights": [1.0, 2.0, 0.5], "loss": "cross_entropy+dice"}
    assert {name: seen[name] for name in wanted} == wanted
    assert seen["model"] == "unet" and seen["out"] == tmp_path / "run"


def test_train_segmenter_has_the_options_and_defaults_of_the_functions():
    from kerasvision.data import masks
    from kerasvision.recipes import train_segmenter

    def defaults(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    python = defaults(masks) | defaults(train_segmenter) | {"batch_size": 8, "image_size": "256"}
    python |= {"class_weights": "none", "masks": None}
    # Own backbones and their options, machines, and what is rare are for Python.
    left_out = {*("images", "cache_limit", "preprocessing", "options", "distribute")} | {
        "data",
        "out",
    }
    given = defaults(segmenting.segmenter)
    assert set(python) - left_out == set(given) - {"form", "annotations", "data", "out"}
    for name in set(python) - left_out:
        assert given[name] == python[name], name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--image-size", "64 by 64"), "must be a side in pixels, or HEIGHTxWIDTH"),
        (("--image-size", "70"), "multiples of 32"),
        (("--model", "unit"), "Did you mean `unet`"),
        (("--class-weights", "some"), "must be none, auto, or numbers with commas"),
        (("--masks", "nowhere"), "nowhere"),
    ],
)
def test_bad_options_are_refused_in_one_line(command, folder, tmp_path, options, message):
    code, out, err = command("train", "segmenter", folder / "images", tmp_path / "run", *options)
    assert code in (1, 2) and not out and message in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_is_no_masks_is_refused_in_one_line(command, photo, tmp_path):
    code, out, err = command("train", "segmenter", photo.parent, tmp_path / "run")
    assert code == 1 and not out and err.count("\n") == 1 and str(photo.parent) in err
    code, out, err = command("train", "segmenter", tmp_path / "nothing", tmp_path / "run")
    assert code == 1 and not out and "is not there" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_predict_prints_a_row_a_class_and_draws_and_saves(command, run, photo, tmp_path):
    arguments = (
        "predict",
        run.folder,
        photo,
        "--format",
        "csv",
        "--flip",
        "--scales",
        "1",
        "--scales",
        "1.5",
    )
    code, out, err = command(*arguments, "--draw", tmp_path / "drawn", "--save", tmp_path / "maps")
    assert code == 0 and not err
    rows = list(csv.DictReader(io.StringIO(out)))
    (found,) = run.predict(photo, flip=True, scales=(1.0, 1.5))
    assert tuple(rows[0]) == segmenting.COLUMNS
    assert {row["label"]: int(row["pixels"]) for row in rows} == found.pixels()
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1.0, abs=1e-5)
    assert Image.open(tmp_path / "drawn" / "scene.jpg").size == (128, 96)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "maps" / "scene.png")), found.labels)
    code, out, _ = command("predict", run.folder, photo, "--mode", "sliding", "--overlap", "0.25")
    assert code == 0 and "share" in out


def test_evaluate_reads_masks(command, run, folder, shapes):
    code, out, err = command("evaluate", run.folder, folder, "--format", "json")
    assert code == 0 and not err
    judged = json.loads(out)
    assert judged["split"] == "test"
    assert judged["mean_iou"] == pytest.approx(run.evaluate(shapes).mean_iou, abs=1e-6)
    code, out, _ = command("evaluate", run.folder, folder, "--split", "validation", "--flip")
    assert code == 0 and "split           validation" in out and "boundary F" in out
    code, _, err = command("evaluate", run.folder, folder / "names.txt")
    assert code == 1 and "must be a folder or a JSON file" in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def elsewhere(folder, tmp_path_factory):
    """The test scenes with masks elsewhere, in which a share of the last class is called 7."""
    root = tmp_path_factory.mktemp("elsewhere")
    for kind in ("photos", "drawn"):
        (root / kind).mkdir()
    for file in sorted((folder / "images" / "test").iterdir()):
        (root / "photos" / file.name).write_bytes(file.read_bytes())
        mask = np.asarray(Image.open(folder / "masks" / "test" / file.name)).copy()
        mask[:8, :8] = 7
        Image.fromarray(mask).save(root / "drawn" / file.name)
    return root


def test_evaluate_is_told_how_masks_are_read(command, run, elsewhere):
    places = ("evaluate", run.folder, elsewhere / "photos", "--masks", elsewhere / "drawn")
    code, out, err = command(*places)
    assert code == 1 and not out and err.count("\n") == 1
    assert "holds the value 7 on 64 pixels" in err and "`--class-names`" in err and "`--void`" in err
    assert "->" not in err and "--on-bad-file skip; `kerasvision check` lists" in err
    code, _, err = command(*places, "--on-bad-file", "skip")
    assert code == 1 and "--on-bad-file" not in err and "Nothing is left without" in err
    names = [*run.labels, *(f"other {i}" for i in range(len(run.labels), 7)), "unlabelled"]
    void = ",".join(["unlabelled", *names[len(run.labels) : 7]])
    told = {}
    for options in (("--void", "7"), ("--class-names", ",".join(names), "--void", void)):
        code, out, err = command(*places, *options, "--format", "json")
        assert code == 0, err
        told[options[0]] = json.loads(out)
    assert told["--void"] == told["--class-names"]
    read = run.read(elsewhere / "photos", masks=elsewhere / "drawn", void=7)
    assert told["--void"]["mean_iou"] == pytest.approx(run.evaluate(read).mean_iou, abs=1e-9)
    assert sum(read.splits["train"].masks.void) == 64 * len(read.splits["train"])


def test_masks_on_photos_as_they_are_stored(command, run, tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (48, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{index}.jpg", exif=exif)
        Image.fromarray(pixels[..., 0] // 86).save(tmp_path / f"masks/{index}.png")
    code, _, err = command("evaluate", run.folder, tmp_path)
    assert code == 1 and "Pass --mask-orientation stored if all masks do" in err
    code, out, err = command("evaluate", run.folder, tmp_path, "--mask-orientation", "stored")
    assert code == 0 and "mean IoU" in out
    code, _, err = command("evaluate", run.folder, tmp_path, "--mask-orientation", "sideways")
    assert code == 1 and "`--mask-orientation` must be" in err
    for index in range(3):
        colours = np.random.default_rng(index).integers(0, 2, (80, 48, 3)).astype(np.uint8) * 255
        Image.fromarray(colours).save(tmp_path / f"masks/{index}.png")
    code, _, err = command("evaluate", run.folder, tmp_path)
    assert code == 1 and "Pass `--colours`: " in err and "or a file with a name and a colour a line" in err


def test_options_that_do_not_go_with_a_run_are_refused(command, run, photo, trained, photos, folder):
    for opened, options, message in (
        (run.folder, ("--top", "2"), "`--top` does not go with this run"),
        (run.folder, ("--threshold", "0.5"), "`--threshold` does not go with this run"),
        (run.folder, ("--mode", "tiles"), '`--mode` must be "whole" or "sliding"'),
        (run.folder, ("--scales", "0"), "`--scales` must be factors"),
        (trained, ("--save", "x"), "`--save` does not go with this run"),
        (trained, ("--flip",), "`--flip` does not go with this run"),
    ):
        code, out, err = command("predict", opened, photo, *options)
        assert code == 1 and not out and message in err and err.count("\n") == 1
    code, _, err = command("evaluate", trained, photos, "--overlap", "0.5")
    assert code == 1 and "`--overlap` does not go with this run" in err
    options = ("--masks", "--class-names", "--colours", "--void", "--mask-orientation", "--annotations")
    for option in options:
        code, _, err = command("evaluate", trained, photos, option, "coco")
        assert code == 1 and f"`{option}` does not go with this run" in err
    code, _, err = command("export", trained, folder / "x", "--output", "labels")
    assert code == 1 and "`--output` does not go with this run" in err and not (folder / "x").exists()


def test_export_of_a_segmenter(command, run, photo, tmp_path):
    arguments = ("--format", "tflite", "--output", "labels", "--output-size", "96")
    code, out, err = command("export", run.folder, tmp_path / "phone", *arguments)
    assert code == 0 and not err and "passed" in out
    (file,) = (tmp_path / "phone").glob("*.tflite")
    code, out, err = command("predict", file, photo, "--format", "csv")
    assert code == 0 and not err and tuple(out.splitlines()[0].split(",")) == segmenting.COLUMNS
