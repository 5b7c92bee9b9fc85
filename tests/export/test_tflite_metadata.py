"""The metadata, written by slot numbers, against an independent reader of the public schema."""

import importlib.util
import io
import zipfile

import numpy as np
import pytest

from kerasvision._litert import LiteRTModel, convert
from kerasvision._tflite_file import metadata_buffer
from kerasvision.errors import ExportError
from kerasvision.export.metadata import ENTRY, add_classifier_metadata, read_metadata

LABELS = ("apple", "Äpfel & Birnen", "苹果")
SETTINGS = {"image_size": [32, 32], "resize": "pad"}


@pytest.fixture(scope="module")
def plain(model) -> bytes:
    return convert(model, output_names=["probabilities"])


@pytest.fixture(scope="module")
def data(plain) -> bytes:
    return add_classifier_metadata(
        plain, name="fruit", description="Which fruit.", labels=LABELS, preprocessing=SETTINGS
    )


@pytest.fixture(scope="module")
def schema():
    """Return MediaPipe's generated reader, loaded from its file so that MediaPipe itself is not imported."""
    package = importlib.util.find_spec("mediapipe")
    if package is None:
        pytest.skip("mediapipe is not installed")
    file = f"{package.submodule_search_locations[0]}/tasks/metadata/metadata_schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("metadata_schema", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_written_is_read(data):
    found = read_metadata(data)
    assert (found.name, found.description) == ("fruit", "Which fruit.")
    assert found.labels == LABELS
    assert (found.mean, found.std) == ((0.0,), (1.0,))
    assert found.preprocessing == SETTINGS
    assert found.min_parser_version == "1.0.0"


def test_the_public_schema_reads_the_same(data, schema):
    content = metadata_buffer(data, ENTRY)
    assert content[4:8] == b"M001"
    model = schema.ModelMetadataT.InitFromPackedBuf(content, 0)
    assert (model.name, model.minParserVersion) == (b"fruit", b"1.0.0")
    assert [file.name for file in model.associatedFiles] == [b"preprocessing.json"]
    (graph,) = model.subgraphMetadata
    (image,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert (image.name, output.name) == (b"image", b"probabilities")
    assert image.content.contentPropertiesType == schema.ContentProperties.ImageProperties
    assert image.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB
    assert output.content.contentPropertiesType == schema.ContentProperties.FeatureProperties
    (unit,) = image.processUnits
    assert unit.optionsType == schema.ProcessUnitOptions.NormalizationOptions
    assert (list(unit.options.mean), list(unit.options.std)) == ([0.0], [1.0])
    assert (list(image.stats.min), list(image.stats.max)) == ([0.0], [255.0])
    assert (list(output.stats.min), list(output.stats.max)) == ([0.0], [1.0])
    (labels,) = output.associatedFiles
    assert labels.name == b"labels.txt"
    assert labels.type == schema.AssociatedFileType.TENSOR_AXIS_LABELS


def test_the_labels_are_in_a_zip_at_the_end(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "apple\nÄpfel & Birnen\n苹果\n"
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def test_the_model_itself_is_unchanged(plain, data):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    before, after = LiteRTModel(plain), LiteRTModel(data)
    assert before.operations == after.operations
    np.testing.assert_array_equal(before(images)["probabilities"], after(images)["probabilities"])


def test_the_same_input_gives_the_same_bytes(plain, data):
    again = add_classifier_metadata(
        plain, name="fruit", description="Which fruit.", labels=LABELS, preprocessing=SETTINGS
    )
    assert again == data


def test_constants_start_at_multiples_of_16(data):
    from ai_edge_litert import schema_py_generated as tflite

    model = tflite.Model.GetRootAs(data, 0)
    places = [_place_of_data(model.Buffers(i)) for i in range(model.BuffersLength())]
    places = [place for place in places if place is not None]
    assert len(places) > 5
    assert all(place % 16 == 0 for place in places)


def _place_of_data(buffer):
    offset = buffer._tab.Offset(4)
    return buffer._tab.Vector(offset) if offset else None


def test_writing_twice_replaces(data):
    again = add_classifier_metadata(data, name="other", description="", labels=LABELS)
    assert read_metadata(again).name == "other"


def test_a_file_without_metadata_has_none(plain):
    assert read_metadata(plain) is None


def test_metadata_without_their_labels_file_are_damaged(data):
    end = data.rindex(b"PK\x03\x04", 0, data.rindex(b"preprocessing.json"))
    start = data.index(b"PK\x03\x04")
    assert start <= end
    with pytest.raises(ExportError, match="damaged"):
        read_metadata(data[:start])
