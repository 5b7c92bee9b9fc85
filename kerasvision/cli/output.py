"""Results on standard output: an aligned table for people, CSV and JSON for programs."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    csv = "csv"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How the result is printed.")]


def show(rows: Sequence[Mapping], form: Format = Format.table, columns: Sequence[str] = ()) -> None:
    """Print rows that have the same keys; `columns` are those of a CSV that may have no rows."""
    if form is Format.json:
        show_json([dict(row) for row in rows])
    elif form is Format.csv:
        typer.echo(_csv(rows, columns), nl=False)
    else:
        typer.echo(table(rows))


def show_facts(facts: Mapping, form: Format = Format.table) -> None:
    """Print one value a line; as one object in JSON, as the columns `name` and `value` in CSV."""
    if form is Format.json:
        show_json(dict(facts))
    elif form is Format.csv:
        typer.echo(_csv([{"name": name, "value": value} for name, value in facts.items()]), nl=False)
    else:
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            typer.echo(f"{name:{width}}  {_cell(value)}")


def show_json(value) -> None:
    """Print a value as JSON; what is no valid Unicode in file names becomes escapes, which JSON allows."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def table(rows: Sequence[Mapping]) -> str:
    """Return rows as text, columns as wide as their longest cell, numbers to the right."""
    if not rows:
        return "(nothing)"
    names = list(rows[0])
    cells = [names] + [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    right = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    lines = (
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def printable(text: str) -> str:
    """Return text as one line, with control characters and broken file names escaped."""
    text = re.sub(r"\s*\n\s*", " ", text.strip())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))


def _csv(rows: Sequence[Mapping], columns: Sequence[str] = ()) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
