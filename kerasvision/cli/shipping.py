"""`kerasvision export` and `kerasvision benchmark`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kerasvision.cli.output import Format, FormatOption, show
from kerasvision.errors import KerasvisionError


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; created.")],
    formats: Annotated[
        list[str], typer.Option("--format", "--formats", help="saved_model, tflite or onnx; may be repeated.")
    ] = ("saved_model", "tflite"),
    quantize: Annotated[
        list[str],
        typer.Option(
            help="For TFLite: none (float32), float16, dynamic or int8; may be repeated. Of detectors, "
            "segmenters and embedders also auto: the smallest that passes."
        ),
    ] = ("none",),
    output: Annotated[
        str | None, typer.Option(help="What a segmenter's files give: probabilities, labels or logits.")
    ] = None,
    output_size: Annotated[
        int | None, typer.Option(min=1, help="Side of that in pixels, if not that of the input. Segmenters.")
    ] = None,
) -> None:
    """Write files for phones and other programs, each proved to answer as the model does.

    Every file is compared with the model on held-out images of the run; one that does not pass is not
    left there, and the exit code is 1.

    For example:

    - `kerasvision export runs/flowers phone/ --format tflite --quantize int8`

    - `kerasvision export runs/flowers server/ --format saved_model --format onnx`

    - `kerasvision export runs/roads phone/ --format tflite --quantize auto --output labels`
    """
    from kerasvision.recipes import Run

    kinds = tuple(None if kind == "none" else kind for kind in quantize)
    kinds = kinds[0] if kinds == ("auto",) else kinds
    opened = Run.load(run)
    own = {"output": output, "output_size": output_size}
    own = {name: value for name, value in own.items() if value is not None}
    if own and getattr(opened, "finds", None) != "labels":
        option = f"--{next(iter(own))}".replace("_", "-")
        raise KerasvisionError(f"`{option}` does not go with this run: {run} is no segmenter.")
    bundle = opened.export(folder, formats=tuple(formats), quantize=kinds, **own)
    typer.echo(str(bundle))


def benchmark(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A .tflite, .onnx or .keras file, or the folder of a SavedModel."
        ),
    ],
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="CPU threads; may be repeated. By default 1 and all.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Calls to time.")] = 50,
    warmup: Annotated[int, typer.Option(min=0, help="Calls before those.")] = 5,
    form: FormatOption = Format.table,
) -> None:
    """Measure how fast a file answers (percentiles), its size, and the memory it needs.

    For example `kerasvision benchmark phone/model.tflite --threads 1 --threads 4`
    """
    from kerasvision.export import benchmark

    latency = benchmark(file, threads=threads or None, runs=runs, warmup=warmup)
    if form is Format.table:
        typer.echo(str(latency))
        return
    facts = {"file": str(latency.file), "format": latency.format, "size": latency.size}
    show([facts | asdict(timing) for timing in latency.timings], form)
