"""RetinaNet and YOLOv8 against keras-cv: outputs, decoding, losses; and where they must differ."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvision.detection import box_coding, detector, from_keras_cv, select_boxes
from kerasvision.detection.retinanet import RetinaNetHead
from kerasvision.detection.yolo_v8 import YoloV8Head
from kerasvision.errors import KerasvisionError, WeightsError

SIZE, CLASSES = (96, 128), 3


def library():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras_cv
    return keras_cv


def make_retinanet():
    backbone = library().models.ResNetBackbone(
        stackwise_filters=[64, 64, 64, 64],
        stackwise_blocks=[1, 1, 1, 1],
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=True,
        block_type="basic_block",
        input_shape=(*SIZE, 3),
    )
    model = library().models.RetinaNet(backbone, CLASSES, "xyxy")
    model.compile(box_loss="smoothl1", classification_loss="focal", optimizer="sgd")
    return model


def make_yolo():
    backbone = library().models.YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256], stackwise_depth=[1, 2, 2, 1], include_rescaling=True
    )
    model = library().models.YOLOV8Detector(backbone, CLASSES, "xyxy", fpn_depth=1)
    model.compile(box_loss="ciou", classification_loss="binary_crossentropy", optimizer="sgd")
    return model


@pytest.fixture(scope="module")
def theirs():
    return {"retinanet": make_retinanet(), "yolo_v8_xs": make_yolo()}


def head_of(name, **changes):
    return RetinaNetHead(CLASSES, SIZE, **changes) if name == "retinanet" else YoloV8Head(CLASSES, SIZE)


def random_outputs(head, rng, batch):
    """Return raw outputs of a head, and the same as keras-cv has them."""
    retina = isinstance(head, RetinaNetHead)
    raw, joined = {}, {"box": [], "class": []}
    for level in head.levels:
        grid = tuple(-(-side // 2**level) for side in SIZE)
        for kind, places, channels in (
            (("box", 9, 4), ("class", 9, CLASSES))
            if retina
            else (
                ("box", 1, 64),
                ("class", 1, CLASSES),
            )
        ):
            value = rng.normal(0, 1, (batch, *grid, places * channels)).astype(np.float32)
            raw[f"{kind}_{level}"] = tf.constant(value)
            joined[kind].append(value.reshape(batch, -1, channels))
    box, kind = (tf.constant(np.concatenate(joined[name], 1)) for name in ("box", "class"))
    return raw, {"box": box, "classification": kind} if retina else {
        "boxes": box,
        "classes": tf.sigmoid(kind),
    }


def apart_boxes(rng, batch, most=4):
    """Return boxes that don't touch each other, some of them padding, and their classes."""
    corners = np.array([[2, 2], [66, 2], [2, 50], [66, 50]], float)
    low = corners + rng.uniform(0, 20, (batch, 4, 2))
    boxes = np.concatenate([low, low + rng.uniform(12, 24, (batch, 4, 2))], -1)
    classes = rng.integers(0, CLASSES, (batch, 4))
    gone = rng.random((batch, 4)) < 0.3
    gone[:, 0] = False
    return np.where(gone[..., None], -1.0, boxes).astype(np.float32), np.where(gone, -1, classes).astype(
        np.int32
    )


@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_xs"])
def test_taken_over_with_its_weights(theirs, name):
    made = from_keras_cv(theirs[name], image_size=SIZE)
    assert made.spec.name == name and made.spec.classes == CLASSES
    image = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)
    ours = made.model(image)
    expected = theirs[name]({"images": image} if name == "retinanet" else image)
    joined = {
        kind: np.concatenate([np.reshape(ours[k], (2, -1, n)) for k in ours if k.startswith(kind)], 1)
        for kind, n in (("box", 4 if name == "retinanet" else 64), ("class", CLASSES))
    }
    if name == "retinanet":
        np.testing.assert_allclose(joined["box"], expected["box"], atol=1e-5)
        np.testing.assert_allclose(joined["class"], expected["classification"], atol=1e-5)
    else:
        np.testing.assert_allclose(joined["box"], expected["boxes"], atol=1e-5)
        np.testing.assert_allclose(tf.sigmoid(joined["class"]), expected["classes"], atol=1e-6)


