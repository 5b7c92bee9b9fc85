"""The degradation experiment on tiny images: what is measured, kept, gone on with, and shown."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from recipe_helpers import toy_data

from kerasvision.data import from_arrays
from kerasvision.errors import DataError, KerasvisionError, RunError
from kerasvision.models import entry, registry, resnet_cifar
from kerasvision.recipes import DegradationStudy, degradation, degradation_problem, degradation_training
from kerasvision.recipes.degradation_page import findings
from kerasvision.recipes.degradation_study import NetworkCurves

HERE = Path(__file__).resolve().parent
SMALL = {"networks": ("plainnet8", "resnet8"), "epochs": 4, "batch_size": 16, "learning_rate": 0.02}


def register_small_networks():
    """Make networks of 8 layers known by name: those of the paper with the smallest depth there is."""
    for name, twin, shortcut in (("PlainNet8", "plainnet20", None), ("ResNet8", "resnet20", "A")):
        setattr(resnet_cifar, name, resnet_cifar._residual(8, shortcut=shortcut))
        known = replace(entry(twin), name=name.lower(), built_by=f"resnet_cifar:{name}")
        registry._BY_NAME[known.name] = known


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    register_small_networks()
    yield
    for name in ("PlainNet8", "ResNet8"):
        delattr(resnet_cifar, name)
        del registry._BY_NAME[name.lower()]


def small_data():
    return toy_data(60, side=8, validation_fraction=0.0, test_fraction=0.2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study; tests must not change it."""
    return degradation(small_data(), tmp_path_factory.mktemp("degradation") / "study", **SMALL)


