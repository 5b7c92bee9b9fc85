"""Networks with the weights of torch files answer as torch does.

The torch side is `torch_reference`, run as a program: torch and TensorFlow do not share a process.
"""

import importlib.util
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasvision.models import get_model, graph, load_weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not installed, and is what is compared with: `make torch`, or pip install '.[parity]'",
)
HERE = Path(__file__).resolve().parent
FORMATS = ("safetensors", "pth", "legacy")
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """Our network, torch's, and sides of images: one at least is odd, where paddings differ."""

    ours: str
    torch: str
    sizes: tuple[int, ...]
    options: dict = field(default_factory=dict)
    slow: bool = True


CASES = (
    Case("resnet18", "resnet18", (225, 224)),
    Case("resnet34", "resnet34", (97, 224)),
    Case("resnet50_v1_5", "resnet50", (97, 224)),
    Case("resnet101_v1_5", "resnet101", (97, 224)),
    Case("resnet152_v1_5", "resnet152", (97, 224)),
    Case("resnext50", "resnext50_32x4d", (97, 224)),
    Case("wide_resnet50", "wide_resnet50_2", (97, 224)),
    Case("googlenet_bn", "googlenet", (97,), slow=False),
    Case("googlenet_bn", "googlenet", (224, 225, 111)),
    Case("inception_v3_torchvision", "inception_v3", (225, 299)),
    Case("alexnet", "alexnet", (224, 225)),
    Case("vgg11", "vgg11", (224, 225)),
    Case("vgg16", "vgg16", (224, 225)),
    Case("vgg16_bn", "vgg16_bn", (224, 225)),
)


def write(folder: Path, network: str, sizes, formats=("safetensors",), *arguments: str) -> None:
    """Let torch write `NETWORK.FORMAT` and `SIZE.npz` (images and logits) into a folder."""
    command = [sys.executable, "-m", "torch_reference", network, folder, "--sizes", *sizes]
    command += ["--formats", *formats, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=HERE, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def read(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / f"{size}.npz") as arrays:
        return arrays["images"], arrays["logits"]


def build(name: str, size: int, **options) -> keras.Model:
    return get_model(name, input_shape=(size, size, 3), classifier_activation=None, **options)


def difference(model: keras.Model, images: np.ndarray, logits: np.ndarray) -> float:
    return float(np.abs(np.asarray(model(images, training=False)) - logits).max())


def with_epsilon(model: keras.Model, epsilon: float) -> keras.Model:
    """Return the same network and weights with another epsilon in every BatchNorm: a mistake."""
    changed = graph.copy(model)
    for layer in changed.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = epsilon
    return changed


def table():
    return [
        pytest.param(case, id=f"{case.ours}-{case.sizes[0]}", marks=[pytest.mark.slow] if case.slow else [])
        for case in CASES
    ]


@pytest.mark.parametrize("case", table())
def test_same_logits(case, tmp_path):
    write(tmp_path, case.torch, case.sizes)
    for size in case.sizes:
        model = build(case.ours, size, **case.options)
        images, logits = read(tmp_path, size)
        assert logits.std() > 1 and np.abs(logits).max() < 100  # else the tolerance would say little
        assert difference(model, images, logits) > 1  # with the weights it was born with
        load_weights(model, tmp_path / f"{case.torch}.safetensors")
        assert difference(model, images, logits) < TOLERANCE
        assert difference(model, images[::-1], logits) > 0.1
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        epsilon = 1e-5 if case.ours.startswith(("googlenet", "inception")) else 1e-3
        assert difference(with_epsilon(model, epsilon), images, logits) > 10 * TOLERANCE


@pytest.mark.parametrize(
    "ours, torch",
    [("resnet18", "resnet18"), pytest.param("googlenet_bn", "googlenet", marks=pytest.mark.slow)],
)
def test_every_format_gives_the_same_weights(ours, torch, tmp_path):
    write(tmp_path, torch, (97,), FORMATS, "--classes", 7)
    weights = {}
    for ending in FORMATS:
        model = build(ours, 97, classes=7)
        load_weights(model, tmp_path / f"{torch}.{ending}")
        assert difference(model, *read(tmp_path, 97)) < TOLERANCE
        weights[ending] = model.get_weights()
    for ending in FORMATS[1:]:
        for first, other in zip(weights["safetensors"], weights[ending], strict=True):
            np.testing.assert_array_equal(first, other)


@pytest.mark.slow
def test_transformed_input_of_googlenet(tmp_path):
    """Its public weights want [-1, 1]; torchvision takes ImageNet's mean and deviation, and converts."""
    write(tmp_path, "googlenet_transform", (64,), ("safetensors",), "--classes", 7)
    images, logits = read(tmp_path, 64)
    model = build("googlenet_bn", 64, classes=7)
    load_weights(model, tmp_path / "googlenet_transform.safetensors")
    zero_to_one = images * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)
    assert difference(model, (2 * zero_to_one - 1).astype("float32"), logits) < TOLERANCE
    assert difference(model, images, logits) > 0.1
