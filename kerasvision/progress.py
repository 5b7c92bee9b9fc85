"""Progress and messages on the terminal and in notebooks, silent with `KERASVISION_QUIET=1`."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

Item = TypeVar("Item")
_open = Lock()  # held while a bar is shown


@cache
def console():
    """Return the one rich console (standard error, so that standard output stays clean for results)."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)


def quiet() -> bool:
    """Tell whether progress and messages are switched off."""
    return os.environ.get("KERASVISION_QUIET", "") not in ("", "0")


def say(message: str) -> None:
    """Print one line for the user."""
    if not quiet():
        console().print(message, markup=False)


@contextmanager
def bar(description: str, total: int | None = None):
    """Show a progress bar; yields a function `advance(steps=1, note="")`.

    Where there is no terminal (a log file, CI) nothing but the finished line is printed. A bar inside
    another one is not shown: a terminal has room for one (rich 13 raises for a second).
    """
    if quiet() or not _open.acquire(blocking=False):
        yield lambda steps=1, note="": None
        return
    try:
        with _shown(description, total) as advance:
            yield advance
    finally:
        _open.release()


@contextmanager
def _shown(description: str, total: int | None):
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    shown = Progress(*columns, console=console(), disable="ipykernel" not in sys.modules and not _live())
    with shown:
        task = shown.add_task(description, total=total, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            shown.update(task, advance=steps, **({"note": note} if note else {}))

        yield advance
        last = shown.tasks[0]
    if shown.disable:
        seconds = last.finished_time or last.elapsed or 0
        say(f"{description}: {last.completed:g} in {seconds:.1f} s {last.fields['note']}".rstrip())


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` with a progress bar."""
    total = len(items) if total is None and hasattr(items, "__len__") else total
    with bar(description, total) as advance:
        for item in items:
            yield item
            advance()


def _live() -> bool:
    return console().is_terminal
