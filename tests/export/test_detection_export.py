"""Detectors of all four families as files of every format, with decoding and NMS inside."""

import json
from pathlib import Path

import numpy as np
import pytest
from detector_helpers import LABELS, NAMES, SIZE, pictures, small_detector, small_source

from kerasvision import files
from kerasvision._litert import LiteRTModel
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.detection import find
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import (
    DetectionCertificate,
    DetectionSource,
    Selection,
    benchmark,
    export_detector,
    lint,
    open_file,
    read_metadata,
    rehearse_detector,
    verify,
)
from kerasvision.export.detection_certificate import compare_detections
from kerasvision.export.detection_runner import DetectionRunner, to_detections
from kerasvision.metrics import Detections


@pytest.fixture(scope="module")
def source():
    return small_source("ssd300")


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector") / "phone"
    return export_detector(source, folder, quantize=(None, "float16", "dynamic", "int8"))


def check_equal(source, runner) -> None:
    """Fail unless a file gives the boxes of `find` to 1e-4."""
    expected = find(source.detector, source.images, **source.selection.to_dict())
    figures = compare_detections(expected, runner(source.images), (SIZE, SIZE), source.selection.threshold)
    assert figures["boxes_model"] > 20
    assert figures["same"] == 1.0
    assert figures["max_score_difference"] < 1e-4
    assert figures["max_box_difference"] < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_tflite_finds_what_keras_finds(name, tmp_path):
    source = small_source(name)
    exported = export_detector(source, tmp_path, formats=("tflite",)).files[0]
    assert exported.certificate.passed
    runner = open_file(exported.path)
    check_equal(source, runner)
    assert (runner.labels, runner.preprocessing) == (LABELS, Preprocessing(SIZE))
    report = lint(exported.path)
    assert report.problems == ()
    assert report.operations["NON_MAX_SUPPRESSION_V5"] == 1
    assert {"WHILE", "IF"}.isdisjoint(report.operations)


@pytest.mark.slow
@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_format_finds_what_keras_finds(name, per_class, tmp_path):
    source = small_source(name, per_class=per_class)
    made = export_detector(source, tmp_path, formats=("saved_model", "tflite", "onnx"))
    assert len(made.files) == 3
    for file in made.files:
        check_equal(source, open_file(file.path))
        assert verify(file.path, source).passed


def test_the_folder_holds_what_an_app_needs(source, bundle):
    assert [file.path.name for file in bundle.files] == [
        "saved_model",
        "ssd300_float32.tflite",
        "ssd300_float16.tflite",
        "ssd300_dynamic.tflite",
        "ssd300_int8.tflite",
    ]
    assert (bundle.folder / "labels.txt").read_text(encoding="utf-8").splitlines() == list(LABELS)
    for file in bundle.files:
        assert isinstance(open_file(file.path), DetectionRunner)
        proof = DetectionCertificate.load(file.path)
        assert proof == file.certificate
        assert DetectionCertificate.from_dict(json.loads(json.dumps(proof.to_dict()))).recall == proof.recall
        assert 0 < proof.ap_model < 1
        assert abs(proof.ap_file - proof.ap_model) < 0.02
        assert verify(file.path, source).recall == proof.recall
    sizes = {file.quantize: file.size for file in bundle.files if file.format == "tflite"}
    assert sizes["float16"] < 0.6 * sizes[None]
    assert max(sizes["dynamic"], sizes["int8"]) < 0.35 * sizes[None]


@pytest.mark.parametrize("kind", [None, "float16", "dynamic", "int8"])
def test_a_tflite_file_is_what_it_says(bundle, kind):
    path = bundle.folder / f"ssd300_{kind or 'float32'}.tflite"
    report = lint(path)
    assert report.quantize == kind
    assert report.problems == ()
    assert list(report.outputs) == ["boxes", "classes", "scores", "count"]
    assert [info.shape for info in report.outputs.values()] == [(1, 20, 4), (1, 20), (1, 20), (1,)]
    assert {info.dtype for info in report.outputs.values()} == {"float32"}
    assert report.inputs["image"].dtype == ("uint8" if kind == "int8" else "float32")
    found = read_metadata(path)
    assert found.labels == LABELS
    assert found.outputs == ("location", "category", "score", "number of detections")


