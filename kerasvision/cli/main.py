"""The command `kerasvision`: its groups, exit codes and one-line errors."""

import faulthandler
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from kerasvision import __version__
from kerasvision.cli import checking, explaining, networks, running, shipping, showing, training
from kerasvision.cli.output import printable

EPILOG = """
Exit code: 0; 1 after an error (one line on standard error); 2 for a wrong command line; 130 when interrupted.
Results go to standard output, progress to standard error (KERASVISION_QUIET=1 silences it).
"""
# typer brings its own click from 0.26 on and the real one before; this is `UsageError` in both.
UsageError = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="kerasvision",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(showing.demo)
app.command("check")(checking.check)
app.add_typer(training.app, name="train")
app.command("evaluate")(running.evaluate)
app.command("predict")(running.predict)
app.command("export")(shipping.export)
app.command("benchmark")(shipping.benchmark)
app.add_typer(explaining.app, name="explain")
app.command("models")(networks.models)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kerasvision {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors and TensorFlow's own log.")
    ] = False,
) -> None:
    """Fine-tune a vision model on your own photos, and ship it as files proved to answer like it.

    Start with `kerasvision demo`. With your own photos, in a folder for each class:

    - `kerasvision check photos/`

    - `kerasvision train classifier photos/ runs/first`

    - `kerasvision predict runs/first new.jpg`

    - `kerasvision export runs/first phone/ --quantize int8`
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the name of the program. `--debug` may stand anywhere in them. By default those of
            the process, whose standard error is then kept clear of the logs of libraries.
    """
    own_process = arguments is None
    arguments = list(sys.argv[1:] if own_process else arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    elif own_process:
        _hide_the_log_of_libraries()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")  # names that are not UTF-8 come out as they are
    try:
        result = typer.main.get_command(app)(arguments, prog_name="kerasvision", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            raise
        return _explain(error)
    if result == 130:
        return _explain(KeyboardInterrupt())
    return result if isinstance(result, int) else 0


def _explain(error: BaseException) -> int:
    """Print an error as one line and return the exit code."""
    match error:
        case UsageError():
            return _explain_usage(error)
        case KeyboardInterrupt() | typer.Abort():
            _complain(
                "Interrupted. `train`, `demo` and `explain lesions` go on where they were when called again."
            )
            return 130
        case BrokenPipeError():
            # The reader (`| head`) has gone. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError():
            name = f"{error.filename}: " if error.filename is not None else ""
            _complain(f"Error: {name}{error.strerror or error}")
            return 1
        case MemoryError():
            _complain("Error: out of memory. Use a smaller `--batch-size` or `--image-size`.")
            return 1
        case ValueError() | ImportError():  # ours are ValueErrors, and so are those of Keras about arguments
            _complain(f"Error: {error}")
            return 1
        case Exception():
            _complain(
                f"Error: unexpected {type(error).__name__}: {error} This should not happen: call it again "
                "with --debug and report what it prints."
            )
            return 1
    raise error


def _explain_usage(error) -> int:
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return 2
    path = context.command_path if context else "kerasvision"
    _complain(f"Error: {error.format_message().rstrip('.')}. Try '{path} --help'.")
    return 2


def _complain(message: str) -> None:
    typer.echo(printable(_in_options(message)), err=True)


def _in_options(message: str) -> str:
    """Return a message of the functions in the words of the command line: --on-bad-file for on_bad_file."""
    known = "|".join(sorted(_option_names(typer.main.get_command(app))))
    with_value = re.sub(rf"\b({known})=[\"']?([\w.]+)[\"']?", lambda m: f"{_option(m[1])} {m[2]}", message)
    named = re.sub(rf"`({known})`", lambda m: f"`{_option(m[1])}`", with_value)
    return re.sub(r"`?\bkv\.data\.check\b`?", "`kerasvision check`", named)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option_names(command) -> set[str]:
    own = {p.name for p in command.params if _option(p.name) in p.opts}
    return own.union(*(_option_names(inner) for inner in getattr(command, "commands", {}).values()))


def _hide_the_log_of_libraries() -> None:
    """Let only Python write to standard error.

    TensorFlow 2.21 logs while its libraries are loaded, before it reads TF_CPP_MIN_LOG_LEVEL, and LiteRT and
    the converter log whatever it says. So file descriptor 2 leads nowhere, and `sys.stderr` writes to a copy.
    A crash in native code still prints where it was.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not sys.warnoptions:
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", module="kerasvision")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        copy = os.dup(2)
    except OSError:  # started without a standard error
        return
    sys.stderr = open(copy, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(sys.stderr)


if __name__ == "__main__":
    sys.exit(run())
