"""Match the layers of a Keras file with those of a model: by name, place or order."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from kerasvision.models.matching import Match, advice_on_top, misfit, show
from kerasvision.models.stored import StoredLayer, open_weights, read


@dataclass(frozen=True)
class _Slot:
    """A layer of the model that weights go into."""

    name: str
    place: str
    variables: tuple

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(variable.shape) for variable in self.variables]


def match_keras(model: keras.Model, path: str | os.PathLike, ignore: Sequence[str]) -> Match:
    """Find the arrays of every layer.

    By name; where Keras numbered the layers, by kind and number, or in order.

    Args:
        model: built model.
        path: `.keras`, `.weights.h5` or legacy `.h5` file.
        ignore: names of layers that the file may have and the model need not.

    Raises:
        WeightsError: the file cannot be read, or is not of this network; lists what does not fit.
    """
    with open_weights(path) as stored:
        slots = _slots(model, stored.grouping)
        pairs, extra = _match(slots, stored.layers, set(ignore))
        problems = _problems(slots, pairs, extra)
        if any(problems):
            raise misfit(model, path, problems, _advice(slots, pairs, extra))
        values = [read(array, path) for _, layer in pairs for array in layer.arrays]
    variables = [variable for slot, _ in pairs for variable in slot.variables]
    used = {id(layer) for _, layer in pairs}
    ignored = tuple(layer.name for layer in stored.layers if id(layer) not in used)
    return Match(tuple(slot.name for slot, _ in pairs), variables, values, ignored, stored.preprocessing)


def _advice(slots: list[_Slot], pairs, extra: Sequence[StoredLayer]) -> str:
    """Say what to do; where each side has arrays that the other has not, which form of a builder it is."""
    top = advice_on_top(
        {slot.name for slot, layer in pairs if slot.shapes != layer.shapes},
        {slot.name for slot in slots} - {slot.name for slot, _ in pairs},
        {layer.name for layer in extra},
    )
    if top:
        return top
    sides = {
        len(layer.shapes) > len(slot.shapes)
        for slot, layer in pairs
        if len(layer.shapes) != len(slot.shapes) and slot.shapes[0] in layer.shapes
    }
    form = ""
    if len(sides) == 1:
        # The form of keras.applications has biases beside BatchNorm (ResNet), or BatchNorm without factors
        # (Inception), torchvision's has neither.
        convolutions = any(
            len(slot.shapes[0]) == 4 and len(layer.shapes) != len(slot.shapes) for slot, layer in pairs
        )
        name = "keras" if sides.pop() == convolutions else "torchvision"
        form = f" Build it with form={name!r}, where the builder has it."
    return f"Use the file of this network (same options, same number of classes).{form}"


def _slots(model: keras.Model, grouping: str) -> list[_Slot]:
    """Return the layers of a model that have weights, in the grouping and order of a file format."""
    places = _places(model)
    if grouping == "layer":
        groups = [(layer, layer.trainable_weights + layer.non_trainable_weights) for layer in model.layers]
    else:
        inner = model._flatten_layers(include_self=False)
        groups = [(layer, layer._trainable_variables + layer._non_trainable_variables) for layer in inner]
    return [
        _Slot(layer.name, places.get(id(layer), ""), tuple(variables))
        for layer, variables in groups
        if variables
    ]


def _places(model: keras.Model) -> dict[int, str]:
    """Return `id` of a layer -> its place in a `.weights.h5` file: its class in snake case, numbered."""
    counts, places = Counter(), {}
    for layer in model.layers:
        kind = re.sub(
            r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        )
        kind = kind.lower()
        places[id(layer)] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
    return places


def _match(slots: list[_Slot], stored: Sequence[StoredLayer], ignore: set[str]):
    """Return pairs of slot and stored layer, and the stored layers that have no slot.

    By name; or by place, or by order, where Keras numbered the layers (`conv2d_7`) and only these fit.
    """
    by_name = _pair(slots, stored, ignore, "name")
    if _fits(slots, *by_name):
        return by_name
    by_place = _pair(slots, stored, ignore, "place")
    by_order = (list(zip(slots, stored, strict=False)), list(stored[len(slots) :]))
    return next((match for match in (by_place, by_order) if _fits(slots, *match)), by_name)


def _pair(slots: list[_Slot], stored: Sequence[StoredLayer], ignore: set[str], key: str):
    known = {getattr(layer, key): layer for layer in stored}
    pairs = [(slot, known[getattr(slot, key)]) for slot in slots if getattr(slot, key) in known]
    used = {id(layer) for _, layer in pairs}
    return pairs, [layer for layer in stored if id(layer) not in used and layer.name not in ignore]


def _fits(slots: list[_Slot], pairs, extra: Sequence[StoredLayer]) -> bool:
    return not any(_problems(slots, pairs, extra))


def _problems(slots: list[_Slot], pairs, extra: Sequence[StoredLayer]) -> tuple[list[str], ...]:
    matched = {slot.name for slot, _ in pairs}
    missing = [f"{slot.name}: not in the file" for slot in slots if slot.name not in matched]
    different = [
        f"{slot.name}: {_show(layer.shapes)} in the file, {_show(slot.shapes)} in the model"
        for slot, layer in pairs
        if layer.shapes != slot.shapes
    ]
    return different, missing, [f"{layer.name}: in the file, not in the model" for layer in extra]


def _show(shapes: list[tuple[int, ...]]) -> str:
    return " ".join(map(show, shapes))
