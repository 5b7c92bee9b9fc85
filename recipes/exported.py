"""Answers of an exported file about photos: names and resizing come with the file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from kerasvision.data import Preprocessing
from kerasvision.data.gathering import gather
from kerasvision.errors import DataError, ExportError, KerasvisionError
from kerasvision.export import DetectionRunner, EmbeddingRunner, Runner, SegmentationRunner, open_file
from kerasvision.files import read_json, sha256
from kerasvision.metrics.segmentation import VOID
from kerasvision.progress import say
from kerasvision.recipes import run_folder
from kerasvision.recipes.embeds import Embeds
from kerasvision.recipes.finds_boxes import FindsBoxes
from kerasvision.recipes.finds_labels import FindsLabels
from kerasvision.recipes.found_boxes import FoundBoxes
from kerasvision.recipes.found_labels import FoundLabels
from kerasvision.recipes.label_network import LabelNetwork
from kerasvision.recipes.predicting import Prediction, as_predictions, judge_split, probabilities
from kerasvision.recipes.viewing import Viewing

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


@dataclass(frozen=True)
class ExportedSegmenter(FindsLabels):
    """An exported file of a segmenter, opened, with what belongs to it.

    Attributes:
        runner: uint8 images -> label maps.
        labels: names of the classes; "class 0", … where the file has none.
        preprocessing: how a photo becomes the input.
    """

    runner: SegmentationRunner
    labels: tuple[str, ...]
    preprocessing: Preprocessing

    @cached_property
    def network(self) -> LabelNetwork:
        """The file as a function of photos."""
        scores = _Scores(self.runner, len(self.labels))
        return LabelNetwork(scores, self.preprocessing, len(self.labels))

    def predict(
        self,
        images,
        *,
        mode: str = "whole",
        overlap: float = 0.5,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        on_bad_file: str = "raise",
    ) -> list[FoundLabels]:
        """Find the class of each pixel of images, as `SegmenterRun.predict` does.

        Args:
            images: paths, folders, patterns, arrays or PIL images.
            mode: `"whole"`, or `"sliding"`: the photo is seen through windows of the file's size.
            overlap: of neighbouring windows, a share of their sides.
            flip: average the probabilities with those of the mirrored photo.
            scales: for `"sliding"`: average over photos enlarged by these factors. A file takes images of one
                size, so `"whole"` is at 1 only.
            on_bad_file: `"raise"`, or `"skip"`: what cannot be read is reported and left out.

        Raises:
            BadImageError: an image cannot be read.
            DataError: there are no images.
            KerasvisionError: an option is not accepted.
        """
        size, given = self.preprocessing.image_size, self.runner.output_size
        if mode == "sliding" and given != size:
            raise KerasvisionError(
                f'`mode` must be "whole" for {self.runner.file}: windows need answers in their own size, '
                f"{size}, and it gives {given}. Export it without `output_size`."
            )
        return self._find(images, Viewing(mode, overlap, flip, scales), on_bad_file)


@dataclass(frozen=True)
class ExportedEmbedder(Embeds):
    """An exported file of an embedder, opened, with what belongs to it.

    It embeds, verifies and judges as `EmbedderRun` does, and `kerasvision.embedding.Gallery` takes it.

    Attributes:
        runner: uint8 images -> embeddings.
        preprocessing: how a photo becomes the input.
        distance: between embeddings; `"euclidean"` where the file does not say.
        threshold: distance up to which two images are called the same; None where the file does not say.
        false_accept_rate: share of pairs of two identities that it was chosen for; likewise.
        fingerprint: of the model, or of a quantised file, whose vectors do not go together with the model's;
            of the file's content where it does not say.
    """

    runner: EmbeddingRunner
    preprocessing: Preprocessing
    distance: str
    threshold: float | None
    false_accept_rate: float | None
    fingerprint: str

    @classmethod
    def of(cls, runner: EmbeddingRunner, preprocessing: Preprocessing) -> "ExportedEmbedder":
        """Return that of an opened file, and say what the file does not."""
        facts, file = runner.facts or {}, runner.file
        if not facts:
            say(f"{file} does not say how vectors are compared. The Euclidean distance is taken.")
        return cls(
            runner,
            preprocessing,
            distance=facts.get("distance", "euclidean"),
            threshold=facts.get("threshold"),
            false_accept_rate=facts.get("false_accept_rate"),
            fingerprint=facts.get("fingerprint") or sha256(file),
        )

    @property
    def vectors(self) -> EmbeddingRunner:
        """The file as a function from uint8 images (n, h, w, 3) to embeddings (n, d)."""
        return self.runner

    def evaluate(self, data, split: str | None = None):
        """Judge how well other identities are told apart, as `EmbedderRun.evaluate` does.

        Raises:
            ExportError: the file does not say its threshold.
            DataError: no such split, or data without identities, or too few of them.
        """
        if self.threshold is None or self.false_accept_rate is None:
            raise ExportError(
                f"{self.runner.file} does not say its threshold and for which rate of false accepts it was "
                "chosen. Judge `.embed(images)` by kerasvision.metrics.judge_embeddings, which chooses one."
            )
        return super().evaluate(data, split)

    def _verified(self, vectors, names, pairs, threshold):
        if threshold is None and self.threshold is None:
            raise ExportError(
                f"{self.runner.file} does not say its threshold. Give `threshold=`, chosen on pairs of "
                "images of your own, or export a run of train_face_embedder, which chooses one."
            )
        return super()._verified(vectors, names, pairs, threshold)


@dataclass(frozen=True)
class _Scores:
    """A segmenter's file as a function of images and of whether probabilities are wanted, for a network."""

    runner: SegmentationRunner
    classes: int

    def __call__(self, images: np.ndarray, probable: bool) -> np.ndarray:
        if self.runner.output == "labels":
            values = np.eye(self.classes, dtype=np.float32)[self.runner(images)]
        else:
            values = self.runner.answer(images)[1] if probable else self.runner.scores(images)
        return np.ascontiguousarray(np.moveaxis(values, -1, 1))


