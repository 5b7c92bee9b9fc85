"""A finished training of an embedder: its folder, the network, and what one does with it."""

import os
from functools import cached_property

from kerasvision.recipes import embedding_judging as judging
from kerasvision.recipes import run_folder
from kerasvision.recipes.embeds import Embeds
from kerasvision.recipes.finished_run import FinishedRun


class EmbedderRun(FinishedRun, Embeds):
    """A finished run of an embedder. Make one with `train_face_embedder`, or open one with `load`.

    Attributes:
        folder: where everything lies.
        labels: names of the identities of the data. The embedder does not know them: it compares.
        threshold: distance up to which two images are called the same.
        false_accept_rate: share of pairs of two identities that are, as chosen on the validation identities.
        distance: between embeddings: "euclidean", "squared" or "cosine".
        trained_on: names of the identities that it learned from.
        fingerprint: of the weights; vectors of an embedder with another one cannot be compared with its own.
    """

    kind = run_folder.EMBEDDER

    def __init__(self, folder: str | os.PathLike):
        super().__init__(folder)
        decided = self.record["decided"]
        self.threshold: float = decided["threshold"]
        self.false_accept_rate: float = decided["false_accept_rate"]
        self.distance: str = decided["distance"]
        self.fingerprint: str = decided["fingerprint"]
        counts = self.record["data"]["counts"]["train"]
        self.trained_on = frozenset(name for name, count in counts.items() if count)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "EmbedderRun":
        """Open the folder of a finished run of an embedder.

        Raises:
            RunError: it is not a run, not one of an embedder, not finished, or files are missing.
        """
        return cls(folder)

    @cached_property
    def model(self):
        """The trained `keras.Model`: raw RGB (b, h, w, 3) in [0, 255] to embeddings (b, d)."""
        return self._read_model()

    @property
    def embedder(self):
        """The trained `keras.Model`, by another name."""
        return self.model

    @cached_property
    def vectors(self):
        """The network as a function from uint8 images (n, h, w, 3) to embeddings (n, d), compiled once."""
        from kerasvision.recipes.embeds import BATCH
        from kerasvision.training import make_engine

        return make_engine(self.model, BATCH, "graph").run

    @property
    def judgement(self):
        """The judgement on the test split, or on validation where there is none."""
        return judging.judgement_of(self.metrics)

    @property
    def samples(self):
        """The images that stay with the run: for calibration, and held-out ones with their identities."""
        from kerasvision.recipes.samples import read_samples

        return read_samples(self.folder / run_folder.SAMPLES)

    def export_source(self, data=None):
        """Return what an export starts from: network, preprocessing, threshold, and images to prove it on.

        Args:
            data: a `VisionData` to take the images and identities from, instead of those that stay with the
                run.
        """
        from kerasvision.export import EmbeddingSource
        from kerasvision.recipes.embedding_samples import choose_embedding_samples

        seed = self.record["seed"]
        samples = self.samples if data is None else choose_embedding_samples(data, seed=seed)
        return EmbeddingSource(
            model=self.model,
            preprocessing=self.preprocessing,
            calibration=samples.calibration,
            images=samples.images,
            identities=samples.targets,
            distance=self.distance,
            threshold=self.threshold,
            false_accept_rate=self.false_accept_rate,
            fingerprint=self.fingerprint,
        )

    def export(
        self,
        folder: str | os.PathLike,
        formats=("saved_model", "tflite"),
        quantize: str | None = None,
        data=None,
        **options,
    ):
        """Write files for other programs and phones, each proved to embed as the embedder does.

        Args:
            folder: where to; created.
            formats: of `"saved_model"`, `"tflite"`, `"onnx"`.
            quantize: for TFLite: None (float32), `"float16"`, `"dynamic"`, `"int8"`, several of these, or
                `"auto"`: the smallest that passes.
            data: a `VisionData` to calibrate and certify with; by default the images that stay with the run.
            **options: of `kerasvision.export.export_embedder`.

        Returns:
            The `kerasvision.export.Bundle`; its certificates are in the report from now on.

        Raises:
            CertificateError: a file does not embed as the embedder does; it is not left there. The report
                shows its certificate beside those of the files that passed.
        """
        from kerasvision.export import export_embedder

        source = self.export_source(data)
        return self._exported(export_embedder, source, folder, formats=formats, quantize=quantize, **options)

    def _write_report(self) -> None:
        judging.write_report(self.folder)

    def __repr__(self):
        judgement, decided = self.judgement, self.record["decided"]
        rate = judgement.verification.at(judgement.false_accept_rate)
        low, high = rate.interval or (float("nan"),) * 2
        share = float("nan") if rate.true_accept_rate is None else rate.true_accept_rate
        return (
            f"EmbedderRun({os.fspath(self.folder)!r}): {decided['backbone']}, {decided['dimensions']} "
            f"dimensions, {share:.1%} ({low:.1%} to {high:.1%}) true accepts at "
            f"{judgement.false_accept_rate:.2%} false accepts among {judgement.identities} identities "
            f"({self.metrics['split']})"
        )

    def _repr_html_(self) -> str:
        from kerasvision.report import embedding_summary

        return embedding_summary(judging.report_input(self.folder))
