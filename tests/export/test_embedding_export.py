"""Embedders as files of every format, with preprocessing and normalisation inside."""

import io
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from detector_helpers import backbone
from embedder_helpers import DIMENSIONS, FALSE_ACCEPTS, SIZE, flags, small_embedder, source_of
from PIL import Image

from kerasvision import data
from kerasvision._litert import convert
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.embedding import SiameseNetwork, TripletNetwork, embedder, embedder_of
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import (
    EmbeddingCertificate,
    EmbeddingRunner,
    EmbeddingSource,
    as_source,
    benchmark,
    export,
    export_embedder,
    lint,
    open_file,
    read_metadata,
    rehearse_embedder,
    verify,
)
from kerasvision.export.embedding_note import embedding_note
from kerasvision.export.embedding_tflite import tflite_bytes
from kerasvision.export.metadata import add_embedder_metadata
from kerasvision.models import graph

KINDS = (None, "float16", "dynamic", "int8")
NAMES = ("saved_model", *(f"flags_{kind or 'float32'}.tflite" for kind in KINDS), "flags.onnx")


@pytest.fixture(scope="module")
def source() -> EmbeddingSource:
    return source_of(small_embedder())


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedder") / "phone"
    return export_embedder(source, folder, formats=("saved_model", "tflite", "onnx"), quantize=KINDS)


def keras_vectors(source, images) -> np.ndarray:
    """Return what Keras gives, not through anything of the export."""
    return source.model.predict(images.astype(np.float32), verbose=0)


def test_the_folder_holds_what_an_app_needs(source, bundle):
    assert tuple(file.path.name for file in bundle.files) == NAMES
    facts = json.loads((bundle.folder / "embedding.json").read_text())
    assert facts == {
        "dimensions": DIMENSIONS,
        "distance": "euclidean",
        "threshold": source.threshold,
        "false_accept_rate": FALSE_ACCEPTS,
        "fingerprint": source.fingerprint,
    }
    assert not (bundle.folder / "labels.txt").exists()
    manifest = json.loads((bundle.folder / "kerasvision_export.json").read_text())
    assert {"embedding.json", "preprocessing.json", "README.md"} <= set(manifest["files"])
    for file in bundle.files:
        proof = EmbeddingCertificate.load(file.path)
        assert proof == file.certificate and proof.passed and proof.task == "embed"
        assert EmbeddingCertificate.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof
        assert 0.6 < proof.true_accepts_model < 1, "the network was trained, so this proves something"
        assert proof.others_cosine < 0.5
        assert proof.mean_cosine > (0.98 if file.quantize else 0.9999)
        if file.quantize in (None, "int8"):
            assert verify(file.path, source).mean_cosine == proof.mean_cosine
    sizes = {file.quantize: file.size for file in bundle.files if file.format == "tflite"}
    assert sizes["float16"] < 0.6 * sizes[None]
    assert max(sizes["dynamic"], sizes["int8"]) < 0.4 * sizes[None]


def test_it_is_written_over_its_own_and_over_nothing_else(source, bundle, tmp_path):
    export_embedder(source, tmp_path, formats=("tflite",))
    export_embedder(source, tmp_path, formats=("tflite",))
    (tmp_path / "embedding.json").write_text("mine")
    with pytest.raises(ExportError, match="embedding.json is there already"):
        export_embedder(source, tmp_path, formats=("tflite",))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tflite_file_is_what_it_says(source, bundle, kind):
    path = bundle.folder / f"flags_{kind or 'float32'}.tflite"
    report = lint(path)
    assert (report.quantize, report.problems, report.remarks) == (kind, (), ())
    assert report.inputs["image"].dtype == ("uint8" if kind == "int8" else "float32")
    (output,) = report.outputs.values()
    assert (output.name, output.shape, output.dtype) == ("embedding", (1, DIMENSIONS), "float32")
    assert report.operations["L2_NORMALIZATION"] == 1
    found = read_metadata(path)
    assert (found.labels, found.outputs, found.mean, found.std) == ((), ("embedding",), (0.0,), (1.0,))
    assert found.description == "Embedder, 16 dimensions, euclidean distance. Photos are resized by: stretch."
    assert found.embedding["threshold"] == source.threshold
    assert found.embedding["distance"] == "euclidean"
    assert (found.embedding["fingerprint"] == source.fingerprint) == (kind is None)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_embeds_as_keras_does_and_says_how_to_compare(source, bundle, name):
    runner = open_file(bundle.folder / name)
    assert isinstance(runner, EmbeddingRunner)
    assert (runner.labels, runner.preprocessing) == ((), Preprocessing(SIZE))
    assert {**runner.facts, "fingerprint": None} == {**source.facts, "fingerprint": None}
    found, expected = runner(source.images), keras_vectors(source, source.images)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    if "dynamic" not in name and "int8" not in name:
        np.testing.assert_allclose(found, expected, atol=5e-3 if "float16" in name else 1e-5)


