"""`degradation`: deeper plain networks are harder to train than shallower ones, residual ones are not."""

import os
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from kerasvision.errors import DataError, DivergedError, KerasvisionError
from kerasvision.files import make_folder, write_csv, write_json
from kerasvision.progress import say
from kerasvision.recipes import degradation_training as training_of
from kerasvision.recipes import run_folder, settings
from kerasvision.recipes.degradation_study import (
    COLUMNS,
    FORMAT,
    KIND,
    RESULTS,
    DegradationStudy,
    read_results,
)
from kerasvision.recipes.degradation_training import TrainAndTest, Variant
from kerasvision.training import choose_precision
from kerasvision.training.locking import only_process

INITIALIZERS = ("he_normal", "glorot_uniform")
HISTORY = "history.csv"
DRAW_EVERY = 300.0  # seconds between looks at a study that is still running
# What may differ from call to call: more networks can join a study.
NETWORKS = ("networks", "initializers", "batch_norms")


def degradation(
    data,
    out: str | os.PathLike,
    *,
    networks: Sequence[str] = ("plainnet20", "plainnet56", "resnet20", "resnet56"),
    epochs: int = 182,
    initializers: Sequence[str] = ("he_normal",),
    batch_norms: Sequence[bool] = (True,),
    batch_size: int = 128,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    warmup_epochs: float = 0.0,
    augment: str | None = "pad_crop+flip",
    mixed_precision: str | bool = False,
    seed: int = 0,
) -> DegradationStudy:
    """Train plain and residual networks of several depths side by side, and draw their error curves.

    The experiment of He et al. 2015, section 4.2 and figure 6, with their settings: SGD with momentum, the
    learning rate divided by ten at half and at three quarters of the budget, He initialisation, no dropout.
    All networks take turns epoch by epoch, so that a study that is interrupted can be compared. Called again
    with the same arguments it goes on where it was, and finished networks are not trained again; further
    `networks`, `initializers` and `batch_norms` join those that are there. A network whose loss becomes
    infinite or no number has diverged: that is a result, and the others go on.

    What differs from the paper: of each channel the mean and deviation of ImageNet are taken off (the paper
    takes off the mean of each pixel), and the penalty is on kernels only, not on biases and on the parameters
    of BatchNorm, of which the paper says nothing.

    Args:
        data: a `VisionData` for classification at 32 pixels or so, with training images and with test images
            (or, failing these, validation images); for CIFAR-10 `kv.data.from_tfds("cifar10", image_size=32,
            validation_fraction=0)`, or `kv.data.from_arrays` with its `test`.
        out: folder of the study; created. It holds `results.json`, `degradation.svg` and `.png`,
            `report.html`, and for each network a folder with `history.csv`, `model.keras` and, while it
            trains, checkpoints.
        networks: names in `kerasvision.models` with the options `initializer` and `batch_norm`.
        epochs: passes over the training images. The paper's 64,000 steps are 182 epochs of its 45,000 images,
            days on a laptop: give fewer there, the drops of the rate move with it.
        initializers: of the convolutions, `"he_normal"`, `"glorot_uniform"`; each is tried with each network.
        batch_norms: with BatchNorm, without, or both; each is tried with each network.
        batch_size: images of a step.
        learning_rate: of the first half of the budget. With few steps an epoch give less: on 4,000 images
            0.1 threw ResNet-56 back to guessing for 250 steps, 0.03 did not.
        momentum: of SGD.
        weight_decay: of the L2 penalty on kernels, which takes part in the momentum as in the paper.
        warmup_epochs: begin with a tenth of the rate for so long; the paper does so for 110 layers, for about
            400 steps.
        augment: None, or what `kerasvision.data.augmentation` takes.
        mixed_precision: False as in the paper, `"auto"` (where the device gains), `"mixed_float16"` or
            `"mixed_bfloat16"`.
        seed: of the initial weights, the order of images and augmentation, the same for all networks.

    Returns:
        The study: curves, `.table()`, `.findings`.

    Raises:
        KerasvisionError: an argument is not accepted.
        DataError: data that cannot be trained on or have no held-out images.
        RunError: `out` holds something else, a study with other arguments or data, or one that is running.

    Sources: He et al., Deep residual learning for image recognition, 2015; He et al., Delving deep into
    rectifiers, 2015; Glorot and Bengio, Understanding the difficulty of training deep networks, 2010.
    """
    given = dict(locals())
    variants, arguments = _checked(given)
    held_out = _held_out(data)
    out = make_folder(out)
    with only_process(out):
        record = _open(out, arguments, data, held_out)
        _enter(record, variants, data, given["epochs"])
        write_json(out / RESULTS, record)
        _clean_up(out, record)
        unfinished = [v for v in variants if record["networks"][v.name]["status"] == "training"]
        if unfinished:
            _Experiment(out, record, TrainAndTest(data, held_out), given).run(unfinished)
        return _show(out)


