"""Look into a TFLite file for what would fail on a phone."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kerasvision._tflite_file import Description, TensorInfo, describe, read_tflite
from kerasvision.export.metadata import DETECTION_NAMES, EMBEDDING, Metadata, label_map_output, read_metadata

_FLOATS = ("float32", "float16")
_VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


@dataclass(frozen=True)
class Lint:
    """What a TFLite file holds and what is wrong with it.

    Attributes:
        file: the file.
        size: bytes.
        quantize: `None` (float32), `"float16"`, `"dynamic"` or `"int8"`, by what its tensors hold.
        inputs: name -> shape, type, scale, zero point.
        outputs: likewise.
        operations: how often each occurs.
        weights: element type -> number of constants.
        labels: number of labels in the metadata.
        problems: what would fail or answer wrongly on a phone.
        remarks: what is worth knowing.
    """

    file: Path
    size: int
    quantize: str | None
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    operations: Counter
    weights: Counter
    labels: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        rows = [
            ("file", f"{self.file} ({self.size / 1e6:.2f} MB, {self.quantize or 'float32'})"),
            *(("input", _tensor_text(info)) for info in self.inputs.values()),
            *(("output", _tensor_text(info)) for info in self.outputs.values()),
            ("operations", ", ".join(f"{n} {name}" for name, n in self.operations.most_common())),
            ("weights", ", ".join(f"{n:,} {kind}" for kind, n in self.weights.most_common())),
            ("labels", str(self.labels)),
            *(("remark", remark) for remark in self.remarks),
            *(("PROBLEM", problem) for problem in self.problems),
        ]
        return "\n".join(f"{name:<11} {text}" for name, text in rows)


def lint(file: str | os.PathLike) -> Lint:
    """Check a TFLite file without running it.

    Args:
        file: a `.tflite` file, of ours or not.

    Returns:
        What it holds; `.problems` is empty for a file that a phone can use; `print(lint(file))` is a table.

    Raises:
        ExportError: it cannot be read.
    """
    data = read_tflite(file)
    found = describe(data, os.fspath(file))
    metadata = read_metadata(data)
    return Lint(
        file=Path(file),
        size=len(data),
        quantize=quantize_of(found),
        inputs=found.inputs,
        outputs=found.outputs,
        operations=found.operations,
        weights=found.constants,
        labels=len(metadata.labels) if metadata else 0,
        problems=tuple(_problems(found, metadata)),
        remarks=tuple(_remarks(found, metadata)),
    )


def quantize_of(found: Description) -> str | None:
    """Tell how a file was quantised from the types of its constants and computed tensors."""
    kind = max(("float32", "float16", "int8"), key=lambda name: found.constants[name])
    if kind != "int8":
        return None if kind == "float32" else kind
    # In a "dynamic" file no computed tensor is int8. What follows the network of a detector, segmenter or
    # embedder is float in any case, and may have more tensors than a small network.
    floats = 0 if _ends_in_float(found) else found.activations["float32"]
    return "int8" if found.activations["int8"] > floats else "dynamic"


def _problems(found: Description, metadata: Metadata | None):
    flex = [name for name in found.custom if name.startswith("Flex")]
    others = [name for name in found.custom if not name.startswith("Flex")]
    if flex:
        yield f"needs the Flex delegate for {', '.join(flex)}: LiteRT and MediaPipe refuse the file"
    if others:
        yield f"needs custom operations: {', '.join(others)}"
    if variables := [name for name in _VARIABLES if name in found.operations]:
        yield f"keeps weights in variables ({', '.join(variables)}), which are not in the file"
    if not sum(found.constants.values()):
        yield "holds no weights"
    if found.open_shapes:
        yield f"has open sizes: {', '.join(found.open_shapes[:3])}"
    for image in found.inputs.values():
        yield from _input_problems(image, metadata)
    if is_detector(found):
        yield from _detector_problems(found, metadata)
        return
    if "labels" in found.outputs and is_segmenter(found):
        return  # the classes are its values
    if is_embedder(found):
        yield from _embedder_problems(found, metadata)
        return
    classes = next(iter(found.outputs.values())).shape[-1:]
    if metadata and metadata.labels and classes != (len(metadata.labels),):
        yield f"has {len(metadata.labels)} labels for {classes[0] if classes else 'no'} outputs"


def is_detector(found: Description) -> bool:
    """Tell whether a file gives boxes, classes, scores and count."""
    return set(DETECTION_NAMES) <= set(found.outputs)


def is_segmenter(found: Description) -> bool:
    """Tell whether a file gives probabilities, logits or labels of pixels."""
    return label_map_output({name: info.shape for name, info in found.outputs.items()}) is not None


def is_embedder(found: Description) -> bool:
    """Tell whether a file gives vectors."""
    return set(found.outputs) == {EMBEDDING} and len(found.outputs[EMBEDDING].shape) == 2


def _ends_in_float(found: Description) -> bool:
    return is_detector(found) or is_segmenter(found) or is_embedder(found)


def _embedder_problems(found: Description, metadata: Metadata | None):
    info, told = found.outputs[EMBEDDING], metadata.embedding if metadata else None
    if info.dtype != "float32":
        yield f"its output {_tensor_text(info)} is not float32: vectors of 8 bits cannot be told apart well"
    if told and told.get("dimensions") != info.shape[-1]:
        yield f"its metadata speak of {told.get('dimensions')} dimensions; it gives {info.shape[-1]}"


def _detector_problems(found: Description, metadata: Metadata | None):
    expected = tuple(DETECTION_NAMES[name] for name in found.outputs if name in DETECTION_NAMES)
    if metadata and metadata.outputs != expected:
        yield (
            f"its metadata name the outputs {', '.join(metadata.outputs)}; for {', '.join(found.outputs)} "
            f"MediaPipe's ObjectDetector needs {', '.join(expected)}"
        )
    ranks = {"boxes": 3, "classes": 2, "scores": 2, "count": 1}
    for name, rank in ranks.items():
        info = found.outputs[name]
        if len(info.shape) != rank or info.dtype != "float32":
            yield (
                f"its output {name} is {_tensor_text(info)}; MediaPipe's ObjectDetector takes float32 with "
                f"{rank} dimensions"
            )


def _input_problems(image: TensorInfo, metadata: Metadata | None):
    if image.dtype == "int8":
        yield "takes int8; MediaPipe takes uint8 or float32 only"
    if image.dtype == "uint8" and (image.scale, image.zero_point) not in ((1.0, 0), (0.0, 0)):
        yield (
            f"its uint8 input has scale {image.scale:g} and zero point {image.zero_point} instead of 1 "
            "and 0: fed with raw bytes, as MediaPipe does, it answers wrongly"
        )
    if image.dtype == "float32" and metadata and not metadata.std:
        yield "its metadata lack the normalisation that MediaPipe needs for a float input"


def _remarks(found: Description, metadata: Metadata | None):
    if metadata is None:
        yield "no metadata: MediaPipe Tasks needs them"
    elif is_embedder(found):
        if not metadata.embedding or metadata.embedding.get("threshold") is None:
            yield "no threshold in the metadata: from which distance on two images differ is not said"
    elif not metadata.labels:
        yield "no labels in the metadata"
    if not found.signatures:
        yield "no signature: inputs and outputs are known by their position only"
    if is_segmenter(found) and "labels" in found.outputs:
        yield "gives labels: MediaPipe's ImageSegmenter takes them for floats and answers nonsense"
    if _ends_in_float(found):
        return  # what follows the network is float on purpose
    floats = sum(found.activations[kind] for kind in _FLOATS)
    if quantize_of(found) == "int8" and floats > len(found.inputs) + len(found.outputs):
        yield f"{floats} tensors stay float: these operations have no int8 form and run slower"


def _tensor_text(info: TensorInfo) -> str:
    quantised = f", scale {info.scale:g}, zero point {info.zero_point}" if info.scale else ""
    return f"{info.name} {' x '.join(map(str, info.shape))} {info.dtype}{quantised}"
