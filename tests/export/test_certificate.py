"""The figures of a certificate against loops, and what passes and fails."""

import json

import numpy as np
import pytest

from kerasvision.errors import CertificateError, ExportError
from kerasvision.export.certificate import (
    TOLERANCES,
    Certificate,
    _failures,
    certify,
    compare,
    require_passed,
    tolerances,
)

LABELS = ("a", "b", "c")


def _softmax(values):
    raised = np.exp(values - values.max(1, keepdims=True))
    return (raised / raised.sum(1, keepdims=True)).astype(np.float32)


@pytest.fixture
def answers(rng):
    logits = rng.normal(size=(200, 3))
    return _softmax(logits), _softmax(logits + rng.normal(0, 0.4, (200, 3))), rng.integers(0, 2, 200)


def test_the_figures_equal_loops(answers):
    reference, found, targets = answers
    figures, failures = compare(reference, found, targets, LABELS)
    differences, same, right, counts = [], 0, [0, 0], {label: [0, 0, 0] for label in LABELS}
    for mine, theirs, target in zip(reference, found, targets, strict=True):
        differences += [abs(float(m) - float(t)) for m, t in zip(mine, theirs, strict=True)]
        best = max(range(3), key=lambda i: mine[i]), max(range(3), key=lambda i: theirs[i])
        same += best[0] == best[1]
        row = counts[LABELS[target]]
        for side in (0, 1):
            right[side] += best[side] == target
            row[side] += best[side] == target
        row[2] += 1
    assert not failures
    assert figures["max_difference"] == pytest.approx(max(differences), rel=1e-6)
    assert figures["mean_difference"] == pytest.approx(sum(differences) / len(differences), rel=1e-5)
    assert figures["agreement"] == same / 200
    assert figures["accuracy_model"] == right[0] / 200
    assert figures["accuracy_file"] == right[1] / 200
    for label in "ab":
        model, file, count = counts[label]
        assert figures["per_class"][label] == [model / count, file / count, count]
    assert figures["per_class"]["c"] == [None, None, 0]


def test_without_targets_accuracy_is_not_judged(answers):
    figures, _ = compare(answers[0], answers[1], None, LABELS)
    assert figures["accuracy_model"] is None
    assert figures["accuracy_file"] is None
    assert figures["per_class"] == {}
    assert not _failures({**figures, "agreement": 1.0}, TOLERANCES["int8"], 200)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_fail_whatever_is_tolerated(answers, bad):
    reference, found, targets = answers
    found[3, 1] = bad
    figures, failures = compare(reference, found, targets, LABELS)
    assert failures == ("1 of 200 answers are not finite numbers",)
    assert figures["max_difference"] > 1


def test_a_figure_that_is_not_a_number_fails():
    figures = {"max_difference": float("nan"), "agreement": float("nan"), "accuracy_model": None}
    assert len(_failures(figures, {"max_difference": 1.0, "agreement": 0.0}, 10)) == 2


@pytest.mark.parametrize(
    "count, right_model, right_file, limit, fails",
    [
        (1000, 900, 890, 0.01, False),
        (1000, 900, 889, 0.01, True),
        (1000, 900, 950, 0.01, False),  # better than the model
        (500, 400, 395, 0.01, False),
        (500, 400, 394, 0.01, True),
        (30, 20, 19, 0.01, False),  # one image is always allowed: a point is less than one image
        (30, 20, 18, 0.01, True),
        (30, 20, 19, 0.0, True),  # unless nothing is
        (30, 20, 20, 0.0, False),
    ],
)
def test_the_loss_of_accuracy_is_counted_in_images(count, right_model, right_file, limit, fails):
    figures = {"accuracy_model": right_model / count, "accuracy_file": right_file / count}
    assert bool(_failures(figures, {"accuracy_drop": limit}, count)) is fails


@pytest.mark.parametrize(
    "quantize, difference, agreement, fails",
    [
        (None, 1e-4, 0.0, False),
        (None, 1.01e-4, 1.0, True),
        ("float16", 1e-2, 0.98, False),
        ("float16", 1.1e-2, 1.0, True),
        ("float16", 1e-3, 0.97, True),
        ("dynamic", 0.5, 0.90, False),
        ("int8", 0.5, 0.90, False),
        ("int8", 0.0, 0.89, True),
    ],
)
def test_the_stated_tolerances(quantize, difference, agreement, fails):
    figures = {"max_difference": difference, "mean_difference": difference, "agreement": agreement}
    figures["accuracy_model"] = None
    assert bool(_failures(figures, tolerances(quantize, None), 100)) is fails


def test_the_caller_may_state_limits():
    assert tolerances("int8", {"agreement": 0.5}) == {"agreement": 0.5, "accuracy_drop": 0.01}
    for wrong in ({"agrement": 0.5}, {"agreement": 90}, {"agreement": float("nan")}):
        with pytest.raises(ExportError, match="`tolerance` must map"):
            tolerances(None, wrong)


def test_a_certificate_survives_its_file(source, tmp_path):
    file = tmp_path / "some.tflite"
    file.write_bytes(b"12345")
    made = certify(source, lambda images: source.reference, file=file, format="tflite")
    assert made.passed
    assert (made.count, made.size, made.agreement, made.max_difference) == (90, 5, 1.0, 0.0)
    path = made.save(file)
    assert path == tmp_path / "some.tflite.certificate.json"
    assert Certificate.load(file) == Certificate.from_dict(json.loads(path.read_text())) == made
    assert made.sha256 == "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    assert "keras" in made.versions


def test_a_failed_certificate_says_figures_and_what_to_do(source, tmp_path):
    file = tmp_path / "some.tflite"
    file.write_bytes(b"12345")
    shifted = np.roll(source.reference, 1, axis=1)
    made = certify(source, lambda images: shifted, file=file, format="tflite", quantize="int8")
    assert not made.passed
    with pytest.raises(CertificateError, match=r"same answer on .*accuracy falls .*Calibrate") as caught:
        require_passed(made)
    assert caught.value.certificate is made
    assert "FAILED" in str(made)


def test_logits_are_refused(source, tmp_path):
    import keras

    from kerasvision.export.source import ExportSource

    raw = keras.Model(source.model.input, keras.layers.Dense(3)(source.model.get_layer("head_pool").output))
    logits = ExportSource(raw, source.labels, source.preprocessing, source.calibration, source.images)
    with pytest.raises(ExportError, match="must return probabilities.*softmax"):
        certify(logits, lambda images: images, file=tmp_path, format="tflite")


def test_a_file_of_another_shape_is_told(answers):
    with pytest.raises(ExportError, match="shape"):
        compare(answers[0], answers[1][:, :2], None, LABELS)