def test_boxes_are_shares_of_the_input(source, bundle):
    answer = LiteRTModel(bundle.folder / "ssd300_float32.tflite")(source.images[:3])
    for index, expected in enumerate(source.reference[:3]):
        count = int(answer["count"][index])
        assert 0 < count == len(expected)
        ymin, xmin, ymax, xmax = answer["boxes"][index, :count].T * SIZE
        np.testing.assert_allclose(np.stack([xmin, ymin, xmax, ymax], 1), expected.boxes, atol=1e-3)
        for name in ("boxes", "classes", "scores"):
            assert not answer[name][index, count:].any(), "zero from count on"


def test_a_saved_model_takes_any_batch_and_photos(source, bundle):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(bundle.folder / "saved_model"))
    for count in (1, 3):
        found = loaded.serve(tf.cast(source.images[:count], tf.float32))
        assert found["boxes"].shape == (count, 20, 4)
        assert found["classes"].dtype == found["count"].dtype == tf.int32
        names = [label.decode() for label in found["labels"][0].numpy()]
        number = int(found["count"][0])
        assert names[:number] == [LABELS[k] for k in found["classes"][0].numpy()[:number]]
        assert set(names[number:]) <= {""}


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_boxes_of_encoded_photos_lie_on_the_photo(resize, tmp_path):
    import io

    import tensorflow as tf
    from PIL import Image

    made = small_source("yolo_v1")
    settings = Preprocessing(SIZE, resize)
    source = DetectionSource(
        made.detector, LABELS, settings, made.calibration, made.images, None, made.selection
    )
    export_detector(source, tmp_path, formats=("saved_model",))
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    photo = np.asarray(Image.fromarray(source.images[0]).resize((150, 90)))
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "PNG")
    found = loaded.serve_bytes(tf.constant([stream.getvalue()]))
    # Not `settings.read`: pixels may differ by a level, and scores of an untrained network lie close.
    pixels = loaded.preprocess(tf.constant([stream.getvalue()]))["images"].numpy()
    (inside,) = find(source.detector, pixels, **source.selection.to_dict())
    expected = Detections(settings.unplace(inside.boxes, photo.shape[:2]), inside.labels, inside.scores)
    found = {name: value.numpy() for name, value in found.items()}
    figures = compare_detections([expected], to_detections(found, photo.shape[:2]), photo.shape[:2], 0.3)
    assert figures["boxes_model"] >= 5
    assert figures["same"] == 1.0


def test_a_file_of_other_weights_is_refused(source, bundle, tmp_path):
    other = DetectionSource(
        small_detector("ssd300", seed=5),
        LABELS,
        source.preprocessing,
        source.calibration,
        source.images,
        source.truth,
        source.selection,
    )
    for file in bundle.files:
        with pytest.raises(CertificateError, match="boxes"):
            verify(file.path, other)


def test_a_refused_file_leaves_nothing(source, tmp_path):
    folder = tmp_path / "phone"
    with pytest.raises(
        CertificateError, match="only .* of the boxes are the same, needed are 100.0%"
    ) as caught:
        export_detector(source, folder, formats=("tflite",), quantize="int8", tolerance={"same": 1.0})
    assert caught.value.certificate.quantize == "int8"
    assert not list(folder.glob("*.tflite*"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(("same", "kind"), [(0.0, "int8"), (0.97, "float16")])
def test_auto_is_the_smallest_that_passes(source, tmp_path, same, kind):
    made = export_detector(source, tmp_path, formats=("tflite",), quantize="auto", tolerance={"same": same})
    assert [file.quantize for file in made.files] == [kind]
    assert [path.name for path in tmp_path.glob("*.tflite")] == [f"ssd300_{kind}.tflite"]
    assert kind in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("coreml",)}, "`formats` must be some of"),
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"formats": ("saved_model",), "quantize": "auto"}, '`quantize` needs "tflite"'),
        ({"tolerance": {"agreement": 0.9}}, "`tolerance` must map same, recall, precision, ap_drop"),
    ],
)
def test_wrong_arguments_are_told(source, tmp_path, options, message):
    with pytest.raises(ExportError, match=message):
        export_detector(source, tmp_path / "phone", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["README.md", "ssd300_int8.tflite"])
