"""Segmenters as files of every format, with softmax or argmax inside."""

import json
import os
from dataclasses import replace

import keras
import numpy as np
import pytest
from detector_helpers import backbone
from segmenter_helpers import LABELS, SIZE, scenes, small_segmenter, small_source

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import (
    SegmentationCertificate,
    SegmentationRunner,
    SegmentationSource,
    as_source,
    benchmark,
    export,
    export_segmenter,
    lint,
    open_file,
    read_metadata,
    rehearse_segmenter,
    verify,
)
from kerasvision.export.segmentation_tflite import tflite_bytes
from kerasvision.metrics import mean_iou
from kerasvision.metrics.segmentation import VOID
from kerasvision.segmentation import segmenter

KINDS = (None, "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def source() -> SegmentationSource:
    return small_source()


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter") / "phone"
    return export_segmenter(source, folder, quantize=KINDS)


def keras_logits(source, images) -> np.ndarray:
    """Return what Keras gives, not through anything of the export."""
    return source.model.predict(images.astype(np.float32), verbose=0)


def test_the_folder_holds_what_an_app_needs(source, bundle):
    assert [file.path.name for file in bundle.files] == [
        "saved_model",
        "unet_float32.tflite",
        "unet_float16.tflite",
        "unet_dynamic.tflite",
        "unet_int8.tflite",
    ]
    assert (bundle.folder / "labels.txt").read_text(encoding="utf-8").splitlines() == list(LABELS)
    for file in bundle.files:
        proof = SegmentationCertificate.load(file.path)
        assert proof == file.certificate and proof.passed and proof.task == "segment"
        assert SegmentationCertificate.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof
        assert (proof.output, proof.output_size, proof.count) == ("probabilities", (SIZE, SIZE), 12)
        assert 0.5 < proof.miou_model < 1, "the network was trained, so this proves something"
        assert abs(proof.miou_file - proof.miou_model) <= 0.02
        if file.quantize in (None, "int8"):
            assert verify(file.path, source).agreement == proof.agreement
    sizes = {file.quantize: file.size for file in bundle.files if file.format == "tflite"}
    assert sizes["float16"] < 0.6 * sizes[None]
    assert max(sizes["dynamic"], sizes["int8"]) < 0.35 * sizes[None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tflite_file_is_what_it_says(source, bundle, kind):
    path = bundle.folder / f"unet_{kind or 'float32'}.tflite"
    report = lint(path)
    assert (report.quantize, report.problems, report.remarks) == (kind, (), ())
    assert report.inputs["image"].dtype == ("uint8" if kind == "int8" else "float32")
    (output,) = report.outputs.values()
    assert (output.name, output.shape, output.dtype) == ("probabilities", (1, SIZE, SIZE, 3), "float32")
    assert report.operations["SOFTMAX"] == 1
    found = read_metadata(path)
    assert (found.labels, found.outputs) == (LABELS, ("probabilities",))
    runner = open_file(path)
    assert isinstance(runner, SegmentationRunner)
    assert (runner.labels, runner.preprocessing) == (LABELS, Preprocessing(SIZE))
    assert (runner.output, runner.output_size) == ("probabilities", (SIZE, SIZE))


@pytest.mark.parametrize("name", ["saved_model", "unet_float32.tflite"])
def test_float_files_equal_keras(source, bundle, name):
    logits = keras_logits(source, source.images)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    runner = open_file(bundle.folder / name)
    labels, probabilities = runner.answer(source.images)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert labels.dtype == np.uint8
    assert (labels == logits.argmax(-1)).mean() > 0.999
    np.testing.assert_array_equal(runner(source.images), labels)
    np.testing.assert_array_equal(runner.scores(source.images).argmax(-1), labels)
    assert runner(source.images[:0]).shape == (0, SIZE, SIZE)


@pytest.mark.parametrize("output", ["labels", "logits"])
def test_other_outputs_in_another_size(source, output, tmp_path):
    made = export_segmenter(
        source, tmp_path, quantize=(None, "int8"), output=output, output_size=(SIZE, 2 * SIZE)
    )
    logits = keras_logits(source, source.images)
    wide = keras.ops.image.resize(logits, (SIZE, 2 * SIZE), interpolation="bilinear").numpy()
    for file in made.files:
        runner = open_file(file.path)
        assert (runner.output, runner.output_size) == (output, (SIZE, 2 * SIZE))
        labels, probabilities = runner.answer(source.images)
        least = 0.99 if file.quantize else 0.9999
        assert (labels == wide.argmax(-1)).mean() > least
        assert (probabilities is None) == (output == "labels")
        assert file.certificate.output_size == (SIZE, 2 * SIZE)
        assert verify(file.path, source).passed, "a source of probabilities is asked for what the file gives"
        if output == "labels":
            assert file.certificate.max_difference is None
            with pytest.raises(ExportError, match="label maps only"):
                runner.scores(source.images)
        elif not file.quantize:
            np.testing.assert_allclose(runner.scores(source.images), wide, atol=1e-3)
    if output == "labels":
        (info,) = lint(tmp_path / "unet_int8.tflite").outputs.values()
        assert (info.dtype, info.shape) == ("uint8", (1, SIZE, 2 * SIZE))
        assert any("MediaPipe" in remark for remark in lint(tmp_path / "unet_int8.tflite").remarks)


def test_a_saved_model_takes_any_batch_and_photos_of_any_size(source, bundle):
    import io

    import tensorflow as tf
    from PIL import Image

    loaded = tf.saved_model.load(str(bundle.folder / "saved_model"))
    for count in (1, 3):
        found = loaded.serve(tf.cast(source.images[:count], tf.float32))
        assert found["labels"].shape == (count, SIZE, SIZE) and found["labels"].dtype == tf.uint8
        assert found["probabilities"].shape == (count, SIZE, SIZE, 3)
    for kind in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.fromarray(source.images[0]).resize((150, 90), Image.BICUBIC).save(stream, kind, quality=98)
        found = loaded.serve_photo(tf.constant(stream.getvalue()))
        assert found["labels"].shape == (90, 150) and found["probabilities"].shape == (90, 150, 3)
        truth = Image.fromarray(source.truth[0]).resize((150, 90), Image.NEAREST)
        assert mean_iou(np.asarray(truth), found["labels"].numpy(), 3) > 0.5
        batch = loaded.serve_bytes(tf.constant([stream.getvalue()] * 2))
        assert batch["labels"].shape == (2, SIZE, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_labels_of_encoded_photos_lie_on_the_photo(source, resize, tmp_path):
    """The photo's labels, brought back into the resized image, are those of the resized image."""
    import io

    import tensorflow as tf
    from PIL import Image

    settings = Preprocessing(SIZE, resize)
    export_segmenter(replace(source, preprocessing=settings), tmp_path, formats=("saved_model",))
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    agree = []
    for image in source.images[:6]:
        photo = np.asarray(Image.fromarray(image).resize((300, 180)))
        stream = io.BytesIO()
        Image.fromarray(photo).save(stream, "PNG")
        whole = loaded.serve_photo(tf.constant(stream.getvalue()))["labels"].numpy()
        assert whole.shape == (180, 300)
        cut = (whole == VOID).mean()
        assert cut == (pytest.approx(0.4, abs=0.01) if resize == "crop" else 0)
        inside = settings.read_mask(whole)
        expected = keras_logits(source, settings.read(photo)[None])[0].argmax(-1)
        agree.append((inside == expected)[inside != VOID].mean())
    assert np.mean(agree) > 0.98


def test_a_file_of_other_weights_is_refused(source, bundle):
    other = replace(source, model=small_segmenter("unet", steps=8, seed=5))
    for name in ("saved_model", "unet_float32.tflite", "unet_int8.tflite"):
        file = bundle[name]
        with pytest.raises(CertificateError, match="the same class at .* of the pixels"):
            verify(file.path, other)


def test_another_kind_of_file_is_refused(source, bundle, tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(image))
    classifier = keras.Model(image, x)
    with pytest.raises(CertificateError, match="gives label maps: the file was not made from this model"):
        verify(bundle.files[1].path, classifier, images=source.images, class_names=LABELS)
    classifier.save(tmp_path / "classifier.keras")
    with pytest.raises(CertificateError, match="gives probabilities: the file was not made from this model"):
        verify(tmp_path / "classifier.keras", source)
    for call in (lambda: as_source(source), lambda: export(source, tmp_path / "x")):
        with pytest.raises(ExportError, match=r"Received a segmenter .*export_segmenter"):
            call()


def test_a_keras_file_of_a_segmenter_gives_label_maps(source, tmp_path):
    source.model.save(tmp_path / "m.keras")
    runner = open_file(tmp_path / "m.keras")
    assert (runner.output, runner.output_size) == ("logits", (SIZE, SIZE))
    assert verify(tmp_path / "m.keras", source).agreement == 1.0


def test_a_refused_file_leaves_nothing(source, tmp_path):
    folder = tmp_path / "phone"
    with pytest.raises(CertificateError, match="needed are 100.00%") as caught:
        export_segmenter(source, folder, formats=("tflite",), quantize="int8", tolerance={"agreement": 1.0})
    assert caught.value.certificate.quantize == "int8"
    assert caught.value.certificate.task == "segment"
    assert not list(folder.glob("*.tflite*"))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_auto_is_the_smallest_that_passes(source, bundle, tmp_path):
    int8, half = (bundle[f"unet_{kind}.tflite"].certificate for kind in ("int8", "float16"))
    assert int8.mean_difference > 2 * half.mean_difference
    for limit, kind in ((1.0, "int8"), (half.mean_difference * 1.5, "float16")):
        folder = tmp_path / kind
        made = export_segmenter(
            source, folder, formats=("tflite",), quantize="auto", tolerance={"mean_difference": limit}
        )
        assert [file.quantize for file in made.files] == [kind]
        assert [path.name for path in folder.glob("*.tflite")] == [f"unet_{kind}.tflite"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ("coreml",)}, "`formats` must be some of"),
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"output": "masks"}, '`output` must be "probabilities", "labels" or "logits"'),
        ({"output_size": 4}, "`output_size` must be one number or"),
        ({"tolerance": {"recall": 0.9}}, "`tolerance` must map agreement, max_difference"),
        ({"tolerance": {"agreement": 2}}, "numbers from 0 to 1"),
    ],
)
def test_wrong_arguments_are_told(source, tmp_path, options, message):
    with pytest.raises(ExportError, match=message):
        export_segmenter(source, tmp_path / "phone", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_no_segmenter_is_told(tmp_path):
    with pytest.raises(ExportError, match="must be a run of a segmenter or a SegmentationSource"):
        export_segmenter("unet.keras", tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ("a", "b")}, "must give logits of the shape .* 2.: a class of `labels` each"),
        ({"labels": ("a", "a", "b")}, "must be different"),
        ({"preprocessing": Preprocessing(32)}, r"a segmenter of images of \(32, 32, 3\)"),
        ({"images": np.zeros((2, 32, 32, 3), np.uint8)}, "`images` must be uint8 pixels"),
        ({"truth": np.zeros((2, SIZE, SIZE), np.uint8)}, "`truth` must be uint8 label maps of the shape"),
        ({"truth": np.full((12, SIZE, SIZE), 3, np.uint8)}, r"labels from 0 to 2 or 255 .void.. Received: 3"),
        ({"truth": np.full((12, SIZE, SIZE), VOID, np.uint8)}, "void everywhere"),
        ({"output": "mask"}, "`output` must be"),
        ({"model": "unet"}, "`model` must be a segmenter"),
    ],
)
def test_a_source_that_does_not_fit(source, changed, message):
    with pytest.raises(ExportError, match=message):
        replace(source, **changed)


