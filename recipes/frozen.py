"""The frozen phase: features once, then the last layer solved on them."""

import numpy as np

from kerasvision.errors import RunError
from kerasvision.progress import say
from kerasvision.recipes import run_folder
from kerasvision.recipes.job import Job
from kerasvision.training import FeatureCache, LinearSolution, fit_linear, make_engine
from kerasvision.training.checkpoints import read_arrays, write_arrays
from kerasvision.training.engines import Engine, weights_digest

AUGMENTED_VIEWS = 4
ENGINES = {"litert": "LiteRT", "graph": "a TensorFlow graph with BatchNorm folded in"}


class Backbone:
    """Features of the splits of a job, each computed when it is asked for first."""

    def __init__(self, job: Job, model):
        from kerasvision.models import feature_extractor

        extractor = feature_extractor(model)
        spec = job.given["augment"] if job.strategy.name == "freeze" else None
        self.spec = None if spec in (None, "auto", "none") else spec
        self.views = (job.given["views"] or (AUGMENTED_VIEWS if self.spec else 1)) if self.spec else 1
        rows = job.images * self.views + sum(len(job.data.splits[s].labels) for s in job.held_out)
        self.engine: Engine = make_engine(extractor, rows, job.given["engine"])
        self.job, self.cache = job, FeatureCache(job.out / run_folder.CACHE)
        self.key = {
            "data": job.record["data"]["fingerprint"],
            "weights": weights_digest(extractor),
            "augment": self.spec,
            "strength": job.given["augment_strength"],
            "seed": job.given["seed"],
        }

    def features(self, split: str):
        """Return the `Features` of a split; the training images in all their views."""
        training = split == "train"
        return self.cache.get(
            self.engine,
            self.job.data,
            split,
            key=self.key,
            augmentation=self._augmentation() if training else None,
            views=self.views if training else 1,
        )

    def _augmentation(self):
        if self.views == 1:
            return None
        from kerasvision.data import augmentation

        given = self.job.given
        return augmentation(self.spec, strength=given["augment_strength"], seed=given["seed"])


def train_frozen(job: Job, model, backbone: Backbone) -> tuple[LinearSolution, dict[str, np.ndarray]]:
    """Solve the last layer and put it into the model.

    Returns:
        The solution, and the probabilities (n, classes) of each held-out split.
    """
    with job.timed("features"):
        train = backbone.features("train")
        held_out = {split: backbone.features(split).values for split in job.held_out}
    with job.timed("head"):
        solution = _read(job) or _solve(job, train, held_out["validation"])
        model.get_layer("predictions").set_weights([solution.kernel, solution.bias])
    views = f", {backbone.views} views of each training image" if backbone.views > 1 else ""
    row = solution.history[solution.best_row]
    job.decide(
        features=f"computed once, in {ENGINES[backbone.engine.name]} ({backbone.engine.why}){views}",
        head=f"logistic regression, L2 strength {solution.strength:g} chosen by validation",
    )
    say(f"Frozen backbone: validation accuracy {row['val_accuracy']:.1%}.")
    return solution, {split: solution.probabilities(values) for split, values in held_out.items()}


def _solve(job: Job, train, validation: np.ndarray) -> LinearSolution:
    given = job.given
    solution = fit_linear(
        train.values,
        train.targets,
        (validation, job.data.splits["validation"].labels),
        class_weights=job.class_weights,
        label_smoothing=(given["label_smoothing"] or 0.0) if job.strategy.name == "freeze" else 0.0,
        epochs=given["epochs"] if job.strategy.name == "freeze" else None,
    )
    facts = {
        "strength": solution.strength,
        "history": solution.history,
        "best_row": solution.best_row,
    }
    job.checkpoints.mkdir(exist_ok=True)
    write_arrays(_file(job), {"kernel": solution.kernel, "bias": solution.bias}, facts)
    return solution


def _read(job: Job) -> LinearSolution | None:
    """Return the solution that an interrupted run has found already."""
    if not _file(job).is_file():
        return None
    try:
        arrays, facts = read_arrays(_file(job))
        return LinearSolution(**arrays, **facts)
    except RunError as error:
        say(f"{error} The last layer is solved anew.")
        return None


def _file(job: Job):
    return job.checkpoints / "freeze-head.npz"
