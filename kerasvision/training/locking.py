"""Let one process at a time work in a run folder."""

import os
from contextlib import contextmanager
from pathlib import Path

from kerasvision.errors import RunError
from kerasvision.files import take_lock


@contextmanager
def only_process(folder: str | os.PathLike):
    """Hold a lock on a folder while the block runs.

    The operating system drops the lock when the process ends in any way, `kill -9` included.

    Args:
        folder: an existing folder; a file `.lock` is kept in it.

    Raises:
        RunError: another process holds it.
    """
    with open(Path(folder) / ".lock", "a+b") as file:
        if not take_lock(file):
            raise RunError(
                f"Another process is training in {os.fspath(folder)}. Wait until it has ended, "
                "or give another run folder (`out`)."
            )
        yield