def test_files_of_the_user_stop_it_before_anything_is_written(source, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ExportError, match=f"{name} is there already"):
        export_detector(source, tmp_path, quantize="auto")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_calibration_is_asked_for(source, tmp_path):
    from dataclasses import replace

    without = replace(source, calibration=source.calibration[:0])
    with pytest.raises(ExportError, match="`calibration` must be given"):
        export_detector(without, tmp_path, formats=("tflite",), quantize="int8")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ("a", "b")}, "`labels` must be 3 names"),
        ({"labels": ("a", "a", "b")}, "must be different"),
        ({"preprocessing": Preprocessing(32)}, "`preprocessing` must resize to the detector's"),
        ({"images": np.zeros((2, 32, 32, 3), np.uint8)}, "`images` must be uint8 pixels"),
        ({"truth": []}, "`truth` must have one entry"),
        ({"detector": "ssd300"}, "`detector` must be a kerasvision.detection.Detector"),
    ],
)
def test_a_source_that_does_not_fit(source, changed, message):
    from dataclasses import replace

    with pytest.raises(ExportError, match=message):
        replace(source, **changed)


@pytest.mark.parametrize("wrong", [{"most": 0}, {"overlap": 0.0}, {"threshold": 1.0}, {"most": True}])
def test_selections_out_of_range(wrong):
    with pytest.raises(ExportError, match="must be"):
        Selection(**wrong)


def test_the_python_code_of_the_note_runs(source, bundle, tmp_path, monkeypatch, capsys):
    from PIL import Image

    text = (bundle.folder / "README.md").read_text(encoding="utf-8")
    assert "ymin, xmin, ymax, xmax" in text
    code = text.split("```python\n")[1].split("```")[0]
    Image.fromarray(source.images[0]).save(tmp_path / "photo.png")
    code = code.replace("photo.jpg", str(tmp_path / "photo.png"))
    monkeypatch.chdir(bundle.folder)
    exec(compile(code, "README.md", "exec"), {})
    rows = capsys.readouterr().out.strip().splitlines()
    (found,) = open_file(next(Path(".").glob("*int8.tflite")))(source.images[:1])
    assert len(rows) == len(found)
    for row, box, score in zip(rows, found.boxes, found.scores, strict=True):
        *_, shown, left, top, right, bottom = row.split()
        np.testing.assert_allclose([float(v) for v in (left, top, right, bottom)], box, atol=1e-3)
        assert float(shown) == pytest.approx(score, abs=1e-6)


def test_it_is_rehearsed_without_weights():
    operations = rehearse_detector(small_detector("ssd300"))
    assert operations["NON_MAX_SUPPRESSION_V5"] == 1
    assert operations["CONV_2D"] > 5


@pytest.mark.slow
def test_latency_of_a_detector(bundle):
    assert benchmark(bundle.folder / "ssd300_int8.tflite", threads=(1,), runs=2).timings[0].p50 > 0


def test_a_certificate_says_why_it_failed(source, bundle):
    proof = bundle["ssd300_int8.tflite"].certificate
    assert "AP50" in str(proof) and "ssd300_int8.tflite (tflite int8" in str(proof)
    assert set(proof.per_class) == set(LABELS)
    assert files.sha256(bundle.folder / proof.file) == proof.sha256
    assert pictures(1).shape == (1, SIZE, SIZE, 3)
