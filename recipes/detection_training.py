"""The phases of a detector's training: heads first, then everything; judged by AP50 after each epoch."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from kerasvision.data.boxes import ImageBoxes, place_boxes
from kerasvision.errors import KerasvisionError
from kerasvision.metrics import Detections
from kerasvision.recipes import detection_settings as settings
from kerasvision.recipes.finetuning import batch_size
from kerasvision.recipes.found_boxes import detections_of
from kerasvision.recipes.job import Job
from kerasvision.recipes.phases import Phase, prepare, rehearse, run_phases
from kerasvision.training import Checkpoints, Plan, boxes_on_images
from kerasvision.training.batches import Share, iterate

# Lower than what a user is shown: average precision is taken over all scores.
JUDGED_FROM, OVERLAP = 0.01, 0.5
JUDGE_BATCH = 8


def build_detector(job: Job):
    """Build the detector that the arguments describe; one of the user's own is copied."""
    from kerasvision.detection import build, detector
    from kerasvision.detection.families import family_of

    given, model = job.given, job.given["model"]
    if not isinstance(model, str):
        copied = build(model.spec)
        copied.model.set_weights(model.model.get_weights())
        return copied
    options = family_of(model).scratch if job.strategy.name == "scratch" else {}
    return detector(
        model,
        classes=len(job.data.class_names),
        image_size=job.data.image_size,
        backbone=given["backbone"],
        weights=given["weights"],
        preprocessing=given["preprocessing"],
        **{**options, **(given["options"] or {})},
    )


def with_fitting_anchors(job: Job, detector):
    """Return the detector with anchors that fit the training boxes, and note how many these cover."""
    from kerasvision.detection.anchor_fit import fit_anchors, has_anchors

    given = job.given
    if not has_anchors(detector.head):
        return detector
    change = (
        given["anchors"] == "auto"
        and isinstance(given["model"], str)
        and not settings.ANCHOR_OPTIONS & set(given["options"] or {})
    )
    boxes = [one.boxes[~one.crowd] for one in seen_boxes(job.data, "train")]
    detector, fit = fit_anchors(detector, np.concatenate(boxes), change=change)
    job.decide(anchors=f"cover {fit.covered:.1%} of the training boxes")
    if fit.options:
        sizes = ", ".join(f"{name}={value}" for name, value in fit.options.items())
        job.decide(anchors=f"{sizes}: cover {fit.covered:.1%} of the training boxes, before {fit.before:.1%}")
    elif fit.covered < settings.BOXES_COVERED:
        job.advise(
            f"{1 - fit.covered:.0%} of the training boxes overlap with no anchor, so they are learnt badly. "
            "Train with larger images, or with a model without anchors (yolo_v8_s)."
        )
    return detector


def train_phases(job: Job, detector) -> list[dict]:
    """Train all phases, each rehearsed before the first begins; return the rows of the history.

    The best weights by the AP50 of the validation images are in `detector.model` afterwards.
    """
    trained = _trained_form(job, detector)
    validation = Validation(trained, job.data, "validation")
    with job.timed("rehearsal"):
        phases = [_prepare(job, trained, validation, *phase) for phase in _phases(job)]
        rehearse(phases, validation)
    if trained is not detector:
        trained.model.set_weights(detector.model.get_weights())
    history = run_phases(job, phases, "AP50")
    if trained is not detector:
        detector.model.set_weights([np.asarray(w) for w in trained.model.weights])
    return history


def _trained_form(job: Job, detector):
    """Return the detector that is trained: itself, or a copy in mixed precision or of a strategy."""
    from kerasvision.detection import build

    distribute = job.given["distribute"]
    if distribute is None and job.precision.policy == "float32":
        return detector
    with distribute.scope() if distribute is not None else nullcontext(), job.precision.active():
        return build(detector.spec)


def _phases(job: Job) -> list[tuple[int, str, int]]:
    epochs = settings.choose_epochs(job.given, job.strategy.name, job.images)
    return [(number, name, count) for number, (name, count) in enumerate(epochs.items())]


def _prepare(job: Job, detector, validation, number: int, phase: str, epochs: int) -> Phase:
    given, plan = job.given, make_plan(job, detector, number, phase, epochs)
    return prepare(
        job,
        detector.model,
        detector.backbone_layers,
        plan,
        augmentation=settings.make_augmentation(given["augment"], given["augment_strength"], plan.seed),
        checkpoints=Checkpoints(job.checkpoints, phase),
        objective=boxes_on_images(detector.head),
        validate=validation,
    )


