"""Classifiers to be studied: opened from wherever they are, with data that fit them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import DataError


@dataclass(frozen=True, eq=False)
class OpenedClassifier:
    """A classifier, with what is known about it.

    Attributes:
        model: the `keras.Model`.
        labels: names of its classes; None if unknown.
        preprocessing: how images are read for it; None if unknown.
    """

    model: object
    labels: tuple[str, ...] | None = None
    preprocessing: object = None


def open_classifier(model_or_run) -> OpenedClassifier:
    """Return the model of a run, of a run folder or of a `.keras` file, or a model as it is.

    Raises:
        RunError: a folder is no finished run.
        ValueError: it is none of these, or the file cannot be read.
    """
    import keras

    from kerasvision.recipes.run import Run

    if isinstance(model_or_run, OpenedClassifier):
        return model_or_run
    if isinstance(model_or_run, keras.Model):
        return OpenedClassifier(model_or_run)
    if isinstance(model_or_run, str | os.PathLike) and Path(model_or_run).is_dir():
        model_or_run = Run.load(model_or_run)
    if isinstance(model_or_run, Run):
        return OpenedClassifier(model_or_run.model, model_or_run.labels, model_or_run.preprocessing)
    if isinstance(model_or_run, str | os.PathLike):
        if not Path(model_or_run).is_file():
            raise ValueError(f"`model_or_run`: there is no run folder and no file {os.fspath(model_or_run)}.")
        try:
            return OpenedClassifier(keras.saving.load_model(model_or_run, compile=False))
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{os.fspath(model_or_run)} cannot be read as a Keras model: {reason}") from None
    raise ValueError(
        "`model_or_run` must be a Run, the folder of one, a .keras file or a keras.Model. "
        f"Received: {type(model_or_run).__name__}."
    )


def read_for(opened: OpenedClassifier, data):
    """Return the data for a classifier: a `VisionData` as it is, a folder read at the model's size.

    Raises:
        DataError: they are neither, or of another task or size.
    """
    if isinstance(data, str | os.PathLike):
        from kerasvision.data import image_folder

        return image_folder(data, validation_fraction=0.0, cache=False, **reading_of(opened))
    if getattr(data, "task", None) != "classify":
        raise DataError(
            "`data` must be a VisionData for classification or a folder. Received: "
            f"{getattr(data, 'task', type(data).__name__)}."
        )
    expected = _sides(opened.model)
    if any(e not in (None, s) for e, s in zip(expected, data.image_size, strict=True)):
        raise DataError(f"`data` has images of {tuple(data.image_size)}, the model takes {expected}.")
    return data


def reading_of(opened: OpenedClassifier) -> dict:
    """Return how images are to be read for a classifier, as arguments of `image_folder`.

    Raises:
        DataError: that is not known, as the model takes images of any size.
    """
    if opened.preprocessing is not None:
        return opened.preprocessing.to_dict()
    size = _sides(opened.model)
    if None in size:
        raise DataError(
            "`data`: the model takes images of any size. Read the folder yourself: "
            "kerasvision.data.image_folder(folder, image_size=…)."
        )
    return {"image_size": size}


def in_order(opened: OpenedClassifier, data, class_names: Sequence[str] | None = None):
    """Return data whose labels are the outputs of a classifier, matched by name.

    Args:
        opened: the classifier.
        data: a `VisionData`, perhaps with fewer classes and in another order.
        class_names: of the model's outputs; default those of its run, else those of the data.

    Raises:
        DataError: there are not as many names as outputs, or the data have a class that is not among them.
    """
    known = tuple(class_names or opened.labels or data.class_names)
    outputs = opened.model.output_shape[-1]
    if len(known) != outputs:
        source = "`class_names`" if class_names or opened.labels else "`data`"
        raise DataError(
            f"The model has {outputs} classes, {source} {len(known)}: {listed(known)}. Name the model's "
            "classes in their order with `class_names`."
        )
    unknown = [name for name in data.class_names if name not in known]
    if unknown:
        raise DataError(f"`data` has classes that the model does not know: {listed(unknown)}.")
    places = np.array([known.index(name) for name in data.class_names])
    splits = {name: replace(part, labels=places[part.labels]) for name, part in data.splits.items()}
    return replace(data, class_names=known, splits=splits)


def _sides(model) -> tuple[int | None, int | None]:
    """Return (height, width) of the images that a model takes, None where it takes any.

    Raises:
        ValueError: it does not take one batch of images.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(f"`model_or_run` must take one batch of images. Model {model.name!r} takes {shape}.")
    return shape[1:3]
