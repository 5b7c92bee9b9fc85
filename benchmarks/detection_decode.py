"""Decoding and suppression, and prediction, of RetinaNet: `find` against keras-cv's `predict`.

"decode" is from raw outputs to boxes: keras-cv's `decode_predictions` against `Detector.decode` and
`select_boxes`, compiled; "predict" is from images to boxes. Both have the same weights, and the class bias is
such that few boxes survive, where keras-cv's suppression is slowest. Arms take turns in one process, because
building either costs more than what is measured; figures are medians.

Run: python benchmarks/detection_decode.py [--size 320] [--batch 8] [--rounds 5]
"""

import argparse
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from common import keras_cv_retinanet

from kerasvision.detection import from_keras_cv, select_boxes
from kerasvision.detection.finding import finder

CLASSES, DECODE_WANTED, PREDICT_WANTED = 20, 100.0, 3.0


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 320), ("batch", 8), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    keras.utils.set_random_seed(0)
    theirs = keras_cv_retinanet(given.size, CLASSES)
    ours = from_keras_cv(theirs, image_size=given.size)
    images = np.random.default_rng(0).uniform(0, 255, (given.batch, given.size, given.size, 3))
    images = tf.constant(images, tf.float32)
    outputs, raw = theirs({"images": images}), ours.model(images)

    @tf.function
    def our_decode():
        boxes, scores = ours.decode(raw)
        return select_boxes(boxes, scores, threshold=0.5, image_size=ours.spec.image_size)

    compiled = tf.function(lambda: theirs.decode_predictions(outputs, images))
    predict = finder(ours, threshold=0.5)
    arms = {
        "decode": (lambda: compiled(), our_decode, DECODE_WANTED),
        "predict": (
            lambda: theirs.predict(images, batch_size=given.batch, verbose=0),
            lambda: predict(images),
            PREDICT_WANTED,
        ),
    }
    for name, (first, second, wanted) in arms.items():
        first(), second()
        times = [(seconds(first), seconds(second)) for _ in range(given.rounds)]
        slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
        verdict = "as wanted" if slow / fast >= wanted else "TOO SLOW"
        print(f"{name}: keras-cv {slow:.4f} s, ours {fast:.4f} s, {slow / fast:.1f} times ({verdict})")
    print(f"boxes that survive: {our_decode()['count'].numpy().tolist()}")


if __name__ == "__main__":
    main()