def make_plan(job: Job, detector, number: int, phase: str, epochs: int) -> Plan:
    """Return how to train in a phase."""
    given = job.given
    train = job.data.splits["train"]
    weights = settings.image_weights(train, len(job.data.class_names)) if given["class_balance"] else None
    return Plan(
        phase=phase,
        epochs=epochs,
        batch_size=batch_size(job),
        learning_rate=given["learning_rate"] or settings.usual_rate(phase, detector.spec.name),
        warmup_epochs=min(2.0, epochs / 5),
        # Another order, and other augmentation, in each phase.
        seed=given["seed"] + number,
        image_weights=weights,
        clip_norm=given["clip_norm"],
        # The rate falls until the end, and much is gained there, so patience is long.
        patience=given["patience"] or (None if phase == "freeze" else max(10, epochs // 2)),
        ema=given["ema"] or None,
        keep_initial=phase == "finetune" and number > 0,
        loss_scaling=job.precision.scales_loss,
    )


class Validation:
    """The loss and the AP of a split, from one pass over its images.

    Args:
        detector: a detector; its weights may change between calls.
        data: a `VisionData` with boxes.
        split: which one.
    """

    def __init__(self, detector, data, split: str):
        self.data, self.split = data, split
        self.classes = len(data.class_names)
        self.truth = seen_boxes(data, split)
        self.step = _judging_step(detector, most_boxes(data))

    def __call__(self) -> dict[str, float]:
        """Return `loss`, `ap50` and `ap`."""
        from kerasvision.metrics import coco_average_precision

        loss, found = self._run(np.arange(len(self.truth)))
        scores = coco_average_precision(self.truth, found, self.classes)
        return {"loss": loss, "ap50": float(scores.ap50 or 0.0), "ap": float(scores.ap or 0.0)}

    def rehearse(self) -> None:
        """Judge one batch, so that what fails, fails now."""
        self._run(np.arange(min(JUDGE_BATCH, len(self.truth))))

    def _run(self, order: np.ndarray) -> tuple[float, list[Detections]]:
        total, found = 0.0, []
        for images, targets, weights in iterate(
            self.data, self.split, order, Share(JUDGE_BATCH, 0, JUDGE_BATCH)
        ):
            losses, selected = self.step(images, targets)
            total += float(np.sum(np.asarray(losses) * weights))
            found += detections_of(selected, int(weights.sum()))
        return total / len(order), found


def _judging_step(detector, most: int):
    import tensorflow as tf

    from kerasvision.detection import select_boxes

    objective, head = boxes_on_images(detector.head), detector.head

    @tf.function(autograph=False)
    def step(images, targets):
        outputs = detector.model(tf.cast(images, tf.float32), training=False)
        boxes, scores = head.decode(outputs)
        size = detector.spec.image_size
        selected = select_boxes(
            boxes, scores, most=most, overlap=OVERLAP, threshold=JUDGED_FROM, image_size=size
        )
        return objective.loss(targets, outputs), selected

    return step


def most_boxes(data) -> int:
    """Return how many boxes an image may be given: 100, or twice as many as the fullest image has."""
    fullest = max(len(one) for part in data.splits.values() for one in part.boxes)
    return max(100, 2 * fullest)


def seen_boxes(data, split: str) -> list[ImageBoxes]:
    """Return the boxes of a split in pixels of the resized images, as far as they are to be seen there."""
    boxes = []
    for one in data.splits[split].boxes:
        placed, kept = place_boxes(one, data.preprocessing)
        boxes.append(replace(one.take(kept), boxes=placed, size=data.image_size, extras=None, segments=None))
    return boxes


def check_detector(detector, data) -> None:
    """Refuse a detector of the user's that does not fit the data.

    Raises:
        KerasvisionError: other classes, or another image size.
    """
    spec = detector.spec
    if spec.classes != len(data.class_names):
        raise KerasvisionError(
            f"`model` was built for {spec.classes} classes, `data` has {len(data.class_names)}: "
            f"{', '.join(data.class_names)}. Build it with classes={len(data.class_names)}."
        )
    if tuple(spec.image_size) != tuple(data.image_size):
        raise KerasvisionError(
            f"`model` takes images of {tuple(spec.image_size)}, `data` has {tuple(data.image_size)}. Load "
            f"the data with image_size={tuple(spec.image_size)}."
        )
