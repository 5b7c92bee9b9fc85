"""The published ResNet-20 and -56 for CIFAR-10 answer as in torch, on real photos."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvision.models import load_weights, pretrained
from kerasvision.models.preprocessing import mode_in

pytestmark = pytest.mark.realdata

# network -> torch's top-1 on the 10,000 JPEG test images, and on the 4,000 lossless training images
TOP_1 = {"resnet20": (0.8103, 0.9980), "resnet56": (0.8320, 1.0000)}
NETWORKS = [
    pytest.param("resnet20", 10_000),
    pytest.param("resnet56", 1_000),
    pytest.param("resnet56", 10_000, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def photos(real_data):
    """Return JPEG test images and lossless training images, each with labels, and torch's logits."""
    test = np.load(real_data / "cifar10_test_jpeg.npz")
    data, offsets = test["jpeg"].tobytes(), test["offsets"]
    spans = zip(offsets[:-1], offsets[1:], strict=True)
    images = np.stack([np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB")) for a, b in spans])
    lossless = np.load(real_data / "cifar10_train_lossless_4000.npz")
    reference = dict(np.load(real_data / "cifar_reference_logits.npz"))
    return images, test["labels"], lossless["images"], lossless["labels"], reference


def accuracy(logits, labels):
    return float((logits.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("network, count", NETWORKS)
def test_logits_and_accuracy(network, count, photos, real_data):
    images, labels, lossless, lossless_labels, reference = photos
    model = pretrained(network, real_data / f"cifar_{network}.safetensors", activation=None)
    assert mode_in(model) == "torch"
    logits = model.predict(images[:count], batch_size=500, verbose=0)
    difference = np.abs(logits - reference[network][:count])
    assert difference.max() < 1e-3 and difference.mean() < 1e-4
    assert accuracy(logits, labels[:count]) == accuracy(
        reference[network][:count], reference["labels"][:count]
    )
    if count == len(labels):
        answers = model.predict(lossless, batch_size=500, verbose=0)
        assert (accuracy(logits, labels), accuracy(answers, lossless_labels)) == TOP_1[network]


def test_a_file_does_not_fit_the_other_network(real_data):
    for network, other in (("resnet20", "resnet56"), ("resnet56", "resnet20")):
        with pytest.raises(ValueError, match="does not fit model"):
            pretrained(network, real_data / f"cifar_{other}.safetensors")


def test_what_load_weights_reports(real_data):
    from kerasvision.models import ResNet20

    model = ResNet20()
    loaded = load_weights(model, real_data / "cifar_resnet20.safetensors")
    assert len(loaded.layers) == 19 + 19 + 1 and loaded.ignored == () and loaded.preprocessing == "torch"
