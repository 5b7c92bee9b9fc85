"""TFLite files of every kind, end to end on a small trained network."""

import json

import numpy as np
import pytest
from export_helpers import CLASSES, SIZE, build_model, pictures

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import ExportSource, as_source, lint, open_file, read_metadata, rehearse, to_tflite
from kerasvision.export.placing import refuse_foreign

# kind -> (largest difference, smallest agreement, input type); the differences were 4e-7, 4e-4, 4e-3, 5e-2.
EXPECTED = {
    None: (5e-6, 1.0, "float32"),
    "float16": (5e-3, 0.99, "float32"),
    "dynamic": (3e-2, 0.96, "float32"),
    "int8": (0.15, 0.94, "uint8"),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_file_of_each_kind_answers_like_the_model(exported, source, kind):
    file = exported[kind]
    largest, agreement, dtype = EXPECTED[kind]
    found = open_file(file.path)(source.images)
    assert np.abs(found - source.reference).max() <= largest
    assert (found.argmax(1) == source.reference.argmax(1)).mean() >= agreement
    assert file.certificate.max_difference == pytest.approx(np.abs(found - source.reference).max())
    seen = lint(file.path)
    assert seen.inputs["image"].dtype == dtype
    assert list(seen.outputs) == ["probabilities"]
    assert seen.quantize == kind
    assert not seen.problems
    assert not seen.remarks
    assert read_metadata(file.path).labels == CLASSES
    assert file.size == file.path.stat().st_size
    assert json.loads((file.path.parent / f"{kind}.tflite.certificate.json").read_text())["passed"] is True


def test_the_network_is_good_enough_for_these_tests_to_mean_something(exported):
    proof = exported[None].certificate
    assert proof.accuracy_model > 0.8
    assert sum(count for _, _, count in proof.per_class.values()) == proof.count == 90


def test_a_model_in_mixed_precision_is_exported_in_float32(tmp_path):
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = build_model()
    finally:
        keras.config.set_dtype_policy(before)
    assert rehearse(net)["CONV_2D"] == 2
    images, _ = pictures(20, seed=0)
    file = to_tflite(net, tmp_path / "m.tflite", images=images, class_names=CLASSES)
    twin = build_model()
    twin.set_weights(net.get_weights())
    expected = twin.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(open_file(file.path)(images), expected, atol=1e-6)
    assert net.layers[2].compute_dtype == "bfloat16"


def test_int8_needs_calibration_pictures(model, tmp_path):
    images, _ = pictures(10, seed=0)
    with pytest.raises(ExportError, match="`calibration` must be given"):
        to_tflite(model, tmp_path / "m.tflite", quantize="int8", images=images, class_names=CLASSES)
    assert not list(tmp_path.iterdir())


def test_a_failed_certificate_leaves_the_old_file(source, tmp_path):
    file = tmp_path / "m.tflite"
    to_tflite(source, file)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CertificateError, match="allowed are 0") as caught:
        to_tflite(source, file, quantize="int8", tolerance={"max_difference": 0.0})
    assert not caught.value.certificate.passed
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_export_replaces_an_export(source, tmp_path):
    file = tmp_path / "m.tflite"
    to_tflite(source, file)
    to_tflite(source, file, quantize="float16")
    assert lint(file).quantize == "float16"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tflite", "m.tflite.certificate.json"]


def test_a_file_of_the_user_is_not_replaced(source, tmp_path):
    file = tmp_path / "m.tflite"
    file.write_text("mine")
    with pytest.raises(ExportError, match="not one of our exports"):
        to_tflite(source, file)
    assert file.read_text() == "mine"


def test_a_broken_link_is_not_written_through(tmp_path):
    link = tmp_path / "m.tflite"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportError, match="not one of our exports"):
        refuse_foreign(link)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": None}, "`images` must be given"),
        ({"images": np.zeros((0, SIZE, SIZE, 3), np.uint8)}, "`images` must be uint8 .* at least one"),
        ({"images": np.zeros((2, SIZE, SIZE, 3), np.float32)}, "`images` must be uint8"),
        ({"images": np.zeros((2, 16, 16, 3), np.uint8)}, "The model must take images of"),
        ({"class_names": None}, "`class_names` must be given"),
        ({"class_names": ("a", "b")}, "must return probabilities of the shape"),
        ({"class_names": ("a", "a", "b")}, "`class_names` must be different"),
        ({"class_names": ("a", "b\nc", "d")}, "one line each"),
        ({"targets": [0, 1]}, "`targets` must be 3 integers"),
        ({"targets": [0, 1, 3]}, "`targets` must be from 0 to 2"),
        ({"calibration": np.zeros((2, 8, 8, 3), np.uint8)}, "`calibration` must be uint8"),
        ({"preprocessing": Preprocessing(64)}, "`images` must be uint8 pixels of the shape"),
        ({"input_type": "int8"}, "`input_type` must be"),
        ({"quantize": "int4"}, "`quantize` must be"),
        ({"file": "model.lite"}, "must end in .tflite"),
    ],
    ids=str,
)
def test_wrong_arguments_are_told(model, tmp_path, change, message):
    arguments = {"images": pictures(3, seed=0)[0], "class_names": CLASSES, **change}
    file = tmp_path / arguments.pop("file", "m.tflite")
    with pytest.raises(ExportError, match=message):
        to_tflite(model, file, **arguments)
    assert not list(tmp_path.iterdir())


def test_a_model_of_something_else_is_refused():
    with pytest.raises(ExportError, match="must be a Run or a keras.Model. Received: str"):
        as_source("runs/flowers")


def test_a_run_and_a_data_set_bring_what_is_needed(source, model):
    class Run:
        def export_source(self, data=None):
            return source

    assert as_source(Run()) is source
    other = as_source(Run(), images=source.images[:5])
    assert len(other.images) == 5
    assert other.targets is None  # those of the 90 pictures would be wrong

    from kerasvision.data.in_memory import from_arrays

    pixels, labels = pictures(60, seed=9)
    data = from_arrays(pixels, labels, CLASSES, validation_fraction=0.4, seed=0)
    found = as_source(model, data=data)
    assert isinstance(found, ExportSource)
    assert found.labels == CLASSES
    assert (len(found.images), len(found.calibration)) == (24, 36)
    indices = [int(np.flatnonzero((pixels == image).all((1, 2, 3)))[0]) for image in found.images]
    np.testing.assert_array_equal(found.targets, labels[indices])
    assert len({image.tobytes() for image in [*found.images, *found.calibration]}) == 60
