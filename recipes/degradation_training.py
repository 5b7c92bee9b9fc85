"""One network of the degradation experiment: built, trained as in the paper, measured, kept."""

import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kerasvision.errors import KerasvisionError
from kerasvision.training import Checkpoints, Group, Plan, Training, choose_precision, stepwise

CHECKPOINTS, PHASE = "checkpoints", "training"
IN_MEMORY = 2 << 30  # bytes of pixels that are kept in memory; CIFAR-10 has 184 MB
DROPS = (0.5, 0.75)  # shares of the budget: 32k and 48k of 64k steps


@dataclass(frozen=True)
class Variant:
    """A network, its initialisation, and whether it has BatchNorm."""

    network: str
    initializer: str
    batch_norm: bool

    @property
    def name(self) -> str:
        """Return the name of its folder; what is usual goes without saying."""
        initializer = "" if self.initializer == "he_normal" else f"-{self.initializer}"
        return f"{self.network}{initializer}{'' if self.batch_norm else '-no_batchnorm'}"


class TrainAndTest:
    """The two splits of the experiment as the training loop takes them, in memory where they fit.

    The loop measures after each epoch on what it calls "validation": here, the held-out images.
    """

    def __init__(self, data, held_out: str):
        """Read all images, unless there are too many."""
        names = {"train": "train", "validation": held_out}
        self.data, self.names, self.class_names = data, names, data.class_names
        self.splits = {name: data.splits[split] for name, split in names.items()}
        count = sum(len(part.labels) for part in self.splits.values())
        fits = count * int(np.prod(data.image_size)) * 3 <= IN_MEMORY
        self.pixels = {
            name: data.images(split, np.arange(len(data.splits[split].labels))) if fits else None
            for name, split in names.items()
        }

    def iterate(self, split: str, *, batch_size: int, order: np.ndarray) -> Iterator[tuple]:
        """Yield (images uint8, labels int32) in this order."""
        pixels, labels = self.pixels[split], self.splits[split].labels
        if pixels is None:
            yield from self.data.iterate(self.names[split], batch_size=batch_size, order=order)
            return
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield pixels[chosen], labels[chosen]


def check_options(network: str) -> None:
    """Refuse a network without the two options of the experiment.

    Raises:
        KerasvisionError: its builder has no options `initializer` and `batch_norm`.
        ValueError: there is no such network.
    """
    from inspect import signature

    from kerasvision.models import entry

    known = signature(entry(network).builder).parameters
    missing = [name for name in ("initializer", "batch_norm") if name not in known]
    if missing:
        raise KerasvisionError(
            "`networks` must be networks with the options `initializer` and `batch_norm`, such as plainnet20 "
            f"or resnet56; {network!r} has no {' and no '.join(missing)}."
        )


def build_network(variant: Variant, *, classes: int, image_size: tuple[int, int], seed: int):
    """Build a network from raw RGB in [0, 255] to probabilities, its weights drawn from the seed."""
    import keras

    from kerasvision.models import entry
    from kerasvision.models.preprocessing import preprocess

    known, state = entry(variant.network), random.getstate()
    random.seed(seed)  # from here Keras' initializers without a seed take theirs
    try:
        image = keras.Input((*image_size, 3), dtype="float32", name="image")
        network = known.builder(
            input_tensor=preprocess(image, known.preprocessing),
            classes=classes,
            initializer=variant.initializer,
            batch_norm=variant.batch_norm,
        )
        return keras.Model(image, network.outputs[0], name=known.name)
    finally:
        random.setstate(state)


def open_training(variant: Variant, view: TrainAndTest, folder: Path, given: Mapping) -> Training:
    """Return a training of a network, which goes on where the checkpoints in its folder end."""
    precision = choose_precision(given["mixed_precision"])
    with precision.active():
        model = build_network(
            variant,
            classes=len(view.class_names),
            image_size=view.data.image_size,
            seed=given["seed"],
        )
    plan = Plan(
        phase=variant.name,
        epochs=given["epochs"],
        batch_size=min(given["batch_size"], len(view.splits["train"].labels)),
        learning_rate=given["learning_rate"],
        schedule=paper_schedule(given["learning_rate"], given["warmup_epochs"] / given["epochs"]),
        seed=given["seed"],
        clip_norm=None,
        loss_scaling=precision.scales_loss,
        keep_best=False,  # by the test error: that would be choosing by it
    )
    return Training(
        model,
        view,
        plan,
        make_groups(model, given),
        augmentation=_augmentation(given),
        checkpoints=Checkpoints(folder / variant.name / CHECKPOINTS, PHASE),
    )


def paper_schedule(learning_rate: float, warmup: float):
    """Return `(step, steps) -> rate`: a tenth from half of the steps on, a hundredth from three quarters on.

    Args:
        learning_rate: of the first half.
        warmup: share of the steps that begin with a tenth of it.
    """

    def rate(step: int, steps: int) -> float:
        drops = [round(share * steps) for share in DROPS]
        return stepwise(step, peak=learning_rate, drops=drops, warmup=round(warmup * steps))

    return rate


def make_groups(model, given: Mapping) -> list[Group]:
    """Return the kernels, with the L2 penalty, and the rest, without."""
    import keras

    sgd = partial(keras.optimizers.SGD, given["learning_rate"], momentum=given["momentum"])
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    known = {id(v) for v in kernels}
    others = [v for v in model.trainable_variables if id(v) not in known]
    return [Group(sgd(), kernels, l2=given["weight_decay"]), Group(sgd(), others)]


def _augmentation(given: Mapping):
    if given["augment"] in (None, "none"):
        return None
    from kerasvision.data import augmentation

    return augmentation(given["augment"], seed=given["seed"])


def forget_checkpoints(folder: Path) -> None:
    """Delete what only going on needed."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def rows_of(history: list[dict]) -> list[dict]:
    """Return the loop's history as errors."""
    return [
        {
            "epoch": row["epoch"],
            "learning_rate": row["learning_rate"],
            "training_loss": _finite(row["loss"]),
            "training_error": 1.0 - row["accuracy"],
            "test_loss": _finite(row["val_loss"]),
            "test_error": 1.0 - row["val_accuracy"],
            "seconds": row["seconds"],
        }
        for row in history
    ]


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold; a network on the verge of diverging has infinite test losses."""
    return value if np.isfinite(value) else None
