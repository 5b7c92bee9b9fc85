"""From a trained detector and held-out images to `metrics.json`, the worst images, and `report.html`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision.data.boxes import ImageBoxes
from kerasvision.data.wording import listed
from kerasvision.errors import RunError
from kerasvision.files import read_json, write_atomically, write_json
from kerasvision.metrics import DetectionJudgement, Detections, judge_detections, worst_images
from kerasvision.recipes import run_folder
from kerasvision.recipes.detection_samples import pack_boxes, unpack_boxes
from kerasvision.recipes.detection_training import seen_boxes
from kerasvision.recipes.found_boxes import detect, thresholds_of
from kerasvision.recipes.judging import WIDE_INTERVAL, judged_split
from kerasvision.recipes.judging import facts as shared_facts
from kerasvision.report import DetectionReportInput, DetectionScene, detector_page
from kerasvision.report.box_pictures import LONGEST

SCENES_SHOWN = 12
FEW_BOXES = 50
LOST = 0.1  # AP50 of a class below which it counts as not found
PHASES = {"freeze": "Heads alone", "finetune": "Heads and backbone", "scratch": "From scratch"}


def find_on(function, data, split: str) -> list[Detections]:
    """Return what is found on a split, in pixels of the photos."""
    samples = data.splits[split]
    found, _ = detect(function, data.preprocessing, samples.sources, samples.names)
    return [
        Detections(data.preprocessing.unplace(one.boxes, boxes.size), one.labels, one.scores)
        for one, boxes in zip(found, samples.boxes, strict=True)
    ]


def truth_on(data, split: str) -> list[ImageBoxes]:
    """Return what is annotated on a split, in pixels of the photos, as far as the detector can see it.

    Only `resize="crop"` hides anything: what it cuts off is not asked for.
    """
    boxes = data.splits[split].boxes
    if data.preprocessing.resize != "crop":
        return list(boxes)
    return [
        ImageBoxes(one.size, data.preprocessing.unplace(seen.boxes, one.size), seen.labels, seen.crowd)
        for one, seen in zip(boxes, seen_boxes(data, split), strict=True)
    ]


def judge_splits(data, found: Mapping[str, Sequence[Detections]]) -> dict[str, DetectionJudgement]:
    """Judge each split by what was found on it, in pixels of the photos."""
    return {
        split: judge_detections(truth_on(data, split), values, data.class_names)
        for split, values in found.items()
    }


def write_metrics(folder: Path, judgements: Mapping[str, DetectionJudgement]) -> None:
    """Write `metrics.json`: the judgement of the test split where there is one, else of validation.

    Beside the judgement's own values it holds `split`, and under `validation` the other judgement.
    """
    split = judged_split(judgements)
    value = {"split": split} | judgements[split].to_dict()
    if split == "test":
        value["validation"] = judgements["validation"].to_dict()
    write_json(folder / run_folder.METRICS, value)


def judgement_of(metrics: Mapping) -> DetectionJudgement:
    """Return the judgement out of what `metrics.json` holds."""
    return DetectionJudgement.from_dict(
        {k: v for k, v in metrics.items() if k not in ("split", "validation")}
    )


def worst_scenes(
    data, split: str, found: Sequence[Detections], judgement: DetectionJudgement
) -> list[DetectionScene]:
    """Return the images with the most mistakes at the best thresholds, the worst first."""
    truth, classes = truth_on(data, split), len(data.class_names)
    thresholds = thresholds_of(judgement)
    worst = worst_images(truth, found, classes, thresholds=thresholds, count=SCENES_SHOWN)
    return [_scene(data, split, int(i), truth[i], found[i], thresholds) for i in worst]


def _scene(data, split, index, truth: ImageBoxes, found: Detections, thresholds) -> DetectionScene:
    from kerasvision.metrics import match_detections

    samples = data.splits[split]
    shown = Detections(*(value[found.scores >= thresholds[found.labels]] for value in _values(found)))
    matches = match_detections([truth], [shown], len(data.class_names))
    right = np.zeros(len(shown.scores), bool)
    right[matches.found.source[matches.hits | matches.ignored]] = True
    image = _small(samples.sources[index], samples.names[index])
    scale = np.array([image.shape[1] / truth.size[1], image.shape[0] / truth.size[0]] * 2)
    return DetectionScene(
        name=samples.names[index],
        image=image,
        truth=truth.boxes * scale,
        truth_labels=truth.labels,
        missed=~matches.taken & ~truth.crowd,
        found=shown.boxes * scale,
        found_labels=shown.labels,
        scores=shown.scores,
        wrong=~right,
    )


def _values(found: Detections):
    return found.boxes, found.labels, found.scores


def _small(source, name: str) -> np.ndarray:
    from kerasvision.data import open_image

    image = open_image(source, (LONGEST, LONGEST), name=name)
    image.thumbnail((LONGEST, LONGEST))
    return np.asarray(image)


def write_scenes(path: str | os.PathLike, scenes: Sequence[DetectionScene]) -> None:
    """Write what the report shows of images, so that it can be written again after an export."""
    sizes = [scene.image.shape[:2] for scene in scenes]
    truth = [
        ImageBoxes(size, s.truth, s.truth_labels, crowd=s.missed)
        for size, s in zip(sizes, scenes, strict=True)
    ]
    found = [
        ImageBoxes(size, s.found, s.found_labels, crowd=s.wrong)
        for size, s in zip(sizes, scenes, strict=True)
    ]
    arrays = {f"truth/{name}": value for name, value in pack_boxes(truth).items()}
    arrays |= {f"found/{name}": value for name, value in pack_boxes(found).items()}
    arrays |= {f"image/{i:02d}": scene.image for i, scene in enumerate(scenes)}
    arrays["scores"] = np.concatenate([np.zeros(0), *(scene.scores for scene in scenes)])
    arrays["name"] = np.array([scene.name for scene in scenes], dtype=np.str_)
    with write_atomically(path) as file:
        np.savez_compressed(file, **arrays)


def read_scenes(path: str | os.PathLike) -> list[DetectionScene]:
    """Read what `write_scenes` wrote.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in archive.files}
        images = [parts[name] for name in sorted(parts) if name.startswith("image/")]
        sizes = [image.shape[:2] for image in images]
        truth, found = (
            unpack_boxes({k.split("/")[1]: v for k, v in parts.items() if k.startswith(f"{kind}/")}, sizes)
            for kind in ("truth", "found")
        )
        scores = np.split(parts["scores"], np.cumsum(parts["found/counts"])[:-1]) if images else []
        return [
            DetectionScene(str(name), image, t.boxes, t.labels, t.crowd, f.boxes, f.labels, score, f.crowd)
            for name, image, t, f, score in zip(parts["name"], images, truth, found, scores, strict=True)
        ]
    except DAMAGED as error:
        raise RunError(f"{os.fspath(path)} is missing or damaged ({error}).") from None


