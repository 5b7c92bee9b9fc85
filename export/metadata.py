"""The metadata that MediaPipe Tasks reads in a TFLite file: written and read by us.

A TFLite file keeps it in two places: a small flatbuffer (identifier M001) in a buffer that the model's
list of metadata calls TFLITE_METADATA, and a ZIP archive appended to the file that holds what the flatbuffer
refers to (the labels). The tables are given here by the numbers of their slots in the public schema; a union
takes two slots, first its kind.
https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
"""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

from kerasvision._tflite_file import metadata_buffer, read_tflite, with_metadata_buffer
from kerasvision.errors import ExportError

ENTRY, IDENTIFIER = "TFLITE_METADATA", b"M001"
LABELS_FILE, PREPROCESSING_FILE, THRESHOLDS_FILE = "labels.txt", "preprocessing.json", "thresholds.json"
EMBEDDING_FILE = "embedding.json"
# Versions of the schema that have every field that is written here; groups of tensors came with 1.2.0,
# metadata of one's own with 1.5.0.
MIN_PARSER_VERSION, MIN_PARSER_VERSION_DETECTOR, MIN_PARSER_VERSION_SEGMENTER = "1.0.0", "1.2.0", "1.5.0"
# The outputs of a detector, and the names by which MediaPipe's ObjectDetector knows them, in the order that
# TFLite's own post-processing and most apps have.
DETECTION_NAMES = {
    "boxes": "location",
    "classes": "category",
    "scores": "score",
    "count": "number of detections",
}
EMBEDDING = "embedding"  # the output of an embedder
# What a segmenter may give for each pixel, and the number of its dimensions.
LABEL_MAP_RANKS = {"probabilities": 4, "logits": 4, "labels": 3}
# By this name MediaPipe's ImageSegmenter looks for its own settings: a flatbuffer of identifier V001.
_SEGMENTER, _SEGMENTER_IDENTIFIER, _SOFTMAX = "SEGMENTER_METADATA", b"V001", 2
_DESCRIPTIONS, _AXIS_LABELS, _VALUE_LABELS = 1, 2, 3  # AssociatedFileType
_FEATURE, _IMAGE, _BOXES = 1, 2, 3  # ContentProperties
_BOUNDARIES, _RATIO = 1, 0  # BoundingBoxType, CoordinateType
_NORMALIZATION = 1  # ProcessUnitOptions
_RGB = 1  # ColorSpaceType


@dataclass(frozen=True)
class Metadata:
    """What the metadata of a TFLite file say.

    Attributes:
        name: name of the model.
        description: of the model.
        mean: what is to be subtracted from pixels in [0, 255] of a float input.
        std: what they are then to be divided by.
        labels: names of the classes, in the order of the output.
        preprocessing: `Preprocessing.to_dict()`, or `None`.
        min_parser_version: version of the schema that a reader must know.
        outputs: names of the outputs, in the order of the file.
        thresholds: class name -> least score of a box to show, or `None`.
        embedding: of an embedder, how vectors are compared, and whose they are; or `None`.
    """

    name: str
    description: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    labels: tuple[str, ...]
    preprocessing: Mapping | None
    min_parser_version: str
    outputs: tuple[str, ...] = ()
    thresholds: Mapping[str, float] | None = None
    embedding: Mapping | None = None


def add_classifier_metadata(
    data: bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    preprocessing: Mapping | None = None,
) -> bytes:
    """Return a classifier's TFLite file with metadata and labels in it.

    The normalisation is the identity (mean 0, std 1), because our models scale pixels themselves.

    Args:
        data: the file, with one input and one output.
        name: of the model.
        description: of the model.
        labels: names of the classes, in the order of the output.
        preprocessing: `Preprocessing.to_dict()`, packed beside the labels.
    """
    graph = {2: [_image()], 3: [_values("probabilities", "Probability of each class.", 1.0)]}
    return _with_metadata(data, name, description, graph, MIN_PARSER_VERSION, labels, preprocessing)


