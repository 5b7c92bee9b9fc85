"""From label maps of held-out photos to `metrics.json`, the worst images, and `report.html`."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import RunError
from kerasvision.files import read_json, write_atomically, write_json
from kerasvision.metrics import SegmentationJudgement, SegmentationTally
from kerasvision.metrics.segmentation import VOID
from kerasvision.recipes import run_folder
from kerasvision.recipes.judging import WIDE_INTERVAL, judged_split
from kerasvision.recipes.judging import facts as shared_facts
from kerasvision.recipes.label_network import LabelNetwork, label_photos
from kerasvision.recipes.viewing import WHOLE, Viewing
from kerasvision.report import LabelScene, SegmentationReportInput, segmenter_page
from kerasvision.report.mask_pictures import LONGEST, smaller_labels

WORST_IMAGES, WORST_CLASSES = 8, 4
FEW_IMAGES = 20  # training images with a class below which it is learned badly
LOST = 0.1  # IoU of a class below which it counts as not found
UNEVEN = 50.0  # most frequent class over rarest, in pixels, from which on weights are worth a try
FRAMES = 8  # images whose names differ by a number only, from which on they count as a sequence
PHASES = {"freeze": "Heads alone", "finetune": "Heads and backbone", "scratch": "From scratch"}


@dataclass(frozen=True, eq=False)
class Judged:
    """What held-out photos say, and which of them are worth looking at.

    Attributes:
        judgement: over all of them.
        worst: (index, why), first the images with the largest share of wrong pixels, then for the worst
            classes those on which most of them is missed, which is said.
    """

    judgement: SegmentationJudgement
    worst: tuple[tuple[int, str], ...]


def judge_on(
    network: LabelNetwork, data, split: str, viewing: Viewing = WHOLE, places: np.ndarray | None = None
) -> Judged:
    """Judge a segmenter on a split, at the size of the original masks.

    Each photo is labelled, counted and forgotten: memory does not grow with their number.

    Args:
        network: what finds the labels.
        data: a `VisionData` with masks.
        split: which one.
        viewing: how photos are shown to the network.
        places: (classes of the data,) the place of each among `data.class_names` of the network; default: the
            same.
    """
    samples = data.splits[split]
    count, names = len(samples.labels), data.class_names
    tally = SegmentationTally(names)
    missed, shares = np.zeros((count, len(names)), np.int64), np.zeros(count)
    to_network = np.full(VOID + 1, VOID, np.uint8)
    to_network[: len(names) if places is None else len(places)] = (
        np.arange(len(names)) if places is None else places
    )
    held: dict[int, np.ndarray] = {}

    def size_of(index: int) -> tuple[int, int]:
        held[index] = to_network[samples.masks.read(index)]
        return held[index].shape

    found = label_photos(network, samples.sources, samples.names, viewing=viewing, sizes=size_of)
    for index, answers in found:
        # What `resize="crop"` cuts off cannot be seen, and is not asked for.
        truth = np.where(answers == VOID, np.uint8(VOID), held.pop(index))
        counted = truth != VOID
        wrong = counted & (truth != answers)
        missed[index] = np.bincount(truth[wrong], minlength=len(names))[: len(names)]
        shares[index] = wrong.sum() / max(1, counted.sum())
        tally.add(truth, answers)
    judgement = tally.judgement()
    return Judged(judgement, _worst(judgement, shares, missed))


def _worst(judgement: SegmentationJudgement, shares: np.ndarray, missed: np.ndarray) -> tuple:
    order = np.argsort(-shares, kind="stable")[:WORST_IMAGES]
    chosen = {int(i): "" for i in order if shares[i] > 0}
    present = [(one.iou, label) for label, one in enumerate(judgement.per_class) if one.pixels]
    for _, label in sorted(present)[:WORST_CLASSES]:
        index = int(missed[:, label].argmax())
        if missed[index, label]:
            name = judgement.class_names[label]
            chosen[index] = f"{chosen[index]} and {name}" if chosen.get(index) else f"Misses most of {name}"
    return tuple(chosen.items())


def worst_scenes(
    network: LabelNetwork, data, split: str, worst: Sequence[tuple[int, str]]
) -> list[LabelScene]:
    """Return pictures of the images that are worth looking at."""
    samples, scenes = data.splits[split], []
    if not worst:
        return scenes
    indices = [index for index, _ in worst]
    truths = [samples.masks.read(index) for index in indices]
    sources, names = ([values[index] for index in indices] for values in (samples.sources, samples.names))
    found = label_photos(network, sources, names, sizes=lambda place: truths[place].shape)
    for place, answers in found:
        image = _small(sources[place], names[place])
        truth, answers = (smaller_labels(labels, image.shape[:2]) for labels in (truths[place], answers))
        scenes.append(LabelScene(names[place], image, truth, answers, worst[place][1]))
    return scenes


def _small(source, name: str) -> np.ndarray:
    from kerasvision.data import open_image

    image = open_image(source, (LONGEST, LONGEST), name=name)
    image.thumbnail((LONGEST, LONGEST))
    return np.asarray(image)


def write_metrics(folder: Path, judgements: Mapping[str, SegmentationJudgement]) -> None:
    """Write `metrics.json`: the judgement of the test split where there is one, else of validation.

    Beside the judgement's own values it holds `split`, and under `validation` the other judgement.
    """
    split = judged_split(judgements)
    value = {"split": split} | judgements[split].to_dict()
    if split == "test":
        value["validation"] = judgements["validation"].to_dict()
    write_json(folder / run_folder.METRICS, value)


def judgement_of(metrics: Mapping) -> SegmentationJudgement:
    """Return the judgement out of what `metrics.json` holds."""
    return SegmentationJudgement.from_dict(
        {k: v for k, v in metrics.items() if k not in ("split", "validation")}
    )


def write_scenes(path: str | os.PathLike, scenes: Sequence[LabelScene]) -> None:
    """Write what the report shows of images, so that it can be written again after an export."""
    arrays = {f"{kind}/{i:02d}": getattr(s, kind) for i, s in enumerate(scenes) for kind in _PICTURES}
    arrays |= {kind: np.array([getattr(s, kind) for s in scenes], dtype=np.str_) for kind in ("name", "why")}
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


_PICTURES = ("image", "truth", "found")


def read_scenes(path: str | os.PathLike) -> list[LabelScene]:
    """Read what `write_scenes` wrote.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in archive.files}
        return [
            LabelScene(
                name=str(parts["name"][i]),
                why=str(parts["why"][i]),
                **{kind: parts[f"{kind}/{i:02d}"] for kind in _PICTURES},
            )
            for i in range(len(parts["name"]))
        ]
    except DAMAGED as error:
        raise RunError(f"{os.fspath(path)} is missing or damaged ({error}).") from None


