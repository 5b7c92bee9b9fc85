"""Write an export beside its place, certify it there, and move it into place only when it passed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kerasvision import files
from kerasvision.errors import ExportError
from kerasvision.export.certificate import (
    Recorded,
    certificate_path,
    certify,
    require_passed,
    with_failures,
)
from kerasvision.export.runners import open_file


@dataclass(frozen=True)
class ExportedFile:
    """A file (or folder) that passed its certificate.

    Attributes:
        path: where it lies; its certificate lies beside it.
        format: `"tflite"`, `"saved_model"` or `"onnx"`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        size: bytes.
        certificate: what was measured.
    """

    path: Path
    format: str
    quantize: str | None
    size: int
    certificate: Recorded

    def __str__(self) -> str:
        return str(self.certificate)


def write_certified(
    source,
    path: str | os.PathLike,
    write: Callable[[Path], None],
    *,
    format: str,
    quantize: str | None = None,
    tolerance: Mapping[str, float] | None = None,
    check: Callable[[Path], Sequence[str]] = lambda place: (),
    prove: Callable[..., Recorded] = certify,
) -> ExportedFile:
    """Write a file with `write(place)`, certify it, and put it at `path` if it passed.

    `check(place)` returns further failures, in words; `prove` is the `certify` of the kind of model.

    Raises:
        ExportError: something that is not an export of ours lies at `path`.
        CertificateError: the file did not pass; whatever was at `path` before is still there.
    """
    path = Path(path)
    refuse_foreign(path)
    files.make_folder(path.parent)
    with staging(path) as staged:
        write(staged)
        certificate = prove(
            source, open_file(staged), file=staged, format=format, quantize=quantize, tolerance=tolerance
        )
        certificate = require_passed(with_failures(certificate, check(staged)))
        put(staged, path)
    certificate.save(path)
    return ExportedFile(path, format, quantize, certificate.size, certificate)


def refuse_foreign(path: Path) -> None:
    """Refuse to write over what this package did not export.

    Raises:
        ExportError: something lies there without a certificate of ours beside it.
    """
    if not (path.exists() or path.is_symlink()) or certificate_path(path).is_file():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    raise ExportError(
        f"{path} is there already and has no certificate beside it, so it is not one of our exports. "
        "Move it away or choose another name."
    )


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Yield a place of the same name in a hidden folder beside `path`, which is removed at the end."""
    try:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:40]}."))
    except OSError as error:
        raise files.explain_os_error(error, path) from error
    try:
        yield folder / path.name
    except OSError as error:
        raise files.explain_os_error(error, path) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(staged: Path, path: Path) -> None:
    """Move a staged file or folder to its place; an older one there is replaced."""
    if staged.is_dir() and path.exists():
        os.rename(path, staged.parent / "replaced")  # removed together with the staging folder
    os.replace(staged, path)
