"""What every export starts from: a model, its labels, its preprocessing, and images to prove it on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import ExportError

HELD_OUT_LIMIT, CALIBRATION_LIMIT = 500, 200


@dataclass(frozen=True, eq=False)
class ExportSource:
    """A classifier and what is needed to export it and to prove the file.

    Attributes:
        model: `keras.Model`; raw RGB in [0, 255], (batch, h, w, 3), to probabilities, (batch, classes). Of a
            model in mixed precision the float32 form is taken: files compute in float32.
        labels: names of the classes, in the order of the model's output.
        preprocessing: what happens to a photo before the model: its size, how it is resized.
        calibration: (n, h, w, 3) uint8 training images, as even over the classes as possible; may be empty.
        images: (n, h, w, 3) uint8 held-out images, for the certificate.
        targets: (n,) int, the classes of `images`, or `None`.
    """

    model: object
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: np.ndarray
    images: np.ndarray
    targets: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "model", float32_form(self.model))
        height, width = self.preprocessing.image_size
        for name in ("calibration", "images"):
            check_images(name, getattr(self, name), (height, width, 3))
        _check_model(self.model, (height, width, 3), len(self.labels))
        check_labels(self.labels)
        if self.targets is not None:
            _check_targets(self.targets, len(self.images), len(self.labels))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (*self.preprocessing.image_size, 3)

    @cached_property
    def reference(self) -> np.ndarray:
        """The model's probabilities for `images`: (n, classes) float32, computed once."""
        from kerasvision.export.runners import model_runner

        return model_runner(self.model)(self.images)