def report_input(folder: Path) -> SegmentationReportInput:
    """Gather what the report of a finished run shows from its folder."""
    record = run_folder.read_record(folder, run_folder.SEGMENTER)
    metrics = read_json(folder / run_folder.METRICS)
    judgement = judgement_of(metrics)
    certificates = sorted((folder / run_folder.CERTIFICATES).glob("*.json"))
    return SegmentationReportInput(
        title=f"{folder.name}: {listed(judgement.class_names)}",
        facts=facts(record, metrics),
        advice=advice(record, metrics, judgement),
        judgement=judgement,
        history=run_folder.read_history(folder),
        images=record["data"]["images"],
        counts=record["data"]["counts"],
        pixels=record["decided"]["pixels"],
        void=record["decided"]["void"],
        scenes=read_scenes(folder / run_folder.EXAMPLES),
        certificates=[read_json(path) for path in certificates],
        skipped=record["data"]["skipped"],
        notes=record["data"]["notes"],
    )


def write_report(folder: Path) -> None:
    """Write `report.html` from what lies in the folder."""
    with write_atomically(folder / run_folder.REPORT, "w") as file:
        file.write(segmenter_page(report_input(folder)))


def facts(record: Mapping, metrics: Mapping) -> dict[str, str]:
    """Return what the report tells of a run, in the order of display."""
    decided, arguments = record["decided"], record["arguments"]
    shown = shared_facts(record, metrics, record["data"]["images"])
    own = {"Segmenter": decided["model"], "Backbone": decided["backbone"]}
    own["Parameters"] = f"{decided['parameters']:,}"
    own["Strategy"] = shown.pop("Strategy")
    own["Loss"] = str(arguments["loss"]) + (
        "" if arguments["class_weights"] is None else f", class weights {_shown(arguments['class_weights'])}"
    )
    own["Settings"] = f"{decided['settings']}; rate {arguments['schedule']}"
    for phase, name in PHASES.items():
        if decided.get(phase):
            own[name] = decided[phase]
    for name in ("Model", "Training"):
        shown.pop(name, None)
    return own | shown


