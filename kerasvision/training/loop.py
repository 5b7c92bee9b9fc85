"""The training loop: one for one device, several devices and several machines.

Everything that happens is a function of (seed, step): the order of images, augmentation, dropout, the
learning rate. A training that was killed anywhere therefore goes on as if nothing had happened.
"""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from kerasvision.errors import DivergedError, RunError
from kerasvision.progress import bar
from kerasvision.training.averaging import Average
from kerasvision.training.batches import epoch_order, iterate
from kerasvision.training.checkpoints import Checkpoints
from kerasvision.training.devices import is_chief, place, scope, share_of
from kerasvision.training.objectives import Objective, one_label, softmax_loss, top_1
from kerasvision.training.schedules import warmup_cosine
from kerasvision.training.steps import Group, LossScale, make_train_step, make_validation_step

CHECK_EVERY = 10  # steps between looks at the loss: each look waits for the device


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        phase: a name for history and checkpoints.
        epochs: passes over the training images.
        batch_size: images of a step, over all devices.
        learning_rate: the highest rate of the schedule.
        warmup_epochs: length of the linear rise, in epochs.
        schedule: `(step, steps in all) -> learning rate`, instead of warm-up and cosine; or None.
        seed: of everything random.
        label_smoothing: share of each target that is spread over all classes.
        class_weights: (classes,) weight of an example by its class, or None.
        image_weights: (n,) how often each training image is seen, compared with the others; None: all once an
            epoch.
        order: `epoch (from 0) -> (n,)` indices of the images to show, as many in each epoch, instead of all
            images in a random order; a function of nothing else. Each `batch_size` of them are a batch.
        clip_norm: largest norm of all gradients together, or None.
        patience: end after so many epochs without a better validation score; None: never.
        ema: decay of the average of the weights that is validated and kept, or None.
        loss_scaling: needed for float16.
        keep_initial: the weights that the model comes with count as epoch 0, so that the result is never
            worse than they are on the validation images.
        keep_best: False: the weights of the last epoch are the result, whatever the validation score; for
            experiments whose held-out images must not choose anything.
        checkpoint_seconds: longest time without a checkpoint inside an epoch.
    """

    phase: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: float = 1.0
    schedule: Callable[[int, int], float] | None = None
    seed: int = 0
    label_smoothing: float = 0.0
    class_weights: np.ndarray | None = None
    image_weights: np.ndarray | None = None
    order: Callable[[int], np.ndarray] | None = None
    clip_norm: float | None = 1.0
    patience: int | None = None
    ema: float | None = None
    loss_scaling: bool = False
    keep_initial: bool = False
    keep_best: bool = True
    checkpoint_seconds: float = 60.0


@dataclass(frozen=True)
class Fitted:
    """What a training came to; the model holds the weights of the best epoch.

    Attributes:
        history: one row an epoch: phase, epoch, learning_rate, loss, accuracy, val_loss, val_accuracy,
            seconds; or the names of another objective's scores, and of what it watches.
        best_epoch: its number, from 1; 0 means that the weights of before were best.
        stopped_early: whether `patience` ended it.
    """

    history: list[dict]
    best_epoch: int
    stopped_early: bool


@dataclass
class _State:
    """Where the training is. All of it is in every checkpoint."""

    epoch: int = 0
    step: int = 0  # within the epoch
    sums: list[float] = field(default_factory=list)  # loss, score, weights, what is watched; or none yet
    seconds: float = 0.0  # of this epoch so far
    history: list[dict] = field(default_factory=list)
    best_score: list[float] | None = None
    best_epoch: int = 0
    best: str | None = None
    done: bool = False
    average_updates: int = 0


def fit(
    model,
    data,
    plan: Plan,
    groups: Sequence[Group],
    *,
    augmentation=None,
    checkpoints: Checkpoints | None = None,
    strategy=None,
    loss: Callable = softmax_loss,
    score: Callable = top_1,
    objective: Objective | None = None,
    validate: Callable[[], Mapping[str, float]] | None = None,
    after_epoch: Callable[[list[dict]], None] | None = None,
) -> Fitted:
    """Train a model and leave the weights of its best epoch in it.

    The best epoch is the one with the highest validation score, at the same score the lowest validation
    loss. Without a validation split the last epoch is the best.

    Args:
        model: a built `keras.Model` of one image input; made in the scope of `strategy`.
        data: a `VisionData`, or anything with its `splits`, `class_names` and `iterate`.
        plan: how to train.
        groups: optimizers and the variables that each moves.
        augmentation: `(images, targets) -> (images, targets)` with `.seed_step(step)`, or None.
        checkpoints: where to keep the state; a training found there is gone on with.
        strategy: a `tf.distribute.Strategy` in whose scope model and optimizers were made, or None.
        loss: `(targets, outputs) -> (b,)`.
        score: `(targets, outputs) -> (b,)`, higher is better.
        objective: instead of `loss` and `score`, for labels that are not one class an image.
        validate: called after each epoch instead of the mean loss and score of the validation images; gives
            the value of the objective's name, by which the best epoch is chosen, and others; `loss`, where it
            is among them, breaks ties.
        after_epoch: called after each epoch with the history so far.

    Raises:
        DivergedError: the loss is not finite.
        RunError: the checkpoints are those of another model.
    """
    return Training(
        model,
        data,
        plan,
        groups,
        augmentation=augmentation,
        checkpoints=checkpoints,
        strategy=strategy,
        loss=loss,
        score=score,
        objective=objective,
        validate=validate,
        after_epoch=after_epoch,
    ).run()


class Training:
    """A training that can be rehearsed before it is run; `fit` has the arguments."""

    def __init__(
        self,
        model,
        data,
        plan: Plan,
        groups: Sequence[Group],
        *,
        augmentation=None,
        checkpoints: Checkpoints | None = None,
        strategy=None,
        loss: Callable = softmax_loss,
        score: Callable = top_1,
        objective: Objective | None = None,
        validate: Callable[[], Mapping[str, float]] | None = None,
        after_epoch: Callable[[list[dict]], None] | None = None,
    ):
        self.after_epoch = after_epoch
        self.model, self.data, self.plan, self.groups = model, data, plan, groups
        self.augmentation, self.checkpoints, self.strategy = augmentation, checkpoints, strategy
        self.objective = objective or one_label(
            len(data.class_names),
            label_smoothing=plan.label_smoothing,
            class_weights=plan.class_weights,
            loss=loss,
            score=score,
        )
        self.validates = "validation" in data.splits
        self.validate = validate or self._mean_scores
        self.share = share_of(plan.batch_size, strategy)
        self.steps_per_epoch = -(-len(self._order(0)) // plan.batch_size)
        self.state, self.pending, self.saved_at = _State(), [], time.monotonic()
        with scope(strategy):
            for group in groups:
                group.optimizer.build(list(group.variables))
            self.scale = LossScale(plan.loss_scaling)
            self.average = Average(model, plan.ema) if plan.ema else None
        self.train_step = make_train_step(
            model,
            groups,
            self.objective,
            batch_size=plan.batch_size,
            clip_norm=plan.clip_norm,
            scale=self.scale,
            augmentation=augmentation,
            strategy=strategy,
        )
        self.validation_step = make_validation_step(model, self.objective, strategy=strategy)
        self.seeds = [v for v in model.variables if v.name == "seed_generator_state"]
        self.seeds += self.objective.seeds

    def run(self, until: int | None = None) -> Fitted:
        """Train, or go on; return when the best weights are in the model.

        Args:
            until: pause after so many epochs, counted from the first, with the weights of that epoch in the
                model; another call goes on. So trainings can take turns.
        """
        self._resume()
        state, total = self.state, self.plan.epochs * self.steps_per_epoch
        last = self.plan.epochs if until is None else min(until, self.plan.epochs)
        if self.average and not state.step and not state.epoch:
            self.average.restart()
        if self.plan.keep_initial and not state.history and not state.step and self.validates:
            self._end_epoch(trained=False)
        with bar(f"{self.plan.phase}: steps", total) as advance:
            advance(state.epoch * self.steps_per_epoch + state.step)
            while not state.done and state.epoch < last:
                self._train_epoch(advance)
                self._end_epoch(trained=True)
        if state.done or state.epoch >= self.plan.epochs:
            self._take_best()
        return Fitted(state.history, state.best_epoch, state.done and state.epoch < self.plan.epochs)

    @property
    def begun(self) -> bool:
        """Whether there are checkpoints to go on with."""
        return bool(self.checkpoints and self.checkpoints.files())

    def rehearse(self) -> None:
        """Take one step on a real batch and undo it: what fails, fails now, and the graph is ready."""
        kept = [(v, np.asarray(v)) for vs in self._variables().values() for v in vs]
        self._one_step(next(iterate(self.data, "train", self._order(0), self.share)))
        self._collect()
        for variable, value in kept:
            variable.assign(value)
        self.state = _State()

    def _train_epoch(self, advance) -> None:
        state, order = self.state, self._order(self.state.epoch)
        started = time.monotonic() - state.seconds
        for batch in iterate(self.data, "train", order, self.share, start=state.step):
            self._one_step(batch)
            state.seconds = time.monotonic() - started
            if len(self.pending) >= CHECK_EVERY or state.step == self.steps_per_epoch:
                self._collect()
            if time.monotonic() - self.saved_at > self.plan.checkpoint_seconds:
                self._save()
            advance(1, self._note())

    def _order(self, epoch: int) -> np.ndarray:
        plan, count = self.plan, len(self.data.splits["train"].labels)
        if plan.order is not None:
            return plan.order(epoch)
        return epoch_order(count, seed=plan.seed, epoch=epoch, weights=plan.image_weights)

    def _one_step(self, batch) -> None:
        state = self.state
        step = state.epoch * self.steps_per_epoch + state.step
        self._seed_step(step)
        rate = self._rate(step)
        for group in self.groups:
            group.optimizer.learning_rate = rate * group.rate
        self.pending.append((state.step, rate, self.train_step(*place(self.strategy, batch))))
        if self.average:
            self.average.update()
        state.step += 1

    def _rate(self, step: int) -> float:
        plan, per_epoch = self.plan, self.steps_per_epoch
        if plan.schedule is not None:
            return plan.schedule(step, plan.epochs * per_epoch)
        return warmup_cosine(
            step,
            peak=plan.learning_rate,
            steps=plan.epochs * per_epoch,
            warmup=round(plan.warmup_epochs * per_epoch),
        )

    def _seed_step(self, step: int) -> None:
        if self.augmentation is not None:
            self.augmentation.seed_step(step)
        for number, state in enumerate(self.seeds):
            seed = zlib.crc32(f"{self.plan.seed} {step} {number}".encode()) >> 1
            state.assign(np.array([seed, 0], dtype="int64").astype(state.dtype))

    def _collect(self) -> None:
        """Add up the pending steps and stop at a loss that is not finite."""
        for step, rate, sums in self.pending:
            values = np.asarray(sums, np.float64)
            if not np.isfinite(values[0]):
                message = self._explain(values[0], step, rate)
                raise DivergedError(message, epoch=self.state.epoch + 1, step=step + 1)
            before = self.state.sums or [0.0] * len(values)
            self.state.sums = [a + float(b) for a, b in zip(before, values, strict=True)]
        self.pending.clear()

    def _explain(self, value: float, step: int, rate: float) -> str:
        kept = f" The checkpoint of before is in {self.checkpoints.folder}." if self.checkpoints else ""
        return (
            f"The loss became {value} in epoch {self.state.epoch + 1}, step {step + 1} of "
            f"{self.steps_per_epoch} ({self.plan.phase}, learning rate {rate:.3g}). Train in a new folder "
            f"with a lower `learning_rate`, for example {self.plan.learning_rate / 10:.3g}; if that does not "
            f"help, with `mixed_precision=False`.{kept}"
        )

    def _end_epoch(self, *, trained: bool) -> None:
        state, started = self.state, time.monotonic()
        if self.average and trained:
            self.average.swap()
        validation = self.validate() if self.validates else None
        score = self._score(validation) if validation else None
        better = not self.plan.keep_best or state.best_score is None or score > state.best_score
        if trained:
            self._count_epoch(validation, time.monotonic() - started)
        if better:
            state.best_score, state.best_epoch = score, state.epoch
            state.best = self._keep_best()
        if self.average and trained:
            self.average.swap()
        patience = self.plan.patience
        state.done = (
            validation is not None and patience is not None and state.epoch - state.best_epoch >= patience
        )
        self._save()
        if self.after_epoch and trained:
            self.after_epoch(state.history)

    def _score(self, validation: Mapping[str, float]) -> list[float]:
        """Return what the best epoch is chosen by: the value of the objective's name, then the loss."""
        return [validation[self.objective.name], -validation["loss"] if "loss" in validation else 0.0]

    def _count_epoch(self, validation, seconds: float) -> None:
        state = self.state
        loss_sum, score_sum, weights, *figures = state.sums
        name = self.objective.name
        row = {
            "phase": self.plan.phase,
            "epoch": state.epoch + 1,
            "learning_rate": self._rate(state.epoch * self.steps_per_epoch + state.step - 1),
            "loss": loss_sum / weights,
            **({name: score_sum / weights} if self.objective.score else {}),
            **{key: sum_ / weights for key, sum_ in zip(self.objective.watched, figures, strict=True)},
            **{f"val_{k}": v for k, v in (validation or {"loss": None, name: None}).items()},
            "seconds": state.seconds + seconds,
        }
        state.history.append(row)
        state.epoch, state.step, state.sums, state.seconds = state.epoch + 1, 0, [], 0.0

    def _mean_scores(self) -> dict[str, float]:
        return dict(zip(("loss", self.objective.name), self.evaluate("validation"), strict=True))

    def evaluate(self, split: str) -> tuple[float, float]:
        """Return the mean loss and score of the model as it is now on a split, without augmentation."""
        total = np.zeros(3)
        order = np.arange(len(self.data.splits[split].labels))
        for batch in iterate(self.data, split, order, self.share):
            total += np.asarray(self.validation_step(*place(self.strategy, batch)), np.float64)
        return float(total[0] / total[2]), float(total[1] / total[2])

    def _note(self) -> str:
        note = f"epoch {self.state.epoch + 1}/{self.plan.epochs}"
        if not self.state.sums:
            return note
        loss_sum, score_sum, weights, *_ = self.state.sums
        name, last = self.objective.name, (self.state.history or [{}])[-1].get(f"val_{self.objective.name}")
        note += f" loss {loss_sum / weights:.3f}"
        note += f" {name} {score_sum / weights:.3f}" if self.objective.score else ""
        return note if last is None else f"{note} (validation {name} {last:.3f})"

    # Checkpoints

    def _variables(self) -> dict[str, list]:
        kept = {"model": self.model.weights, "scale": self.scale.variables}
        kept |= {f"optimizer{i}": group.optimizer.variables for i, group in enumerate(self.groups)}
        return kept | ({"average": self.average.weights} if self.average else {})

    def _save(self) -> None:
        self._collect()
        if self.average:
            self.state.average_updates = self.average.updates
        if self.checkpoints and is_chief(self.strategy):
            step = self.state.epoch * self.steps_per_epoch + self.state.step
            arrays = {
                f"{name}/{i:05d}": np.asarray(v)
                for name, vs in self._variables().items()
                for i, v in enumerate(vs)
            }
            self.checkpoints.save(step, arrays, asdict(self.state))
        self.saved_at = time.monotonic()

    def _keep_best(self) -> str | None:
        weights = {f"{i:05d}": np.asarray(w) for i, w in enumerate(self.model.weights)}
        if self.checkpoints is None:
            self.best_weights = weights
        elif is_chief(self.strategy):
            facts = {"score": self.state.best_score}
            return self.checkpoints.save_best(self.state.best_epoch, weights, facts)
        return f"{self.plan.phase}-best-{self.state.best_epoch:05d}.npz" if self.checkpoints else None

    def _take_best(self) -> None:
        weights = self.checkpoints.best(self.state.best) if self.checkpoints else self.best_weights
        _assign(self.model.weights, [weights[k] for k in sorted(weights)], "model")

    def _resume(self) -> None:
        found = self.checkpoints.newest() if self.checkpoints else None
        if found is None:
            return
        arrays, facts = found
        for name, variables in self._variables().items():
            keys = sorted(k for k in arrays if k.startswith(f"{name}/"))
            _assign(variables, [arrays[k] for k in keys], name)
        self.state = _State(**facts)
        if self.average:
            self.average.updates = self.state.average_updates


def _assign(variables: Sequence, arrays: Sequence[np.ndarray], what: str) -> None:
    shapes, wanted = [a.shape for a in arrays], [tuple(v.shape) for v in variables]
    if shapes != wanted:
        raise RunError(
            f"The checkpoint is that of another training: its {what} has {len(shapes)} arrays that do not "
            f"fit the {len(wanted)} here. Train in a new folder."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