def add_detector_metadata(
    data: bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    preprocessing: Mapping | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> bytes:
    """Return a detector's TFLite file with metadata and labels in it.

    Args:
        data: the file, with one input and the outputs boxes (ymin, xmin, ymax, xmax in [0, 1]), classes,
            scores and count, in this order.
        name: of the model.
        description: of the model.
        labels: names of the classes.
        preprocessing: `Preprocessing.to_dict()`, packed beside the labels.
        thresholds: class name -> least score of a box to show, packed beside the labels.
    """
    group = {0: "detection_result", 1: list(DETECTION_NAMES.values())[:3]}  # TensorGroup: name, tensor_names
    graph = {2: [_image()], 3: _detections(), 8: [group]}
    version = MIN_PARSER_VERSION_DETECTOR
    return _with_metadata(data, name, description, graph, version, labels, preprocessing, thresholds)


def add_segmenter_metadata(
    data: bytes,
    *,
    name: str,
    description: str,
    labels: Sequence[str],
    output: str,
    preprocessing: Mapping | None = None,
) -> bytes:
    """Return a segmenter's TFLite file with metadata and labels in it.

    MediaPipe's ImageSegmenter is told to take the softmax of logits, and to take probabilities as they are.

    Args:
        data: the file, with one input and one output.
        name: of the model.
        description: of the model.
        labels: names of the classes.
        output: `"probabilities"`, `"logits"` or `"labels"`.
        preprocessing: `Preprocessing.to_dict()`, packed beside the labels.
    """
    outputs = {
        "probabilities": _values("probabilities", "Probability of each class at each pixel.", 1.0),
        "logits": _values("logits", "Logit of each class at each pixel.", None),
        "labels": _values("labels", "Class of each pixel.", float(len(labels) - 1), kind=_VALUE_LABELS),
    }
    graph = {2: [_image()], 3: [outputs[output]]}
    if output == "logits":
        # ImageSegmenterOptions: activation, min_parser_version
        options = _flatbuffer({0: _Byte(_SOFTMAX), 1: "1.0.0"}, _SEGMENTER_IDENTIFIER)
        graph[9] = [{0: _SEGMENTER, 1: np.frombuffer(options, np.uint8)}]  # CustomMetadata: name, data
    version = MIN_PARSER_VERSION_SEGMENTER
    return _with_metadata(data, name, description, graph, version, labels, preprocessing)


def add_embedder_metadata(
    data: bytes,
    *,
    name: str,
    description: str,
    embedding: Mapping,
    preprocessing: Mapping | None = None,
) -> bytes:
    """Return an embedder's TFLite file with metadata in it.

    Args:
        data: the file, with one input and the output `embedding`, (1, d).
        name: of the model.
        description: of the model.
        embedding: `EmbeddingSource.facts`, packed into the file: distance, threshold, fingerprint.
        preprocessing: `Preprocessing.to_dict()`, packed likewise.
    """
    # TensorMetadata: name, description, content
    output = {0: EMBEDDING, 1: "Vector to be compared by its distance.", 3: {0: _Byte(_FEATURE), 1: {}}}
    graph = {2: [_image()], 3: [output]}
    version = MIN_PARSER_VERSION
    return _with_metadata(data, name, description, graph, version, (), preprocessing, embedding=embedding)


def label_map_output(shapes: Mapping[str, Sequence]) -> str | None:
    """Return which output of a file is about pixels, or `None` if none is.

    Args:
        shapes: name of each output -> its shape.
    """
    known = LABEL_MAP_RANKS.items()
    return next((name for name, rank in known if len(shapes.get(name) or ()) == rank), None)


def read_metadata(file: str | os.PathLike | bytes) -> Metadata | None:
    """Read the metadata of a TFLite file.

    Returns:
        `None` if the file has none.

    Raises:
        ExportError: the file or its metadata are damaged.
    """
    data = bytes(file) if isinstance(file, (bytes, bytearray)) else read_tflite(file)
    content = metadata_buffer(data, ENTRY)
    if content is None:
        return None
    try:
        return _read(content, _unpack(data))
    except (LookupError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ExportError(f"The metadata of this TFLite file are damaged: {error}.") from None


def _with_metadata(
    data, name, description, graph, version, labels, preprocessing, thresholds=None, embedding=None
) -> bytes:
    """Write ModelMetadata; `graph` is its SubGraphMetadata."""
    packed = {LABELS_FILE: "\n".join(labels) + "\n"} if labels else {}
    # name, description, subgraph_metadata, associated_files, min_parser_version
    model = {0: name, 1: description, 3: [graph], 7: version}
    for file, text, value in (
        (PREPROCESSING_FILE, "How a photo becomes the input.", preprocessing),
        (THRESHOLDS_FILE, "Least scores of boxes to show.", thresholds),
        (EMBEDDING_FILE, "How vectors are compared, and up to which distance they are alike.", embedding),
    ):
        if value is not None:
            packed[file] = json.dumps(dict(value))
            # AssociatedFile: name, description, type
            model[6] = [*model.get(6, ()), {0: file, 1: text, 2: _Byte(_DESCRIPTIONS)}]
    content = _flatbuffer(model, IDENTIFIER)
    return with_metadata_buffer(data, ENTRY, content) + _archive(packed)


def _image() -> dict:
    normalization = {0: [0.0], 1: [1.0]}  # NormalizationOptions: mean, std
    return {
        0: "image",  # TensorMetadata: name, description, content, process_units, stats
        1: "RGB photo, values from 0 to 255.",
        3: {
            0: _Byte(_IMAGE),
            1: {0: _Byte(_RGB)},
        },  # Content: properties (kind, ImageProperties: color_space)
        4: [{0: _Byte(_NORMALIZATION), 1: normalization}],  # ProcessUnit: options (kind, value)
        5: {0: [255.0], 1: [0.0]},  # Stats: max, min
    }


def _values(name: str, text: str, most: float | None, kind: int = _AXIS_LABELS) -> dict:
    """Return what is said of an output with a value for each class, or, by `kind`, with classes as values."""
    described = {
        0: name,  # TensorMetadata: name, description, content, stats, associated_files
        1: text,
        3: {0: _Byte(_FEATURE), 1: {}},
        6: [{0: LABELS_FILE, 1: "Names of the classes.", 2: _Byte(kind)}],
    }
    return described if most is None else described | {5: {0: [most], 1: [0.0]}}


def _detections() -> list[dict]:
    # BoundingBoxProperties: index (where left, top, right and bottom are), type, coordinate_type
    order = {0: np.array([1, 0, 3, 2], np.uint32), 1: _Byte(_BOUNDARIES), 2: _Byte(_RATIO)}
    described = (
        ("ymin, xmin, ymax, xmax in [0, 1].", _BOXES, order),
        ("Class of each box.", _FEATURE, {}),
        ("Score of each box.", _FEATURE, {}),
        ("Number of boxes.", _FEATURE, {}),
    )
    outputs = []
    for name, (text, kind, properties) in zip(DETECTION_NAMES.values(), described, strict=True):
        # TensorMetadata: name, description, content (kind, properties, range of the values with that meaning)
        outputs.append({0: name, 1: text, 3: {0: _Byte(kind), 1: properties}})
    for output in outputs[:3]:
        output[3][2] = {0: _Int(2), 1: _Int(2)}  # ValueRange: min, max
    outputs[1][6] = [{0: LABELS_FILE, 1: "Names of the classes.", 2: _Byte(_VALUE_LABELS)}]
    return outputs


class _Byte(int):
    """A number that takes one byte in the flatbuffer."""


class _Int(int):
    """A number that takes four bytes in the flatbuffer."""


def _flatbuffer(root: dict, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(_offset(builder, root), identifier)
    return bytes(builder.Output())


def _offset(builder: flatbuffers.Builder, value) -> int:
    """Write a string, a vector (of numbers, tables or strings) or a table; return where it lies."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list) and isinstance(value[0], float):
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if isinstance(value, list):
        offsets = [_offset(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    fields = {slot: v if isinstance(v, int) else _offset(builder, v) for slot, v in value.items()}
    builder.StartObject(max(fields, default=-1) + 1)
    for slot, field in fields.items():
        if isinstance(field, _Byte):
            builder.PrependInt8Slot(slot, field, 0)
        elif isinstance(value[slot], _Int):
            builder.PrependInt32Slot(slot, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()


def _archive(packed: Mapping[str, str]) -> bytes:
    """Return a ZIP whose bytes depend on the contents only (its dates are fixed)."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, text in packed.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode())
    return stream.getvalue()


def _unpack(data: bytes) -> dict[str, str]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def _read(content: bytes, packed: Mapping[str, str]) -> Metadata:
    model = Table(content, int.from_bytes(content[:4], "little"))
    graph = _children(model, 3)[0]
    image, outputs = _children(graph, 2)[0], _children(graph, 3)
    normalization = [_child(unit, 1) for unit in _children(image, 4) if _byte(unit, 0) == _NORMALIZATION]
    mean, std = [_floats(normalization[0], slot) for slot in (0, 1)] if normalization else ((), ())
    kinds = (_AXIS_LABELS, _VALUE_LABELS)
    labels = [_text(f, 0) for output in outputs for f in _children(output, 6) if _byte(f, 2) in kinds]
    own = (PREPROCESSING_FILE, THRESHOLDS_FILE, EMBEDDING_FILE)
    told = {name: json.loads(packed[name]) for name in own if name in packed}
    return Metadata(
        name=_text(model, 0),
        description=_text(model, 1),
        mean=mean,
        std=std,
        labels=tuple(packed[labels[0]].splitlines()) if labels else (),
        preprocessing=told.get(PREPROCESSING_FILE),
        min_parser_version=_text(model, 7),
        outputs=tuple(_text(output, 0) for output in outputs),
        thresholds=told.get(THRESHOLDS_FILE),
        embedding=told.get(EMBEDDING_FILE),
    )


def _place(table: Table, slot: int) -> int:
    offset = table.Offset(4 + 2 * slot)
    return table.Pos + offset if offset else 0


def _text(table: Table, slot: int) -> str:
    place = _place(table, slot)
    return table.String(place).decode() if place else ""


def _byte(table: Table, slot: int) -> int:
    place = _place(table, slot)
    return table.Get(number_types.Int8Flags, place) if place else 0


def _child(table: Table, slot: int) -> Table:
    return Table(table.Bytes, table.Indirect(_place(table, slot)))


def _children(table: Table, slot: int) -> list[Table]:
    offset = table.Offset(4 + 2 * slot)
    if not offset:
        return []
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(offset))]


def _floats(table: Table, slot: int) -> tuple[float, ...]:
    values = table.GetVectorAsNumpy(number_types.Float32Flags, table.Offset(4 + 2 * slot))
    return tuple(float(value) for value in values)
