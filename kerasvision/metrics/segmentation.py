"""Judge label maps: what is counted image by image, in memory that does not grow with their number."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.boundaries import BOUNDARY_TOLERANCE, boundary_matches

VOID = 255
REPEATS = 1000  # of the resampling that gives the interval


@dataclass(frozen=True)
class SegmentScores:
    """How one class fares.

    Attributes:
        name: the class.
        iou: pixels in both over pixels in either; None where the class is in neither.
        accuracy: share of its pixels that were found (recall); None without any.
        precision: share of the pixels called so that are so; None where none was.
        boundary_f: mean over the images with the class of the F-score of its boundary; None without any.
        pixels: how many there are of it.
        images: how many images it is on.
    """

    name: str
    iou: float | None
    accuracy: float | None
    precision: float | None
    boundary_f: float | None
    pixels: int
    images: int


@dataclass(frozen=True, eq=False)
class SegmentationJudgement:
    """What held-out label maps say about a segmenter. `to_dict` is what `metrics.json` holds.

    Attributes:
        class_names: in the order of the labels.
        count: images judged.
        mean_iou: mean of `iou` over the classes that are on any image, in truth or answer.
        mean_iou_interval: 95 % interval of it, by resampling images; None for a single image.
        pixel_accuracy: share of all pixels that are right.
        mean_accuracy: mean of `accuracy` over the classes that occur.
        frequency_weighted_iou: mean of `iou`, each class weighted by its pixels.
        boundary_f: mean of `boundary_f` over the classes that occur.
        per_class: one `SegmentScores` a class.
        confusion: (classes, classes) int pixels, rows are the truth, columns the answers.
        void: pixels that were not counted.

    Long et al., Fully convolutional networks, 2015, section 5; Csurka et al., What is a good evaluation
    measure for semantic segmentation?, 2013.
    """

    class_names: tuple[str, ...]
    count: int
    mean_iou: float
    mean_iou_interval: tuple[float, float] | None
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    boundary_f: float
    per_class: tuple[SegmentScores, ...]
    confusion: np.ndarray
    void: int

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(replace(self, confusion=None)), "confusion": self.confusion.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping) -> "SegmentationJudgement":
        """Return what `to_dict` was called on."""
        interval = values["mean_iou_interval"]
        return cls(
            **{
                **values,
                "class_names": tuple(values["class_names"]),
                "mean_iou_interval": None if interval is None else tuple(interval),
                "per_class": tuple(SegmentScores(**scores) for scores in values["per_class"]),
                "confusion": np.asarray(values["confusion"], np.int64),
            }
        )


class SegmentationTally:
    """Counts label maps as they come; `judgement` may be asked for at any time.

    Args:
        class_names: in the order of the labels.
        ignore_index: label of pixels that do not count.
        tolerance: how far boundaries may be apart, as a share of the image's diagonal; None: boundaries are
            not looked at, which is most of the time.
        seed: of the resampling.

    Each image goes into each resample as often as a Poisson variable of mean 1 says, so that no image need be
    remembered (Oza and Russell, Online bagging and boosting, 2001).
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        ignore_index: int = VOID,
        tolerance: float | None = BOUNDARY_TOLERANCE,
        seed: int = 0,
    ):
        self.class_names, self.ignore_index, self.tolerance = tuple(class_names), ignore_index, tolerance
        classes = len(self.class_names)
        self.confusion, self.void = np.zeros((classes, classes), np.int64), 0
        self._images = np.zeros(classes, np.int64)
        self._count, self._random = 0, np.random.default_rng(seed)
        self._resampled = np.zeros((REPEATS, 3, classes))  # pixels in both, of the class, called so
        self._boundary = np.zeros((2, classes))  # sums of F-scores, and how many there were

    def add(self, truth, answers) -> None:
        """Count label maps.

        Args:
            truth: (b, h, w) or (h, w) integers: class indices, or `ignore_index`.
            answers: the same shape, class indices.

        Raises:
            KerasvisionError: shapes that differ, or labels that are no class.
        """
        truth, answers = np.asarray(truth), np.asarray(answers)
        if truth.shape != answers.shape or truth.ndim not in (2, 3):
            raise KerasvisionError(
                "`truth` and `answers` must be label maps of one shape, (h, w) or (b, h, w). "
                f"Received: {truth.shape} and {answers.shape}."
            )
        truth, answers = (x[None] if x.ndim == 2 else x for x in (truth, answers))
        counted = truth != self.ignore_index
        _check_labels("truth", truth[counted], len(self.class_names), f" or {self.ignore_index} (void)")
        _check_labels("answers", answers[counted], len(self.class_names), "")
        for one, other, real in zip(truth, answers, counted, strict=True):
            self._add_one(one, other, real)

    def judgement(self) -> SegmentationJudgement:
        """Return what has been counted so far.

        Raises:
            KerasvisionError: no pixel has been counted.
        """
        total = self.confusion.sum()
        if not total:
            raise KerasvisionError("There is nothing to judge: no pixel was counted that is not void.")
        both, of, called = np.diag(self.confusion), self.confusion.sum(1), self.confusion.sum(0)
        iou, found, right = _ratio(both, of + called - both), _ratio(both, of), _ratio(both, called)
        boundary = _ratio(*self._boundary)
        rows = zip(self.class_names, iou, found, right, boundary, of, self._images, strict=True)
        return SegmentationJudgement(
            class_names=self.class_names,
            count=self._count,
            mean_iou=_mean(iou),
            mean_iou_interval=self._interval(),
            pixel_accuracy=float(both.sum() / total),
            mean_accuracy=_mean(found),
            frequency_weighted_iou=float(sum(n * v for n, v in zip(of, iou, strict=True) if v) / total),
            boundary_f=_mean(boundary),
            per_class=tuple(
                SegmentScores(name, *figures, int(pixels), int(images))
                for name, *figures, pixels, images in rows
            ),
            confusion=self.confusion.copy(),
            void=self.void,
        )

    def _add_one(self, truth: np.ndarray, answers: np.ndarray, counted: np.ndarray) -> None:
        classes = len(self.class_names)
        pairs = truth[counted].astype(np.int64) * classes + answers[counted]
        confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        self.confusion += confusion
        self.void += int(counted.size - counted.sum())
        self._images += confusion.sum(1) > 0
        parts = np.stack([np.diag(confusion), confusion.sum(1), confusion.sum(0)])
        self._count += 1
        self._resampled += self._random.poisson(1.0, (REPEATS, 1, 1)) * parts
        if self.tolerance is None:
            return
        for label in np.flatnonzero(confusion.sum(1) + confusion.sum(0)):
            score = boundary_matches(truth == label, answers == label, counted, tolerance=self.tolerance)
            if score is not None:
                self._boundary[:, label] += score, 1

    def _interval(self) -> tuple[float, float] | None:
        """Return the percentile bootstrap interval of mean IoU over images."""
        if self._count < 2:
            return None
        drawn = [one for one in self._resampled if one.any()]  # of few images, a resample may have none
        means = [_mean(_ratio(both, of + called - both)) for both, of, called in drawn]
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)


