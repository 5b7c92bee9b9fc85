"""`kerasvision check`."""

from pathlib import Path
from typing import Annotated

import typer


def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder with one folder of images a class, or with train/val/test."
        ),
    ],
    page: Annotated[Path | None, typer.Option(help="Also write an HTML page with thumbnails.")] = None,
    clean_list: Annotated[
        Path | None,
        typer.Option(help="Also write a CSV of the images that are fine; `train classifier` takes it."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if anything was found.")] = False,
) -> None:
    """Look for what is wrong with a folder of images, without changing anything in it."""