def test_quantised_files_have_fingerprints_of_their_own(source, bundle):
    prints = [open_file(bundle.folder / name).facts["fingerprint"] for name in NAMES]
    assert [p == source.fingerprint for p in prints] == [True, True, False, False, False, True]
    assert len(set(prints)) == 4
    again = read_metadata(tflite_bytes(source, "int8")).embedding["fingerprint"]
    assert again == prints[4], "the same model and images give the same file"
    other = replace(source, calibration=source.calibration[:20], fingerprint=None)
    assert read_metadata(tflite_bytes(other, "int8")).embedding["fingerprint"] != prints[4]


@pytest.mark.parametrize(
    "resize", ["crop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("stretch", "pad"))]
)
def test_encoded_photos_are_resized_inside_a_saved_model(source, resize, tmp_path):
    import tensorflow as tf

    settings = Preprocessing(SIZE, resize)
    export_embedder(replace(source, preprocessing=settings), tmp_path, formats=("saved_model",))
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    photos = []
    for image in source.images[:4]:
        stream = io.BytesIO()
        Image.fromarray(image).resize((120, 90)).save(stream, "PNG")
        photos.append(stream.getvalue())
    found = loaded.serve_bytes(tf.constant(photos))["embedding"].numpy()
    expected = keras_vectors(source, np.stack([settings.read(photo) for photo in photos]))
    assert (found * expected).sum(1).min() > 0.999


def test_aligned_faces_are_asked_for(source, tmp_path):
    import tensorflow as tf

    settings = Preprocessing(SIZE, alignment="arcface")
    made = export_embedder(
        replace(source, preprocessing=settings), tmp_path, formats=("saved_model", "tflite")
    )
    alignment = json.loads((tmp_path / "embedding.json").read_text())["alignment"]
    assert alignment["template"] == "arcface"
    np.testing.assert_allclose(alignment["points"][0], np.array([38.2946, 51.6963]) * SIZE / 112, atol=1e-3)
    found = read_metadata(made.files[1].path)
    assert found.embedding["alignment"] == alignment
    assert found.description.endswith("Faces are aligned to the template: arcface.")
    assert found.preprocessing["alignment"] == "arcface"
    for file in made.files:
        assert open_file(file.path).preprocessing == settings
        assert verify(file.path, replace(source, preprocessing=settings)).passed
        with pytest.raises(CertificateError, match="its photos are prepared by"):
            verify(file.path, source)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    stream = io.BytesIO()
    Image.fromarray(source.images[0]).resize((50, 50)).save(stream, "PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
        loaded.serve_bytes(tf.constant([stream.getvalue()]))
    text = (tmp_path / "README.md").read_text()
    assert "aligned to the template `arcface`" in text and "left corner of the mouth" in text


@pytest.mark.parametrize("template", ["arcface", "eyes"])
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_alignment_of_the_note_is_ours(source, template, scale, rng):
    settings = Preprocessing(SIZE, alignment=template)
    text = embedding_note(replace(source, preprocessing=settings), [])
    code = text.split("```python\n")[1].split("```")[0]
    space = {}
    exec(compile(code, "README.md", "exec"), space)
    small = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    photo = Image.fromarray(small).resize((240, 200), Image.Resampling.BICUBIC)
    turned = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    points = source_points(settings) @ turned * scale + (60, 50)
    expected = data.align(np.asarray(photo), points, image_size=SIZE, template=template)
    found = np.asarray(space["aligned"](photo, points))
    assert np.abs(found.astype(int) - expected).mean() < 2
    assert expected.std() > 10


def source_points(settings) -> np.ndarray:
    return data.alignment.template_points(settings.alignment, SIZE)


def _tflite_of(model, source, tmp_path, kind=None, **facts):
    file = tmp_path / "m.tflite"
    calibration = source.calibration if kind == "int8" else None
    made = convert(model, output_names=["embedding"], quantize=kind, calibration=calibration)
    file.write_bytes(add_embedder_metadata(made, name="m", description="", embedding=source.facts | facts))
    return file


@pytest.fixture(scope="module")
def other_weights():
    return small_embedder(epochs=3, seed=5)


@pytest.mark.parametrize("name", ["saved_model", "flags_float32.tflite", "flags_int8.tflite", "flags.onnx"])
def test_a_file_of_other_weights_is_refused(source, bundle, other_weights, name):
    with pytest.raises(CertificateError, match=r"the cosine with the model's embeddings is -?0\."):
        verify(bundle[name].path, replace(source, model=other_weights))


@pytest.mark.parametrize("kind", [None, "int8"])
def test_wrong_pixels_and_missing_normalisation_are_refused(source, tmp_path, kind):
    def twin(**options):
        model = embedder(backbone(), dimensions=DIMENSIONS, image_size=SIZE, **options)
        model.set_weights(source.model.get_weights())
        return model

    other_pixels = twin(preprocessing="tf")
    with pytest.raises(CertificateError, match="the cosine with the model's embeddings"):
        verify(_tflite_of(other_pixels, source, tmp_path, kind), source)
    raw = twin(preprocessing="zero_one", l2_normalize=False)
    with pytest.raises(CertificateError, match="lengths of embeddings differ by"):
        verify(_tflite_of(raw, source, tmp_path, kind), source)


def test_another_threshold_and_changed_bytes_are_refused(source, bundle, tmp_path):
    file = _tflite_of(source.model, source, tmp_path)
    assert verify(file, source).passed
    other = _tflite_of(source.model, source, tmp_path, threshold=0.5)
    with pytest.raises(CertificateError, match=r"its threshold is 0.5, the model's is"):
        verify(other, source)
    made = export_embedder(source, tmp_path / "x", formats=("tflite",)).files[0].path
    made.write_bytes(made.read_bytes() + b"\0")
    with pytest.raises(CertificateError, match="changed after its certificate was written"):
        verify(made, source)


def test_lint_speaks_of_what_is_missing(source, tmp_path):
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(convert(source.model, output_names=["embedding"]))
    assert "no metadata" in lint(bare).remarks[0]
    assert (
        "no threshold in the metadata"
        in lint(_tflite_of(source.model, source, tmp_path, threshold=None)).remarks[0]
    )
    assert (
        "speak of 3 dimensions" in lint(_tflite_of(source.model, source, tmp_path, dimensions=3)).problems[0]
    )


def test_another_kind_of_file_is_refused(source, bundle, tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(image))
    classifier = keras.Model(image, x)
    with pytest.raises(CertificateError, match="gives embeddings: the file was not made from this model"):
        verify(bundle.files[1].path, classifier, images=source.images, class_names=("a", "b", "c"))
    classifier.save(tmp_path / "classifier.keras")
    with pytest.raises(CertificateError, match="gives probabilities: the file was not made from this model"):
        verify(tmp_path / "classifier.keras", source)
    for call in (lambda: as_source(source), lambda: export(source, tmp_path / "x")):
        with pytest.raises(ExportError, match=r"Received an embedder .*export_embedder"):
            call()


def test_a_keras_file_gives_embeddings(source, tmp_path):
    source.model.save(tmp_path / "m.keras")
    runner = open_file(tmp_path / "m.keras")
    assert isinstance(runner, EmbeddingRunner) and runner.facts is None
    assert verify(tmp_path / "m.keras", source).least_cosine == pytest.approx(1)


def test_a_refused_file_leaves_nothing(source, tmp_path):
    folder = tmp_path / "phone"
    with pytest.raises(CertificateError, match="needed is 1 ") as caught:
        export_embedder(source, folder, formats=("tflite",), quantize="int8", tolerance={"mean_cosine": 1.0})
    assert caught.value.certificate.quantize == "int8"
    assert not list(folder.glob("*.tflite*"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_auto_is_the_smallest_that_passes(source, bundle, tmp_path):
    eight, half = (
        max(bundle[f"flags_{kind}.tflite"].certificate.mean_cosine for kind in kinds)
        for kinds in (("int8", "dynamic"), ("float16",))
    )
    assert eight < half
    for limit, kind in ((0.9, "int8"), ((eight + half) / 2, "float16")):
        folder = tmp_path / kind
        made = export_embedder(
            source, folder, formats=("tflite",), quantize="auto", tolerance={"mean_cosine": limit}
        )
        assert [file.quantize for file in made.files] == [kind]


@pytest.mark.slow
def test_vectors_that_are_not_scaled(tmp_path):
    raw = source_of(small_embedder(l2_normalize=False, name="raw"), "squared")
    made = export_embedder(raw, tmp_path, formats=("tflite",), quantize=(None, "int8"))
    for file in made.files:
        assert "L2_NORMALIZATION" not in lint(file.path).operations
        lengths = np.linalg.norm(open_file(file.path)(raw.images), axis=1)
        assert lengths.max() > 1.1 * lengths.min()
        assert file.certificate.distance == "squared"
    assert "**Threshold" in made.note.read_text() and "squared" in made.note.read_text()


@pytest.mark.parametrize("network", [SiameseNetwork, TripletNetwork])
def test_networks_that_compare_export_the_embedder_inside(source, network, tmp_path):
    whole = network(source.model)
    with pytest.raises(ExportError, match=r"Export the embedder inside: .*embedder_of\(model\)"):
        replace(source, model=whole)
    with pytest.raises(ExportError, match="embedder_of"):
        rehearse_embedder(whole)
    inside = replace(source, model=embedder_of(whole))
    made = export_embedder(inside, tmp_path, formats=("tflite",))
    np.testing.assert_allclose(
        open_file(made.files[0].path)(source.images[:4]), keras_vectors(source, source.images[:4]), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("coreml",)}, "`formats` must be some of"),
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"tolerance": {"recall": 0.9}}, "`tolerance` must map mean_cosine"),
    ],
)
def test_wrong_arguments_are_told(source, tmp_path, options, message):
    with pytest.raises(ExportError, match=message):
        export_embedder(source, tmp_path / "phone", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_no_embedder_is_told(tmp_path):
    with pytest.raises(ExportError, match="must be a run of an embedder or an EmbeddingSource"):
        export_embedder("faces.keras", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"preprocessing": Preprocessing(64)}, r"an embedder of images of \(64, 64, 3\)"),
        ({"images": np.zeros((2, 64, 64, 3), np.uint8)}, "`images` must be uint8 pixels"),
        ({"images": np.zeros((1, SIZE, SIZE, 3), np.uint8), "identities": None}, "`images` must be two"),
        ({"identities": np.zeros(3, int)}, r"`identities` must be \(96,\) whole numbers"),
        ({"distance": "manhattan"}, "`distance` must be one of"),
        ({"threshold": -1.0}, "`threshold` must be a distance"),
        ({"threshold": "1"}, "`threshold` must be a distance"),
        ({"false_accept_rate": 2.0}, "`false_accept_rate` must be from 0 to 1"),
        ({"model": "mobilenet_v2"}, "`model` must be an embedder"),
    ],
)
def test_a_source_that_does_not_fit(source, changed, message):
    with pytest.raises(ExportError, match=message):
        replace(source, **changed)


