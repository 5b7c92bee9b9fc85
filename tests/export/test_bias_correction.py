"""Bias correction undoes shifts of the mean, and leaves a file alone that it cannot improve."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from export_helpers import pictures

from kerasvision._litert import LiteRTModel, convert
from kerasvision._tflite_file import describe, pack
from kerasvision.export import bias_correction
from kerasvision.export.bias_correction import correct_biases


@pytest.fixture(scope="module")
def files(model, source):
    """Return the float32 and the int8 file of the small network."""
    return convert(model), convert(model, quantize="int8", calibration=source.calibration)


def _shifted(data: bytes, operator: int) -> bytes:
    """Return an int8 file in which the biases of one linear layer are half too high and half too low."""
    content = schema.ModelT.InitFromPackedBuf(data, 0)
    layers = [layer for layer in bias_correction._layers(content) if layer.linear]
    channels = np.arange(layers[operator].shape[-1])
    bias_correction._shift_bias(content, layers[operator].bias, 0.5 * (-1.0) ** channels)
    return pack(content, len(data))


def _distance(data: bytes, reference: bytes, images) -> float:
    found, wanted = (next(iter(LiteRTModel(file)(images).values())) for file in (data, reference))
    return float(np.abs(found - wanted).mean())


@pytest.mark.parametrize("operator", [0, 1], ids=["conv3", "predictions"])
def test_a_shift_of_a_bias_is_taken_back(files, source, operator):
    reference, quantised = files
    images, _ = pictures(40, seed=8)
    spoilt = _shifted(quantised, operator)
    before, after = (_distance(data, reference, images) for data in (quantised, spoilt))
    assert after > 2 * before
    corrected = correct_biases(spoilt, reference, source.calibration)
    assert _distance(corrected, reference, images) <= 1.2 * before
    assert describe(corrected).operations == describe(quantised).operations
    assert describe(corrected).inputs == describe(quantised).inputs
    assert describe(corrected).signatures == ("serving_default",)


def test_a_correction_that_does_not_help_is_dropped(files, source, monkeypatch):
    reference, quantised = files
    shift = bias_correction._shift_bias
    monkeypatch.setattr(bias_correction, "_shift_bias", lambda m, i, by: shift(m, i, by + 50.0))
    assert correct_biases(quantised, reference, source.calibration) == quantised


def test_a_file_that_does_not_fit_its_reference_is_left_alone(files, source):
    reference, quantised = files
    other = convert(lambda image: image[:, :3, 0, 0] / 255.0, input_shape=(32, 32, 3))
    assert correct_biases(quantised, other, source.calibration) == quantised


def test_only_biases_are_changed(files, source):
    reference, quantised = files
    corrected = correct_biases(_shifted(quantised, 0), reference, source.calibration)
    before, after = (schema.ModelT.InitFromPackedBuf(data, 0) for data in (quantised, corrected))
    layers = bias_correction._layers(before)
    biases = {layer.bias for layer in layers if layer.linear}
    assert len(layers) == 4
    for index, (old, new) in enumerate(
        zip(before.subgraphs[0].tensors, after.subgraphs[0].tensors, strict=True)
    ):
        same = _content(before, old) == _content(after, new)
        assert same or index in biases


def _content(model, tensor):
    data = model.buffers[tensor.buffer].data
    return None if data is None else np.asarray(data, np.uint8).tobytes()
