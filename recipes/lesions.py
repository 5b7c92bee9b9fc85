"""Experiments on a trained residual network: modules deleted and permuted, gradients by path length.

Veit, Wilber, Belongie, Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016,
https://arxiv.org/abs/1605.06431
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import DataError, KerasvisionError, RunError
from kerasvision.explain.lesion_values import DeleteEach, DeleteRandom, Permuted
from kerasvision.explain.paths import EffectivePaths, PathGradients, effective_path_lengths
from kerasvision.files import make_folder, read_json, write_json
from kerasvision.progress import say
from kerasvision.recipes.run_folder import now, plain, versions

FORMAT, KIND, RESULTS = 1, "lesions", "results.json"
SWAPS = (1, 2, 3, 4, 6, 8, 11, 15, 20)


@dataclass(frozen=True)
class LesionStudy:
    """A study in its folder. Make one with `lesion_study`, or open one with `LesionStudy(folder)`.

    Attributes:
        folder: where `results.json`, `report.html` and the plots lie.
    """

    folder: Path

    @cached_property
    def results(self) -> dict:
        """What `results.json` holds."""
        return read_results(self.folder)

    @property
    def each(self) -> DeleteEach:
        """Errors without each module."""
        return DeleteEach.from_dict(self._part("each"))

    @property
    def random(self) -> DeleteRandom | None:
        """Errors without several random modules; None where none were asked for."""
        parts = self._numbered("random")
        if not parts:
            return None
        counts = [row for part in parts for row in part["counts"]]
        return DeleteRandom.from_dict({**parts[0], "counts": counts})

    @property
    def permuted(self) -> Permuted | None:
        """Errors with modules in another order; None for networks in which none can change places."""
        parts = self._numbered("permuted")
        if not parts:
            return None
        rows = [row for part in parts for row in part["permutations"]]
        return Permuted.from_dict({**parts[0], "permutations": rows})

    @property
    def gradients(self) -> PathGradients | None:
        """Gradients by path length; None for a plain network, which has one path."""
        part = self.results["parts"].get("gradients")
        return PathGradients.from_dict(part) if part else None

    @property
    def effective(self) -> EffectivePaths | None:
        """Path lengths that the gradient comes from."""
        gradients = self.gradients
        return effective_path_lengths(gradients) if gradients else None

    def _part(self, name: str) -> dict:
        return self.results["parts"][name]

    def _numbered(self, name: str) -> list[dict]:
        return [part for key, part in self.results["parts"].items() if key.startswith(f"{name} ")]

    def __repr__(self):
        from kerasvision.recipes.lesions_page import findings

        return f"LesionStudy({os.fspath(self.folder)!r}): {' '.join(findings(self))}"

    def _repr_html_(self) -> str:
        from kerasvision.recipes.lesions_page import notebook_view

        return notebook_view(self)


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
        repeats: random choices for each of `counts`.
        swaps: how many random pairs of modules of the same shape change places.
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
        RunError: the folder holds a study of another model, of other data or with other arguments.

    https://arxiv.org/abs/1605.06431
    """
    from kerasvision.training import locking

    arguments = plain(
        {
            "split": split,
            "images": images,
            "counts": list(counts),
            "repeats": repeats,
            "swaps": list(swaps),
            "permutations": permutations,
            "gradient_samples": gradient_samples,
            "seed": seed,
        }
    )
    _check_numbers(arguments)
    opened = open_classifier(model_or_run)
    data = _as_data(data, opened)
    split = split or next(s for s in ("test", "validation", "train") if s in data.splits)
    labels = _labels(opened, data, split, class_names)
    out = make_folder(out)
    with locking.only_process(out):
        state = _begin(out, arguments, opened, data, split)
        if state["status"] != "finished":
            chosen = data.class_balanced(split, images, seed)
            batch = batch_size or _fitting_batch(data.image_size)
            _run_parts(out, state, opened.model, data.images(split, chosen), labels[chosen], batch)
    study = LesionStudy(out)
    if state["status"] != "finished":
        from kerasvision.recipes.lesions_page import write_page

        write_page(study)
        write_results(out, {**state, "status": "finished"})
        study.__dict__.pop("results", None)
    say(f"Lesion study: {out / 'report.html'}")
    return study


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
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"{os.fspath(model_or_run)} cannot be read as a Keras model: {reason}") from None
    raise ValueError(
        "`model_or_run` must be a Run, the folder of one, a .keras file or a keras.Model. "
        f"Received: {type(model_or_run).__name__}."
    )


