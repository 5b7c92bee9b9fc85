"""Made-up truths and detections with all that is awkward: ties, crowds, empty images, boxes that touch."""

from dataclasses import dataclass

import numpy as np

from kerasvision.metrics import Detections


@dataclass
class Truth:
    """The part of `ImageBoxes` that metrics look at."""

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray | None = None
    difficult: np.ndarray | None = None
    extras: tuple | None = None


def truth(boxes, labels=None, **marks) -> Truth:
    """Return what is annotated on one image; all of class 0 unless stated."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return Truth(boxes, np.zeros(len(boxes), int) if labels is None else np.asarray(labels, int), **marks)


def found(boxes, scores, labels=None) -> Detections:
    """Return what was found on one image; all of class 0 unless stated."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    labels = np.zeros(len(boxes), int) if labels is None else np.asarray(labels, int)
    return Detections(boxes, labels, np.asarray(scores, float))


def random_boxes(random, count: int, *, whole: bool) -> np.ndarray:
    """Return boxes of all of COCO's sizes; whole pixels make equal overlaps likely, and overlaps of 1/2."""
    corner, side = random.uniform(0, 120, (count, 2)), np.exp(random.uniform(0, 5.3, (count, 2)))
    boxes = np.concatenate([corner, corner + side], 1)
    return np.round(boxes / 8) * 8 if whole else boxes


def random_case(seed: int, *, crowds: bool = True):
    """Return (truth, found, classes) of a small split."""
    random = np.random.default_rng(seed)
    images, classes = int(random.integers(1, 7)), int(random.choice([1, 2, 5, 40]))
    whole, most = bool(random.integers(2)), int(random.choice([3, 12]))
    levels = int(random.choice([2, 5, 10**6]))  # few levels: many equal scores
    empty_truth, empty_found = random.choice([0, 0.3, 1], 2, p=[0.6, 0.35, 0.05])
    truths, founds = [], []
    for _ in range(images):
        count = 0 if random.random() < empty_truth else int(random.integers(0, most))
        boxes, labels = random_boxes(random, count, whole=whole), random.integers(0, classes, count)
        crowd = random.random(count) < (0.2 if crowds else 0)
        truths.append(Truth(boxes, labels, crowd, random.random(count) < 0.2))
        guesses, named = _guesses(random, boxes, labels, classes, most, whole)
        keep = slice(0, 0 if random.random() < empty_found else None)
        scores = random.integers(0, levels, len(named)) / levels
        founds.append(Detections(guesses[keep], named[keep], scores[keep]))
    return truths, founds, classes


def _guesses(random, boxes, labels, classes, most, whole):
    """Return detections: some near boxes, now and then of the wrong class or twice, and some anywhere."""
    near = random.integers(0, len(boxes), int(random.integers(0, 2 * most))) if len(boxes) else []
    moved = boxes[near] + random.normal(0, 1, (len(near), 4)) * random.choice([0, 2, 12], (len(near), 1))
    moved = np.round(moved / 8) * 8 if whole else moved
    named = np.where(random.random(len(near)) < 0.2, random.integers(0, classes, len(near)), labels[near])
    stray = int(random.integers(0, most))
    boxes = np.concatenate([moved, random_boxes(random, stray, whole=whole)])
    return boxes, np.concatenate([named, random.integers(0, classes, stray)]).astype(int)
