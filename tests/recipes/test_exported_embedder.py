"""Files of embedders embed, verify and judge as the run does that they were made from, in a gallery, too."""

import json
from dataclasses import replace

import numpy as np
import pytest
from embedder_training import badges, train
from PIL import Image

from kerasvision.cli.main import run as command
from kerasvision.embedding import Gallery
from kerasvision.errors import ExportError, KerasvisionError
from kerasvision.export import EmbeddingSource
from kerasvision.recipes.exported import ExportedEmbedder, open_exported

SIZE = 32


@pytest.fixture(scope="module")
def images():
    return badges()


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    return train(images, tmp_path_factory.mktemp("embedder") / "run", epochs=4)


@pytest.fixture(scope="module")
def phone(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phone") / "files"
    loose = {"accuracy_change": 0.1, "false_accept_factor": 3.0}
    return run.export(
        folder, formats=("saved_model", "tflite", "onnx"), quantize=(None, "int8"), tolerance=loose
    )


@pytest.fixture(scope="module")
def people(images, tmp_path_factory):
    """Return a folder with a folder of photos of four identities."""
    folder = tmp_path_factory.mktemp("people")
    labels = np.asarray(images.splits["test"].labels)
    for person in np.unique(labels)[:4]:
        (folder / f"person {person}").mkdir()
        chosen = np.flatnonzero(labels == person)[:3]
        for place, photo in zip(chosen, images.images("test", chosen), strict=True):
            Image.fromarray(photo).resize((64, 48)).save(folder / f"person {person}" / f"{place}.png")
    return folder


def test_what_it_knows_is_the_runs(run, phone):
    for file in phone.files:
        opened = open_exported(file.path)
        assert isinstance(opened, ExportedEmbedder) and opened.finds == "embeddings"
        for name in ("distance", "threshold", "false_accept_rate", "preprocessing"):
            assert getattr(opened, name) == getattr(run, name), name
        assert (opened.fingerprint == run.fingerprint) == (file.quantize is None)


def test_it_embeds_verifies_and_judges_as_the_run_does(run, phone, people, images):
    photos = sorted(map(str, people.rglob("*.png")))
    expected, judged = run.embed(photos), run.evaluate(images, "test")
    for file in phone.files:
        opened = open_exported(file.path)
        found = opened.embed(photos)
        cosines = (found * expected).sum(1)
        assert cosines.min() > (0.9 if file.quantize else 0.99999)
        mine, theirs = run.verify(*photos[:2]), opened.verify(*photos[:2])
        assert theirs.threshold == mine.threshold
        assert theirs.distance == pytest.approx(mine.distance, abs=0.3 if file.quantize else 1e-3)
        assert theirs.false_accept_rate == run.false_accept_rate
        if file.quantize is None:
            again = opened.evaluate(images, "test")
            assert again.verification.auc == pytest.approx(judged.verification.auc, abs=2e-3)
            assert again.threshold == run.threshold


def test_a_gallery_goes_from_a_run_to_its_float_files_and_to_no_other(run, phone, people, tmp_path):
    file = tmp_path / "people.gallery"
    Gallery.build(run, people).save(file)
    who = sorted(people.glob("*/*.png"))[0]
    for exported in phone.files:
        opened = open_exported(exported.path)
        if exported.quantize is not None:
            with pytest.raises(KerasvisionError):
                Gallery.load(file, opened)
            own = Gallery.build(opened, people)
            assert own.identify(str(who)).candidates[0].name == who.parent.name
            continue
        found = Gallery.load(file, opened).identify(str(who))
        assert found.candidates[0].name == who.parent.name
        assert found.candidates[0].distance == pytest.approx(0, abs=1e-3)


def test_the_command_line_knows_embedders(run, phone, people, tmp_path, capsys):
    photos = sorted(map(str, people.rglob("*.png")))[:2]
    file = str(phone.files[1].path)
    assert command(["predict", file, *photos, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    expected = run.verify(*photos)
    assert row["distance"] == pytest.approx(expected.distance, abs=1e-3)
    assert row["threshold"] == pytest.approx(run.threshold, abs=1e-6)
    assert command(["evaluate", file, str(people), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == run.threshold
    assert command(["predict", file, *photos, "--draw", str(tmp_path)]) == 1
    assert "compares images" in capsys.readouterr().err
    out = tmp_path / "out"
    arguments = ["export", str(run.folder), str(out), "--format", "tflite", "--quantize", "none"]
    assert command(arguments) == 0
    assert "true accepts" in capsys.readouterr().out
    assert len(list(out.glob("*.tflite"))) == 1


def test_certificates_are_in_the_report(run, phone):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    for file in phone.files:
        assert file.path.name in page
    assert "Cosine, least" in page and "False accepts, file" in page


def test_a_file_without_facts_says_so(run, people, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KERASVISION_QUIET", raising=False)
    run.model.save(tmp_path / "bare.keras")
    opened = open_exported(tmp_path / "bare.keras")
    assert "does not say how vectors are compared" in capsys.readouterr().err
    photos = sorted(map(str, people.rglob("*.png")))[:2]
    with pytest.raises(ExportError, match="does not say its threshold. Give `threshold=`"):
        opened.verify(*photos)
    assert opened.verify(*photos, threshold=2.0).same
    with pytest.raises(ExportError, match="Judge `.embed.images.` by kerasvision.metrics.judge_embeddings"):
        opened.evaluate(people)
    gallery = Gallery.build(opened, people)
    assert gallery.identify(photos[0], threshold=0.1).name is not None
    with pytest.raises(KerasvisionError, match="`threshold` must be a distance"):
        gallery.identify(photos[0])
    assert opened.distance == "euclidean" and len(opened.fingerprint) == 64


def test_the_source_of_a_run_and_its_fingerprint(run, images):
    source = run.export_source()
    assert isinstance(source, EmbeddingSource)
    assert source.fingerprint == run.fingerprint
    assert replace(source, fingerprint=None).fingerprint == run.fingerprint
    assert len(np.unique(run.export_source(images).identities)) > 1
