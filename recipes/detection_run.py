"""A finished training of a detector: its folder, the detector, and what one does with it."""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from zipfile import BadZipFile

import numpy as np

from kerasvision.errors import RunError
from kerasvision.recipes import detection_judging as judging
from kerasvision.recipes import run_folder
from kerasvision.recipes.detection_training import JUDGED_FROM, OVERLAP
from kerasvision.recipes.finds_boxes import FindsBoxes
from kerasvision.recipes.finished_run import FinishedRun
from kerasvision.recipes.found_boxes import LOWEST, FoundBoxes, in_full_batches, thresholds_of

MOST_EXPORTED = 1000  # boxes of an image that a file gives
# The least threshold of a class that is shipped, and what files keep below the lowest of them.
LEAST, BELOW = 0.01, 0.9


class DetectorRun(FinishedRun, FindsBoxes):
    """A finished run of a detector. Make one with `train_detector`, or open one with `DetectorRun.load`.

    Attributes:
        folder: where everything lies.
        labels: names of the classes, in the order of the detector's.
    """

    kind = run_folder.DETECTOR

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "DetectorRun":
        """Open the folder of a finished run of a detector.

        Raises:
            RunError: it is not a run, not one of a detector, not finished, or files are missing.
        """
        return cls(folder)

    @cached_property
    def detector(self):
        """The trained `kerasvision.detection.Detector`."""
        from kerasvision.detection import DetectorSpec, build

        built = build(DetectorSpec.from_dict(self.record["decided"]["spec"]))
        path = self.folder / run_folder.MODEL
        try:
            built.model.load_weights(path)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RunError(f"{path} cannot be read: {reason}") from None
        return built

    @property
    def model(self):
        """The trained `keras.Model`: raw RGB (b, h, w, 3) in [0, 255] to raw outputs by name."""
        return self.detector.model

    @property
    def judgement(self):
        """The judgement on the test split, or on validation where there is none."""
        return judging.judgement_of(self.metrics)

    @property
    def samples(self):
        """The images that stay with the run: for calibration, and held-out ones with their boxes."""
        from kerasvision.recipes.detection_samples import read_detection_samples

        return read_detection_samples(self.folder / run_folder.SAMPLES)

    def predict(
        self,
        images,
        *,
        threshold: float | Mapping[str, float] | None = None,
        overlap: float = OVERLAP,
        per_class: bool = True,
        on_bad_file: str = "raise",
    ) -> list[FoundBoxes]:
        """Find boxes on images.

        Args:
            images: a path, a folder, a pattern such as `"new/*.jpg"`, a PIL image, encoded bytes, a uint8
                array (h, w, 3) or (n, h, w, 3), or a sequence of these.
            threshold: least score, one for all classes or class name -> score. Default: for each class that
                with the best F1 on the held-out images.
            overlap: of two boxes of a class with an IoU above this, the one with the lower score goes.
            per_class: boxes of different classes do not suppress each other.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.

        Returns:
            One `FoundBoxes` an image, in order, with boxes in pixels of the upright photo.

        Raises:
            DataError: no images were found, or of a type that cannot be read.
            BadImageError: an image cannot be read.
        """
        thresholds = thresholds_of(self.judgement, threshold)
        lowest = min(LOWEST, float(thresholds.min()))
        return self._find(images, self._function(overlap, lowest, per_class), thresholds, on_bad_file)

    def export_source(self, data=None):
        """Return what an export starts from: the detector, labels, preprocessing, and images to prove it on.

        Args:
            data: a `VisionData` to take the images and boxes from, instead of those that stay with the run.
        """
        from kerasvision.export import DetectionSource, Selection
        from kerasvision.recipes.detection_samples import choose_detection_samples

        thresholds = np.maximum(thresholds_of(self.judgement), LEAST)
        samples = self.samples if data is None else choose_detection_samples(data, seed=self.record["seed"])
        return DetectionSource(
            detector=self.detector,
            labels=self.labels,
            preprocessing=self.preprocessing,
            calibration=samples.calibration,
            images=samples.images,
            truth=samples.truth,
            selection=Selection(
                most=min(self.record["decided"]["most"], MOST_EXPORTED),
                threshold=min(LOWEST, BELOW * float(thresholds.min())),
            ),
            thresholds=dict(zip(self.labels, thresholds.round(4).tolist(), strict=True)),
        )

    def export(
        self,
        folder: str | os.PathLike,
        formats=("saved_model", "tflite"),
        quantize: str | None = None,
        data=None,
        **options,
    ):
        """Write files for other programs and phones, each proved to find what the detector finds.

        Args:
            folder: where to; created.
            formats: of `"saved_model"`, `"tflite"`, `"onnx"`.
            quantize: for TFLite: None (float32), `"float16"`, `"dynamic"`, `"int8"`, several of these, or
                `"auto"`: the smallest that passes.
            data: a `VisionData` to calibrate and certify with; by default the images that stay with the run.
            **options: of `kerasvision.export.export_detector`.

        Returns:
            The `kerasvision.export.Bundle`; its certificates are in the report from now on.

        Raises:
            CertificateError: a file does not find what the detector finds; it is not left there. The report
                shows its certificate beside those of the files that passed.
        """
        from kerasvision.export import export_detector

        source = self.export_source(data)
        return self._exported(export_detector, source, folder, formats=formats, quantize=quantize, **options)

    def _function(self, overlap: float, threshold: float, per_class: bool) -> Callable:
        """Return the compiled function from images to selected boxes; compiled once for each setting."""
        from kerasvision.detection.finding import finder

        most = self.record["decided"]["most"]
        return in_full_batches(
            finder(self.detector, most=most, overlap=overlap, threshold=threshold, per_class=per_class)
        )

    def _judging_function(self) -> Callable:
        return self._function(OVERLAP, JUDGED_FROM, True)

    def _write_report(self) -> None:
        judging.write_report(self.folder)

    def __repr__(self):
        judgement, decided = self.judgement, self.record["decided"]
        low, high = judgement.ap50_interval or (float("nan"),) * 2
        return (
            f"DetectorRun({os.fspath(self.folder)!r}): {decided['model']} on {decided['backbone']}, "
            f"{len(self.labels)} classes, AP50 {judgement.ap50 or 0:.1%} ({low:.1%} to {high:.1%}) on "
            f"{judgement.count} images ({self.metrics['split']})"
        )

    def _repr_html_(self) -> str:
        from kerasvision.report import detection_summary

        return detection_summary(judging.report_input(self.folder))
