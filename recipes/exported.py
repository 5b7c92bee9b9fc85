"""Answers of an exported file about photos: names and resizing come with the file."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data import Preprocessing
from kerasvision.errors import DataError
from kerasvision.export import DetectionRunner, Runner, open_file
from kerasvision.files import read_json
from kerasvision.progress import say
from kerasvision.recipes.finds_boxes import FindsBoxes
from kerasvision.recipes.found_boxes import FoundBoxes
from kerasvision.recipes.predicting import Prediction, as_predictions, gather, judge_split, probabilities

SHOWN = 0.25  # where an exported file does not say which thresholds were best
MOST_CLASSES = 1000  # of a detector without names: its outputs do not say how many classes there are


@dataclass(frozen=True)
class ExportedClassifier:
    """An exported file, opened, with what belongs to it.

    Attributes:
        runner: uint8 images -> probabilities.
        labels: names of the classes, in the order of the output; "class 0", … where the file has none.
        preprocessing: how a photo becomes the input.
    """

    runner: Runner
    labels: tuple[str, ...]
    preprocessing: Preprocessing

    def predict(
        self, images, *, top: int = 5, on_bad_file: Literal["raise", "skip"] = "raise"
    ) -> list[Prediction]:
        """Say what is on images, as `Run.predict` does.

        Args:
            images: paths, folders, patterns, arrays or PIL images.
            top: how many classes for each image.
            on_bad_file: `"raise"`, or `"skip"`: what cannot be read is reported and left out.

        Raises:
            BadImageError: an image cannot be read.
            DataError: there are no images.
        """
        sources, names = gather(images)
        answers, read = probabilities(
            self.runner, self.preprocessing, sources, names, on_bad_file=on_bad_file
        )
        return as_predictions(answers, [names[i] for i in read], self.labels, top)

    def evaluate(self, data, split: str | None = None):
        """Judge the file on other images, as `Run.evaluate` judges the model.

        Args:
            data: a `VisionData`; its classes are matched by name.
            split: by default test, else validation, else train.

        Raises:
            DataError: a class that the file does not know, or no such split.
        """
        return judge_split(self.runner, self.labels, self.preprocessing, data, split)


@dataclass(frozen=True)
class ExportedDetector(FindsBoxes):
    """An exported file of a detector, opened, with what belongs to it.

    Attributes:
        runner: uint8 images -> one `Detections` an image.
        labels: names of the classes; "class 0", … where the file has none.
        preprocessing: how a photo becomes the input.
    """

    runner: Runner
    labels: tuple[str, ...]
    preprocessing: Preprocessing

    def predict(
        self,
        images,
        *,
        threshold: float | None = None,
        on_bad_file: Literal["raise", "skip"] = "raise",
    ) -> list[FoundBoxes]:
        """Find boxes on images, as `DetectorRun.predict` does.

        Args:
            images: paths, folders, patterns, arrays or PIL images.
            threshold: least score. Default: for each class what the file says, as `DetectorRun.predict` has
                it; 0.25 where it says nothing. What is below the file's own threshold is never there.
            on_bad_file: `"raise"`, or `"skip"`: what cannot be read is reported and left out.

        Raises:
            BadImageError: an image cannot be read.
            DataError: there are no images.
        """
        told = self.runner.thresholds or {}
        least = [told.get(label, SHOWN) if threshold is None else threshold for label in self.labels]
        if any(isinstance(t, bool) or not isinstance(t, int | float) or not 0 <= t <= 1 for t in least):
            raise DataError(f"`threshold` must be a number from 0 to 1. Received: {threshold!r}.")
        return self._find(images, self.runner, np.asarray(least, float), on_bad_file)

    def _judging_function(self):
        return self.runner


def open_exported(file: str | os.PathLike) -> ExportedClassifier | ExportedDetector:
    """Open an exported file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel.

    Labels and preprocessing come with the file, else from `labels.txt` and `preprocessing.json` beside it.
    What is missing is said.

    Raises:
        ExportError: it cannot be run.
    """
    runner = open_file(file)
    finds = isinstance(runner, DetectionRunner)
    beside = _beside(Path(file))
    labels, preprocessing = runner.labels or beside[0], runner.preprocessing or beside[1]
    if preprocessing is None:
        preprocessing = Preprocessing(runner.image_size)
        say(f"{file} does not say how photos are resized. They are stretched to its size.")
    if not labels:
        count = MOST_CLASSES if finds else runner(np.zeros((1, *runner.image_size, 3), np.uint8)).shape[1]
        labels = tuple(f"class {i}" for i in range(count))
        say(f"{file} does not name its classes. They are numbered. A labels.txt beside it could name them.")
    return (ExportedDetector if finds else ExportedClassifier)(runner, tuple(labels), preprocessing)


def _beside(file: Path) -> tuple[tuple[str, ...], Preprocessing | None]:
    labels, settings = file.with_name("labels.txt"), file.with_name("preprocessing.json")
    names = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else ()
    return tuple(names), Preprocessing.from_dict(read_json(settings)) if settings.is_file() else None
