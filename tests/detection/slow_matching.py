"""Matching of boxes written out, box by box, and random truths to try it on."""

import numpy as np


def slow_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if width * height > 0 else 0.0


def slow_best(overlaps):
    """Take the best pair of all that are free, one by one."""
    free, chosen = np.array(overlaps), np.full(len(overlaps), -1)
    while free.size and free.max() > 0:
        box, anchor = np.unravel_index(np.argmax(free), free.shape)
        chosen[box] = anchor
        free[box], free[:, anchor] = 0, 0
    return chosen


def slow_assign(anchors, boxes, classes, crowd, overlap, background, force):
    """Assign the boxes of one image."""
    real = [i for i in range(len(boxes)) if classes[i] >= 0 and not crowd[i]]
    iou = np.array([[slow_iou(boxes[i], a) for a in anchors] for i in real], np.float32)
    result = np.full(len(anchors), -1)
    for n in range(len(anchors)):
        best = int(np.argmax(iou[:, n])) if real else None
        value = iou[best, n] if real else 0.0
        if value > overlap:
            result[n] = real[best]
        elif value > (overlap if background is None else background):
            result[n] = -2
    if force and real:
        for i, n in zip(real, slow_best(iou), strict=True):
            if n >= 0:
                result[n] = i
    for n, anchor in enumerate(anchors):
        for i in range(len(boxes)):
            if result[n] == -1 and crowd[i] and classes[i] >= 0:
                width = max(0.0, min(anchor[2], boxes[i][2]) - max(anchor[0], boxes[i][0]))
                height = max(0.0, min(anchor[3], boxes[i][3]) - max(anchor[1], boxes[i][1]))
                if width * height > 0.5 * (anchor[2] - anchor[0]) * (anchor[3] - anchor[1]):
                    result[n] = -2
    return result


def random_boxes(rng, shape, size=64):
    corner = rng.uniform(0, size - 8, (*shape, 2))
    sides = rng.uniform(2, 30, (*shape, 2))
    return np.concatenate([corner, corner + sides], -1).astype("float32")


def random_truth(rng, count=6, most=5):
    """Return boxes, classes and crowds: one image is empty, some boxes are tiny, of no size or equal."""
    boxes, classes = random_boxes(rng, (count, most)), rng.integers(0, 3, (count, most))
    classes[rng.random((count, most)) < 0.3] = -1
    classes[0] = -1
    crowd = rng.random((count, most)) < 0.2
    boxes[1, 0, 2:] = boxes[1, 0, :2]
    boxes[2, 0, 2:] = boxes[2, 0, :2] + 1e-3
    boxes[3, 1] = boxes[3, 0]
    boxes[classes < 0] = 0
    return boxes, classes.astype("int32"), crowd
