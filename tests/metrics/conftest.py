"""Made-up answers of a classifier."""

import numpy as np
import pytest


@pytest.fixture
def answers(rng):
    """Return a function that makes (labels, probabilities); a higher sharpness is more confident."""

    def make(count=300, classes=7, sharpness=2.0):
        labels = rng.integers(0, classes, count)
        logits = rng.normal(size=(count, classes))
        logits[np.arange(count), labels] += 1.0
        weights = np.exp(sharpness * logits)
        return labels, weights / weights.sum(1, keepdims=True)

    return make
