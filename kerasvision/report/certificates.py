"""Export certificates as a table: what was compared, and whether it passed."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from kerasvision.report.html import Markup, badge, file_size, join, notice, percent, plural, table, tag

HEADER = (
    "File",
    "Format",
    "Verdict",
    "Size",
    "Largest difference",
    "Same answer",
    "Accuracy, Keras",
    "Accuracy, file",
    "Images",
)


def exports(certificates: Sequence[Mapping]) -> Markup | None:
    """Return one row a certificate and, below, why any of them failed.

    Args:
        certificates: `Certificate.to_dict()` of every exported file.
    """
    if not certificates:
        return None
    rows = [_row(certificate) for certificate in certificates]
    failed = [_failure(certificate) for certificate in certificates if not certificate["passed"]]
    return join([table(HEADER, rows, caption="Export certificates", numeric=range(3, 9)), failed])


def _row(certificate: Mapping) -> tuple:
    quantize = certificate.get("quantize")
    passed = certificate["passed"]
    return (
        PurePath(str(certificate["file"])).name,
        f"{certificate['format']}, {quantize}" if quantize else str(certificate["format"]),
        badge("passed", "good") if passed else badge("FAILED", "error"),
        file_size(certificate["size"]) if certificate.get("size") else None,
        f"{certificate['max_difference']:.2g}",
        percent(certificate["agreement"]),
        percent(certificate.get("accuracy_model")),
        percent(certificate.get("accuracy_file")),
        f"{certificate['count']:,}",
    )


def _failure(certificate: Mapping) -> Markup:
    failures = list(certificate.get("failures") or ["it does not say why"])
    name = PurePath(str(certificate["file"])).name
    head = tag("p", tag("b", name), f" does not answer like the model ({plural(len(failures), 'reason')}):")
    return notice(head, tag("ul", [tag("li", failure) for failure in failures]), level="error")
