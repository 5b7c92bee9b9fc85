"""Join two TFLite files into one: the network, quantised or not, and what reads its outputs, in float.

What follows a network must not be quantised with it. Of boxes, one step of 8 bits is a whole pixel and more,
and scores of which NMS needs the order become equal; so do the logits of two classes where label maps have
their borders. The converter knows no border within one graph, so both parts are converted by themselves, and
the file of the second is appended to that of the first: tensors, constants and operations are renumbered, and
the inputs of the second become the outputs of the first that have the same name.
"""

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kerasvision import _litert
from kerasvision._tflite_file import INPUT_NAME, pack, with_names
from kerasvision.errors import ExportError
from kerasvision.export.bias_correction import correct_biases

# Images that biases are corrected by: each has a mean over all places of its maps, so a few do.
_CORRECTED_BY = 16


def network_bytes(
    source,
    model,
    quantize: str | None,
    *,
    output_names: Sequence[str] | None = None,
    corrected_by: int = _CORRECTED_BY,
) -> bytes:
    """Return a network as a TFLite file that can be joined; that of int8 with its biases corrected.

    Args:
        source: its `input_shape` and `calibration` are used.
        model: the `keras.Model`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        output_names: one name for each output, other than the model's own.
        corrected_by: images that biases of int8 are corrected by.

    Raises:
        ExportError: int8 without calibration, or TFLite has no operation for something in the network.
    """
    if quantize == "int8" and not len(source.calibration):
        raise ExportError(
            '`calibration` must be given for quantize="int8": 100 to 200 training images, all classes alike.'
        )

    def converted(quantize, calibration=None):
        return _litert.convert(
            model,
            input_shape=source.input_shape,
            quantize=quantize,
            calibration=calibration,
            output_names=output_names,
        )

    if quantize != "int8":
        return converted(quantize)
    network = converted("int8", source.calibration)
    return correct_biases(network, converted(None), source.calibration, most=corrected_by)


def join(first: bytes, second: bytes, outputs: Sequence[str]) -> bytes:
    """Return one file that runs `first`, then `second` on its outputs.

    Args:
        first: file with one input, `image`.
        second: file whose inputs have the names of outputs of `first`, and their shapes and types.
        outputs: names of the outputs of `second`, in the order that the joined file is to have.

    Raises:
        ExportError: the files do not fit together.
    """
    model, added = (schema.ModelT.InitFromPackedBuf(data, 0) for data in (first, second))
    if len(model.subgraphs) != 1 or len(added.subgraphs) != 1:
        raise ExportError("Only files without branches and loops can be joined.")
    graph, more = model.subgraphs[0], added.subgraphs[0]
    places = _places(model, added)
    for place, tensor in enumerate(more.tensors):
        if places[place] >= len(graph.tensors):
            tensor.buffer = _moved_buffer(model, added, tensor.buffer)
            graph.tensors.append(tensor)
    codes = len(model.operatorCodes)
    model.operatorCodes += added.operatorCodes
    for operator in more.operators:
        operator.opcodeIndex += codes
        for side in ("inputs", "outputs", "intermediates"):
            setattr(operator, side, _renumbered(getattr(operator, side), places))
        graph.operators.append(operator)
    by_name = _outputs(added)
    if set(outputs) != set(by_name):
        raise ExportError(f"`outputs` must be {sorted(by_name)} in any order. Received: {list(outputs)}.")
    graph.outputs = np.asarray([places[by_name[name]] for name in outputs], np.int32)
    return with_names(pack(model, len(first) + len(second)), outputs, [INPUT_NAME])


def _places(model, added) -> np.ndarray:
    """Return the number that each tensor of `added` has in the joined graph."""
    graph, more, given = model.subgraphs[0], added.subgraphs[0], _outputs(model)
    places, free = np.full(len(more.tensors), -1, np.int64), len(graph.tensors)
    for entry in added.signatureDefs[0].inputs:
        name, wanted = entry.name.decode(), more.tensors[entry.tensorIndex]
        tensor = graph.tensors[given[name]] if name in given else None
        if tensor is None or _form(tensor) != _form(wanted):
            raise ExportError(
                f"The first file must give {name} as {_form(wanted)[0]}, type {wanted.type}. It gives: "
                f"{'nothing of that name' if tensor is None else f'{_form(tensor)[0]}, type {tensor.type}'}."
            )
        places[entry.tensorIndex] = given[name]
    unknown = places < 0
    places[unknown] = free + np.arange(unknown.sum())
    return places


def _form(tensor) -> tuple[list[int], int]:
    return [int(size) for size in tensor.shape], tensor.type


def _outputs(model) -> dict[str, int]:
    return {entry.name.decode(): entry.tensorIndex for entry in model.signatureDefs[0].outputs}


def _moved_buffer(model, added, index: int) -> int:
    """Append a buffer of `added` to `model`; 0 stands for none in both."""
    if index == 0:
        return 0
    model.buffers.append(added.buffers[index])
    return len(model.buffers) - 1


def _renumbered(indices, places: np.ndarray):
    """Return tensor numbers in the joined graph; -1 is an input that an operation does without."""
    if indices is None or not len(indices):
        return indices
    indices = np.asarray(indices, np.int64)
    return np.where(indices < 0, -1, places[indices]).astype(np.int32)
