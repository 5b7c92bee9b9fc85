"""What a TFLite file holds: read and named through the public schema, without TensorFlow."""

import os
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from kerasvision.errors import ExportError

INPUT_NAME, SIGNATURE = "image", "serving_default"


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a TFLite file.

    Attributes:
        name: name in the signature, or the tensor's own name where the file has no signature.
        shape: sizes; -1 where the file leaves one open.
        dtype: numpy's name, for example `"uint8"`.
        scale: quantisation scale; 0.0 when the tensor is not quantised.
        zero_point: quantisation zero point.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Description:
    """What a TFLite file holds, read without running it.

    Attributes:
        inputs: by name, in the file's order.
        outputs: by name, in the file's order.
        operations: how often each operation occurs; custom ones by their own name.
        custom: names of the operations that are not built in (`Flex…` ones among them).
        signatures: names of the signatures.
        open_shapes: names of the tensors with a size that is not fixed.
        constants: element type -> number of elements in constant tensors (the weights).
        activations: element type -> number of computed tensors.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    operations: Counter
    custom: tuple[str, ...]
    signatures: tuple[str, ...]
    open_shapes: tuple[str, ...]
    constants: Counter
    activations: Counter


def read_tflite(path: str | os.PathLike) -> bytes:
    """Return the bytes of a TFLite file, or say what is wrong with it.

    Raises:
        ExportError: it is not there, empty, or of another kind.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ExportError(f"Cannot read {os.fspath(path)}: {error.strerror}.") from None
    if data[4:8] != b"TFL3":
        raise ExportError(f"{os.fspath(path)} is not a TFLite file ({len(data):,} bytes, no TFL3 mark).")
    return data


def describe(data: bytes, name: str = "this file") -> Description:
    """Read what a TFLite file holds.

    Raises:
        ExportError: it is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        content = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = content.subgraphs[0]
        signatures = content.signatureDefs or []
        names = _signature_names(signatures[0] if signatures else None)
        inputs = [_tensor_info(graph.tensors[i], names[0].get(i)) for i in graph.inputs]
        outputs = [_tensor_info(graph.tensors[i], names[1].get(i)) for i in graph.outputs]
        operations, custom = _operations(content)
        constant, computed = Counter(), Counter()
        for tensor in (t for g in content.subgraphs for t in g.tensors):
            kind, held = _dtype_name(tensor.type), content.buffers[tensor.buffer]
            if held.data is not None and len(held.data) or held.offset > 1:
                constant[kind] += int(np.prod(_sizes(tensor.shape)))
            else:
                computed[kind] += 1
        opened = [t.name.decode() for t in graph.tensors if -1 in _sizes(t.shapeSignature)]
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, struct.error) as error:
        raise ExportError(
            f"{name} is not a readable TFLite file ({type(error).__name__}: {error})."
        ) from None
    keys = tuple(s.signatureKey.decode() for s in signatures)
    table = [{info.name: info for info in infos} for infos in (inputs, outputs)]
    return Description(*table, operations, custom, keys, tuple(opened), constant, computed)


def with_names(data: bytes, names: Sequence[str], inputs: Sequence[str] = (INPUT_NAME,)) -> bytes:
    """Return a converted file with names for its inputs and outputs and a signature.

    Args:
        data: the file.
        names: a name for each output, in the file's order.
        inputs: likewise for each input.

    Raises:
        ExportError: the file has another number of inputs or outputs.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = content.subgraphs[0]
    if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(names):
        raise ExportError(
            f"The converter made {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; expected "
            f"{len(inputs)} and the outputs {list(names)}. Does an output not depend on the image?"
        )
    signature = schema.SignatureDefT([], [], SIGNATURE, 0)
    for tensor, name, entries in (
        *((t, n, signature.inputs) for t, n in zip(graph.inputs, inputs, strict=True)),
        *((t, n, signature.outputs) for t, n in zip(graph.outputs, names, strict=True)),
    ):
        graph.tensors[tensor].name = name
        entries.append(schema.TensorMapT(name, int(tensor)))
    content.signatureDefs = [signature]
    return pack(content, len(data))


