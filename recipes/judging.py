"""From a trained model and held-out images to metrics, mistakes with Grad-CAM, and the report."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasvision.data.wording import listed
from kerasvision.errors import RunError
from kerasvision.files import read_json, write_atomically, write_json
from kerasvision.metrics import Judgement, judge, worst_mistakes
from kerasvision.recipes import run_folder
from kerasvision.report import Mistake, ReportInput, classifier_page

MISTAKES_SHOWN = 12
WIDE_INTERVAL, MANY_PER_CLASS, IMBALANCE, MISCALIBRATED = 0.08, 30, 3.0, 0.05


def judge_splits(probabilities: Mapping[str, np.ndarray], data) -> dict[str, Judgement]:
    """Judge each split by its probabilities (n, classes), in the order of the split."""
    return {
        split: judge(data.splits[split].labels, values, data.class_names)
        for split, values in probabilities.items()
    }


def write_metrics(folder: Path, judgements: Mapping[str, Judgement]) -> None:
    """Write `metrics.json`: the judgement of the test split where there is one, else of validation.

    Beside the judgement's own values it holds `split`, and under `validation` the other judgement.
    """
    split = judged_split(judgements)
    value = {"split": split} | judgements[split].to_dict()
    if split == "test":
        value["validation"] = judgements["validation"].to_dict()
    write_json(folder / run_folder.METRICS, value)


def judged_split(splits) -> str:
    """Return the split that the figures are of."""
    return "test" if "test" in splits else "validation"


def judgement_of(metrics: Mapping) -> Judgement:
    """Return the judgement out of what `metrics.json` holds."""
    return Judgement.from_dict({k: v for k, v in metrics.items() if k not in ("split", "validation")})


def find_mistakes(model, data, split: str, probabilities: np.ndarray) -> list[Mistake]:
    """Return the most confident wrong answers, each with where the model looked."""
    from kerasvision.explain import gradcam

    samples = data.splits[split]
    worst = worst_mistakes(samples.labels, probabilities, MISTAKES_SHOWN)
    if not len(worst):
        return []
    images = data.images(split, worst)
    heats = gradcam(model, images, classes=probabilities[worst].argmax(1).tolist())
    return [
        Mistake(
            name=samples.names[int(index)],
            truth=data.class_names[samples.labels[index]],
            predicted=data.class_names[probabilities[index].argmax()],
            probability=float(probabilities[index].max()),
            image=image,
            heat=heat,
        )
        for index, image, heat in zip(worst, images, heats, strict=True)
    ]


def write_mistakes(path: str | os.PathLike, mistakes: Sequence[Mistake]) -> None:
    """Write what the report shows of mistakes, so that it can be written again after an export."""
    text = ("name", "truth", "predicted")
    arrays = {field: np.array([getattr(m, field) for m in mistakes], dtype=np.str_) for field in text}
    arrays["probability"] = np.array([m.probability for m in mistakes], np.float32)
    if mistakes:
        arrays["image"] = np.stack([m.image for m in mistakes])
        arrays["heat"] = np.stack([m.heat for m in mistakes]).astype(np.float16)
    with write_atomically(path) as file:
        np.savez(file, **arrays)


def read_mistakes(path: str | os.PathLike) -> list[Mistake]:
    """Read what `write_mistakes` wrote.

    Raises:
        RunError: it is not there or damaged.
    """
    from kerasvision.training.checkpoints import DAMAGED

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            parts = {name: archive[name] for name in archive.files}
        return [
            Mistake(
                name=str(parts["name"][i]),
                truth=str(parts["truth"][i]),
                predicted=str(parts["predicted"][i]),
                probability=float(parts["probability"][i]),
                image=parts["image"][i],
                heat=parts["heat"][i].astype(np.float32),
            )
            for i in range(len(parts["name"]))
        ]
    except DAMAGED as error:
        raise RunError(f"{os.fspath(path)} is missing or damaged ({error}).") from None


def report_input(folder: Path) -> ReportInput:
    """Gather what the report of a finished run shows from its folder."""
    record = run_folder.read_record(folder)
    metrics = read_json(folder / run_folder.METRICS)
    judgement = judgement_of(metrics)
    certificates = sorted((folder / run_folder.CERTIFICATES).glob("*.json"))
    return ReportInput(
        title=f"{folder.name}: {listed(judgement.class_names)}",
        facts=facts(record, metrics),
        advice=advice(record, metrics, judgement),
        judgement=judgement,
        history=run_folder.read_history(folder),
        counts=record["data"]["counts"],
        mistakes=read_mistakes(folder / run_folder.MISTAKES),
        certificates=[read_json(path) for path in certificates],
        skipped=record["data"]["skipped"],
        notes=record["data"]["notes"],
    )


def write_report(folder: Path) -> None:
    """Write `report.html` from what lies in the folder."""
    with write_atomically(folder / run_folder.REPORT, "w") as file:
        file.write(classifier_page(report_input(folder)))


def facts(record: Mapping, metrics: Mapping, images: Mapping[str, int] | None = None) -> dict[str, str]:
    """Return what the report tells of a run, in the order of display.

    Args:
        record: what run.json holds.
        metrics: what metrics.json holds.
        images: number of images by split; by default the sum of the counts by class.
    """
    arguments, decided, data = record["arguments"], record["decided"], record["data"]
    counts = images or {split: sum(classes.values()) for split, classes in data["counts"].items()}
    weights = arguments["weights"]
    shown = {
        "Model": f"{decided['model']}, {decided['parameters']:,} parameters",
        "Weights at the start": "random" if weights is None else str(weights),
        "Strategy": f"{decided['strategy']}: {decided['strategy_why']}",
        "Images": ", ".join(f"{count:,} {split}" for split, count in counts.items()),
        "Image size": f"{data['image_size'][0]} x {data['image_size'][1]} pixels",
        "Figures are of": f"the {metrics['split']} split, {metrics['count']:,} images",
        "Data": data["origin"],
    }
    for key, name in (("features", "Features"), ("head", "Head"), ("finetune", "Training")):
        if decided.get(key):
            shown[name] = decided[key]
    seconds = record["seconds"]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "total")
    shown["Seconds"] = f"{seconds.get('total', 0):.1f} ({parts})"
    shown["Seed"] = str(record["seed"])
    shown["Versions"] = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    return shown


def advice(record: Mapping, metrics: Mapping, judgement: Judgement) -> list[str]:
    """Return sentences worth the reader's while."""
    low, high = judgement.accuracy_interval
    classes = {name: count for name, count in record["data"]["counts"].get("train", {}).items() if count}
    sentences = []
    if high - low > WIDE_INTERVAL:
        sentences.append(
            f"The accuracy is only known to lie between {low:.0%} and {high:.0%}: {judgement.count} images "
            "are few. Differences between two trainings that are smaller than this may be chance."
        )
    if metrics["split"] == "validation":
        sentences.append(
            "The same images chose the best epoch, so the accuracy is a little flattering. With more images, "
            "set a test split aside (`test_fraction=0.1`)."
        )
    few = [name for name, count in classes.items() if count < MANY_PER_CLASS]
    if few:
        sentences.append(
            f"Fewer than {MANY_PER_CLASS} training images for {listed(few)}: more photos of "
            "these classes will help more than any setting."
        )
    if classes and max(classes.values()) > IMBALANCE * min(classes.values()):
        if record["arguments"].get("class_weights") is None:
            sentences.append(
                "Some classes have many more images than others. If the rare ones matter as much, "
                'train with `class_weights="auto"`.'
            )
    if judgement.calibration_error > MISCALIBRATED:
        sentences.append(
            f"The probabilities are off by {judgement.calibration_error:.0%} on average; divided by a "
            f"temperature of {judgement.temperature:.2f} before the softmax they would be off by "
            f"{judgement.calibration_error_after:.0%}."
        )
    return sentences + list(record["decided"].get("advice", ()))
