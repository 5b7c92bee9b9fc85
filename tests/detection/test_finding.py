"""Finding boxes: batches, settings, exported files; both families learn eight pictures by heart."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerasvision as kv
from kerasvision._litert import LiteRTModel, convert
from kerasvision.detection import detector, find, select_boxes
from kerasvision.detection.finding import finder
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import coco_ap

SIZE = 64


def backbone() -> keras.Model:
    """Return a small network, down to stride 32."""
    x = image = keras.Input((None, None, 3))
    for index, width in enumerate((16, 24, 32, 48, 64), 1):
        x = layers.Conv2D(width, 3, 2, "same", use_bias=False, name=f"own_{index}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"own_{index}_bn")(x)
        x = layers.ReLU(name=f"own_{index}_relu")(x)
    return keras.Model(image, x, name="own")


def build(name):
    options = {"anchor_scale": 2.0} if name == "retinanet" else {}
    keras.utils.set_random_seed(0)
    return detector(name, classes=3, image_size=SIZE, backbone=backbone(), preprocessing="tf", **options)


@pytest.fixture(scope="module")
def made():
    return {name: build(name) for name in ("retinanet", "yolo_v8_xs")}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_xs"])
def test_same_in_any_batches(made, images, name):
    settings = {"most": 7, "threshold": 0.001, "overlap": 0.3}
    whole = find(made[name], images, batch_size=5, **settings)
    boxes, scores = made[name].decode(made[name].model(images.astype(np.float32)))
    selected = select_boxes(boxes, scores, image_size=(SIZE, SIZE), **settings)
    for index, found in enumerate(whole):
        count = len(found)
        assert 1 < count == int(selected["count"][index])
        np.testing.assert_allclose(found.boxes, selected["boxes"][index, :count], atol=1e-3)
        np.testing.assert_allclose(found.scores, selected["scores"][index, :count], atol=1e-5)
    for other in (
        find(made[name], images, batch_size=2, **settings),
        find(made[name], [images[:3], images[3:]], **settings),
        find(finder(made[name], **settings), images),
    ):
        assert len(other) == 5
        for first, second in zip(whole, other, strict=True):
            np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
            np.testing.assert_array_equal(first.labels, second.labels)


def test_compiled_once_for_each_setting(made, images):
    assert finder(made["retinanet"], most=3) is finder(made["retinanet"], most=3)
    assert finder(made["retinanet"], most=3) is not finder(made["retinanet"], most=4)
    before = find(made["retinanet"], images, most=3, threshold=0.0)
    kernel = made["retinanet"].model.get_layer("class_head_out").bias
    kernel.assign_add(np.ones(kernel.shape))
    after = find(made["retinanet"], images, most=3, threshold=0.0)
    kernel.assign_sub(np.ones(kernel.shape))
    assert (after[0].scores > before[0].scores).all(), "weights of a compiled function stay live"


def test_images_of_another_size(made):
    with pytest.raises(KerasvisionError, match=r"`images` must be of the shape \(n, 64, 64, 3\)"):
        find(made["retinanet"], np.zeros((1, 32, 64, 3), np.uint8))
    assert find(made["retinanet"], np.zeros((0, 64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_xs"])
def test_tflite_file_with_decoding_and_suppression(made, images, name):
    one = made[name]
    # Scores of a network that has learnt nothing are so close that rounding changes their order.
    rng = np.random.default_rng(1)
    for layer in one.model.layers:
        if layer.name.endswith(("class_head_out", "_class_3_conv", "_box_3_conv")):
            layer.kernel.assign(
                rng.normal(0, 1.0, layer.kernel.shape) * (0.3 if "out" in layer.name else 1.0)
            )

    def whole(image):
        boxes, scores = one.decode(one.model(image, training=False))
        return select_boxes(boxes, scores, most=20, threshold=0.001, image_size=(SIZE, SIZE))

    file = LiteRTModel(convert(whole, input_shape=(SIZE, SIZE, 3)))
    assert file.operations["NON_MAX_SUPPRESSION_V5"] == 1
    for image in images:
        expected, found = whole(tf.constant(image[None], tf.float32)), file(image[None])
        assert int(expected["count"][0]) > 1
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, atol=2e-3, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("retinanet", 60), ("yolo_v8_xs", 120)])
def test_learns_eight_pictures_by_heart(name, steps):
    data = kv.data.shapes(
        "detect", count=8, classes=3, image_size=SIZE, validation_fraction=0, objects=(1, 2)
    )
    pixels, truth = next(iter(data.iterate("train", batch_size=8)))
    one, optimizer = (
        build(name),
        keras.optimizers.Adam(1e-3 if name == "retinanet" else 2e-3, global_clipnorm=10.0),
    )
    images, boxes, classes, crowd = map(
        tf.constant, (pixels.astype(np.float32), truth["boxes"], truth["classes"], truth["crowd"])
    )

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            parts = one.head.losses(one.model(images, training=True), boxes, classes, crowd)
            loss = tf.reduce_mean(sum(parts.values()))
        variables = one.model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    optimizer.build(one.model.trainable_variables)
    losses = [float(step()) for _ in range(steps)]
    assert losses[-1] < losses[0] / 3
    found = find(one, pixels, threshold=0.05)
    scores = coco_ap.coco_average_precision(data.splits["train"].boxes, found, 3)
    assert scores.ap50 == 1.0, losses[-1]
