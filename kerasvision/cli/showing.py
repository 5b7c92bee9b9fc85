"""`kerasvision demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the images, the run and the exported file.")
    ] = Path("demo_run"),
) -> None:
    """Train, export, certify and run a small network on real images that come with a dependency.

    It needs no network, data or weights, and about two minutes on a laptop. Called again, it goes on where
    it was interrupted, or shows the finished run.
    """
    from kerasvision.recipes import demo

    demo(out)
