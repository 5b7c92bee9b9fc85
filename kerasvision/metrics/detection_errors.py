"""What kind of mistake a detector makes, and how much AP each kind costs.

Every wrong detection and every box that was not found is put into one of six kinds; then one kind at a time
is mended, and the AP that this gains is what the kind costs. The gains do not add up to 1 - AP, because
mistakes hide one another.

Source: Bolya et al., 2020, "TIDE: A general toolbox for identifying object detection errors",
https://arxiv.org/abs/2008.08115.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from kerasvision.metrics.detection_curves import average_precision, records
from kerasvision.metrics.detection_matching import Matches, Pairs, match_detections

# What a detection can be. The order of the wrong ones is the order in which they are looked for.
RIGHT, IGNORED = "right", "ignored"
LOCALISATION, CLASSIFICATION, DUPLICATE = "localisation", "classification", "duplicate"
BACKGROUND, BOTH, MISSED = "background", "both", "missed"
KINDS = (CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED)


@dataclass(frozen=True)
class ErrorCost:
    """One kind of mistake.

    Attributes:
        kind: `"classification"`, `"localisation"`, `"both"`, `"duplicate"`, `"background"` or `"missed"`.
        count: how many there are.
        ap_lost: AP50 that mending all of them would gain; None where no box counts.
    """

    kind: str
    count: int
    ap_lost: float | None


@dataclass(frozen=True)
class DetectionErrors:
    """What the mistakes of a detector cost.

    Attributes:
        ap: the AP that the costs refer to.
        kinds: one `ErrorCost` a kind.
        false_positives: AP that removing every wrong detection would gain.
        false_negatives: AP that no longer asking for any box that was not found would gain.
    """

    ap: float | None
    kinds: tuple[ErrorCost, ...]
    false_positives: float | None
    false_negatives: float | None

    def to_dict(self) -> dict:
        """Return plain values for JSON."""
        return {**asdict(self), "kinds": [asdict(kind) for kind in self.kinds]}

    @classmethod
    def from_dict(cls, values: Mapping) -> "DetectionErrors":
        """Return what `to_dict` was called on."""
        return cls(**{**values, "kinds": tuple(ErrorCost(**kind) for kind in values["kinds"])})


@dataclass(frozen=True, eq=False)
class ErrorKinds:
    """The kind of each detection and of each box.

    Attributes:
        found: (detections,) str, `"right"`, `"ignored"` or a kind of mistake, by rows of `matches.found`.
        aim: (detections,) int64, row of the box that a wrong class or place was meant for, or that a
            duplicate found again; -1 for the others.
        missed: (boxes,) bool: not found, and no detection has only its class or only its place wrong.
    """

    found: np.ndarray
    aim: np.ndarray
    missed: np.ndarray


def error_costs(truth: Sequence, found: Sequence, classes: int, *, iou: float = 0.5) -> DetectionErrors:
    """Say how much AP each kind of mistake costs.

    A detection that is wrong is, the first that fits,

    - `localisation`: overlaps a box of its class, but by less than `iou` (and at least 0.1);
    - `classification`: overlaps a box of another class by `iou`;
    - `duplicate`: overlaps a box of its class that a better-scored detection has found;
    - `background`: overlaps no box by 0.1;
    - `both`: class and place are wrong.

    A box that is not found is `missed` unless one of the first two kinds was meant for it. Mending gives a
    detection of these two the class or the place of its box, for the best-scored one; the others are taken
    away, as are duplicates, background and both; missed boxes are no longer asked for.

    Unlike TIDE's own program, boxes and detections match as in COCO (the best 100 of an image and class), so
    that the AP is the AP50 of `judge_detections`. Classes without a box are left out, and one of which every
    box was missed counts as 1 without them (there as 0, as if missing them cost nothing).

    Args:
        truth: one `ImageBoxes` an image.
        found: one `Detections` an image, in the same order.
        classes: how many classes there are.
        iou: overlap from which a detection has found a box.

    Raises:
        KerasvisionError: shapes, labels or values that do not fit.
    """
    return errors_of(match_detections(truth, found, classes, iou=iou), classes)


def errors_of(matches: Matches, classes: int) -> DetectionErrors:
    """Say how much AP each kind of mistake costs, for ready matches."""
    kinds = kinds_of(matches)
    before = _average_precisions(matches, classes)
    ap = float(np.mean(list(before.values()))) if before else None

    def gain(mended: Matches) -> float | None:
        # A class of which no box is left to ask for has nothing wrong with it that this would not mend.
        after = _average_precisions(mended, classes)
        return None if ap is None else max(0.0, float(np.mean([after.get(c, 1.0) for c in before])) - ap)

    return DetectionErrors(
        ap=ap,
        kinds=tuple(ErrorCost(k, _count(kinds, k), gain(mend(matches, kinds, k))) for k in KINDS),
        false_positives=gain(_without(matches, ~matches.hits)),
        false_negatives=gain(_not_asking_for(matches, ~matches.taken)),
    )


def kinds_of(matches: Matches) -> ErrorKinds:
    """Put every detection and every box into its kind."""
    truth, found = matches.truth, matches.found
    pairs = matches.pairs.select(~truth.crowd[matches.pairs.truth])
    same = found.labels[pairs.found] == truth.labels[pairs.truth]
    close = pairs.iou >= matches.iou
    count = len(found.image)
    kind, aim = np.full(count, BACKGROUND, "<U14"), np.full(count, -1)
    kind[pairs.found] = BOTH
    # From the last to the first that is looked for, so that the first one stays.
    for name, fits in (
        (DUPLICATE, same & close & matches.taken[pairs.truth]),
        (CLASSIFICATION, ~same & close),
        (LOCALISATION, same),
    ):
        box = _nearest(pairs.select(fits), count)
        # A box of its class that it overlaps enough leaves it a duplicate, not badly placed.
        hit = box >= 0
        if name == LOCALISATION:
            hit[pairs.found[same & close]] = False
        kind[hit], aim[hit] = name, box[hit]
    kind[matches.ignored], kind[matches.hits] = IGNORED, RIGHT
    aim[matches.ignored | matches.hits | np.isin(kind, (BACKGROUND, BOTH))] = -1
    meant = np.zeros(len(truth.image), bool)
    meant[aim[np.isin(kind, (LOCALISATION, CLASSIFICATION))]] = True
    return ErrorKinds(kind, aim, ~matches.taken & ~truth.crowd & ~meant)


def mend(matches: Matches, kinds: ErrorKinds, kind: str) -> Matches:
    """Return the matches as they would be without mistakes of one kind."""
    if kind == MISSED:
        return _not_asking_for(matches, kinds.missed)
    wrong = kinds.found == kind
    if kind not in (CLASSIFICATION, LOCALISATION):
        return _without(matches, wrong)
    saved = wrong & _best_of_their_box(matches, kinds)
    labels, partner = matches.found.labels.copy(), matches.partner.copy()
    partner[saved] = kinds.aim[saved]
    labels[saved] = matches.truth.labels[kinds.aim[saved]]
    taken = matches.taken.copy()
    taken[kinds.aim[saved]] = True
    mended = replace(matches, found=replace(matches.found, labels=labels), partner=partner, taken=taken)
    return _without(mended, wrong & ~saved)


def _average_precisions(matches: Matches, classes: int) -> dict[int, float]:
    """Return the AP of each class that occurs."""
    values = {c: average_precision(records(matches, c)) for c in range(classes)}
    return {c: value for c, value in values.items() if value is not None}


def _best_of_their_box(matches: Matches, kinds: ErrorKinds) -> np.ndarray:
    """Return the mask of the best-scored detection that mending could give to each free box.

    Badly placed and wrongly named ones compete, as in TIDE's own program, so that costs can be compared.
    """
    rows = np.flatnonzero(np.isin(kinds.found, (CLASSIFICATION, LOCALISATION)))
    rows = rows[~matches.taken[kinds.aim[rows]]]  # by falling score within an image, and so within a box
    _, first = np.unique(kinds.aim[rows], return_index=True)
    best = np.zeros(len(kinds.found), bool)
    best[rows[first]] = True
    return best


def _nearest(pairs: Pairs, count: int) -> np.ndarray:
    """Return for each detection the box that it overlaps most, of equal ones the first; -1 without any."""
    order = np.lexsort((-pairs.truth, pairs.iou, pairs.found))
    box = np.full(count, -1)
    box[pairs.found[order]] = pairs.truth[order]  # the last one stays
    return box


def _without(matches: Matches, gone: np.ndarray) -> Matches:
    return replace(matches, ignored=matches.ignored | gone)


def _not_asking_for(matches: Matches, boxes: np.ndarray) -> Matches:
    return replace(matches, truth=replace(matches.truth, crowd=matches.truth.crowd | boxes))


def _count(kinds: ErrorKinds, kind: str) -> int:
    return int(kinds.missed.sum() if kind == MISSED else (kinds.found == kind).sum())
