"""Get weights into a model: checked in full before anything is changed.

`load_weights` opens what is asked for, lets `keras_matching` or `torch_matching` find out what goes where,
and assigns only when everything fits.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from kerasvision.errors import WeightsError
from kerasvision.models.keras_matching import match_keras
from kerasvision.models.matching import Match, misfit
from kerasvision.models.model_entry import ModelEntry
from kerasvision.models.preprocessing import Normalization, agree, mode_in
from kerasvision.models.registry import entry, list_models
from kerasvision.models.sources import Source, open_source
from kerasvision.models.torch_matching import match_torch


@dataclass(frozen=True)
class LoadedWeights:
    """What `load_weights` did.

    Attributes:
        layers: names of the model's layers that were loaded.
        ignored: what of the file was left out: as asked, or heads that only training needs. Names of layers,
            in torch files of tensors.
        preprocessing: what the weights expect of pixels: one of the modes of `ModelEntry.preprocessing`, or
            the numbers where they are none of these. Where a file of Keras does not say, it is what the
            model does in its own layer `preprocess`, or what the weights of keras.applications for a network
            of this name expect. `None` where nobody knows.
    """

    layers: tuple[str, ...]
    ignored: tuple[str, ...]
    preprocessing: str | Normalization | None = None


def load_weights(
    model: keras.Model, source: str | os.PathLike, *, ignore: Sequence[str] = ()
) -> LoadedWeights:
    """Load weights from wherever people have them, after checking that all of them fit.

    What kind of file it is, its content decides, not its ending. Layers of Keras files are matched by name;
    where Keras numbered the layers, so that names differ, by kind and number, or in order. Tensors of torch
    files are matched by the rules of the family (`torch_names`), with their axes put in Keras' order. Every
    weight of the model must be in the file, with its shape, and everything in the file in the model. A
    network that would take the weights but answer otherwise than the one they are of (another epsilon,
    padding or stride, pixels prepared in another way in its layer `preprocess`) is refused too. Pickled code
    in `.pth` files is never run.

    Args:
        model: built model; it stays unchanged if there is an error.
        source: a file (`.keras`, `.weights.h5`, `.h5`; `.safetensors`, `.pth`, `.pt`, `.bin` of torchvision
            and timm); `"hf://owner/name"` or `"hf://owner/name/file"`; or `"imagenet"`, for the networks of
            `list_models` with the weights of keras.applications.
        ignore: names of layers, or of torch modules, that the file may have and the model need not, for
            example `("predictions",)`.

    Returns:
        What was loaded, what was ignored, and the preprocessing that belongs to the weights.

    Raises:
        ValueError: `model` is not a built model, or `ignore` is not a list of names.
        WeightsError: the weights cannot be fetched or read, or are not of this network; lists what does not
            fit.
        MissingPackageError: `hf://` without the package huggingface_hub.
    """
    _check_arguments(model, ignore)
    if source == "imagenet":
        return _load_imagenet(model)
    return load_source(model, open_source(source), ignore=ignore)


def _check_arguments(model: keras.Model, ignore: Sequence[str]) -> None:
    if not isinstance(model, keras.Model) or not model.built:
        received = "one that is not built yet" if isinstance(model, keras.Model) else repr(model)
        raise ValueError(
            "`model` must be a built keras.Model, for example of kerasvision.models.get_model(name); "
            f"pretrained(name, weights) builds and loads in one. Received: {received}."
        )
    if isinstance(ignore, str):
        raise ValueError(f"`ignore` must be a list of names, as [{ignore!r}]. Received: {ignore!r}.")


def load_source(model: keras.Model, opened: Source, *, ignore: Sequence[str] = ()) -> LoadedWeights:
    """Load what `open_source` found; else as `load_weights`."""
    if opened.torch is not None:
        match = match_torch(model, opened.torch, ignore, opened.preprocessing)
    else:
        match = match_keras(model, opened.path, ignore)
    _check_values(match, opened.path)
    _check_preprocessing(model, match.preprocessing, opened.path)
    for variable, value in zip(match.variables, match.values, strict=True):
        variable.assign(value)
    preprocessing = match.preprocessing or (mode_in(model) or _usual(model) if opened.torch is None else None)
    return LoadedWeights(match.layers, match.ignored, preprocessing)


def _check_values(match: Match, path: Path) -> None:
    """Refuse numbers that would make every answer "not a number"; a diverged training leaves such files."""
    for variable, value in zip(match.variables, match.values, strict=True):
        if not np.all(np.isfinite(value)):
            raise WeightsError(
                f"{path} holds values that are not finite for {variable.path}: it is of a training that "
                "diverged, or is damaged. The model was left unchanged. Use another file."
            )


def _check_preprocessing(
    model: keras.Model, expected: str | Normalization | None, path: str | os.PathLike
) -> None:
    present = mode_in(model)
    if None not in (present, expected) and not agree(present, expected):
        raise WeightsError(
            f"The weights in {path} expect pixels prepared as {expected!r}, but model "
            f"{model.name!r} prepares them as {present!r} in its layer `preprocess`. It was left unchanged. "
            "Build it with these weights: kerasvision.models.classifier(…, weights=…) or "
            "pretrained(…, weights=…)."
        )


def _usual(model: keras.Model) -> str | None:
    """Return what the weights of keras.applications for a network of this name expect of pixels."""
    known = _with_imagenet(model)
    return known and known.preprocessing


def _with_imagenet(model: keras.Model) -> ModelEntry | None:
    """Return the network of a model's name (`resnet50v2` as `resnet50_v2`), if it has ImageNet weights."""
    try:
        known = entry(model.name)
    except ValueError:
        return None
    return known if "imagenet" in known.weights else None


