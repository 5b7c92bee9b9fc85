"""The folder for the app developer."""

import json
import re

import numpy as np
import pytest
from export_helpers import CLASSES, SIZE
from PIL import Image

from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import ExportSource, export, open_file

NAMES = {
    "README.md",
    "kerasvision_export.json",
    "labels.txt",
    "preprocessing.json",
    "saved_model",
    "saved_model.certificate.json",
    "tiny_float32.tflite",
    "tiny_float32.tflite.certificate.json",
    "tiny_int8.tflite",
    "tiny_int8.tflite.certificate.json",
}


@pytest.fixture
def folder(source, tmp_path):
    export(source, tmp_path / "phone", quantize=(None, "int8"))
    return tmp_path / "phone"


def test_the_folder_holds_what_was_asked_for(source, folder):
    assert {path.name for path in folder.iterdir()} == NAMES
    assert (folder / "labels.txt").read_text(encoding="utf-8").splitlines() == list(CLASSES)
    settings = Preprocessing.from_dict(files.read_json(folder / "preprocessing.json"))
    assert settings == source.preprocessing
    manifest = json.loads((folder / "kerasvision_export.json").read_text())
    for name, digest in manifest["files"].items():
        assert files.sha256(folder / name) == digest


def test_only_the_kind_that_was_asked_for_is_written(source, tmp_path):
    bundle = export(source, tmp_path, formats=["tflite"], quantize="int8")
    assert [file.path.name for file in bundle.files] == ["tiny_int8.tflite"]
    assert bundle["tiny_int8.tflite"].quantize == "int8"
    assert "tiny_int8.tflite (tflite int8" in str(bundle)
    with pytest.raises(KeyError, match="tiny_int8.tflite"):
        bundle["tiny.tflite"]


def test_exporting_again_replaces_our_files_and_leaves_others(source, folder):
    (folder / "notes.txt").write_text("mine")
    export(source, folder, formats=["tflite"], quantize="int8")
    assert (folder / "notes.txt").read_text() == "mine"
    assert {path.name for path in folder.iterdir()} == {*NAMES, "notes.txt"}
    assert set(json.loads((folder / "kerasvision_export.json").read_text())["files"]) >= {"saved_model"}


@pytest.mark.parametrize("name", ["README.md", "labels.txt", "tiny_float32.tflite", "saved_model"])
def test_files_of_the_user_stop_it_before_anything_is_written(source, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ExportError, match=f"{name} is there already"):
        export(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_note_that_was_edited_is_not_replaced(source, folder):
    (folder / "README.md").write_text("my own words")
    with pytest.raises(ExportError, match="was changed since"):
        export(source, folder)
    assert (folder / "README.md").read_text() == "my own words"


def test_when_one_file_fails_the_others_are_exported(source, tmp_path):
    with pytest.raises(CertificateError, match="1 of the files") as caught:
        export(source, tmp_path, quantize=(None, "int8"), tolerance={"max_difference": 1e-4})
    assert "tiny_int8.tflite: " in str(caught.value)
    assert "Exported and certified: saved_model, tiny_float32.tflite." in str(caught.value)
    assert caught.value.certificate.file == "tiny_int8.tflite"
    assert not (tmp_path / "tiny_int8.tflite").exists()
    assert "tiny_int8" not in (tmp_path / "README.md").read_text()
    assert open_file(tmp_path / "tiny_float32.tflite").labels == CLASSES


@pytest.mark.parametrize(
    "options, message",
    [
        ({"formats": "tflite"}, "`formats` must be some of"),
        ({"formats": ()}, "`formats` must be some of"),
        ({"formats": ("coreml",)}, "`formats` must be some of"),
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"quantize": ()}, "`quantize` must be"),
        ({"formats": ("saved_model",), "quantize": "int8"}, '`quantize` needs "tflite"'),
    ],
)
def test_wrong_arguments_are_told(source, tmp_path, options, message):
    with pytest.raises(ExportError, match=message):
        export(source, tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_the_python_code_of_the_note_gives_the_certified_answer(
    source, tmp_path, resize, monkeypatch, rng, capsys
):
    settings = Preprocessing(SIZE, resize)
    own = ExportSource(
        source.model, source.labels, settings, source.calibration, source.images, source.targets
    )
    export(own, tmp_path, formats=["tflite"], quantize="int8")
    small = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(small).resize((70, 50)).save(tmp_path / "photo.jpg", quality=95)
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    found = np.array(capsys.readouterr().out.replace("[", "").replace("]", "").split(), np.float32)
    expected = open_file("tiny_int8.tflite")(settings.read("photo.jpg")[None])[0]
    np.testing.assert_allclose(found, expected, atol=2e-2)