def read_results(folder: str | os.PathLike) -> dict:
    """Return `results.json` of a study.

    Raises:
        RunError: there is none, or it is of another kind or a newer format.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise RunError(f"{folder} holds no lesion study: it has no {RESULTS}.")
    try:
        state = read_json(path)
    except KerasvisionError as error:
        raise RunError(f"{error} Choose another folder (`out`).") from None
    if not isinstance(state, dict) or state.get("kind") != KIND:
        raise RunError(f"{path} is not that of a lesion study. Choose another folder (`out`).")
    if state.get("format", 0) > FORMAT:
        raise RunError(
            f"{path} has format {state['format']}, this version reads up to {FORMAT}. Update kerasvision."
        )
    return state


def write_results(folder: Path, state: dict) -> None:
    """Write `results.json`."""
    write_json(folder / RESULTS, plain(state))


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


def _as_data(data, opened: OpenedClassifier):
    if not isinstance(data, str | os.PathLike):
        if not hasattr(data, "splits"):
            raise DataError(f"`data` must be a VisionData or a folder. Received: {type(data).__name__}.")
        return _check_size(data, opened.model)
    from kerasvision.data import image_folder

    settings = {"validation_fraction": 0.0, "cache": False}
    if opened.preprocessing is not None:
        return image_folder(data, **settings, **opened.preprocessing.to_dict())
    return image_folder(data, **settings, image_size=model_size(opened.model))


def model_size(model) -> tuple[int, int]:
    """Return the (height, width) of the images that a model takes.

    Raises:
        DataError: it takes any.
    """
    size = tuple(model.input_shape[1:3]) if isinstance(model.input_shape, tuple) else ()
    if len(size) != 2 or None in size:
        raise DataError(
            f"`data`: the model takes images of any size ({model.input_shape}). Read the folder yourself: "
            "kerasvision.data.image_folder(folder, image_size=…)."
        )
    return size


def _check_size(data, model):
    expected = tuple(model.input_shape[1:3])
    if any(e not in (None, s) for e, s in zip(expected, data.image_size, strict=True)):
        raise DataError(f"`data` has images of {tuple(data.image_size)}, the model takes {expected}.")
    return data


def _labels(opened: OpenedClassifier, data, split: str, class_names) -> np.ndarray:
    """Return the labels of a split as classes of the model."""
    if split not in data.splits:
        raise DataError(f"`split` must be one of {', '.join(data.splits)}. Received: {split!r}.")
    known = tuple(class_names or opened.labels or data.class_names)
    outputs = opened.model.output_shape[-1]
    if len(known) != outputs:
        raise DataError(
            f"The model has {outputs} classes, `{'class_names' if class_names else 'data'}` {len(known)}: "
            f"{listed(known)}. Name the model's classes in their order with `class_names`."
        )
    unknown = [name for name in data.class_names if name not in known]
    if unknown:
        raise DataError(f"`data` has classes that the model does not know: {listed(unknown)}.")
    places = np.array([known.index(name) for name in data.class_names])
    return places[np.asarray(data.splits[split].labels)]


def _fitting_batch(size: tuple[int, int]) -> int:
    """Return a batch whose activations stay in the low hundreds of MB: 128 at 32 px, 8 at 224 px."""
    return int(np.clip(2**18 // (size[0] * size[1]), 8, 128))


def _check_numbers(arguments: dict) -> None:
    for name in ("images", "repeats", "permutations"):
        if not isinstance(arguments[name], int) or arguments[name] < 1:
            raise ValueError(f"`{name}` must be a whole number, at least 1. Received: {arguments[name]!r}.")
    for name in ("counts", "swaps"):
        if not all(isinstance(count, int) and count >= 1 for count in arguments[name]):
            raise ValueError(f"`{name}` must be whole numbers, at least 1. Received: {arguments[name]}.")
    if arguments["gradient_samples"] < 0:
        raise ValueError(
            f"`gradient_samples` must be at least 0. Received: {arguments['gradient_samples']!r}."
        )
