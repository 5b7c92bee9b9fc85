"""What the export of a segmenter starts from: the network, its labels, and images to prove the file on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from kerasvision.data.preprocessing import Preprocessing, as_image_size
from kerasvision.errors import DataError, ExportError
from kerasvision.export.source import check_images, check_labels, float32_form
from kerasvision.metrics.segmentation import VOID

Output = Literal["probabilities", "labels", "logits"]


@dataclass(frozen=True, eq=False)
class SegmentationSource:
    """A segmenter and what is needed to export it and to prove the file.

    Attributes:
        model: `keras.Model`; raw RGB in [0, 255], (batch, h, w, 3), to logits, (batch, h, w, classes). Of one
            in mixed precision the float32 form is taken.
        labels: names of the classes, in the order of the logits.
        preprocessing: what happens to a photo before the model: its size, how it is resized.
        calibration: (n, h, w, 3) uint8 training images, for int8; may be empty.
        images: (n, h, w, 3) uint8 held-out images, for the certificate.
        truth: (n, h, w) uint8 label maps of these resized images, 255 is void; or `None`: IoU is not compared
            then.
        name: of the files; the model's by default.
        output: what files give for each pixel: `"probabilities"` (float32), `"labels"` (uint8, the most
            probable class) or `"logits"` (float32).
        output_size: (height, width) of what files give; the input's by default. Logits are resized, by
            bilinear interpolation, before anything else.
    """

    model: object
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: np.ndarray
    images: np.ndarray
    truth: np.ndarray | None = None
    name: str | None = None
    output: Output = "probabilities"
    output_size: tuple[int, int] | None = None

    def __post_init__(self):
        object.__setattr__(self, "labels", tuple(self.labels))
        _check_segmenter(self.model, self.input_shape, len(self.labels))
        object.__setattr__(self, "model", float32_form(self.model))
        object.__setattr__(self, "name", self.name or self.model.name)
        check_output(self.output)
        object.__setattr__(
            self, "output_size", checked_output_size(self.output_size) or self.preprocessing.image_size
        )
        for name in ("calibration", "images"):
            check_images(name, getattr(self, name), self.input_shape)
        check_labels(self.labels)
        if self.truth is not None:
            _check_truth(self.truth, self.images.shape[:3], len(self.labels))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (*self.preprocessing.image_size, 3)

    @cached_property
    def function(self) -> Callable[[np.ndarray], np.ndarray]:
        """The model as a function: (n, h, w, 3) uint8 -> logits (n, *output_size, classes) float32."""
        import tensorflow as tf

        from kerasvision.export.segmentation_graph import resized

        spec = tf.TensorSpec((None, *self.input_shape), tf.uint8)

        @tf.function(input_signature=[spec], autograph=False)
        def answer(images):
            logits = self.model(tf.cast(images, tf.float32), training=False)
            return resized(logits, self.output_size)

        return lambda images: answer(tf.constant(images)).numpy()

    def truth_of(self, rows: slice) -> np.ndarray:
        """Return the truth of some images in the size of the output, by nearest neighbour."""
        truth = self.truth[rows]
        down, across = (
            ((np.arange(new) + 0.5) * old / new).astype(int)
            for new, old in zip(self.output_size, truth.shape[1:], strict=True)
        )
        return truth[:, down][:, :, across]


def as_segmentation_source(
    source_or_run, *, data=None, output: Output | None = None, output_size=None
) -> SegmentationSource:
    """Gather what the export of a segmenter needs.

    Args:
        source_or_run: a `SegmentationSource`, or a run of a segmenter (it brings everything).
        data: for a run: `VisionData` to take images, truth and labels from.
        output: what files give, other than the source says.
        output_size: side, or (height, width), other than the source says.

    Raises:
        ExportError: it is neither, or an argument is not accepted.
    """
    source = source_or_run
    if hasattr(source, "export_source"):
        source = source.export_source(data)
    if not isinstance(source, SegmentationSource):
        raise ExportError(
            "`source_or_run` must be a run of a segmenter or a SegmentationSource, which says on what images "
            "the files are to be proved: SegmentationSource(model, labels, Preprocessing(image_size), "
            f"calibration, images, truth). Received: {type(source).__name__}."
        )
    given = {"output": output, "output_size": output_size}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(source, **given) if given else source


def check_output(output: str) -> None:
    """Refuse what a file cannot give."""
    if output not in get_args(Output):
        raise ExportError(
            f'`output` must be "probabilities", "labels" or "logits". Received: {output!r}. '
            '"labels" is the smallest: one byte a pixel.'
        )


def checked_output_size(size) -> tuple[int, int] | None:
    """Return (height, width) from a side or a pair; None stays None."""
    try:
        return None if size is None else as_image_size(size)
    except DataError as error:
        raise ExportError(str(error).replace("`image_size`", "`output_size`")) from None


def _check_segmenter(model, shape: tuple[int, int, int], classes: int) -> None:
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if isinstance(getattr(model, "output", None), dict):
        raise ExportError(
            f"`model` must give logits alone. It gives: {', '.join(model.output)}. "
            "kerasvision.segmentation.inference_model(model) leaves the auxiliary heads out."
        )
    if not isinstance(takes, tuple) or len(takes) != 4 or not _fits(takes[1:], shape):
        raise ExportError(
            f"`model` must be a segmenter of images of {shape}, as `preprocessing` says. "
            f"Received: {type(model).__name__}{'' if takes is None else f' of {takes}'}."
        )
    expected = (*shape[:2], classes)
    if not isinstance(gives, tuple) or len(gives) != 4 or not _fits(gives[1:], expected):
        raise ExportError(
            f"`model` must give logits of the shape (batch, {', '.join(map(str, expected))}): a class of "
            f"`labels` each. It gives: {gives}."
        )


def _fits(sizes: Sequence[int | None], expected: Sequence[int]) -> bool:
    return all(own in (None, size) for own, size in zip(sizes, expected, strict=True))


def _check_truth(truth, shape: tuple[int, ...], classes: int) -> None:
    if not isinstance(truth, np.ndarray) or truth.dtype != np.uint8 or truth.shape != shape:
        received = f"{truth.dtype} {truth.shape}" if hasattr(truth, "dtype") else type(truth).__name__
        raise ExportError(f"`truth` must be uint8 label maps of the shape {shape}. Received: {received}.")
    there = np.unique(truth)
    wrong = there[(there >= classes) & (there != VOID)]
    if len(wrong):
        raise ExportError(
            f"`truth` must have labels from 0 to {classes - 1} or {VOID} (void). Received: {wrong[0]}."
        )
    if there.tolist() == [VOID]:
        raise ExportError("`truth` is void everywhere. Leave it out, or give images with classes on them.")
