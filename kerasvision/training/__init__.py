"""Training: one loop for any number of devices, checkpoints, schedules, freezing, features computed once."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Average": "averaging",
        "Checkpoints": "checkpoints",
        "Engine": "engines",
        "FeatureCache": "feature_cache",
        "Fitted": "loop",
        "Group": "loop",
        "LinearSolution": "linear",
        "Objective": "objectives",
        "Plan": "loop",
        "Training": "loop",
        "choose_precision": "precision",
        "boxes_on_images": "objectives",
        "choose_engine": "engines",
        "fit": "loop",
        "fit_linear": "linear",
        "identities_of_images": "objectives",
        "labels_of_pixels": "objectives",
        "make_engine": "engines",
        "only_process": "locking",
        "poly": "schedules",
        "set_backbone_trainable": "freezing",
        "set_trainable": "freezing",
        "stepwise": "schedules",
        "warmup_cosine": "schedules",
    },
)
