"""Prove that a file answers like the model: the same held-out images through both, figures on record."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from kerasvision import files
from kerasvision.errors import CertificateError, ExportError
from kerasvision.export.source import ExportSource

# On probabilities. `accuracy_drop`: 0.01 is one point; a single image may always be lost, because with fewer
# than 100 images a point is less than one image. float16: MobileNetV2 with ImageNet weights and a head for
# flowers measured 0.003 in the mean, 0.05 at most, and 99.3 % the same answer on 300 photos.
TOLERANCES = {
    None: {"max_difference": 1e-4},
    "float16": {"mean_difference": 1e-2, "agreement": 0.98, "accuracy_drop": 0.01},
    "dynamic": {"agreement": 0.90, "accuracy_drop": 0.01},
    "int8": {"agreement": 0.90, "accuracy_drop": 0.01},
}
SUFFIX = ".certificate.json"
_PACKAGES = ("kerasvision", "keras", "tensorflow", "tensorflow-cpu", "ai-edge-litert", "onnxruntime", "numpy")


class Recorded:
    """What certificates of all kinds of models have in common: how they are kept as JSON beside the file."""

    def to_dict(self) -> dict:
        """Return what the JSON file holds."""
        return asdict(self) | {"failures": list(self.failures)}

    @classmethod
    def from_dict(cls, value: Mapping):
        """Rebuild from `to_dict`.

        Raises:
            ExportError: it is not a certificate of this kind.
        """
        try:
            return cls(**{**value, "failures": tuple(value["failures"])})
        except (TypeError, KeyError) as error:
            raise ExportError(f"This is not a certificate of kerasvision: {error}.") from None

    @classmethod
    def load(cls, file: str | os.PathLike):
        """Read the certificate that lies beside an exported file."""
        return cls.from_dict(files.read_json(certificate_path(file)))

    def save(self, file: str | os.PathLike) -> Path:
        """Write it beside the exported file and return its path."""
        path = certificate_path(file)
        files.write_json(path, self.to_dict())
        return path

    def heading(self) -> str:
        """Return the file, its format, its size and the verdict in a few words."""
        kind = self.format if self.quantize is None else f"{self.format} {self.quantize}"
        return f"{self.file} ({kind}, {self.size / 1e6:.2f} MB): {'passed' if self.passed else 'FAILED'}"


@dataclass(frozen=True)
class Certificate(Recorded):
    """What a comparison of a file with its model found.

    Attributes:
        file: name of the file or folder.
        format: `"tflite"`, `"saved_model"`, `"onnx"` or `"keras"`.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
        passed: whether every tolerance was kept.
        count: held-out images that went through both.
        max_difference: largest difference of a probability.
        mean_difference: mean difference of a probability.
        agreement: fraction of the images with the same most probable class.
        accuracy_model: fraction right by the model; `None` without targets.
        accuracy_file: fraction right by the file; `None` without targets.
        per_class: class name -> [right by the model, right by the file, images]; fractions are `None` for a
            class without images. Empty without targets.
        tolerance: what was allowed.
        failures: what was not kept, in words.
        sha256: of the file (of a folder: of its files and their names).
        size: bytes.
        created: time in UTC, ISO 8601.
        versions: of the packages that took part.
    """

    file: str
    format: str
    quantize: str | None
    passed: bool
    count: int
    max_difference: float
    mean_difference: float
    agreement: float
    accuracy_model: float | None
    accuracy_file: float | None
    per_class: Mapping[str, Sequence]
    tolerance: Mapping[str, float]
    failures: tuple[str, ...]
    sha256: str
    size: int
    created: str
    versions: Mapping[str, str]

    def summary(self) -> str:
        """Return the figures of an error message."""
        return (
            f"{self.count} held-out images, largest difference {self.max_difference:.3g}, "
            f"same answer {self.agreement:.1%}"
        )

    def __str__(self) -> str:
        parts = [
            self.heading(),
            f"{self.count} images",
            f"largest difference {self.max_difference:.2g}, mean {self.mean_difference:.2g}",
            f"same answer {self.agreement:.1%}",
        ]
        if self.accuracy_model is not None:
            parts.append(f"accuracy {self.accuracy_model:.1%} -> {self.accuracy_file:.1%}")
        return ", ".join(parts) + "".join(f"\n  {failure}" for failure in self.failures)


def certificate_path(file: str | os.PathLike) -> Path:
    """Return where the certificate of a file lies."""
    path = Path(file)
    return path.with_name(path.name + SUFFIX)


def certify(
    source: ExportSource,
    runner: Callable[[np.ndarray], np.ndarray],
    *,
    file: str | os.PathLike,
    format: str,
    quantize: str | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> Certificate:
    """Run the held-out images through the model and the file and compare.

    Args:
        source: the model and its held-out images.
        runner: the file, as a function from uint8 images to probabilities.
        file: where the file lies, for its size and SHA-256.
        format: its format.
        quantize: how it was quantised; decides what is tolerated.
        tolerance: other limits, in part or all: `max_difference`, `mean_difference`, `agreement`,
            `accuracy_drop`.

    Returns:
        A certificate that passed or failed; nothing is raised for a failure.

    Raises:
        ExportError: the model itself does not return probabilities, or a limit is unknown.
    """
    limits = tolerances(quantize, tolerance)
    _check_probabilities(source.reference)
    found = np.asarray(runner(source.images), np.float32)
    figures, failures = compare(source.reference, found, source.targets, source.labels)
    failures = (*failures, *_failures(figures, limits, len(source.images)))
    return Certificate(
        **facts(file, format, quantize, len(source.images), limits, failures),
        **figures,
    )


def facts(
    file: str | os.PathLike,
    format: str,
    quantize: str | None,
    count: int,
    tolerance: Mapping,
    failures: Sequence[str],
) -> dict:
    """Return what certificates of all kinds of models say of a file and of the comparison."""
    path = Path(file)
    return {
        "file": path.name,
        "format": format,
        "quantize": quantize,
        "passed": not failures,
        "count": count,
        "tolerance": dict(tolerance),
        "failures": tuple(failures),
        "sha256": files.sha256(path),
        "size": size_of(path),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
    }


def compare(
    reference: np.ndarray, found: np.ndarray, targets: np.ndarray | None, labels: Sequence[str]
) -> tuple[dict, tuple[str, ...]]:
    """Return the figures of a certificate, and failures that no tolerance can excuse.

    Args:
        reference: (n, classes), the model's probabilities.
        found: (n, classes), the file's.
        targets: (n,) int or `None`.
        labels: names of the classes.
    """
    if found.shape != reference.shape:
        raise ExportError(f"The file answers with the shape {found.shape}; the model with {reference.shape}.")
    broken = int((~np.isfinite(found)).any(axis=1).sum())
    failures = (f"{broken} of {len(found)} answers are not finite numbers",) if broken else ()
    difference = np.abs(np.where(np.isfinite(found), found, 2.0) - reference)
    mine, theirs = reference.argmax(1), np.where(np.isfinite(found), found, -1.0).argmax(1)
    figures = {
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "agreement": float((mine == theirs).mean()),
        "accuracy_model": None,
        "accuracy_file": None,
        "per_class": {},
    }
    if targets is not None:
        figures["accuracy_model"] = float((mine == targets).mean())
        figures["accuracy_file"] = float((theirs == targets).mean())
        figures["per_class"] = {
            label: _class_figures(targets == index, mine == targets, theirs == targets)
            for index, label in enumerate(labels)
        }
    return figures, failures


def tolerances(quantize: str | None, stated: Mapping[str, float] | None) -> dict[str, float]:
    """Return the limits for a kind of file, with the caller's own in their place.

    Raises:
        ExportError: a limit is unknown or not a number from 0 to 1.
    """
    known = ("max_difference", "mean_difference", "agreement", "accuracy_drop")
    for name, value in (stated or {}).items():
        if name not in known or not 0 <= value <= 1:
            raise ExportError(
                f"`tolerance` must map {', '.join(known)} to numbers from 0 to 1. "
                f"Received: {{{name!r}: {value!r}}}."
            )
    return {**TOLERANCES[quantize], **(stated or {})}


def require_passed(certificate: Recorded, advice: str = "") -> Recorded:
    """Return a certificate that passed.

    Raises:
        CertificateError: it did not pass; with the figures and what to do.
    """
    if certificate.passed:
        return certificate
    raise CertificateError(
        f"{certificate.file} does not answer like the model: {'; '.join(certificate.failures)} "
        f"({certificate.summary()}). {advice or _advice(certificate)}",
        certificate,
    )


def with_failures(certificate: Recorded, failures: Sequence[str]) -> Recorded:
    """Return a copy with more failures."""
    everything = (*certificate.failures, *failures)
    return replace(certificate, failures=everything, passed=not everything)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    )


def _failures(figures: Mapping, limits: Mapping[str, float], count: int) -> tuple[str, ...]:
    # Written as "not (good)", so that a figure that is not a number fails.
    failures = []
    if "max_difference" in limits and not figures["max_difference"] <= limits["max_difference"]:
        failures.append(
            f"a probability differs by {figures['max_difference']:.3g}, "
            f"allowed are {limits['max_difference']:g}"
        )
    if "mean_difference" in limits and not figures["mean_difference"] <= limits["mean_difference"]:
        failures.append(
            f"probabilities differ by {figures['mean_difference']:.3g} in the mean, "
            f"allowed are {limits['mean_difference']:g}"
        )
    if "agreement" in limits and not figures["agreement"] >= limits["agreement"]:
        failures.append(
            f"the same answer on {figures['agreement']:.1%}, needed are {limits['agreement']:.1%}"
        )
    if "accuracy_drop" in limits and figures["accuracy_model"] is not None:
        lost = round((figures["accuracy_model"] - figures["accuracy_file"]) * count)
        allowed = max(1, int(limits["accuracy_drop"] * count + 1e-9)) if limits["accuracy_drop"] else 0
        if lost > allowed:
            failures.append(
                f"accuracy falls from {figures['accuracy_model']:.1%} to {figures['accuracy_file']:.1%}, "
                f"allowed are {limits['accuracy_drop'] * 100:g} points"
            )
    return tuple(failures)


def _advice(certificate: Recorded) -> str:
    if certificate.quantize == "int8":
        return (
            'Calibrate on more and more typical training images, or use quantize="dynamic" or "float16"; '
            "or state `tolerance` if the loss is acceptable."
        )
    if certificate.quantize is not None:
        return "Export with quantize=None, or state `tolerance` if the loss is acceptable."
    return "The file was not made from this model, or the conversion went wrong: export it again."


def _class_figures(rows: np.ndarray, right_model: np.ndarray, right_file: np.ndarray) -> list:
    count = int(rows.sum())
    if not count:
        return [None, None, 0]
    return [float(right_model[rows].mean()), float(right_file[rows].mean()), count]


def _check_probabilities(values: np.ndarray) -> None:
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 + 1e-3):
        raise ExportError(
            "The model must return probabilities, from 0 to 1. "
            f"Received: {values.min():.3g} to {values.max():.3g}. End it with a softmax activation."
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
