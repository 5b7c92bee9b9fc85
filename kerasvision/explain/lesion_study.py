"""How the error of a trained network changes when its modules are deleted or change places.

Sections 4.1 to 4.3 of Veit, Wilber, Belongie, Residual Networks Behave Like Ensembles of Relatively Shallow
Networks, 2016, https://arxiv.org/abs/1605.06431. All experiments run the network only; nothing is trained.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from math import ceil

import keras
import numpy as np

from kerasvision.explain.checks import check_task, check_whole, check_whole_numbers
from kerasvision.explain.lesion_values import (
    DeleteEach,
    DeleteRandom,
    ModuleDeleted,
    Permutation,
    Permuted,
    SeveralDeleted,
)
from kerasvision.explain.segments import Form, Segments, pieces_to_run
from kerasvision.progress import bar

Labels = np.ndarray | Sequence[int]


def delete_each(
    model: keras.Model | Segments, images: np.ndarray, labels: Labels, *, batch_size: int = 64
) -> DeleteEach:
    """Measure the error without each module in turn (section 4.1 of the paper).

    Args:
        model: functional classifier of one image input and one output (batch, classes), or the `Segments` of
            one, which saves compiling again. A plain network is the contrast: its removable layers are
            deleted.
        images: (n, height, width, channels), uint8 or float, as the model takes them.
        labels: (n,) int, the true classes.
        batch_size: images at a time.

    Returns:
        The errors, in the order of the modules.

    Raises:
        ValueError: the arguments do not fit, or the model has nothing that can be left out.
    """
    segments = as_segments(model)
    forms = [segments.whole, *(segments.deletion(name) for name in segments.names)]
    baseline, *errors = _errors(segments, images, labels, forms, batch_size, "Without each module")
    modules = (located.module for located in segments.located)
    rows = (
        ModuleDeleted(name, getattr(module, "shortcut", "none"), module.downsampling, error)
        for name, module, error in zip(segments.names, modules, errors, strict=True)
    )
    return DeleteEach(baseline, len(labels), tuple(rows))


def delete_random(
    model: keras.Model | Segments,
    images: np.ndarray,
    labels: Labels,
    *,
    counts: Iterable[int] | None = None,
    repeats: int = 10,
    seed: int = 0,
    batch_size: int = 64,
) -> DeleteRandom:
    """Measure the error without several modules chosen at random (section 4.2 of the paper).

    Args:
        model: as for `delete_each`.
        images: as for `delete_each`.
        labels: as for `delete_each`.
        counts: numbers of modules to leave out, at most those there are; default 1 to 20, or to all.
        repeats: how many choices are tried for each number.
        seed: of the choices; those of one number do not depend on the other numbers.
        batch_size: images at a time.

    Returns:
        The errors of all repeats.

    Raises:
        ValueError: the arguments do not fit, or the model has nothing that can be left out.
    """
    segments = as_segments(model)
    most = len(segments.names)
    counts = range(1, min(20, most) + 1) if counts is None else counts
    counts, repeats = check_whole_numbers("counts", counts, most=most), check_whole("repeats", repeats)
    seed = check_whole("seed", seed, least=0)
    chosen = [_choices(segments.names, count, repeats, seed) for count in counts]
    forms = [segments.whole, *(segments.deletion(names) for several in chosen for names in several)]
    baseline, *errors = _errors(segments, images, labels, forms, batch_size, "Without several modules")
    rows = (
        SeveralDeleted(count, names, tuple(errors[i * repeats : (i + 1) * repeats]))
        for i, (count, names) in enumerate(zip(counts, chosen, strict=True))
    )
    return DeleteRandom(baseline, len(labels), tuple(rows))


def permute(
    model: keras.Model | Segments,
    images: np.ndarray,
    labels: Labels,
    *,
    swaps: Iterable[int] = (1, 2, 3, 4, 6, 8, 11, 15, 20),
    repeats: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> Permuted:
    """Measure the error when modules of the same shape change places (section 4.3 of the paper).

    Args:
        model: as for `delete_each`.
        images: as for `delete_each`.
        labels: as for `delete_each`.
        swaps: how many random pairs change places, one after the other.
        repeats: how many orders are tried for each number.
        seed: of the pairs.
        batch_size: images at a time.

    Returns:
        The errors, each with the Kendall correlation of its order with the trained one.

    Raises:
        ValueError: the arguments do not fit, or no two modules have the same shape.
    """
    segments = as_segments(model)
    swaps, repeats = check_whole_numbers("swaps", swaps), check_whole("repeats", repeats)
    seed = check_whole("seed", seed, least=0)
    if not segments.movable():
        raise ValueError("`model` has no two modules of the same shape, so none can change places.")
    orders = [
        (count, _swapped(segments, count, np.random.default_rng([seed, count, i])))
        for count in swaps
        for i in range(repeats)
    ]
    forms = [segments.whole, *(segments.ordered(order) for _, order in orders)]
    baseline, *errors = _errors(segments, images, labels, forms, batch_size, "Modules in another order")
    rows = (
        Permutation(count, kendall_tau(segments.names, order), order, error)
        for (count, order), error in zip(orders, errors, strict=True)
    )
    return Permuted(baseline, len(labels), tuple(rows))


def kendall_tau(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the rank correlation of two orders of the same names: 1 the same, -1 reversed.

    >>> kendall_tau("abcd", "abdc")
    0.6666666666666666
    """
    place = {name: i for i, name in enumerate(first)}
    ranks = np.array([place[name] for name in second])
    pairs = np.sign(ranks[None, :] - ranks[:, None])[np.triu_indices(len(ranks), 1)]
    return float(pairs.mean()) if len(pairs) else 1.0


