"""What the export of a detector starts from: the detector, its labels, and images to prove the file on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np

from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError
from kerasvision.export.source import check_images, check_labels, float32_form


@dataclass(frozen=True)
class Selection:
    """Which of the decoded boxes a file gives; built into it.

    Attributes:
        most: boxes of an image at most.
        overlap: of two boxes with an IoU above this, the one with the lower score goes.
        threshold: boxes must have a score above this.
        per_class: boxes of different classes do not suppress each other.
    """

    most: int = 100
    overlap: float = 0.5
    threshold: float = 0.05
    per_class: bool = True

    def __post_init__(self):
        if isinstance(self.most, bool) or not isinstance(self.most, int) or not 1 <= self.most <= 1000:
            raise ExportError(f"`most` must be a number from 1 to 1000. Received: {self.most!r}.")
        if not 0 < self.overlap <= 1 or not 0 < self.threshold < 1:
            raise ExportError(
                "`overlap` must be above 0 and at most 1, `threshold` between 0 and 1. "
                f"Received: {self.overlap!r} and {self.threshold!r}."
            )

    def to_dict(self) -> dict:
        """Return what JSON can hold, and what `kerasvision.detection.find` takes as keywords."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DetectionSource:
    """A detector and what is needed to export it and to prove the file.

    Attributes:
        detector: `kerasvision.detection.Detector`. Of one in mixed precision the float32 form is taken.
        labels: names of the classes, in the order of the detector's.
        preprocessing: what happens to a photo before the detector: its size, how it is resized.
        calibration: (n, h, w, 3) uint8 training images, for int8; may be empty.
        images: (n, h, w, 3) uint8 held-out images, for the certificate.
        truth: one `ImageBoxes` an image of `images`, in pixels of these resized images; or `None`: AP is not
            compared then.
        selection: which boxes the file gives.
        thresholds: class name -> least score of a box that an app shows, told in the files; or `None`.
    """

    detector: object
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: np.ndarray
    images: np.ndarray
    truth: Sequence[ImageBoxes] | None = None
    selection: Selection = field(default_factory=Selection)
    thresholds: Mapping[str, float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "labels", tuple(self.labels))
        _check_detector(self.detector, self.preprocessing, self.labels)
        model = float32_form(self.detector.model)
        if model is not self.detector.model:
            object.__setattr__(self, "detector", replace(self.detector, model=model))
        for name in ("calibration", "images"):
            check_images(name, getattr(self, name), self.input_shape)
        check_labels(self.labels)
        if self.thresholds is not None and set(self.thresholds) != set(self.labels):
            raise ExportError(
                f"`thresholds` must have one number for each of {list(self.labels)}. "
                f"Received: {list(self.thresholds)}."
            )
        if self.truth is not None:
            _check_truth(self.truth, len(self.images), self.preprocessing.image_size, len(self.labels))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (*self.preprocessing.image_size, 3)

    @property
    def name(self) -> str:
        """Name of the detector, for files."""
        return self.detector.model.name

    @cached_property
    def reference(self) -> list:
        """The detector's `Detections` on `images`, in their pixels, computed once."""
        from kerasvision.detection import find

        return find(self.detector, self.images, **self.selection.to_dict())


def as_detection_source(source_or_run, *, data=None, selection: Selection | None = None) -> DetectionSource:
    """Gather what the export of a detector needs.

    Args:
        source_or_run: a `DetectionSource`, or a run of a detector (it brings everything).
        data: for a run: `VisionData` to take images, truth and labels from.
        selection: which boxes the file gives, other than the source says.

    Raises:
        ExportError: it is neither.
    """
    source = source_or_run
    if hasattr(source, "export_source"):
        source = source.export_source(data)
    if not isinstance(source, DetectionSource):
        raise ExportError(
            "`source_or_run` must be a run of a detector or a DetectionSource, which says on what images the "
            "files are to be proved: DetectionSource(detector, labels, Preprocessing(image_size), "
            f"calibration, images, truth). Received: {type(source).__name__}."
        )
    return source if selection is None else replace(source, selection=selection)


def _check_detector(detector, preprocessing: Preprocessing, labels: Sequence[str]) -> None:
    spec = getattr(detector, "spec", None)
    if spec is None or not hasattr(detector, "decode"):
        raise ExportError(
            "`detector` must be a kerasvision.detection.Detector: its head knows how the outputs of the "
            f"network are read. Received: {type(detector).__name__}."
        )
    if tuple(spec.image_size) != preprocessing.image_size:
        raise ExportError(
            f"`preprocessing` must resize to the detector's {tuple(spec.image_size)}. "
            f"It resizes to: {preprocessing.image_size}."
        )
    if len(labels) != spec.classes:
        raise ExportError(f"`labels` must be {spec.classes} names. Received: {len(labels)}.")


def _check_truth(truth: Sequence, count: int, size: tuple[int, int], classes: int) -> None:
    if len(truth) != count:
        raise ExportError(f"`truth` must have one entry for each of {count} images. Received: {len(truth)}.")
    for index, one in enumerate(truth):
        if tuple(one.size) != size:
            raise ExportError(
                f"`truth` must be in pixels of the resized images, of {size}. Received: boxes on "
                f"{tuple(one.size)} pixels for image {index}; kerasvision.data.boxes.place_boxes moves them."
            )
        if len(one.labels) and not 0 <= one.labels.min() <= one.labels.max() < classes:
            raise ExportError(f"`truth` must have labels from 0 to {classes - 1}. See image {index}.")
