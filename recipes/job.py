"""What one training knows: its arguments, data, record and the decisions made; shared by its phases."""

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.recipes import run_folder, settings
from kerasvision.training.precision import Precision, choose_precision


@dataclass(frozen=True, eq=False)
class Job:
    """A run in the making.

    Attributes:
        out: the run folder.
        record: what run.json holds; phases add to it.
        data: a `VisionData`.
        given: the arguments of `train_classifier`.
        strategy: what is trained, and why.
        precision: the dtype policy for training.
        class_weights: (classes,) or None.
    """

    out: Path
    record: dict
    data: object
    given: Mapping
    strategy: settings.Strategy
    precision: Precision
    class_weights: np.ndarray | None

    @property
    def images(self) -> int:
        """Number of training images."""
        return len(self.data.splits["train"].labels)

    @property
    def held_out(self) -> list[str]:
        """The splits that are judged."""
        return [split for split in ("validation", "test") if split in self.data.splits]

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.out / run_folder.CHECKPOINTS

    @contextmanager
    def timed(self, phase: str):
        """Add the seconds of a block to those of a phase, and write the record."""
        started = time.monotonic()
        yield
        seconds = self.record["seconds"]
        seconds[phase] = round(seconds.get(phase, 0.0) + time.monotonic() - started, 3)
        self.save()

    def decide(self, **facts) -> None:
        """Note decisions for run.json and the report."""
        self.record["decided"] |= facts

    def advise(self, sentence: str) -> None:
        """Add a sentence to the report."""
        known = self.record["decided"].setdefault("advice", [])
        if sentence not in known:
            known.append(sentence)

    def save(self) -> None:
        """Write run.json."""
        run_folder.write_record(self.out, self.record)


def make_job(out: Path, record: dict, data, given: Mapping) -> Job:
    """Decide what follows from the arguments and the data."""
    pretrained = given["weights"] is not None or not isinstance(given["model"], str)
    images = len(data.splits["train"].labels)
    job = Job(
        out=out,
        record=record,
        data=data,
        given=given,
        strategy=settings.choose_strategy(given["strategy"], images=images, pretrained=pretrained),
        precision=choose_precision(given["mixed_precision"]),
        class_weights=settings.class_weights_of(given["class_weights"], data),
    )
    job.decide(strategy=job.strategy.name, strategy_why=job.strategy.why)
    if job.strategy.name == "freeze" and not pretrained:
        job.advise(
            "The frozen backbone has random weights: its features are hardly better than chance. Train with "
            '`weights="imagenet"` or `strategy="scratch"`.'
        )
    elif job.strategy.name == "freeze" and given["strategy"] == "auto":
        job.advise(
            'Only the last layer was trained. `strategy="finetune"` takes minutes instead of seconds and '
            "often gains some points: 72 -> 82 % with 1,000 and 64 -> 74 % with 250 small photos of flowers."
        )
    return job


def build_model(job: Job, policy: str = "float32"):
    """Build the classifier under a dtype policy."""
    import keras

    from kerasvision.models import classifier

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return classifier(
            job.given["model"],
            classes=len(job.data.class_names),
            image_size=job.data.image_size,
            weights=job.given["weights"],
            dropout=job.given["dropout"],
            preprocessing=job.given["preprocessing"],
        )
    finally:
        keras.config.set_dtype_policy(before)
