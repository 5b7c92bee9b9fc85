"""A made-up report of any number of classes."""

import numpy as np
import pytest

from kerasvision.metrics import judge
from kerasvision.report import Mistake, ReportInput


def certificate(passed=True, **changes):
    return {
        "file": "phone/model_int8.tflite",
        "format": "tflite",
        "quantize": "int8",
        "passed": passed,
        "count": 100,
        "max_difference": 0.0123,
        "mean_difference": 0.001,
        "agreement": 0.98,
        "accuracy_model": 0.87,
        "accuracy_file": 0.86,
        "per_class": {"class 0": [0.9, 0.8, 10], "class 1": [0.5, 0.5, 10], "class 2": [None, None, 0]},
        "tolerance": {},
        "failures": () if passed else ("accuracy fell by 4 points",),
        "sha256": "ab",
        "size": 2_700_000,
        "created": "",
        "versions": {},
    } | changes


@pytest.fixture
def make_report(rng):
    """Return a function that makes a `ReportInput`; keyword arguments replace its fields."""

    def make(classes=3, images=60, **changes):
        names = tuple(f"class {i}" for i in range(classes))
        labels = rng.integers(0, classes, images)
        probabilities = rng.random((images, classes))
        probabilities[np.arange(images), labels] += 0.7
        probabilities /= probabilities.sum(1, keepdims=True)
        keys = ("loss", "accuracy", "val_loss", "val_accuracy")
        history = [
            {"phase": "freeze" if e < 3 else "finetune", "epoch": e, **dict.fromkeys(keys, 0.5 + e / 20)}
            for e in range(6)
        ]
        picture = rng.integers(0, 255, (40, 30, 3)).astype(np.uint8)
        fields = {
            "title": "Flowers",
            "facts": {"Model": "mobilenet_v2"},
            "advice": ["More photos of class 1 would help."],
            "judgement": judge(labels, probabilities, names),
            "history": history,
            "counts": {
                split: dict.fromkeys(names, count) for split, count in (("validation", 20), ("train", 80))
            },
            "mistakes": [Mistake("a.jpg", names[0], names[1], 0.9, picture, rng.random((7, 7)))],
            "certificates": [certificate(), certificate(False)],
            "skipped": ["broken.jpg: cut off"],
            "notes": ["Classes are named after folders.", "1 photo is turned."],
        }
        return ReportInput(**(fields | changes))

    return make