def shown(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_each_network_has_its_curves_and_files(study):
    assert [curve.name for curve in study.curves] == ["plainnet8", "resnet8"] and study.finished
    for curve in study.curves:
        folder = study.folder / curve.name
        assert {p.name for p in folder.iterdir()} == {"history.csv", "model.keras"}
        rows = list(csv.DictReader((folder / "history.csv").open()))
        assert [float(row["training_error"]) for row in rows] == pytest.approx(
            curve.training_errors, abs=1e-5
        )
        assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
        # The rate drops at half and at three quarters of 4 epochs of 3 steps.
        assert [row["learning_rate"] for row in curve.history] == pytest.approx([0.02, 0.02, 0.002, 0.0002])
        assert curve.status == curve.outcome == "trained" and curve.guessing == pytest.approx(2 / 3)
    assert study["plainnet8"].parameters == study["resnet8"].parameters
    assert study["resnet8"].training_errors[-1] < 0.5, "it has learned nothing"


def test_errors_are_those_of_the_kept_network(study):
    data = small_data()
    for curve in study.curves:
        model = keras.models.load_model(study.folder / curve.name / "model.keras")
        wrong = {}
        for split in ("train", "test"):
            labels = data.splits[split].labels
            answers = model.predict(data.images(split, range(len(labels))), verbose=0)
            wrong[split] = np.mean(answers.argmax(1) != labels)
        assert curve.clean_training_error == pytest.approx(wrong["train"], abs=1e-6)
        assert curve.test_errors[-1] == pytest.approx(wrong["test"], abs=1e-6)


def test_table_text_and_page(study):
    rows = study.table()
    assert [row["name"] for row in rows] == ["plainnet8", "resnet8"]
    assert rows[1]["training_error"] == study["resnet8"].training_errors[-1] and rows[1]["epochs"] == 4
    assert "resnet8" in str(study) and "outcome" in str(study)
    page = (study.folder / "report.html").read_text()
    for text in ("plainnet8", "Clean training error", "SGD, momentum 0.9", study.findings[0]):
        assert text in page
    assert "<script" not in page and study._repr_html_().startswith("<div")
    assert ElementTree.parse(study.folder / "degradation.svg").getroot().tag.endswith("svg")
    assert (study.folder / "degradation.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_is_loaded_as_it_was(study):
    again = DegradationStudy.load(study.folder)
    assert again == study and again["resnet8"].test_errors == study["resnet8"].test_errors
    with pytest.raises(KerasvisionError, match="`name` must be one of plainnet8, resnet8. Received: 'vgg'"):
        again["vgg"]
    with pytest.raises(RunError, match="holds no degradation study"):
        DegradationStudy.load(study.folder / "plainnet8")


def test_further_networks_join_and_finished_ones_are_not_trained_again(tmp_path, monkeypatch):
    opened, real = [], degradation_training.open_training

    def spy(variant, *rest):
        opened.append(variant.name)
        return real(variant, *rest)

    monkeypatch.setattr(degradation_training, "open_training", spy)
    settings = SMALL | {"epochs": 1, "networks": ("plainnet8",)}
    degradation(small_data(), tmp_path, **settings)
    both = degradation(small_data(), tmp_path, **settings | {"initializers": ("he_normal", "glorot_uniform")})
    assert opened == ["plainnet8", "plainnet8-glorot_uniform"]
    assert [curve.name for curve in both.curves] == opened
    degradation(small_data(), tmp_path, **settings)
    assert len(opened) == 2
    spread = [
        keras.models.load_model(tmp_path / name / "model.keras").get_layer("conv4_block1_2_conv").kernel
        for name in opened
    ]
    # He: 2 / fan_in, Glorot: 2 / (fan_in + fan_out), here half; one short epoch changes little of it.
    assert np.var(spread[0]) / np.var(spread[1]) == pytest.approx(2, rel=0.1)


def test_a_network_that_diverges_is_a_result_and_the_others_go_on(tmp_path):
    wild = SMALL | {"networks": ("plainnet8",), "epochs": 2, "learning_rate": 100.0}
    study = degradation(small_data(), tmp_path, **wild, batch_norms=(False, True))
    bad, good = study["plainnet8-no_batchnorm"], study["plainnet8"]
    assert (bad.status, bad.history, bad.diverged["epoch"]) == ("diverged", (), 1)
    assert bad.outcome == f"diverged in epoch 1, step {bad.diverged['step']}"
    assert good.status == "trained" and len(good.history) == 2
    assert study.finished and f"plainnet8-no_batchnorm: {bad.outcome}." in study.findings
    assert not (tmp_path / bad.name / "checkpoints").exists()
    assert "diverged in epoch 1" in (tmp_path / "degradation.svg").read_text()
    json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)  # no NaN in it
    assert degradation(small_data(), tmp_path, **wild, batch_norms=(False, True)) == study


@pytest.mark.parametrize(
    "interrupt_at",
    [pytest.param(4, marks=pytest.mark.slow), 11, pytest.param(27, marks=pytest.mark.slow)],
)
def test_interrupted_anywhere_it_ends_the_same(tmp_path, study, monkeypatch, interrupt_at):
    real, batches = degradation_training.TrainAndTest.iterate, iter(range(1, interrupt_at + 1))

    def interrupted(self, split, **options):
        for batch in real(self, split, **options):
            if next(batches, None) is None:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(degradation_training.TrainAndTest, "iterate", interrupted)
    monkeypatch.setattr(degradation_training.Plan, "checkpoint_seconds", 0.0)
    with pytest.raises(KeyboardInterrupt):
        degradation(small_data(), tmp_path, **SMALL)
    monkeypatch.setattr(degradation_training.TrainAndTest, "iterate", real)
    unfinished = DegradationStudy.load(tmp_path)
    assert not unfinished.finished and "at epoch" in unfinished["resnet8"].outcome
    found = degradation(small_data(), tmp_path, **SMALL)
    for curve, whole in zip(found.curves, study.curves, strict=True):
        for row, wanted in zip(shown(curve.history), shown(whole.history), strict=True):
            assert row == pytest.approx(wanted, abs=1e-3)


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
import test_degradation as tests
from kerasvision.training import Plan
Plan.checkpoint_seconds = 0.1
tests.register_small_networks()
tests.degradation(tests.small_data(), sys.argv[2], **tests.SMALL)
"""


@pytest.mark.slow
def test_killed_it_goes_on(tmp_path, study):
    out, command = tmp_path / "study", [sys.executable, "-c", KILLED, str(HERE), str(tmp_path / "study")]
    environment = os.environ | {"KERASVISION_QUIET": "1", "PYTHONPATH": str(HERE.parent.parent)}
    for wanted in (1, 3):  # killed when so many epochs of plainnet8 are written
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if (out / "results.json").exists():
                if len(DegradationStudy.load(out)["plainnet8"].history) >= wanted:
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    found = degradation(small_data(), out, **SMALL)
    for curve, whole in zip(found.curves, study.curves, strict=True):
        for row, wanted in zip(shown(curve.history), shown(whole.history), strict=True):
            assert row == pytest.approx(wanted, abs=1e-3)
    assert not list(out.rglob("*.part*"))


def curves(network, error, initializer="he_normal", batch_norm=True, status="trained"):
    history = ({"epoch": 1, "training_error": error, "test_error": error, "seconds": 1.0},)
    name = degradation_training.Variant(network, initializer, batch_norm).name
    return NetworkCurves(name, network, initializer, batch_norm, 1, 0.9, status, history=history)


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [
        (
            ("plainnet20", 0.1),
            ("plainnet56", 0.25),
            "plainnet56 ends at 25.0\u00a0% training error, 15.0 points above the 10.0\u00a0% of plainnet20: "
            "the deeper one fits its own training images worse, which is degradation.",
        ),
        (
            ("plainnet20", 0.1),
            ("plainnet56", 0.108),
            "plainnet56 ends at 10.8\u00a0% training error, 0.8 points above the 10.0\u00a0% of plainnet20: "
            "the deeper one fits its own training images worse.",
        ),
        (
            ("resnet56", 0.05),
            ("resnet20", 0.1),
            "resnet56 ends at 5.0\u00a0% training error, 5.0 points below the 10.0\u00a0% of resnet20: the "
            "deeper one fits its training images better.",
        ),
        (
            ("plainnet56", 0.25),
            ("resnet56", 0.05),
            "resnet56 ends at 5.0\u00a0% training error, 20.0 points below the 25.0\u00a0% of plainnet56.",
        ),
        (("plainnet20", 0.1), ("resnet56", 0.05), None),  # they differ in two things
        (("plainnet20", 0.1), ("plainnet56", 0.2, "glorot_uniform"), None),
        (
            ("plainnet56", 0.2),
            ("plainnet56", 0.3, "glorot_uniform"),
            "plainnet56-glorot_uniform ends at 30.0\u00a0% training error, 10.0 points above the "
            "20.0\u00a0% of plainnet56.",
        ),
        (("plainnet56", 0.2), ("plainnet56", 0.3, "glorot_uniform", False), None),
        (("plainnet20", 0.1), ("plainnet56", 0.2, "he_normal", True, "training"), None),
    ],
)
def test_findings_compare_what_differs_in_one_thing(one, two, wanted):
    assert findings((curves(*one), curves(*two))) == ((wanted,) if wanted else ())


def test_a_network_that_learned_nothing_is_called_so():
    stuck = curves("plainnet56", 0.895, batch_norm=False)
    assert stuck.outcome == "trained, learned nothing"
    assert findings((stuck,)) == ("plainnet56-no_batchnorm: trained, learned nothing.",)
    worse = curves("plainnet110", 0.92, batch_norm=False)
    assert not any("degradation" in sentence for sentence in findings((stuck, worse)))


def test_the_penalty_is_on_kernels_and_every_variable_is_moved():
    variant = degradation_training.Variant("resnet20", "he_normal", True)
    model = degradation_training.build_network(variant, classes=3, image_size=(8, 8), seed=0)
    given = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    kernels, others = degradation_training.make_groups(model, given)
    assert (kernels.l2, others.l2) == (1e-4, 0.0)
    assert {v.name for v in kernels.variables} == {"kernel"} and len(kernels.variables) == 20
    assert {v.name for v in others.variables} == {"gamma", "beta", "bias"}
    assert len(kernels.variables) + len(others.variables) == len(model.trainable_variables)


def test_initial_weights_are_of_the_seed():
    variant = degradation_training.Variant("plainnet20", "he_normal", True)
    build = degradation_training.build_network
    kernels = [
        build(variant, classes=3, image_size=(8, 8), seed=s).get_layer("conv1_conv").kernel for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.1


def test_large_data_are_read_batch_by_batch(monkeypatch):
    data, order = small_data(), np.array([3, 1, 4, 1, 5])
    held = degradation_training.TrainAndTest(data, "test")
    monkeypatch.setattr(degradation_training, "IN_MEMORY", 0)
    read = degradation_training.TrainAndTest(data, "test")
    assert read.pixels == {"train": None, "validation": None} and held.pixels["train"] is not None
    for split in ("train", "validation"):
        pairs = zip(
            held.iterate(split, batch_size=2, order=order),
            read.iterate(split, batch_size=2, order=order),
            strict=True,
        )
        for (images, labels), (other_images, other_labels) in pairs:
            np.testing.assert_array_equal(images, other_images)
            np.testing.assert_array_equal(labels, other_labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"networks": ()}, r"`networks` must be a list of one or more. Received: \(\)"),
        ({"networks": "resnet20"}, "`networks` must be a list of one or more. Received: 'resnet20'"),
        ({"networks": ("resnet21",)}, "Did you mean .*`resnet20`"),
        ({"networks": ("mobilenet_v2",)}, "`networks` must be networks with the options `initializer` and"),
        (
            {"initializers": ("he",)},
            "`initializers` must be of 'he_normal', 'glorot_uniform'. Received: 'he'",
        ),
        ({"batch_norms": ("on",)}, r"`batch_norms` must be True, False, or both. Received: \('on',\)"),
        ({"epochs": 0}, "`epochs` must be a whole number from 1. Received: 0"),
        ({"momentum": 1.0}, "`momentum` must be a number from 0 to below 1. Received: 1.0"),
        ({"warmup_epochs": -1}, "`warmup_epochs` must be a number from 0"),
        ({"epochs": 2, "warmup_epochs": 3}, "`warmup_epochs` must be at most `epochs`. Received: 3 of 2"),
        ({"augment": "pad_corp"}, "`augment` must be names .* did you mean 'pad_crop'"),
        ({"mixed_precision": "half"}, "`mixed_precision` must be"),
    ],
)
def test_bad_arguments_are_seen_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        degradation(small_data(), tmp_path / "study", **SMALL | arguments)
    assert not (tmp_path / "study").exists()


def test_data_without_held_out_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="no test images and no validation images.*test_fraction=0.2"):
        degradation(toy_data(12, side=8, validation_fraction=0.0), tmp_path / "study")
    with pytest.raises(DataError, match="`data` must be a `VisionData`"):
        degradation(np.zeros((3, 8, 8, 3)), tmp_path / "study")


def test_another_budget_and_other_data_are_refused(study):
    with pytest.raises(RunError, match=r"other arguments: `epochs` 4 -> 5"):
        degradation(small_data(), study.folder, **SMALL | {"epochs": 5})
    other = toy_data(60, side=8, seed=1, validation_fraction=0.0, test_fraction=0.2)
    with pytest.raises(RunError, match="data are not those"):
        degradation(other, study.folder, **SMALL)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(RunError, match="holds files but no degradation study: photo.jpg"):
        degradation(small_data(), tmp_path, **SMALL)
    (tmp_path / "results.json").write_text('{"kind": "lesions"}')
    with pytest.raises(RunError, match="is not that of a degradation study"):
        degradation(small_data(), tmp_path, **SMALL)


def test_the_defaults_are_those_of_the_paper():
    from inspect import signature

    defaults = {name: p.default for name, p in signature(degradation).parameters.items()}
    assert defaults["epochs"] == round(64_000 / np.ceil(45_000 / defaults["batch_size"]))
    settings = ("learning_rate", "momentum", "weight_decay", "batch_size", "augment", "warmup_epochs")
    assert [defaults[name] for name in settings] == [0.1, 0.9, 1e-4, 128, "pad_crop+flip", 0.0]
    assert degradation_training.DROPS == (32 / 64, 48 / 64)
    assert set(degradation_problem.NETWORKS) < set(defaults)


@pytest.mark.slow
@pytest.mark.realdata
def test_on_cifar_a_deep_plain_network_falls_behind_from_the_start(real_data, tmp_path):
    """Lossless training images; the test images are JPEG of quality 75, so errors are not the paper's."""
    train = np.load(real_data / "cifar10_train_lossless_4000.npz")
    packed = np.load(real_data / "cifar10_test_jpeg.npz")
    chosen, jpeg, offsets = slice(0, None, 50), packed["jpeg"], packed["offsets"]  # sorted by class
    encoded = [jpeg[offsets[i] : offsets[i + 1]].tobytes() for i in range(10_000)[chosen]]
    from io import BytesIO

    from PIL import Image

    images = np.stack([np.asarray(Image.open(BytesIO(e)).convert("RGB")) for e in encoded])
    data = from_arrays(
        train["images"][:1000],
        train["labels"][:1000].astype(int),
        [str(name) for name in train["class_names"]],
        test=(images, packed["labels"][chosen].astype(int)),
        validation_fraction=0.0,
    )
    short = {"epochs": 3, "batch_size": 32, "learning_rate": 0.03}
    study = degradation(data, tmp_path / "study", networks=("plainnet20", "plainnet56"), **short)
    shallow, deep = study.curves
    assert shallow.training_errors[-1] < 0.82 and shallow.test_errors[-1] < 0.88
    assert deep.training_errors[-1] > shallow.training_errors[-1] + 0.05
    assert "which is degradation" in study.findings[0]
