"""Leave modules of a network out, without retraining it and without touching it.

Veit, Wilber, Belongie, Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016,
https://arxiv.org/abs/1605.06431
"""

import difflib
from collections.abc import Iterable

import keras

from kerasvision.explain.plain import PlainModule, locate_plain
from kerasvision.explain.residual import Located, ResidualModule, hand_on, locate_residual, needed
from kerasvision.models import graph


def residual_modules(model: keras.Model) -> tuple[ResidualModule, ...]:
    """List the residual modules of a network in the order they run.

    They are found in the graph: an addition of two tensors that come from one fork. So this works for bare
    networks, for classifiers, for models loaded from a file and for a user's own, whatever the family: v1,
    pre-activation, ResNeXt, Inception-ResNet, inverted residuals.

    Args:
        model: functional model.

    Returns:
        One value for each module.

    Raises:
        ValueError: the model is not functional, or has no residual module.

    >>> from kerasvision.models import ResNetSmall
    >>> [(m.name, m.shortcut, m.downsampling) for m in residual_modules(ResNetSmall(blocks=(1, 1)))]
    [('stage1_block1', 'identity', False), ('stage2_block1', 'projection', True)]

    https://arxiv.org/abs/1605.06431
    """
    found = locate_residual(flattened(model))
    if not found:
        raise ValueError(
            f"`model` {model.name!r} has no residual module: no addition in it joins a shortcut and a branch "
            "that come from one tensor. For a plain network (VGG, AlexNet) use plain_modules(model)."
        )
    return tuple(located.module for located in found)


def plain_modules(model: keras.Model) -> tuple[PlainModule, ...]:
    """List the convolutions and Dense layers of a network in order, as the contrast to residual modules.

    Each comes with the padding before it and the normalisation and activation after it. Where its input and
    output have the same shape (`removable`), `without` puts the identity in its place; the others, which
    change the number of channels or the size, cannot be left out. The layer that makes the output is not
    listed.

    Args:
        model: functional model without residual modules.

    Returns:
        One value for each layer with weights.

    Raises:
        ValueError: the model is not functional, has residual modules, or has no such layer.
    """
    flat = flattened(model)
    if locate_residual(flat):
        raise ValueError(
            f"`model` {model.name!r} is not plain: it has residual modules. Use residual_modules(model)."
        )
    found = locate_plain(flat)
    if not found:
        raise ValueError(f"`model` {model.name!r} has no convolution or Dense layer before its output.")
    return tuple(located.module for located in found)


def without(model: keras.Model, names: str | Iterable[str]) -> keras.Model:
    """Return a network in which modules are replaced by their shortcuts.

    Nothing is trained. A downsampling module keeps its shortcut (projection, padding or pooling), so that
    shapes fit. In a plain network, the identity takes the place of a removable layer.

    Args:
        model: functional model; it stays as it is.
        names: of `residual_modules(model)`, or the removable ones of `plain_modules(model)`.

    Returns:
        A flat functional model that shares its layers and weights with `model`; training one trains both
        (`keras.models.clone_model`, or saving and loading, gives one of its own).

    Raises:
        ValueError: the model has no such module, or it cannot be left out.
    """
    flat = flattened(model)
    modules = {located.name: located for located in removable(flat)}
    chosen = [modules[name] for name in check_names(names, modules, flat)]
    bypass = {key: position for located in chosen for key, position in located.bypass.items()}
    outputs = {id(tensor) for tensor in graph.functional(flat).outputs}
    alive = {id(node) for node in needed(graph.nodes(flat), outputs, bypass)}

    def call(operation, args, kwargs, node):
        if id(node) not in alive:  # not called at all, so that its layer does not remember the call
            return [None] * len(node.output_tensors)
        if id(node) in bypass:
            return hand_on(args, bypass[id(node)])
        return operation(*args, **kwargs)

    return graph.rebuild(flat, call, name=model.name)


def flattened(model: keras.Model) -> keras.Model:
    """Return a model itself, or one flat graph of its layers where models are nested inside.

    Raises:
        ValueError: the model is not functional.
    """
    if graph.is_flat(model):
        return graph.functional(model)
    return graph.rebuild(
        model, lambda operation, args, kwargs, node: operation(*args, **kwargs), flatten=True
    )


def removable(flat: keras.Model) -> list[Located]:
    """Return what can be left out of a flat model: residual modules, else layers of a plain network.

    Raises:
        ValueError: there is nothing.
    """
    found = locate_residual(flat) or [x for x in locate_plain(flat) if x.module.removable]
    if not found:
        raise ValueError(
            f"`model` {flat.name!r} has nothing that can be left out: no residual module, and no layer whose "
            "input and output have the same shape."
        )
    return found


def check_names(names: str | Iterable[str], known: Iterable[str], model: keras.Model) -> list[str]:
    """Return names as a list, each once.

    Raises:
        ValueError: one is unknown, or cannot be left out.
    """
    known = list(known)
    if not isinstance(names, Iterable):
        raise ValueError(f"`names` must be names of modules. Received: {names!r}.")
    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    for name in names:
        if name in known:
            continue
        fixed = [x.module for x in locate_plain(model) if x.name == name and not x.module.removable]
        if fixed and not locate_residual(model):
            raise ValueError(
                f"`names` holds {name!r}, which cannot be left out: it makes {fixed[0].output_shape} of "
                f"{fixed[0].input_shape}. Those that can: {', '.join(known)}."
            )
        close = difflib.get_close_matches(str(name), known, 3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it has: {_short(known)}."
        raise ValueError(f"`names` holds {name!r}, which is no module of {model.name!r}; {hint}")
    return names


def _short(names: list[str], shown: int = 5) -> str:
    return ", ".join(names if len(names) <= 2 * shown else [*names[:shown], "…", *names[-shown:]])
