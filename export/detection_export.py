"""Export everything that an app needs of a detector into one folder."""

import os
from collections.abc import Mapping, Sequence

from kerasvision.export.bundle import Bundle
from kerasvision.export.detection_certificate import detection_tolerances
from kerasvision.export.detection_note import detection_note
from kerasvision.export.detection_onnx import detector_to_onnx
from kerasvision.export.detection_saved_model import detector_to_saved_model
from kerasvision.export.detection_source import Selection, as_detection_source
from kerasvision.export.detection_tflite import detector_to_tflite
from kerasvision.export.several_formats import kinds_of, write_formats


def export_detector(
    source_or_run,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: str | None | Sequence[str | None] = None,
    selection: Selection | None = None,
    data=None,
    tolerance: Mapping[str, float] | None = None,
) -> Bundle:
    """Export a detector with decoding and NMS inside, each file with its certificate.

    Written are `saved_model/`, `<name>_float32.tflite` (or `_float16`, `_dynamic`, `_int8`), `<name>.onnx`,
    `labels.txt`, `preprocessing.json` and a `README.md` for the app developer. Earlier exports of ours are
    replaced; nothing else in the folder is touched, and a file in the way is an error before anything is
    written.

    All files give `boxes` (ymin, xmin, ymax, xmax in [0, 1]), `classes`, `scores` and `count`. Decoding and
    NMS compute in float32 in all of them; `quantize` is about the network. MediaPipe's `ObjectDetector` opens
    the TFLite files unchanged.

    Args:
        source_or_run: a run of a detector (it brings everything), or a `DetectionSource`.
        folder: where to write; made if it is not there.
        formats: out of `"saved_model"`, `"tflite"` and `"onnx"`.
        quantize: what TFLite file to write: `None` (float32), `"float16"` (half the size, float speed),
            `"dynamic"` (int8 weights, a quarter of the size; slow for depthwise networks such as MobileNet),
            `"int8"` (weights and activations: a quarter of the size, the fastest, takes the camera's bytes);
            or several of these; or `"auto"`: the smallest that passes its certificate.
        selection: which boxes the files give: `Selection(most=100, overlap=0.5, threshold=0.05,
            per_class=True)`.
        data: for a run: `VisionData` to take images and their boxes from.
        tolerance: limits other than those of `detection_certificate.TOLERANCES`, for the TFLite files.

    Returns:
        The files and their certificates.

    Raises:
        ExportError: an argument does not fit, or a file that is not ours is in the way.
        CertificateError: at least one file failed; the others are there, and the message lists which failed.
    """
    kinds_of(formats, quantize)
    detection_tolerances(None, tolerance)  # a wrong one is an error before anything is written
    source = as_detection_source(source_or_run, data=data, selection=selection)
    return write_formats(
        source,
        folder,
        formats=formats,
        quantize=quantize,
        tolerance=tolerance,
        writers={
            "saved_model": detector_to_saved_model,
            "tflite": detector_to_tflite,
            "onnx": detector_to_onnx,
        },
        note=detection_note,
    )
