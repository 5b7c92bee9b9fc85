"""What the export of an embedder starts from: the network, its threshold, and images to prove the file on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kerasvision.data.alignment import template_points
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError, KerasvisionError
from kerasvision.export.source import check_images, float32_form
from kerasvision.metrics.embedding_distances import check_distance, checked_identities


@dataclass(frozen=True, eq=False)
class EmbeddingSource:
    """An embedder and what is needed to export it and to prove the file.

    Attributes:
        model: `keras.Model`; raw RGB in [0, 255], (batch, h, w, 3), to embeddings, (batch, d). Of one in
            mixed precision the float32 form is taken.
        preprocessing: what happens to a photo before the model: its size, how it is resized, and the template
            that faces are aligned to.
        calibration: (n, h, w, 3) uint8 training images, for int8; may be empty.
        images: (n, h, w, 3) uint8 held-out images, two at least, for the certificate.
        identities: (n,) int or str, who is on `images`; or `None`: verification is not compared then.
        distance: between embeddings: `"euclidean"`, `"squared"` or `"cosine"`.
        threshold: distance up to which two images are called the same; or `None` where it was not chosen.
        false_accept_rate: share of pairs of two identities that the threshold was chosen for, or `None`.
        name: of the files; the model's by default.
        fingerprint: of the model, which vectors in a gallery are told by; that of its weights by default.
    """

    model: object
    preprocessing: Preprocessing
    calibration: np.ndarray
    images: np.ndarray
    identities: np.ndarray | None = None
    distance: str = "euclidean"
    threshold: float | None = None
    false_accept_rate: float | None = None
    name: str | None = None
    fingerprint: str | None = None

    def __post_init__(self):
        check_embedder(self.model, self.input_shape)
        object.__setattr__(self, "model", float32_form(self.model))
        object.__setattr__(self, "name", self.name or self.model.name)
        for name in ("calibration", "images"):
            check_images(name, getattr(self, name), self.input_shape)
        if len(self.images) < 2:
            raise ExportError(
                "`images` must be two at least: without another image nothing says what a cosine is worth. "
                "Received: 1."
            )
        _check_numbers(self)
        if self.fingerprint is None:
            from kerasvision.training.engines import weights_digest

            object.__setattr__(self, "fingerprint", weights_digest(self.model))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (*self.preprocessing.image_size, 3)

    @property
    def dimensions(self) -> int:
        """How many numbers an embedding has."""
        return int(self.model.output_shape[-1])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of classes: none, an embedder compares."""
        return ()

    @property
    def facts(self) -> dict:
        """What files tell of themselves: how vectors are compared, and whose they are, as JSON can hold it.

        `alignment` is there for an embedder of aligned faces: the name of the template, and x and y in pixels
        of the input for each point of it.
        """
        facts = {
            "dimensions": self.dimensions,
            "distance": self.distance,
            "threshold": self.threshold,
            "false_accept_rate": self.false_accept_rate,
            "fingerprint": self.fingerprint,
        }
        template = self.preprocessing.alignment
        if template is None:
            return facts
        points = template_points(template, self.preprocessing.image_size[0])
        return facts | {"alignment": {"template": template, "points": points.round(4).tolist()}}

    @cached_property
    def function(self) -> Callable[[np.ndarray], np.ndarray]:
        """The model as a function: (n, h, w, 3) uint8 -> embeddings (n, d) float32."""
        from kerasvision.export.runners import model_runner

        return model_runner(self.model)

    @cached_property
    def reference(self) -> np.ndarray:
        """The model's embeddings of `images`: (n, d) float32, computed once."""
        return self.function(self.images)


def as_embedding_source(source_or_run, *, data=None) -> EmbeddingSource:
    """Gather what the export of an embedder needs.

    Args:
        source_or_run: an `EmbeddingSource`, or a run of an embedder (it brings everything).
        data: for a run: `VisionData` to take images and identities from.

    Raises:
        ExportError: it is neither.
    """
    source = source_or_run
    if hasattr(source, "export_source"):
        source = source.export_source(data)
    if not isinstance(source, EmbeddingSource):
        raise ExportError(
            "`source_or_run` must be a run of an embedder or an EmbeddingSource, which says on what images "
            "the files are to be proved: EmbeddingSource(model, Preprocessing(image_size), calibration, "
            "images, identities, distance, threshold, false_accept_rate). "
            f"Received: {type(source).__name__}."
        )
    return source


def check_embedder(model, shape: tuple[int, int, int]) -> None:
    """Refuse what does not turn images of a shape into vectors.

    Raises:
        ExportError: saying what it is, and of a siamese or triplet network what to export.
    """
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if isinstance(takes, list | dict) and len(takes) > 1:
        raise ExportError(
            f"`model` must take one image. {model.name!r} takes {len(takes)}: an app embeds each image once "
            "and compares vectors. Export the embedder inside: kerasvision.embedding.embedder_of(model)."
        )
    fits = isinstance(takes, tuple) and len(takes) == 4
    if not fits or any(own not in (None, size) for own, size in zip(takes[1:], shape, strict=True)):
        raise ExportError(
            f"`model` must be an embedder of images of {shape}, as `preprocessing` says. "
            f"Received: {type(model).__name__}{'' if takes is None else f' of {takes}'}."
        )
    if not isinstance(gives, tuple) or len(gives) != 2 or gives[1] is None:
        raise ExportError(f"`model` must give embeddings, (batch, dimensions). It gives: {gives}.")


def _check_numbers(source: EmbeddingSource) -> None:
    threshold, rate = source.threshold, source.false_accept_rate
    try:
        check_distance(source.distance)
        if source.identities is not None:
            checked_identities("identities", source.identities, len(source.images))
    except KerasvisionError as error:
        raise ExportError(str(error)) from None
    if threshold is not None and not _is_number(threshold, 0, float("inf")):
        raise ExportError(f"`threshold` must be a distance, at least 0, or None. Received: {threshold!r}.")
    if rate is not None and not _is_number(rate, 0, 1):
        raise ExportError(f"`false_accept_rate` must be from 0 to 1, or None. Received: {rate!r}.")


def _is_number(value, least: float, most: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and least <= value <= most