def test_maps_are_no_embedding(source):
    inside = graph.output_of(source.model, "c1_relu")
    with pytest.raises(ExportError, match="`model` must give embeddings"):
        replace(source, model=keras.Model(source.model.input, inside))


def test_calibration_is_asked_for(source, tmp_path):
    without = replace(source, calibration=source.calibration[:0])
    with pytest.raises(ExportError, match="`calibration` must be given"):
        export_embedder(without, tmp_path, formats=("tflite",), quantize="int8")


def test_mixed_precision_is_exported_in_float32(source):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = embedder(backbone(), dimensions=8, image_size=SIZE, preprocessing="zero_one")
    finally:
        keras.config.set_dtype_policy("float32")
    assert "bfloat16" in {layer.compute_dtype for layer in model.layers}
    made = replace(source, model=model, fingerprint=None)
    assert {layer.compute_dtype for layer in made.model.layers} == {"float32"}


def test_it_is_rehearsed_without_weights(source):
    operations = rehearse_embedder(source.model)
    assert operations["CONV_2D"] >= 5
    with pytest.raises(ExportError, match="fixed input size"):
        rehearse_embedder(
            keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
        )


@pytest.mark.parametrize("distance", ["euclidean", "squared", "cosine"])
def test_the_python_code_of_the_note_runs(source, distance, tmp_path, monkeypatch, capsys):
    from types import SimpleNamespace

    from kerasvision.metrics import pair_distances

    pytest.importorskip("ai_edge_litert")
    made = replace(source, distance=distance)
    (tmp_path / "flags.tflite").write_bytes(tflite_bytes(made, None))
    proof = SimpleNamespace(
        mean_cosine=1, least_cosine=1, **dict.fromkeys(("true_accepts_model", "false_accepts_model"))
    )
    proof.true_accepts_file = proof.false_accepts_file = None
    file = SimpleNamespace(path=tmp_path / "flags.tflite", format="tflite", size=1, certificate=proof)
    text = embedding_note(made, [file])
    assert "ImageEmbedder" in text and f"The distance is {distance}" in text
    code = next(part for part in text.split("```python\n")[1:] if "Interpreter" in part).split("```")[0]
    images, _ = flags((30, 31), each=1)
    for name, image in zip(("first", "second"), images, strict=True):
        # Photos that are lossless, whatever they are called.
        Image.fromarray(image).resize((96, 64)).save(tmp_path / f"{name}.jpg", "PNG")
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(compile(code, "README.md", "exec"), space)
    read = [Preprocessing(SIZE).read(tmp_path / f"{name}.jpg") for name in ("first", "second")]
    expected = pair_distances(keras_vectors(source, np.stack(read)), [0], [1], distance=distance)
    assert space["distance"] == pytest.approx(expected[0], abs=1e-2)
    verdict = "same" if expected[0] <= source.threshold else "different"
    assert capsys.readouterr().out.strip() == verdict


@pytest.mark.slow
def test_latency_of_an_embedder(bundle):
    timing = benchmark(bundle.folder / "flags_int8.tflite", threads=(1,), runs=2).timings[0]
    assert timing.p50 > 0
