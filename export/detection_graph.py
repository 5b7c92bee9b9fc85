"""A detector as one function from pixels to boxes, in the layout that files have.

`boxes` (n, k, 4) are ymin, xmin, ymax, xmax in [0, 1] of the input, as MediaPipe and TensorFlow have them.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kerasvision import _litert
from kerasvision.detection import Detector, select_boxes
from kerasvision.export.detection_source import Selection
from kerasvision.export.source import float32_form


def choose(detector: Detector, selection: Selection, outputs: Mapping) -> dict:
    """Return the boxes that a file gives for the raw outputs of the network.

    Args:
        detector: whose head reads the outputs.
        selection: which boxes.
        outputs: name -> raw output, (n, …) float32.

    Returns:
        `boxes` (n, k, 4) float32, `classes` (n, k) int32, `scores` (n, k) float32 and `count` (n,) int32; 0
        from `count` on.
    """
    height, width = detector.spec.image_size
    boxes, scores = detector.decode(outputs)
    found = select_boxes(boxes, scores, image_size=(height, width), **selection.to_dict())
    # A product, because dividing by a constant is one in some runtimes and not in others.
    share = np.array([1 / height, 1 / width, 1 / height, 1 / width], np.float32)
    return {
        "boxes": tf.gather(found["boxes"], [1, 0, 3, 2], axis=-1) * share,
        # Programs that look a label up before they look at `count` must not fail.
        "classes": tf.maximum(found["classes"], 0),
        "scores": found["scores"],
        "count": found["count"],
    }


def detect(detector: Detector, selection: Selection, images) -> dict:
    """Return the boxes that a file gives for images, (n, h, w, 3), raw RGB in [0, 255]; see `choose`."""
    outputs = detector.model(tf.cast(images, tf.float32), training=False)
    return choose(detector, selection, outputs)


def as_floats(found: Mapping) -> dict:
    """Return the outputs of `choose` all as float32, which MediaPipe wants."""
    return {name: tf.cast(value, tf.float32) for name, value in found.items()}


def rehearse_detector(detector: Detector, selection: Selection | None = None) -> Counter:
    """Check in seconds that a detector will convert to TFLite with decoding and NMS, before hours of work.

    Args:
        detector: the detector; its weights do not matter.
        selection: which boxes the file is to give.

    Returns:
        How often each TFLite operation would occur.

    Raises:
        ExportError: TFLite has no built-in operation for something in it; the message names it.
    """
    chosen = selection or Selection()
    return _litert.rehearse(
        float32_form(detector.model), after=lambda outputs: as_floats(choose(detector, chosen, outputs))
    )
