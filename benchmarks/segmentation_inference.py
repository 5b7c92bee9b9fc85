"""Segmenters at work: judging a whole validation split, and the latency of their TFLite files.

(a) Images a second of judging drawn scenes with every figure of the report (IoU and boundary F-score of each
class, at the size of the masks), against Keras' way: `model.predict` and `keras.metrics.MeanIoU`, which
gives one figure, at the network's size. Both in one process, in turn, after one pass that traces.

(b) Milliseconds of one image, on one thread and on all, for each network and each way to quantise it.
Weights are random: they do not change the time.

Run: python benchmarks/segmentation_inference.py [--models unet,fcn_8s,…] [--size 192] [--images 96]
     [--rounds 3] [--only a|b]
"""

import argparse
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from common import print_table, verdict

CLASSES, BATCH, WANTED = 11, 8, 1.0
MODELS = "unet,fcn_8s,pspnet,deeplab_v3_plus,segformer_b0"
OPTIONS = {"deeplab_v3_plus": {"filters": 128}, "segformer_b0": {"backbone": None}}
QUANTIZE = (None, "float16", "dynamic", "int8")


def network(name: str, size: int, classes: int = CLASSES) -> keras.Model:
    """Return a segmenter with random weights, on MobileNetV2 where it has a backbone."""
    from kerasvision.segmentation import segmenter

    keras.utils.set_random_seed(0)
    return segmenter(name, classes=classes, image_size=size, **OPTIONS.get(name, {}))


def scenes(size: int, images: int):
    """Return drawn scenes, all of them for validation."""
    from kerasvision.data import shapes

    return shapes("segment", count=images, image_size=size, batch_size=BATCH, validation_fraction=0.999)


def theirs(model, data) -> float:
    """Return the mean IoU as Keras gives it, batch by batch so that memory stays."""
    metric = keras.metrics.MeanIoU(
        len(data.class_names), ignore_class=255, sparse_y_true=True, sparse_y_pred=False
    )
    for images, masks in data.dataset("validation"):
        metric.update_state(masks, model.predict_on_batch(images))
    return float(metric.result())


def judging(name: str, size: int, images: int, rounds: int) -> tuple:
    """Return a row of (a)."""
    from kerasvision.recipes.label_network import LabelNetwork
    from kerasvision.recipes.segmentation_judging import judge_on

    data = scenes(size, images)
    model = network(name, size, len(data.class_names))
    ours = LabelNetwork.of_model(model, data.preprocessing)
    arms = {"keras": lambda: theirs(model, data), "ours": lambda: judge_on(ours, data, "validation")}
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for turn in range(rounds + 1):
        for arm, run in arms.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[arm].append(time.perf_counter() - started)
    count = len(data.splits["validation"])
    speed = {arm: count / float(np.median(found)) for arm, found in seconds.items()}
    ratio = float(np.median(np.divide(seconds["keras"], seconds["ours"])))
    return name, f"{speed['keras']:.1f}", f"{speed['ours']:.1f}", f"{ratio:.2f} x", verdict(ratio, WANTED)


def latencies(name: str, size: int, folder: Path) -> list[tuple]:
    """Return the rows of (b) for one network."""
    from kerasvision._litert import convert
    from kerasvision.export import benchmark

    model, rows = network(name, size), []
    calibration = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    for quantize in QUANTIZE:
        file = folder / f"{name}_{quantize}.tflite"
        file.write_bytes(
            convert(model, quantize=quantize, calibration=calibration if quantize == "int8" else None)
        )
        found = benchmark(file, runs=20)
        times = [f"{timing.p50:.1f}" for timing in found.timings]
        rows.append((name, quantize or "float32", f"{file.stat().st_size / 1e6:.1f}", *times))
    return rows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    for name, default in (("size", 192), ("images", 96), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=("a", "b"))
    given = parser.parse_args()
    names = given.models.split(",")
    if given.only != "b":
        rows = [judging(name, given.size, given.images, given.rounds) for name in names]
        print(f"images a second in judging, {given.size} pixels\n")
        print_table(("model", "Keras", "kerasvision", "ratio", ""), rows)
    if given.only != "a":
        with tempfile.TemporaryDirectory() as folder:
            rows = [row for name in names for row in latencies(name, given.size, Path(folder))]
        print(f"milliseconds of an image of {given.size} pixels, on one thread and on all\n")
        print_table(("model", "file", "MB", "one", "all"), rows)


if __name__ == "__main__":
    main()
