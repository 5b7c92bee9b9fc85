"""Training: one loop for one or many devices, checkpoints, schedules, freezing, and features computed once."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Average": "averaging",
        "Checkpoints": "checkpoints",
        "FeatureCache": "feature_cache",
        "Fitted": "loop",
        "Group": "loop",
        "LinearSolution": "linear",
        "Plan": "loop",
        "choose_precision": "precision",
        "fit": "loop",
        "fit_linear": "linear",
        "only_process": "locking",
        "set_trainable": "freezing",
        "warmup_cosine": "schedules",
    },
)