def open_exported(
    file: str | os.PathLike,
) -> ExportedClassifier | ExportedDetector | ExportedSegmenter | ExportedEmbedder:
    """Open an exported file: a `.tflite`, `.onnx` or `.keras` file, or the folder of a SavedModel.

    Labels and preprocessing come with the file, else from `labels.txt` and `preprocessing.json` beside it;
    an embedder's distance and threshold from the file alone, as they belong to it. What is missing is said.

    Raises:
        ExportError: it cannot be run.
    """
    if (Path(file) / run_folder.RECORD).is_file():
        raise ExportError(
            f"{file} is a run, no exported file. Open it by kerasvision.recipes."
            f"{_run_class(Path(file))}.load, or export it first."
        )
    runner = open_file(file)
    beside = _beside(Path(file))
    labels, preprocessing = runner.labels or beside[0], runner.preprocessing or beside[1]
    if preprocessing is None:
        preprocessing = Preprocessing(runner.image_size)
        say(f"{file} does not say how photos are resized. They are stretched to its size.")
    if isinstance(runner, EmbeddingRunner):
        return ExportedEmbedder.of(runner, preprocessing)
    if not labels:
        labels = tuple(f"class {i}" for i in range(_count(runner)))
        say(f"{file} does not name its classes. They are numbered. A labels.txt beside it could name them.")
    kinds = {DetectionRunner: ExportedDetector, SegmentationRunner: ExportedSegmenter}
    return kinds.get(type(runner), ExportedClassifier)(runner, tuple(labels), preprocessing)


def _run_class(folder: Path) -> str:
    """Return the name of the class that opens a run; `Run` opens all kinds."""
    kind = run_folder.read_record(folder, None)["kind"]
    return "Run" if kind == run_folder.CLASSIFIER else f"{kind.capitalize()}Run"


def _count(runner: Runner) -> int:
    """Return how many classes a file has that does not name them."""
    if isinstance(runner, DetectionRunner):
        return MOST_CLASSES
    blank = np.zeros((1, *runner.image_size, 3), np.uint8)
    if isinstance(runner, SegmentationRunner):
        _, probabilities = runner.answer(blank)
        return VOID if probabilities is None else probabilities.shape[-1]
    return runner(blank).shape[1]


def _beside(file: Path) -> tuple[tuple[str, ...], Preprocessing | None]:
    labels, settings = file.with_name("labels.txt"), file.with_name("preprocessing.json")
    names = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else ()
    return tuple(names), Preprocessing.from_dict(read_json(settings)) if settings.is_file() else None
