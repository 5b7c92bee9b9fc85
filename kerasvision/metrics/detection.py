"""Judge a detector on held-out images: everything that `metrics.json` and the report say."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics import coco_ap
from kerasvision.metrics.coco_ap import CocoClassScores, CocoScores
from kerasvision.metrics.detection_confusion import confusion_of
from kerasvision.metrics.detection_curves import (
    ClassRecords,
    OperatingPoint,
    PrecisionRecallCurve,
    average_precision_interval,
    best_threshold,
    precision_recall,
    records,
)
from kerasvision.metrics.detection_errors import DetectionErrors, errors_of
from kerasvision.metrics.detection_matching import matches_of
from kerasvision.metrics.detection_values import tables


@dataclass(frozen=True)
class DetectionClassScores:
    """How one class fares.

    Attributes:
        name: the class.
        coco: AP, AP50, AP75 and recall as COCO has them.
        support: its boxes that count.
        images: images with such a box.
        detections: how many were found, right or wrong.
        best: the threshold with the highest F1, and what comes of it; None where nothing right was found.
        curve: precision against recall at IoU 0.5; None where there is no box.
    """

    name: str
    coco: CocoClassScores
    support: int
    images: int
    detections: int
    best: OperatingPoint | None
    curve: PrecisionRecallCurve | None


@dataclass(frozen=True, eq=False)
class DetectionJudgement:
    """What held-out images say about a detector. `to_dict` is what `metrics.json` holds.

    Attributes:
        class_names: in the order of the labels.
        count: images judged.
        boxes: annotated boxes that count (without COCO's crowd boxes).
        detections: how many were found, right or wrong.
        coco: COCO's twelve figures.
        ap50_interval: 95 % bootstrap interval of `coco.ap50`, over images; None where no box counts. When
            every image is perfect, both ends are 1.
        per_class: one `DetectionClassScores` a class.
        confusion: (classes + 1, classes + 1) int at the best threshold of each class and IoU 0.5: rows
            are the truth, columns what was found, the last of both is the background.
        errors: what each kind of mistake costs.
    """

    class_names: tuple[str, ...]
    count: int
    boxes: int
    detections: int
    coco: CocoScores
    ap50_interval: tuple[float, float] | None
    per_class: tuple[DetectionClassScores, ...]
    confusion: np.ndarray
    errors: DetectionErrors

    @property
    def ap(self) -> float | None:
        """COCO's AP: mean over IoU 0.50 to 0.95 and over classes."""
        return self.coco.ap

    @property
    def ap50(self) -> float | None:
        """AP at IoU 0.5."""
        return self.coco.ap50

    @property
    def thresholds(self) -> tuple[float | None, ...]:
        """Best threshold of each class; None where nothing right was found."""
        return tuple(scores.best and scores.best.threshold for scores in self.per_class)

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {
            "class_names": list(self.class_names),
            "count": self.count,
            "boxes": self.boxes,
            "detections": self.detections,
            "coco": self.coco.to_dict(),
            "ap50_interval": self.ap50_interval and list(self.ap50_interval),
            "per_class": [_plain(asdict(scores)) for scores in self.per_class],
            "confusion": self.confusion.tolist(),
            "errors": self.errors.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "DetectionJudgement":
        """Return what `to_dict` was called on."""
        interval = values["ap50_interval"]
        return cls(
            **{
                **values,
                "class_names": tuple(values["class_names"]),
                "coco": CocoScores.from_dict(values["coco"]),
                "ap50_interval": interval and tuple(interval),
                "per_class": tuple(_class_scores(scores) for scores in values["per_class"]),
                "confusion": np.asarray(values["confusion"], np.int64),
                "errors": DetectionErrors.from_dict(values["errors"]),
            }
        )


def judge_detections(
    truth: Sequence,
    found: Sequence,
    class_names: Sequence[str],
    *,
    max_detections: int = 100,
    repeats: int = 500,
    seed: int = 0,
) -> DetectionJudgement:
    """Judge a detector by what it found on held-out images.

    Give all detections, also those of low scores: AP needs them, and the best thresholds are found here.
    VOC's `difficult` boxes count; `voc_average_precision` leaves them out.

    Args:
        truth: one `ImageBoxes` an image: `boxes` (n, 4) xyxy, `labels` (n,), `crowd` (n,), `extras`.
        found: one `Detections` an image, in the same order, in pixels of the same image.
        class_names: one name a class.
        max_detections: detections an image and class that count, the best-scored; above 10.
        repeats: resamples of the bootstrap.
        seed: of the bootstrap.

    Raises:
        KerasvisionError: no images, or shapes, labels or values that do not fit.

    Example:
        >>> from types import SimpleNamespace
        >>> from kerasvision.metrics import Detections
        >>> truth = SimpleNamespace(boxes=[[0, 0, 10, 10]], labels=[0])
        >>> judge_detections([truth], [Detections([[0, 0, 10, 8]], [0], [0.9])], ["cell"]).coco.ap50
        1.0
    """
    if max_detections <= 10:
        raise KerasvisionError(f"`max_detections` must be above 10. Received: {max_detections}.")
    classes = len(class_names)
    boxes, detections = tables(truth, found, classes)
    coco = coco_ap.scores_of(boxes, detections, classes, max_detections)
    matches = matches_of(boxes, detections, max_detections=max_detections)
    by_class = [records(matches, label) for label in range(classes)]
    per_class = tuple(map(_scores, class_names, coco.per_class, by_class))
    # A class of which nothing right was found has no threshold: all of its detections are wrong, at any.
    thresholds = [scores.best.threshold if scores.best else np.inf for scores in per_class]
    return DetectionJudgement(
        class_names=tuple(class_names),
        count=boxes.images,
        boxes=int((~boxes.crowd).sum()),
        detections=len(detections.image),
        coco=coco,
        ap50_interval=average_precision_interval(by_class, repeats=repeats, seed=seed),
        per_class=per_class,
        confusion=confusion_of(matches, classes, thresholds),
        errors=errors_of(matches, classes),
    )


def _scores(name: str, coco: CocoClassScores, one: ClassRecords) -> DetectionClassScores:
    support = int(one.boxes.sum())
    return DetectionClassScores(
        name=name,
        coco=coco,
        support=support,
        images=int((one.boxes > 0).sum()),
        detections=len(one.scores),
        best=best_threshold(one.scores, one.hits, support),
        curve=precision_recall(one.scores, one.hits, support),
    )


def _class_scores(values: Mapping) -> DetectionClassScores:
    best, curve = values["best"], values["curve"]
    return DetectionClassScores(
        **{
            **values,
            "coco": CocoClassScores(**values["coco"]),
            "best": best and OperatingPoint(**best),
            "curve": curve and PrecisionRecallCurve(**{name: tuple(v) for name, v in curve.items()}),
        }
    )


def _plain(values):
    """Return nested values with lists in place of tuples, as JSON would give them back."""
    if isinstance(values, dict):
        return {name: _plain(value) for name, value in values.items()}
    return list(values) if isinstance(values, tuple) else values
