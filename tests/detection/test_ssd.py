"""SSD: the numbers of the paper, a slow reference of its loss, and that it learns, converts and loads."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from slow_matching import random_truth, slow_assign
from small_detectors import (
    ap50,
    check_tflite,
    finite_everywhere,
    found_by,
    hard_truths,
    pictures,
    small_ssd,
    train,
)

from kerasvision.detection import detector
from kerasvision.detection.anchors import ssd_ratios, ssd_scales
from kerasvision.detection.ssd import SSDHead
from kerasvision.errors import KerasvisionError
from kerasvision.models import graph


def small_head(**options) -> SSDHead:
    grids = ((8, 8), (4, 4), (2, 2))
    return SSDHead(3, (64, 64), grids, ssd_scales(3), ssd_ratios(3), **options)


def random_outputs(head: SSDHead, rng, images: int) -> dict:
    outputs = {}
    for level, (grid, ratios) in enumerate(zip(head.grids, head.ratios, strict=True), 1):
        for kind, channels in (("box", 4), ("class", head.classes + 1)):
            shape = (images, *grid, (len(ratios) + 1) * channels)
            outputs[f"{kind}_{level}"] = rng.normal(0, 2, shape).astype("float32")
    return outputs


def rows_of(head: SSDHead, outputs: dict, kind: str, channels: int) -> np.ndarray:
    """Return the outputs as (images, default boxes, channels), place by place."""
    images = len(outputs[f"{kind}_1"])
    rows = [[] for _ in range(images)]
    for level, (height, width) in enumerate(head.grids, 1):
        for image in range(images):
            for row in range(height):
                for column in range(width):
                    values = outputs[f"{kind}_{level}"][image, row, column]
                    rows[image] += [values[i : i + channels] for i in range(0, len(values), channels)]
    return np.array(rows, np.float64)


def slow_losses(head: SSDHead, outputs: dict, boxes, classes, crowd) -> dict:
    """Write equations 1 to 3 of the paper out, and its hard negative mining."""
    deltas, logits = rows_of(head, outputs, "box", 4), rows_of(head, outputs, "class", head.classes + 1)
    position, confidence, matches = np.zeros(len(boxes)), np.zeros(len(boxes)), 0
    for image in range(len(boxes)):
        matched = slow_assign(
            head.anchors, boxes[image], classes[image], crowd[image], head.overlap, None, True
        )
        entropies = [math.log(np.exp(row).sum()) - row for row in logits[image]]
        for n in np.flatnonzero(matched >= 0):
            d, g = head.anchors[n].astype(float), boxes[image, matched[n]].astype(float)
            width, height = d[2] - d[0], d[3] - d[1]
            target = [
                ((g[0] + g[2]) / 2 - (d[0] + d[2]) / 2) / width / 0.1,
                ((g[1] + g[3]) / 2 - (d[1] + d[3]) / 2) / height / 0.1,
                math.log((g[2] - g[0]) / width) / 0.2,
                math.log((g[3] - g[1]) / height) / 0.2,
            ]
            for error in np.abs(deltas[image, n] - target):
                position[image] += 0.5 * error**2 if error < 1 else error - 0.5
            confidence[image] += entropies[n][classes[image, matched[n]] + 1]
        count = int((matched >= 0).sum())
        background = sorted((entropies[n][0] for n in np.flatnonzero(matched == -1)), reverse=True)
        confidence[image] += sum(background[: max(3 * count, head.least_negatives)])
        matches += count
    share = len(boxes) / max(matches, 1)
    return {"box": position * share, "class": confidence * share}


@pytest.mark.parametrize("least", [0, 5])
def test_losses_equal_the_slow_ones(least):
    head = small_head(least_negatives=least)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        boxes, classes, crowd = random_truth(rng, count=5)
        outputs = random_outputs(head, rng, 5)
        found = head.losses({k: tf.constant(v) for k, v in outputs.items()}, boxes, classes, crowd)
        expected = slow_losses(head, outputs, boxes, classes, crowd)
        assert (found["class"].numpy()[0] > 0) == (least > 0)
        for part in ("box", "class"):
            np.testing.assert_allclose(found[part], expected[part], rtol=2e-5, atol=1e-5)
            assert expected[part].sum() > 0


def test_decoding_turns_targets_back_into_boxes(rng):
    """Offsets that mean a box, written out, decode to that box; the background is no class."""
    head = small_head()
    outputs = random_outputs(head, rng, 2)
    boxes, scores = head.decode({k: tf.constant(v) for k, v in outputs.items()})
    logits, deltas = rows_of(head, outputs, "class", 4), rows_of(head, outputs, "box", 4)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(scores, shares[..., 1:], atol=1e-6)
    low, high = head.anchors[:, :2].astype(float), head.anchors[:, 2:].astype(float)
    center = (low + high) / 2 + deltas[..., :2] * 0.1 * (high - low)
    half = np.exp(deltas[..., 2:] * 0.2) * (high - low) / 2
    expected = np.concatenate([center - half, center + half], -1)
    np.testing.assert_allclose(boxes, expected, rtol=1e-5, atol=1e-4)


def slow_parameters(levels: list[tuple], extras: list[tuple], classes: int) -> int:
    """Sum up SSD on VGG-16: levels are (channels, boxes a place), extras (in, 1x1, 3x3, kernel)."""
    vgg = 14_714_688  # the convolutions of VGG-16
    fully = 512 * 1024 * 9 + 1024 + 1024 * 1024 + 1024
    extra = sum(i * a + a + a * b * k * k + b for i, a, b, k in extras)
    heads = sum((9 * channels + 1) * boxes * (classes + 1 + 4) for channels, boxes in levels)
    return vgg + fully + 512 + extra + heads


PAPER = {
    300: (
        8732,
        [(512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4)],
        [(1024, 256, 512, 3), (512, 128, 256, 3), *(2 * [(256, 128, 256, 3)])],
    ),
    512: (
        24564,
        [(512, 4), (1024, 6), (512, 6), *(2 * [(256, 6)]), (256, 4), (256, 4)],
        [(1024, 256, 512, 3), (512, 128, 256, 3), *(2 * [(256, 128, 256, 3)]), (256, 128, 256, 4)],
    ),
}


@pytest.mark.parametrize(
    ("size", "grids"),
    [(300, (38, 19, 10, 5, 3, 1)), (512, (64, 32, 16, 8, 4, 2, 1))],
)
def test_the_paper_on_vgg16(size, grids):
    built = detector(f"ssd{size}", classes=20, image_size=size, weights=None)
    count, levels, extras = PAPER[size]
    assert built.head.grids == tuple((g, g) for g in grids)
    assert built.head.anchors.shape == (count, 4)
    assert built.model.count_params() == slow_parameters(levels, extras, 20)
    for level, (grid, boxes) in enumerate(zip(grids, (k for _, k in levels), strict=True), 1):
        assert built.model.output[f"box_{level}"].shape == (None, grid, grid, boxes * 4)
        assert built.model.output[f"class_{level}"].shape == (None, grid, grid, boxes * 21)
    assert "block1_conv1" in built.backbone_layers and "fc6" not in built.backbone_layers
    fc6 = built.model.get_layer("fc6")
    assert fc6.dilation_rate == (6, 6)
    np.testing.assert_array_equal(built.model.get_layer("block4_norm_scale").get_weights()[0], 20.0)
    pool = built.model.get_layer("block5_pool")
    assert (pool.pool_size, pool.strides, pool.padding) == ((3, 3), (1, 1), "same")


def test_conv4_3_has_a_length_of_20(rng):
    built = detector("ssd300", classes=2, image_size=64, weights=None)
    tap = graph.output_of(built.model, "block4_norm_scale")
    values = keras.Model(built.model.inputs[0], tap)(rng.uniform(0, 255, (2, 64, 64, 3)).astype("float32"))
    np.testing.assert_allclose(np.linalg.norm(values, axis=-1), 20.0, rtol=1e-4)


def test_vgg_keeps_the_weights_of_its_backbone(tmp_path):
    """A weights file of VGG-16 fills all that SSD has of it, though pools are changed."""
    backbone = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    backbone.save_weights(tmp_path / "vgg.weights.h5")
    file = tmp_path / "vgg.weights.h5"
    built = detector("ssd300", classes=2, image_size=64, backbone="vgg16", weights=file)
    convs = [layer for layer in backbone.layers if layer.weights]
    assert len(convs) == 13
    for layer in convs:
        kernel = built.model.get_layer(layer.name).get_weights()[0]
        np.testing.assert_array_equal(kernel, layer.get_weights()[0])


@pytest.mark.parametrize(
    ("backbone", "size", "grids", "separable"),
    [
        ("mobilenet_v2", (96, 96), ((12, 12), (6, 6), (3, 3), (1, 1)), True),
        ("mobilenet_v2", (300, 300), ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)), True),
        ("resnet18", (64, 100), ((8, 13), (4, 7), (2, 4), (1, 3)), False),
    ],
)
def test_other_backbones(backbone, size, grids, separable):
    built = detector("ssd300", classes=4, image_size=size, backbone=backbone, weights=None)
    assert built.head.grids == grids
    assert len(built.head.anchors) == sum(
        h * w * (len(r) + 1) for (h, w), r in zip(grids, built.head.ratios, strict=True)
    )
    assert ("box_1_depthwise" in {layer.name for layer in built.model.layers}) == separable
    outputs = built.model(np.zeros((1, *size, 3), "float32"))
    boxes, scores = built.decode(outputs)
    assert boxes.shape == (1, len(built.head.anchors), 4) and scores.shape[-1] == 4


def test_taps_and_scales_may_be_chosen():
    built = small_ssd(128, taps=(4, 5), scales=(0.1, 0.3, 0.5, 0.9, 1.0), light=True)
    assert built.head.grids == ((8, 8), (4, 4), (2, 2), (1, 1))
    np.testing.assert_allclose(built.head.anchors[0], [8 - 6.4, 8 - 6.4, 8 + 6.4, 8 + 6.4], rtol=1e-6)
    assert "extra1_2_depthwise" in {layer.name for layer in built.model.layers}


def test_wrong_arguments_are_named():
    with pytest.raises(KerasvisionError, match=r"`scales` must be 5 positive shares"):
        small_ssd(scales=(0.1, 0.2))
    with pytest.raises(KerasvisionError, match="two feature maps"):
        small_ssd(32, taps=(5,))


def test_losses_are_finite_for_hard_truths():
    built = small_ssd()
    losses = finite_everywhere(built, hard_truths(64))
    assert losses[0]["box"].sum() == losses[0]["class"].sum() == 0
    learnt = [one["class"][0] > 0 for one in losses]
    # tiny, whole and corner; what has no area or lies outside overlaps with nothing.
    assert learnt == [False] * 6 + [True, False] + [False] * 4 + [True, False] * 2


def test_overfits_eight_pictures_and_converts():
    keras.utils.set_random_seed(0)
    built, (drawn, images, truth) = small_ssd(), pictures()
    train(built, images, truth, 120)
    assert ap50(drawn, found_by(built, images)) == 1.0
    check_tflite(built, images)