def mean_iou(truth, answers, classes: int, *, ignore_index: int = VOID) -> float:
    """Return the mean IoU of label maps over the classes that are in either.

    Args:
        truth: (b, h, w) or (h, w) integers: class indices, or `ignore_index`.
        answers: the same shape, class indices.
        classes: how many there are.
        ignore_index: label of pixels that do not count.

    >>> mean_iou([[0, 0], [1, 255]], [[0, 1], [1, 1]], 2)
    0.5
    """
    tally = SegmentationTally(list(map(str, range(classes))), ignore_index=ignore_index, tolerance=None)
    tally.add(truth, answers)
    return tally.judgement().mean_iou


def mean_iou_of(confusion) -> float:
    """Return the mean IoU over the classes that are in truth or answers, from pixels counted already.

    Args:
        confusion: (classes, classes) numbers of pixels, rows are the truth, columns the answers.

    >>> mean_iou_of([[1, 1], [0, 1]])
    0.5
    """
    confusion = np.asarray(confusion)
    both = np.diag(confusion)
    return _mean(_ratio(both, confusion.sum(1) + confusion.sum(0) - both))


def _ratio(part, whole) -> list[float | None]:
    return [float(a / b) if b else None for a, b in zip(part, whole, strict=True)]


def _mean(values: Sequence[float | None]) -> float:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else 0.0


def _check_labels(name: str, labels: np.ndarray, classes: int, otherwise: str) -> None:
    if labels.dtype.kind not in "iu":
        raise KerasvisionError(f"`{name}` must be integer class indices. Received: {labels.dtype}.")
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise KerasvisionError(
            f"`{name}` must have labels from 0 to {classes - 1}{otherwise}. Received: {int(wrong[0])}."
        )
