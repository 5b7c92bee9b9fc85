"""What stands below everything: errors, atomic files, progress."""

import errno
import hashlib
import os
import pickle
import stat
import subprocess
import sys

import pytest

from kerasvision import progress
from kerasvision.errors import (
    BadImageError,
    CertificateError,
    ExportError,
    KerasvisionError,
    MissingPackageError,
    require,
)
from kerasvision.files import (
    explain_os_error,
    locked,
    make_folder,
    read_json,
    sha256,
    write_atomically,
    write_csv,
    write_json,
)

# -- errors


def test_bad_image_error_names_the_file_and_survives_another_process():
    error = pickle.loads(pickle.dumps(BadImageError("photos/ä.jpg", "is empty (0 bytes)")))
    assert isinstance(error, KerasvisionError) and isinstance(error, ValueError)
    assert (error.path, error.reason, str(error)) == (
        "photos/ä.jpg",
        "is empty (0 bytes)",
        "photos/ä.jpg: is empty (0 bytes)",
    )


def test_certificate_error_keeps_the_certificate():
    error = CertificateError("the file does not answer like the model", certificate={"passed": False})
    assert isinstance(error, ExportError) and error.certificate == {"passed": False}


def test_require_returns_the_package():
    assert require("json", extra="onnx", purpose="a test") is __import__("json")


def test_require_says_how_to_install():
    with pytest.raises(
        MissingPackageError, match=r"to_onnx needs the package `tf3onnx`.*kerasvision\[onnx\]"
    ):
        require("tf3onnx", extra="onnx", purpose="to_onnx")
    assert issubclass(MissingPackageError, ImportError)


def test_require_does_not_hide_a_broken_package(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import a_package_that_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_it_needs") as caught:
        require("broken_package", extra="onnx", purpose="a test")
    assert not isinstance(caught.value, KerasvisionError)


# -- files


def test_write_atomically_replaces_only_when_finished(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), write_atomically(file, "w") as stream:
        stream.write("new")
        stream.flush()
        assert file.read_text() == "old"
        1 / 0  # noqa: B018
    assert file.read_text() == "old"
    with write_atomically(file, "w") as stream:
        stream.write("näw")
    assert file.read_bytes() == "näw".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_files_get_the_permissions_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with write_atomically(tmp_path / "a") as stream:
            stream.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KerasvisionError, match=r"a\.json: the disk is full\. Free some space"):
        write_json(tmp_path / "a.json", {})
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device(tmp_path):
    with pytest.raises(OSError) as caught, open("/dev/full", "w") as stream:
        stream.write("x" * 100_000)
    assert "disk is full" in str(explain_os_error(caught.value, tmp_path / "big.bin"))


REASONS = {
    errno.EACCES: "permission denied",
    errno.EROFS: "read-only",
    errno.ENAMETOOLONG: "too long",
    errno.ENOTDIR: "is a file",
    errno.EDQUOT: "quota",
}


@pytest.mark.parametrize("number", REASONS)
def test_os_errors_say_what_to_do(number):
    error = explain_os_error(OSError(number, "x"), "/somewhere/out")
    assert isinstance(error, KerasvisionError)
    assert "/somewhere/out" in str(error) and REASONS[number] in str(error)


def test_other_os_errors_stay_as_they_are():
    error = OSError(errno.EIO, "Input/output error")
    assert explain_os_error(error, "out") is error


def test_make_folder(tmp_path):
    made = make_folder(tmp_path / "a" / "b")
    assert made.is_dir() and make_folder(made) == made and not os.listdir(made)
    (tmp_path / "file").write_text("")
    with pytest.raises(KerasvisionError, match="file is a file, not a folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(KerasvisionError, match="a part of this path is a file"):
        make_folder(tmp_path / "file" / "below")


def test_json_there_and_back(tmp_path):
    value = {"größe": [1, 2.5, None], "b": {"c": True}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert "größe" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_file_names_that_are_not_utf8_can_be_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "x.json", {"file": name})
    assert read_json(tmp_path / "x.json") == {"file": name}
    write_csv(tmp_path / "x.csv", ["file"], [[name]])
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == "file\ncaf\\udce9.jpg\n"


def test_half_a_json_file_is_named(tmp_path):
    (tmp_path / "run.json").write_text('{"a": ')
    with pytest.raises(KerasvisionError, match=r"run\.json is not valid JSON"):
        read_json(tmp_path / "run.json")


def test_csv(tmp_path):
    write_csv(tmp_path / "a.csv", ["path", "label"], [["a,b.jpg", "x"], ['q".png', "ü"]])
    assert (tmp_path / "a.csv").read_bytes() == 'path,label\n"a,b.jpg",x\n"q"".png",ü\n'.encode()


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_sha256_of_a_folder_depends_on_names_and_contents(tmp_path):
    def digest(files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        return sha256(folder)

    first = digest({"a": "1", "b/c": "2"})
    assert first == digest({"b/c": "2", "a": "1"})
    assert len({first, digest({"a": "1", "b/d": "2"}), digest({"a": "1", "b/c": "3"})}) == 3


HOLD = """
import sys, time
from kerasvision.files import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_is_waited_for_and_given_up_on(tmp_path):
    file = tmp_path / "names.gallery"
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen([*command, "60"], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(KerasvisionError, match="Another process has been writing"),
            locked(file, seconds=0.1),
        ):
            pass
        other.kill()  # the system drops its lock
        other.wait()
        with locked(file, seconds=10):
            assert not file.exists()
    with pytest.raises(FileNotFoundError), locked(tmp_path / "no folder" / "x"):
        pass


# -- progress


@pytest.fixture
def loud(monkeypatch):
    """Switch messages on, and make the console write to the captured stream."""
    monkeypatch.setenv("KERASVISION_QUIET", "0")
    progress.console.cache_clear()
    yield
    progress.console.cache_clear()


def test_messages_go_to_standard_error(loud, capsys):
    progress.say("[bold] is not markup: a/[b].jpg")
    assert capsys.readouterr() == ("", "[bold] is not markup: a/[b].jpg\n")


def test_track_yields_all_and_prints_one_line_without_a_terminal(loud, capsys):
    assert list(progress.track([1, 2, 3], "Reading")) == [1, 2, 3]
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Reading: 3 in ") and err.count("\n") == 1


def test_bar_shows_the_last_note(loud, capsys):
    with progress.bar("Epoch 1", 4) as advance:
        advance(3, note="loss 2.0")
        advance(note="loss 1.5")
    assert capsys.readouterr().err.endswith("s loss 1.5\n")


def test_a_bar_in_a_bar_is_silent(loud, capsys):
    with progress.bar("Enrolling", 2) as outer:
        assert list(progress.track(range(3), "predict")) == [0, 1, 2]
        outer(2)
    err = capsys.readouterr().err
    assert err.startswith("Enrolling: 2 in ") and "predict" not in err
    with pytest.raises(ZeroDivisionError), progress.bar("Failing", 1):
        1 / 0  # noqa: B018
    assert list(progress.track(range(3), "the next one")) == [0, 1, 2]
    assert "the next one: 3 in " in capsys.readouterr().err


def test_quiet(monkeypatch, capsys):
    monkeypatch.setenv("KERASVISION_QUIET", "1")
    progress.say("nothing")
    assert list(progress.track(range(2), "nothing")) == [0, 1]
    with progress.bar("nothing") as advance:
        advance(1, note="x")
    assert capsys.readouterr() == ("", "")
