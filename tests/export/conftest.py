"""A small trained classifier and its pictures, shared by the export tests."""

import pytest
from export_helpers import CLASSES, SIZE, pictures, trained_model

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export.source import ExportSource


@pytest.fixture(scope="session")
def model():
    """Return the trained classifier."""
    return trained_model()


@pytest.fixture(scope="session")
def source(model) -> ExportSource:
    """Return it with calibration and held-out pictures."""
    images, targets = pictures(90, seed=2)
    return ExportSource(model, CLASSES, Preprocessing(SIZE), pictures(60, seed=3)[0], images, targets)


@pytest.fixture(scope="session")
def exported(source, tmp_path_factory) -> dict:
    """Return one certified TFLite file of every kind: kind -> ExportedFile."""
    from kerasvision.export import to_tflite

    folder = tmp_path_factory.mktemp("exported")
    kinds = (None, "float16", "dynamic", "int8")
    return {kind: to_tflite(source, folder / f"{kind}.tflite", quantize=kind) for kind in kinds}
