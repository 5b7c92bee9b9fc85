"""Cut labelled images into training, validation and test parts, the same way every time."""

from collections.abc import Mapping

import numpy as np

from kerasvision.errors import DataError

_FEWEST = 2  # identities in a part


def stratified_split(
    labels: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Split indices so that every part has the class proportions of the whole.

    A class with as many images as there are parts, or more, has at least one image in each part; with
    fewer, training is served first and then the parts in the order given. The sizes of parts are right
    to one image, but for that.

    Args:
        labels: (N,) int, at least 0.
        fractions: part -> its share in (0, 1), without training, which is the rest.
        seed: the same seed gives the same split.

    Returns:
        `{"train": indices, …}`, each sorted ascending.

    Raises:
        DataError: a fraction is not in [0, 1), or they leave nothing for training.

    Example:
        >>> parts = stratified_split(np.repeat([0, 1], 10), {"validation": 0.2})
        >>> {name: len(part) for name, part in parts.items()}
        {'train': 16, 'validation': 4}
    """
    check_seed(seed)
    labels = np.asarray(labels)
    parts = {part: float(fraction) for part, fraction in fractions.items() if fraction != 0}
    _check(parts, fractions)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups = [np.random.default_rng((seed, number)).permutation(group) for number, group in enumerate(groups)]
    sizes = np.array([len(group) for group in groups], int)
    taken = np.zeros_like(sizes)
    chosen: dict[str, np.ndarray] = {}
    for order, (part, fraction) in enumerate(parts.items()):
        later = len(parts) - 1 - order
        share = _share(sizes, fraction, room=sizes - taken - 1, keep=later)
        chosen[part] = _gather(groups, taken, share)
        taken = taken + share
    return {"train": _gather(groups, taken, sizes - taken), **chosen}


def identity_split(
    labels: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Split indices so that all images of an identity are in one part.

    Identities with one image, which make no pair, are shared out apart from the others. Every part has at
    least two identities, as pairs of different ones are needed too.

    Args:
        labels: (N,) int, at least 0: the identity of each image.
        fractions: part -> its share of identities in [0, 1), without training, which is the rest; or 1 for
            one part, which then is all.
        seed: the same seed gives the same split.

    Returns:
        `{"train": indices, …}`, each sorted ascending.

    Raises:
        DataError: a fraction is out of range, or there are too few identities.

    Example:
        >>> parts = identity_split(np.repeat(np.arange(10), 3), {"validation": 0.2})
        >>> {name: len(part) for name, part in parts.items()}
        {'train': 24, 'validation': 6}
    """
    check_seed(seed)
    labels = np.asarray(labels)
    kinds, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    parts = {part: float(fraction) for part, fraction in fractions.items() if fraction != 0}
    everything = np.arange(len(labels))
    if list(parts.values()) == [1.0]:
        return {"train": everything[:0], **dict.fromkeys(parts, everything)}
    _check(parts, fractions)
    if not parts or not len(kinds):
        return {"train": everything, **dict.fromkeys(parts, everything[:0])}
    ends = np.cumsum(_identities_in(parts, len(kinds)))
    chosen = np.split(_mixed(sizes > 1, np.random.default_rng(seed)), ends)
    people = {"train": chosen[-1], **dict(zip(parts, chosen[:-1], strict=True))}
    return {name: np.flatnonzero(np.isin(inverse, who)) for name, who in people.items()}


def _identities_in(parts: Mapping[str, float], count: int) -> list[int]:
    """Return how many of `count` identities go into each part."""
    needed = _FEWEST * (len(parts) + 1)
    if count < needed:
        raise DataError(
            f"A split by identity needs {_FEWEST} identities in each of train, {', '.join(parts)}, so "
            f"{needed} in all. Received: {count}. Add some, or pass by_identity_split=(1.0, 0.0) to use all "
            f"for training."
        )
    numbers, left = [], count - _FEWEST
    for later, fraction in zip(reversed(range(len(parts))), parts.values(), strict=True):
        numbers.append(min(max(round(count * fraction), _FEWEST), left - _FEWEST * later))
        left -= numbers[-1]
    return numbers


def _mixed(several: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the indices of a mask in random order, with both kinds in the same proportion everywhere."""
    place = np.empty(len(several))
    for kind in (False, True):
        members = random.permutation(np.flatnonzero(several == kind))
        place[members] = (np.arange(len(members)) + 0.5) / max(len(members), 1)
    return np.argsort(place, kind="stable")


def check_seed(seed: int) -> None:
    """Refuse a seed that is not a whole number from 0."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"`seed` must be a whole number from 0. Received: {seed!r}.")


def _check(parts: Mapping[str, float], fractions: Mapping[str, float]) -> None:
    for part, fraction in parts.items():
        if not 0 < fraction < 1:
            raise DataError(
                f"`{part}_fraction` must be at least 0 and below 1. Received: {fractions[part]!r}. "
                f"For a fifth of the images pass 0.2."
            )
    if sum(parts.values()) >= 1:
        raise DataError(
            f"The fractions {dict(fractions)} leave nothing for training. Make their sum smaller than 1."
        )


def _share(sizes: np.ndarray, fraction: float, room: np.ndarray, keep: int) -> np.ndarray:
    """Return how many of each class go into a part: largest remainders, at least one where there is room."""
    exact = sizes * fraction
    share = np.floor(exact + 1e-9).astype(int)
    missing = round(sizes.sum() * fraction) - share.sum()
    by_remainder = np.argsort(-(exact - share), kind="stable")
    share[by_remainder[: max(missing, 0)]] += 1
    most = np.where(room > keep, room - keep, np.minimum(room, 1))
    return np.clip(np.maximum(share, 1), 0, np.maximum(most, 0))


def _gather(groups, start: np.ndarray, count: np.ndarray) -> np.ndarray:
    picked = [group[s : s + n] for group, s, n in zip(groups, start, count, strict=True)]
    return np.sort(np.concatenate(picked)) if picked else np.zeros(0, int)
