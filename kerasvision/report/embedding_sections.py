"""The sections of an embedder's report: functions from values to markup, None when there is nothing."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerasvision.metrics import EmbeddingJudgement
from kerasvision.report import plots
from kerasvision.report.embedding_charts import distance_chart, roc_chart
from kerasvision.report.html import Markup, badge, join, percent, plural, table, tag
from kerasvision.report.pictures import picture
from kerasvision.report.sections import (
    SPLIT_ORDER,
    best_step,
    interval_bar,
    legend,
    phase_marks,
)

CURVES_LEAD = (
    "Validation is on identities that are not trained on; the epoch that accepts most pairs of one identity "
    "is kept. The watch tells whether the embedding learns: where no triplet is active any more there is "
    "nothing left to learn from, and where the spread falls towards 0 all images become one point. A loss "
    "that stays at its margin is that of a single point, or of guessing."
)
VERIFICATION_LEAD = (
    "Two images are called the same where their embeddings are no further apart than a threshold. A false "
    "accept is a pair of two identities that is called the same; a false reject is a pair of one identity "
    "that is not. A larger threshold makes fewer of the latter and more of the former."
)
ACCEPTS_LEAD = (
    "The nearest pairs of two identities. Those below the threshold are called the same, wrongly. Look for "
    "wrong labels, and for one person under two names, among them first."
)
REJECTS_LEAD = (
    "The farthest pairs of one identity. Those above the threshold are not called the same, wrongly. Look "
    "for wrong labels, bad crops and images that show nothing among them first."
)
RETRIEVAL_LEAD = (
    "Each held-out image is a question, and all others are ordered by their distance. Recall at k: an image "
    "of the same identity is among the nearest k. MAP at R: how purely the nearest are of it, as far as "
    "there are any. In a gallery one image of each identity is enrolled and the others are looked for; "
    "strangers are images of identities that are not in it."
)
MAP_LEAD = (
    "Each dot is a held-out image, each colour an identity. Near dots are near in the embedding, as far as "
    "two dimensions can show it; judge by the figures, not by the map."
)
DATA_LEAD = (
    "No identity is in two splits by its name: who is judged was never trained on, unless under another "
    "name. check(…, identities=True) finds photos that lie under two names."
)


def headline(judgement: EmbeddingJudgement) -> Markup:
    """Return the share of true accepts in plain words, with its interval, and the error rate."""
    found, asked = judgement.verification, judgement.false_accept_rate
    rate = found.at(asked)
    first = tag(
        "p",
        f"of the pairs of one identity are accepted as the same, where {percent(asked)} of the pairs of two "
        "identities are. "
        f"{plural(judgement.identities, 'identity', 'identities')} that were never trained on, "
        f"{plural(judgement.count, 'image')}.",
    )
    rest = [
        f"The shipped threshold, {judgement.threshold:.4g}, was chosen on validation identities: here it "
        f"accepts {percent(judgement.true_accept_rate)} of the pairs of one identity and "
        f"{percent(judgement.measured_false_accept_rate, 2)} of the pairs of two.",
        f"Equal error rate: {percent(found.eer)}.",
    ]
    scale = None
    if rate.interval:
        low, high = rate.interval
        rest.insert(
            0,
            f"On other identities of the same kind expect {percent(low)} to {percent(high)} (95 % interval).",
        )
        scale = interval_bar("True accepts", rate.true_accept_rate, low, high)
    words = tag("div", first, tag("p", " ".join(rest), class_="soft"), scale, class_="words")
    return tag("div", tag("div", percent(rate.true_accept_rate), class_="big"), words, class_="hero")


def curves(history: Sequence[Mapping], margin: float | str | None) -> Markup | None:
    """Return loss, validation and the collapse watch over all epochs."""
    if not history:
        return None
    drawn = [
        _curve(history, "Loss", ("loss", "val_loss"), ("training", "validation")),
        _curve(
            history,
            "Validation",
            ("val_true_accept_rate", "val_eer"),
            ("true accepts", "equal error rate"),
            best=(0, max),
            as_percent=True,
        ),
        _curve(
            history,
            "Watch",
            ("active", "spread"),
            ("active triplets", "spread of the embedding"),
            as_percent=True,
        ),
        _curve(
            history,
            "Distances in training batches",
            ("positive_distance", "negative_distance"),
            ("of one identity", "of two identities"),
        ),
    ]
    asked = None
    if isinstance(margin, int | float):
        asked = tag("p", f"The margin of the loss is {margin:g}.", class_="soft")
    return join([tag("div", drawn, class_="grid"), asked])


def _curve(
    history: Sequence[Mapping],
    title: str,
    columns: Sequence[str],
    names: Sequence[str],
    *,
    best=None,
    as_percent: bool = False,
) -> Markup | None:
    lines = [[row.get(column) for row in history] for column in columns]
    kept = [i for i, line in enumerate(lines) if any(value is not None for value in line)]
    if not kept:
        return None
    lines, names = [lines[i] for i in kept], [names[i] for i in kept]
    step = best and kept[0] == best[0] and best_step(lines[best[0]], best[1])
    if step:
        names[best[0]] += " (dot: its best)"
    chart = plots.line_chart(
        f"{title} over {plural(len(history), 'epoch')}: {', '.join(names)}",
        lines,
        x_label="Epoch",
        marks=phase_marks(history),
        as_percent=as_percent,
        best=(best[0], step) if step else None,
    )
    return tag("figure", tag("h3", title), legend(names), chart)


def verification(judgement: EmbeddingJudgement, histogram) -> Markup:
    """Return the ROC curve, the distances of pairs, and true accepts at several rates of false ones."""
    found = judgement.verification
    header = ("False accepts allowed", "True accepts", "95 % interval", "Threshold", "False accepts measured")
    shown = table(
        header,
        [_rate_row(rate) for rate in found.rates],
        caption="True accepts at rates of false accepts",
        numeric=range(1, 5),
    )
    reasons = [tag("li", rate.reason) for rate in found.rates if rate.reason]
    figures = [tag("figure", tag("h3", "True accepts over false accepts (ROC)"), roc_chart(judgement))]
    if histogram is not None:
        figures.append(tag("figure", tag("h3", "Distances of pairs"), distance_chart(judgement, histogram)))
    counted = tag(
        "p",
        f"{plural(found.genuine, 'pair')} of one identity, {plural(found.impostors, 'pair')} of two. "
        f"Equal error rate {percent(found.eer)}{_bracketed(found.eer_interval)}, area under the curve "
        f"{found.auc:.4f}.",
    )
    why = tag("ul", reasons, class_="soft") if reasons else None
    return join([counted, tag("div", figures, class_="grid"), shown, why])


def _rate_row(rate) -> tuple:
    return (
        percent(rate.false_accept_rate, 2),
        percent(rate.true_accept_rate),
        _range(rate.interval),
        None if rate.threshold is None else f"{rate.threshold:.4g}",
        percent(rate.measured, 2),
    )


def _bracketed(interval) -> str:
    return "" if interval is None else f" ({_range(interval)})"


def pairs(items: Sequence, threshold: float) -> Markup | None:
    """Return pairs of images, each with whether it is judged wrongly at a threshold."""
    return tag("div", [_pair(item, threshold) for item in items], class_="pictures") if items else None


def _pair(item, threshold: float) -> Markup:
    shown = [
        picture(image, f"{identity}: {name}")
        for image, identity, name in zip(item.images, item.identities, item.names, strict=True)
    ]
    first, second = item.identities
    who = [tag("b", first)] if item.same else [tag("b", first), " and ", tag("b", second)]
    wrong = item.same != (item.distance <= threshold)
    verdict = (
        badge("false reject" if item.same else "false accept", "error") if wrong else badge("right", "good")
    )
    caption = tag(
        "figcaption",
        who,
        f": {item.distance:.3f} apart (threshold {threshold:.3f}) ",
        verdict,
        tag("br"),
        tag("span", " | ".join(item.names), class_="file"),
    )
    return tag("figure", tag("div", shown, class_="pair"), caption)


def retrieval(judgement: EmbeddingJudgement) -> Markup:
    """Return how often the nearest images are of the same identity, among all and in a gallery."""
    found = judgement.retrieval
    rows = [(f"Recall at {k}", percent(share), None) for k, share in found.recall.items()]
    rows[0] = (*rows[0][:2], _range(found.recall_interval))
    rows.append(("MAP at R", percent(found.map_at_r), _range(found.map_at_r_interval)))
    header = ("Figure", "Value", "95 % interval")
    shown = table(header, rows, caption="Retrieval", numeric=(1, 2))
    asked = plural(found.queries, "question")
    near = tag("div", tag("h3", f"Among all held-out images ({asked})"), shown)
    gallery = _gallery(judgement, header)
    return tag("div", near, gallery, class_="grid")


def _gallery(judgement: EmbeddingJudgement, header) -> Markup | None:
    closed, strangers = judgement.identification, judgement.open_set
    rows = []
    if closed is not None:
        # From a rank as high as there are identities on, every answer is right.
        rows += [
            (f"Right at rank {rank}", percent(share), _range(closed.interval) if rank == 1 else None)
            for rank, share in closed.rates.items()
            if rank < closed.identities
        ]
    if strangers is not None:
        rows += [
            (
                f"Found, {percent(rate.false_accept_rate)} of strangers taken for somebody "
                f"(threshold {rate.threshold:.4g})",
                percent(rate.true_accept_rate),
                _range(rate.interval),
            )
            for rate in strangers.rates
            if rate.true_accept_rate is not None
        ]
    if not rows:
        return None
    shown = table(header, rows, caption="Identification", numeric=(1, 2))
    return tag("div", tag("h3", "In a gallery with one image of each"), shown)


def _range(interval) -> str | None:
    return None if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def data(counts: Mapping[str, Mapping[str, int]]) -> Markup | None:
    """Return how many identities and images each split has, and the identities with the fewest images."""
    splits = sorted(counts, key=lambda s: (SPLIT_ORDER.index(s) if s in SPLIT_ORDER else 9, s))
    if not splits:
        return None
    rows = []
    for split in splits:
        images = np.array([count for count in counts[split].values() if count])
        rows.append(
            (
                split.capitalize(),
                f"{len(images):,}",
                f"{images.sum():,}",
                f"{images.min():,}",
                f"{np.median(images):.4g}",
                f"{images.max():,}",
                f"{(images == 1).sum():,}",
            )
        )
    header = ("Split", "Identities", "Images", "Fewest each", "Median", "Most", "With one image only")
    return table(header, rows, caption="Identities and images of each split", numeric=range(1, 7))
