"""One step of training and one of validation, for one device or several, as graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerasvision.training.devices import run_replicas
from kerasvision.training.objectives import Objective

SCALE_START, SCALE_STEPS = 2.0**15, 2000


@dataclass(frozen=True)
class Group:
    """Variables and the optimizer that moves them.

    A lower rate for the backbone is a group of its own with an optimizer of its own: scaling gradients
    instead would do nothing under Adam, which divides by their size.

    Attributes:
        optimizer: a Keras optimizer.
        variables: trainable variables of the model.
        rate: the factor on the learning rate of the schedule.
        l2: the L2 penalty of papers that train with SGD: `l2 * variable` is added to each gradient before the
            optimizer sees it, so that it takes part in the momentum. (The `weight_decay` of Keras' optimizers
            shrinks the variable beside the step, AdamW's way.)
    """

    optimizer: Any
    variables: Sequence
    rate: float = 1.0
    l2: float = 0.0


class LossScale:
    """A factor on the loss that keeps float16 gradients from vanishing; it halves itself on overflow.

    Source: Micikevicius et al., Mixed precision training, 2018.
    """

    def __init__(self, used: bool):
        import tensorflow as tf

        self.used = used
        self.value = tf.Variable(SCALE_START if used else 1.0, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0.0, trainable=False, name="good_steps")

    @property
    def variables(self):
        """What a checkpoint must hold."""
        return [self.value, self.good_steps]

    def unscale(self, gradients):
        """Return the gradients of the loss, 0 instead of an overflow, and whether there was none.

        A step with an overflow counts as one with gradients of 0 rather than as none at all: leaving it
        out would need a branch around the optimizer, which `tf.distribute` does not allow.
        """
        import tensorflow as tf

        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        return [tf.where(finite, g / self.value, tf.zeros_like(g)) for g in gradients], finite

    def adjust(self, finite) -> None:
        """Halve the factor after an overflow, double it after 2,000 steps without one."""
        import tensorflow as tf

        self.good_steps.assign(tf.where(finite, self.good_steps + 1.0, 0.0))
        grown = tf.where(self.good_steps >= SCALE_STEPS, self.value * 2.0, self.value)
        self.good_steps.assign(tf.where(self.good_steps >= SCALE_STEPS, 0.0, self.good_steps))
        self.value.assign(tf.where(finite, grown, tf.maximum(self.value / 2.0, 1.0)))


def make_train_step(
    model,
    groups: Sequence[Group],
    objective: Objective,
    *,
    batch_size: int,
    clip_norm: float | None,
    scale: LossScale,
    augmentation=None,
    strategy=None,
):
    """Return a function `(images, labels, weights) -> (3 + f,)` of sums over the batch.

    They are those of loss, score and weights, and each of the f watched figures times the weights. The loss
    of each example is averaged over the *global* batch, so that the result does not depend on the number of
    devices.
    """
    import tensorflow as tf

    variables = [v for group in groups for v in group.variables]
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    train_loss = objective.train_loss or objective.loss

    def targets_of(images, labels):
        images, targets = tf.cast(images, tf.float32), objective.targets(labels)
        if augmentation is not None:
            images, targets = augmentation(images, targets)
        return images, targets

    def gradients_of(images, targets, weights):
        if objective.weigh is not None:
            weights = weights * objective.weigh(targets)
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            losses = train_loss(targets, outputs) * weights
            value = tf.reduce_sum(losses) / batch_size
            if model.losses:
                value += tf.add_n([tf.cast(extra, tf.float32) for extra in model.losses]) / replicas
            value *= scale.value
        return tape.gradient(value, [v.value for v in variables]), losses, outputs

    def replica(images, labels, weights):
        images, targets = targets_of(images, labels)
        gradients, losses, outputs = gradients_of(images, targets, weights)
        finite = tf.constant(True)
        if scale.used or clip_norm is not None:
            if replicas > 1:
                # The optimizer sums over the devices once more, hence the division.
                context = tf.distribute.get_replica_context()
                gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            if scale.used:
                gradients, finite = scale.unscale(gradients)
            if clip_norm is not None:
                gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
            gradients = [g / replicas for g in gradients]
        start = 0
        for group in groups:
            end = start + len(group.variables)
            group.optimizer.apply(_penalised(gradients[start:end], group, replicas), list(group.variables))
            start = end
        sums = _sums(losses, objective, targets, outputs, weights)
        if objective.watch is not None:
            figures = objective.watch(targets, outputs)
            sums = tf.concat([sums, sums[2] * tf.stack([figures[name] for name in objective.watched])], 0)
        return sums, tf.cast(finite, tf.float32)

    def step(images, labels, weights):
        sums, finite = run_replicas(strategy, replica, (images, labels, weights))
        if scale.used:
            scale.adjust(finite >= replicas)
        return sums

    return tf.function(step, autograph=False)


def _penalised(gradients: list, group: Group, replicas: int) -> list:
    """Add the gradient of the L2 penalty; the optimizer sums over the replicas, hence the division."""
    if not group.l2:
        return gradients
    share = group.l2 / replicas
    return [g + share * v.value for g, v in zip(gradients, group.variables, strict=True)]


def make_validation_step(model, objective: Objective, *, strategy=None):
    """Return a function `(images, labels, weights) -> (3,)`: sums of plain loss, score and weights."""
    import tensorflow as tf

    def replica(images, labels, weights):
        targets = objective.targets(labels)
        outputs = model(tf.cast(images, tf.float32), training=False)
        losses = objective.loss(targets, outputs) * weights
        return (_sums(losses, objective, targets, outputs, weights),)

    return tf.function(lambda *batch: run_replicas(strategy, replica, batch)[0], autograph=False)


def _sums(losses, objective: Objective, targets, outputs, weights):
    import tensorflow as tf

    scored = tf.zeros_like(weights) if objective.score is None else objective.score(targets, outputs)
    return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(scored * weights), tf.reduce_sum(weights)])
