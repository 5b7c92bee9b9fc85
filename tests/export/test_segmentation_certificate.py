"""What a segmenter's certificate says of label maps that differ, against a slow reference."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from segmenter_helpers import LABELS, scenes

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export import Certificate, SegmentationSource, certify_segmenter
from kerasvision.export.certificate import require_passed
from kerasvision.export.segmentation_runner import softmax
from kerasvision.metrics.segmentation import VOID

SIZE = 32


@pytest.fixture(scope="module")
def source() -> SegmentationSource:
    """Return a segmenter that goes by colour alone, with weights written by hand."""
    image = keras.Input((SIZE, SIZE, 3))
    layer = keras.layers.Conv2D(3, 1)
    model = keras.Model(image, layer(image), name="by_colour")
    kernel = np.array([[0, 1, -1], [0, -1, -0.5], [0, -0.5, 1]], np.float32) / 20
    layer.set_weights([kernel[None, None], np.array([2.5, 0, 0], np.float32)])
    images, truth = scenes(20, seed=3, size=SIZE)
    return SegmentationSource(model, LABELS, Preprocessing(SIZE), images[:0], images, truth)


def certified(source, change, tmp_path, **options):
    """Certify a file that gives the model's probabilities, changed."""
    file = tmp_path / "file.tflite"
    file.write_bytes(b"content")

    def answer(images):
        probabilities = change(softmax(source.function(images)))
        labels = np.nan_to_num(probabilities, nan=-1.0).argmax(-1).astype(np.uint8)
        return labels, None if source.output == "labels" else probabilities

    runner = SimpleNamespace(answer=answer)
    return certify_segmenter(source, runner, file=file, format="tflite", **options)


def slow_iou(truth, answers, counted) -> list[float | None]:
    found = []
    for label in range(3):
        mine, theirs = (truth == label) & counted, (answers == label) & counted
        both, either = (mine & theirs).sum(), (mine | theirs).sum()
        found.append(both / either if mine.any() else None)
    return found


def swapped(share: float):
    """Exchange the probabilities of two classes on the upper rows of each image."""

    def change(values):
        values = values.copy()
        rows = round(share * SIZE)
        values[:, :rows] = values[:, :rows][..., [1, 0, 2]]
        return values

    return change


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_figures_equal_a_slow_reference(source, tmp_path, share):
    proof = certified(source, swapped(share), tmp_path)
    mine = softmax(source.function(source.images))
    theirs = swapped(share)(mine)
    labels, answers = mine.argmax(-1), theirs.argmax(-1)
    counted = source.truth != VOID
    assert 0.3 < np.mean(slow_iou(source.truth, labels, counted)) < 1
    assert proof.agreement == pytest.approx((labels == answers).mean())
    assert proof.max_difference == pytest.approx(np.abs(mine - theirs).max(), abs=1e-6)
    assert proof.mean_difference == pytest.approx(np.abs(mine - theirs).mean(), abs=1e-6)
    everything = np.ones_like(counted)
    assert proof.overlap == pytest.approx(np.mean(slow_iou(labels, answers, everything)))
    for name, (model, file, pixels), a, b in zip(
        LABELS,
        proof.per_class.values(),
        slow_iou(source.truth, labels, counted),
        slow_iou(source.truth, answers, counted),
        strict=True,
    ):
        assert (model, file) == pytest.approx((a, b)), name
        assert pixels == (source.truth == LABELS.index(name)).sum()
    assert proof.miou_model == pytest.approx(np.mean(slow_iou(source.truth, labels, counted)))
    assert proof.miou_file == pytest.approx(np.mean(slow_iou(source.truth, answers, counted)))
    assert proof.passed == (share == 0.0)


def test_a_worse_file_is_refused_with_by_how_much(source, tmp_path):
    proof = certified(source, swapped(0.25), tmp_path, quantize="int8")
    assert [text.split(" ")[0] for text in proof.failures] == ["the", "mean"]
    with pytest.raises(CertificateError, match="mean IoU changes from .* Calibrate on more") as caught:
        require_passed(proof)
    assert caught.value.certificate is proof
    assert "FAILED" in str(proof) and "mean IoU" in str(proof)


