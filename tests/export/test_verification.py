"""Tampered files: other weights, other preprocessing, other labels, changed bytes."""

import dataclasses

import numpy as np
import pytest
from export_helpers import CLASSES, SIZE, build_model, pictures

from kerasvision._litert import convert
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import ExportSource, open_file, to_saved_model, to_tflite, verify
from kerasvision.export.metadata import add_classifier_metadata


@pytest.mark.parametrize("kind", [None, "float16", "dynamic", "int8"])
def test_an_untouched_file_passes_and_its_kind_is_recognised(exported, source, kind):
    found = verify(exported[kind].path, source)
    assert found.passed
    assert found.quantize == kind
    assert found.sha256 == exported[kind].certificate.sha256


def _twin(model, **changes):
    """Return a network of the same weights, built with other constants."""
    net = build_model(**changes)
    net.set_weights(model.get_weights())
    return net


def _other_weights(model):
    return build_model(seed=5)


def _one_weight_changed(model):
    net = _twin(model)
    kernel, bias = net.get_layer("predictions").get_weights()
    bias[1] += 0.01
    net.get_layer("predictions").set_weights([kernel, bias])
    return net


def _other_scale(model):
    return _twin(model, scale=1 / 255, offset=0.0)


def _swapped_colours(model):
    net = _twin(model)
    kernel = net.get_layer("conv1").get_weights()[0]
    net.get_layer("conv1").set_weights([kernel[:, :, ::-1]])
    return net


@pytest.mark.parametrize("tamper", [_other_weights, _one_weight_changed, _other_scale, _swapped_colours])
@pytest.mark.parametrize("kind", [None, "float16"])
def test_a_file_of_another_model_fails(source, tmp_path, tamper, kind):
    if kind == "float16" and tamper is _one_weight_changed:
        pytest.skip("float16 tolerates a change of 0.01 in one bias")
    net = tamper(source.model)
    file = tmp_path / "m.tflite"
    data = convert(net, output_names=["probabilities"], quantize=kind)
    file.write_bytes(add_classifier_metadata(data, name="m", description="", labels=CLASSES))
    message = "a probability differs by" if kind is None else "probabilities differ by .* in the mean"
    with pytest.raises(CertificateError, match=message):
        verify(file, source)
    with pytest.raises(CertificateError, match=message):
        verify(file, source.model, images=source.images, class_names=CLASSES)


@pytest.mark.parametrize("tamper", [_other_weights, _swapped_colours])
def test_an_int8_file_of_another_model_fails(source, tmp_path, tamper):
    file = tmp_path / "m.tflite"
    data = convert(tamper(source.model), quantize="int8", calibration=source.calibration)
    file.write_bytes(add_classifier_metadata(data, name="m", description="", labels=CLASSES))
    with pytest.raises(CertificateError, match="the same answer on"):
        verify(file, source)


def test_changed_bytes_are_told_even_when_the_answers_are_the_same(source, tmp_path):
    file = to_tflite(source, tmp_path / "m.tflite").path
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CertificateError, match="changed after its certificate was written"):
        verify(file, source)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": CLASSES[::-1]}, "its labels are"),
        ({"preprocessing": Preprocessing(SIZE, "crop")}, "its photos are prepared by"),
    ],
    ids=["labels", "preprocessing"],
)
def test_other_labels_and_preprocessing_are_told(exported, source, change, message):
    with pytest.raises(CertificateError, match=message):
        verify(exported[None].path, dataclasses.replace(source, **change))


def test_another_size_is_told(exported):
    import keras

    image = keras.Input((16, 16, 3))
    out = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(image))
    images = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(CertificateError, match="takes images of"):
        verify(exported[None].path, keras.Model(image, out), images=images, class_names=CLASSES)


def test_a_saved_model_is_verified_with_its_route_from_bytes(source, tmp_path):
    folder = to_saved_model(source, tmp_path / "model").path
    assert verify(folder, source).passed
    labels = folder / "assets.extra" / "labels.txt"
    labels.write_text(labels.read_text().replace("red", "read"), encoding="utf-8")
    with pytest.raises(CertificateError, match=r"changed after its certificate.*its labels are"):
        verify(folder, source)


def test_a_keras_file_is_verified(source, tmp_path):
    source.model.save(tmp_path / "m.keras")
    assert verify(tmp_path / "m.keras", source).max_difference <= 1e-6
    _other_scale(source.model).save(tmp_path / "other.keras")
    with pytest.raises(CertificateError, match="a probability differs"):
        verify(tmp_path / "other.keras", source)


def test_verifying_writes_nothing(exported, source):
    folder = exported[None].path.parent
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    verify(exported[None].path, source)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["none.tflite", "notes.txt", "folder"])
def test_other_files_cannot_be_opened(tmp_path, name):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match=name):
        open_file(tmp_path / name)


def test_images_of_another_size_or_type_are_refused_by_a_runner(exported):
    runner = open_file(exported[None].path)
    for images in (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, SIZE, SIZE, 3), np.float32)):
        with pytest.raises(ExportError, match="takes uint8 images of 32 x 32"):
            runner(images)


def test_a_source_computes_its_reference_once(model):
    images, _ = pictures(70, seed=4)
    source = ExportSource(model, CLASSES, Preprocessing(SIZE), images[:0], images)
    assert source.reference is source.reference
    np.testing.assert_allclose(
        source.reference, model.predict(images.astype("float32"), verbose=0), atol=1e-6
    )
