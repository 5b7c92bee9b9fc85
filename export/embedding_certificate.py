"""Prove that an embedder's file embeds as the model does: cosines, lengths, and verdicts at the threshold."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kerasvision.errors import ExportError
from kerasvision.export.certificate import Recorded, facts
from kerasvision.export.embedding_runner import EmbeddingRunner
from kerasvision.export.embedding_source import EmbeddingSource
from kerasvision.metrics.embedding_distances import SquaredDistances, blocks, comparable, from_squares

# Cosines are of the file's embedding of an image with the model's of the same image. `length_difference`: of
# both, as a share. `accuracy_change`: 0.02 is two points, up or down, of verification at the shipped
# threshold. `false_accept_factor`: how many times as many pairs of two identities may be accepted as by the
# model, or as stated for the threshold if that is more, and one pair.
TOLERANCES = {
    None: {
        "least_cosine": 0.9999,
        "length_difference": 1e-3,
        "accuracy_change": 0.002,
        "false_accept_factor": 1.1,
    },
    "float16": {
        "mean_cosine": 0.999,
        "length_difference": 0.02,
        "accuracy_change": 0.005,
        "false_accept_factor": 1.5,
    },
    "dynamic": {
        "mean_cosine": 0.98,
        "length_difference": 0.1,
        "accuracy_change": 0.02,
        "false_accept_factor": 2.0,
    },
    "int8": {
        "mean_cosine": 0.98,
        "length_difference": 0.1,
        "accuracy_change": 0.02,
        "false_accept_factor": 2.0,
    },
}
_SHARES = ("mean_cosine", "least_cosine", "length_difference", "accuracy_change")
_FACTOR = "false_accept_factor"


@dataclass(frozen=True)
class EmbeddingCertificate(Recorded):
    """What a comparison of an embedder's file with its model found.

    Attributes:
        file: name of the file or folder.
        format: `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        passed: whether every tolerance was kept.
        count: held-out images that went through both.
        dimensions: of the embedding.
        mean_cosine: mean over the images of the cosine of the file's embedding with the model's.
        least_cosine: the smallest of these.
        others_cosine: mean cosine of the model's embeddings of two different images: what the mean would be
            if the file mixed the images up.
        length_difference: largest difference of the lengths of both embeddings, as a share of the model's.
        distance: between embeddings.
        threshold: the shipped one; `None` where there is none, as what follows.
        false_accept_rate: the share of pairs of two identities that the threshold was chosen for.
        agreement: share of all pairs of images on which file and model say the same.
        genuine: pairs of one identity among the images; `None` without identities, as the next.
        impostors: pairs of two identities.
        true_accepts_model: share of the genuine pairs that the model calls the same; `None` without such
            pairs, as the next.
        true_accepts_file: likewise the file.
        false_accepts_model: share of the impostor pairs that the model calls the same; `None` without such
            pairs, as the next.
        false_accepts_file: likewise the file.
        accuracy_model: mean of the shares of genuine pairs accepted and of impostor pairs refused.
        accuracy_file: likewise of the file.
        tolerance: what was allowed.
        failures: what was not kept, in words.
        sha256: of the file (of a folder: of its files and their names).
        size: bytes.
        created: time in UTC, ISO 8601.
        versions: of the packages that took part.
        task: `"embed"`.
    """

    file: str
    format: str
    quantize: str | None
    passed: bool
    count: int
    dimensions: int
    mean_cosine: float
    least_cosine: float
    others_cosine: float
    length_difference: float
    distance: str
    threshold: float | None
    false_accept_rate: float | None
    agreement: float | None
    genuine: int | None
    impostors: int | None
    true_accepts_model: float | None
    true_accepts_file: float | None
    false_accepts_model: float | None
    false_accepts_file: float | None
    accuracy_model: float | None
    accuracy_file: float | None
    tolerance: Mapping[str, float]
    failures: tuple[str, ...]
    sha256: str
    size: int
    created: str
    versions: Mapping[str, str]
    task: str = "embed"

    def summary(self) -> str:
        """Return the figures of an error message."""
        text = (
            f"{self.count} held-out images, cosine with the model's embeddings {self.mean_cosine:.5f} in the "
            f"mean and {self.least_cosine:.5f} at least (of two different images: {self.others_cosine:.3f})"
        )
        if self.agreement is not None:
            text += f", the same verdict on {self.agreement:.2%} of the pairs"
        for name, digits, before, after in (
            ("true accepts", 1, self.true_accepts_model, self.true_accepts_file),
            ("false accepts", 2, self.false_accepts_model, self.false_accepts_file),
        ):
            if before is not None:
                text += f", {name} {before:.{digits}%} -> {after:.{digits}%}"
        return text

    def __str__(self) -> str:
        return f"{self.heading()}, {self.summary()}" + "".join(f"\n  {text}" for text in self.failures)


class _Accepted(NamedTuple):
    """How many pairs model and file call the same, and on how many they agree."""

    pairs: int
    agreed: int
    genuine: int
    impostors: int
    true_accepts: tuple[int, int]
    false_accepts: tuple[int, int]


def certify_embedder(
    source: EmbeddingSource,
    runner: EmbeddingRunner,
    *,
    file: str | os.PathLike,
    format: str,
    quantize: str | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> EmbeddingCertificate:
    """Run the held-out images through the embedder and the file and compare vectors and verdicts.

    All pairs of images are judged, in blocks: no matrix of all of them is made.

    Args:
        source: the embedder, its threshold and its held-out images.
        runner: the file, as a function from uint8 images to embeddings.
        file: where the file lies, for its size and SHA-256.
        format: its format.
        quantize: how it was quantised; decides what is tolerated.
        tolerance: other limits, in part or all: `mean_cosine`, `least_cosine`, `length_difference`,
            `accuracy_change`, `false_accept_factor`.

    Returns:
        A certificate that passed or failed; nothing is raised for a failure.

    Raises:
        ExportError: a limit is unknown, the file's answers have another shape than the model's, or the model
            itself gives what is no vector.
    """
    limits = embedding_tolerances(quantize, tolerance)
    mine, theirs = source.reference, np.asarray(runner(source.images), np.float32)
    _check_vectors(mine, theirs)
    good = np.isfinite(theirs).all(1) & theirs.any(1)
    broken = int((~good).sum())
    theirs = np.where(good[:, None], theirs, -mine)  # as far away as can be
    figures = _alike(mine, theirs) | _verdicts(source, mine, theirs)
    failures = [f"{broken} of {len(theirs)} embeddings are not finite or all zeros"] if broken else []
    failures += _nothing_to_prove(figures, quantize) + _failures(figures, limits)
    return EmbeddingCertificate(
        **facts(file, format, quantize, len(mine), limits, failures),
        **figures,
        dimensions=source.dimensions,
    )


def embedding_tolerances(quantize: str | None, stated: Mapping[str, float] | None) -> dict[str, float]:
    """Return the limits for a kind of file, with the caller's own in their place.

    Raises:
        ExportError: a limit is unknown, or not a number from 0 to 1 (the factor: from 1).
    """
    for name, value in (stated or {}).items():
        if not (name in _SHARES and 0 <= value <= 1) and not (name == _FACTOR and value >= 1):
            raise ExportError(
                f"`tolerance` must map {', '.join(_SHARES)} to numbers from 0 to 1, and {_FACTOR} to one "
                f"from 1. Received: {{{name!r}: {value!r}}}."
            )
    return {**TOLERANCES[quantize], **(stated or {})}


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (n,) cosines of the rows of (n, d) with those of another, 0 where a row is all zeros."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.where(lengths, lengths, 1.0)


def _check_vectors(mine: np.ndarray, theirs: np.ndarray) -> None:
    if theirs.shape != mine.shape:
        raise ExportError(f"The file answers with the shape {theirs.shape}; the model with {mine.shape}.")
    bad = int((~np.isfinite(mine).all(1) | ~mine.any(1)).sum())
    if bad:
        raise ExportError(
            f"The model itself gives {bad} of {len(mine)} embeddings that are not finite or all zeros. Train "
            "it again, with a lower learning rate."
        )


def _alike(mine: np.ndarray, theirs: np.ndarray) -> dict:
    """Return how near the vectors of the file are to those of the model."""
    found = cosines(mine, theirs)
    lengths = [np.linalg.norm(vectors.astype(np.float64), axis=1) for vectors in (mine, theirs)]
    unit, count = mine / lengths[0][:, None], len(mine)
    return {
        "mean_cosine": float(found.mean()),
        "least_cosine": float(found.min()),
        # The square of a sum of unit vectors holds every pair twice, and each vector with itself.
        "others_cosine": float((np.square(unit.sum(0)).sum() - count) / (count * (count - 1))),
        "length_difference": float(np.abs(lengths[1] / lengths[0] - 1).max()),
    }


def _verdicts(source: EmbeddingSource, mine: np.ndarray, theirs: np.ndarray) -> dict:
    """Return what model and file say of all pairs at the shipped threshold."""
    names = ("true_accepts", "false_accepts", "accuracy")
    nothing = {f"{name}_{who}": None for name in names for who in ("model", "file")}
    nothing |= {"agreement": None, "genuine": None, "impostors": None}
    nothing |= {name: getattr(source, name) for name in ("distance", "threshold", "false_accept_rate")}
    if source.threshold is None:
        return nothing
    counts = _accepted(source, mine, theirs)
    figures = nothing | {"agreement": counts.agreed / counts.pairs}
    if source.identities is None:
        return figures
    figures |= {"genuine": counts.genuine, "impostors": counts.impostors}
    for place, who in enumerate(("model", "file")):
        if counts.genuine:
            figures[f"true_accepts_{who}"] = counts.true_accepts[place] / counts.genuine
        if counts.impostors:
            figures[f"false_accepts_{who}"] = counts.false_accepts[place] / counts.impostors
        if counts.genuine and counts.impostors:
            refused = 1 - figures[f"false_accepts_{who}"]
            figures[f"accuracy_{who}"] = (figures[f"true_accepts_{who}"] + refused) / 2
    return figures


def _accepted(source: EmbeddingSource, mine: np.ndarray, theirs: np.ndarray) -> _Accepted:
    count = len(mine)
    people = np.arange(count) if source.identities is None else np.asarray(source.identities)
    squares = [SquaredDistances(comparable(vectors, source.distance)) for vectors in (mine, theirs)]
    totals = np.zeros(8, np.int64)
    for rows in blocks(count, count):
        later = np.arange(count) > np.arange(rows.start, rows.stop)[:, None]
        same = people[rows, None] == people
        model, file = (from_squares(s.within(rows), source.distance) <= source.threshold for s in squares)
        masks = (later, model == file, same, ~same, same & model, same & file, ~same & model, ~same & file)
        totals += [int((mask & later).sum()) for mask in masks]
    pairs, agreed, genuine, impostors, *accepted = totals.tolist()
    return _Accepted(pairs, agreed, genuine, impostors, tuple(accepted[:2]), tuple(accepted[2:]))


def _nothing_to_prove(figures: Mapping, quantize: str | None) -> list[str]:
    usual = TOLERANCES[quantize]
    needed, others = usual.get("mean_cosine", usual.get("least_cosine")), figures["others_cosine"]
    if others < needed:
        return []
    return [
        f"the model itself gives two different images vectors with a cosine of {others:.5f} in the mean, so "
        f"one of {needed:g} proves nothing: train it longer, or give images of more identities"
    ]


def _failures(figures: Mapping, limits: Mapping[str, float]) -> list[str]:
    # Written as "not (good)", so that a figure that is not a number fails.
    failures = []
    for name, where in (("mean_cosine", "in the mean"), ("least_cosine", "at least")):
        if name in limits and not figures[name] >= limits[name]:
            failures.append(
                f"the cosine with the model's embeddings is {figures[name]:.5f} {where}, needed is "
                f"{limits[name]:g}"
            )
    if not figures["length_difference"] <= limits["length_difference"]:
        failures.append(
            f"lengths of embeddings differ by {figures['length_difference']:.3g} of the model's, allowed is "
            f"{limits['length_difference']:g}"
        )
    return failures + _threshold_failures(figures, limits)


def _threshold_failures(figures: Mapping, limits: Mapping[str, float]) -> list[str]:
    failures = []
    before, after = figures["accuracy_model"], figures["accuracy_file"]
    if before is not None:
        # A single pair may always change: with few of them it is more than the limit.
        pair = 0.5 / min(figures["genuine"], figures["impostors"])
        limit = limits["accuracy_change"]
        allowed = max(limit, pair) if limit else 0.0
        if not abs(after - before) <= allowed + 1e-9:
            failures.append(
                f"accuracy of verification at the threshold changes from {before:.2%} to {after:.2%}, "
                f"allowed are {limit * 100:g} points"
            )
    before, after = figures["false_accepts_model"], figures["false_accepts_file"]
    if before is not None:
        most = limits[_FACTOR] * max(before, figures["false_accept_rate"] or 0) + 1 / figures["impostors"]
        if not after <= most + 1e-9:
            failures.append(
                f"false accepts at the threshold change from {before:.2%} to {after:.2%}, allowed are "
                f"{most:.2%}"
            )
    return failures
