"""Find networks by name."""

import difflib

from kerasvision.models.model_entry import ModelEntry
from kerasvision.models.table import ENTRIES

_BY_NAME = {item.name: item for item in ENTRIES}


def list_models(task: str | None = None) -> list[str]:
    """Return the names that `get_model` accepts, in the order of the table.

    Args:
        task: only networks for this task, for example `"classify"`.

    Raises:
        ValueError: no network is known for this task.

    >>> "resnet50" in list_models("classify")
    True
    """
    tasks = sorted({known for item in ENTRIES for known in item.tasks})
    if task is not None and task not in tasks:
        raise ValueError(f"`task` must be one of {tasks} or None. Received: {task!r}.")
    return [item.name for item in ENTRIES if task is None or task in item.tasks]


def entry(name: str) -> ModelEntry:
    """Return what is known about a network.

    Case, `-` and `_` do not matter, so the names of keras.applications work too.

    Raises:
        ValueError: there is no such network; the closest names are in the message.

    >>> entry("ResNet50").parameters
    25636712
    """
    if not isinstance(name, str):
        raise ValueError(f"`name` must be a string. Received: {name!r}. Known: {', '.join(list_models())}.")
    plain = {_plain(known): known for known in _BY_NAME}
    if _plain(name) in plain:
        return _BY_NAME[plain[_plain(name)]]
    close = [plain[match] for match in difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(f'`{known}`' for known in close)}?" if close else ""
    raise ValueError(f"There is no network {name!r}.{hint} Known: {', '.join(list_models())}.")


def get_model(name: str, **arguments):
    """Build a network by name.

    Args:
        name: one of `list_models()`.
        **arguments: of its builder: `include_top`, `weights`, `input_tensor`, `input_shape`, `pooling`,
            `classes`, `classifier_activation`, `name` as in keras.applications (but `weights=None` is the
            default), and those of the family, for example `alpha`.

    Returns:
        A flat functional keras.Model that expects pixels preprocessed as `entry(name).preprocessing` says;
        `classifier` puts that into the graph.

    Raises:
        ValueError: there is no such network, or it does not accept an argument.
        WeightsError: its weights cannot be fetched, or do not fit.
    """
    return entry(name).builder(**arguments)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
