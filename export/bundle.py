"""Export everything that an app needs into one folder."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kerasvision
from kerasvision import files
from kerasvision.data.preprocessing import Preprocessing
from kerasvision.errors import CertificateError, ExportError, KerasvisionError
from kerasvision.export.app_note import app_note
from kerasvision.export.certificate import tolerances
from kerasvision.export.metadata import EMBEDDING_FILE, LABELS_FILE, PREPROCESSING_FILE
from kerasvision.export.onnx import to_onnx
from kerasvision.export.placing import ExportedFile, refuse_foreign
from kerasvision.export.saved_model import to_saved_model
from kerasvision.export.source import ExportSource, as_source
from kerasvision.export.tflite import to_tflite
from kerasvision.progress import track

MANIFEST, NOTE = "kerasvision_export.json", "README.md"
_FORMATS = ("saved_model", "tflite", "onnx")
_KINDS = (None, "float16", "dynamic", "int8")


@dataclass(frozen=True)
class Bundle:
    """What `export` wrote; `print` shows it.

    Attributes:
        folder: where.
        files: the exported files, each with its certificate.
        note: README.md for the app developer.
    """

    folder: Path
    files: tuple[ExportedFile, ...]
    note: Path

    def __getitem__(self, name: str) -> ExportedFile:
        """Return a file by its name in the folder."""
        found = {file.path.name: file for file in self.files}
        if name not in found:
            raise KeyError(f"{name} is not in {self.folder}. It has: {', '.join(found)}.")
        return found[name]

    def __str__(self) -> str:
        return "\n".join([f"{self.folder}:", *(f"  {file}" for file in self.files), f"  {self.note.name}"])


def export(
    model_or_run,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: str | None | Sequence[str | None] = None,
    data=None,
    images: np.ndarray | None = None,
    targets: Sequence[int] | None = None,
    calibration: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> Bundle:
    """Export a classifier in several formats into one folder, each file with its certificate.

    Written are `saved_model/`, `<name>_float32.tflite` (or `_float16`, `_dynamic`, `_int8`: only what
    `quantize` asks for), `<name>.onnx`, `labels.txt`, `preprocessing.json` and a `README.md` for the app
    developer. Earlier exports of ours are replaced; nothing else in the folder is touched, and a file in the
    way is an error before anything is written.

    Args:
        model_or_run: a `Run` (it brings images, labels and calibration), or a `keras.Model`.
        folder: where to write; made if it is not there.
        formats: out of `"saved_model"`, `"tflite"` and `"onnx"`.
        quantize: what TFLite file to write: `None` (float32), `"float16"`, `"dynamic"` or `"int8"`; or
            several of these, as `(None, "int8")`.
        data: `VisionData` to take images, labels and preprocessing from.
        images: (n, h, w, 3) uint8 held-out images for the certificates.
        targets: (n,) int, their classes.
        calibration: (n, h, w, 3) uint8 training images for int8.
        class_names: names of the classes; a `Run` and `data` bring them.
        preprocessing: how photos are resized; a `Run` and `data` bring it.
        tolerance: limits other than those of `certificate.TOLERANCES`, for the TFLite files.

    Returns:
        The files and their certificates.

    Raises:
        ExportError: an argument does not fit, or a file that is not ours is in the way.
        CertificateError: at least one file failed; the others are there, and the message lists which failed.
    """
    kinds = checked_kinds(formats, quantize)
    tolerances(None, tolerance)  # a wrong one is an error before anything is written
    source = as_source(
        model_or_run,
        data=data,
        images=images,
        targets=targets,
        calibration=calibration,
        class_names=class_names,
        preprocessing=preprocessing,
    )
    folder = Path(folder)
    jobs = _jobs(source, folder, formats, kinds, tolerance)

    def note(done):
        return app_note(source.model.name, source.labels, source.preprocessing, done)

    return write_bundle(folder, jobs, source, note)


def write_bundle(
    folder: Path,
    jobs: Mapping[Path, Callable[[Path], ExportedFile]],
    source,
    note: Callable[[Sequence[ExportedFile]], str],
    others: Sequence[Path] = (),
) -> Bundle:
    """Write files, each by its job, and what lies beside them; see `export`.

    Args:
        folder: where to.
        jobs: path -> what writes and certifies a file there, or at another path out of `others`.
        source: its `labels` and `preprocessing`, and of an embedder its `facts`, are written beside the
            files.
        note: what README.md says of the files that passed.
        others: further paths that a job may write to.
    """
    earlier = _refuse_changed(folder, [*jobs, *others])
    files.make_folder(folder)
    done, failed = [], {}
    for path, job in track(list(jobs.items()), "Exporting and certifying"):
        try:
            done.append(job(path))
        except KerasvisionError as error:
            failed[path] = error
    bundle = _finish(folder, source, done, earlier, note(done))
    if failed:
        raise _failure(failed, bundle)
    return bundle


def checked_kinds(formats: Sequence[str], quantize) -> tuple:
    """Return the kinds of TFLite files asked for.

    Raises:
        ExportError: a format or a kind is not known.
    """
    kinds = (quantize,) if quantize is None or isinstance(quantize, str) else tuple(quantize)
    if isinstance(formats, str) or not formats or not set(formats) <= set(_FORMATS):
        given = formats if isinstance(formats, str) else ", ".join(map(str, formats))
        raise ExportError(f"`formats` must be some of {', '.join(_FORMATS)}. Received: {given or 'none'}.")
    if not kinds or not set(kinds) <= set(_KINDS):
        raise ExportError(f"`quantize` must be one or some of {_KINDS}. Received: {quantize!r}.")
    if "tflite" not in formats and kinds != (None,):
        raise ExportError(f'`quantize` needs "tflite" among `formats`. Received: {tuple(formats)}.')
    return tuple(dict.fromkeys(kinds))


def _jobs(source: ExportSource, folder: Path, formats, kinds, tolerance) -> dict:
    name = file_name(source.model.name)
    jobs = {}
    if "saved_model" in formats:
        jobs[folder / "saved_model"] = lambda path: to_saved_model(source, path)
    if "tflite" in formats:
        for kind in kinds:
            jobs[folder / f"{name}_{kind or 'float32'}.tflite"] = lambda path, kind=kind: to_tflite(
                source, path, quantize=kind, tolerance=tolerance
            )
    if "onnx" in formats:
        jobs[folder / f"{name}.onnx"] = lambda path: to_onnx(source, path)
    return jobs


def file_name(name: str) -> str:
    """Return the name of a model as part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name) or "model"