def encode(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    """Return numbers as a tensor of a file takes them: in its type, by its own scale."""
    if values.dtype == info.dtype and info.scale in (0.0, 1.0) and info.zero_point == 0:
        return np.ascontiguousarray(values)
    if info.dtype not in ("uint8", "int8"):
        return values.astype(info.dtype)
    limits = np.iinfo(info.dtype)
    steps = np.round(values.astype(np.float32) / (info.scale or 1.0)) + info.zero_point
    return np.clip(steps, limits.min, limits.max).astype(info.dtype)


def decode(values: np.ndarray, info: TensorInfo) -> np.ndarray:
    """Return what a tensor of a file holds as numbers: float32 where it is quantised."""
    if info.scale and values.dtype in (np.uint8, np.int8, np.int16):
        return (values.astype(np.float32) - info.zero_point) * np.float32(info.scale)
    return values


def pin_range(images: np.ndarray) -> np.ndarray:
    """Return a copy of uint8 images with the darkest value of each set to 0 and the brightest to 255."""
    pinned = np.array(images, np.uint8)
    flat = pinned.reshape(len(pinned), -1)
    rows = np.arange(len(flat))
    darkest, brightest = flat.argmin(1), flat.argmax(1)
    brightest = np.where(brightest == darkest, (darkest + 1) % flat.shape[1], brightest)  # one flat colour
    flat[rows, darkest], flat[rows, brightest] = 0, 255
    return pinned


def pack(model, size: int) -> bytes:
    """Return the bytes of a `schema.ModelT`; `size` is a first guess of their number."""
    import flatbuffers

    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(size + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _aligned(buffer):
    """Make a buffer's data start at a multiple of 16 bytes: the schema demands it, the packer forgets it."""
    from ai_edge_litert import schema_py_generated as schema

    def pack(builder):
        offset = None
        if buffer.data is not None and len(buffer.data):
            content = np.asarray(buffer.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), 16)
            builder.head = builder.head - len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            offset = builder.EndVector()
        schema.BufferStart(builder)
        if offset is not None:
            schema.BufferAddData(builder, offset)
        return schema.BufferEnd(builder)

    buffer.Pack = pack
    return buffer


def _signature_names(signature) -> tuple[dict, dict]:
    if signature is None:
        return {}, {}
    return tuple(
        {m.tensorIndex: m.name.decode() for m in side} for side in (signature.inputs, signature.outputs)
    )


def _sizes(shape) -> list[int]:
    return [] if shape is None else [int(size) for size in shape]


def _tensor_info(tensor, name: str | None) -> TensorInfo:
    opened, shape = _sizes(tensor.shapeSignature), _sizes(tensor.shape)
    quantised = tensor.quantization
    scaled = quantised is not None and quantised.scale is not None and len(quantised.scale) == 1
    scale = float(quantised.scale[0]) if scaled else 0.0
    zero = int(quantised.zeroPoint[0]) if scaled and quantised.zeroPoint is not None else 0
    return TensorInfo(
        name or tensor.name.decode(), tuple(opened or shape), _dtype_name(tensor.type), scale, zero
    )


@cache
def _names_of(enumeration: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    values = vars(getattr(schema, enumeration))
    return {v: k for k, v in values.items() if isinstance(v, int) and not k.startswith("_")}


def _dtype_name(kind: int) -> str:
    return _names_of("TensorType")[kind].lower()


def _operations(content) -> tuple[Counter, tuple[str, ...]]:
    names, custom = [], set()
    for code in content.operatorCodes:
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        if code.customCode:
            custom.add(code.customCode.decode())
        names.append(code.customCode.decode() if code.customCode else _names_of("BuiltinOperator")[builtin])
    return Counter(names[o.opcodeIndex] for g in content.subgraphs for o in g.operators), tuple(
        sorted(custom)
    )


def with_metadata_buffer(data: bytes, name: str, content: bytes) -> bytes:
    """Return a file with a named metadata buffer; one of the same name is replaced."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    model.metadata = [m for m in model.metadata or [] if m.name.decode() != name]
    model.metadata.append(schema.MetadataT(name, len(model.buffers)))
    model.buffers.append(schema.BufferT(np.frombuffer(content, np.uint8)))
    return pack(model, len(data) + len(content))


def metadata_buffer(data: bytes, name: str) -> bytes | None:
    """Return the content of a named metadata buffer, or `None` if the file has none of that name."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data, 0)
    for index in range(model.MetadataLength()):
        if model.Metadata(index).Name() == name.encode():
            return model.Buffers(model.Metadata(index).Buffer()).DataAsNumpy().tobytes()
    return None