def test_a_better_file_is_another_model(source, tmp_path):
    truth = replace(source, truth=None)

    def right(values):
        rows = slice(right.at, right.at + len(values))
        right.at += len(values)
        labels = np.where(source.truth[rows] == VOID, 0, source.truth[rows])
        return np.eye(3, dtype=np.float32)[labels]

    right.at = 0
    proof = certified(source, right, tmp_path, quantize="int8", tolerance={"agreement": 0.0})
    assert proof.miou_file == 1.0 and not proof.passed and "changes from" in proof.failures[0]
    right.at = 0
    assert certified(truth, right, tmp_path, quantize="int8", tolerance={"agreement": 0.0}).passed


@pytest.mark.parametrize(
    ("kind", "passes"), [(None, False), ("float16", True), ("dynamic", True), ("int8", True)]
)
def test_small_differences_are_tolerated_in_quantised_files(source, tmp_path, kind, passes):
    def blurred(values):
        return values * np.float32(0.99) + np.float32(0.01 / 3)

    proof = certified(source, blurred, tmp_path, quantize=kind)
    assert proof.agreement == 1.0
    assert proof.passed == passes
    assert passes or "a probability differs by" in proof.failures[0]


def test_void_counts_for_agreement_and_not_for_iou(source, tmp_path):
    def at_the_border(values):
        values = values.copy()
        values[:, :2] = values[:, :2][..., [2, 0, 1]]
        return values

    proof = certified(source, at_the_border, tmp_path)
    assert (source.truth[:, :2] == VOID).all()
    assert proof.agreement == pytest.approx(1 - 2 / SIZE)
    assert proof.miou_file == proof.miou_model


def test_a_class_that_is_nowhere_does_not_count(source, tmp_path):
    truth = np.where(source.truth == 2, 0, source.truth)
    proof = certified(replace(source, truth=truth), swapped(0.0), tmp_path)
    assert proof.per_class["chose bleutée"] == [None, None, 0]
    assert proof.miou_model == pytest.approx(np.mean([proof.per_class[name][0] for name in LABELS[:2]]))


def test_without_truth_and_in_another_size(source, tmp_path):
    proof = certified(replace(source, truth=None), swapped(0.0), tmp_path)
    assert proof.passed and proof.miou_model is None and proof.per_class == {}
    assert "mean IoU" not in str(proof)
    double = replace(source, output_size=(2 * SIZE, SIZE))
    doubled = double.truth_of(slice(0, 3))
    np.testing.assert_array_equal(doubled, source.truth[:3].repeat(2, axis=1))
    assert certified(double, swapped(0.0), tmp_path).output_size == (2 * SIZE, SIZE)


def test_labels_have_no_probabilities_to_differ(source, tmp_path):
    proof = certified(replace(source, output="labels"), swapped(0.0), tmp_path)
    assert proof.passed and proof.max_difference is None and proof.mean_difference is None
    assert not certified(replace(source, output="labels"), swapped(0.5), tmp_path).passed


def test_numbers_that_are_none_fail(source, tmp_path):
    def broken(values):
        values = values.copy()
        values[0, 0, 0, 1] = np.nan
        return values

    proof = certified(source, broken, tmp_path, tolerance={"agreement": 0, "max_difference": 1})
    assert "not finite numbers" in proof.failures[0]


@pytest.mark.parametrize(
    ("output", "kind", "proves"),
    [("probabilities", None, True), ("labels", None, False), ("probabilities", "int8", False)],
)
def test_one_class_everywhere_proves_nothing_by_label_maps(source, tmp_path, output, kind, proves):
    model = keras.models.clone_model(source.model)
    kernel, bias = source.model.get_weights()
    model.set_weights([kernel, bias + np.array([99, 0, 0], np.float32)])
    one = replace(source, model=model, output=output)
    proof = certified(one, swapped(0.0), tmp_path, quantize=kind)
    assert proof.passed == proves
    assert proves or "nothing to prove" in proof.failures[0]


def test_another_shape_and_other_kinds_of_certificates(source, tmp_path):
    with pytest.raises(ExportError, match="The file answers with the shape"):
        certified(source, lambda values: values[..., :2], tmp_path)
    with pytest.raises(ExportError, match="not a certificate"):
        Certificate.from_dict(certified(source, swapped(0.0), tmp_path).to_dict())
