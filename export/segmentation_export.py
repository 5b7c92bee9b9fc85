"""Export everything that an app needs of a segmenter into one folder."""

import os
from collections.abc import Mapping, Sequence

from kerasvision.export.bundle import Bundle
from kerasvision.export.segmentation_certificate import segmentation_tolerances
from kerasvision.export.segmentation_note import segmentation_note
from kerasvision.export.segmentation_onnx import segmenter_to_onnx
from kerasvision.export.segmentation_saved_model import segmenter_to_saved_model
from kerasvision.export.segmentation_source import (
    Output,
    as_segmentation_source,
    check_output,
    checked_output_size,
)
from kerasvision.export.segmentation_tflite import segmenter_to_tflite
from kerasvision.export.several_formats import kinds_of, write_formats


def export_segmenter(
    source_or_run,
    folder: str | os.PathLike,
    *,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: str | None | Sequence[str | None] = None,
    output: Output | None = None,
    output_size: int | tuple[int, int] | None = None,
    data=None,
    tolerance: Mapping[str, float] | None = None,
) -> Bundle:
    """Export a segmenter with softmax or argmax inside, each file with its certificate.

    Written are `saved_model/`, `<name>_float32.tflite` (or `_float16`, `_dynamic`, `_int8`), `<name>.onnx`,
    `labels.txt`, `preprocessing.json` and a `README.md` for the app developer. Earlier exports of ours are
    replaced; nothing else in the folder is touched, and a file in the way is an error before anything is
    written.

    Resizing, softmax and argmax compute in float32 in all files; `quantize` is about the network. MediaPipe's
    `ImageSegmenter` opens the TFLite files of probabilities and of logits unchanged.

    Args:
        source_or_run: a run of a segmenter (it brings everything), or a `SegmentationSource`.
        folder: where to write; made if it is not there.
        formats: out of `"saved_model"`, `"tflite"` and `"onnx"`.
        quantize: what TFLite file to write: `None` (float32), `"float16"` (half the size, float speed),
            `"dynamic"` (int8 weights, a quarter of the size; slow for depthwise networks such as MobileNet),
            `"int8"` (weights and activations: a quarter of the size, the fastest, takes the camera's bytes);
            or several of these; or `"auto"`: the smallest that passes its certificate.
        output: what files give for each pixel: `"probabilities"` of all classes, float32 (the default),
            `"labels"`, the most probable class, uint8 (not for MediaPipe, which takes them for floats), or
            `"logits"`, float32.
        output_size: side, or (height, width), of what files give, for example that of the camera's picture;
            the input's by default. Logits are resized by bilinear interpolation before anything else.
        data: for a run: `VisionData` to take images and their masks from.
        tolerance: limits other than those of `segmentation_certificate.TOLERANCES`, for the TFLite files.

    Returns:
        The files and their certificates.

    Raises:
        ExportError: an argument does not fit, or a file that is not ours is in the way.
        CertificateError: at least one file failed; the others are there, and the message lists which failed.
    """
    kinds_of(formats, quantize)
    segmentation_tolerances(None, tolerance)  # a wrong one is an error before anything is written
    if output is not None:
        check_output(output)
    source = as_segmentation_source(
        source_or_run, data=data, output=output, output_size=checked_output_size(output_size)
    )
    return write_formats(
        source,
        folder,
        formats=formats,
        quantize=quantize,
        tolerance=tolerance,
        writers={
            "saved_model": segmenter_to_saved_model,
            "tflite": segmenter_to_tflite,
            "onnx": segmenter_to_onnx,
        },
        note=segmentation_note,
    )
