"""Check labels and probabilities once, at the door of every metric."""

import numpy as np

from kerasvision.errors import KerasvisionError


def checked(labels, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Return `labels` (N,) int64 and `probabilities` (N, C) float64.

    Raises:
        KerasvisionError: shapes that do not fit, no images, labels outside 0..C-1, or values that are no
            probabilities.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise KerasvisionError(
            "`labels` must be (N,) and `probabilities` (N, classes). "
            f"Received: labels {labels.shape}, probabilities {probabilities.shape}."
        )
    if not labels.size or not probabilities.shape[1]:
        raise KerasvisionError("`labels` is empty: there is nothing to judge. Give at least one image.")
    labels = checked_labels(labels, probabilities.shape[1], "labels")
    bad = np.flatnonzero(~np.isfinite(probabilities).all(1) | (probabilities < 0).any(1))
    if bad.size:
        raise KerasvisionError(
            "`probabilities` must be finite and not negative (give the softmax's output, not logits). "
            f"Received: {bad.size} row(s) that are not, the first is row {bad[0]}."
        )
    return labels, probabilities


def checked_labels(labels, classes: int, name: str) -> np.ndarray:
    """Return integer class indices as int64, or say which one is out of range."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise KerasvisionError(f"`{name}` must be integer class indices. Received dtype {labels.dtype}.")
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise KerasvisionError(f"`{name}` must lie in 0..{classes - 1}. Received: {outside[0]}.")
    return labels.astype(np.int64)
