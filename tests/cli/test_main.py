"""Exit codes, one-line errors, and a standard error that only we write to."""

import os
import signal
import subprocess
import sys
import time

import pytest

import kerasvision
from kerasvision.cli import main

QUIET = {k: v for k, v in os.environ.items() if k not in ("KERASVISION_QUIET", "TF_CPP_MIN_LOG_LEVEL")}


def start(*arguments, **options) -> subprocess.Popen:
    """Start the command as a process of its own, as a user does."""
    command = [sys.executable, "-m", "kerasvision.cli.main", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": QUIET}
    # A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(command, **{**pipes, **heed, **options})


ERRORS = {
    "ours": (ValueError("`a` must be\n  b."), 1, "Error: `a` must be b.\n"),
    "of the system": (
        FileNotFoundError(2, "No such file or directory", "x.jpg"),
        1,
        "Error: x.jpg: No such ",
    ),
    "of the system without a file": (OSError("odd"), 1, "Error: odd\n"),
    "a missing package": (ImportError("needs `x`. Install it with: pip install x"), 1, "Error: needs `x`."),
    "in the words of the command line": (
        ValueError('`image_size` must be 8. Load it with on_bad_file="skip", or with `data`.'),
        1,
        "Error: `--image-size` must be 8. Load it with --on-bad-file skip, or with `data`.\n",
    ),
    "out of memory": (MemoryError(), 1, "Error: out of memory. Use a smaller `--batch-size`"),
    "a defect of ours": (ZeroDivisionError("division"), 1, "Error: unexpected ZeroDivisionError: division"),
    "interrupted": (KeyboardInterrupt(), 130, "Interrupted. "),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_line_and_a_code(case, monkeypatch, capsys):
    error, code, line = ERRORS[case]

    def fail(task=None):
        raise error

    monkeypatch.setattr("kerasvision.models.list_models", fail)
    assert main.run(["models"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and err.count("\n") == 1


@pytest.mark.parametrize("where", [0, 1, 3], ids=["first", "after the command", "last"])
def test_debug_may_stand_anywhere(where, monkeypatch):
    arguments = ["models", "--format", "json"]
    arguments.insert(where, "--debug")
    monkeypatch.setattr("kerasvision.models.list_models", lambda task: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main.run(arguments)


def test_version(capsys):
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"kerasvision {kerasvision.__version__}\n"


def test_no_arguments_show_the_help(capsys):
    assert main.run([]) == 2
    assert "Usage: kerasvision" in "".join(capsys.readouterr())


def test_streams_of_the_caller_are_left_alone(capsys):
    before = sys.stderr, os.fstat(2)
    main.run(["models"])
    assert (sys.stderr, os.fstat(2)) == before


def test_libraries_are_silent_and_messages_are_not(photos, trained, tmp_path):
    """TensorFlow, the converter and LiteRT all log to file descriptor 2; only our lines may arrive."""
    process = start("export", trained, tmp_path / "phone", "--format", "tflite", "--quantize", "int8")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "passed" in out
    assert err.startswith("Exporting and certifying: 1 in ") and err.count("\n") == 1


def test_debug_lets_libraries_log(tflite, photos):
    process = start("predict", tflite, photos / "red", "--debug")
    assert "XNNPACK" in process.communicate(timeout=60)[1]


def test_a_crash_in_native_code_is_not_silent():
    program = "from kerasvision.cli import main; main._hide_the_log_of_libraries(); import os; os.abort()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGABRT and "Fatal Python error: Aborted" in done.stderr


def test_a_reader_that_goes_away():
    process = start("models", "--format", "json")
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == ""


@pytest.mark.slow
def test_interrupting_a_training_is_one_line_and_leaves_the_run(photos, training, tmp_path):
    """Send SIGINT (Ctrl-C) in the middle of a training."""
    run = tmp_path / "run"
    process = start("train", "classifier", photos, run, *training, "--epochs", "5000", "--patience", "5000")
    deadline = time.monotonic() + 90
    while not any((run / "checkpoints").glob("*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err and err.splitlines()[-1].startswith("Interrupted.")
    assert (run / "run.json").is_file()
