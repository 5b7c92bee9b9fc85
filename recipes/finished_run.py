"""What finished runs of all kinds share: their folder and the files in it."""

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

from kerasvision.errors import CertificateError, RunError
from kerasvision.files import make_folder, read_json, write_json
from kerasvision.recipes import run_folder


class FinishedRun:
    """The folder of a finished run.

    Attributes:
        folder: where everything lies.
        record: what `run.json` holds.
        labels: names of the classes, in the order of the model's output.
    """

    kind: str

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.record = finished_record(self.folder, self.kind)
        self.labels = tuple(self.record["data"]["class_names"])

    @cached_property
    def preprocessing(self):
        """What happens to an image before the model: decoding and resizing."""
        from kerasvision.data import Preprocessing

        return Preprocessing.from_dict(read_json(self.folder / run_folder.PREPROCESSING))

    @cached_property
    def metrics(self) -> dict:
        """What `metrics.json` holds: the values of the judgement, and `split`, which one it is of."""
        return read_json(self.folder / run_folder.METRICS)

    @property
    def history(self) -> list[dict]:
        """The rows of `history.csv`."""
        return run_folder.read_history(self.folder)

    def _write_report(self) -> None:
        raise NotImplementedError

    def _read_model(self):
        """Return the `keras.Model` that lies in the folder.

        Raises:
            RunError: it cannot be read.
        """
        import keras

        path = self.folder / run_folder.MODEL
        try:
            return keras.saving.load_model(path, compile=False)
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RunError(f"{path} cannot be read: {reason}") from None

    def _exported(self, export: Callable, *arguments, **options):
        """Return the bundle that an export gives, and keep its certificates, passed or not."""
        try:
            bundle = export(*arguments, **options)
        except CertificateError as error:
            passed = error.bundle.files if error.bundle else ()
            self._keep([file.certificate for file in passed] + [error.certificate])
            raise
        self._keep([file.certificate for file in bundle.files])
        return bundle

    def _keep(self, certificates) -> None:
        """Keep certificates with the run, and show them in its report."""
        kept = make_folder(self.folder / run_folder.CERTIFICATES)
        for certificate in certificates:
            write_json(kept / f"{Path(certificate.file).name}.json", certificate.to_dict())
        self._write_report()


def finished_record(folder: Path, kind: str | None = None) -> dict:
    """Return `run.json` of a finished run.

    Args:
        folder: the run folder.
        kind: that it must be of; None: any.

    Raises:
        RunError: it is not a run, not of this kind, not finished, or files are missing.
    """
    record = run_folder.read_record(folder, kind)
    if record is None:
        exported = sorted(folder.glob("*.tflite"))
        raise RunError(
            f"{folder} is not a run: it has no {run_folder.RECORD}. "
            + (
                f"It holds exported files; name one of them: {exported[0]}."
                if exported
                else f"Give the folder that was `out` in {run_folder.recipe_names(kind)}."
            )
        )
    if record.get("status") != "finished":
        raise RunError(
            f"The run in {folder} is not finished. Call {run_folder.recipe_names(record['kind'])} with the "
            "same data, folder and arguments: it goes on where it was."
        )
    needed = (run_folder.MODEL, run_folder.PREPROCESSING, run_folder.METRICS)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise RunError(f"The run in {folder} lacks {', '.join(missing)}. Train again in a new folder.")
    return record
