"""What a detector found on photos: values for people and programs, in pixels of the photo itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.headers import upright_size
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import Detections
from kerasvision.recipes.predicting import run_batches

BATCH = 8  # as large as the activations of a detector let a processor's caches keep up
FALLBACK = 0.5  # threshold of a class that has none, because nothing right was found of it
LOWEST = 0.05  # the compiled network keeps what scores above this; thresholds are applied after it


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What was found on one photo, the surest first.

    Attributes:
        name: the file, or "image #3".
        size: (height, width) of the upright photo, which the boxes are in pixels of.
        boxes: (n, 4) float64, xyxy: left, top, right, bottom.
        labels: n names of classes.
        scores: (n,) float64 in [0, 1].
    """

    name: str
    size: tuple[int, int]
    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self) -> list[dict]:
        """Return one dictionary a box: image, label, score, left, top, right, bottom."""
        return [
            {"image": self.name, "label": label, "score": round(float(score), 4)}
            | dict(zip(("left", "top", "right", "bottom"), (round(float(v), 1) for v in box), strict=True))
            for label, score, box in zip(self.labels, self.scores, self.boxes, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Return how many there are of each class that was found, the most frequent first."""
        names = sorted(set(self.labels), key=lambda name: (-self.labels.count(name), name))
        return {name: self.labels.count(name) for name in names}

    def __str__(self):
        found = ", ".join(f"{count} {name}" for name, count in self.counts().items())
        return f"{self.name}: {found or 'nothing'}"

    def __repr__(self):
        return f"FoundBoxes({self})"


def found_boxes(
    function: Callable,
    preprocessing,
    sources: Sequence,
    names: Sequence[str],
    labels: Sequence[str],
    thresholds: np.ndarray,
    *,
    on_bad_file: str = "raise",
) -> list[FoundBoxes]:
    """Return what was found on each source that can be read.

    Args:
        function: images (b, h, w, 3) uint8 -> one `Detections` an image, in their pixels.
        preprocessing: how to read a source.
        sources: paths, bytes or uint8 arrays.
        names: for people and errors.
        labels: names of the classes.
        thresholds: (classes,) least score.
        on_bad_file: `"raise"` or `"skip"`.
    """
    found, good = detect(function, preprocessing, sources, names, on_bad_file=on_bad_file)
    results = []
    for index, one in zip(good, found, strict=True):
        kept = one.scores >= thresholds[one.labels]
        size = upright_size(sources[index], names[index])
        results.append(
            FoundBoxes(
                name=names[index],
                size=size,
                boxes=preprocessing.unplace(one.boxes[kept], size),
                labels=tuple(labels[label] for label in one.labels[kept]),
                scores=one.scores[kept].astype(np.float64),
            )
        )
    return results


def detect(
    function: Callable, preprocessing, sources: Sequence, names: Sequence[str], *, on_bad_file: str = "raise"
) -> tuple[list[Detections], np.ndarray]:
    """Return `Detections` in pixels of the network's input, and the indices of the sources they are of."""
    answers, good = run_batches(
        function, preprocessing, sources, names, on_bad_file=on_bad_file, batch_size=BATCH
    )
    found = [one for batch in answers for one in batch]
    return [found[i] for i in good], good


def in_full_batches(function: Callable) -> Callable[[np.ndarray], list[Detections]]:
    """Return a function from images to `Detections`, of a compiled one that gives what `select_boxes` does.

    After a full batch a smaller one is filled up, so that nothing is traced anew for the last one.
    """
    seen_full = False

    def run(images: np.ndarray) -> list[Detections]:
        nonlocal seen_full
        count = len(images)
        seen_full = seen_full or count == BATCH
        if seen_full and count < BATCH:
            images = np.concatenate([images, np.repeat(images[-1:], BATCH - count, axis=0)])
        return detections_of(function(images), count)

    return run


def detections_of(selected: dict, count: int) -> list[Detections]:
    """Return the `Detections` of the first `count` images of what `select_boxes` gave."""
    values = {name: np.asarray(value) for name, value in selected.items()}
    return [
        Detections(values["boxes"][i, :n], values["classes"][i, :n], values["scores"][i, :n])
        for i, n in enumerate(values["count"][:count])
    ]


def thresholds_of(judgement, threshold: float | Mapping[str, float] | None = None) -> np.ndarray:
    """Return the least score of each class, (classes,) float64.

    Args:
        judgement: a `DetectionJudgement`, whose best thresholds (highest F1) count where none is given.
        threshold: one for all classes, or class name -> threshold.

    Raises:
        KerasvisionError: out of range, or a class that is not there.
    """
    names = judgement.class_names
    best = [FALLBACK if value is None else value for value in judgement.thresholds]
    given = dict(zip(names, best, strict=True))
    if isinstance(threshold, Mapping):
        unknown = sorted(set(threshold) - set(names))
        if unknown:
            raise KerasvisionError(
                f"`threshold` names classes that the model does not know: {', '.join(unknown)}. It knows "
                f"{', '.join(names)}."
            )
        given |= threshold
    elif threshold is not None:
        given = dict.fromkeys(names, threshold)
    for value in given.values():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
            raise KerasvisionError(
                f"`threshold` must be a number from 0 to 1, or one a class. Received: {threshold!r}."
            )
    return np.array([given[name] for name in names], np.float64)
