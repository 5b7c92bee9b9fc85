"""A study of lesions: goes on where it was, refuses what does not belong to it, and shows what it found."""

import dataclasses
import re
import shutil

import keras
import numpy as np
import pytest

from kerasvision.data import from_arrays
from kerasvision.errors import DataError, RunError
from kerasvision.explain import delete_each, delete_random, gradient_by_path_length, path_lengths
from kerasvision.files import read_json, write_json
from kerasvision.models import classifier
from kerasvision.recipes import LesionStudy, lesion_study
from kerasvision.recipes.lesion_results import RESULTS

NAMES = ("cat", "dog", "owl")
SMALL = {
    "counts": (1, 2, 9),
    "repeats": 2,
    "swaps": (1,),
    "permutations": 2,
    "gradient_samples": 8,
    "images": 12,
}


def small_data(names=NAMES, seed=0, count=40):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 16, 16, 3), np.uint8)
    labels = np.arange(count) % len(names)
    return from_arrays(images, labels, names, validation_fraction=0.0, test_fraction=0.5)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return classifier("resnet_small", classes=3, image_size=16, width=16, blocks=(2, 2))


@pytest.fixture(scope="module")
def data():
    return small_data()


@pytest.fixture(scope="module")
def finished(model, data, tmp_path_factory):
    return lesion_study(model, data, tmp_path_factory.mktemp("studies") / "whole", **SMALL)


def test_results_are_those_of_the_functions(finished, model, data):
    chosen = data.class_balanced("test", 12, 0)
    task = data.images("test", chosen), data.splits["test"].labels[chosen]
    assert finished.each == delete_each(model, *task)
    assert finished.random == delete_random(model, *task, counts=(1, 2), repeats=2)
    assert [row.swaps for row in finished.permuted.permutations] == [1, 1]
    assert finished.gradients.means == pytest.approx(
        gradient_by_path_length(model, *task, samples=8).means, rel=1e-4
    )
    assert sum(finished.effective.shares) == pytest.approx(1) and len(path_lengths(4)) == 5
    assert finished.results["status"] == "finished" and finished.results["data"]["split"] == "test"
    assert "Without one of the 3 modules that keep the size" in repr(finished)


