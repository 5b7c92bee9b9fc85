"""Non-maximum suppression against a slow reference, and in a TFLite file."""

import numpy as np
import pytest
import tensorflow as tf

from kerasvision._litert import LiteRTModel, convert
from kerasvision.detection import select_boxes
from kerasvision.errors import KerasvisionError
from kerasvision.metrics.box_geometry import pairwise_iou


def slow(boxes, scores, most, overlap, threshold, per_class):
    """Select the boxes of one image, one at a time."""
    classes = scores.shape[1]
    if per_class:
        pairs = [(-scores[i, c], i, c) for i in range(len(boxes)) for c in range(classes)]
    else:
        pairs = [(-scores[i].max(), i, int(scores[i].argmax())) for i in range(len(boxes))]
    kept = []
    for negative, i, c in sorted(pairs):
        if -negative <= threshold or len(kept) == most:
            continue
        rivals = [k for k in kept if k[2] == c or not per_class]
        if all(pairwise_iou(boxes[[i]], boxes[[k[1]]])[0, 0] <= overlap for k in rivals):
            kept.append((-negative, i, c))
    return kept


def random_scene(rng, n, classes, ties):
    low = rng.uniform(0, 80, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 50, (n, 2))], 1).astype(np.float32)
    scores = rng.uniform(0, 1, (n, classes)).astype(np.float32)
    return boxes, (np.round(scores, 1) if ties else scores)


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_same_as_slow_reference(per_class, ties, batch):
    rng = np.random.default_rng(batch + 2 * ties)
    for _ in range(8):
        scenes = [random_scene(rng, 40, 3, ties) for _ in range(batch)]
        boxes, scores = (np.stack(part) for part in zip(*scenes, strict=True))
        found = select_boxes(boxes, scores, most=12, overlap=0.4, threshold=0.3, per_class=per_class)
        for b in range(batch):
            kept = slow(boxes[b], scores[b], 12, 0.4, 0.3, per_class)
            count = int(found["count"][b])
            assert count == len(kept)
            np.testing.assert_array_equal(found["classes"][b], [k[2] for k in kept] + [-1] * (12 - count))
            np.testing.assert_array_equal(found["boxes"][b, :count], boxes[b][[k[1] for k in kept]])
            np.testing.assert_array_equal(found["scores"][b, :count], np.float32([k[0] for k in kept]))
            assert (
                not found["boxes"][b, count:].numpy().any() and not found["scores"][b, count:].numpy().any()
            )


def test_nothing_found():
    found = select_boxes(np.ones((2, 5, 4), np.float32), np.zeros((2, 5, 3), np.float32), most=4)
    assert found["count"].numpy().tolist() == [0, 0]
    assert found["boxes"].shape == (2, 4, 4) and found["classes"].numpy().tolist() == [[-1] * 4] * 2


def test_clipped_to_the_image_and_dropped_outside_it():
    boxes = np.float32([[[-10, -10, 20, 20], [200, 10, 300, 40], [50, 50, 1e9, 60], [70, 70, 60, 80]]])
    found = select_boxes(boxes, np.full((1, 4, 1), 0.9, np.float32), image_size=(64, 100))
    assert int(found["count"][0]) == 2
    np.testing.assert_array_equal(found["boxes"][0, :2], [[0, 0, 20, 20], [50, 50, 100, 60]])


def test_hopeless_boxes_far_away_do_not_blur_the_others():
    """Classes are kept apart by moving boxes by their extent, which costs digits."""
    boxes = np.float32([[[10, 10, 20, 20], [10.5, 10, 20.5, 20], [0, 0, 1e12, 1e12]]])
    scores = np.float32([[[0, 0, 0.9], [0, 0, 0.8], [0.001, 0, 0]]])
    # Their overlap is 9.5 / 10.5 = 0.9048.
    assert int(select_boxes(boxes, scores, overlap=0.903)["count"][0]) == 1
    assert int(select_boxes(boxes, scores, overlap=0.906)["count"][0]) == 2


def test_only_the_best_candidates_are_looked_at():
    rng = np.random.default_rng(0)
    boxes, scores = random_scene(rng, 30, 1, False)
    found = select_boxes(boxes[None], scores[None], overlap=1.0, threshold=0.0, candidates=7)
    assert int(found["count"][0]) == 7
    np.testing.assert_array_equal(found["scores"][0, :7], np.sort(scores[:, 0])[::-1][:7])


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"most": 0}, "`most`"), ({"overlap": 1.5}, "`overlap`"), ({"threshold": -0.1}, "`threshold`")],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(KerasvisionError, match=message):
        select_boxes(np.zeros((1, 1, 4), np.float32), np.zeros((1, 1, 1), np.float32), **setting)


@pytest.mark.parametrize("per_class", [True, False])
def test_converts_to_built_in_operations(per_class):
    rng = np.random.default_rng(1)
    base, _ = random_scene(rng, 64, 3, False)

    def network(image):
        scores = tf.reshape(image, (1, 64, 3)) / 255.0
        return select_boxes(base[None], scores, most=9, per_class=per_class, image_size=(100, 120))

    file = LiteRTModel(convert(network, input_shape=(8, 8, 3)))
    images = rng.uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)
    for image in images:
        expected = network(image[None])
        found = file(image[None])
        assert int(expected["count"][0]) > 3
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
