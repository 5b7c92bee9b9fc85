"""The phases of a segmenter's training: heads first, then everything; judged by mean IoU after each epoch."""

from contextlib import nullcontext

import numpy as np

from kerasvision.metrics import mean_iou_of
from kerasvision.recipes import segmentation_settings as settings
from kerasvision.recipes.finetuning import batch_size
from kerasvision.recipes.job import Job
from kerasvision.recipes.phases import Phase, make_schedule, prepare, rehearse, run_phases
from kerasvision.training import Checkpoints, Plan, labels_of_pixels
from kerasvision.training.batches import Share, iterate

JUDGE_BATCH = 8


def build_segmenter(job: Job):
    """Build the segmenter that the arguments describe; one of the user's own is copied."""
    from kerasvision.models import graph
    from kerasvision.segmentation import segmenter

    given, model = job.given, job.given["model"]
    if not isinstance(model, str):
        return graph.copy(model)
    return segmenter(
        model,
        classes=len(job.data.class_names),
        image_size=tuple(job.data.image_size),
        backbone=given["backbone"],
        weights=given["weights"],
        preprocessing=given["preprocessing"],
        auxiliary=True,
        **(given["options"] or {}),
    )


def train_phases(job: Job, model) -> list[dict]:
    """Train all phases, each rehearsed before the first begins; return the rows of the history.

    The best weights by the mean IoU of the validation images are in `model` afterwards.
    """
    trained = _trained_form(job, model)
    objective = make_objective(job, trained)
    validation = Validation(trained, job.data, "validation", objective)
    with job.timed("rehearsal"):
        phases = [_prepare(job, trained, objective, validation, *phase) for phase in _phases(job)]
        rehearse(phases, validation)
    if trained is not model:
        trained.set_weights(model.get_weights())
    history = run_phases(job, phases, "mean IoU")
    if trained is not model:
        model.set_weights([np.asarray(w) for w in trained.weights])
    return history


def make_objective(job: Job, model):
    """Return the loss of a model's outputs, with the auxiliary ones where it has some."""
    from kerasvision.segmentation import auxiliary_weights

    weights = settings.weights_of_classes(job.given["class_weights"], job.data)
    loss = settings.make_loss(job.given["loss"], weights)
    shares = [share for name, share in auxiliary_weights(model).items() if name != "logits"]
    return labels_of_pixels(loss, auxiliary=shares[0] if shares else 0.0)


def _trained_form(job: Job, model):
    """Return the model that is trained: itself, or a copy in mixed precision or of a strategy."""
    distribute = job.given["distribute"]
    if distribute is None and job.precision.policy == "float32":
        return model
    with distribute.scope() if distribute is not None else nullcontext(), job.precision.active():
        # With the weights: the preprocessing of their pixels is in the graph.
        return build_segmenter(job)


def _phases(job: Job) -> list[tuple[int, str, int]]:
    epochs = settings.choose_epochs(job.given, job.strategy.name, job.images)
    return [(number, name, count) for number, (name, count) in enumerate(epochs.items())]


def _prepare(job: Job, model, objective, validation, number: int, phase: str, epochs: int) -> Phase:
    from kerasvision.segmentation import backbone_layers

    given, plan = job.given, make_plan(job, number, phase, epochs)
    return prepare(
        job,
        model,
        backbone_layers(model),
        plan,
        augmentation=settings.make_augmentation(given["augment"], given["augment_strength"], plan.seed),
        checkpoints=Checkpoints(job.checkpoints, phase),
        objective=objective,
        validate=validation,
    )


def make_plan(job: Job, number: int, phase: str, epochs: int) -> Plan:
    """Return how to train in a phase."""
    given = job.given
    rate = given["learning_rate"] or settings.HEAD_RATE[phase]
    return Plan(
        phase=phase,
        epochs=epochs,
        batch_size=batch_size(job),
        learning_rate=rate,
        schedule=make_schedule(given["schedule"], peak=rate, epochs=epochs),
        # Another order, and other augmentation, in each phase.
        seed=given["seed"] + number,
        image_weights=settings.image_weights(job.data.splits["train"]) if given["class_balance"] else None,
        clip_norm=given["clip_norm"],
        # The rate falls until the end, and much is gained there, so patience is long.
        patience=given["patience"] or (None if phase == "freeze" else max(10, epochs // 2)),
        ema=given["ema"] or None,
        keep_initial=phase == "finetune" and number > 0,
        loss_scaling=job.precision.scales_loss,
    )


class Validation:
    """The loss and the mean IoU of a split at the network's size, from one pass over its images.

    The confusion of the classes is counted in the compiled step, so that neither label maps nor logits are
    kept.

    Args:
        model: a segmenter; its weights may change between calls.
        data: a `VisionData` with masks.
        split: which one.
        objective: whose `loss` is measured.
    """

    def __init__(self, model, data, split: str, objective):
        self.data, self.split = data, split
        self.count, self.classes = len(data.splits[split].labels), len(data.class_names)
        self.step = _judging_step(model, objective, self.classes)

    def __call__(self) -> dict[str, float]:
        """Return `loss`, `mean_iou` and `pixel_accuracy`."""
        loss, confusion = self._run(np.arange(self.count))
        right, pixels = int(np.trace(confusion)), int(confusion.sum())
        return {
            "loss": loss,
            "mean_iou": mean_iou_of(confusion),
            "pixel_accuracy": right / pixels if pixels else 0.0,
        }

    def rehearse(self) -> None:
        """Judge one batch, so that what fails, fails now."""
        self._run(np.arange(min(JUDGE_BATCH, self.count)))

    def _run(self, order: np.ndarray) -> tuple[float, np.ndarray]:
        total, confusion = 0.0, np.zeros((self.classes, self.classes), np.int64)
        batches = iterate(self.data, self.split, order, Share(JUDGE_BATCH, 0, JUDGE_BATCH))
        for images, masks, weights in batches:
            loss, counts = self.step(images, masks, weights)
            total += float(loss)
            confusion += np.asarray(counts, np.int64)
        return total / len(order), confusion


def _judging_step(model, objective, classes: int):
    import tensorflow as tf

    from kerasvision.segmentation import inference_model

    network = inference_model(model)

    @tf.function(autograph=False)
    def step(images, masks, weights):
        targets = objective.targets(masks)
        logits = network(tf.cast(images, tf.float32), training=False)
        loss = tf.reduce_sum(objective.loss(targets, logits) * weights)
        answers = tf.argmax(logits, axis=-1, output_type=tf.int32)
        # Void, and the images that only fill the batch up, are counted in a last place, which is cut off.
        counted = (targets < classes) & (weights[:, None, None] > 0)
        pairs = tf.where(counted, targets * classes + answers, classes**2)
        counts = tf.math.bincount(tf.reshape(pairs, [-1]), minlength=classes**2 + 1, maxlength=classes**2 + 1)
        return loss, tf.reshape(counts[:-1], (classes, classes))

    return step
