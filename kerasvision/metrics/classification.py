"""Judge a classifier on held-out images: everything that `metrics.json` and the report say."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import calibration
from kerasvision.metrics._checks import checked, checked_labels
from kerasvision.metrics.calibration import ReliabilityBin
from kerasvision.metrics.intervals import accuracy_interval


@dataclass(frozen=True)
class ClassScores:
    """How one class fares.

    Attributes:
        name: the class.
        precision: share of the images called so that are so; None when none was called so.
        recall: share of its images that were found; None when there is no image of it.
        f1: harmonic mean of both; None when the class neither occurs nor was predicted.
        support: images of it.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, eq=False)
class Judgement:
    """What held-out images say about a classifier. `to_dict` is what `metrics.json` holds.

    Attributes:
        class_names: in the order of the labels.
        count: images judged.
        accuracy: share of right answers.
        accuracy_interval: 95 % interval of it (bootstrap; exact binomial at 0 and 100 %).
        top_5: share of images whose class is among the five most probable; None below six classes.
        per_class: one `ClassScores` a class.
        confusion: (classes, classes) int, rows are the truth, columns the predictions.
        calibration_error: expected calibration error, 15 bins.
        temperature: that minimises the negative log-likelihood on these images.
        calibration_error_after: the error with it (on the same images, so a little rosy).
        reliability: the bins behind `calibration_error`.
    """

    class_names: tuple[str, ...]
    count: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    top_5: float | None
    per_class: tuple[ClassScores, ...]
    confusion: np.ndarray
    calibration_error: float
    temperature: float
    calibration_error_after: float
    reliability: tuple[ReliabilityBin, ...] = ()

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur."""
        return float(np.mean([scores.recall for scores in self.per_class if scores.recall is not None]))

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        plain = asdict(replace(self, confusion=None))
        return {**plain, "confusion": self.confusion.tolist(), "balanced_accuracy": self.balanced_accuracy}

    @classmethod
    def from_dict(cls, values: Mapping) -> "Judgement":
        """Return what `to_dict` was called on."""
        values = {key: value for key, value in values.items() if key != "balanced_accuracy"}
        return cls(
            **{
                **values,
                "class_names": tuple(values["class_names"]),
                "accuracy_interval": tuple(values["accuracy_interval"]),
                "per_class": tuple(ClassScores(**scores) for scores in values["per_class"]),
                "confusion": np.asarray(values["confusion"], np.int64),
                "reliability": tuple(ReliabilityBin(**b) for b in values.get("reliability", ())),
            }
        )


def judge(labels, probabilities, class_names: Sequence[str], *, seed: int = 0) -> Judgement:
    """Judge a classifier by its probabilities on held-out images.

    Args:
        labels: (N,) int, the true class indices.
        probabilities: (N, classes) float in [0, 1], rows summing to 1.
        class_names: one name a column.
        seed: of the bootstrap.

    Raises:
        KerasvisionError: shapes, labels or values that do not fit.

    Example:
        >>> judge([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ["cat", "dog"]).confusion.tolist()
        [[1, 0], [1, 1]]
    """
    labels, probabilities = checked(labels, probabilities)
    classes = probabilities.shape[1]
    if len(class_names) != classes:
        raise KerasvisionError(
            f"`class_names` must have one name for each of the {classes} columns of `probabilities`. "
            f"Received: {len(class_names)} names."
        )
    confusion = confusion_matrix(labels, probabilities.argmax(1), classes)
    bins = calibration.reliability(labels, probabilities)
    temperature = calibration.fit_temperature(labels, probabilities)
    cooled = calibration.apply_temperature(probabilities, temperature)
    return Judgement(
        class_names=tuple(class_names),
        count=labels.size,
        accuracy=accuracy(labels, probabilities),
        accuracy_interval=accuracy_interval(probabilities.argmax(1) == labels, seed=seed),
        top_5=top_k_accuracy(labels, probabilities, 5) if classes > 5 else None,
        per_class=per_class(confusion, class_names),
        confusion=confusion,
        calibration_error=calibration.gap(bins),
        temperature=temperature,
        calibration_error_after=calibration.expected_calibration_error(labels, cooled),
        reliability=bins,
    )


def accuracy(labels, probabilities) -> float:
    """Return the share of images whose most probable class is the true one.

    Args:
        labels: (N,) int, class indices.
        probabilities: (N, classes) float.
    """
    labels, probabilities = checked(labels, probabilities)
    return float((probabilities.argmax(1) == labels).mean())


def top_k_accuracy(labels, probabilities, k: int = 5) -> float:
    """Return the share of images whose true class is among the `k` most probable.

    Ties go to the lower class index, as argmax has it: a network that answers the same for all classes earns
    nothing by it.

    Args:
        labels: (N,) int, class indices.
        probabilities: (N, classes) float.
        k: at least 1.
    """
    labels, probabilities = checked(labels, probabilities)
    if k < 1:
        raise KerasvisionError(f"`k` must be at least 1. Received: {k}.")
    truth = probabilities[np.arange(labels.size), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    rank = ((probabilities > truth) | ((probabilities == truth) & earlier)).sum(1)
    return float((rank < k).mean())


def confusion_matrix(labels, predictions, classes: int) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns).

    Args:
        labels: (N,) int, the truth.
        predictions: (N,) int, the answers.
        classes: how many classes there are.

    Returns:
        (classes, classes) int64.
    """
    labels, predictions = (
        checked_labels(labels, classes, "labels"),
        checked_labels(predictions, classes, "predictions"),
    )
    if labels.shape != predictions.shape:
        raise KerasvisionError(
            f"`labels` and `predictions` must be of one length. "
            f"Received: {labels.shape}, {predictions.shape}."
        )
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: np.ndarray, class_names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Return precision, recall and F1 of each class; None (never NaN) where one is not defined.

    Args:
        confusion: (classes, classes) int, rows are the truth.
        class_names: one name a class.
    """
    confusion = np.asarray(confusion)
    hits, predicted, support = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    return tuple(
        ClassScores(
            name=name,
            precision=_share(hits[i], predicted[i]),
            recall=_share(hits[i], support[i]),
            f1=_share(2 * hits[i], predicted[i] + support[i]),
            support=int(support[i]),
        )
        for i, name in enumerate(class_names)
    )


def worst_mistakes(labels, probabilities, count: int = 12) -> np.ndarray:
    """Return the indices of wrong answers, the most confident first: wrong labels are often among them.

    Args:
        labels: (N,) int, class indices.
        probabilities: (N, classes) float in [0, 1].
        count: how many at most.

    Returns:
        (at most count,) int64.
    """
    labels, probabilities = checked(labels, probabilities)
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    order = np.argsort(-probabilities[wrong].max(1), kind="stable")
    return wrong[order][:count]


def _share(part, whole) -> float | None:
    return float(part / whole) if whole else None
