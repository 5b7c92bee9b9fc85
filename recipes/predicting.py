"""Predict on files, folders, arrays and PIL images: decoded by threads while the engine runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import BadImageError, DataError
from kerasvision.progress import bar, say

BATCH = 128  # 15 % more images/s than with 32: the threads that decode and those that answer meet less often


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        name: the file, or "image #3".
        label: the most probable class.
        probability: of that class, in [0, 1].
        top: (class, probability) of the most probable classes, the first first.
    """

    name: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]

    def __str__(self):
        rest = ", ".join(f"{label} {probability:.1%}" for label, probability in self.top[1:])
        return f"{self.name}: {self.label} {self.probability:.1%}" + (f" ({rest})" if rest else "")


def probabilities(
    run, preprocessing, sources: Sequence, names: Sequence[str], *, on_bad_file: str = "raise"
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, classes) of the sources that can be read, and their indices (n,).

    Args:
        run: a function from (b, h, w, 3) uint8 to (b, classes).
        preprocessing: how to read a source.
        sources: paths, bytes or uint8 arrays.
        names: for errors.
        on_bad_file: `"raise"`, or `"skip"`: what cannot be read is reported and left out.

    Raises:
        BadImageError: an image cannot be read.
        DataError: `on_bad_file` is neither.
    """
    answers, good = run_batches(run, preprocessing, sources, names, on_bad_file=on_bad_file)
    return np.concatenate(answers)[good], good


def run_batches(
    run: Callable,
    preprocessing,
    sources: Sequence,
    names: Sequence[str],
    *,
    on_bad_file: str = "raise",
    batch_size: int = BATCH,
) -> tuple[list, np.ndarray]:
    """Return what `run` gave for each batch of all sources, and the indices (n,) of those that can be read.

    What cannot be read takes part as a black image, so that batches keep their size.
    """
    answers, good = [], []
    read = read_batches(preprocessing, sources, names, on_bad_file=on_bad_file, batch_size=batch_size)
    for images, first, usable in read:
        answers.append(run(images))
        good += [first + place for place in usable]
    return answers, np.array(good, np.int64)


def read_batches(
    preprocessing,
    sources: Sequence,
    names: Sequence[str],
    *,
    on_bad_file: str = "raise",
    batch_size: int = BATCH,
) -> Iterator[tuple[np.ndarray, int, list[int]]]:
    """Yield batches of images, decoded ahead by threads: with the index of the first and which are good.

    Yields:
        images (b, h, w, 3) uint8, black where a source cannot be read; the index of the first of them; and
        which of them can be read, as places in the batch.

    Raises:
        BadImageError: an image cannot be read.
        DataError: `on_bad_file` is neither `"raise"` nor `"skip"`.
    """
    from kerasvision.data.loading import iterate_batches
    from kerasvision.data.reading import check_mode

    check_mode(on_bad_file)
    bad: dict[int, BadImageError] = {}

    def read_into(index: int, image: np.ndarray) -> None:
        try:
            image[:] = preprocessing.read(sources[index], names[index])
        except BadImageError as error:
            if on_bad_file == "raise":
                raise
            bad[index] = error
            image[:] = 0

    batches = iterate_batches(
        read_into,
        np.zeros(len(sources), np.int32),
        preprocessing.image_size,
        order=np.arange(len(sources)),
        batch_size=batch_size,
    )
    first = 0
    with bar("predict", len(sources)) as advance:
        for images, _ in batches:
            yield images, first, [i for i in range(len(images)) if first + i not in bad]
            advance(len(images))
            first += len(images)
    for index in sorted(bad):
        say(f"Left out: {bad[index]}")


def as_predictions(
    answers: np.ndarray, names: Sequence[str], labels: Sequence[str], top: int
) -> list[Prediction]:
    """Return a `Prediction` for each row of probabilities."""
    order = np.argsort(-answers, axis=1, kind="stable")[:, : max(1, top)]
    return [
        Prediction(
            name=name,
            label=labels[ranks[0]],
            probability=float(row[ranks[0]]),
            top=tuple((labels[k], float(row[k])) for k in ranks),
        )
        for name, row, ranks in zip(names, answers, order, strict=True)
    ]


def judge_split(
    run: Callable[[np.ndarray], np.ndarray], labels: Sequence[str], preprocessing, data, split: str | None
):
    """Judge answers on a split of a `VisionData`.

    Args:
        run: uint8 images (n, h, w, 3) -> probabilities (n, classes).
        labels: names of the classes in the order of the output.
        preprocessing: how an image becomes the input.
        data: a `VisionData`; its classes are matched by name.
        split: by default test, else validation, else train.

    Returns:
        A `Judgement` over all of `labels`.

    Raises:
        DataError: a class that is not one of `labels`, or no such split.
    """
    from kerasvision.metrics import judge

    split, places = split_and_places(labels, data, split)
    samples = data.splits[split]
    answers, _ = probabilities(run, preprocessing, samples.sources, samples.names)
    return judge(places[samples.labels], answers, labels)


def split_and_places(labels: Sequence[str], data, split: str | None) -> tuple[str, np.ndarray]:
    """Return the split to judge on, and the place of each class of the data among those of the model.

    Args:
        labels: names of the classes of the model.
        data: a `VisionData`.
        split: by default test, else validation, else train.

    Raises:
        DataError: a class that is not one of `labels`, or no such split.
    """
    split = split or next((s for s in ("test", "validation", "train") if s in data.splits), None)
    if split not in data.splits:
        raise DataError(f"`split` must be one of {', '.join(data.splits)}. Received: {split!r}.")
    unknown = [name for name in data.class_names if name not in labels]
    if unknown:
        what = "Give the folders these names." if data.task == "classify" else "Give the classes these names."
        raise DataError(
            f"`data` has classes that the model does not know: {listed(unknown)}. It knows {listed(labels)}. "
            f"{what}"
        )
    return split, np.array([list(labels).index(name) for name in data.class_names])
