"""Prove that a detector's file finds what the model finds: the same images, boxes matched, AP of both.

Tensors cannot be compared: a rounding error of the seventh digit may exchange two boxes of nearly the same
score, and with them all rows after. So each box of the model is matched with a box of the file.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import ExportError
from kerasvision.export.certificate import Recorded, facts
from kerasvision.export.detection_source import DetectionSource
from kerasvision.metrics import Detections, coco_average_precision, pairwise_iou

# `same`: boxes that are equal to 1e-3. Not all of them, because of two boxes of one object with nearly equal
# scores rounding decides which one is kept. `ap_drop` 0.02 is two points, of AP and of AP50.
TOLERANCES = {
    None: {"same": 0.995, "ap_drop": 0.001},
    "float16": {"recall": 0.97, "precision": 0.97, "ap_drop": 0.01},
    "dynamic": {"recall": 0.90, "precision": 0.90, "ap_drop": 0.02},
    "int8": {"recall": 0.90, "precision": 0.90, "ap_drop": 0.02},
}
EQUAL = 1e-3  # of scores, and of coordinates as shares of the image's sides
# Boxes that an app would show. Where the selection itself is stricter, those a little above it: near the
# threshold rounding decides whether a box is there at all.
SHOWN, MARGIN = 0.25, 0.05
LEAST_IOU = 0.5


@dataclass(frozen=True)
class DetectionCertificate(Recorded):
    """What a comparison of a detector's file with its model found.

    Attributes:
        file: name of the file or folder.
        format: `"tflite"`, `"saved_model"` or `"onnx"`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        passed: whether every tolerance was kept.
        count: held-out images that went through both.
        margin: boxes with at least this score are compared.
        boxes_model: how many of those the model has.
        boxes_file: how many the file has.
        recall: share of those of the model that the file has too: same class, IoU of at least 0.5, any score.
        precision: share of those of the file that the model has too.
        same: the smaller share of both that are equal to 1e-3 in scores and coordinates.
        mean_iou: of boxes that both have.
        max_score_difference: of boxes that both have.
        max_box_difference: of boxes that both have, as a share of the image's side.
        ap_model: COCO's AP of the model on the truth; `None` without truth, as the next three.
        ap_file: that of the file.
        ap50_model: AP at IoU 0.5 of the model.
        ap50_file: that of the file.
        per_class: class name -> [AP50 of the model, AP50 of the file, annotated boxes]. Empty without truth.
        selection: most, overlap, threshold and per_class of the file.
        tolerance: what was allowed.
        failures: what was not kept, in words.
        sha256: of the file (of a folder: of its files and their names).
        size: bytes.
        created: time in UTC, ISO 8601.
        versions: of the packages that took part.
        task: `"detect"`.
    """

    file: str
    format: str
    quantize: str | None
    passed: bool
    count: int
    margin: float
    boxes_model: int
    boxes_file: int
    recall: float
    precision: float
    same: float
    mean_iou: float | None
    max_score_difference: float | None
    max_box_difference: float | None
    ap_model: float | None
    ap_file: float | None
    ap50_model: float | None
    ap50_file: float | None
    per_class: Mapping[str, Sequence]
    selection: Mapping
    tolerance: Mapping[str, float]
    failures: tuple[str, ...]
    sha256: str
    size: int
    created: str
    versions: Mapping[str, str]
    task: str = "detect"

    def summary(self) -> str:
        """Return the figures of an error message."""
        text = (
            f"{self.count} held-out images, {self.boxes_model} boxes of the model and {self.boxes_file} of "
            f"the file with scores of at least {self.margin:g}, recall {self.recall:.1%}, precision "
            f"{self.precision:.1%}"
        )
        if self.mean_iou is not None:
            text += (
                f", mean IoU {self.mean_iou:.3f}, scores differ by {self.max_score_difference:.2g} at most"
            )
        if self.ap_model is not None:
            text += (
                f", AP {self.ap_model:.3f} -> {self.ap_file:.3f}, AP50 {self.ap50_model:.3f} -> "
                f"{self.ap50_file:.3f}"
            )
        return text

    def __str__(self) -> str:
        return f"{self.heading()}, {self.summary()}" + "".join(f"\n  {text}" for text in self.failures)


def certify_detector(
    source: DetectionSource,
    runner: Callable[[np.ndarray], list[Detections]],
    *,
    file: str | os.PathLike,
    format: str,
    quantize: str | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> DetectionCertificate:
    """Run the held-out images through the detector and the file and compare what they find.

    Args:
        source: the detector and its held-out images.
        runner: the file, as a function from uint8 images to one `Detections` an image, in their pixels.
        file: where the file lies, for its size and SHA-256.
        format: its format.
        quantize: how it was quantised; decides what is tolerated.
        tolerance: other limits, in part or all: `same`, `recall`, `precision`, `ap_drop`.

    Returns:
        A certificate that passed or failed; nothing is raised for a failure.

    Raises:
        ExportError: a limit is unknown.
    """
    limits = detection_tolerances(quantize, tolerance)
    found, broken = _finite(runner(source.images))
    margin = max(SHOWN, source.selection.threshold + MARGIN)
    figures = compare_detections(source.reference, found, source.preprocessing.image_size, margin)
    figures |= _average_precision(source, found)
    failures = ((f"{broken} boxes are not finite numbers",) if broken else ()) + _failures(figures, limits)
    return DetectionCertificate(
        **facts(file, format, quantize, len(source.images), limits, failures),
        **figures,
        margin=margin,
        selection=source.selection.to_dict(),
    )


def compare_detections(
    reference: Sequence[Detections],
    found: Sequence[Detections],
    image_size: tuple[int, int],
    margin: float = SHOWN,
) -> dict:
    """Return the figures of a certificate that need no truth.

    Args:
        reference: what the model finds, one entry an image.
        found: what the file finds.
        image_size: (height, width) of the images.
        margin: boxes with at least this score are compared.
    """
    if len(found) != len(reference):
        raise ExportError(f"The file answers for {len(found)} images; the model for {len(reference)}.")
    pairs = [_matched(*both, image_size) for both in zip(reference, found, strict=True)]
    pairs = np.concatenate([np.zeros((0, 5)), *pairs])
    mine, theirs, overlap, score, box = pairs.T
    counted = np.maximum(mine, theirs) >= margin
    equal = (score <= EQUAL) & (box <= EQUAL)
    counts, shares, same = [], [], []
    for own, everything in ((mine, reference), (theirs, found)):
        counts.append(sum(int((one.scores >= margin).sum()) for one in everything))
        shares.append(_share((own >= margin).sum(), counts[-1]))
        same.append(_share((equal & (own >= margin)).sum(), counts[-1]))
    some = counted.any()
    return {
        "boxes_model": counts[0],
        "boxes_file": counts[1],
        "recall": shares[0],
        "precision": shares[1],
        "same": min(same),
        "mean_iou": float(overlap[counted].mean()) if some else None,
        "max_score_difference": float(score[counted].max()) if some else None,
        "max_box_difference": float(box[counted].max()) if some else None,
    }


def detection_tolerances(quantize: str | None, stated: Mapping[str, float] | None) -> dict[str, float]:
    """Return the limits for a kind of file, with the caller's own in their place.

    Raises:
        ExportError: a limit is unknown or not a number from 0 to 1.
    """
    known = ("same", "recall", "precision", "ap_drop")
    for name, value in (stated or {}).items():
        if name not in known or not 0 <= value <= 1:
            raise ExportError(
                f"`tolerance` must map {', '.join(known)} to numbers from 0 to 1. "
                f"Received: {{{name!r}: {value!r}}}."
            )
    return {**TOLERANCES[quantize], **(stated or {})}


def _matched(reference: Detections, found: Detections, image_size: tuple[int, int]) -> np.ndarray:
    """Match boxes of one class one to one, those that overlap most first.

    Returns:
        (pairs, 5): score of the model, score of the file, IoU, difference of the scores, largest difference
        of a coordinate as a share of the image's side.
    """
    overlaps = pairwise_iou(reference.boxes, found.boxes)
    overlaps = np.where(reference.labels[:, None] == found.labels[None], overlaps, 0.0)
    apart = np.abs(reference.scores[:, None] - found.scores[None])
    first, second = np.nonzero(overlaps >= LEAST_IOU)
    rows, free = [], [np.ones(len(one), bool) for one in (reference, found)]
    sides = np.array([image_size[1], image_size[0]] * 2)
    for at in np.lexsort((apart[first, second], -overlaps[first, second])):
        i, j = first[at], second[at]
        if not (free[0][i] and free[1][j]):
            continue
        free[0][i] = free[1][j] = False
        box = np.abs((reference.boxes[i] - found.boxes[j]) / sides).max()
        rows.append((reference.scores[i], found.scores[j], overlaps[i, j], apart[i, j], box))
    return np.array(rows, np.float64).reshape(-1, 5)


def _average_precision(source: DetectionSource, found: Sequence[Detections]) -> dict:
    names = ("ap_model", "ap_file", "ap50_model", "ap50_file")
    if source.truth is None:
        return {**dict.fromkeys(names), "per_class": {}}
    classes = len(source.labels)
    model, file = (coco_average_precision(source.truth, f, classes) for f in (source.reference, found))
    counts = np.bincount(np.concatenate([one.labels[~one.crowd] for one in source.truth]), minlength=classes)
    both = zip(source.labels, model.per_class, file.per_class, counts, strict=True)
    per_class = {label: [mine.ap50, theirs.ap50, int(count)] for label, mine, theirs, count in both}
    figures = (model.ap, file.ap, model.ap50, file.ap50)
    return {**dict(zip(names, figures, strict=True)), "per_class": per_class}


def _failures(figures: Mapping, limits: Mapping[str, float]) -> tuple[str, ...]:
    # Written as "not (good)", so that a figure that is not a number fails.
    if not figures["boxes_model"]:
        return (
            "the model itself finds no box on the held-out images, so there is nothing to prove: train it "
            "longer, or give images with objects",
        )
    texts = {
        "same": "only {:.1%} of the boxes are the same, needed are {:.1%}",
        "recall": "the file has {:.1%} of the model's boxes, needed are {:.1%}",
        "precision": "the model has {:.1%} of the file's boxes, needed are {:.1%}",
    }
    failures = [
        text.format(figures[name], limits[name])
        for name, text in texts.items()
        if name in limits and not figures[name] >= limits[name]
    ]
    for name, key in (("AP", "ap"), ("AP50", "ap50")):
        before, after = figures[f"{key}_model"], figures[f"{key}_file"]
        if "ap_drop" in limits and before is not None and not before - after <= limits["ap_drop"]:
            failures.append(
                f"{name} falls from {before:.3f} to {after:.3f}, allowed is {limits['ap_drop']:g} less"
            )
    return tuple(failures)


def _finite(found: Sequence[Detections]) -> tuple[list[Detections], int]:
    """Return the boxes that are numbers, and how many are not."""
    kept, broken = [], 0
    for one in found:
        good = np.isfinite(one.boxes).all(-1) & np.isfinite(one.scores)
        broken += int((~good).sum())
        kept.append(one if good.all() else Detections(one.boxes[good], one.labels[good], one.scores[good]))
    return kept, broken


def _share(part, whole: int) -> float:
    """Return part / whole; all of nothing is 1."""
    return float(part / whole) if whole else 1.0