class _Experiment:
    """The networks that train, in turns; everything that must survive is in their folders and `record`."""

    def __init__(self, out: Path, record: dict, view: TrainAndTest, given: Mapping):
        self.out, self.record, self.view, self.given = out, record, view, given
        self.live, self.drawn = {}, time.monotonic()

    def run(self, variants: Sequence[Variant]) -> None:
        """Train all networks epoch by epoch."""
        for epoch in range(1, self.given["epochs"] + 1):
            took_part = [v for v in variants if self._epoch(v, epoch)]
            if took_part:
                say(self._news(took_part, epoch))
            if time.monotonic() - self.drawn > DRAW_EVERY:
                _show(self.out)
                self.drawn = time.monotonic()

    def _epoch(self, variant: Variant, epoch: int) -> bool:
        """Bring a network to an epoch; tell whether there was anything to do."""
        facts, last = self.record["networks"][variant.name], self.given["epochs"]
        done = len(facts["history"])
        if facts["status"] != "training" or (done >= epoch and done < last):
            return False
        folder = make_folder(self.out / variant.name)
        training = self._training(variant)
        facts["parameters"] = training.model.count_params()
        try:
            training.run(until=epoch)
        except DivergedError as error:
            facts |= {"status": "diverged", "diverged": {"epoch": error.epoch, "step": error.step}}
        facts["history"] = training_of.rows_of(training.state.history)
        if facts["status"] == "training" and len(facts["history"]) == last:
            self._finish(training, facts, folder)
        self._write(variant, facts, folder)
        if facts["status"] != "training":
            self.live.pop(variant)
            training_of.forget_checkpoints(folder)
        return True

    def _training(self, variant: Variant):
        if variant not in self.live:
            self.live[variant] = training_of.open_training(variant, self.view, self.out, self.given)
        return self.live[variant]

    def _finish(self, training, facts: dict, folder: Path) -> None:
        loss, score = training.evaluate("train")
        if not np.isfinite(loss):
            steps = training.steps_per_epoch
            facts |= {"status": "diverged", "diverged": {"epoch": len(facts["history"]), "step": steps}}
            return
        facts |= {"status": "trained", "clean_training_loss": loss, "clean_training_error": 1.0 - score}
        run_folder.save_model(folder, training.model)

    def _write(self, variant: Variant, facts: Mapping, folder: Path) -> None:
        write_csv(folder / HISTORY, COLUMNS, [[row[c] for c in COLUMNS] for row in facts["history"]])
        write_json(self.out / RESULTS, self.record)

    def _news(self, variants: Sequence[Variant], epoch: int) -> str:
        news, seconds = [], 0.0
        for variant in variants:
            facts = self.record["networks"][variant.name]
            if facts["status"] == "diverged":
                news.append(f"{variant.name} diverged")
                continue
            row = facts["history"][-1]
            news.append(f"{variant.name} {row['training_error']:.1%} / {row['test_error']:.1%}")
            seconds += row["seconds"] * (self.given["epochs"] - epoch)
        left = f"; about {seconds / 60:.0f} minutes left" if seconds else ""
        return f"Epoch {epoch} of {self.given['epochs']}, training / test error: {', '.join(news)}{left}."


