"""Recipes: whole trainings as one function each, and the run folder that they leave."""

from kerasvision._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    names={
        "Prediction": "predicting",
        "Run": "run",
        "demo": "digits_demo",
        "train_classifier": "transfer_learning",
    },
)