def test_taken_over_for_other_classes(theirs, capsys, monkeypatch):
    monkeypatch.delenv("KERASVISION_QUIET", raising=False)
    made = from_keras_cv(theirs["yolo_v8_xs"], image_size=64, classes=5)
    assert made.model.output["class_3"].shape == (None, 8, 8, 5)
    assert "3 layers depend on the number of classes" in capsys.readouterr().err


@pytest.mark.parametrize("model", [keras.Sequential([keras.Input((8,))]), "resnet50_coco"])
def test_not_a_detector_of_keras_cv(model):
    with pytest.raises(KerasvisionError, match="`model` must be a keras-cv"):
        from_keras_cv(model, image_size=64)


def test_normalised_heads_share_convolutions_but_not_statistics():
    small = {"backbone": "mobilenet_v2", "weights": None, "backbone_options": {"alpha": 0.35}}
    plain, normalised = (
        detector("retinanet", classes=2, image_size=64, **small, batchnorm=on).model for on in (False, True)
    )
    heads = [layer for layer in normalised.layers if layer.name.startswith(("box_head", "class_head"))]
    norms = [layer for layer in heads if isinstance(layer, keras.layers.BatchNormalization)]
    convs = [layer for layer in heads if isinstance(layer, keras.layers.Conv2D)]
    assert len(norms) == 2 * 3 * 5 and len(convs) == 2 * 4
    assert not any("_bn_" in layer.name for layer in plain.layers if "_head" in layer.name)
    # Of each channel of three convolutions of both heads: four numbers a level instead of a bias.
    assert normalised.count_params() - plain.count_params() == 2 * 3 * 256 * (5 * 4 - 1)
    assert {name: x.shape for name, x in plain.output.items()} == {
        name: x.shape for name, x in normalised.output.items()
    }


