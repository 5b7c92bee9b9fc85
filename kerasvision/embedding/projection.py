"""The projection of an embedder solved for instead of learned: where an identity varies, less is seen."""

import numpy as np

from kerasvision.errors import KerasvisionError

SHRINKAGE = 1.0
SMALL = 0.1  # of the solved columns: what is left of random ones where there are more than can be solved


def solve_projection(
    features, labels, dimensions: int, *, shrinkage: float = SHRINKAGE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the projection after which images of one identity lie near each other, by any cosine.

    The features are centred, divided by how much they vary within identities (with shrinkage towards
    varying alike in all directions), and cut to the directions in which identities differ, then to those in
    which images do.

    Args:
        features: (n, c) float, of a network, one row an image.
        labels: (n,) integers, identities; some with two images.
        dimensions: d, of the embedding.
        shrinkage: mean variance that is added to that of each direction; the larger, the more the projection
            is that of the principal axes.

    Returns:
        Kernel (c, k) and bias (k,) float32, k being `dimensions` or, where these images do not span so many,
        fewer.

    Raises:
        KerasvisionError: shapes that do not fit, or no identity with two images.

    Hatch, Kajarekar, Stolcke, Within-class covariance normalization for SVM-based speaker recognition, 2006.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if features.ndim != 2 or labels.shape != (len(features),):
        raise KerasvisionError(
            f"`features` must be (n, c) and `labels` (n,). Received: {features.shape} and {labels.shape}."
        )
    kinds, places, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not (sizes > 1).any():
        raise KerasvisionError("`labels` must have an identity with two images. Received: one of each.")
    mean = features.mean(0)
    _, strengths, axes = np.linalg.svd(features - mean, full_matrices=False)
    axes = axes[strengths > strengths[0] * 1e-6]
    reduced = (features - mean) @ axes.T
    middles = np.zeros((len(kinds), reduced.shape[1]))
    np.add.at(middles, places, reduced / sizes[places][:, None])
    within = reduced - middles[places]
    scatter = within.T @ within / max(1, (sizes - 1).sum())
    scatter += shrinkage * (np.trace(scatter) / len(scatter) + 1e-12) * np.eye(len(scatter))
    whitening = np.linalg.cholesky(np.linalg.inv(scatter))
    kernel = axes.T @ whitening @ _directions(reduced @ whitening, middles @ whitening, dimensions)
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)


def _directions(values: np.ndarray, middles: np.ndarray, most: int) -> np.ndarray:
    """Return orthogonal directions (c, k): those between identities first, then those of most variance."""
    _, strengths, between = np.linalg.svd(middles, full_matrices=False)
    between = between[strengths > strengths[0] * 1e-6][:most]
    rest = values - values @ between.T @ between
    _, strengths, others = np.linalg.svd(rest, full_matrices=False)
    others = others[strengths > max(strengths[0], 1e-12) * 1e-6][: most - len(between)]
    return np.concatenate([between, others]).T


def set_projection(layer, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Give a Dense layer a solved projection, at the size of the weights that it has.

    Columns that are not solved stay as they are drawn, small.

    Args:
        layer: with `kernel` (c, d) and `bias` (d,), initialised.
        kernel: (c, k), k at most d.
        bias: (k,).
    """
    drawn, offsets = (value.numpy().copy() for value in (layer.kernel, layer.bias))
    solved = kernel.shape[1]
    scale = np.sqrt(np.mean(drawn**2) / np.mean(kernel**2))
    drawn *= SMALL
    drawn[:, :solved], offsets[:solved] = kernel * scale, bias * scale
    layer.kernel.assign(drawn)
    layer.bias.assign(offsets)
