"""What the experiments refuse: wrong numbers, and images and labels that do not fit a classifier."""

from collections.abc import Iterable
from operator import index

import keras
import numpy as np

from kerasvision.models import graph


def check_whole(argument: str, value, *, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        ValueError: it is none, or below `least`.
    """
    number = _whole(value)
    if number is None or number < least:
        raise ValueError(f"`{argument}` must be a whole number, at least {least}. Received: {value!r}.")
    return number


def check_whole_numbers(
    argument: str, values: Iterable[int], *, least: int = 0, most: int | None = None
) -> list[int]:
    """Return whole numbers from `least` to `most`, the number of modules, as a list.

    Raises:
        ValueError: one is something else, or there is none.
    """
    is_list = isinstance(values, Iterable) and not isinstance(values, str)
    given = list(values) if is_list else values
    numbers = [_whole(value) for value in given] if is_list else []
    high = float("inf") if most is None else most
    if not numbers or not all(n is not None and least <= n <= high for n in numbers):
        limit = f"at least {least}" if most is None else f"from {least} to {most}, the number of modules"
        raise ValueError(f"`{argument}` must be a list of whole numbers {limit}. Received: {given!r}.")
    return numbers


def check_classifier(model: keras.Model) -> int:
    """Return the number of classes of a model of one input and one output (batch, classes).

    Raises:
        ValueError: it is something else.
    """
    flat = graph.functional(model)
    if len(flat.inputs) != 1 or len(flat.outputs) != 1:
        raise ValueError(
            f"`model` must have one input and one output. {model.name!r} has {len(flat.inputs)} "
            f"and {len(flat.outputs)}."
        )
    output = tuple(flat.outputs[0].shape)
    if len(output) != 2 or output[1] is None or output[1] < 2:
        raise ValueError(
            f"`model` must be a classifier whose output is (batch, classes), with two classes or more. "
            f"That of {model.name!r} is {output}."
        )
    return output[1]


def check_task(model: keras.Model, images, labels) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels as arrays that fit a classifier.

    Raises:
        ValueError: they do not fit it, or the model is no classifier.
    """
    classes, expected = check_classifier(model), tuple(graph.functional(model).inputs[0].shape)
    images, labels = np.asarray(images), np.asarray(labels)
    if not fits(images.shape, expected) or not len(images):
        raise ValueError(f"`images` must be of shape {shown_shape(expected)}. Received: {images.shape}.")
    if not is_numeric(images):
        raise ValueError(f"`images` must be finite real numbers. Received: {describe(images)}.")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be one class number for each of the {len(images)} images. "
            f"Received: {labels.dtype} of shape {labels.shape}."
        )
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"`labels` must be classes of the model, from 0 to {classes - 1}. "
            f"Received: from {labels.min()} to {labels.max()}."
        )
    return images, labels


def fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Tell whether a batch of a shape can be given to an input."""
    sides = zip(expected[1:], shape[1:], strict=False)
    return len(shape) == len(expected) and all(side in (None, found) for side, found in sides)


def is_numeric(images: np.ndarray) -> bool:
    """Tell whether an array holds real numbers only, none of them infinite or NaN."""
    return images.dtype.kind in "buif" and bool(np.isfinite(images).all())


def describe(images: np.ndarray) -> str:
    """Say what is wrong with an array that is not numeric."""
    if images.dtype.kind not in "buif":
        return f"an array of {images.dtype}"
    return f"{(~np.isfinite(images)).sum()} values of {images.size} that are infinite or not a number"


def shown_shape(expected: tuple[int | None, ...]) -> str:
    """Return the shape of a batch for people: `(n, 32, 32, 3)`, `(n, any, any, 3)`."""
    sides = ["n", *("any" if side is None else str(side) for side in expected[1:])]
    return f"({', '.join(sides)})"


def _whole(value) -> int | None:
    """Return a value as int, None where it is no whole number."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None
