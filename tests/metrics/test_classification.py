"""Metrics against scikit-learn and slow references."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from kerasvision import metrics
from kerasvision.errors import KerasvisionError


def names(classes):
    return [f"class {i}" for i in range(classes)]


@pytest.mark.parametrize("count, classes", [(1, 2), (50, 2), (300, 7), (500, 120)])
def test_agrees_with_scikit_learn(answers, count, classes):
    labels, probabilities = answers(count, classes)
    judgement = metrics.judge(labels, probabilities, names(classes))
    predictions, every = probabilities.argmax(1), range(classes)
    assert judgement.accuracy == pytest.approx(reference.accuracy_score(labels, predictions), abs=1e-15)
    expected = reference.confusion_matrix(labels, predictions, labels=every)
    assert np.array_equal(judgement.confusion, expected)
    scores = reference.precision_recall_fscore_support(labels, predictions, labels=every, zero_division=0)
    for i, mine in enumerate(judgement.per_class):
        for value, theirs in zip((mine.precision, mine.recall, mine.f1), scores, strict=False):
            assert (value or 0) == pytest.approx(theirs[i], abs=1e-15)
        assert mine.support == scores[3][i]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = reference.balanced_accuracy_score(labels, predictions)
    assert judgement.balanced_accuracy == pytest.approx(balanced, abs=1e-15)


@pytest.mark.parametrize("k", [1, 2, 5, 7, 9])
def test_top_k_agrees_with_scikit_learn(answers, k):
    labels, probabilities = answers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.top_k_accuracy_score(labels, probabilities, k=k, labels=range(7))
    assert metrics.top_k_accuracy(labels, probabilities, k) == pytest.approx(expected, abs=1e-15)


def test_equal_probabilities_earn_nothing():
    labels = np.arange(10)
    assert metrics.top_k_accuracy(labels, np.full((10, 10), 0.1), 5) == 0.5
    assert metrics.accuracy(labels, np.full((10, 10), 0.1)) == 0.1


@pytest.mark.parametrize("classes, there", [(2, False), (5, False), (6, True)])
def test_top_5_needs_six_classes(answers, classes, there):
    labels, probabilities = answers(30, classes)
    assert (metrics.judge(labels, probabilities, names(classes)).top_5 is not None) == there


def test_absent_classes_are_none_not_nan():
    # Class 2 neither occurs nor is predicted; class 1 is predicted but does not occur.
    probabilities = [[0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.8, 0.2, 0.0]]
    judgement = metrics.judge([0, 0, 0], probabilities, ["a", "b", "c"])
    a, b, c = judgement.per_class
    assert (a.precision, a.recall, a.f1, a.support) == (1, pytest.approx(2 / 3), pytest.approx(0.8), 3)
    assert (b.precision, b.recall, b.f1, b.support) == (0, None, 0, 0)
    assert (c.precision, c.recall, c.f1, c.support) == (None, None, None, 0)
    assert judgement.balanced_accuracy == pytest.approx(2 / 3)
    assert "NaN" not in json.dumps(judgement.to_dict())


def test_worst_mistakes_are_the_most_confident_wrong_answers(answers):
    labels, probabilities = answers(80)
    wrong = [(-probabilities[i].max(), i) for i in range(80) if probabilities[i].argmax() != labels[i]]
    assert len(wrong) > 10
    assert metrics.worst_mistakes(labels, probabilities, 9).tolist() == [i for _, i in sorted(wrong)[:9]]
    assert len(metrics.worst_mistakes(labels, probabilities, 500)) == len(wrong)
    assert metrics.worst_mistakes([0], [[1.0, 0.0]], 5).tolist() == []


def test_a_judgement_survives_json(answers):
    judgement = metrics.judge(*answers(60, 8), names(8))
    text = json.dumps(judgement.to_dict(), allow_nan=False)
    back = metrics.Judgement.from_dict(json.loads(text))
    assert json.dumps(back.to_dict()) == text
    assert np.array_equal(back.confusion, judgement.confusion) and back.confusion.dtype == np.int64
    assert back.per_class == judgement.per_class and back.reliability == judgement.reliability
    assert back.accuracy_interval == judgement.accuracy_interval


GOOD = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    "labels, probabilities, class_names, message",
    [
        ([0], GOOD, "ab", r"labels \(1,\), probabilities \(2, 2\)"),
        ([0, 1], [0.5, 0.5], "ab", r"probabilities \(2,\)"),
        ([], np.zeros((0, 2)), "ab", "empty"),
        ([0, 2], GOOD, "ab", "must lie in 0..1. Received: 2"),
        ([0, -1], GOOD, "ab", "Received: -1"),
        ([0.0, 1.0], GOOD, "ab", "dtype float64"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "ab", "row 1"),
        ([0, 1], [[-3.0, 2.0], [0.5, 0.5]], "ab", "not logits"),
        ([0, 1], GOOD, "abc", "Received: 3 names"),
    ],
)
def test_says_what_does_not_fit(labels, probabilities, class_names, message):
    with pytest.raises(KerasvisionError, match=message):
        metrics.judge(labels, probabilities, class_names)


def test_other_errors():
    with pytest.raises(KerasvisionError, match="`k`"):
        metrics.top_k_accuracy([0], [[1.0, 0.0]], 0)
    with pytest.raises(KerasvisionError, match="one length"):
        metrics.confusion_matrix([0, 1], [0], 2)
    with pytest.raises(KerasvisionError, match="`predictions`"):
        metrics.confusion_matrix([0, 1], [0, 5], 2)