def as_segments(model: keras.Model | Segments) -> Segments:
    """Return a model cut at its modules; what is cut already, as it is."""
    return model if isinstance(model, Segments) else Segments(model)


def _errors(
    segments: Segments, images, labels, forms: Sequence[Form], batch_size: int, description: str
) -> list[float]:
    """Return the share of wrong answers of each form of a network."""
    images, labels = check_task(segments.model, images, labels)
    batch_size = check_whole("batch_size", batch_size)
    wrong = np.zeros(len(forms), np.int64)
    total = ceil(len(images) / batch_size) * pieces_to_run(forms)
    with bar(description, total) as advance:
        run = partial(segments.outputs, batch_size=batch_size, advance=advance)
        for form, start, outputs in run(images, forms):
            truth = labels[start : start + len(outputs)]
            wrong[form] += int((answers(outputs) != truth).sum())
    return [float(count / len(images)) for count in wrong]


def answers(outputs: np.ndarray) -> np.ndarray:
    """Return the class of the largest output, and -1 where one is not a number: that is a wrong answer."""
    return np.where(np.isfinite(outputs).all(axis=1), outputs.argmax(axis=1), -1)


def _swapped(segments: Segments, swaps: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return the names of all modules after some pairs of the same shape have changed places."""
    order, groups = list(segments.names), segments.movable()
    pairs = np.array([len(group) * (len(group) - 1) // 2 for group in groups])
    for _ in range(swaps):
        group = groups[rng.choice(len(groups), p=pairs / pairs.sum())]
        places = [segments.names.index(name) for name in rng.choice(group, 2, replace=False)]
        order[places[0]], order[places[1]] = order[places[1]], order[places[0]]
    return tuple(order)


def _choices(names: Sequence[str], count: int, repeats: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Return random choices of some names, each in the order of the network."""
    rng = np.random.default_rng([seed, count])
    chosen = (sorted(rng.choice(len(names), count, replace=False)) for _ in range(repeats))
    return tuple(tuple(names[i] for i in places) for places in chosen)
