"""Experiments on a trained residual network: modules deleted and permuted, gradients by path length.

Veit, Wilber, Belongie, Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016,
https://arxiv.org/abs/1605.06431
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from kerasvision.errors import DataError, RunError
from kerasvision.files import make_folder
from kerasvision.progress import say
from kerasvision.recipes.lesion_results import FORMAT, KIND, RESULTS, LesionStudy, read_results, write_results
from kerasvision.recipes.opening import (
    OpenedClassifier,
    in_order,
    open_classifier,
    read_for,
)
from kerasvision.recipes.run_folder import now, plain, refuse_foreign, versions

SWAPS = (1, 2, 3, 4, 6, 8, 11, 15, 20)


def lesion_study(
    model_or_run,
    data,
    out: str | os.PathLike,
    *,
    split: str | None = None,
    images: int = 2000,
    counts: Iterable[int] = range(1, 21),
    repeats: int = 10,
    swaps: Iterable[int] = SWAPS,
    permutations: int = 5,
    gradient_samples: int = 256,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> LesionStudy:
    """Delete and permute the modules of a trained network and see how it fares; nothing is trained.

    Every module alone, several random ones together, modules in another order, and the gradient that comes
    through paths of each length. A network without residual modules (VGG) is the contrast: its removable
    layers are deleted, alone and together.

    Interrupted in any way, the same call goes on where it was; finished, it returns at once.

    Args:
        model_or_run: a `Run`, its folder, a `.keras` file, or a functional `keras.Model` from raw RGB in
            [0, 255] to (batch, classes). It stays as it is.
        data: a `VisionData`, or a folder with a folder of images for each class.
        out: folder for `results.json`, `report.html` and the plots; created.
        split: to measure on; default test, else validation, else train.
        images: how many of it, as even over classes as possible; all where there are fewer.
        counts: how many random modules to delete together; numbers above those there are, are left out.
            Empty leaves this out.
        repeats: random choices for each of `counts`.
        swaps: how many random pairs of modules of the same shape change places. Empty leaves this out.
        permutations: random orders for each of `swaps`.
        gradient_samples: random pairs of an image and a path for each path length; 0 leaves this out.
        class_names: names of the model's outputs, for a model that is no `Run`; default those of the data.
        batch_size: images at a time; default by their size.
        seed: of all choices.

    Returns:
        The study: `.each`, `.random`, `.permuted`, `.gradients`, `.effective`, `.folder`.

    Raises:
        ValueError: the model has nothing that can be deleted, or a number is out of range.
        DataError: the data do not fit the model.
        RunError: the folder holds something else, or a study of another model, of other data or with other
            arguments.

    https://arxiv.org/abs/1605.06431
    """
    from kerasvision.training import locking

    arguments = plain(
        {
            "split": split,
            "images": images,
            "counts": _as_list(counts),
            "repeats": repeats,
            "swaps": _as_list(swaps),
            "permutations": permutations,
            "gradient_samples": gradient_samples,
            "seed": seed,
        }
    )
    _check_numbers(arguments, batch_size)
    opened = open_classifier(model_or_run)
    data = in_order(opened, read_for(opened, data), class_names)
    split = _choose_split(data, split)
    out = make_folder(out)
    with locking.only_process(out):
        state = _begin(out, arguments, opened, data, split)
        if state["status"] != "finished":
            chosen = data.class_balanced(split, images, seed)
            batch = batch_size or _fitting_batch(data.image_size)
            labels = data.splits[split].labels[chosen]
            _run_parts(out, state, opened.model, data.images(split, chosen), labels, batch)
        return _shown(out, state)


def _shown(out: Path, state: dict) -> LesionStudy:
    """Return a study whose parts are all there, with its page."""
    from kerasvision.recipes.lesions_page import PAGE, write_page

    study = LesionStudy(out)
    if state["status"] != "finished" or not (out / PAGE).is_file():
        write_page(study)
        write_results(out, {**state, "status": "finished"})
    say(f"Lesion study: {out / PAGE}")
    return LesionStudy(out)


def _begin(out: Path, arguments: dict, opened: OpenedClassifier, data, split: str) -> dict:
    """Return what is known of a study so far, begun now if there is nothing."""
    from kerasvision.training.engines import weights_digest

    fresh = {
        "format": FORMAT,
        "kind": KIND,
        "status": "measuring",
        "created": now(),
        "arguments": arguments,
        "model": {"name": opened.model.name, "weights": weights_digest(opened.model)},
        "data": {"origin": data.origin, "fingerprint": data.fingerprint(), "split": split},
        "versions": versions(),
        "parts": {},
    }
    if not (out / RESULTS).is_file():
        refuse_foreign(out, "lesion study")
        write_results(out, fresh)
        return fresh
    state = read_results(out)
    if state["arguments"] != arguments:
        old = state["arguments"]
        changed = [f"`{k}` {old.get(k)} -> {v}" for k, v in arguments.items() if old.get(k) != v]
        raise RunError(
            f"{out} holds a study with other arguments: {', '.join(changed)}. Call it with the old ones to "
            "go on, or choose another folder (`out`)."
        )
    for what in ("model", "data"):
        if state[what] != fresh[what]:
            raise RunError(
                f"{out} holds a study of another {what}: {_named(state[what])}, not {_named(fresh[what])}. "
                "Choose another folder (`out`)."
            )
    return state


def _named(facts: dict) -> str:
    name = facts.get("name") or f"{facts.get('origin')} ({facts.get('split')})"
    return f"{name} [{(facts.get('weights') or facts.get('fingerprint'))[:8]}]"


def _run_parts(out: Path, state: dict, model, images: np.ndarray, labels: np.ndarray, batch: int) -> None:
    """Run the experiments that are not done, keeping each result as soon as it is there."""
    for name, experiment in _experiments(state["arguments"], model, images, labels, batch):
        if name not in state["parts"]:
            state["parts"][name] = experiment().to_dict()
            write_results(out, state)


def _experiments(
    arguments: dict, model, images, labels, batch: int
) -> Iterable[tuple[str, Callable[[], object]]]:
    """Yield (name of a part, what measures it), in order."""
    from kerasvision.explain import lesion_study as measure
    from kerasvision.explain.paths import gradient_by_path_length
    from kerasvision.explain.plain import PlainModule

    segments = measure.as_segments(model)
    given = {"batch_size": batch}
    yield "each", lambda: measure.delete_each(segments, images, labels, **given)
    given["seed"] = arguments["seed"]
    for count in sorted({count for count in arguments["counts"] if count <= len(segments.names)}):
        options = {**given, "counts": [count], "repeats": arguments["repeats"]}
        yield f"random {count}", lambda o=options: measure.delete_random(segments, images, labels, **o)
    if isinstance(segments.located[0].module, PlainModule):
        return
    for count in sorted(set(arguments["swaps"])) if segments.movable() else ():
        options = {**given, "swaps": [count], "repeats": arguments["permutations"]}
        yield f"permuted {count}", lambda o=options: measure.permute(segments, images, labels, **o)
    if arguments["gradient_samples"] and segments.is_chain:
        options = {**given, "samples": arguments["gradient_samples"]}
        yield "gradients", lambda: gradient_by_path_length(model, images, labels, **options)


def _choose_split(data, split: str | None) -> str:
    """Return the split to measure on: the one asked for, or the best that has images.

    Raises:
        DataError: it has none.
    """
    filled = [
        name for name in ("test", "validation", "train") if len(getattr(data.splits.get(name), "labels", ()))
    ]
    if split is None and filled:
        return filled[0]
    if split not in filled:
        raise DataError(
            f"`split` must be one of {', '.join(filled) or 'none: there are no images'}. Received: {split!r}."
        )
    return split


def _fitting_batch(size: tuple[int, int]) -> int:
    """Return a batch whose activations stay in the low hundreds of MB: 128 at 32 px, 8 at 224 px."""
    return int(np.clip(2**18 // (size[0] * size[1]), 8, 128))


def _as_list(values):
    """Return a list of what can be listed, and anything else as it is, to be refused."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def _check_numbers(arguments: dict, batch_size: int | None) -> None:
    from kerasvision.explain.checks import check_whole, check_whole_numbers

    for name in ("images", "repeats", "permutations"):
        check_whole(name, arguments[name])
    for name in ("gradient_samples", "seed"):
        check_whole(name, arguments[name], least=0)
    for name in ("counts", "swaps"):
        if arguments[name] != []:  # this experiment is not wanted
            check_whole_numbers(name, arguments[name], least=1)
    if batch_size is not None:
        check_whole("batch_size", batch_size)
