"""Fit the last layer on cached features: multinomial logistic regression, solved rather than descended.

On fixed features the problem is convex, so L-BFGS finds the one solution in a few dozen passes, without a
learning rate, in well under a second for thousands of images; tracing a Keras `fit` alone takes as long.
The strength of the L2 penalty is the only thing to choose, and validation chooses it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasvision.errors import TrainingError

# From strong to weak, for standardised features and the mean loss; each starts from the one before.
STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
PASSES = 100
WORSE_IN_A_ROW = 2


@dataclass(frozen=True)
class LinearSolution:
    """The last layer and how it was found.

    Attributes:
        kernel: (features, classes) float32, for features as they are.
        bias: (classes,) float32.
        strength: the chosen L2 strength.
        history: a row a strength: phase, epoch (passes over the features so far), learning_rate (None),
            loss, accuracy, val_loss, val_accuracy, seconds, strength.
        best_row: index of the chosen row.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    history: list[dict]
    best_row: int

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return (n, classes) float32 for (n, features)."""
        return softmax(np.asarray(features, np.float32) @ self.kernel + self.bias)


def fit_linear(
    features: np.ndarray,
    targets: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    *,
    class_weights: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    epochs: int | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearSolution:
    """Solve the last layer for several L2 strengths and keep the one that validation likes best.

    Solutions are compared by their loss on the validation images after the best temperature: a strong
    penalty makes a solution hesitant without making it wrong, and the temperature takes that out.

    Args:
        features: (n, features) float32.
        targets: (n, classes) float32, rows that sum to 1 (one-hot, or mixed by MixUp).
        validation: features (m, features) and labels (m,) int.
        class_weights: (classes,) weights of examples, or None.
        label_smoothing: share of each target that is spread over all classes.
        epochs: passes over the features for each strength, at most 100 (None); fewer stop the solver early.
        strengths: of the L2 penalty, from strong to weak.

    Raises:
        TrainingError: features are not finite.
    """
    for name, values in (("training", features), ("validation", validation[0])):
        if not np.isfinite(values).all():
            raise TrainingError(
                f"The backbone gave features that are not finite for {name} images. Its weights are damaged "
                "or not made for this input; load them again."
            )
    problem = _Problem(features, targets, class_weights, label_smoothing)
    held_out, labels = problem.standardise(validation[0]), np.asarray(validation[1])
    solution, history, solutions, scores, passes = problem.start(), [], [], [], 0
    for strength in strengths:
        started = time.monotonic()
        solution, used = problem.solve(solution, strength, epochs or PASSES)
        passes += used
        logits = problem.logits(solution, held_out)
        row = _row(problem, solution, logits, labels, passes, strength)
        history.append(row | {"seconds": time.monotonic() - started})
        solutions.append(solution)
        scores.append(_tempered_loss(logits, labels))
        if len(scores) - 1 - int(np.argmin(scores)) >= WORSE_IN_A_ROW:
            break
    best = int(np.argmin(scores))
    kernel, bias = problem.unstandardise(solutions[best])
    return LinearSolution(kernel, bias, strengths[best], history, best)


class _Problem:
    """The convex problem on standardised features, with its two large products in TensorFlow."""

    def __init__(self, features, targets, class_weights, label_smoothing):
        import tensorflow as tf

        features = np.asarray(features, np.float32)
        self.mean = features.mean(0)
        deviation = features.std(0)
        # Features that hardly move would be blown up to noise.
        self.scale = np.maximum(deviation, 0.01 * np.sqrt(np.mean(deviation**2)) + 1e-12)
        self.classes = targets.shape[1]
        self.targets = targets * (1 - label_smoothing) + label_smoothing / self.classes
        weights = np.ones(len(targets)) if class_weights is None else targets @ np.asarray(class_weights)
        self.weights = (weights / weights.sum()).astype(np.float32)
        self.hard = targets.argmax(1)
        self.features = tf.constant(self.standardise(features))

    def standardise(self, features):
        return ((np.asarray(features, np.float32) - self.mean) / self.scale).astype(np.float32)

    def start(self) -> np.ndarray:
        return np.zeros((len(self.mean) + 1, self.classes))

    def logits(self, solution, features=None) -> np.ndarray:
        import tensorflow as tf

        kernel, bias = solution[:-1].astype(np.float32), solution[-1].astype(np.float32)
        return tf.matmul(self.features if features is None else features, kernel).numpy() + bias

    def value_and_gradient(self, flat, strength):
        import tensorflow as tf

        solution = flat.reshape(-1, self.classes)
        log_p = log_softmax(self.logits(solution))
        value = -np.sum(self.weights * np.sum(self.targets * log_p, 1, dtype=np.float64))
        value += 0.5 * strength * np.sum(solution[:-1] ** 2)
        error = ((np.exp(log_p) - self.targets) * self.weights[:, None]).astype(np.float32)
        gradient = np.empty_like(solution)
        gradient[:-1] = tf.matmul(self.features, error, transpose_a=True).numpy() + strength * solution[:-1]
        gradient[-1] = error.sum(0)
        return value, gradient.reshape(-1)

    def solve(self, start, strength, passes) -> tuple[np.ndarray, int]:
        from scipy.optimize import minimize
        from threadpoolctl import threadpool_limits

        # The solver's own vectors are short: with several threads it waits for them more than it computes
        # (4.4 instead of 0.4 s measured for 1,000 images on a busy machine). TensorFlow keeps its threads.
        with threadpool_limits(1, user_api="blas"):
            found = minimize(
                self.value_and_gradient,
                start.reshape(-1),
                args=(strength,),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": passes, "maxfun": passes, "ftol": 1e-6, "gtol": 1e-5},
            )
        return found.x.reshape(start.shape), int(found.nfev)

    def unstandardise(self, solution) -> tuple[np.ndarray, np.ndarray]:
        kernel = solution[:-1] / self.scale[:, None]
        return kernel.astype(np.float32), (solution[-1] - self.mean @ kernel).astype(np.float32)


def _row(problem, solution, logits, labels, passes, strength) -> dict:
    trained = problem.logits(solution)
    losses = -np.sum(problem.targets * log_softmax(trained), 1)
    return {
        "phase": "freeze",
        "epoch": passes,
        "learning_rate": None,
        "loss": float(np.sum(problem.weights * losses)),
        "accuracy": float(np.mean(trained.argmax(1) == problem.hard)),
        "val_loss": _loss(logits, labels),
        "val_accuracy": float(np.mean(logits.argmax(1) == labels)),
        "strength": strength,
    }


def _loss(logits, labels) -> float:
    return float(-np.mean(log_softmax(logits)[np.arange(len(labels)), labels]))


def _tempered_loss(logits, labels) -> float:
    from scipy.optimize import minimize_scalar

    return minimize_scalar(lambda t: _loss(logits * np.exp(t), labels), bounds=(-3, 3), method="bounded").fun


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, float32."""
    return np.exp(log_softmax(logits)).astype(np.float32)