def _refuse_changed(folder: Path, paths: Sequence[Path]) -> dict[str, str]:
    """Refuse to write over what is not ours or was changed since; return the manifest of before."""
    for path in paths:
        refuse_foreign(path)
    manifest = folder / MANIFEST
    earlier = files.read_json(manifest).get("files", {}) if manifest.is_file() else {}
    for name in (LABELS_FILE, PREPROCESSING_FILE, EMBEDDING_FILE, NOTE):
        path = folder / name
        if path.exists() and (name not in earlier or files.sha256(path) != earlier[name]):
            raise ExportError(
                f"{path} is there already and was not written by an export, or was changed since. "
                "Move it away or choose another folder."
            )
    return earlier


def _finish(folder: Path, source, done: Sequence[ExportedFile], earlier: Mapping, note: str) -> Bundle:
    """Write what lies beside the exported files, and the manifest."""
    texts = {LABELS_FILE: "\n".join(source.labels) + "\n", NOTE: note} if source.labels else {NOTE: note}
    for name, text in texts.items():
        with files.write_atomically(folder / name, "w") as stream:
            stream.write(text)
    told = {PREPROCESSING_FILE: source.preprocessing.to_dict()}
    if facts := getattr(source, "facts", None):
        told[EMBEDDING_FILE] = facts
    for name, value in told.items():
        files.write_json(folder / name, value)
    written = {name: files.sha256(folder / name) for name in (*texts, *told)}
    written |= {file.path.name: file.certificate.sha256 for file in done}
    manifest = {"format": 1, "kerasvision": kerasvision.__version__, "files": {**earlier, **written}}
    files.write_json(folder / MANIFEST, manifest)
    return Bundle(folder, tuple(done), folder / NOTE)


def _failure(failed: Mapping[Path, KerasvisionError], bundle: Bundle) -> ExportError:
    lines = [f"{path.name}: {error}" for path, error in failed.items()]
    lines += [f"{path.name} of an earlier export is still there." for path in failed if path.exists()]
    passed = ", ".join(file.path.name for file in bundle.files) or "none"
    message = "\n".join([f"{len(failed)} of the files were not exported to {bundle.folder}.", *lines])
    message += f"\nExported and certified: {passed}."
    certificates = [error.certificate for error in failed.values() if isinstance(error, CertificateError)]
    return CertificateError(message, certificates[0], bundle) if certificates else ExportError(message)
