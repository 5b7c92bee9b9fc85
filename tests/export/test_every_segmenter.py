"""Every segmenter in every format, in its own runtime: the same labels as Keras."""

import numpy as np
import pytest
from segmenter_helpers import OPTIONS, small_source

from kerasvision.errors import CertificateError
from kerasvision.export import export_segmenter, open_file
from kerasvision.segmentation import list_segmenters
from kerasvision.segmentation.families import FAMILIES

QUICK = "fcn_8s"
# After 60 steps int8 takes FRRN B from a mean IoU of 0.95 to 0.32; the certificate says so.
REFUSED = ("frrn_b",)
NAMES = ["fcn_32s", "fcn_16s", "fcn_8s", *OPTIONS]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != QUICK)) for name in NAMES]
)
def test_labels_are_those_of_keras_in_every_format(name, tmp_path):
    source = small_source(name)
    expected = source.model.predict(source.images.astype(np.float32), verbose=0).argmax(-1)
    assert len(np.unique(expected)) == 3, "it tells the classes apart, so agreement means something"
    made = export_segmenter(source, tmp_path / "float", formats=("saved_model", "tflite", "onnx"))
    assert [file.format for file in made.files] == ["saved_model", "tflite", "onnx"]
    for file in made.files:
        assert (open_file(file.path)(source.images) == expected).mean() > 0.999, file.path.name
        assert file.certificate.passed and file.certificate.agreement > 0.999
    _int8_is_certified_or_refused(source, expected, tmp_path / "int8")


def _int8_is_certified_or_refused(source, expected, folder):
    try:
        (file,) = export_segmenter(source, folder, formats=("tflite",), quantize="int8").files
    except CertificateError as error:
        proof = error.certificate
        assert source.model.name in REFUSED, error
        assert proof.failures and not list(folder.glob("*.tflite")), "what failed is not there"
    else:
        proof = file.certificate
        assert proof.passed and abs(proof.miou_file - proof.miou_model) <= 0.02
        assert (open_file(file.path)(source.images) == expected).mean() == pytest.approx(proof.agreement)


def test_every_way_to_lay_out_layers_is_exported():
    # Sizes of one network, such as those of SegFormer, differ by numbers alone.
    tried = {(FAMILIES[name].layout, FAMILIES[name].own) for name in NAMES}
    assert tried == {(FAMILIES[name].layout, FAMILIES[name].own) for name in list_segmenters()}