def as_source(
    model_or_run,
    *,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    calibration: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> ExportSource:
    """Gather what an export needs.

    Args:
        model_or_run: a `Run` (it brings everything), a `keras.Model`, or an `ExportSource`.
        data: `VisionData` to take held-out and calibration images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images; of `data`, up to 500 are taken from its test or validation
            split.
        targets: (n,) int, the classes of `images`.
        calibration: (n, h, w, 3) uint8 training images for int8; of `data`, up to 200, as even over the
            classes as possible.
        class_names: one name for each class; needed for a plain model without `data`.
        preprocessing: how photos become the model's input; for a plain model without `data`, stretching to
            the size of `images`.

    Raises:
        ExportError: something is missing or does not fit; the message says what to pass.
    """
    given = {
        "images": None if images is None else np.asarray(images),
        "targets": None if targets is None else np.asarray(targets),
        "calibration": None if calibration is None else np.asarray(calibration),
        "labels": None if class_names is None else tuple(map(str, class_names)),
        "preprocessing": preprocessing,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(model_or_run, ExportSource) or hasattr(model_or_run, "export_source"):
        source = model_or_run if isinstance(model_or_run, ExportSource) else model_or_run.export_source(data)
        _refuse_others(source)
        # Other images without targets of their own must not be judged by the old targets.
        forget = {"targets": None} if "images" in given and "targets" not in given else {}
        return replace(source, **forget, **given) if given else source
    _refuse_others(model_or_run)
    if not _is_model(model_or_run):
        raise ExportError(
            "`model_or_run` must be a Run or a keras.Model. "
            f"Received: {type(model_or_run).__name__}. For a run folder: Run.load(folder)."
        )
    parts = {**(from_data(data) if data is not None else {}), **given}
    if "images" in given and "targets" not in given:
        parts.pop("targets", None)
    return _complete(model_or_run, parts)


def from_data(data) -> dict:
    """Return images, targets, calibration, labels and preprocessing out of a `VisionData`."""
    split = "test" if "test" in data.splits else "validation"
    if split not in data.splits:
        raise ExportError(
            "`data` must have a test or a validation split: a certificate needs held-out images."
        )
    held_out = data.class_balanced(split, HELD_OUT_LIMIT, seed=0)
    chosen = data.class_balanced("train", CALIBRATION_LIMIT, seed=0) if "train" in data.splits else []
    parts = {
        "images": data.images(split, held_out),
        "targets": np.asarray(data.splits[split].labels)[held_out],
        "labels": tuple(data.class_names),
        "preprocessing": data.preprocessing,
    }
    return parts | ({"calibration": data.images("train", chosen)} if len(chosen) else {})


def float32_form(model):
    """Return the model, or its copy that computes in float32 if it computes in a smaller type.

    TFLite has no convolutions in float16 or bfloat16, and a reference should not be rounded.
    """
    import keras

    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def rebuild(layer):
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy


def _complete(model, parts: dict) -> ExportSource:
    if "images" not in parts:
        raise ExportError(
            "`images` must be given: an export is certified on held-out images, (n, h, w, 3) uint8, and a "
            "plain model brings none. Pass images= (and targets=), or data=, or export a Run. Noise would "
            "not do: it proves little about photos."
        )
    if "labels" not in parts:
        raise ExportError("`class_names` must be given for a plain model: they are written into the file.")
    if "preprocessing" not in parts:
        parts["preprocessing"] = Preprocessing(image_size=tuple(parts["images"].shape[1:3]))
    parts.setdefault("calibration", np.zeros((0, *parts["preprocessing"].image_size, 3), np.uint8))
    return ExportSource(model=model, **parts)


_AN = {
    "export_detector": "a detector",
    "export_segmenter": "a segmenter",
    "export_embedder": "an embedder",
}


def _refuse_others(value) -> None:
    kinds = {
        "detector": "export_detector",
        "output_size": "export_segmenter",
        "segmenter": "export_segmenter",
        "false_accept_rate": "export_embedder",
    }
    for attribute, function in kinds.items():
        if hasattr(value, attribute):
            raise ExportError(
                f"This is for classifiers. Received {_AN[function]} ({type(value).__name__}): use "
                f"kerasvision.export.{function}."
            )


def _is_model(value) -> bool:
    import keras

    return isinstance(value, keras.Model)


def check_images(name: str, images: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse what is not uint8 pixels of a shape (h, w, 3); `images` must not be empty."""
    good = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == shape
    if not good or (name == "images" and len(images) == 0):
        received = (
            f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        )
        raise ExportError(
            f"`{name}` must be uint8 pixels of the shape (n, {', '.join(map(str, shape))}), "
            f"{'at least one' if name == 'images' else 'any number'}. Received: {received}."
        )


def _check_model(model, shape: tuple[int, ...], classes: int) -> None:
    takes, gives = model.input_shape, model.output_shape
    if (
        not isinstance(takes, tuple)
        or len(takes) != 4
        or any(own not in (None, size) for own, size in zip(takes[1:], shape, strict=True))
    ):
        raise ExportError(
            f"The model must take images of {shape}, as `preprocessing` says. It takes: {takes}."
        )
    if not isinstance(gives, tuple) or len(gives) != 2 or gives[1] != classes:
        raise ExportError(
            f"The model must return probabilities of the shape (batch, {classes}), one for each of "
            f"`class_names`. It returns: {gives}."
        )


def check_labels(labels: Sequence[str]) -> None:
    """Refuse labels that a file of one label a line cannot hold, or that are not different."""
    bad = [label for label in labels if not label or label != label.strip() or len(label.splitlines()) != 1]
    if bad or len(set(labels)) != len(labels):
        raise ExportError(
            "`class_names` must be different from each other, one line each, without spaces at the ends. "
            f"Received: {bad or list(labels)}."
        )


def _check_targets(targets: np.ndarray, count: int, classes: int) -> None:
    if targets.shape != (count,) or targets.dtype.kind not in "iu":
        raise ExportError(f"`targets` must be {count} integers. Received: {targets.dtype} {targets.shape}.")
    if targets.min() < 0 or targets.max() >= classes:
        raise ExportError(
            f"`targets` must be from 0 to {classes - 1}. Received: {targets.min()} to {targets.max()}."
        )
