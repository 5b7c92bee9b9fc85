"""From embeddings of held-out identities to `metrics.json`, the worst pairs, a map, and `report.html`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.picking import Picked
from kerasvision.data.wording import listed
from kerasvision.errors import DataError, RunError
from kerasvision.files import read_json, write_atomically, write_json
from kerasvision.metrics import EmbeddingJudgement, judge_embeddings
from kerasvision.recipes import run_folder
from kerasvision.recipes.embedding_pairs import LookedAt, look_at_pairs, make_map
from kerasvision.recipes.embedding_samples import several_of_each
from kerasvision.recipes.judging import facts as shared_facts
from kerasvision.recipes.judging import judged_split
from kerasvision.report import (
    DistanceHistogram,
    EmbeddingMap,
    EmbeddingReportInput,
    JudgedPair,
    embedder_page,
)

MOST_JUDGED = 10_000  # images of a split: 50 million pairs
MOST_VALIDATED = 3_000  # images that are embedded after each epoch
MOST_ON_MAP, EACH_ON_MAP = 300, 12  # of few identities there are more of each
WIDE_INTERVAL = 0.1  # of true accepts
FEW_TO_CHOOSE_BY = 20  # identities below which a threshold is a guess: 4 gave 11 % for 1 % on ORL
FEW_IDENTITIES = 100  # trained on, below which more of them help more than any setting
PHASES = {"freeze": "Head alone", "finetune": "Head and backbone", "scratch": "From scratch"}


@dataclass(frozen=True, eq=False)
class Judged:
    """What held-out identities say.

    Attributes:
        judgement: over all of them.
        embeddings: (n, d) float32.
        indices: (n,) which images of the split they are of.
    """

    judgement: EmbeddingJudgement
    embeddings: np.ndarray
    indices: np.ndarray


def chosen_images(data, split: str, most: int, seed: int) -> np.ndarray:
    """Return the indices of the images that are judged: all, or of many as even a choice as possible."""
    labels = data.splits[split].labels
    if len(labels) <= most:
        return np.arange(len(labels))
    return data.class_balanced(split, most, seed=seed)


def embed_split(embeds, data, split: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings (n, d) of a split, and which of its images they are of.

    Args:
        embeds: a run, an exported file or another `Embeds`.
        data: a `VisionData`.
        split: which one.
        seed: of the choice where there are very many.
    """
    samples = data.splits[split]
    indices = chosen_images(data, split, MOST_JUDGED, seed)
    sources, names = Picked(samples.sources, indices), Picked(samples.names, indices)
    return embeds.embed_sources(sources, names)[0], indices


def judge_on(embeds, data, split: str, *, seed: int = 0) -> Judged:
    """Judge an embedder on a split, at its threshold.

    Args:
        embeds: a run or an exported file.
        data: a `VisionData` of identities.
        split: which one.
        seed: of intervals.

    Raises:
        DataError: not two identities, or no two images of one.
    """
    check_pairs(data.splits[split].labels, split)
    return _judged(embeds, data, split, embeds.false_accept_rate, embeds.threshold, seed)


def choose_threshold(embeds, data, false_accept_rate: float, *, seed: int = 0) -> Judged:
    """Judge an embedder on the validation identities, at the threshold that is right for them.

    Args:
        embeds: an `Embeds` without a threshold.
        data: a `VisionData` of identities.
        false_accept_rate: share of pairs of two identities that may be called the same.
        seed: of intervals.
    """
    return _judged(embeds, data, "validation", false_accept_rate, None, seed)


def _judged(embeds, data, split: str, rate: float, threshold: float | None, seed: int) -> Judged:
    embeddings, indices = embed_split(embeds, data, split, seed)
    labels = np.asarray(data.splits[split].labels)[indices]
    judgement = judge_embeddings(
        embeddings,
        labels,
        distance=embeds.distance,
        false_accept_rate=rate,
        threshold=threshold,
        seed=seed,
    )
    return Judged(judgement, embeddings, indices)


def check_pairs(labels: np.ndarray, split: str) -> None:
    """Refuse identities that leave nothing to compare.

    Raises:
        DataError: not two identities, or no two images of one.
    """
    images = np.bincount(labels)
    if (images > 0).sum() < 2 or images.max(initial=0) < 2:
        raise DataError(
            f"The {split} split must have at least two identities, and two images of one of them. It has "
            f"{(images > 0).sum()}, with at most {images.max(initial=0)} images each."
        )