def _load_imagenet(model: keras.Model) -> LoadedWeights:
    """Copy the weights of a twin that is built with them, after checking that it is a twin."""
    known = _with_imagenet(model)
    if known is None:
        those = [name for name in list_models() if "imagenet" in entry(name).weights]
        raise WeightsError(
            f"There are no ImageNet weights for a model of the name {model.name!r}. There are for: "
            f"{', '.join(those)}. Use one of these names, or a weights file."
        )
    names = {layer.name for layer in model.layers}
    twin = known.builder(
        include_top=bool(names & set(known.top_layers)),
        weights="imagenet",
        input_shape=tuple(model.inputs[0].shape[1:]),
    )
    theirs = {layer.name: layer for layer in twin.layers if layer.weights}
    ours = {layer.name: layer for layer in model.layers if layer.weights}
    problems = [f"{name}: not in the weights" for name in ours if name not in theirs]
    problems += [f"{name}: in the weights, not in the model" for name in theirs if name not in ours]
    problems += [
        f"{name}: {what}"
        for name in ours
        if name in theirs
        for what in _differences(ours[name], theirs[name])
    ]
    if problems:
        raise misfit(
            model, "'imagenet'", [problems], f"Build it with the options of {known.name!r}, and 1000 classes."
        )
    _check_preprocessing(model, known.preprocessing, "'imagenet'")
    for name, layer in ours.items():
        layer.set_weights(theirs[name].get_weights())
    return LoadedWeights(tuple(ours), (), known.preprocessing)


# Settings by which a layer answers otherwise with the same weights.
SETTINGS = ("strides", "padding", "dilation_rate", "groups", "epsilon")


def _differences(ours: keras.Layer, theirs: keras.Layer) -> list[str]:
    shapes = [[tuple(variable.shape) for variable in layer.weights] for layer in (ours, theirs)]
    found = [] if shapes[0] == shapes[1] else [f"{shapes[0]} in the model, {shapes[1]} in the weights"]
    pairs = [(key, getattr(ours, key, None), getattr(theirs, key, None)) for key in SETTINGS]
    return found + [f"{key} {a} in the model, {b} in the weights" for key, a, b in pairs if a != b]


def fetch(network: str, download: tuple[str, str, str] | None) -> Path:
    """Return the file with the ImageNet weights from Keras' cache, downloading it the first time.

    Args:
        network: name for messages.
        download: file name, URL and MD5; `None` where there are no such weights.

    Raises:
        WeightsError: there are none, or they cannot be fetched.
    """
    if download is None:
        raise WeightsError(
            f"There are no ImageNet weights for {network}. Use weights=None, or a weights file."
        )
    file, url, digest = download
    with explain_download(network, file):
        return Path(keras.utils.get_file(file, url, cache_subdir="models", file_hash=digest))


@contextmanager
def explain_download(network: str, file: str | None = None) -> Iterator[None]:
    """Turn what goes wrong with Keras' download into a `WeightsError` that says what to do.

    Args:
        network: name for messages.
        file: name of the weights file; default the one that Keras' error names.
    """
    folder = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"
    try:
        yield
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(
            f"The ImageNet weights of {network} in {folder} cannot be used: {error}\n"
            f"Delete {file or 'the file'} there and call again, or use weights=None or weights=<a file>."
        ) from error
    except Exception as error:
        # Keras raises a bare Exception for a failed download and a ValueError for a wrong checksum; any other
        # error is about the arguments.
        if type(error) is not Exception and "corrupted" not in str(error):
            raise
        named = re.search(r"https?://\S*/([^/\s:]+)", str(error))
        raise WeightsError(
            f"The ImageNet weights of {network} cannot be downloaded: {error}\n"
            f"Put the file {file or (named and named[1]) or ''} into {folder} by hand (KERAS_HOME sets the "
            "folder above), or use weights=None or weights=<a file>."
        ) from error
