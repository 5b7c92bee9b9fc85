"""Train a segmenter on CamVid with real ImageNet weights: run as a program, with its own KERAS_HOME.

Usage: python camvid_training.py camvid_180x240_q90.zip FOLDER
"""

import json
import sys
import zipfile
from pathlib import Path

import kerasvision as kv

SIZE, EPOCHS = (96, 128), 8


def main(archive: str, folder: str) -> None:
    """Unpack the photos, train, export, and print what came out as JSON."""
    photos = Path(folder) / "camvid"
    with zipfile.ZipFile(archive) as content:
        content.extractall(photos)
    data = kv.data.camvid(photos, image_size=SIZE, batch_size=8)
    run = kv.recipes.train_segmenter(
        data,
        Path(folder) / "run",
        model="unet",
        options={"filters": (96, 64, 32, 16, 16)},
        epochs=EPOCHS,
        freeze_epochs=1,
        augment="flip+color",
        ema=0.98,  # the average of the default reaches too far back for so few steps
        rehearse_export=False,
    )
    judgement, flipped = run.judgement, run.evaluate(data, flip=True)
    facts = {"mean_iou": judgement.mean_iou, "images": judgement.count, "void": judgement.void, "files": {}}
    facts |= {"pixel_accuracy": judgement.pixel_accuracy, "flipped": flipped.mean_iou}
    facts["classes"] = {scores.name: scores.iou for scores in judgement.per_class}
    facts["masks"] = int(data.splits["test"].masks.pixels.sum())
    facts["report"] = (run.folder / "report.html").read_text()
    for quantize in (None, "int8"):
        bundle = run.export(Path(folder) / f"phone_{quantize}", formats=("tflite",), quantize=quantize)
        (file,) = bundle.files
        facts["files"][quantize or "float32"] = file.certificate.to_dict()
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