def _show(out: Path) -> DegradationStudy:
    from kerasvision.recipes.degradation_page import write_page

    study = DegradationStudy.load(out)
    write_page(study)
    return study


def _open(out: Path, arguments: Mapping, data, held_out: str) -> dict:
    """Return the record of the study in a folder, a new one where there is none."""
    record = read_results(out)
    if record is None:
        run_folder.refuse_foreign(out, "degradation study")
        facts = run_folder.new_record(arguments, data)
        facts |= {"format": FORMAT, "kind": KIND, "held_out": held_out, "networks": {}}
        return {k: v for k, v in facts.items() if k not in ("decided", "seconds", "status")}
    run_folder.check_same(out, record, arguments, data)
    say(f"Going on with the study in {out}.")
    return record


def _enter(record: dict, variants: Sequence[Variant], data, epochs: int) -> None:
    """Add the networks that are new to a study."""
    counts = list(data.counts["train"].values())
    for variant in variants:
        if variant.name not in record["networks"]:
            record["networks"][variant.name] = {
                "network": variant.network,
                "initializer": variant.initializer,
                "batch_norm": variant.batch_norm,
                "epochs": epochs,
                "guessing": 1.0 - max(counts) / sum(counts),
                "status": "training",
                "history": [],
            }


def _clean_up(out: Path, record: Mapping) -> None:
    """Delete what a study that was killed left behind."""
    run_folder.remove_half_written(out)
    for name, facts in record["networks"].items():
        if facts["status"] != "training":
            training_of.forget_checkpoints(out / name)


def _held_out(data) -> str:
    settings.check_classification(data)
    for split in ("test", "validation"):
        if split in data.splits and len(data.splits[split].labels):
            return split
    raise DataError(
        f"`data` has no test images and no validation images. It has: {', '.join(data.splits)}. Load it with "
        "test_fraction=0.2, for example."
    )


def _checked(given: Mapping) -> tuple[list[Variant], dict]:
    """Check the arguments; return the networks, and what must be the same to go on."""
    from kerasvision.models import entry

    numbers = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "warmup_epochs", "seed")
    settings.check_numbers(**{name: given[name] for name in numbers})
    if given["warmup_epochs"] > given["epochs"]:
        given_epochs = f"{given['warmup_epochs']} of {given['epochs']}"
        raise KerasvisionError(f"`warmup_epochs` must be at most `epochs`. Received: {given_epochs}.")
    settings.check_augment(given["augment"], 0.5)
    choose_precision(given["mixed_precision"])
    for name in NETWORKS:
        if isinstance(given[name], str) or not isinstance(given[name], Sequence) or not given[name]:
            raise KerasvisionError(f"`{name}` must be a list of one or more. Received: {given[name]!r}.")
    unknown = [name for name in given["initializers"] if name not in INITIALIZERS]
    if unknown:
        raise KerasvisionError(
            f"`initializers` must be of {', '.join(map(repr, INITIALIZERS))}. Received: {unknown[0]!r}."
        )
    if not all(isinstance(value, bool) for value in given["batch_norms"]):
        raise KerasvisionError(
            f"`batch_norms` must be True, False, or both. Received: {given['batch_norms']}."
        )
    names = [entry(name).name for name in given["networks"]]
    for name in names:
        training_of.check_options(name)
    chosen = product(given["initializers"], given["batch_norms"], names)
    variants = [Variant(name, initializer, batch_norm) for initializer, batch_norm, name in chosen]
    arguments = {k: v for k, v in given.items() if k not in ("data", "out", *NETWORKS)}
    return list(dict.fromkeys(variants)), arguments
