"""The answer to whether two images are of one identity."""

from dataclasses import dataclass

from kerasvision.errors import KerasvisionError


@dataclass(frozen=True)
class Verified:
    """Two images, how far apart they are, and whether that counts as the same.

    Attributes:
        names: the two files, or "image #1" and "image #2".
        distance: between their embeddings.
        threshold: up to which two images are called the same.
        false_accept_rate: share of pairs of two identities that the threshold was chosen for, on the
            validation identities; None for a threshold of the caller's.
        same: whether they are.
    """

    names: tuple[str, str]
    distance: float
    threshold: float
    false_accept_rate: float | None
    same: bool

    def __str__(self):
        verdict = "the same" if self.same else "not the same"
        rate = (
            ""
            if self.false_accept_rate is None
            else f", chosen for {self.false_accept_rate:.2%} false accepts"
        )
        return (
            f"{self.names[0]} and {self.names[1]}: {verdict} (distance {self.distance:.3f}, threshold "
            f"{self.threshold:.3f}{rate})"
        )

    def row(self) -> dict:
        """Return the answer for a table."""
        return {
            "first": self.names[0],
            "second": self.names[1],
            "distance": round(self.distance, 6),
            "threshold": round(self.threshold, 6),
            "same": "yes" if self.same else "no",
        }


def checked_threshold(threshold) -> float:
    """Return a threshold of the caller's as a number.

    Raises:
        KerasvisionError: it is none, or below 0.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold:
        raise KerasvisionError(f"`threshold` must be a distance, 0 or more. Received: {threshold!r}.")
    return float(threshold)
