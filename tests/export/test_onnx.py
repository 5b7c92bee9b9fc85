"""ONNX files (extra `onnx`)."""

import numpy as np
import pytest
from export_helpers import CLASSES

from kerasvision.errors import ExportError
from kerasvision.export import open_file, to_onnx

pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("batch", [None, 1])
def test_the_file_answers_like_the_model(source, tmp_path, batch):
    file = to_onnx(source, tmp_path / "m.onnx", batch=batch)
    runner = open_file(file.path)
    np.testing.assert_allclose(runner(source.images), source.reference, atol=1e-6)
    assert file.certificate.max_difference <= 1e-6
    assert runner.labels == CLASSES
    assert runner.preprocessing == source.preprocessing


def test_names_and_version(source, tmp_path):
    import onnx

    content = onnx.load(to_onnx(source, tmp_path / "m.onnx").path)
    assert [value.name for value in content.graph.input] == ["image"]
    assert [value.name for value in content.graph.output] == ["probabilities"]
    assert {entry.domain: entry.version for entry in content.opset_import}[""] == 17


def test_the_ending_is_checked(source, tmp_path):
    with pytest.raises(ExportError, match="must end in .onnx"):
        to_onnx(source, tmp_path / "m.pb")
