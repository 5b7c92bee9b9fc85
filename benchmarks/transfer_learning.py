"""Training a frozen network: against Keras as its guides do it, and from 500 photos to a phone file.

(a) JPEGs of 400 x 300, 10 epochs, everything after `import keras` included, MobileNetV2 at 160 px and
ResNet50 at 128 px: `keras.applications` + `trainable = False` + `fit` on `image_dataset_from_directory`,
against `train_classifier(strategy="freeze")` with its judging, Grad-CAM and report. Each arm runs in a
process of its own, in turn; figures are medians. Pixels are not cached on disk by either.

(f) 500 photos: check, train, judge, report, export as int8 TFLite with its certificate; from the start of
the process to its end.

Photos are made of the flowers in KERASVISION_DATA where that folder is there, so that accuracies mean
something with real weights (KERAS_HOME with MobileNetV2's, else weights are random); else they are made up.

Run: python benchmarks/transfer_learning.py [--photos 2000] [--epochs 10] [--rounds 3] [--only a|f]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import alternate, make_photos, median, print_table, run_arm, verdict
from PIL import Image

KERAS, OURS, PHONE = "keras", "kerasvision", "phone"
NETWORKS = {"mobilenet_v2": 160, "resnet50": 128}
BATCH = 32
FASTER, AIM, SECONDS, POINTS = 10.0, 20.0, 60.0, 0.01


def keras_arm(folder: str, network: str, epochs: int, weights: str | None) -> dict:
    """Train as the guides of Keras do it."""
    import keras

    size, start = NETWORKS[network], time.perf_counter()
    train, validation = (
        keras.utils.image_dataset_from_directory(
            Path(folder) / part, image_size=(size, size), batch_size=BATCH, seed=0, verbose=False
        )
        for part in ("train", "val")
    )
    classes = len(train.class_names)
    module, builder = {
        "mobilenet_v2": (keras.applications.mobilenet_v2, keras.applications.MobileNetV2),
        "resnet50": (keras.applications.resnet50, keras.applications.ResNet50),
    }[network]
    base = builder(include_top=False, weights=weights, pooling="avg", input_shape=(size, size, 3))
    base.trainable = False
    image = keras.Input((size, size, 3))
    x = base(module.preprocess_input(image), training=False)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        train.prefetch(2), validation_data=validation.prefetch(2), epochs=epochs, verbose=0
    ).history
    return {"wall": time.perf_counter() - start, "accuracy": history["val_accuracy"][-1]}


def our_arm(folder: str, network: str, epochs: int, weights: str | None) -> dict:
    """Train with the recipe."""
    import keras  # noqa: F401  (both arms are timed from here)

    start = time.perf_counter()
    import kerasvision as kv

    with tempfile.TemporaryDirectory() as out:
        data = kv.data.image_folder(folder, image_size=NETWORKS[network], batch_size=BATCH, cache=False)
        run = kv.recipes.train_classifier(
            data, Path(out) / "run", model=network, weights=weights, strategy="freeze", epochs=epochs
        )
        wall = time.perf_counter() - start
        return {"wall": wall, "accuracy": run.metrics["accuracy"], "seconds": run.record["seconds"]}


def phone_arm(folder: str, network: str, weights: str | None) -> dict:
    """Go the whole way from a folder of photos to a certified file."""
    import kerasvision as kv

    with tempfile.TemporaryDirectory() as out:
        marks = [time.perf_counter()]
        kv.data.check(folder)
        marks.append(time.perf_counter())
        data = kv.data.image_folder(folder, image_size=NETWORKS[network], cache=False)
        run = kv.recipes.train_classifier(
            data, Path(out) / "run", model=network, weights=weights, strategy="freeze"
        )
        marks.append(time.perf_counter())
        (file,) = run.export(Path(out) / "phone", formats=("tflite",), quantize="int8").files
        marks.append(time.perf_counter())
        names = ("check", "train", "export")
        parts = dict(zip(names, np.diff(marks).round(1).tolist(), strict=True))
        return {"passed": file.certificate.passed, "parts": parts, "accuracy": run.metrics["accuracy"]}


def write_flowers(source: Path, folder: Path, count: int, *, split: bool) -> Path:
    """Write JPEGs of 400 x 300 made of the small flowers; with `split`, four fifths of them as train/."""
    with np.load(source) as archive:
        images, labels = archive["images"], archive["labels"]
        names = archive["class_names_as_seen"]
    order = np.random.default_rng(0).permutation(len(images))[:count]
    for place, index in enumerate(order):
        part = ("train" if place < 0.8 * len(order) else "val") if split else "."
        file = folder / part / str(names[labels[index]]) / f"{place:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).resize((400, 300), Image.Resampling.BICUBIC).save(file, quality=92)
    return folder


def write_photos(folder: Path, count: int, *, split: bool) -> Path:
    """Write the photos of a benchmark: flowers where they are, else made up."""
    here = Path(__file__).resolve().parent.parent
    flowers = (
        Path(os.environ.get("KERASVISION_DATA", here.parent / "shared" / "data")) / "flowers32_5class.npz"
    )
    if flowers.is_file():
        return write_flowers(flowers, folder, count, split=split)
    print("KERASVISION_DATA has no flowers: photos are made up, accuracies mean nothing.", file=sys.stderr)
    if not split:
        return make_photos(folder, count, size=(300, 400), noise=12)
    make_photos(folder / "train", int(0.8 * count), size=(300, 400), noise=12)
    make_photos(folder / "val", count - int(0.8 * count), size=(300, 400), noise=12)
    return folder


def weights_of(network: str) -> str:
    """Return `imagenet` where Keras' cache has the weights, else `random`."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    return "imagenet" if any(home.glob(f"{network.replace('_v2', '_v2_weights')}*no_top.h5")) else "random"


