import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from recipe_helpers import CLASSES, toy_data, train

from kerasvision.data import Samples
from kerasvision.errors import BadImageError, CertificateError, DataError, RunError
from kerasvision.files import read_json
from kerasvision.recipes import Run


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("run") / "shades")


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory):
    """A folder of class folders with lossless pictures of the model's size."""
    folder = tmp_path_factory.mktemp("photos")
    images = data.images("validation", range(len(data.splits["validation"])))
    for number, (image, label) in enumerate(zip(images, data.splits["validation"].labels, strict=True)):
        (folder / CLASSES[label]).mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / CLASSES[label] / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def answers(run, photos):
    """What Keras itself says, in the order of the sorted files."""
    images = np.stack([np.asarray(Image.open(p)) for p in sorted(photos.rglob("*.png"))])
    return run.model.predict(images.astype("float32"), verbose=0)


def test_the_converted_model_is_kept_and_follows_the_model(run, photos, answers, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(run.folder, folder)
    wanted = [p.top for p in Run.load(folder).predict(photos, engine="litert")]
    (kept,) = (folder / "cache").glob("predict-*/backbone.tflite")
    code = (
        "import sys; from kerasvision.recipes import Run\n"
        f"found = Run.load({str(folder)!r}).predict({str(photos)!r})\n"
        "print(len(found), found[0].label, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(wanted)), CLASSES[answers[0].argmax()], "False"]
    model = Run.load(folder).model
    model.get_layer("predictions").bias.assign([0.0, 0.0, 50.0])
    model.save(folder / "model.keras")  # another model: the kept file must not answer for it
    assert {p.label for p in Run.load(folder).predict(photos, engine="litert")} == {"light"}
    assert kept.is_file()


@pytest.mark.parametrize("engine", ["graph", "litert"])
def test_predict_on_a_folder_equals_keras(run, photos, answers, engine):
    found = Run.load(run.folder).predict(photos, top=3, engine=engine)
    assert [p.name for p in found] == [str(p) for p in sorted(photos.rglob("*.png"))]
    for prediction, row in zip(found, answers, strict=True):
        assert prediction.label == CLASSES[row.argmax()]
        assert prediction.probability == pytest.approx(row.max(), abs=1e-4)
        assert dict(prediction.top) == pytest.approx(dict(zip(CLASSES, row, strict=True)), abs=1e-4)
        assert [p for _, p in prediction.top] == sorted((p for _, p in prediction.top), reverse=True)


def _kinds(photos):
    file = sorted(photos.rglob("*.png"))[0]
    array = np.asarray(Image.open(file))
    return {
        "path": file,
        "text": str(file),
        "list": [file],
        "pattern": str(file.parent / file.name.replace(file.stem, file.stem[0] + "*")),
        "array": array,
        "batch": array[None],
        "pil": Image.open(file),
        "bytes": file.read_bytes(),
        "mixed": [array, file, Image.fromarray(array)],
        "generator": (x for x in [file]),
    }


KINDS = ["path", "text", "list", "pattern", "array", "batch", "pil", "bytes", "mixed", "generator"]


@pytest.mark.parametrize("kind", KINDS)
def test_predict_takes(run, photos, answers, kind):
    found = run.predict(_kinds(photos)[kind])
    assert found
    assert found[0].probability == pytest.approx(answers[0].max(), abs=1e-4)
    if kind == "mixed":
        assert len({(p.label, round(p.probability, 4)) for p in found}) == 1


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("nowhere.jpg", BadImageError, "nowhere.jpg: is not there"),
        ("nowhere/*.jpg", DataError, "No file matches 'nowhere/\\*.jpg'"),
        ([], DataError, "`images` holds no images"),
        (3, DataError, "`images` must be paths.*Received: int"),
    ],
)
def test_predict_refuses(run, images, error, message):
    with pytest.raises(error, match=message):
        run.predict(images)


