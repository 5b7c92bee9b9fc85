"""The note for the app developer that lies beside exported files."""

from collections.abc import Sequence

from kerasvision.data.preprocessing import Preprocessing
from kerasvision.export.placing import ExportedFile

RESIZE = {
    "stretch": "stretched to that size, whatever its proportions",
    "crop": "scaled until it covers that size, then the middle is cut out",
    "pad": "scaled until it fits into that size, then centred on black",
}
PILLOW = {
    "stretch": "photo.resize((width, height), Image.BILINEAR)",
    "crop": "ImageOps.fit(photo, (width, height), Image.BILINEAR)",
    "pad": "ImageOps.pad(photo, (width, height), Image.BILINEAR)",
}
FORMAT_NOTES = {
    "tflite": "LiteRT and MediaPipe Tasks, on phones and small devices",
    "saved_model": "TensorFlow and TensorFlow Serving",
    "onnx": "ONNX Runtime",
}


def app_note(
    name: str, labels: Sequence[str], preprocessing: Preprocessing, exported: Sequence[ExportedFile]
) -> str:
    """Return README.md: the input, the outputs, the files with their figures, and code to start from.

    Args:
        name: of the model.
        labels: names of the classes.
        preprocessing: how a photo becomes the input.
        exported: the files.
    """
    formats = {file.format for file in exported}
    tflite = [file for file in exported if file.format == "tflite"]
    parts = [
        _introduction(name, labels, preprocessing),
        _table(exported),
        *([_tflite_code(tflite[-1].path.name, preprocessing.resize)] if tflite else []),
        *([_SAVED_MODEL_CODE] if "saved_model" in formats else []),
        *([_ONNX_CODE] if "onnx" in formats else []),
    ]
    return "\n".join(parts)


def _introduction(name: str, labels: Sequence[str], preprocessing: Preprocessing) -> str:
    height, width = preprocessing.image_size
    return f"""# {name}: an image classifier

**Input**: one photo of {width} x {height} pixels (width x height), RGB, values from 0 to 255 as they are.
Scaling is inside the model: do not divide by 255, do not subtract a mean.
A photo of another size is {RESIZE[preprocessing.resize]}, with bilinear interpolation *and antialiasing*.
It must be upright: apply the EXIF orientation before.

**Output**: `probabilities`, one value from 0 to 1 for each of the {len(labels)} classes, in the order of
`labels.txt`: {", ".join(labels[:10])}{", …" if len(labels) > 10 else ""}.
"""


def _table(exported: Sequence[ExportedFile]) -> str:
    rows = []
    for file in exported:
        proof = file.certificate
        accuracy = (
            "" if proof.accuracy_file is None else f"{proof.accuracy_model:.1%} -> {proof.accuracy_file:.1%}"
        )
        rows.append(
            f"| `{file.path.name}` | {FORMAT_NOTES[file.format]} | {file.size / 1e6:.2f} MB "
            f"| {proof.max_difference:.1e} | {proof.agreement:.1%} of {proof.count} | {accuracy} |"
        )
    head = [
        "| file | for | size | largest difference | same answer as the model | accuracy, model -> file |",
        "|---|---|---|---|---|---|",
    ]
    note = (
        "Each file was compared with the trained model; the whole comparison is in its `.certificate.json`.\n"
    )
    return "\n".join([*head, *rows, "", note])


def _tflite_code(name: str, resize: str) -> str:
    return f"""## TFLite

The labels are inside the file. MediaPipe stretches a photo to the input size by itself and without
antialiasing: for answers as good as the certified ones, hand it the photo already resized as described above.

Android (Kotlin, `com.google.mediapipe:tasks-vision`):

```kotlin
val options = ImageClassifier.ImageClassifierOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("{name}").build())
    .setMaxResults(3)
    .build()
val classifier = ImageClassifier.createFromOptions(context, options)
val result = classifier.classify(BitmapImageBuilder(bitmap).build())
val best = result.classificationResult().classifications()[0].categories()[0]
println("${{best.categoryName()}} ${{best.score()}}")
```

Python (`pip install ai-edge-litert numpy pillow`):

```python
import numpy as np
from PIL import Image, ImageOps
from ai_edge_litert.interpreter import Interpreter

run = Interpreter("{name}").get_signature_runner("serving_default")
details = run.get_input_details()["image"]
height, width = details["shape"][1:3]
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
photo = {PILLOW[resize]}
print(run(image=np.asarray(photo, details["dtype"])[None])["probabilities"])
```
"""


_SAVED_MODEL_CODE = """## SavedModel

```python
import tensorflow as tf

loaded = tf.saved_model.load("saved_model")  # keep it: its functions die with it
print(loaded.serve_bytes(tf.constant([open("photo.jpg", "rb").read()]))["label"])
```

`serve_bytes` decodes and resizes by itself (JPEG, PNG, GIF, BMP), but does not read the EXIF
orientation: turn photos upright before. `serve` takes arrays, (n, height, width, 3).
"""

_ONNX_CODE = """## ONNX

```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")  # the name of the .onnx file beside this note
# pixels: float32 (n, height, width, 3), 0 to 255
probabilities = session.run(["probabilities"], {"image": pixels})[0]
```
"""
