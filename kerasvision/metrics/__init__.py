"""How good a classifier is, in numpy: accuracy with an interval, per class, confusion, calibration."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "ClassScores": "classification",
        "Judgement": "classification",
        "ReliabilityBin": "calibration",
        "accuracy": "classification",
        "accuracy_interval": "intervals",
        "apply_temperature": "calibration",
        "bootstrap_interval": "intervals",
        "confusion_matrix": "classification",
        "expected_calibration_error": "calibration",
        "fit_temperature": "calibration",
        "judge": "classification",
        "per_class": "classification",
        "reliability": "calibration",
        "top_k_accuracy": "classification",
        "worst_mistakes": "classification",
    },
)
