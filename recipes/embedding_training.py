"""The phases of an embedder's training, judged after each epoch by verification of identities never seen."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import numpy as np

from kerasvision.metrics import verify_embeddings
from kerasvision.progress import say
from kerasvision.recipes import embedding_settings as settings
from kerasvision.recipes.embedding_judging import MOST_VALIDATED, chosen_images
from kerasvision.recipes.job import Job
from kerasvision.recipes.phases import Phase, make_schedule, prepare, rehearse, run_phases
from kerasvision.training import Checkpoints, Plan, identities_of_images
from kerasvision.training.batches import Share, iterate

JUDGE_BATCH = 32
FIGURE = "true_accept_rate"
MOST_SOLVED = 5_000  # training images that the projection is solved on


def build_embedder(job: Job):
    """Build the embedder that the arguments describe; a whole one of the user's is copied."""
    from kerasvision.embedding import embedder
    from kerasvision.models import graph

    given = job.given
    if settings.is_embedder(given["backbone"]):
        return graph.copy(given["backbone"])
    return embedder(given["backbone"], weights=given["weights"], **settings.builder_options(given))


def solve_head(job: Job, embedder) -> None:
    """Give the projection of a new head the solution on the backbone's features of the training images.

    Nothing is done for networks that have no new head, or a backbone that knows nothing.
    """
    if not settings.solves_head(job.given, job.strategy.name):
        return
    import keras

    from kerasvision.embedding.projection import set_projection, solve_projection
    from kerasvision.training import make_engine

    layer = embedder.get_layer("head_projection")
    indices = chosen_images(job.data, "train", MOST_SOLVED, job.given["seed"])
    say(f"Solving for the projection on the features of {len(indices):,} training images.")
    features = make_engine(keras.Model(embedder.inputs[0], layer.input), len(indices), "graph").run
    batches = iterate(job.data, "train", indices, Share(JUDGE_BATCH, 0, JUDGE_BATCH))
    found = np.concatenate([features(images) for images, *_ in batches])[: len(indices)]
    labels = np.asarray(job.data.splits["train"].labels)[indices]
    set_projection(layer, *solve_projection(found, labels, layer.units))


def train_phases(job: Job, embedder) -> list[dict]:
    """Train all phases, each rehearsed before the first begins; return the rows of the history.

    The weights that tell the validation identities apart best are in `embedder` afterwards.
    """
    from kerasvision.embedding import backbone_layers

    loss = settings.make_loss(job.given)
    identities = np.unique(job.data.splits["train"].labels)
    trained_embedder, trained = _trained_form(job, embedder, loss, len(identities))
    objective = identities_of_images(loss, identities, name=FIGURE)
    validation, watch = Validation(job, trained_embedder, loss), CollapseWatch(loss)
    parts = {"objective": objective, "validate": validation, "after_epoch": watch}
    inside = backbone_layers(trained_embedder)
    with job.timed("rehearsal"):
        phases = [_prepare(job, trained, inside, parts, *phase) for phase in _phases(job)]
        rehearse(phases, validation)
    history = run_phases(job, phases, "the share of accepted pairs")
    if trained_embedder is not embedder:
        embedder.set_weights([np.asarray(w) for w in trained_embedder.weights])
    sentence = watch.advice([row for row in history if row["phase"] == history[-1]["phase"]])
    if sentence:
        job.advise(sentence)
    return history


def _trained_form(job: Job, embedder, loss, identities: int):
    """Return the embedder that is trained, and the network that is: with cosines where the loss takes these.

    In mixed precision or under a strategy it is another one with the same weights.
    """
    from kerasvision.embedding import with_class_cosines

    distribute = job.given["distribute"]
    other = distribute is not None or job.precision.policy != "float32"
    with distribute.scope() if distribute is not None else nullcontext():
        if other:
            with job.precision.active():
                # With the weights: the preprocessing of their pixels is in the graph.
                form = build_embedder(job)
            form.set_weights(embedder.get_weights())
        else:
            form = embedder
        if loss.takes == "embedding":
            return form, form
        return form, with_class_cosines(form, identities)


def _phases(job: Job) -> list[tuple[int, str, int]]:
    steps = len(settings.make_order(job.given, job.data, job.given["seed"])(0)) // batch_size(job)
    epochs = settings.choose_epochs(job.given, job.strategy.name, steps)
    return [(number, name, count) for number, (name, count) in enumerate(epochs.items())]


def batch_size(job: Job) -> int:
    """Return the images of a step: identities times images of each."""
    return job.given["identities"] * job.given["per_identity"]


