"""YOLO v1: its loss against one written out cell by cell, its network, and that it learns and converts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_matching import random_truth, slow_iou
from small_detectors import (
    ap50,
    check_tflite,
    finite_everywhere,
    found_by,
    hard_truths,
    pictures,
    small_yolo,
    train,
)

from kerasvision.detection import detector
from kerasvision.detection.yolo_v1 import YOLOv1Head
from kerasvision.detection.yolo_v1_network import dense_outputs, paper_backbone
from kerasvision.errors import KerasvisionError

PARTS = ("position", "size", "object", "background", "class")


def random_outputs(head: YOLOv1Head, rng, images: int) -> dict:
    shape = (images, *head.grid)
    return {
        "box_1": rng.normal(0.4, 0.3, (*shape, 4 * head.boxes)).astype("float32"),
        "object_1": rng.normal(0.5, 0.5, (*shape, head.boxes)).astype("float32"),
        "class_1": rng.normal(0.5, 0.5, (*shape, head.classes)).astype("float32"),
    }


def slow_losses(head: YOLOv1Head, outputs: dict, boxes, classes, crowd) -> dict:
    """Write equation 3 of the paper out."""
    (rows, columns), (height, width) = head.grid, head.image_size
    loss = {part: np.zeros(len(boxes)) for part in PARTS}
    for image in range(len(boxes)):
        objects = {}
        for k, (x1, y1, x2, y2) in enumerate(boxes[image].astype(float)):
            if classes[image, k] >= 0 and not crowd[image, k] and x2 > x1 and y2 > y1:
                column = min(int((x1 + x2) / 2 / width * columns), columns - 1)
                row = min(int((y1 + y2) / 2 / height * rows), rows - 1)
                objects.setdefault((row, column), k)
        for row in range(rows):
            for column in range(columns):
                raw = outputs["box_1"][image, row, column].astype(float).reshape(-1, 4)
                confidence = outputs["object_1"][image, row, column].astype(float)
                found = []
                for x, y, root_w, root_h in raw:
                    cx, cy = (column + x) / columns * width, (row + y) / rows * height
                    w, h = root_w**2 * width, root_h**2 * height
                    found.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
                responsible = None
                if (row, column) in objects:
                    k = objects[row, column]
                    truth = boxes[image, k].astype(float)
                    cx, cy = (truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2
                    w, h = truth[2] - truth[0], truth[3] - truth[1]
                    overlaps = [slow_iou(one, truth) for one in found]
                    if max(overlaps) > 0:
                        responsible = int(np.argmax(overlaps))
                    else:
                        far = []
                        for a, b, c, d in found:
                            far.append(
                                (((a + c) / 2 - cx) / width) ** 2
                                + (((b + d) / 2 - cy) / height) ** 2
                                + ((c - a - w) / width) ** 2
                                + ((d - b - h) / height) ** 2
                            )
                        responsible = int(np.argmin(far))
                    x, y, root_w, root_h = raw[responsible]
                    target_x, target_y = cx / width * columns - column, cy / height * rows - row
                    loss["position"][image] += 5 * ((x - target_x) ** 2 + (y - target_y) ** 2)
                    loss["size"][image] += 5 * (
                        (root_w - (w / width) ** 0.5) ** 2 + (root_h - (h / height) ** 0.5) ** 2
                    )
                    loss["object"][image] += (confidence[responsible] - overlaps[responsible]) ** 2
                    wanted = np.eye(head.classes)[classes[image, k]]
                    loss["class"][image] += ((outputs["class_1"][image, row, column] - wanted) ** 2).sum()
                middle = ((column + 0.5) / columns * width, (row + 0.5) / rows * height)
                in_crowd = any(
                    crowd[image, k]
                    and classes[image, k] >= 0
                    and box[0] < middle[0] < box[2]
                    and box[1] < middle[1] < box[3]
                    for k, box in enumerate(boxes[image])
                )
                if responsible is not None or not in_crowd:
                    others = [c for k, c in enumerate(confidence) if k != responsible]
                    loss["background"][image] += 0.5 * sum(c**2 for c in others)
    return loss


@pytest.mark.parametrize(("grid", "size", "boxes"), [((7, 7), (64, 64), 2), ((3, 5), (60, 100), 3)])
def test_losses_equal_the_slow_ones(grid, size, boxes):
    head = YOLOv1Head(3, size, grid, boxes)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = random_truth(rng, count=5, most=6)
        outputs = random_outputs(head, rng, 5)
        outputs["box_1"][3] = 0.0  # boxes without area: nothing overlaps
        found = head.losses({k: tf.constant(v) for k, v in outputs.items()}, *truth)
        expected = slow_losses(head, outputs, *truth)
        assert tuple(found) == PARTS
        for part in PARTS:
            np.testing.assert_allclose(found[part], expected[part], rtol=2e-5, atol=2e-5)
            assert expected[part].sum() > 0


def test_loss_of_a_perfect_answer_is_zero():
    head = YOLOv1Head(2, (70, 70), (7, 7))
    outputs = {
        "box_1": np.zeros((1, 7, 7, 8)),
        "object_1": np.zeros((1, 7, 7, 2)),
        "class_1": np.zeros((1, 7, 7, 2)),
    }
    # A box of 20 x 40 pixels in the middle of the cell of column 2 and row 4.
    outputs["box_1"][0, 4, 2, 4:] = 0.5, 0.5, (20 / 70) ** 0.5, (40 / 70) ** 0.5
    outputs["object_1"][0, 4, 2, 1] = outputs["class_1"][0, 4, 2, 1] = 1.0
    outputs = {key: tf.constant(value, tf.float32) for key, value in outputs.items()}
    losses = head.losses(outputs, np.float32([[[15, 25, 35, 65]]]), np.int32([[1]]), np.array([[False]]))
    assert sum(float(part[0]) for part in losses.values()) == pytest.approx(0, abs=1e-9)
    boxes, scores = head.decode(outputs)
    best = int(np.argmax(scores[0, :, 1]))
    assert float(scores[0, best, 1]) == 1.0 and best == (4 * 7 + 2) * 2 + 1
    np.testing.assert_allclose(boxes[0, best], [15, 25, 35, 65], atol=1e-4)


def test_scores_are_confidence_times_probability(rng):
    head = YOLOv1Head(3, (64, 96), (2, 3))
    outputs = random_outputs(head, rng, 2)
    boxes, scores = head.decode({k: tf.constant(v) for k, v in outputs.items()})
    assert boxes.shape == (2, 12, 4) and scores.shape == (2, 12, 3)
    confidence = np.clip(outputs["object_1"], 0, 1)[..., None]
    probability = np.clip(outputs["class_1"], 0, 1)[..., None, :]
    np.testing.assert_allclose(scores, (confidence * probability).reshape(2, 12, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "size", "options", "grid"),
    [
        ("mobilenet_v2", 224, {}, (7, 7)),
        ("mobilenet_v2", 448, {}, (7, 7)),
        ("mobilenet_v2", 320, {}, (10, 10)),
        ("mobilenet_v2", (64, 96), {}, (8, 12)),
        ("mobilenet_v2", 64, {"grid": 4}, (4, 4)),
        ("mobilenet_v2", 128, {"grid": 1}, (1, 1)),
        ("resnet18", 100, {"grid": 7, "boxes": 3}, (7, 7)),
    ],
)
def test_grid_on_any_backbone(backbone, size, options, grid):
    settings = {"alpha": 0.35} if backbone == "mobilenet_v2" else {}
    built = detector(
        "yolo_v1",
        classes=4,
        image_size=size,
        backbone=backbone,
        weights=None,
        channels=16,
        backbone_options=settings,
        **options,
    )
    boxes = options.get("boxes", 2)
    assert built.head.grid == grid
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in built.model.output.items()}
    assert shapes == {"box_1": (*grid, 4 * boxes), "object_1": (*grid, boxes), "class_1": (*grid, 4)}
    decoded, scores = built.decode(built.model(np.zeros((1, *built.spec.image_size, 3), "float32")))
    assert decoded.shape == (1, grid[0] * grid[1] * boxes, 4) and scores.shape[-1] == 4


def test_network_of_the_paper():
    """24 convolutions (figure 3), 7 x 7 x 1024 for 448 pixels, and the weights summed by hand."""
    model = paper_backbone(batch_norm=False)
    convs = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(convs) == 24
    assert model.compute_output_shape((1, 448, 448, 3)) == (1, 7, 7, 1024)
    figure = [
        *((7, 3, 64), (3, 64, 192), (1, 192, 128), (3, 128, 256), (1, 256, 256), (3, 256, 512)),
        *(4 * [(1, 512, 256), (3, 256, 512)]),
        *((1, 512, 512), (3, 512, 1024)),
        *(2 * [(1, 1024, 512), (3, 512, 1024)]),
        *(4 * [(3, 1024, 1024)]),
    ]
    assert model.count_params() == sum(k * k * i * o + o for k, i, o in figure)
    x = keras.Input((7, 7, 1024))
    outputs = dense_outputs(x, classes=20, boxes=2, hidden=8)
    top = keras.Model(x, outputs)
    assert top.count_params() == 7 * 7 * 1024 * 8 + 8 + (8 + 1) * 7 * 7 * 30
    assert {key: value.shape[1:] for key, value in outputs.items()} == {
        "box_1": (7, 7, 8),
        "object_1": (7, 7, 2),
        "class_1": (7, 7, 20),
    }


def test_network_of_the_paper_is_the_default_and_is_dense():
    built = detector("yolo_v1", classes=2, image_size=128, weights=None, hidden=8)
    assert built.head.grid == (2, 2)
    assert built.model.get_layer("hidden").units == 8
    assert "yolo24" in built.backbone_layers and "hidden" not in built.backbone_layers


def test_wrong_arguments_are_named():
    with pytest.raises(KerasvisionError, match=r"`grid` must be one of \[1, 2, 4, 8, 16\].*Received: 7"):
        small_yolo(grid=7)
    with pytest.raises(KerasvisionError, match="`top` must be"):
        small_yolo(top="fully")
    with pytest.raises(KerasvisionError, match="`boxes` must be"):
        small_yolo(boxes=0)


def test_losses_are_finite_for_hard_truths():
    losses = finite_everywhere(small_yolo(), hard_truths(64))
    learnt = [one["class"][0] > 0 for one in losses]
    # What lies outside belongs to the last cell; boxes turned inside out, points and lines teach nothing.
    assert learnt == [False] * 6 + [True, False] + [False] * 2 + [True, False] * 3


def test_overfits_eight_pictures_and_converts():
    keras.utils.set_random_seed(0)
    built, (drawn, images, truth) = small_yolo(), pictures()
    train(built, images, truth, 200)
    assert ap50(drawn, found_by(built, images)) == 1.0
    check_tflite(built, images)
