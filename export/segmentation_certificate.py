"""Prove that a segmenter's file draws what the model draws: the same images, pixel by pixel, IoU of both."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import ExportError
from kerasvision.export.certificate import Recorded, facts
from kerasvision.export.segmentation_runner import SegmentationRunner, images_at_once, softmax
from kerasvision.export.segmentation_source import SegmentationSource
from kerasvision.metrics import SegmentationTally

# `agreement`: share of pixels with the same class. At borders the logits of two classes are equal, and
# rounding decides. `mean_difference`, `max_difference`: of probabilities. `miou_change`: 0.02 is two points,
# up or down: a file that answers differently is another model, even if it happens to be right more often.
TOLERANCES = {
    None: {"agreement": 0.999, "max_difference": 1e-3, "miou_change": 0.002},
    "float16": {"agreement": 0.98, "mean_difference": 0.01, "miou_change": 0.01},
    "dynamic": {"agreement": 0.95, "miou_change": 0.02},
    "int8": {"agreement": 0.95, "miou_change": 0.02},
}
_KNOWN = ("agreement", "max_difference", "mean_difference", "miou_change")


@dataclass(frozen=True)
class SegmentationCertificate(Recorded):
    """What a comparison of a segmenter's file with its model found.

    Attributes:
        file: name of the file or folder.
        format: `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        passed: whether every tolerance was kept.
        count: held-out images that went through both.
        output: what the file gives: `"probabilities"`, `"labels"` or `"logits"`.
        output_size: (height, width) of that.
        agreement: share of all pixels with the same class, those that are void in the truth too.
        overlap: mean over the classes that either has of the IoU of the file's pixels with the model's.
        max_difference: largest difference of a probability; `None` of a file of labels, as the next.
        mean_difference: mean difference of a probability.
        miou_model: mean IoU of the model with the truth, without void, over the classes that the truth has;
            `None` without truth, as the next.
        miou_file: that of the file.
        per_class: class name -> [IoU of the model, IoU of the file, pixels of the truth]; both are `None`
            for a class that the truth has not. Empty without truth.
        tolerance: what was allowed.
        failures: what was not kept, in words.
        sha256: of the file (of a folder: of its files and their names).
        size: bytes.
        created: time in UTC, ISO 8601.
        versions: of the packages that took part.
        task: `"segment"`.
    """

    file: str
    format: str
    quantize: str | None
    passed: bool
    count: int
    output: str
    output_size: tuple[int, int]
    agreement: float
    overlap: float
    max_difference: float | None
    mean_difference: float | None
    miou_model: float | None
    miou_file: float | None
    per_class: Mapping
    tolerance: Mapping[str, float]
    failures: tuple[str, ...]
    sha256: str
    size: int
    created: str
    versions: Mapping[str, str]
    task: str = "segment"

    @classmethod
    def from_dict(cls, value: Mapping) -> "SegmentationCertificate":
        """Rebuild from `to_dict`.

        Raises:
            ExportError: it is not a certificate of a segmenter.
        """
        return super().from_dict({**value, "output_size": tuple(value.get("output_size", ()))})

    def summary(self) -> str:
        """Return the figures of an error message."""
        height, width = self.output_size
        text = (
            f"{self.count} held-out images of {width} x {height} pixels, the same class at "
            f"{self.agreement:.2%} of them, IoU with the model's label maps {self.overlap:.3f}"
        )
        if self.max_difference is not None:
            text += (
                f", probabilities differ by {self.max_difference:.2g} at most, {self.mean_difference:.2g} "
            )
            text += "in the mean"
        if self.miou_model is not None:
            text += f", mean IoU {self.miou_model:.3f} -> {self.miou_file:.3f}"
        return text

    def __str__(self) -> str:
        return f"{self.heading()}, {self.summary()}" + "".join(f"\n  {text}" for text in self.failures)


def certify_segmenter(
    source: SegmentationSource,
    runner: SegmentationRunner,
    *,
    file: str | os.PathLike,
    format: str,
    quantize: str | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> SegmentationCertificate:
    """Run the held-out images through the segmenter and the file and compare their label maps.

    Memory does not grow with the number of images.

    Args:
        source: the segmenter and its held-out images.
        runner: the file.
        file: where the file lies, for its size and SHA-256.
        format: its format.
        quantize: how it was quantised; decides what is tolerated.
        tolerance: other limits, in part or all: `agreement`, `max_difference`, `mean_difference`,
            `miou_change`.

    Returns:
        A certificate that passed or failed; nothing is raised for a failure.

    Raises:
        ExportError: a limit is unknown, or the file's answers have another shape than the model's.
    """
    limits = segmentation_tolerances(quantize, tolerance)
    comparison = _Comparison(source)
    size = images_at_once(source.output_size, len(source.labels))
    for start in range(0, len(source.images), size):
        comparison.add(slice(start, start + size), runner)
    figures = comparison.figures()
    failures = (*comparison.failures(limits), *_failures(figures, limits))
    return SegmentationCertificate(
        **facts(file, format, quantize, len(source.images), limits, failures),
        **figures,
        output=source.output,
        output_size=source.output_size,
    )


def segmentation_tolerances(quantize: str | None, stated: Mapping[str, float] | None) -> dict[str, float]:
    """Return the limits for a kind of file, with the caller's own in their place.

    Raises:
        ExportError: a limit is unknown or not a number from 0 to 1.
    """
    for name, value in (stated or {}).items():
        if name not in _KNOWN or not 0 <= value <= 1:
            raise ExportError(
                f"`tolerance` must map {', '.join(_KNOWN)} to numbers from 0 to 1. "
                f"Received: {{{name!r}: {value!r}}}."
            )
    return {**TOLERANCES[quantize], **(stated or {})}


class _Comparison:
    """Counts what model and file say of images as they come."""

    def __init__(self, source: SegmentationSource):
        self.source = source
        self._between = SegmentationTally(source.labels, tolerance=None)
        with_truth = 0 if source.truth is None else 2
        self._tallies = [SegmentationTally(source.labels, tolerance=None) for _ in range(with_truth)]
        self._broken, self._most, self._sum, self._values = 0, 0.0, 0.0, 0

    def add(self, rows: slice, runner: SegmentationRunner) -> None:
        """Compare some images."""
        images = self.source.images[rows]
        logits = self.source.function(images)
        mine = logits.argmax(-1).astype(np.uint8)
        theirs, found = runner.answer(images)
        expected = mine.shape if found is None else logits.shape
        given = theirs.shape if found is None else found.shape
        if given != expected:
            raise ExportError(f"The file answers with the shape {given}; the model with {expected}.")
        if found is not None:
            good = np.isfinite(found)
            self._broken += int((~good.all(-1)).sum())
            difference = np.abs(np.where(good, found, 2.0) - softmax(logits))
            self._most = max(self._most, float(difference.max()))
            self._sum, self._values = (
                self._sum + float(difference.sum(dtype=np.float64)),
                (self._values + difference.size),
            )
        if (theirs >= len(self.source.labels)).any():
            raise ExportError(f"The file answers with the class {theirs.max()}, which has no label.")
        self._between.add(mine, theirs)
        for tally, answers in zip(self._tallies, (mine, theirs), strict=False):
            tally.add(self.source.truth_of(rows), answers)

    def figures(self) -> dict:
        """Return the figures of the certificate."""
        between, some = self._between.judgement(), self._values > 0
        figures = {
            "agreement": between.pixel_accuracy,
            "overlap": between.mean_iou,
            "max_difference": self._most if some else None,
            "mean_difference": self._sum / self._values if some else None,
            "miou_model": None,
            "miou_file": None,
            "per_class": {},
        }
        if not self._tallies:
            return figures
        rows = zip(*(tally.judgement().per_class for tally in self._tallies), strict=True)
        per_class = {
            mine.name: [mine.iou, theirs.iou, mine.pixels] if mine.pixels else [None, None, 0]
            for mine, theirs in rows
        }
        # Over the same classes for both: a pixel of a class that is nowhere would be a whole IoU of 0.
        there = np.array([row[:2] for row in per_class.values() if row[2]], float)
        means = dict(zip(("miou_model", "miou_file"), map(float, there.mean(0)), strict=True))
        return figures | means | {"per_class": per_class}

    def failures(self, limits: Mapping[str, float]) -> tuple[str, ...]:
        """Return what no tolerance can excuse."""
        if self._broken:
            return (f"the answers at {self._broken} pixels are not finite numbers",)
        by_value = self._values and {"max_difference", "mean_difference"} & set(limits)
        if not by_value and np.count_nonzero(self._between.confusion.sum(1)) < 2:
            return (
                "the model itself says the same class everywhere on the held-out images, so there is nothing "
                "to prove: train it longer, or give images of several classes",
            )
        return ()


def _failures(figures: Mapping, limits: Mapping[str, float]) -> list[str]:
    # Written as "not (good)", so that a figure that is not a number fails.
    failures = []
    if "agreement" in limits and not figures["agreement"] >= limits["agreement"]:
        failures.append(
            f"the same class at {figures['agreement']:.2%} of the pixels, needed are "
            f"{limits['agreement']:.2%}"
        )
    texts = {
        "max_difference": "a probability differs by {:.3g}, allowed are {:g}",
        "mean_difference": "probabilities differ by {:.3g} in the mean, allowed are {:g}",
    }
    for name, text in texts.items():
        if name in limits and figures[name] is not None and not figures[name] <= limits[name]:
            failures.append(text.format(figures[name], limits[name]))
    before, after = figures["miou_model"], figures["miou_file"]
    if "miou_change" in limits and before is not None and not abs(after - before) <= limits["miou_change"]:
        failures.append(
            f"mean IoU changes from {before:.3f} to {after:.3f}, allowed are {limits['miou_change']:g}"
        )
    return failures
