"""Make a trained residual network smaller by taking out the modules that it can do without.

That single modules can go without retraining was shown by Veit, Wilber, Belongie, Residual Networks Behave
Like Ensembles of Relatively Shallow Networks, 2016, https://arxiv.org/abs/1605.06431. The choice is greedy.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from math import floor
from numbers import Real

import keras
import numpy as np

from kerasvision.errors import DataError
from kerasvision.explain.checks import check_whole, describe, fits, is_numeric
from kerasvision.explain.lesion import residual_modules, without
from kerasvision.explain.lesion_study import answers
from kerasvision.explain.segments import Segments
from kerasvision.models import graph
from kerasvision.models.counting import multiply_adds
from kerasvision.progress import bar, say

Batches = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class PruningStep:
    """The network after one more module was taken out.

    Attributes:
        removed: name of the module; None in the first row, which is the whole network.
        accuracy: on the images that the modules were chosen by.
        loss: mean cross-entropy on them, which decides between modules of equal accuracy.
        parameters: of the network.
        multiply_adds: of the network, for one image.
    """

    removed: str | None
    accuracy: float
    loss: float
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, eq=False)
class Pruned:
    """A smaller network, and how it came about.

    Attributes:
        model: flat functional model with layers and weights of its own.
        removed: names of the modules that are gone, in the order they went.
        steps: the whole network, then one row for each of `removed`.
        split: that the modules were chosen by (`"given images"` for arrays).
        count: number of images in it.
        test_accuracy: of the network before and after, on a test split that had no part in the choice; None
            where there is none. It is the fair figure: the choice flatters that of `split`.
    """

    model: keras.Model
    removed: tuple[str, ...]
    steps: tuple[PruningStep, ...]
    split: str
    count: int
    test_accuracy: tuple[float, float] | None = None

    def to_dict(self) -> dict:
        """Return all but the model, for a file."""
        return {
            "removed": list(self.removed),
            "steps": [asdict(step) for step in self.steps],
            "split": self.split,
            "count": self.count,
            "test_accuracy": self.test_accuracy and list(self.test_accuracy),
        }

    def __str__(self) -> str:
        lines = [f"{'removed':24} accuracy       parameters    multiply-adds"]
        for step in self.steps:
            lines.append(
                f"{step.removed or '(nothing)':24} {step.accuracy:8.2%} {step.parameters:16,} "
                f"{step.multiply_adds:16,}"
            )
        lines.append(f"accuracy on {self.count} images ({self.split}), which the choice was made by")
        if self.test_accuracy:
            lines.append("on the test split: {:.2%} -> {:.2%}".format(*self.test_accuracy))
        return "\n".join(lines)


def prune_blocks(
    model: keras.Model,
    data,
    *,
    max_drop: float = 0.01,
    split: str = "validation",
    candidates: int | None = None,
    batch_size: int = 64,
) -> Pruned:
    """Take residual modules out of a classifier, as many as a stated loss of accuracy allows.

    At each step every module that is left is tried, and that goes whose deletion costs least: the most
    right answers are kept, or as many at the smallest cross-entropy. It ends before more than `max_drop`
    would be lost. Nothing is trained here; `kerasvision.recipes.train_classifier(data, out,
    model=pruned.model, weights=None, strategy="finetune")` goes on from there, so a larger `max_drop` than
    the one that you can bear in the end is worth trying.

    Args:
        model: functional classifier with residual modules, image -> (batch, classes), of raw RGB as the
            models of `classifier` and `pretrained` are. It stays as it is.
        data: a `VisionData`, or a pair (images (n, height, width, channels), labels (n,) int) as the model
            takes them.
        max_drop: accuracy that may be lost in all, 0.01 is one point.
        split: of `data`, to choose by: not `"train"`, whose images the network knows by heart.
        candidates: at each step after the first, try only so many modules: those that cost least the step
            before. Faster for deep networks; default all.
        batch_size: images at a time.

    Returns:
        The smaller network and the figures after each step; the network as a copy where nothing could go.

    Raises:
        ValueError: the model has no residual modules, answers with what is no number, or a number is out
            of range.
        DataError: the data do not fit the model, or have no such split.

    https://arxiv.org/abs/1605.06431
    """
    _check_numbers(max_drop, candidates, batch_size)
    names = [module.name for module in residual_modules(model)]
    batches = _source(data, split, batch_size)
    _check_fit(model, data, split, batches)
    judge = _Judge(model, batches, batch_size)
    with bar("Deletions tried") as advance:
        removed, scores = _greedy(judge, names, max_drop, candidates, advance)
    say(f"{len(removed)} of {len(names)} modules can go: {', '.join(removed) or 'none'}.")
    return Pruned(
        model=graph.copy(without(model, removed)),
        removed=tuple(removed),
        steps=tuple(_step(model, removed[:n], score, judge) for n, score in enumerate(scores)),
        split=split if hasattr(data, "splits") else "given images",
        count=judge.count,
        test_accuracy=_test_accuracy(judge, data, split, removed),
    )


@dataclass(frozen=True)
class _Score:
    """Right answers and summed cross-entropy; the larger, the better."""

    right: int
    loss: float

    def key(self) -> tuple[int, float]:
        return self.right, -self.loss


class _Judge:
    """Scores a network without some of its modules, what several have in common computed once."""

    def __init__(self, model: keras.Model, batches: Batches, batch_size: int):
        self.segments, self.batches, self.batch_size = Segments(model), batches, batch_size
        self.count = sum(len(labels) for _, labels in batches())

    def scores(self, choices: Iterable[list[str]], batches: Batches | None = None) -> list[_Score]:
        """Return the score of the network without each of several choices of modules."""
        forms = [self.segments.deletion(names) for names in choices]
        right, loss = np.zeros(len(forms), np.int64), np.zeros(len(forms))
        for images, labels in (batches or self.batches)():
            run = self.segments.outputs(images, forms, batch_size=self.batch_size)
            for form, start, outputs in run:
                truth = labels[start : start + len(outputs)]
                right[form] += int((answers(outputs) == truth).sum())
                loss[form] += float(_cross_entropy(outputs, truth).sum())
        return [_Score(int(r), float(s)) for r, s in zip(right, loss, strict=True)]


def _greedy(judge: _Judge, names: list[str], max_drop: float, candidates: int | None, advance):
    """Return the modules to remove, in order, and the score of the whole network and after each of them."""
    (whole,) = judge.scores([[]])
    if not np.isfinite(whole.loss):
        raise ValueError("`model` gives answers that are infinite or not a number; there is nothing to keep.")
    # A hair more than the product: 0.01 of 300 images are 3 images, not 2.999….
    least = whole.right - floor(max_drop * judge.count + 1e-6)
    removed, scores, known = [], [whole], dict.fromkeys(names, whole)
    while known:
        # Scores of earlier steps rank the modules; sorting keeps the order of equals.
        tried = sorted(known, key=lambda name: known[name].key(), reverse=True)
        tried = tried[: candidates if removed else None]
        known |= zip(tried, judge.scores([[*removed, name] for name in tried]), strict=True)
        advance(len(tried))
        best = max(tried, key=lambda name: known[name].key())
        if known[best].right < least:
            break
        removed.append(best)
        scores.append(known.pop(best))
    return removed, scores


def _step(model: keras.Model, removed: list[str], score: _Score, judge: _Judge) -> PruningStep:
    smaller = without(model, removed)
    height, width = next(judge.batches())[0].shape[1:3]
    return PruningStep(
        removed=removed[-1] if removed else None,
        accuracy=score.right / judge.count,
        loss=score.loss / judge.count,
        parameters=smaller.count_params(),
        multiply_adds=multiply_adds(smaller, (int(height), int(width))),
    )


def _test_accuracy(judge: _Judge, data, split: str, removed: list[str]) -> tuple[float, float] | None:
    """Return the accuracy before and after on the test split, where there is one that was not chosen by."""
    if split == "test" or "test" not in getattr(data, "splits", ()) or not len(data.splits["test"].labels):
        return None
    scores = judge.scores([[], removed], _source(data, "test", judge.batch_size))
    before, after = (score.right / len(data.splits["test"].labels) for score in scores)
    return before, after


def _cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of rows of probabilities or of logits; infinite where one is no number."""
    outputs = outputs.astype(np.float64)
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        logs = np.log(np.maximum(outputs, 1e-12))
    else:
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -logs[np.arange(len(labels)), labels]
    return np.where(np.isfinite(loss), loss, np.inf)