def compare(arguments, folder: Path) -> None:
    write_photos(folder, arguments.photos, split=True)
    rows = []
    for network in arguments.networks:
        options = {
            "folder": folder,
            "network": network,
            "epochs": arguments.epochs,
            "weights": weights_of(network),
        }
        found = alternate((KERAS, OURS), lambda arm, o=options: run_arm(__file__, arm, **o), arguments.rounds)
        wall = {arm: median(found[arm], "wall") for arm in found}
        accuracy = {arm: median(found[arm], "accuracy") for arm in found}
        ratio, lost = wall[KERAS] / wall[OURS], accuracy[KERAS] - accuracy[OURS]
        same = verdict(lost, POINTS, at_least=False) if options["weights"] == "imagenet" else "random weights"
        rows.append(
            (
                network,
                f"{wall[KERAS]:.1f} s",
                f"{wall[OURS]:.1f} s",
                f"{ratio:.1f} x",
                verdict(ratio, FASTER) + f", aim {AIM:g}",
                f"{accuracy[KERAS]:.1%} / {accuracy[OURS]:.1%}",
                same,
            )
        )
        print(json.dumps(found[OURS][-1]), file=sys.stderr)
    print(f"(a) {arguments.photos} JPEGs of 400 x 300, {arguments.epochs} epochs, frozen backbone")
    print_table(
        ("network", "Keras", "kerasvision", "ratio", "", "accuracy Keras / ours", "points lost"), rows
    )


def phone(arguments, folder: Path) -> None:
    write_photos(folder, arguments.phone_photos, split=False)
    network, results = "mobilenet_v2", []
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        options = {"folder": folder, "network": network, "weights": weights_of(network)}
        results.append(run_arm(__file__, PHONE, **options) | {"wall": time.perf_counter() - start})
        print(json.dumps(results[-1]), file=sys.stderr)
    wall = median(results, "wall")
    print(f"(f) {arguments.phone_photos} photos to a certified int8 TFLite file, end to end")
    shown = ", ".join(f"{k} {v} s" for k, v in results[-1]["parts"].items())
    print_table(
        ("seconds", "", "of which", "certificate", "accuracy"),
        [
            (
                f"{wall:.1f}",
                verdict(wall, SECONDS, at_least=False),
                shown,
                "passed" if all(r["passed"] for r in results) else "FAILED",
                f"{results[-1]['accuracy']:.1%}",
            )
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--phone-photos", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--only", choices=("a", "f"))
    parser.add_argument("--arm", choices=(KERAS, OURS, PHONE), help=argparse.SUPPRESS)
    for name in ("--folder", "--network", "--weights"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    weights = None if arguments.weights == "random" else arguments.weights
    if arguments.arm == PHONE:
        print(json.dumps(phone_arm(arguments.folder, arguments.network, weights)))
    elif arguments.arm:
        arm = {KERAS: keras_arm, OURS: our_arm}[arguments.arm]
        print(json.dumps(arm(arguments.folder, arguments.network, arguments.epochs, weights)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.only != "f":
                compare(arguments, Path(folder) / "compare")
            if arguments.only != "a":
                phone(arguments, Path(folder) / "phone")


if __name__ == "__main__":
    main()
