"""The note for the app developer that lies beside the exported files of a detector."""

from collections.abc import Sequence

from kerasvision.export.app_note import FORMAT_NOTES, PILLOW, RESIZE
from kerasvision.export.detection_source import DetectionSource
from kerasvision.export.placing import ExportedFile

# How a box in [0, 1] of the input is moved to the photo.
_BACK = {
    "stretch": "across, down, left, top = photo.width, photo.height, 0, 0  # in pixels of the photo",
    "crop": """scale = min(photo.width / width, photo.height / height)
across, down = width * scale, height * scale  # the part of the photo that the input shows, in its pixels
left, top = (photo.width - across) / 2, (photo.height - down) / 2""",
    "pad": """scale = min(width / photo.width, height / photo.height)
inner_width, inner_height = round(photo.width * scale), round(photo.height * scale)
left = -((width - inner_width) // 2) * photo.width / inner_width  # the black border, in pixels of the photo
top = -((height - inner_height) // 2) * photo.height / inner_height
across, down = width * photo.width / inner_width, height * photo.height / inner_height""",
}


def detection_note(source: DetectionSource, exported: Sequence[ExportedFile]) -> str:
    """Return README.md: the input, the outputs, the files with their figures, and code to start from.

    Args:
        source: what the files were made from.
        exported: the files.
    """
    formats = {file.format for file in exported}
    tflite = [file for file in exported if file.format == "tflite"]
    parts = [
        _introduction(source),
        _table(exported),
        *([_tflite_code(tflite[-1].path.name, source)] if tflite else []),
        *([_SAVED_MODEL_CODE] if "saved_model" in formats else []),
        *([_ONNX_CODE] if "onnx" in formats else []),
    ]
    return "\n".join(parts)


def _introduction(source: DetectionSource) -> str:
    height, width = source.preprocessing.image_size
    chosen, labels = source.selection, source.labels
    apart = "of the same class" if chosen.per_class else "of any class"
    return f"""# {source.name}: a detector

**Input**: one photo of {width} x {height} pixels (width x height), RGB, values from 0 to 255 as they are,
uint8 for the int8 TFLite file and float32 for all others.
Scaling is inside the model: do not divide by 255, do not subtract a mean.
A photo of another size is {RESIZE[source.preprocessing.resize]}, with bilinear
interpolation *and antialiasing*.
It must be upright: apply the EXIF orientation before.

**Outputs**, in this order, for n images (one in TFLite and ONNX) and {chosen.most} boxes:

TFLite files give float32 only; the others have int32 for `classes` and `count`.

| output | shape | what |
|---|---|---|
| `boxes` | n x {chosen.most} x 4 | ymin, xmin, ymax, xmax from 0 to 1: shares of the input's sides |
| `classes` | n x {chosen.most} | the class of each box, from 0, in the order of `labels.txt` |
| `scores` | n x {chosen.most} | from 0 to 1, falling |
| `count` | n | how many boxes there are; from there on all rows are 0 |

Classes: {", ".join(labels[:10])}{", …" if len(labels) > 10 else ""}.
Non-maximum suppression is inside: of two boxes {apart} that overlap by more than {chosen.overlap:g} (IoU)
the better one is there, and only boxes with scores above {chosen.threshold:g}.
{_shown(source)}
"""


def _shown(source: DetectionSource) -> str:
    """Say from which scores on an app shows boxes."""
    if source.thresholds is None:
        return "An app shows those above a higher threshold, often 0.3 to 0.5."
    rows = [f"| {label} | {threshold:g} |" for label, threshold in source.thresholds.items()]
    return "\n".join(
        [
            "An app shows those from these scores on, which gave the best F1 on held-out images",
            "(`thresholds.json` inside the TFLite file has them too):",
            "",
            "| class | least score |",
            "|---|---|",
            *rows,
        ]
    )


def _table(exported: Sequence[ExportedFile]) -> str:
    rows = []
    for file in exported:
        proof = file.certificate
        scores = "" if proof.ap50_file is None else f"{proof.ap50_model:.3f} -> {proof.ap50_file:.3f}"
        rows.append(
            f"| `{file.path.name}` | {FORMAT_NOTES[file.format]} | {file.size / 1e6:.2f} MB "
            f"| {proof.recall:.1%} of {proof.boxes_model} | {proof.precision:.1%} of {proof.boxes_file} "
            f"| {scores} |"
        )
    head = [
        "| file | for | size | the model's boxes found | boxes the model has too | AP50, model -> file |",
        "|---|---|---|---|---|---|",
    ]
    note = (
        "Each file was compared with the trained model on held-out images; the whole comparison is in its "
        "`.certificate.json`.\n"
    )
    return "\n".join([*head, *rows, "", note])


def _tflite_code(name: str, source: DetectionSource) -> str:
    resize, thresholds = source.preprocessing.resize, source.thresholds
    lowest = 0.4 if thresholds is None else min(thresholds.values())
    shown = dict.fromkeys(source.labels, lowest) if thresholds is None else dict(thresholds)
    return f"""## TFLite

The labels are inside the file. MediaPipe stretches a photo to the input size by itself and without
antialiasing: for boxes as good as the certified ones, hand it the photo already resized as described above.
Its boxes are in pixels of what it was handed.

Android (Kotlin, `com.google.mediapipe:tasks-vision`):

```kotlin
val options = ObjectDetector.ObjectDetectorOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("{name}").build())
    .setScoreThreshold({lowest:g}f)  // the lowest of the classes; check each box by its own
    .build()
val detector = ObjectDetector.createFromOptions(context, options)
for (found in detector.detect(BitmapImageBuilder(bitmap).build()).detections()) {{
    val best = found.categories()[0]
    println("${{best.categoryName()}} ${{best.score()}} ${{found.boundingBox()}}")
}}
```

Python (`pip install ai-edge-litert numpy pillow`):

```python
import numpy as np
from PIL import Image, ImageOps
from ai_edge_litert.interpreter import Interpreter

labels = open("labels.txt", encoding="utf-8").read().splitlines()
least = {shown}
run = Interpreter("{name}").get_signature_runner("serving_default")
details = run.get_input_details()["image"]
height, width = map(int, details["shape"][1:3])
photo = original = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
photo = {PILLOW[resize]}
found = run(image=np.asarray(photo, details["dtype"])[None])
photo = original
{_BACK[resize]}
for index in range(int(found["count"][0])):
    label, score = labels[int(found["classes"][0, index])], found["scores"][0, index]
    if score < least[label]:
        continue
    ymin, xmin, ymax, xmax = found["boxes"][0, index]
    box = [left + xmin * across, top + ymin * down, left + xmax * across, top + ymax * down]
    print(label, score, *box)
```
"""


_SAVED_MODEL_CODE = """## SavedModel

```python
import tensorflow as tf

loaded = tf.saved_model.load("saved_model")  # keep it: its functions die with it
found = loaded.serve_bytes(tf.constant([open("photo.jpg", "rb").read()]))
print(found["labels"][0], found["scores"][0], found["boxes"][0])
```

`serve_bytes` decodes and resizes by itself (JPEG, PNG, GIF, BMP), and its boxes are shares of the *photo's*
height and width; it does not read the EXIF orientation: turn photos upright before. `serve` takes arrays,
(n, height, width, 3), and its boxes are shares of these.
"""

_ONNX_CODE = """## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")  # the name of the .onnx file beside this note
# pixels: float32 (1, height, width, 3), 0 to 255
boxes, classes, scores, count = session.run(["boxes", "classes", "scores", "count"], {"image": pixels})
```
"""
