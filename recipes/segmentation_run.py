"""A finished training of a segmenter: its folder, the network, and what one does with it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from kerasvision.metrics.segmentation import VOID
from kerasvision.recipes import run_folder
from kerasvision.recipes import segmentation_judging as judging
from kerasvision.recipes.finds_labels import FindsLabels
from kerasvision.recipes.finished_run import FinishedRun
from kerasvision.recipes.found_labels import FoundLabels
from kerasvision.recipes.label_network import LabelNetwork
from kerasvision.recipes.viewing import Viewing


class SegmenterRun(FinishedRun, FindsLabels):
    """A finished run of a segmenter. Make one with `train_segmenter`, or open one with `SegmenterRun.load`.

    Attributes:
        folder: where everything lies.
        labels: names of the classes, in the order of the segmenter's.
    """

    kind = run_folder.SEGMENTER

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "SegmenterRun":
        """Open the folder of a finished run of a segmenter.

        Raises:
            RunError: it is not a run, not one of a segmenter, not finished, or files are missing.
        """
        return cls(folder)

    @cached_property
    def model(self):
        """The trained `keras.Model`: raw RGB (b, h, w, 3) in [0, 255] to logits (b, h, w, classes)."""
        return self._read_model()

    @property
    def segmenter(self):
        """The trained `keras.Model`, by another name."""
        return self.model

    @cached_property
    def network(self) -> LabelNetwork:
        """The network as a function of photos, compiled once."""
        spec = self.record["decided"]["spec"]
        if spec is None:
            return LabelNetwork.of_model(self.model, self.preprocessing)
        from kerasvision.segmentation.families import family_of

        multiple = family_of(spec["name"]).multiple
        return LabelNetwork.of_model(self.model, self.preprocessing, self._at_size, multiple)

    def _legend(self) -> dict:
        values = self.record["decided"].get("values")
        if values is None:
            return super()._legend()
        names = {int(value): name for value, name in values.items() if name is not None}
        void = [int(value) for value, name in values.items() if name is None]
        usual = void == ([] if VOID in names else [VOID])
        return {"class_names": names} | ({} if usual else {"void": void or None})

    @property
    def judgement(self):
        """The judgement on the test split, or on validation where there is none."""
        return judging.judgement_of(self.metrics)

    @property
    def samples(self):
        """The images that stay with the run: for calibration, and held-out ones with their label maps."""
        from kerasvision.recipes.segmentation_samples import read_segmentation_samples

        return read_segmentation_samples(self.folder / run_folder.SAMPLES)

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
        """Find the class of each pixel of images.

        Args:
            images: a path, a folder, a pattern such as `"new/*.jpg"`, a PIL image, encoded bytes, a uint8
                array (h, w, 3) or (n, h, w, 3), or a sequence of these.
            mode: `"whole"`: the photo is resized to the network's size, as in training. `"sliding"`: it keeps
                its own size and is seen through windows of the network's size, which blend into each other;
                for networks that were trained on parts of photos, or on smaller photos of the same things.
            overlap: of neighbouring windows, a share of their sides, from 0 to 0.9.
            flip: average the probabilities with those of the mirrored photo; takes twice as long.
            scales: average over photos enlarged by these factors: of the network's size for `"whole"`, of the
                photo's own for `"sliding"`.
            on_bad_file: `"raise"`, or `"skip"`: files that cannot be read are reported and left out.

        Returns:
            One `FoundLabels` an image, in order, with labels at the size of the upright photo: logits, or
            probabilities where several are averaged, are interpolated before the highest is taken.

        Raises:
            DataError: no images were found, or of a type that cannot be read.
            BadImageError: an image cannot be read.
            KerasvisionError: an option is not accepted.
        """
        return self._find(images, Viewing(mode, overlap, flip, scales), on_bad_file)

    def export_source(self, data=None):
        """Return what an export starts from: network, labels, preprocessing, and images to prove it on.

        Args:
            data: a `VisionData` to take the images and label maps from, instead of those that stay with the
                run.
        """
        from kerasvision.export import SegmentationSource
        from kerasvision.recipes.segmentation_samples import choose_segmentation_samples

        seed = self.record["seed"]
        samples = self.samples if data is None else choose_segmentation_samples(data, seed=seed)
        return SegmentationSource(
            model=self.model,
            labels=self.labels,
            preprocessing=self.preprocessing,
            calibration=samples.calibration,
            images=samples.images,
            truth=samples.truth,
        )

    def export(
        self,
        folder: str | os.PathLike,
        formats=("saved_model", "tflite"),
        quantize: str | None = None,
        data=None,
        **options,
    ):
        """Write files for other programs and phones, each proved to find what the segmenter finds.

        Args:
            folder: where to; created.
            formats: of `"saved_model"`, `"tflite"`, `"onnx"`.
            quantize: for TFLite: None (float32), `"float16"`, `"dynamic"`, `"int8"`, several of these, or
                `"auto"`: the smallest that passes.
            data: a `VisionData` to calibrate and certify with; by default the images that stay with the run.
            **options: of `kerasvision.export.export_segmenter`: `output="labels"`, `output_size=512`, …

        Returns:
            The `kerasvision.export.Bundle`; its certificates are in the report from now on.

        Raises:
            CertificateError: a file does not find what the segmenter finds; it is not left there. The report
                shows its certificate beside those of the files that passed.
        """
        from kerasvision.export import export_segmenter

        source = self.export_source(data)
        return self._exported(export_segmenter, source, folder, formats=formats, quantize=quantize, **options)

    def _at_size(self, size: tuple[int, int]):
        """Return the model for images of another size, with the same weights."""
        from kerasvision.models.preprocessing import mode_in
        from kerasvision.segmentation import SegmenterSpec, build, inference_model

        spec = SegmenterSpec.from_dict(self.record["decided"]["spec"])
        # The weights may have brought a preprocessing of their own.
        mode = spec.preprocessing if spec.backbone is None else mode_in(self.model) or spec.preprocessing
        model = inference_model(build(replace(spec, image_size=size, preprocessing=mode)))
        model.set_weights(self.model.get_weights())
        return model

    def _write_report(self) -> None:
        judging.write_report(self.folder)

    def __repr__(self):
        judgement, decided = self.judgement, self.record["decided"]
        low, high = judgement.mean_iou_interval or (float("nan"),) * 2
        return (
            f"SegmenterRun({os.fspath(self.folder)!r}): {decided['model']} on {decided['backbone']}, "
            f"{len(self.labels)} classes, mean IoU {judgement.mean_iou:.1%} ({low:.1%} to {high:.1%}) on "
            f"{judgement.count} images ({self.metrics['split']})"
        )

    def _repr_html_(self) -> str:
        from kerasvision.report import segmentation_summary

        return segmentation_summary(judging.report_input(self.folder))
