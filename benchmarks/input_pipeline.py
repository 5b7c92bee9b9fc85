"""Reading photos: speed and memory against `keras.utils.image_dataset_from_directory`.

Large photos (12 megapixels, 4 to 5 MB) at 224 pixels: images per CPU second and memory of the first epoch,
and images per second of later epochs from the cache of decoded pixels. Then the memory for 1,000 and for
20,000 small images. Each arm runs in a process of its own, in turn; figures are medians.

Run: python benchmarks/input_pipeline.py [--photos 40] [--rounds 3]
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from common import Usage, alternate, make_photos, median, print_table, run_arm, verdict

SIZE, BATCH = 224, 32
KERAS, NUMPY, TF, CACHED = "keras", "kerasvision", "kerasvision tf.data", "kerasvision cached"
SMALL = "memory"
FASTER, LEANER, LATER = 1.4, 0.2, 10.0


def keras_pipeline(folder: str) -> dict:
    import keras

    def epoch():
        dataset = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False
        )
        return sum(len(labels) for _, labels in dataset)

    return _measured(epoch)


def numpy_pipeline(folder: str) -> dict:
    from kerasvision.data import image_folder

    data = image_folder(folder, image_size=SIZE, batch_size=BATCH, validation_fraction=0, cache=False)
    return _measured(lambda: sum(len(labels) for _, labels in data.iterate("train")))


def tf_pipeline(folder: str) -> dict:
    import keras  # noqa: F401  (so that its memory is there before the start, as in a training process)

    from kerasvision.data import image_folder

    data = image_folder(folder, image_size=SIZE, batch_size=BATCH, validation_fraction=0, cache=False)
    return _measured(lambda: sum(len(labels) for _, labels in data.train))


def cached_pipeline(folder: str) -> dict:
    from kerasvision.data import image_folder

    data = image_folder(folder, image_size=SIZE, batch_size=BATCH, validation_fraction=0, cache=True)
    return _measured(lambda: sum(len(labels) for _, labels in data.iterate("train")), later=5)


def small_images(folder: str) -> dict:
    from kerasvision.data import image_folder

    with Usage() as usage:
        data = image_folder(folder, image_size=64, validation_fraction=0.2, cache=False)
        count = sum(len(labels) for split in data.splits for _, labels in data.iterate(split))
    return usage.to_dict() | {"images": count}


ARMS = {
    KERAS: keras_pipeline,
    NUMPY: numpy_pipeline,
    TF: tf_pipeline,
    CACHED: cached_pipeline,
    SMALL: small_images,
}


def _measured(epoch, later: int = 1) -> dict:
    """Measure a first epoch, then the median of later ones."""
    with Usage() as usage:
        count = epoch()
    seconds = []
    for _ in range(later):
        begun = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - begun)
    rate = count / sorted(seconds)[len(seconds) // 2]
    return usage.to_dict() | {"images": count, "per_cpu": count / usage.cpu, "later": rate}


def large_photos(folder: Path, photos: int, rounds: int) -> bool:
    print(f"Writing {photos} photos of 12 megapixels …", file=sys.stderr)
    make_photos(folder / "large", photos, size=(3000, 4000), noise=9)
    files = list((folder / "large").rglob("*.jpg"))
    megabytes = sum(file.stat().st_size for file in files) / len(files) / 1e6

    def run(arm: str) -> dict:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        return run_arm(__file__, arm, folder=folder / "large")

    results = alternate((KERAS, NUMPY, TF, CACHED), run, rounds)
    rows = [
        (
            arm,
            f"{median(found, 'per_cpu'):.1f}",
            f"{median(found, 'images') / median(found, 'wall'):.1f}",
            f"{median(found, 'later'):.1f}",
            f"{median(found, 'growth'):.0f} MB",
            f"{median(found, 'peak'):.0f} MB",
        )
        for arm, found in results.items()
    ]
    print(f"\n{photos} photos of 12 megapixels, {megabytes:.1f} MB each, at {SIZE} px, median of {rounds}")
    header = (
        "",
        "images/CPU s, first epoch",
        "images/s, first",
        "images/s, later",
        "memory growth",
        "peak memory",
    )
    print_table(header, rows)
    base = results[KERAS]
    ratios = (
        ("first epoch, images per CPU second", NUMPY, "per_cpu", FASTER, True),
        ("the same, through tf.data", TF, "per_cpu", FASTER, True),
        ("memory growth", NUMPY, "growth", LEANER, False),
        ("the same, through tf.data", TF, "growth", LEANER, False),
        ("later epochs, images per second", CACHED, "later", LATER, True),
    )
    values = [median(results[arm], key) / median(base, key) for _, arm, key, _, _ in ratios]
    rows = [
        (what, f"{value:.2f}", verdict(value, target, at_least))
        for value, (what, _, _, target, at_least) in zip(values, ratios, strict=True)
    ]
    print_table(("ratio to image_dataset_from_directory", "", "target"), rows)
    return all(row[2].startswith("met") for row in rows)


def many_images(folder: Path, few: int, many: int, rounds: int) -> bool:
    for count in (few, many):
        _copies(folder, count)
    results = alternate(
        (str(few), str(many)),
        lambda count: run_arm(__file__, SMALL, folder=folder / f"small_{count}"),
        rounds,
    )
    growth = {count: median(found, "growth") for count, found in results.items()}
    extra = (growth[str(many)] - growth[str(few)]) * 1e6 / (many - few)
    rows = [(f"{int(count):,} images", f"{value:.1f} MB") for count, value in growth.items()]
    rows.append(("for each further image", f"{extra:.0f} bytes"))
    print_table(("memory growth, one pass", ""), rows)
    # A path, a name, a label and an index take about 400 bytes; a decoded image of 64 pixels, 12,288.
    print(f"flat but for the list of files: {verdict(extra, 1000, at_least=False)} bytes an image\n")
    return extra <= 1000


def _copies(folder: Path, count: int) -> None:
    models = make_photos(folder / "models", 20, size=(75, 100), noise=4)
    contents = [file.read_bytes() for file in sorted(models.rglob("*.jpg"))]
    for i in range(count):
        file = folder / f"small_{count}" / f"class_{i % 10}" / f"{i:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[i % len(contents)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=40, help="large photos to write")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=20_000, help="small images to compare with 1,000")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(ARMS[arguments.arm](arguments.folder)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERASVISION_CACHE"] = os.path.join(folder, "cache")
        met = large_photos(Path(folder), arguments.photos, arguments.rounds)
        met &= many_images(Path(folder), 1000, arguments.many, arguments.rounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