def test_bad_files_are_named_or_skipped(run, photos, tmp_path):
    good = sorted(photos.rglob("*.png"))[0]
    (tmp_path / "a.png").write_bytes(good.read_bytes())
    (tmp_path / "b.png").write_bytes(b"this is text")
    (tmp_path / "c.png").write_bytes(good.read_bytes())
    with pytest.raises(BadImageError, match=r"b\.png"):
        run.predict(tmp_path)
    found = run.predict(tmp_path, on_bad_file="skip")
    assert [p.name[-5:] for p in found] == ["a.png", "c.png"]
    assert found[0].top == found[1].top
    with pytest.raises(DataError, match='`on_bad_file` must be "raise" or "skip"'):
        run.predict(tmp_path, on_bad_file="ignore")


def test_evaluate_gives_what_training_measured(run, data, photos):
    for judged in (run.evaluate(data), run.evaluate(photos)):
        assert judged.accuracy == pytest.approx(run.metrics["accuracy"])
        assert judged.confusion.tolist() == run.metrics["confusion"]


def test_evaluate_goes_by_the_names_of_classes(run, data):
    """The same images with the classes in another order."""
    from dataclasses import replace

    names = ("light", "dark", "grey")
    part = data.splits["validation"]
    labels = np.array([names.index(CLASSES[label]) for label in part.labels])
    other = replace(data, class_names=names, splits={"validation": Samples(part.sources, labels, part.names)})
    assert run.evaluate(other).confusion.tolist() == run.metrics["confusion"]
    unknown = replace(other, class_names=("light", "dark", "pink"))
    with pytest.raises(DataError, match="does not know: pink. It knows dark, grey, light"):
        run.evaluate(unknown)
    with pytest.raises(DataError, match="`split` must be one of validation. Received: 'test'"):
        run.evaluate(other, "test")


def test_load_says_what_is_wrong(run, tmp_path):
    with pytest.raises(RunError, match="is not a run: it has no run.json"):
        Run.load(tmp_path)
    (tmp_path / "run.json").write_text((run.folder / "run.json").read_text())
    with pytest.raises(RunError, match="lacks model.keras, preprocessing.json, metrics.json"):
        Run.load(tmp_path)
    for name in ("preprocessing.json", "metrics.json"):
        (tmp_path / name).write_text((run.folder / name).read_text())
    (tmp_path / "model.keras").write_bytes(b"half a file")
    with pytest.raises(RunError, match="model.keras cannot be read"):
        _ = Run.load(tmp_path).model


def test_it_shows_itself(run):
    assert repr(run).startswith(f"Run({str(run.folder)!r}): resnet_small, 3 classes, accuracy")
    page = run._repr_html_()
    assert "resnet_small" in page
    assert "<script" not in page


def test_a_folder_of_exported_files_is_told_from_a_run(tmp_path):
    with pytest.raises(RunError, match="Give the folder"):
        Run.load(tmp_path)
    (tmp_path / "m.tflite").touch()
    with pytest.raises(RunError, match="exported files; name one of them: .*m.tflite"):
        Run.load(tmp_path)


def test_export_puts_certificates_into_the_report(run, tmp_path):
    bundle = run.export(tmp_path / "phone", formats=("tflite",))
    (file,) = bundle.files
    assert file.certificate.passed
    assert file.certificate.count == len(run.samples.images)
    page = (run.folder / "report.html").read_text()
    assert file.path.name in page
    assert (run.folder / "certificates" / f"{file.path.name}.json").is_file()


def test_a_failed_certificate_stands_in_the_report_beside_those_that_passed(run, tmp_path):
    with pytest.raises(CertificateError, match="not exported"):
        run.export(tmp_path / "phone", quantize="int8", tolerance={"max_difference": 0.0})
    kept = {path.name: read_json(path)["passed"] for path in (run.folder / "certificates").iterdir()}
    assert kept["saved_model.json"] is True
    assert [name for name, passed in kept.items() if not passed] == [f"{run.model.name}_int8.tflite.json"]
    assert not (tmp_path / "phone" / f"{run.model.name}_int8.tflite").exists()
    assert "failed" in (run.folder / "report.html").read_text().lower()


def test_export_source_can_take_other_images(run, data):
    own, other = run.export_source(), run.export_source(toy_data(seed=8))
    assert own.labels == other.labels == CLASSES
    assert own.images.shape[1:] == other.images.shape[1:]
    assert not np.array_equal(own.images[:3], other.images[:3])
