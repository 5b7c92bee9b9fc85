"""Detectors by name, from any backbone, and again from their spec."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from kerasvision.detection import DetectorSpec, build, detector, list_detectors
from kerasvision.errors import KerasvisionError
from kerasvision.models import graph

LEVELS = {"retinanet": (3, 4, 5, 6, 7), "yolo_v8_xs": (3, 4, 5)}
SMALL = {"backbone": "mobilenet_v2", "weights": None, "backbone_options": {"alpha": 0.35}}


def small_backbone() -> keras.Model:
    """Return a backbone of a user's own, down to stride 32."""
    x = image = keras.Input((None, None, 3))
    for index, width in enumerate((8, 16, 24, 32, 48), 1):
        x = layers.Conv2D(width, 3, 2, "same", activation="relu", name=f"own_{index}")(x)
    return keras.Model(image, x, name="own")


@pytest.fixture(scope="module")
def built():
    return {name: detector(name, classes=3, image_size=(64, 96), **SMALL) for name in LEVELS}


@pytest.mark.parametrize("name", LEVELS)
def test_form(built, name):
    made = built[name]
    assert made.model.input_shape == (None, 64, 96, 3) and made.model.inputs[0].name == "image"
    names = {f"{kind}_{level}" for kind in ("box", "class") for level in LEVELS[name]}
    assert set(made.model.output) == names
    assert graph.is_flat(made.model)
    outputs = made.model(np.zeros((2, 64, 96, 3), np.uint8))
    for level in LEVELS[name]:
        assert outputs[f"class_{level}"].shape[:3] == (2, -(-64 // 2**level), -(-96 // 2**level))
    boxes, scores = made.decode(outputs)
    assert boxes.shape == (2, scores.shape[1], 4) and scores.shape[2] == 3
    assert 0 < float(np.mean(scores)) < 0.2, "training starts from few boxes"


@pytest.mark.parametrize("name", LEVELS)
def test_made_of_layers_of_keras_alone(built, name):
    kinds = {type(node.operation).__module__.split(".")[0] for node in graph.nodes(built[name].model)}
    assert kinds == {"keras"}


def test_layers_of_the_backbone_are_known(built):
    made = built["yolo_v8_xs"]
    names = [layer.name for layer in made.model.layers]
    assert made.backbone_layers[0] == "preprocess" and made.backbone_layers[-1] == "out_relu"
    assert set(made.backbone_layers) < set(names) and "image" not in made.backbone_layers
    assert {n.split("_")[0] for n in names if n not in made.backbone_layers} >= {
        "image",
        "lateral",
        "pa",
        "yolo",
    }


@pytest.mark.parametrize("name", LEVELS)
def test_built_again_from_its_spec(built, name):
    made = built[name]
    spec = DetectorSpec.from_dict(json.loads(json.dumps(made.spec.to_dict())))
    assert spec == made.spec
    again = build(spec)
    again.model.set_weights(made.model.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3))
    for first, second in zip(made.decode(made.model(image)), again.decode(again.model(image)), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert again.backbone_layers == made.backbone_layers


def test_own_backbone_is_copied_and_comes_back_from_the_spec():
    own = small_backbone()
    made = detector("retinanet", classes=2, image_size=64, backbone=own, preprocessing="zero_one")
    np.testing.assert_array_equal(made.model.get_layer("own_2").kernel, own.get_layer("own_2").kernel)
    assert made.model.get_layer("own_2") is not own.get_layer("own_2")
    spec = DetectorSpec.from_dict(json.loads(json.dumps(made.spec.to_dict())))
    again = build(spec)
    assert [v.path for v in again.model.variables] == [v.path for v in made.model.variables]
    assert again.model.get_layer("preprocess").scale == pytest.approx(1 / 255)


def test_saved_file_loads_without_this_package_and_without_keras_cv(built, tmp_path):
    made, image = built["yolo_v8_xs"], np.full((1, 64, 96, 3), 77.0, np.float32)
    made.model.save(tmp_path / "model.keras")
    code = (
        "import sys, keras, numpy as np\n"
        f"model = keras.models.load_model({str(tmp_path / 'model.keras')!r})\n"
        "print(float(np.sum(model(np.full((1, 64, 96, 3), 77.0, 'float32'))['class_4'])))\n"
        "assert not {'kerasvision', 'keras_cv'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = float(np.sum(made.model(image)["class_4"]))
    assert float(done.stdout.split()[-1]) == pytest.approx(expected, rel=1e-5)


def test_outputs_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        made = detector("yolo_v8_xs", classes=2, image_size=64, weights=None)
        outputs = made.model(np.zeros((1, 64, 64, 3)))
        assert {value.dtype.name for value in outputs.values()} == {"float32"}
        assert made.model.get_layer("stem_1_conv").compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_keras_cv_is_imported_only_when_used():
    code = (
        "import sys, kerasvision as kv\n"
        "from kerasvision.detection import Detector, build, detector, find, list_detectors, select_boxes\n"
        "list_detectors()\n"
        "assert 'keras_cv' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "yolo_v8_x"}, "Did you mean `yolo_v8_xs`"),
        ({"name": 3}, "There is no detector 3"),
        ({"image_size": 100}, r"multiples of 32 .*Use \(128, 128\)"),
        ({"classes": 0}, "`classes`"),
        ({"weights": "imagenet"}, "no ImageNet weights.*mobilenet_v2"),
        ({"backbone": "resnet5"}, "Did you mean"),
        ({"backbone": small_backbone}, "`preprocessing` must be stated"),
        ({"backbone": "resnet_small"}, "`levels`"),
        ({"anchor_scale": 2.0}, "no such option.*anchor_scale"),
    ],
)
def test_what_cannot_be_built(changes, message):
    arguments = {"name": "yolo_v8_xs", "classes": 2, "image_size": 64, "weights": None, **changes}
    if callable(arguments.get("backbone")):
        arguments["backbone"] = arguments["backbone"]()
    with pytest.raises(ValueError, match=message):
        detector(**arguments)
    assert issubclass(KerasvisionError, ValueError)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_s"])
@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "resnet50_v2", "resnext50", "inception_v3", "inception_resnet_v2", "googlenet_bn", "vgg16"]
    + ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_v2_b0"],
)
def test_any_backbone(name, backbone):
    made = detector(name, classes=2, image_size=96, backbone=backbone, weights=None)
    boxes, scores = made.decode(made.model(np.random.default_rng(0).uniform(0, 255, (1, 96, 96, 3))))
    assert np.isfinite(boxes).all() and np.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_detectors() if name.startswith("yolo_v8")])
def test_every_size(name):
    made = detector(name, classes=2, image_size=64, weights=None)
    assert made.decode(made.model(np.zeros((1, 64, 64, 3))))[0].shape == (1, 84, 4)