def _shown(weights) -> str:
    return weights if isinstance(weights, str) else "given"


def advice(record: Mapping, metrics: Mapping, judgement: SegmentationJudgement) -> list[str]:
    """Return sentences worth the reader's while."""
    sentences = []
    if judgement.mean_iou_interval:
        low, high = judgement.mean_iou_interval
        if high - low > WIDE_INTERVAL:
            sentences.append(
                f"Mean IoU is only known to lie between {low:.0%} and {high:.0%}: {judgement.count} images "
                "are few. Differences between two trainings that are smaller than this may be chance."
            )
    if metrics["split"] == "validation":
        sentences.append(
            "The same images chose the best epoch, so mean IoU is a little flattering. With more images, set "
            "a test split aside (`test_fraction=0.1`)."
        )
    called = judgement.confusion.sum(0)
    occurring = [(i, one) for i, one in enumerate(judgement.per_class) if one.pixels]
    never = [one.name for i, one in occurring if not called[i]]
    if never:
        sentences.append(
            f"Never answered, though it is there: {listed(never)}. Try "
            '`class_weights="auto"`, `loss="cross_entropy+0.5*dice"`, larger images or more epochs.'
        )
    lost = [one.name for i, one in occurring if called[i] and one.iou < LOST]
    if lost:
        sentences.append(
            f"IoU below {LOST:.0%}, so hardly found: {listed(lost)}. Longer training, larger images or more "
            "of them may help; do not ship this yet."
        )
    unknown = [one.name for one in judgement.per_class if not one.pixels]
    if unknown:
        sentences.append(
            f"No held-out pixel of {listed(unknown)}: how well it is found is not known"
            + (", and mean IoU leaves it out unless it is answered wrongly." if len(unknown) == 1 else ".")
        )
    uneven = _uneven(record["decided"]["pixels"]["train"], judgement.class_names)
    if uneven and record["arguments"].get("class_weights") is None and not never:
        sentences.append(uneven)
    return sentences + list(record["decided"].get("advice", ()))


def _uneven(pixels: Sequence[int], names: Sequence[str]) -> str | None:
    there = [(count, name) for count, name in zip(pixels, names, strict=True) if count]
    (least, rarest), (most, largest) = min(there), max(there)
    if most < UNEVEN * least:
        return None
    return (
        f"There are {most / least:,.0f} times as many training pixels of {largest} as of {rarest}. If rare "
        'classes matter as much, train with `class_weights="auto"`, which finds more of them and calls more '
        "pixels so wrongly."
    )


def warnings_about(data) -> list[str]:
    """Return what the splits say before any training: absent and rare classes, sequences cut apart."""
    sentences = []
    counts = data.counts
    trained = {name for name, count in counts["train"].items() if count}
    untaught = [name for name in data.class_names if name not in trained]
    if untaught:
        sentences.append(f"No training image has {listed(untaught)}: it cannot be learned.")
    few = [name for name, count in counts["train"].items() if 0 < count < FEW_IMAGES]
    if few:
        sentences.append(
            f"Fewer than {FEW_IMAGES} training images with {listed(few)}: more photos with it will help more "
            "than any setting."
        )
    absent = [name for name in data.class_names if name in trained and not counts["validation"][name]]
    if absent:
        sentences.append(
            f"No validation image has {listed(absent)}, so the best epoch is chosen without regard to it."
        )
    shared = _shared_sequences(data)
    if shared:
        sentences.append(
            f"By their names, images of {listed(shared)} are in the training split and among the held-out "
            "ones. If these are frames of one video or photos of one place, the figures are flattering: "
            "`kerasvision.data.check` looks closer, and splits should keep them together."
        )
    return sentences


def _shared_sequences(data) -> list[str]:
    """Return the beginnings of names that training and held-out images share, where there are several."""
    from kerasvision.data.doctor.sequences import frame_of

    names = {split: [os.fspath(name) for name in part.names] for split, part in data.splits.items()}
    found = {split: Counter(frame[0] for n in ns if (frame := frame_of(n))) for split, ns in names.items()}
    every = sum(found.values(), Counter())
    sequences = [name for name, count in every.items() if name and count >= FRAMES]
    if len(sequences) < 2:  # one numbering of all images says nothing
        return []
    held_out = sum((found[split] for split in found if split != "train"), Counter())
    return sorted(name for name in sequences if found["train"][name] and held_out[name])
