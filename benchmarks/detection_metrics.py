"""Judging a detector: `judge_detections` against keras-cv's `BoxCOCOMetrics`.

Made-up images with as many boxes as detections. keras-cv gives COCO's twelve figures; ours, besides, those
of each class, curves, best thresholds, confusion, what each kind of mistake costs and a bootstrap interval
("all"), or the twelve figures and those of each class alone ("COCO's figures"). Each arm runs in a process of
its own, in turn, and is timed from the boxes to the figures; its imports are not. Figures are medians.

keras-cv gets its batches as it does in training, with as many boxes in each row. It measures with boxes in
float32, so figures are compared to 1e-4.

Run: python benchmarks/detection_metrics.py [--images 5000] [--boxes 20] [--classes 20] [--rounds 3]
"""

import argparse
import json

import numpy as np
from common import Usage, alternate, median, print_table, run_arm, verdict

KERAS_CV, COCO, ALL = "BoxCOCOMetrics", "COCO's figures", "all"
FASTER, CLOSE, BATCH = 5.0, 1e-4, 50


def made_up(images: int, boxes: int, classes: int):
    """Return boxes (images, boxes, 4) and labels of truth and detections, and the scores of the latter."""
    random = np.random.default_rng(0)
    corners, sides = random.uniform(0, 500, (images, boxes, 2)), random.uniform(8, 200, (images, boxes, 2))
    truth = np.concatenate([corners, corners + sides], -1).astype(np.float32)
    labels = random.integers(0, classes, (images, boxes))
    moved = truth + random.normal(0, 0.08, truth.shape) * np.concatenate([sides, sides], -1)
    stray = random.random((images, boxes, 1)) < 0.2
    found = np.where(stray, np.roll(truth, 1, 0), moved).astype(np.float32)
    named = np.where(random.random((images, boxes)) < 0.1, random.integers(0, classes, labels.shape), labels)
    scores = random.uniform(0.01, 1, (images, boxes)).astype(np.float32)
    return truth, labels, found, named, scores


def keras_cv_arm(images: int, boxes: int, classes: int) -> dict:
    import keras_cv
    import tensorflow as tf

    truth, labels, found, named, scores = made_up(images, boxes, classes)
    metric = keras_cv.metrics.BoxCOCOMetrics("xyxy", evaluate_freq=10**9)
    labels, named = labels.astype(np.float32), named.astype(np.float32)
    with Usage() as usage:
        for start in range(0, images, BATCH):
            part = slice(start, start + BATCH)
            metric.update_state(
                {"boxes": tf.constant(truth[part]), "classes": tf.constant(labels[part])},
                {
                    "boxes": tf.constant(found[part]),
                    "classes": tf.constant(named[part]),
                    "confidence": tf.constant(scores[part]),
                },
            )
        figures = {name: float(value) for name, value in metric.result(force=True).items()}
    return {**usage.to_dict(), "ap": figures["MaP"], "ap50": figures["MaP@[IoU=50]"]}


def our_arm(images: int, boxes: int, classes: int, *, everything: bool) -> dict:
    from types import SimpleNamespace

    import faster_coco_eval  # noqa: F401  (not timed, as keras-cv is not)

    from kerasvision.metrics import Detections, coco_average_precision, judge_detections

    values = made_up(images, boxes, classes)
    with Usage() as usage:
        truth = [SimpleNamespace(boxes=b, labels=c) for b, c in zip(*values[:2], strict=True)]
        found = [Detections(*one) for one in zip(*values[2:], strict=True)]
        if everything:
            coco = judge_detections(truth, found, list(map(str, range(classes)))).coco
        else:
            coco = coco_average_precision(truth, found, classes)
    return {**usage.to_dict(), "ap": coco.ap, "ap50": coco.ap50}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--boxes", type=int, default=20)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=(KERAS_CV, COCO, ALL), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in ("images", "boxes", "classes")}
    if arguments.arm == KERAS_CV:
        print(json.dumps(keras_cv_arm(**sizes)))
        return
    if arguments.arm:
        print(json.dumps(our_arm(**sizes, everything=arguments.arm == ALL)))
        return
    found = alternate((KERAS_CV, COCO, ALL), lambda arm: run_arm(__file__, arm, **sizes), arguments.rounds)
    wall = {arm: median(found[arm], "wall") for arm in found}
    apart = max(
        abs(median(found[arm], key) - median(found[KERAS_CV], key))
        for arm in (COCO, ALL)
        for key in ("ap", "ap50")
    )
    print(f"{arguments.images} images x {arguments.boxes} boxes, {arguments.classes} classes")
    print_table(
        ("", "wall", "CPU", "memory", "times as fast", ""),
        [
            (
                arm,
                f"{wall[arm]:.1f} s",
                f"{median(found[arm], 'cpu'):.1f} s",
                f"{median(found[arm], 'growth'):.0f} MB",
                f"{wall[KERAS_CV] / wall[arm]:.1f}",
                "" if arm == KERAS_CV else verdict(wall[KERAS_CV] / wall[arm], FASTER),
            )
            for arm in found
        ],
    )
    ap, ap50 = median(found[ALL], "ap"), median(found[ALL], "ap50")
    print(f"AP {ap:.4f}, AP50 {ap50:.4f}; apart by {apart:.1e}: {verdict(apart, CLOSE, at_least=False)}")


if __name__ == "__main__":
    main()