def _prepare(job: Job, model, inside, parts: dict, number: int, phase: str, epochs: int) -> Phase:
    given, plan = job.given, make_plan(job, number, phase, epochs)
    return prepare(
        job,
        model,
        inside,
        plan,
        augmentation=settings.make_augmentation(given["augment"], given["augment_strength"], plan.seed),
        checkpoints=Checkpoints(job.checkpoints, phase),
        **parts,
    )


def make_plan(job: Job, number: int, phase: str, epochs: int) -> Plan:
    """Return how to train in a phase."""
    given = job.given
    rate = given["learning_rate"] or settings.HEAD_RATE[phase]
    seed = given["seed"] + number  # another order, and other augmentation, in each phase
    return Plan(
        phase=phase,
        epochs=epochs,
        batch_size=batch_size(job),
        learning_rate=rate,
        schedule=make_schedule(given["schedule"], peak=rate, epochs=epochs),
        seed=seed,
        order=settings.make_order(given, job.data, seed),
        clip_norm=given["clip_norm"],
        patience=given["patience"] or (None if phase == "freeze" else max(10, epochs // 2)),
        ema=given["ema"] or None,
        keep_initial=phase != "scratch" and (number > 0 or settings.starts_good(given, phase)),
        loss_scaling=job.precision.scales_loss,
    )


class Validation:
    """How well an embedder tells apart the identities of the validation split, which it never saw.

    Args:
        job: the run in the making.
        embedder: images -> embeddings; its weights may change between calls.
        loss: an `EmbeddingLoss`; one that takes embeddings is measured too.
    """

    def __init__(self, job: Job, embedder, loss):
        self.data, self.given = job.data, job.given
        labels = job.data.splits["validation"].labels
        self.indices = chosen_images(job.data, "validation", MOST_VALIDATED, job.given["seed"])
        self.labels = np.asarray(labels)[self.indices]
        self.step = _embedding_step(embedder)
        self.loss = _MeanLoss(job.given, loss, self.labels) if loss.takes == "embedding" else None

    def __call__(self) -> dict[str, float]:
        """Return `true_accept_rate` at the stated rate of false accepts, `eer`, `auc`, and perhaps `loss`."""
        embeddings, rate = self._run(self.indices), self.given["false_accept_rate"]
        found = verify_embeddings(
            embeddings,
            self.labels,
            distance=self.given["distance"],
            false_accept_rates=(rate,),
            repeats=0,
        )
        figures = {FIGURE: found.at(rate).true_accept_rate, "eer": found.eer, "auc": found.auc}
        return figures if self.loss is None else figures | {"loss": self.loss(embeddings)}

    def rehearse(self) -> None:
        """Embed one batch, so that what fails, fails now."""
        self._run(self.indices[:JUDGE_BATCH])

    def _run(self, order: np.ndarray) -> np.ndarray:
        batches = iterate(self.data, "validation", order, Share(JUDGE_BATCH, 0, JUDGE_BATCH))
        return np.concatenate([np.asarray(self.step(images)) for images, *_ in batches])[: len(order)]


def _embedding_step(embedder):
    import tensorflow as tf

    @tf.function(autograph=False)
    def step(images):
        return tf.cast(embedder(tf.cast(images, tf.float32), training=False), tf.float32)

    return step


class _MeanLoss:
    """The loss of embeddings in batches of the same make as those of training, always the same ones."""

    def __init__(self, given: Mapping, loss, labels: np.ndarray):
        from kerasvision.embedding import identity_order

        self.loss, self.labels = loss, labels
        identities = min(given["identities"], len(np.unique(labels)))
        order = identity_order(labels, identities=identities, per_identity=given["per_identity"])
        self.batches = order.reshape(-1, identities * given["per_identity"])

    def __call__(self, embeddings: np.ndarray) -> float:
        losses = [np.mean(self.loss(self.labels[batch], embeddings[batch])) for batch in self.batches]
        return float(np.mean(losses))


class CollapseWatch:
    """Says after an epoch, once, when the loss sits where an embedding without knowledge has it.

    Args:
        loss: an `EmbeddingLoss`, whose `level` that is.
    """

    def __init__(self, loss):
        self.loss, self.spoken = loss, False

    def __call__(self, rows: Sequence[Mapping]) -> None:
        """Look at the rows of the history so far."""
        sentence = self.advice(rows)
        if sentence and not self.spoken:
            say(f"Epoch {rows[-1]['epoch']}: {sentence}")
        self.spoken = sentence is not None

    def advice(self, rows: Sequence[Mapping]) -> str | None:
        """Return what to do about the last rows of a history, or None."""
        from kerasvision.embedding import collapse_advice

        return collapse_advice(rows, level=self.loss.level)