def test_hub_that_cannot_be_reached(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(library().models.RetinaNet, "from_preset", unreachable)
    with pytest.raises(WeightsError, match=r"retinanet_resnet50_pascalvoc.*no route to host.*mobilenet_v2"):
        from_keras_cv("retinanet_resnet50_pascalvoc", image_size=64)


def test_anchors():
    theirs = library().models.RetinaNet.default_anchor_generator("xyxy")
    for size in (SIZE, (320, 288)):
        expected = np.concatenate([np.array(a) for a in theirs(image_shape=(*size, 3)).values()])
        np.testing.assert_allclose(RetinaNetHead(2, size).anchors, expected, atol=1e-4)


def test_decoding(theirs):
    rng = np.random.default_rng(3)
    for name, model in theirs.items():
        head = head_of(name)
        raw, joined = random_outputs(head, rng, 2)
        found = {}

        class Spy(keras.layers.Layer):
            bounding_box_format = "xyxy"

            def call(self, boxes, scores, **kwargs):
                found.update(boxes=boxes, scores=scores)  # noqa: B023
                return {"boxes": boxes}

        spied, model._prediction_decoder = model._prediction_decoder, Spy()
        try:
            model.decode_predictions(joined, tf.zeros((2, *SIZE, 3)))
        finally:
            model._prediction_decoder = spied
        boxes, scores = head.decode(raw)
        scale = float(np.abs(found["boxes"]).max())
        np.testing.assert_allclose(boxes, found["boxes"], atol=1e-5 * scale, rtol=1e-5)
        expected = tf.sigmoid(found["scores"]) if name == "retinanet" else found["scores"]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_losses_of_retinanet(theirs):
    head = head_of("retinanet", low_quality=False)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        raw, joined = random_outputs(head, rng, 3)
        boxes, classes = apart_boxes(rng, 3)
        ours = head.losses(raw, boxes, classes, np.zeros(classes.shape, bool))
        truth = {"boxes": tf.constant(boxes), "classes": tf.constant(classes, tf.float32)}
        expected = theirs["retinanet"].compute_loss(tf.zeros((3, *SIZE, 3)), truth, joined, None)
        total = float(np.mean(ours["box"] + ours["class"]))
        assert float(np.mean(ours["box"])) > 0.05
        assert total == pytest.approx(float(expected), rel=1e-4)


def test_losses_of_yolo(theirs, monkeypatch):
    """keras-cv's CIoU squares the factor of its aspect term, and its encoder takes negative ones as good, and
    an epsilon that is larger than the sixth power of a small overlap."""
    from keras_cv.src.losses import ciou_loss
    from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_label_encoder as encoder

    def right(first, second, bounding_box_format):
        return box_coding.complete_iou(*map(tf.convert_to_tensor, (first, second)))

    def plain(first, second, bounding_box_format):
        return box_coding.pairwise_iou(tf.squeeze(first, 2), tf.squeeze(second, 1))

    monkeypatch.setattr(ciou_loss, "compute_ciou", right)
    monkeypatch.setattr(encoder, "compute_ciou", plain)
    monkeypatch.setattr(theirs["yolo_v8_xs"].label_encoder, "epsilon", 1e-37)
    head = head_of("yolo_v8_xs")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        raw, joined = random_outputs(head, rng, 3)
        boxes, classes = apart_boxes(rng, 3)
        ours = head.losses(raw, boxes, classes, np.zeros(classes.shape, bool))
        truth = {"boxes": tf.constant(boxes), "classes": tf.constant(classes, tf.float32)}
        expected = theirs["yolo_v8_xs"].compute_loss(tf.zeros((3, *SIZE, 3)), truth, joined)
        total = float(np.mean(ours["box"] + ours["class"]))
        assert float(np.mean(ours["box"])) > 0.05
        assert total == pytest.approx(float(expected), rel=1e-4)


def slow_assign(head, scores, predicted, boxes, classes):
    """Assign the places of one image to overlapping boxes, one at a time."""
    places, n = head.places, len(head.places)
    overlaps, alignment = np.zeros((len(boxes), n)), np.zeros((len(boxes), n))
    for j, (box, label) in enumerate(zip(boxes, classes, strict=True)):
        for i, (x, y) in enumerate(places):
            if label >= 0 and box[0] < x < box[2] and box[1] < y < box[3]:
                overlaps[j, i] = float(box_coding.pairwise_iou(box[None], predicted[i][None])[0, 0])
                alignment[j, i] = scores[i, label] ** head.alpha * overlaps[j, i] ** head.beta
    chosen = {
        j: [i for i in np.argsort(-alignment[j])[: head.most] if alignment[j, i] > 0]
        for j in range(len(boxes))
    }
    strength, index = np.zeros(n), np.zeros(n, int)
    owner = {
        i: max((overlaps[j, i], -j) for j in chosen if i in chosen[j]) for j in chosen for i in chosen[j]
    }
    for j in chosen:
        mine = [i for i in chosen[j] if -owner[i][1] == j]
        for i in mine:
            index[i] = j
            strength[i] = alignment[j, i] / alignment[j, mine].max() * overlaps[j, mine].max()
    return index, strength


def test_assignment_of_yolo_where_boxes_overlap():
    head, conflicts = head_of("yolo_v8_xs"), 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        raw, _ = random_outputs(head, rng, 2)
        predicted, scores = (np.array(value) for value in head.decode(raw))
        low = rng.uniform(5, 60, (2, 6, 2))
        boxes = np.concatenate([low, low + rng.uniform(10, 60, (2, 6, 2))], -1).astype(np.float32)
        classes = rng.integers(-1, CLASSES, (2, 6)).astype(np.int32)
        index, strength = head.assign(scores, predicted, boxes, classes, np.zeros((2, 6), bool))
        for b in range(2):
            slow_index, slow_strength = slow_assign(head, scores[b], predicted[b], boxes[b], classes[b])
            np.testing.assert_allclose(strength[b], slow_strength, atol=1e-6)
            matched = slow_strength > 0
            np.testing.assert_array_equal(index[b][matched], slow_index[matched])
            conflicts += len(set(slow_index[matched])) > 1
    assert conflicts > 3


HARD = {
    "no box": ([[[-1, -1, -1, -1]] * 2] * 2, [[-1, -1]] * 2, [[False, False]] * 2),
    "padding of zeros": ([[[0, 0, 0, 0]] * 2] * 2, [[-1, -1]] * 2, [[False, False]] * 2),
    "one image without": (
        [[[5, 5, 40, 40], [9, 9, 70, 80]], [[-1] * 4] * 2],
        [[0, 2], [-1, -1]],
        [[False] * 2] * 2,
    ),
    "crowds only": ([[[5, 5, 60, 60], [9, 9, 70, 80]]] * 2, [[0, 2]] * 2, [[True] * 2] * 2),
    "no area": ([[[5, 5, 5, 5], [9, 9, 70, 9]]] * 2, [[0, 2]] * 2, [[False] * 2] * 2),
    "upside down": ([[[50, 50, 5, 5], [9, 9, 70, 9]]] * 2, [[0, 2]] * 2, [[False] * 2] * 2),
    "outside": ([[[500, 500, 600, 600], [-90, -90, -20, -20]]] * 2, [[0, 2]] * 2, [[False] * 2] * 2),
    "the whole image": ([[[0, 0, 128, 96], [0, 0, 128, 96]]] * 2, [[0, 2]] * 2, [[False] * 2] * 2),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_xs"])
@pytest.mark.parametrize("size", [1.0, 80.0])
def test_losses_and_gradients_are_finite(name, case, size):
    head = head_of(name)
    raw, _ = random_outputs(head, np.random.default_rng(0), 2)
    raw = {key: value * size for key, value in raw.items()}
    boxes, classes, crowd = HARD[case]
    with tf.GradientTape() as tape:
        tape.watch(raw)
        parts = head.losses(raw, np.float32(boxes), np.int32(classes), np.array(crowd))
        total = tf.reduce_mean(parts["box"] + parts["class"])
    assert parts["box"].shape == parts["class"].shape == (2,)
    assert np.isfinite(total), parts
    for gradient in tape.gradient(total, list(raw.values()), unconnected_gradients="zero"):
        assert np.isfinite(gradient).all()
    if case in ("no box", "padding of zeros", "crowds only"):
        assert not np.any(parts["box"]) and np.all(np.array(parts["class"]) > 0)


@pytest.mark.parametrize("name", ["retinanet", "yolo_v8_xs"])
def test_crowds_are_not_background(name):
    """With a crowd over the left half, class scores there may be what they are; elsewhere they fall."""
    head = head_of(name)
    raw, _ = random_outputs(head, np.random.default_rng(1), 1)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        parts = head.losses(raw, np.float32([[[-1, -1, 65, 97]]]), np.int32([[1]]), np.array([[True]]))
    gradient = np.array(tape.gradient(parts["class"], raw["class_3"]))[0]
    left, right = gradient[:, :4], gradient[:, 13:]
    assert not left.any() and (right > 0).all()


@pytest.mark.parametrize("per_class", [False, True])
def test_suppression_keeps_the_boxes_that_keras_cv_keeps(per_class):
    """Ours uses an operation that converts and takes no 1.8 s for a batch; the boxes are the same."""
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 80, (4, 60, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 50, (4, 60, 2))], -1).astype(np.float32)
    scores = rng.uniform(0, 1, (4, 60, 3)).astype(np.float32)
    kind = library().layers.MultiClassNonMaxSuppression if per_class else library().layers.NonMaxSuppression
    theirs = kind("xyxy", from_logits=False, iou_threshold=0.4, confidence_threshold=0.3, max_detections=25)(
        tf.constant(boxes), tf.constant(scores), image_shape=(200, 200, 3)
    )
    ours = select_boxes(boxes, scores, most=25, overlap=0.4, threshold=0.3, per_class=per_class)
    for image in range(4):
        count = int(ours["count"][image])
        assert 5 < count == int(theirs["num_detections"][image])
        for name, other in (("boxes", "boxes"), ("scores", "confidence"), ("classes", "classes")):
            found = keras.ops.convert_to_numpy(theirs[other])[image, :count]
            np.testing.assert_allclose(ours[name][image, :count], found, rtol=1e-6, atol=1e-4, err_msg=name)