def report_input(folder: Path) -> DetectionReportInput:
    """Gather what the report of a finished run shows from its folder."""
    record = run_folder.read_record(folder, run_folder.DETECTOR)
    metrics = read_json(folder / run_folder.METRICS)
    judgement = judgement_of(metrics)
    certificates = sorted((folder / run_folder.CERTIFICATES).glob("*.json"))
    return DetectionReportInput(
        title=f"{folder.name}: {listed(judgement.class_names)}",
        facts=facts(record, metrics),
        advice=advice(record, metrics, judgement),
        judgement=judgement,
        history=run_folder.read_history(folder),
        counts=record["data"]["counts"],
        scenes=read_scenes(folder / run_folder.EXAMPLES),
        certificates=[read_json(path) for path in certificates],
        skipped=record["data"]["skipped"],
        notes=record["data"]["notes"],
    )


def write_report(folder: Path) -> None:
    """Write `report.html` from what lies in the folder."""
    with write_atomically(folder / run_folder.REPORT, "w") as file:
        file.write(detector_page(report_input(folder)))


def facts(record: Mapping, metrics: Mapping) -> dict[str, str]:
    """Return what the report tells of a run, in the order of display."""
    decided = record["decided"]
    shown = shared_facts(record, metrics, record["data"]["images"])
    own = {"Detector": decided["model"], "Backbone": decided["backbone"]}
    own["Parameters"] = f"{decided['parameters']:,}"
    if decided.get("anchors"):
        own["Anchors"] = decided["anchors"]
    own["Strategy"] = shown.pop("Strategy")
    own["Settings"] = decided["settings"]
    for phase, name in PHASES.items():
        if decided.get(phase):
            own[name] = decided[phase]
    for name in ("Model", "Training"):
        shown.pop(name, None)
    return own | shown


def advice(record: Mapping, metrics: Mapping, judgement: DetectionJudgement) -> list[str]:
    """Return sentences worth the reader's while."""
    sentences = []
    counts = record["data"]["counts"]["train"]
    if judgement.ap50_interval:
        low, high = judgement.ap50_interval
        if high - low > WIDE_INTERVAL:
            sentences.append(
                f"AP50 is only known to lie between {low:.0%} and {high:.0%}: {judgement.count} images are "
                "few. Differences between two trainings that are smaller than this may be chance."
            )
    if metrics["split"] == "validation":
        sentences.append(
            "The same images chose the best epoch, so AP50 is a little flattering. With more images, set a "
            "test split aside (`test_fraction=0.1`)."
        )
    few = [name for name, count in counts.items() if count < FEW_BOXES]
    if few:
        sentences.append(
            f"Fewer than {FEW_BOXES} training boxes of {listed(few)}: more photos of these will help more "
            "than any setting."
        )
    if not record["arguments"].get("class_balance") and min(counts.values()) * 5 < max(counts.values()):
        sentences.append(
            "Some classes have many more boxes than others. If the rare ones matter as much, train with "
            "`class_balance=True`."
        )
    lost = [
        scores.name for scores in judgement.per_class if scores.support and (scores.coco.ap50 or 0) < LOST
    ]
    if lost:
        sentences.append(
            f"AP50 below {LOST:.0%}, so hardly found: {listed(lost)}. Longer training, larger images or more "
            "boxes may help; do not ship this yet."
        )
    unknown = [scores.name for scores in judgement.per_class if not scores.support]
    if unknown:
        sentences.append(f"No held-out box of {listed(unknown)}: how well it is found is not known.")
    return sentences + list(record["decided"].get("advice", ()))