def _source(data, split: str, batch_size: int) -> Batches:
    """Return a function that yields (images, labels) of a split, or of a pair of arrays, in batches.

    Raises:
        DataError: there is no such split, or the arrays do not belong together.
    """
    if hasattr(data, "splits"):
        if data.task != "classify":
            raise DataError(f"`data` must be images with classes. Received: data for the task {data.task!r}.")
        if split not in data.splits or not len(data.splits[split].labels):
            raise DataError(
                f"`data` has no {split} images to choose modules by. It has: "
                f"{', '.join(data.splits) or 'nothing'}. Name one as `split`."
            )
        return lambda: data.iterate(split, batch_size=batch_size)
    pair = isinstance(data, tuple | list) and len(data) == 2
    images, labels = (np.asarray(part) for part in data) if pair else (np.zeros(0), np.zeros(0))
    if not images.ndim or not len(images):
        raise DataError(
            "`data` must be a VisionData or a pair (images, labels), not empty. "
            f"Received: {type(data).__name__}."
        )
    if not is_numeric(images):
        raise DataError(f"`data` must have images of finite real numbers. Received: {describe(images)}.")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"`data` must hold one class number for each of the {len(images)} images. "
            f"Received labels: {labels.dtype} of shape {labels.shape}."
        )
    starts = range(0, len(images), batch_size)
    return lambda: ((images[i : i + batch_size], labels[i : i + batch_size]) for i in starts)


def _check_fit(model: keras.Model, data, split: str, batches: Batches) -> None:
    functional, shape = graph.functional(model), next(batches())[0].shape
    expected, output = functional.inputs[0].shape, functional.outputs[0].shape
    if not fits(shape, expected):
        raise DataError(
            f"`data` has images of {shape[1:]}, but `model` {model.name!r} takes {expected[1:]}. "
            "Load the data at the size of the model."
        )
    labels = np.asarray(data.splits[split].labels if hasattr(data, "splits") else data[1])
    classes = len(getattr(data, "class_names", ())) or int(labels.max()) + 1
    wrong = classes > output[-1] or (hasattr(data, "class_names") and classes != output[-1])
    if len(output) != 2 or wrong or labels.min() < 0:
        raise DataError(
            f"`data` has {classes} classes (labels from {labels.min()} to {labels.max()}), but the output of "
            f"`model` {model.name!r} is {output}. Give a classifier of these classes."
        )


def _check_numbers(max_drop: float, candidates: int | None, batch_size: int) -> None:
    if not isinstance(max_drop, Real) or not 0 <= max_drop <= 1:
        raise ValueError(f"`max_drop` must be from 0 to 1 (0.01 is one point). Received: {max_drop!r}.")
    check_whole("batch_size", batch_size)
    if candidates is not None:
        check_whole("candidates", candidates)