def write_metrics(folder: Path, judgements: Mapping[str, EmbeddingJudgement]) -> None:
    """Write `metrics.json`: the judgement of the test split where there is one, else of validation.

    Beside the judgement's own values it holds `split`, and under `validation` the other judgement.
    """
    split = judged_split(judgements)
    value = {"split": split} | judgements[split].to_dict()
    if split == "test":
        value["validation"] = judgements["validation"].to_dict()
    write_json(folder / run_folder.METRICS, value)


def judgement_of(metrics: Mapping) -> EmbeddingJudgement:
    """Return the judgement out of what `metrics.json` holds."""
    return EmbeddingJudgement.from_dict(
        {k: v for k, v in metrics.items() if k not in ("split", "validation")}
    )


@dataclass(frozen=True, eq=False)
class Shown:
    """What the report shows beside figures.

    Attributes:
        pairs: the nearest of two identities and the farthest of one.
        histogram: of the distances of pairs.
        map: of the embedding.
    """

    pairs: Sequence[JudgedPair]
    histogram: DistanceHistogram
    map: EmbeddingMap


def look(judged: Judged, data, split: str, seed: int) -> Shown:
    """Return the pictures and charts of a judged split."""
    samples, indices = data.splits[split], judged.indices
    labels, distance = np.asarray(samples.labels)[indices], judged.judgement.distance
    found = look_at_pairs(judged.embeddings, labels, distance=distance)
    each = max(EACH_ON_MAP, MOST_ON_MAP // judged.judgement.identities)
    mapped = several_of_each(labels, MOST_ON_MAP, each, seed)
    return Shown(
        pairs=_pictures(found, data, split, indices),
        histogram=found.histogram,
        map=make_map(
            judged.embeddings[mapped],
            labels[mapped],
            data.class_names,
            [samples.names[indices[i]] for i in mapped],
            distance=distance,
            seed=seed,
        ),
    )


def _pictures(found: LookedAt, data, split: str, indices: np.ndarray) -> list[JudgedPair]:
    pairs = [*found.nearest, *found.farthest]
    places = indices[[place for pair in pairs for place in (pair.first, pair.second)]]
    images, samples = data.images(split, places), data.splits[split]
    names = [samples.names[i] for i in places]
    who = [data.class_names[samples.labels[i]] for i in places]
    return [
        JudgedPair(
            names=(names[2 * k], names[2 * k + 1]),
            identities=(who[2 * k], who[2 * k + 1]),
            images=(images[2 * k], images[2 * k + 1]),
            distance=pair.distance,
        )
        for k, pair in enumerate(pairs)
    ]


def write_shown(path: str | os.PathLike, shown: Shown) -> None:
    """Write what the report shows, so that it can be written again after an export."""
    arrays = {
        "pair_names": np.array([pair.names for pair in shown.pairs], dtype=np.str_),
        "pair_identities": np.array([pair.identities for pair in shown.pairs], dtype=np.str_),
        "pair_images": np.array([pair.images for pair in shown.pairs], np.uint8),
        "pair_distances": np.array([pair.distance for pair in shown.pairs], np.float64),
        "edges": shown.histogram.edges,
        "same": shown.histogram.same,
        "different": shown.histogram.different,
        "map_points": shown.map.points,
        "map_labels": shown.map.labels,
        "map_identities": np.array(shown.map.identities, dtype=np.str_),
        "map_names": np.array(shown.map.names, dtype=np.str_),
        "map_method": np.array(shown.map.method),
    }
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


def read_shown(path: str | os.PathLike) -> Shown:
    """Read what `write_shown` wrote.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in archive.files}
        pairs = zip(
            parts["pair_names"].tolist(),
            parts["pair_identities"].tolist(),
            parts["pair_images"],
            parts["pair_distances"].tolist(),
            strict=True,
        )
        return Shown(
            pairs=[
                JudgedPair(tuple(names), tuple(who), tuple(images), apart)
                for names, who, images, apart in pairs
            ],
            histogram=DistanceHistogram(*(parts[name] for name in ("edges", "same", "different"))),
            map=EmbeddingMap(
                points=parts["map_points"],
                labels=parts["map_labels"],
                identities=tuple(parts["map_identities"].tolist()),
                names=tuple(parts["map_names"].tolist()),
                method=str(parts["map_method"]),
            ),
        )
    except DAMAGED as error:
        raise RunError(f"{os.fspath(path)} is missing or damaged ({error}).") from None


def report_input(folder: Path) -> EmbeddingReportInput:
    """Gather what the report of a finished run shows from its folder."""
    record = run_folder.read_record(folder, run_folder.EMBEDDER)
    metrics = read_json(folder / run_folder.METRICS)
    judgement, shown = judgement_of(metrics), read_shown(folder / run_folder.EXAMPLES)
    certificates = sorted((folder / run_folder.CERTIFICATES).glob("*.json"))
    return EmbeddingReportInput(
        title=f"{folder.name}: embedding of identities",
        facts=facts(record, metrics),
        advice=advice(record, metrics, judgement),
        judgement=judgement,
        history=run_folder.read_history(folder),
        margin=record["decided"]["margin"],
        histogram=shown.histogram,
        counts=record["data"]["counts"],
        pairs=shown.pairs,
        map=shown.map,
        certificates=[read_json(path) for path in certificates],
        skipped=record["data"]["skipped"],
        notes=record["data"]["notes"],
    )


def write_report(folder: Path) -> None:
    """Write `report.html` from what lies in the folder."""
    with write_atomically(folder / run_folder.REPORT, "w") as file:
        file.write(embedder_page(report_input(folder)))


def facts(record: Mapping, metrics: Mapping) -> dict[str, str]:
    """Return what the report tells of a run, in the order of display."""
    decided, arguments = record["decided"], record["arguments"]
    shown = shared_facts(record, metrics, record["data"]["images"])
    identities = _identities(record)
    own = {
        "Backbone": decided["backbone"],
        "Parameters": f"{decided['parameters']:,}",
        "Embedding": f"{decided['dimensions']} numbers an image, {arguments['distance']} distance",
        "Identities": ", ".join(f"{count:,} {split}" for split, count in identities.items()),
        "Strategy": shown.pop("Strategy"),
        "Loss": _loss(arguments, decided),
        "Batches": f"{arguments['identities']} identities, {arguments['per_identity']} images of each",
        "Settings": f"{decided['settings']}; rate {arguments['schedule']}",
    }
    own |= {name: decided[phase] for phase, name in PHASES.items() if decided.get(phase)}
    for name in ("Model", "Training"):
        shown.pop(name, None)
    return own | shown


def _identities(record: Mapping) -> dict[str, int]:
    """Return how many identities each split has."""
    counts = record["data"]["counts"]
    return {split: sum(1 for count in counts[split].values() if count) for split in counts}


def _loss(arguments: Mapping, decided: Mapping) -> str:
    text = arguments["loss"]
    if arguments["mining"] is not None:
        text += f", {arguments['mining'].replace('_', '-')} mining"
    return text if decided["margin"] is None else f"{text}, margin {decided['margin']}"


def advice(record: Mapping, metrics: Mapping, judgement: EmbeddingJudgement) -> list[str]:
    """Return sentences worth the reader's while."""
    sentences = []
    found, asked = judgement.verification, judgement.false_accept_rate
    interval = found.at(asked).interval
    if interval and interval[1] - interval[0] > WIDE_INTERVAL:
        sentences.append(
            f"True accepts are only known to lie between {interval[0]:.0%} and {interval[1]:.0%}: "
            f"{judgement.identities} identities are few. Differences between two trainings that are smaller "
            "than this may be chance."
        )
    if metrics["split"] == "validation":
        sentences.append(
            "The same identities chose the best epoch and the threshold, so the figures are a little "
            "flattering. With more identities, set a test split aside "
            "(`by_identity_split=(0.7, 0.15, 0.15)`)."
        )
    elif judgement.measured_false_accept_rate > 2 * asked:
        sentences.append(
            f"The threshold was chosen for {asked:.2%} false accepts, and on the test identities "
            f"{judgement.measured_false_accept_rate:.2%} were measured: the validation identities are too "
            "few, or too unlike them, to choose it. Use more of them, or ask for a lower `false_accept_rate`."
        )
    identities = _identities(record)
    trained, chosen = identities["train"], identities["validation"]
    if chosen < FEW_TO_CHOOSE_BY:
        sentences.append(
            f"The threshold was chosen on {chosen} identities, which are few: on others its false accepts "
            f"may be several times the {asked:.2%} that were asked for. Choose it with more of them before "
            "it guards anything."
        )
    if trained < FEW_IDENTITIES:
        sentences.append(
            f"{trained} identities were trained on. More identities help more than more images of each, and "
            "more than any setting."
        )
    return [*record["decided"].get("advice", ()), *sentences]  # of a collapse before all that follows from it


def warnings_about(data) -> list[str]:
    """Return what the splits say before any training: identities with one image."""
    images = np.bincount(data.splits["train"].labels)
    single = [data.class_names[i] for i in np.flatnonzero(images == 1)]
    if not single:
        return []
    return [
        f"There is one image only of {listed(single)} in training: no other image can be pulled towards it, "
        "and it serves as a negative alone."
    ]
