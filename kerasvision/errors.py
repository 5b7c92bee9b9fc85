"""The errors that users can cause, each with what was received and what to do.

All are `ValueError`s (a missing package is an `ImportError` too). The command line prints them as one line.
"""

import difflib
import os
from collections.abc import Iterable
from importlib import import_module


class KerasvisionError(ValueError):
    """Base class of the errors that this package raises on purpose."""


class BadImageError(KerasvisionError):
    """An image file cannot be used.

    Attributes:
        path: the file, or a description of where the image came from.
        reason: what is wrong with it, without the path.
    """

    def __init__(self, path: str | os.PathLike, reason: str):
        """Name the file and what is wrong with it."""
        self.path, self.reason = os.fspath(path), reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class BadAnnotationError(BadImageError):
    """What an annotation file says of an image, or of one box on it, cannot be used.

    Attributes:
        path: the annotation file.
        reason: which object, and what is wrong with it.
    """


class DataError(KerasvisionError):
    """A data set as a whole cannot be used (no images, one class, labels that do not fit, …)."""


class CleanListError(DataError):
    """A check was made, but the list of what is left cannot be written.

    Attributes:
        checkup: the `kerasvision.data.Checkup`.
    """

    def __init__(self, message: str, checkup=None):
        """Keep what was found beside the message."""
        self.checkup = checkup
        super().__init__(message)


class WeightsError(KerasvisionError):
    """A weights file does not fit the model."""


class RunError(KerasvisionError):
    """A run folder cannot be used as asked (changed arguments, not a run, in use, …)."""


class TrainingError(KerasvisionError):
    """Training went wrong in a way that going on cannot mend (a loss that is not finite, …)."""


class DivergedError(TrainingError):
    """The loss is not finite.

    Attributes:
        epoch: in which it happened, from 1.
        step: of that epoch, from 1.
    """

    def __init__(self, message: str, *, epoch: int, step: int):
        """Keep the moment beside the message."""
        self.epoch, self.step = epoch, step
        super().__init__(message)


class ExportError(KerasvisionError):
    """A model cannot be exported as asked."""


class CertificateError(ExportError):
    """An exported file does not answer like the model.

    Attributes:
        certificate: the (first) failed `kerasvision.export.Certificate`.
        bundle: where several files were exported: the `kerasvision.export.Bundle` of those that passed.
    """

    def __init__(self, message: str, certificate=None, bundle=None):
        """Keep the failed certificate, and what passed, beside the message."""
        self.certificate, self.bundle = certificate, bundle
        super().__init__(message)


class MissingPackageError(KerasvisionError, ImportError):
    """A package that this feature needs is not installed."""


def require(package: str, *, extra: str, purpose: str):
    """Import and return an optional package, or say how to install it.

    Args:
        package: name to import, for example `"tf2onnx"`.
        extra: the extra of kerasvision that brings it.
        purpose: what needs it, for the message.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise MissingPackageError(
            f"{purpose} needs the package `{package}`. Install it with: pip install 'kerasvision[{extra}]'"
        ) from None


def unknown_name(kind: str, name, known: Iterable[str]) -> str:
    """Return the message about a name that is not known, with the closest that are.

    >>> unknown_name("detector", "ssd30", ["ssd300", "yolo"])
    "There is no detector 'ssd30'. Did you mean `ssd300`? Known: ssd300, yolo."
    """
    known = list(known)
    close = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(f'`{one}`' for one in close)}?" if close else ""
    return f"There is no {kind} {name!r}.{hint} Known: {', '.join(known)}."
