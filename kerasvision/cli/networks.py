"""`kerasvision models`."""

from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show


def models(
    task: Annotated[
        str | None, typer.Option(help="Only those for this task, for example `classify`.")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """List the networks that `--model` takes.

    Top-1 is what was published, in per cent, on the source's own test set and with its own protocol.
    """
    from kerasvision.models import entry, list_models

    show([_row(entry(name)) for name in list_models(task)], form)


def _row(network) -> dict:
    return {
        "name": network.name,
        "parameters": network.parameters,
        "native_size": network.native_size,
        "year": network.year,
        "weights": ", ".join(network.weights) or None,
        "top_1": network.top_1,
        "source": network.accuracy_source,
    }