def test_page_and_plots(finished):
    page = (finished.folder / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "<script" not in page
    loaded = re.findall(r'(?:src|href)="(?!#|data:)([^"]+)"', page)
    assert set(loaded) == {"https://arxiv.org/abs/1605.06431"}  # a link; nothing is loaded
    names = ("each", "random", "permuted", "lengths", "gradients", "effective")
    for name in names:
        assert f'id="{name}"' in page
        assert all(
            (finished.folder / f"lesions_{name}.{kind}").stat().st_size > 1000 for kind in ("svg", "png")
        )
    assert all(row.name in page for row in finished.each.modules)
    assert "9 left out: there are 4 modules" in page
    assert page.count("<svg") == len(names)
    assert "<svg" in finished._repr_html_()


def test_goes_on_where_it_was(finished, model, data, tmp_path, monkeypatch):
    from kerasvision.recipes import lesions

    calls, write = [], lesions.write_results

    def interrupted(folder, state):
        write(folder, state)
        if len(state["parts"]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lesions, "write_results", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lesion_study(model, data, tmp_path, **SMALL)
    assert list(read_json(tmp_path / RESULTS)["parts"]) == ["each", "random 1"]
    monkeypatch.setattr(lesions, "write_results", lambda f, s: (calls.append(len(s["parts"])), write(f, s)))
    study = lesion_study(model, data, tmp_path, **SMALL)
    assert calls == [3, 4, 5, 5]  # what was there is not measured again
    assert (study.each, study.random, study.permuted) == (finished.each, finished.random, finished.permuted)
    assert study.gradients == finished.gradients
    lesion_study(model, data, tmp_path, **SMALL)
    assert calls == [3, 4, 5, 5]


def test_what_does_not_belong_to_a_study_is_refused(finished, model, data, tmp_path):
    with pytest.raises(RunError, match=r"other arguments: `repeats` 2 -> 3\. Call it with the old ones"):
        lesion_study(model, data, finished.folder, **{**SMALL, "repeats": 3})
    other = classifier("resnet_small", classes=3, image_size=16, width=16, blocks=(2, 2))
    with pytest.raises(RunError, match="a study of another model"):
        lesion_study(other, data, finished.folder, **SMALL)
    with pytest.raises(RunError, match="a study of another data"):
        lesion_study(model, small_data(seed=1), finished.folder, **SMALL)
    with pytest.raises(RunError, match=r"holds no lesion study: it has no results\.json"):
        _ = LesionStudy(tmp_path).each
    for content, message in (
        ({"kind": "degradation"}, "is not that of a lesion study"),
        ({"kind": "lesions", "format": 99}, "has format 99"),
    ):
        write_json(tmp_path / RESULTS, content)
        with pytest.raises(RunError, match=message):
            lesion_study(model, data, tmp_path, **SMALL)


def test_files_of_others_are_left_alone(model, data, tmp_path):
    """A run folder has a report.html too."""
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(RunError, match="holds files but no lesion study: report.html"):
        lesion_study(model, data, tmp_path, **SMALL)
    assert (tmp_path / "report.html").read_text() == "mine" and len(list(tmp_path.glob("[!.]*"))) == 1


def test_a_lost_page_is_written_again(finished, model, data, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "copy")
    (tmp_path / "copy" / "report.html").unlink()
    lesion_study(model, data, tmp_path / "copy", **SMALL)
    page = (tmp_path / "copy" / "report.html").read_text()
    assert page == (finished.folder / "report.html").read_text()


def test_other_names_of_the_classes_are_another_study(finished, model, data):
    with pytest.raises(RunError, match="a study of another data"):
        lesion_study(model, data, finished.folder, class_names=NAMES[::-1], **SMALL)


def test_classes_are_matched_by_name(model, tmp_path):
    """The same images under the names of another order give the same errors."""
    data, turned = small_data(), small_data(names=("owl", "cat", "dog"))
    places = np.array([NAMES.index(name) for name in turned.class_names])
    small = {**SMALL, "counts": (), "swaps": (), "gradient_samples": 0, "images": 100}
    study = lesion_study(model, turned, tmp_path / "a", class_names=NAMES, **small)
    task = turned.images("test", range(20)), places[turned.splits["test"].labels]
    assert study.each == delete_each(model, *task)
    assert study.random is study.permuted is study.gradients is study.effective is None
    with pytest.raises(DataError, match="classes that the model does not know: dog"):
        lesion_study(model, data, tmp_path / "b", class_names=("cat", "cow", "owl"), **small)
    with pytest.raises(DataError, match=r"has 3 classes, `data` 2"):
        lesion_study(model, small_data(names=("a", "b")), tmp_path / "c", **small)


def test_a_plain_network(tmp_path):
    keras.utils.set_random_seed(0)
    model = classifier("plainnet20", classes=3, image_size=16)
    study = lesion_study(model, small_data(), tmp_path, **SMALL)
    assert study.permuted is study.gradients is None and len(study.random.counts) == 3
    assert {row.shortcut for row in study.each.modules} == {"none"}
    assert "removable layers that keep the size" in (tmp_path / "report.html").read_text()


WRONG = {
    "images": ({"images": 0}, ValueError, "`images` must be a whole number"),
    "counts": ({"counts": (0,)}, ValueError, "`counts` must be a list of whole numbers at least 1"),
    "one count": ({"counts": 3}, ValueError, "`counts` must be a list of whole numbers .* Received: 3"),
    "swaps": ({"swaps": "1-4"}, ValueError, "`swaps` must be a list .* Received: '1-4'"),
    "samples": (
        {"gradient_samples": -1},
        ValueError,
        "`gradient_samples` must be a whole number, at least 0",
    ),
    "seed": ({"seed": -1}, ValueError, "`seed` must be a whole number, at least 0"),
    "batch": ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number, at least 1"),
    "split": ({"split": "validation"}, DataError, "`split` must be one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(model, data, tmp_path, case):
    changed, kind, message = WRONG[case]
    with pytest.raises(kind, match=message):
        lesion_study(model, data, tmp_path / "study", **{**SMALL, **changed})
    assert not (tmp_path / "study").exists()


def feature_free():
    image = keras.Input((4,))
    return keras.Model(image, keras.layers.Dense(3)(image))


def test_wrong_models_and_data(model, data, tmp_path):
    with pytest.raises(ValueError, match="there is no run folder and no file"):
        lesion_study(tmp_path / "gone.keras", data, tmp_path / "study")
    (tmp_path / "bad.keras").write_text("nothing")
    with pytest.raises(ValueError, match="cannot be read as a Keras model"):
        lesion_study(tmp_path / "bad.keras", data, tmp_path / "study")
    with pytest.raises(ValueError, match=r"must be a Run, .* Received: int"):
        lesion_study(3, data, tmp_path / "study")
    with pytest.raises(DataError, match="must be a VisionData for classification or a folder"):
        lesion_study(model, [1, 2], tmp_path / "study")
    with pytest.raises(DataError, match="Received: detect"):
        lesion_study(model, dataclasses.replace(data, task="detect"), tmp_path / "study")
    with pytest.raises(ValueError, match="must take one batch of images"):
        lesion_study(feature_free(), data, tmp_path / "study")
    large = classifier("resnet_small", classes=3, image_size=24)
    with pytest.raises(DataError, match=r"has images of \(16, 16\), the model takes \(24, 24\)"):
        lesion_study(large, data, tmp_path / "study")


@pytest.fixture(scope="module")
def cifar(real_data):
    """The real ResNet-56 and 500 of the JPEG test images, as arrays, and their labels."""
    from kerasvision.data.decoding import open_image
    from kerasvision.models import pretrained

    model = pretrained("resnet56", real_data / "cifar_resnet56.safetensors")
    packed = np.load(real_data / "cifar10_test_jpeg.npz")
    jpeg, offsets = packed["jpeg"], packed["offsets"]
    chosen = np.arange(0, 10_000, 20)  # they lie in order of their classes
    images = [np.asarray(open_image(jpeg[offsets[i] : offsets[i + 1]].tobytes())) for i in chosen]
    return model, np.stack(images), packed["labels"][chosen].astype("int32")


@pytest.mark.slow
@pytest.mark.realdata
def test_the_real_resnet56(cifar):
    """As in the paper: single modules hardly matter, the downsampling ones do, and more hurt smoothly.

    Measured on 2,000 images: 17.2 % whole; 17.3 to 24.9 % without one module that keeps the size, but 38.0 %
    without conv2_block8; 50.7 and 36.0 % without conv3_block1 and conv4_block1.
    """
    model, images, labels = cifar
    each = delete_each(model, images, labels, batch_size=100)
    quiet = [row.error for row in each.modules if not row.downsampling]
    loud = {row.name: row.error for row in each.modules if row.downsampling}
    assert each.baseline == pytest.approx(0.17, abs=0.04)
    assert len(quiet) == 25 and sum(error > each.baseline + 0.12 for error in quiet) == 1
    assert np.median(quiet) < each.baseline + 0.06
    assert set(loud) == {"conv3_block1", "conv4_block1"}
    assert min(loud.values()) > each.baseline + 0.12 and max(loud.values()) > each.baseline + 0.25
    several = delete_random(model, images[::2], labels[::2], counts=(1, 5, 12), repeats=4, batch_size=100)
    means = [np.mean(row.errors) for row in several.counts]
    assert each.baseline < means[0] < means[1] < means[2] <= 0.95
    gradients = gradient_by_path_length(model, images, labels, lengths=(2, 8, 14, 20), samples=100)
    assert gradients.means[0] > gradients.means[1] > gradients.means[2] > gradients.means[3] > 0