def test_auxiliary_outputs_are_refused(source):
    logits = source.model.output
    model = keras.Model(source.model.input, {"logits": logits, "auxiliary_1": logits * 2})
    with pytest.raises(ExportError, match="It gives: logits, auxiliary_1. .*inference_model"):
        replace(source, model=model)


def test_calibration_is_asked_for(source, tmp_path):
    without = replace(source, calibration=source.calibration[:0])
    with pytest.raises(ExportError, match="`calibration` must be given"):
        export_segmenter(without, tmp_path, formats=("tflite",), quantize="int8")


def test_mixed_precision_is_exported_in_float32(source):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = segmenter(
            "unet", classes=3, image_size=SIZE, backbone=backbone(), preprocessing="zero_one", filters=[8] * 5
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert "bfloat16" in {layer.compute_dtype for layer in model.layers}
    assert {layer.compute_dtype for layer in replace(source, model=model).model.layers} == {"float32"}


def test_it_is_rehearsed_without_weights(source):
    operations = rehearse_segmenter(source.model, output="labels", output_size=96)
    assert operations["CONV_2D"] > 5
    assert operations["ARG_MAX"] == operations["RESIZE_BILINEAR"] == 1
    with pytest.raises(ExportError, match="`output` must be"):
        rehearse_segmenter(source.model, output="mask")


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_the_python_code_of_the_note_runs(source, resize, tmp_path, monkeypatch, capsys):
    from PIL import Image

    pytest.importorskip("ai_edge_litert")
    from kerasvision.export.segmentation_note import segmentation_note

    settings = Preprocessing(SIZE, resize)
    made = replace(source, preprocessing=settings)
    (tmp_path / "unet.tflite").write_bytes(tflite_bytes(made, None))
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    proof = type("File", (), {"path": tmp_path / "unet.tflite", "format": "tflite", "size": 1})()
    proof.certificate = SegmentationCertificate(**CERTIFICATE)
    text = segmentation_note(made, [proof])
    assert "ImageSegmenter" in text and "| 2 | chose bleutée |" in text
    assert "does not" not in segmentation_note(replace(made, output="labels"), [])
    code = text.split("```python\n")[1].split("```")[0]
    photo = np.asarray(Image.fromarray(source.images[0]).resize((160, 96)))
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=100, subsampling=0)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    rows = dict(line.rsplit(" ", 1) for line in capsys.readouterr().out.strip().splitlines())
    assert sum(map(int, rows.values())) == 96 * 160
    assert ("not looked at" in rows) == (resize == "crop")
    whole = np.asarray(Image.open("labels.png"))
    inside = settings.read_mask(whole)
    expected = keras_logits(source, settings.read(tmp_path / "photo.jpg")[None])[0].argmax(-1)
    seen = inside != VOID
    assert (inside == expected)[seen].mean() > 0.97


CERTIFICATE = {
    "file": "unet.tflite",
    "format": "tflite",
    "quantize": None,
    "passed": True,
    "count": 1,
    "output": "probabilities",
    "output_size": (SIZE, SIZE),
    "agreement": 1.0,
    "overlap": 1.0,
    "max_difference": 0.0,
    "mean_difference": 0.0,
    "miou_model": None,
    "miou_file": None,
    "per_class": {},
    "tolerance": {},
    "failures": (),
    "sha256": "",
    "size": 1,
    "created": "",
    "versions": {},
}


@pytest.mark.slow
def test_latency_of_a_segmenter(bundle):
    timing = benchmark(bundle.folder / "unet_int8.tflite", threads=(1,), runs=2).timings[0]
    assert timing.p50 > 0 and os.fspath(bundle.folder)


def test_scenes_hold_every_class_and_void():
    images, masks = scenes(4)
    assert images.shape == (4, SIZE, SIZE, 3) and set(np.unique(masks)) == {0, 1, 2, VOID}
