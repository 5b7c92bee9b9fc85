"""Train a detector on real blood cells with real ImageNet weights: run as a program, with its own KERAS_HOME.

Usage: python cells_training.py BCCD.zip FOLDER
"""

import json
import sys
import zipfile
from pathlib import Path

import kerasvision as kv

SIZE, EPOCHS = 224, 5


def main(archive: str, folder: str) -> None:
    """Unpack the photos, train, export, and print what came out as JSON."""
    photos = Path(folder) / "photos"
    with zipfile.ZipFile(archive) as content:
        content.extractall(photos)
    data = kv.data.pascal_voc(photos, image_size=SIZE, batch_size=8, on_bad_file="skip", cache=False)
    run = kv.recipes.train_detector(
        data,
        Path(folder) / "run",
        model="yolo_v8_xs",
        epochs=EPOCHS,
        freeze_epochs=1,
        augment=None,
        ema=0.98,  # the average of the default reaches too far back for so few steps
        rehearse_export=False,
    )
    facts = {"ap50": run.judgement.ap50, "images": run.judgement.count, "files": {}}
    facts["classes"] = {scores.name: scores.coco.ap50 for scores in run.judgement.per_class}
    for quantize in (None, "int8"):
        bundle = run.export(Path(folder) / f"phone_{quantize}", formats=("tflite",), quantize=quantize)
        (file,) = bundle.files
        facts["files"][quantize or "float32"] = file.certificate.to_dict()
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
