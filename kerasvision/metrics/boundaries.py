"""How well the boundary of a region is met."""

import numpy as np

BOUNDARY_TOLERANCE = 0.0075  # of the diagonal of the image, as Csurka et al. have it


def boundary_matches(
    truth: np.ndarray, answers: np.ndarray, counted: np.ndarray, *, tolerance: float = BOUNDARY_TOLERANCE
) -> float | None:
    """Return the F-score of the boundary of one class on one image.

    Precision is the share of the answer's boundary that has boundary of the truth near by, recall the share
    of the truth's that has boundary of the answer near by.

    Args:
        truth: (h, w) bool, the region.
        answers: (h, w) bool, what is said to be the region.
        counted: (h, w) bool, False where nothing is known; boundaries there, or towards it, are left out.
        tolerance: what is near, as a share of the diagonal; at least one pixel.

    Returns:
        From 0 to 1; 0 where only one of them has a boundary; None where neither has.

    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013, section 3.
    """
    from scipy.ndimage import distance_transform_edt

    edges = [boundary(region, counted) for region in (truth, answers)]
    if not any(edge.any() for edge in edges):
        return None
    if not all(edge.any() for edge in edges):
        return 0.0
    near = max(1.0, tolerance * float(np.hypot(*truth.shape)))
    recall, precision = (
        float(np.mean(distance_transform_edt(~other)[edge] <= near))
        for edge, other in (edges, reversed(edges))
    )
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(region: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the pixels of a region that have a neighbour (of four) outside it, both being counted."""
    edge = np.zeros(region.shape, bool)
    for axis in (0, 1):
        first, second = ((slice(None),) * axis + (cut,) for cut in (slice(None, -1), slice(1, None)))
        border = (region[first] != region[second]) & counted[first] & counted[second]
        edge[first] |= border
        edge[second] |= border
    return edge & region
