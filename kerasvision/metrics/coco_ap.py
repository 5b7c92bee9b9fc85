"""COCO's average precision and recall; the only file that touches faster-coco-eval.

The library gives the values of pycocotools, with its slow parts in C++.

Source of the rules: Lin et al., 2014, "Microsoft COCO", https://arxiv.org/abs/1405.0312, and
https://cocodataset.org/#detection-eval.
"""

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.metrics.box_geometry import box_areas, to_xywh
from kerasvision.metrics.detection_values import FoundTable, TruthTable, tables

SIZES = ("all", "small", "medium", "large")
IOU_50, IOU_75 = 0, 5  # places of 0.50 and 0.75 in 0.50, 0.55, … 0.95


@dataclass(frozen=True)
class CocoClassScores:
    """COCO's figures of one class; None where the class does not occur.

    Attributes:
        ap: mean over IoU 0.50 to 0.95.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ar: recall, mean over IoU 0.50 to 0.95.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None


@dataclass(frozen=True)
class CocoScores:
    """COCO's twelve figures, and those of each class; None where no box counts.

    Attributes:
        ap: average precision, mean over IoU 0.50 to 0.95 and over classes.
        ap50: at IoU 0.50.
        ap75: at IoU 0.75.
        ap_small: of objects below 32 x 32 pixels.
        ap_medium: of objects from there to 96 x 96 pixels.
        ap_large: of larger ones.
        ar_1: recall with one detection an image and class, mean over IoU and classes.
        ar_10: with ten.
        ar_100: with `max_detections` (100 unless stated).
        ar_small: `ar_100` of small objects.
        ar_medium: of medium ones.
        ar_large: of large ones.
        per_class: one a class.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float | None
    ar_10: float | None
    ar_100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[CocoClassScores, ...] = ()

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(self), "per_class": [asdict(scores) for scores in self.per_class]}

    @classmethod
    def from_dict(cls, values: Mapping) -> "CocoScores":
        """Return what `to_dict` was called on."""
        classes = tuple(CocoClassScores(**scores) for scores in values["per_class"])
        return cls(**{**values, "per_class": classes})


def coco_average_precision(
    truth: Sequence, found: Sequence, classes: int, *, max_detections: int = 100
) -> CocoScores:
    """Return COCO's figures, equal to those of pycocotools.

    Crowd boxes do not count, and detections in them are neither right nor wrong. VOC's `difficult` boxes
    count: COCO does not know them (`voc_average_precision` leaves them out).

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order.
        classes: how many classes there are.
        max_detections: detections an image and class that count, the best-scored; above 10.

    Raises:
        KerasvisionError: shapes, labels or values that do not fit.
    """
    if max_detections <= 10:
        raise KerasvisionError(f"`max_detections` must be above 10. Received: {max_detections}.")
    return scores_of(*tables(truth, found, classes), classes, max_detections)


def scores_of(truth: TruthTable, found: FoundTable, classes: int, max_detections: int = 100) -> CocoScores:
    """Return COCO's figures of ready tables."""
    with _no_garbage_collection():
        precision, recall = _evaluate(truth, found, classes, max_detections)
    # (IoU, recall, class, size, detections) and (IoU, class, size, detections); -1 where undefined
    sized = [_mean(precision[..., s, -1]) for s in (1, 2, 3)]
    recalled = [_mean(recall[:, :, 0, m]) for m in (0, 1, 2)]
    recalled_sized = [_mean(recall[:, :, s, -1]) for s in (1, 2, 3)]
    overall = precision[:, :, :, 0, -1]
    return CocoScores(
        *(_mean(overall), _mean(overall[IOU_50]), _mean(overall[IOU_75])),
        *(*sized, *recalled, *recalled_sized),
        per_class=tuple(
            CocoClassScores(
                _mean(overall[:, :, c]),
                _mean(overall[IOU_50, :, c]),
                _mean(overall[IOU_75, :, c]),
                _mean(recall[:, c, 0, -1]),
            )
            for c in range(classes)
        ),
    )


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for cycles among a dictionary a box, again and again: 1.25 s instead of 1.5.

    Measured with 2,000 images of 20 boxes and 80 classes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _evaluate(truth: TruthTable, found: FoundTable, classes: int, max_detections: int):
    """Return the library's precision and recall."""
    from faster_coco_eval import COCOeval_faster  # loads OpenCV where there is one

    shared = {
        "images": [{"id": i} for i in range(1, truth.images + 1)],
        "categories": [{"id": c, "name": str(c)} for c in range(1, classes + 1)],
    }
    # Numbers start at 1: the library takes annotation 0 for "no match".
    annotated = _rows(truth, truth.areas, iscrowd=truth.crowd.astype(int))
    detected = _rows(
        found, box_areas(found.boxes), score=found.scores, iscrowd=np.zeros(found.image.size, int)
    )
    evaluation = COCOeval_faster(_coco(shared, annotated), _coco(shared, detected), "bbox")
    evaluation.params.maxDets = [1, 10, max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])


def _coco(shared: Mapping, rows: list[dict]):
    from faster_coco_eval import COCO

    return COCO({**shared, "annotations": rows})


def _rows(table: TruthTable | FoundTable, areas: np.ndarray, **columns: np.ndarray) -> list[dict]:
    """Return one annotation a box, as plain Python values."""
    columns = {
        "id": np.arange(1, len(table.image) + 1),
        "image_id": table.image + 1,
        "category_id": table.labels + 1,
        "bbox": to_xywh(table.boxes),
        "area": areas,
        **columns,
    }
    names, values = tuple(columns), [column.tolist() for column in columns.values()]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _mean(values: np.ndarray) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None
