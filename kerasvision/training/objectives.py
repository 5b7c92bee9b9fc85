"""What a training minimises, what it is judged by, and how labels become targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Objective:
    """What a training is after; all functions become part of graphs.

    Attributes:
        loss: `(targets, outputs) -> (b,)`, as validation has it.
        targets: labels of a batch, as `VisionData.iterate` gives them -> targets, which the augmentation
            gets.
        train_loss: the same as `loss` in training, where it differs (smoothed targets).
        score: `(targets, outputs) -> (b,)`, higher is better; None: nothing is scored step by step.
        weigh: targets -> (b,), how much each example counts; None: all the same.
        name: of the score, in the history (and with `val_` before it); the best epoch is chosen by it.
        watch: `(targets, outputs) -> {name: ()}`, figures of a training batch; their means over an epoch go
            into the history. None: nothing is watched.
        watched: the names of these figures.
        seeds: (2,) variables that the loss draws with; each step sets them, as it does with dropout's.
    """

    loss: Callable
    targets: Callable = lambda labels: labels
    train_loss: Callable | None = None
    score: Callable | None = None
    weigh: Callable | None = None
    name: str = "accuracy"
    watch: Callable | None = None
    watched: Sequence[str] = ()
    seeds: Sequence = ()


def softmax_loss(targets, probabilities):
    """Return the cross-entropy of each example, (b,) float32, from (b, classes) targets and probabilities."""
    import keras

    # Keras takes the logits from before the softmax where the output comes from one.
    return keras.ops.categorical_crossentropy(targets, keras.ops.cast(probabilities, "float32"))


def top_1(targets, outputs):
    """Return 1 where the highest output is the highest target, else 0, (b,) float32."""
    import tensorflow as tf

    return tf.cast(tf.equal(tf.argmax(targets, -1), tf.argmax(outputs, -1)), tf.float32)


def one_label(
    classes: int,
    *,
    label_smoothing: float = 0.0,
    class_weights: np.ndarray | None = None,
    loss: Callable = softmax_loss,
    score: Callable = top_1,
) -> Objective:
    """Return the objective of images with one class each.

    Args:
        classes: number of classes.
        label_smoothing: share of each target that is spread over all classes in training.
        class_weights: (classes,) weight of an example by its class in training, or None.
        loss: `(targets, outputs) -> (b,)`, targets (b, classes).
        score: `(targets, outputs) -> (b,)`, higher is better.
    """
    import tensorflow as tf

    by_class = (
        np.ones(classes, np.float32) if class_weights is None else np.asarray(class_weights, np.float32)
    )
    return Objective(
        loss=loss,
        targets=lambda labels: tf.one_hot(labels, classes),
        train_loss=lambda targets, outputs: loss(
            targets * (1.0 - label_smoothing) + label_smoothing / classes, outputs
        ),
        score=score,
        weigh=lambda targets: tf.linalg.matvec(targets, by_class),
    )


def boxes_on_images(head) -> Objective:
    """Return the objective of images with boxes: the sum of the parts of a detector's loss.

    What it is judged by, AP50, cannot be added up step by step; give `fit` a `validate`.

    Args:
        head: a `kerasvision.detection.Head`.
    """
    import tensorflow as tf

    def loss(targets, outputs):
        parts = head.losses(outputs, targets["boxes"], targets["classes"], targets["crowd"])
        return tf.add_n([tf.cast(part, tf.float32) for part in parts.values()])

    return Objective(loss=loss, name="ap50")


def labels_of_pixels(loss: Callable, *, auxiliary: float = 0.0) -> Objective:
    """Return the objective of images with a class at each pixel.

    What it is judged by, the mean IoU, cannot be added up step by step; give `fit` a `validate`.

    Args:
        loss: `(targets (b, h, w) int32, logits (b, h, w, classes)) -> (b,)`, for example of
            `kerasvision.segmentation.make_loss`.
        auxiliary: what the loss of each auxiliary output counts in training. Networks with such outputs give
            a dictionary, `logits` and the others; networks without give the logits alone.
    """
    import tensorflow as tf

    def main(targets, outputs):
        return loss(targets, outputs["logits"] if isinstance(outputs, Mapping) else outputs)

    def everything(targets, outputs):
        others = [outputs[name] for name in sorted(outputs) if name != "logits"]
        return tf.add_n([main(targets, outputs), *(auxiliary * loss(targets, other) for other in others)])

    return Objective(
        loss=main,
        targets=lambda labels: tf.cast(labels, tf.int32),
        train_loss=lambda targets, outputs: (
            everything(targets, outputs) if isinstance(outputs, Mapping) else main(targets, outputs)
        ),
        name="mean_iou",
    )


def identities_of_images(loss, identities, *, name: str = "true_accept_rate") -> Objective:
    """Return the objective of images with an identity each, which come in batches with several of each.

    Such batches are made by the `order` of a `Plan`, for example `kerasvision.embedding.identity_order`. With
    several devices each learns from its own part of a batch, which should hold all images of an identity.

    What it is judged by, telling apart identities that were never trained on, cannot be added up step by
    step; give `fit` a `validate`.

    Args:
        loss: of `kerasvision.embedding.make_loss`. One that takes cosines needs a model with them:
            `kerasvision.embedding.with_class_cosines(embedder, len(identities))`.
        identities: (c,) the different labels of the training images, rising. Targets are places among them,
            so that a class loss has no class without an image.
        name: of what the best epoch is chosen by.
    """
    import tensorflow as tf

    identities = np.unique(identities).astype(np.int32)

    def output(outputs, kind):
        return outputs[kind] if isinstance(outputs, Mapping) else outputs

    return Objective(
        loss=lambda targets, outputs: loss(targets, output(outputs, loss.takes)),
        targets=lambda labels: tf.searchsorted(identities, tf.cast(labels, tf.int32)),
        name=name,
        watch=lambda targets, outputs: loss.watch(targets, output(outputs, "embedding")),
        watched=loss.watched,
        seeds=loss.seeds,
    )
