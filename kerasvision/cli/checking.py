"""`kerasvision check`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show, show_json
from kerasvision.errors import CleanListError

COLUMNS = ("severity", "kind", "case", "file", "note")


def check(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with a folder of images for each class, or train/val/test; or a CSV; or images with "
            "boxes or masks.",
        ),
    ],
    identities: Annotated[
        bool,
        typer.Option(
            "--identities", help="The folders, or the column identity of a CSV, are people or the like."
        ),
    ] = False,
    near_duplicates: Annotated[
        bool, typer.Option(help="Look for copies that were resized or saved again, too.")
    ] = True,
    page: Annotated[Path | None, typer.Option(help="HTML file to write, with pictures.")] = None,
    clean_list: Annotated[
        Path | None, typer.Option(help="CSV file to write without what is wrong, to train from.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 1 if there is an error (warnings are none).")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """Look for what is wrong with images: which files, and what to do. Nothing in it is changed.

    For example:

    - `kerasvision check photos/`

    - `kerasvision check photos/ --page checkup.html --clean-list clean.csv`

    - `kerasvision check photos/ --strict --format json`
    """
    from kerasvision.data import check

    refused = None
    try:
        checkup = check(
            data, identities=identities, near_duplicates=near_duplicates, page=page, clean_list=clean_list
        )
    except CleanListError as error:  # what was found is shown before that is said
        checkup, refused = error.checkup, error
    if form is Format.json:
        show_json(checkup.to_dict())
    elif form is Format.csv:
        show(_rows(checkup), form, COLUMNS)
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(checkup)
    else:
        typer.echo(str(checkup))
    if refused is not None:
        raise refused
    if strict and not checkup.ok:
        raise typer.Exit(1)


def _rows(checkup) -> list[dict]:
    """Return one row for each file of each case; files of one case, such as copies, have the same number."""
    rows = []
    for problem in checkup.problems:
        for number, case in enumerate(problem.cases, 1):
            for file in case.files or ("",):
                values = (problem.severity, problem.kind, number, file, case.note)
                rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows
