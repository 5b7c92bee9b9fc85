"""A finished training: its folder, its model, and what one does with it."""

import os
import sys
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from kerasvision.data.gathering import gather
from kerasvision.errors import DataError
from kerasvision.recipes import converted, judging, run_folder
from kerasvision.recipes.finished_run import FinishedRun, finished_record
from kerasvision.recipes.predicting import Prediction, as_predictions, judge_split, probabilities

FEW_IMAGES = 16  # below this, preparing an engine costs more than it saves


class Run(FinishedRun):
    """A finished run of a classifier. Make one with a recipe, or open one with `Run.load(folder)`.

    Attributes:
        folder: where everything lies.
        labels: names of the classes, in the order of the model's output.
    """

    kind = run_folder.CLASSIFIER

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        self._engine = None

    @classmethod
    def load(cls, folder: str | os.PathLike):
        """Open the folder of a finished run of any kind.

        Returns:
            A `Run`, or a `DetectorRun`, `SegmenterRun` or `EmbedderRun` where such a network was trained.

        Raises:
            RunError: it is not a run, not finished, or files are missing.
        """
        kind = finished_record(Path(folder), None)["kind"]
        if kind == run_folder.DETECTOR:
            from kerasvision.recipes.detection_run import DetectorRun

            return DetectorRun(folder)
        if kind == run_folder.SEGMENTER:
            from kerasvision.recipes.segmentation_run import SegmenterRun

            return SegmenterRun(folder)
        if kind == run_folder.EMBEDDER:
            from kerasvision.recipes.embedding_run import EmbedderRun

            return EmbedderRun(folder)
        return cls(folder)

    @cached_property
    def model(self):
        """The trained `keras.Model`: raw RGB (b, h, w, 3) in [0, 255] to probabilities (b, classes)."""
        return self._read_model()

    @property
    def judgement(self):
        """The judgement on the test split, or on validation where there is none."""
        return judging.judgement_of(self.metrics)

    @property
    def samples(self):
        """The images that stay with the run: for calibration, and held-out ones for certificates."""
        from kerasvision.recipes.samples import read_samples

        return read_samples(self.folder / run_folder.SAMPLES)

    def predict(
        self, images, *, top: int = 5, on_bad_file: str = "raise", engine: str = "auto"
    ) -> list[Prediction]:
        """Say what is in images.

        Args:
            images: a path, a folder, a pattern such as `"new/*.jpg"`, a PIL image, encoded bytes, a uint8
                array (h, w, 3) or (n, h, w, 3), or a sequence of these.
            top: how many classes to give with each.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.
            engine: `"litert"`, `"graph"`, or `"auto"`: the faster for so many images.

        Returns:
            One `Prediction` an image, in order.

        Raises:
            DataError: no images were found, or of a type that cannot be read.
            BadImageError: an image cannot be read.
        """
        if on_bad_file not in ("raise", "skip"):
            raise DataError(f'`on_bad_file` must be "raise" or "skip". Received: {on_bad_file!r}.')
        sources, names = gather(images)
        answers, good = probabilities(
            self._runner(len(sources), engine), self.preprocessing, sources, names, on_bad_file=on_bad_file
        )
        return as_predictions(answers, [names[i] for i in good], self.labels, top)

    def evaluate(self, data, split: str | None = None, *, engine: str = "auto"):
        """Judge the model on other images.

        Args:
            data: a `VisionData`, or a folder with a folder for each class.
            split: by default test, else validation, else train (all of a folder that has no splits).
            engine: as for `predict`.

        Returns:
            A `Judgement` over the classes of the model.

        Raises:
            DataError: a class that the model does not know, or no such split.
        """
        if isinstance(data, str | os.PathLike):
            data = self._folder(data)
        split = split or next((s for s in ("test", "validation", "train") if s in data.splits), None)
        count = len(data.splits[split].labels) if split in data.splits else 0
        return judge_split(self._runner(count, engine), self.labels, self.preprocessing, data, split)

    def _folder(self, folder):
        from kerasvision.data import image_folder

        return image_folder(
            folder,
            image_size=self.preprocessing.image_size,
            resize=self.preprocessing.resize,
            validation_fraction=0.0,
            cache=False,
        )

    def export_source(self, data=None):
        """Return what an export starts from: the model, labels, preprocessing, and images to prove it on.

        Args:
            data: a `VisionData` to take the images from, instead of those that stay with the run.
        """
        from kerasvision.export import ExportSource
        from kerasvision.recipes.samples import choose_samples

        samples = self.samples if data is None else choose_samples(data, seed=self.record["seed"])
        return ExportSource(
            model=self.model,
            labels=self.labels,
            preprocessing=self.preprocessing,
            calibration=samples.calibration,
            images=samples.images,
            targets=samples.targets,
        )

    def export(
        self,
        folder: str | os.PathLike,
        formats=("saved_model", "tflite"),
        quantize: str | None = None,
        data=None,
        **options,
    ):
        """Write files for other programs and phones, each proved to answer as the model does.

        Args:
            folder: where to; created.
            formats: of `"saved_model"`, `"tflite"`, `"onnx"`.
            quantize: for TFLite: None (float32), `"float16"`, `"dynamic"` or `"int8"`.
            data: a `VisionData` to calibrate and certify with; by default the images that stay with the run.
            **options: of `kerasvision.export.export`.

        Returns:
            The `kerasvision.export.Bundle`; its certificates are in the report from now on.

        Raises:
            CertificateError: a file does not answer like the model; it is not left there. The report shows
                its certificate beside those of the files that passed.
        """
        from kerasvision.export import export

        source = self.export_source(data)
        return self._exported(export, source, folder, formats=formats, quantize=quantize, **options)

    def _write_report(self) -> None:
        judging.write_report(self.folder)

    def _runner(self, images: int, engine: str):
        if self._engine is not None and engine in ("auto", self._engine.name):
            return self._engine.run
        from kerasvision.training import choose_engine, make_engine

        if engine == "auto" and converted.is_kept(self._converted) and not _gpu_in_use():
            engine = "litert"
        if engine == "auto" and images <= FEW_IMAGES:
            return lambda batch: np.asarray(self.model(batch.astype(np.float32), training=False))
        if engine == "auto":
            engine, _ = choose_engine(self.model, images)
        self._engine = (
            self._litert_engine() if engine == "litert" else make_engine(self.model, images, engine)
        )
        return self._engine.run

    @cached_property
    def _converted(self) -> Path:
        return converted.converted_folder(self.folder)

    def _litert_engine(self):
        from kerasvision.training.engines import Engine

        @cache
        def opened():  # at the first batch: the next ones are decoded meanwhile
            if converted.is_kept(self._converted):
                return converted.open_kept(self._converted)
            return converted.convert_and_keep(self.folder, self.model)

        return Engine("litert", "kept with the run", lambda images: opened()(images))

    def __repr__(self):
        judgement = self.judgement
        low, high = judgement.accuracy_interval
        model, classes = self.record["decided"]["model"], len(self.labels)
        return (
            f"Run({os.fspath(self.folder)!r}): {model}, {classes} classes, "
            f"accuracy {judgement.accuracy:.1%} ({low:.1%} to {high:.1%}) on {judgement.count} images "
            f"({self.metrics['split']})"
        )

    def _repr_html_(self) -> str:
        from kerasvision.report import notebook_summary

        return notebook_summary(judging.report_input(self.folder))


def _gpu_in_use() -> bool:
    """Tell whether TensorFlow has a GPU; where it is not loaded, loading it takes longer than it saves."""
    tf = sys.modules.get("tensorflow")
    return tf is not None and bool(tf.config.list_physical_devices("GPU"))
