"""Export certificates as a table: what was compared, and whether it passed."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from kerasvision.report.html import (
    Markup,
    badge,
    file_size,
    folded,
    join,
    notice,
    percent,
    plural,
    table,
    tag,
)

HEADER = (
    "File",
    "Format",
    "Verdict",
    "Size",
    "Largest difference",
    "Same answer",
    "Keras",
    "File",
    "Images",
)
BOX_HEADER = (
    *HEADER[:4],
    "Boxes found too",
    "Boxes added",
    "Overlap",
    "Equal",
    "AP50, Keras",
    "AP50, file",
    "Images",
)
MASK_HEADER = (
    *HEADER[:4],
    "Gives",
    "Same class",
    "Overlap",
    "Largest difference",
    "Mean IoU, Keras",
    "Mean IoU, file",
    "Images",
)
VECTOR_HEADER = (
    *HEADER[:4],
    "Cosine, mean",
    "Cosine, least",
    "Same verdict",
    "True accepts, Keras",
    "True accepts, file",
    "False accepts, Keras",
    "False accepts, file",
    "Images",
)
EXPLAINED = (
    "Largest difference: of any probability, file against model. Same answer: share of the images on which "
    "both say the same class. Keras and File: the accuracy of the model and of the file."
)

BOX_EXPLAINED = (
    "Boxes found too: share of the boxes of the model that the file has too (same class, overlap of a half). "
    "Boxes added: share of the boxes of the file that the model has not. Overlap: mean IoU of those in both. "
    "Equal: to 1e-3 in scores and places; quantised files never are, and need not be. AP50 of Keras may be a "
    "little below that at the top of this page: files give the boxes above a threshold only."
)

MASK_EXPLAINED = (
    "Gives: what the file says of each pixel, and the size of that. Same class: share of the pixels at which "
    "model and file say the same. Overlap: mean IoU of the file's label maps with the model's. Largest "
    "difference: of any probability. Mean IoU: with the truth, over the classes that it has, at the size "
    "that the file gives; the figure at the top of this page is at the size of the photos."
)

VECTOR_EXPLAINED = (
    "Cosine: of the file's embedding of an image with that of Keras; 1 is the same direction. Same verdict: "
    "share of all pairs of the images that both call the same, or both different, at the threshold. True and "
    "false accepts: shares of the pairs of one identity and of two that are called the same at it, among the "
    "images that stayed with the run; they are fewer than those that the figures at the top of this page are "
    "of."
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
    changed = [_changed(certificate) for certificate in certificates]
    note = tag("p", EXPLAINED, class_="soft")
    return join(
        [table(HEADER, rows, caption="Export certificates", numeric=range(3, 9)), note, failed, changed]
    )


def _start(certificate: Mapping) -> tuple:
    """Return what every row begins with: file, format, verdict and size."""
    quantize = certificate.get("quantize")
    return (
        PurePath(str(certificate["file"])).name,
        f"{certificate['format']}, {quantize}" if quantize else str(certificate["format"]),
        badge("passed", "good") if certificate["passed"] else badge("FAILED", "error"),
        file_size(certificate["size"]) if certificate.get("size") else None,
    )


def _row(certificate: Mapping) -> tuple:
    return (
        *_start(certificate),
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


def _changed(
    certificate: Mapping, *, figure: str = "Accuracy", unit: str = "Images", most: int = 10
) -> Markup | None:
    """Return the classes whose figure in the file differs from that in Keras, the largest loss first."""
    scores = [(name, *values) for name, values in (certificate.get("per_class") or {}).items()]
    moved = [row for row in scores if None not in row and row[1] != row[2]]
    if not moved:
        return None
    moved.sort(key=lambda row: row[2] - row[1])
    rows = [(name, percent(keras), percent(file), f"{count:,}") for name, keras, file, count in moved[:most]]
    title = f"{PurePath(str(certificate['file'])).name}: {plural(len(moved), 'class', 'classes')} changed"
    header = ("Class", f"{figure}, Keras", f"{figure}, file", unit)
    return folded(title, table(header, rows, caption=title, numeric=(1, 2, 3)))


def box_exports(certificates: Sequence[Mapping]) -> Markup | None:
    """Return one row a certificate of a detector's file and, below, why any of them failed.

    Args:
        certificates: `DetectionCertificate.to_dict()` of every exported file.
    """
    if not certificates:
        return None
    rows = [_box_row(certificate) for certificate in certificates]
    failed = [_failure(certificate) for certificate in certificates if not certificate["passed"]]
    changed = [_changed(certificate, figure="AP50", unit="Boxes") for certificate in certificates]
    note = tag("p", BOX_EXPLAINED, class_="soft")
    shown = table(BOX_HEADER, rows, caption="Export certificates", numeric=range(3, len(BOX_HEADER)))
    return join([shown, note, failed, changed])


def _box_row(certificate: Mapping) -> tuple:
    return (
        *_start(certificate),
        percent(certificate["recall"]),
        percent(1 - certificate["precision"]),
        None if certificate["mean_iou"] is None else f"{certificate['mean_iou']:.3f}",
        percent(certificate["same"]),
        percent(certificate.get("ap50_model")),
        percent(certificate.get("ap50_file")),
        f"{certificate['count']:,}",
    )


def mask_exports(certificates: Sequence[Mapping]) -> Markup | None:
    """Return one row a certificate of a segmenter's file and, below, why any of them failed.

    Args:
        certificates: `SegmentationCertificate.to_dict()` of every exported file.
    """
    if not certificates:
        return None
    rows = [_mask_row(certificate) for certificate in certificates]
    failed = [_failure(certificate) for certificate in certificates if not certificate["passed"]]
    changed = [_changed(certificate, figure="IoU", unit="Pixels") for certificate in certificates]
    note = tag("p", MASK_EXPLAINED, class_="soft")
    shown = table(MASK_HEADER, rows, caption="Export certificates", numeric=(3, *range(5, len(MASK_HEADER))))
    return join([shown, note, failed, changed])


def _mask_row(certificate: Mapping) -> tuple:
    height, width = certificate["output_size"]
    apart = certificate["max_difference"]
    return (
        *_start(certificate),
        f"{certificate['output']}, {width} x {height}",
        f"{certificate['agreement']:.2%}",
        f"{certificate['overlap']:.3f}",
        None if apart is None else f"{apart:.2g}",
        *(
            None if certificate[name] is None else f"{certificate[name]:.3f}"
            for name in ("miou_model", "miou_file")
        ),
        f"{certificate['count']:,}",
    )


def vector_exports(certificates: Sequence[Mapping]) -> Markup | None:
    """Return one row a certificate of an embedder's file and, below, why any of them failed.

    Args:
        certificates: `EmbeddingCertificate.to_dict()` of every exported file.
    """
    if not certificates:
        return None
    rows = [_vector_row(certificate) for certificate in certificates]
    failed = [_failure(certificate) for certificate in certificates if not certificate["passed"]]
    note = tag("p", VECTOR_EXPLAINED, class_="soft")
    shown = table(VECTOR_HEADER, rows, caption="Export certificates", numeric=range(3, len(VECTOR_HEADER)))
    return join([shown, note, failed])


def _vector_row(certificate: Mapping) -> tuple:
    shares = {"agreement": 2, "true_accepts_model": 1, "true_accepts_file": 1}
    shares |= {"false_accepts_model": 2, "false_accepts_file": 2}
    return (
        *_start(certificate),
        f"{certificate['mean_cosine']:.5f}",
        f"{certificate['least_cosine']:.5f}",
        *(
            None if certificate[name] is None else f"{certificate[name]:.{digits}%}"
            for name, digits in shares.items()
        ),
        f"{certificate['count']:,}",
    )
