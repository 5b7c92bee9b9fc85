"""Every network of the registry: float32 TFLite and SavedModel within 1e-4 of Keras on 100 images."""

import keras
import numpy as np
import pytest

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export import ExportSource, rehearse, to_saved_model, to_tflite
from kerasvision.models import classifier, feature_extractor

LABELS = ("a", "b", "c", "d", "e")
SIZE = 64


def _lively(model, rng):
    """Give random weights BatchNorm statistics and a head that make the answers far from uniform."""
    images = _pictures(rng, 64).astype(np.float32)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = 0.0
    model(images, training=True)
    head = model.get_layer("predictions")
    kernel, bias = head.get_weights()
    features = feature_extractor(model)(images).numpy()
    # Random networks give all images nearly the same features; blowing up what is left to a spread of 1 would
    # blow up the last digits of float32 with it.
    kernel *= 0.3 / (features @ kernel).std()
    head.set_weights([kernel, -(features @ kernel).mean(0)])
    return model


def _pictures(rng, count):
    small = rng.integers(0, 256, (count, 8, 8, 3))
    return small.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "resnet_small",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_v2_b0",
    ],
)
def test_float_files_of_each_network_are_within_1e_4(name, rng, tmp_path):
    keras.utils.set_random_seed(0)
    model = _lively(classifier(name, classes=len(LABELS), image_size=SIZE), rng)
    images = _pictures(rng, 100)
    source = ExportSource(model, LABELS, Preprocessing(SIZE), images[:0], images)
    assert sum(rehearse(model).values()) > 5
    spread = source.reference.max(0) - source.reference.min(0)
    assert spread.max() > 0.05, "the answers hardly depend on the image, so this test would prove nothing"
    for file in (to_tflite(source, tmp_path / "m.tflite"), to_saved_model(source, tmp_path / "saved")):
        print(name, file.certificate)
        assert file.certificate.count == 100
        assert file.certificate.max_difference <= 1e-4
