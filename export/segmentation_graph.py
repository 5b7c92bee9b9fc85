"""What follows the logits of a segmenter in its files: resizing, softmax or the most probable class."""

from collections import Counter

import tensorflow as tf

from kerasvision import _litert
from kerasvision.export.segmentation_source import Output, check_output, checked_output_size
from kerasvision.export.source import float32_form


def resized(logits, size: tuple[int, int] | None):
    """Resize (n, h, w, classes) by bilinear interpolation between the centres of pixels; `None` leaves it."""
    if size is None or tuple(logits.shape[1:3]) == tuple(size):
        return logits
    return tf.image.resize(logits, size)


def read_logits(logits, output: Output, size: tuple[int, int] | None) -> dict:
    """Return what a file gives for logits.

    Args:
        logits: (n, h, w, classes) float32.
        output: `"probabilities"`, `"labels"` or `"logits"`.
        size: (height, width) of the answer; `None`: as the logits have it.

    Returns:
        `output` -> (n, *size, classes) float32, or, for labels, (n, *size) uint8. Of equal logits the first
        class is taken.
    """
    logits = resized(logits, size)
    if output == "logits":
        return {"logits": logits}
    if output == "labels":
        # tf.argmax, not keras.ops.argmax: that one uses bit tricks which other converters do not know.
        return {"labels": tf.cast(tf.argmax(logits, -1, output_type=tf.int32), tf.uint8)}
    return {"probabilities": tf.nn.softmax(logits)}


def rehearse_segmenter(model, *, output: Output = "probabilities", output_size=None) -> Counter:
    """Check in seconds that a segmenter will convert to TFLite, before hours of training.

    Args:
        model: `keras.Model` of a fixed input size that gives logits; its weights do not matter.
        output: what the file is to give: `"probabilities"`, `"labels"` or `"logits"`.
        output_size: side, or (height, width), of that; the model's by default.

    Returns:
        How often each TFLite operation would occur.

    Raises:
        ExportError: TFLite has no built-in operation for something in it; the message names it.
    """
    check_output(output)
    size = checked_output_size(output_size) or model.output_shape[1:3]
    return _litert.rehearse(float32_form(model), after=lambda logits: read_logits(logits, output, size))
