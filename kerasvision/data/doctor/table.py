"""The doctor's table for a terminal (in colour) and for plain text."""

import io
import shutil
import sys
from typing import TYPE_CHECKING

from kerasvision.report.html import UNPRINTABLE

if TYPE_CHECKING:
    from kerasvision.data.doctor.checkup import Checkup, Problem

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
EXAMPLES = 4
FILES = 3
# Kinds whose cases are copies, or nearly so.
ALIKE = {"leak", "near leak", "duplicates", "near duplicates", "label conflict", "near label conflict"}
ALIKE |= {"mask conflict", "two names", "near two names"}


def as_rich(checkup: "Checkup"):
    """Return what rich prints: verdict, table of problems with example files, images per class."""
    from rich.console import Group
    from rich.text import Text

    verdict = Text(checkup.summary(), "bold green" if checkup.ok else "bold red")
    parts = [Text(printable(checkup.origin), "bold"), verdict]
    if checkup.problems:
        parts.append(_problems(checkup.problems))
    return Group(*parts, _classes(checkup))


def as_text(checkup: "Checkup") -> str:
    """Return the table as text, in colour only when standard output is a terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((110, 40)).columns if terminal else 110
    console = Console(file=io.StringIO(), force_terminal=terminal, width=max(60, width), highlight=False)
    console.print(as_rich(checkup))
    text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _problems(problems: "tuple[Problem, ...]"):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=True, header_style="bold", expand=True, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("What is wrong", ratio=3, overflow="fold")
    table.add_column("What to do", ratio=2, overflow="fold")
    for problem in problems:
        what = Text(printable(problem.message))
        for line in _examples(problem):
            what.append(f"\n  {line}", "dim")
        table.add_row(Text(problem.severity, STYLES[problem.severity]), what, printable(problem.advice))
    return table


def _examples(problem: "Problem") -> list[str]:
    cases = [case for case in problem.cases if case.files]
    lines, mark = [], " = " if problem.kind in ALIKE else ", "
    for case in cases[:EXAMPLES]:
        names = mark.join(printable(name) for name in case.files[:FILES])
        more = f" and {len(case.files) - FILES} more" if len(case.files) > FILES else ""
        lines.append(f"{names}{more}" + (f" ({printable(case.note)})" if case.note else ""))
    if len(cases) > EXAMPLES:
        lines.append(
            f"… and {len(cases) - EXAMPLES:,} more (all are in `.problems`, and in `check --format csv`)"
        )
    return lines


def _classes(checkup: "Checkup", most: int = 15):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column(checkup.noun.capitalize(), overflow="fold")
    for split in checkup.counts:
        table.add_column(checkup.counted if split == "all" else split, justify="right")
    table.add_column("")
    totals = {
        name: sum(counts[name] for counts in checkup.counts.values())
        for name in next(iter(checkup.counts.values()), {})
    }
    largest = max(totals.values(), default=0) or 1
    names = sorted(totals, key=lambda name: -totals[name])
    shown = names if len(names) <= most else [*names[: most - 5], None, *names[-5:]]
    for name in shown:
        if name is None:
            table.add_row(f"… {len(names) - most:,} more", *[""] * len(checkup.counts), "")
            continue
        bar = Text("█" * max(1 if totals[name] else 0, round(20 * totals[name] / largest)), "blue")
        table.add_row(printable(name), *(f"{c[name]:,}" for c in checkup.counts.values()), bar)
    return table


def printable(text: str):
    """Return text that cannot steer a terminal: control characters and lone surrogates are replaced."""
    from rich.text import Text

    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return Text(UNPRINTABLE.sub("\ufffd", clean)).plain
