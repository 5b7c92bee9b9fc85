"""Predicting on a folder of photos: `Run.predict` against `model.predict`.

MobileNetV2 at 160 px, JPEGs of 400 x 300. `model.predict` reads them through
`image_dataset_from_directory`. Both are timed from the folder to the answers, the model loaded before.
"converting" includes the conversion of the model, which training does for a network of this size (here the
kept file is deleted first); "kept" is with the converted model that lies in the run folder. Each arm runs in
a process of its own, in turn; figures are medians.

Run: python benchmarks/predict.py [--photos 2000] [--rounds 3]
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from common import alternate, make_photos, median, print_table, run_arm, verdict

KERAS, OURS, TRAIN = "model.predict", "Run.predict", "train"
SIZE, FASTER, CLOSE = 160, 2.0, 1e-2


def train_arm(folder: str, run: str) -> dict:
    """Leave a run for the other arms; its weights are random, which costs the same."""
    import kerasvision as kv

    data = kv.data.image_folder(folder, image_size=SIZE, cache=False)
    kv.recipes.train_classifier(data, run, weights=None, strategy="freeze", rehearse_export=False)
    return {}


def keras_arm(folder: str, run: str) -> dict:
    import keras

    model = keras.saving.load_model(Path(run) / "model.keras", compile=False)
    start = time.perf_counter()
    photos = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(SIZE, SIZE), batch_size=32, shuffle=False, verbose=False
    )
    answers = model.predict(photos.prefetch(2), verbose=0)
    return {"wall": time.perf_counter() - start, "mean": answers.max(1).mean().item(), "count": len(answers)}


def our_arm(folder: str, run: str) -> dict:
    import kerasvision as kv

    opened = kv.recipes.Run.load(run)
    _ = opened.model
    shutil.rmtree(Path(run) / "cache", ignore_errors=True)  # so that every round converts
    start = time.perf_counter()
    answers = opened.predict(folder, top=1)
    wall = time.perf_counter() - start
    opened.predict(folder, top=1)
    again = time.perf_counter() - start - wall
    return {
        "wall": wall,
        "again": again,
        "mean": float(np.mean([p.probability for p in answers])),
        "count": len(answers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=(KERAS, OURS, TRAIN), help=argparse.SUPPRESS)
    for name in ("--folder", "--run"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        arm = {KERAS: keras_arm, OURS: our_arm, TRAIN: train_arm}[arguments.arm]
        print(json.dumps(arm(arguments.folder, arguments.run)))
        return
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder) / "photos", arguments.photos, size=(300, 400), noise=12)
        few = make_photos(Path(folder) / "few", 40, size=(300, 400), noise=12)
        run = Path(folder) / "run"
        run_arm(__file__, TRAIN, folder=few, run=run)
        found = alternate(
            (KERAS, OURS), lambda arm: run_arm(__file__, arm, folder=photos, run=run), arguments.rounds
        )
    wall = {arm: median(found[arm], "wall") for arm in found}
    again = median(found[OURS], "again")
    ratio, kept = wall[KERAS] / wall[OURS], wall[KERAS] / again
    # The two read photos with different resizing, so the answers are near each other, not equal.
    apart = abs(median(found[KERAS], "mean") - median(found[OURS], "mean"))
    print(f"(e) {arguments.photos} JPEGs of 400 x 300, MobileNetV2 at {SIZE} px")
    print_table(
        ("model.predict", "converting", "ratio", "kept", "ratio", "", "mean probabilities apart"),
        [
            (
                f"{wall[KERAS]:.1f} s",
                f"{wall[OURS]:.1f} s",
                f"{ratio:.1f} x",
                f"{again:.1f} s",
                f"{kept:.1f} x",
                verdict(kept, FASTER),
                f"{apart:.4f}: {verdict(apart, CLOSE, at_least=False)}",
            )
        ],
    )


if __name__ == "__main__":
    main()
