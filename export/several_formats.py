"""Write one network in the formats asked for into one folder, whatever kind of network it is."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kerasvision.errors import CertificateError
from kerasvision.export.bundle import Bundle, checked_kinds, file_name, write_bundle
from kerasvision.export.placing import ExportedFile
from kerasvision.progress import say

AUTO = "auto"
# The smallest first. "int8" and "dynamic" are equally small; the first is the faster one.
BY_SIZE = ("int8", "dynamic", "float16", None)


def kinds_of(formats: Sequence[str], quantize) -> tuple:
    """Return the kinds of TFLite files that may be written; `"auto"` stands for all, the smallest first.

    Raises:
        ExportError: a format or a kind is not known.
    """
    if quantize != AUTO:
        return checked_kinds(formats, quantize)
    return checked_kinds(formats, BY_SIZE if "tflite" in formats else ("int8",))


def write_formats(
    source,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str],
    quantize,
    tolerance: Mapping[str, float] | None,
    writers: Mapping[str, Callable[..., ExportedFile]],
    note: Callable[[object, Sequence[ExportedFile]], str],
) -> Bundle:
    """Write files, each with its certificate, and what lies beside them.

    Args:
        source: what is exported; its `name`, `labels`, `preprocessing` and `calibration` are used.
        folder: where to write.
        formats: out of `"saved_model"`, `"tflite"` and `"onnx"`.
        quantize: kinds of TFLite files, or `"auto"`: the smallest that passes its certificate.
        tolerance: for the TFLite files.
        writers: format -> `write(source, path)`; that of `"tflite"` also takes `quantize` and `tolerance`.
        note: `note(source, files)` is what README.md says.

    Raises:
        ExportError: a file that is not ours is in the way.
        CertificateError: at least one file failed; the others are there.
    """
    kinds = kinds_of(formats, quantize)
    folder, name = Path(folder), file_name(source.name)
    places = {kind: folder / f"{name}_{kind or 'float32'}.tflite" for kind in kinds}
    to_tflite = writers["tflite"]
    jobs = {}
    if "saved_model" in formats:
        jobs[folder / "saved_model"] = lambda path: writers["saved_model"](source, path)
    if "tflite" in formats and quantize == AUTO:
        jobs[places[None]] = lambda path: _smallest(source, places, tolerance, to_tflite)
    elif "tflite" in formats:
        for kind, place in places.items():
            jobs[place] = lambda path, kind=kind: to_tflite(source, path, quantize=kind, tolerance=tolerance)
    if "onnx" in formats:
        jobs[folder / f"{name}.onnx"] = lambda path: writers["onnx"](source, path)
    others = tuple(places.values()) if "tflite" in formats else ()
    return write_bundle(folder, jobs, source, lambda done: note(source, done), others)


def _smallest(source, places: Mapping, tolerance: Mapping | None, to_tflite: Callable) -> ExportedFile:
    """Write the smallest TFLite file that passes; what fails on the way is said."""
    failed = None
    for kind, place in places.items():
        if kind == "int8" and not len(source.calibration):
            say("int8 is left out: there are no calibration images.")
            continue
        try:
            return to_tflite(source, place, quantize=kind, tolerance=tolerance)
        except CertificateError as error:
            failed = error
            say(f"{kind or 'float32'} is left out: {'; '.join(error.certificate.failures)}.")
    raise failed
